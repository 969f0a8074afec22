"""The capabilities that a chat request needs of its model: vision, tools, JSON schemas."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from shared.submissions.catalogue_rows import Capability
from shared.submissions.schemas import image_places


class NeededCapability(NamedTuple):
    """A capability that a request needs: the path of the field that needs it, and the words of a refusal."""

    capability: Capability
    place: str
    what: str


def lacking(request: Mapping[str, Any], capabilities: Collection[Capability]) -> NeededCapability | None:
    """The first thing that a request needs and a model with these capabilities does not have.

    Reasoning is none of them: how much of it is wanted is a hint, which models without it are not sent.
    """
    return next((need for need in needs(request) if need.capability not in capabilities), None)


def needs(request: Mapping[str, Any]) -> Iterator[NeededCapability]:
    """Yield every capability that a request needs."""
    for place, _ in image_places(request)[:1]:
        yield NeededCapability("vision", place, "images are")
    if request.get("tools"):
        yield NeededCapability("tools", "tools", "tools are")
    if request.get("grounding"):
        yield NeededCapability("tools", "grounding", "tools, which web searches need, are")
    if (request.get("response_format") or {}).get("type") == "json_schema":
        yield NeededCapability("json_schema", "response_format", "a JSON schema is")
