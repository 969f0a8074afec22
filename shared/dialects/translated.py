"""A request in a dialect's own form as the native one, and how a refusal of it names what was sent. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.errors import RequestRefused


@dataclass(frozen=True, slots=True)
class Translated:
    """A native body, and the paths of what was sent beside it that no provider is sent: `ignored` of the job.

    `places`: where what stands at a path of the body stood in what was sent, as far as a refusal may name it.
    """

    body: dict[str, Any]
    unsent: Sequence[str]
    places: Mapping[str, str] = field(default_factory=dict)


def as_sent(error: RequestRefused, places: Mapping[str, str]) -> RequestRefused:
    """The same refusal, which names what is wrong by its place in the body that was sent."""
    if (param := error.param) is not None and param in places:
        error.message = error.message.replace(param, places[param], 1)
        error.param = places[param]
    return error
