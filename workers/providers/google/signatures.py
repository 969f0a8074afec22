"""Thought signatures: Gemini's own notes on a part of its answer, which it wants back with that part.

In an answer they stand where Google's OpenAI-compatible endpoint puts them, `extra_content.google.thought_signature`
of the tool call or of the message (https://ai.google.dev/gemini-api/docs/thought-signatures, "OpenAI compatibility");
in a request they are read there, and where LiteLLM writes them: `provider_specific_fields`, of a call
`thought_signature`, of a message `thought_signatures`.
"""

from collections.abc import Mapping
from typing import Any

#: Fields beside a message's own in which a signature may come.
NAMES = ("extra_content", "provider_specific_fields", "thought_signature")


class Signatures:
    """Those of a request, by the path of what they belong to: `messages[1].tool_calls[0]`."""

    def __init__(self, extras: Mapping[str, Any], takes: frozenset[str]) -> None:
        self._found: dict[str, str] = {}
        for path, value in extras.items():
            owner, _, name = path.rpartition(".")
            if name in NAMES and name in takes and (signature := _signature(name, value)):
                self._found.setdefault(owner, signature)

    def of(self, path: str) -> dict[str, str]:
        """The fields that a part gets: its signature, or nothing if the caller gave none back."""
        signature = self._found.get(path)
        return {"thoughtSignature": signature} if signature else {}


def shown(part: Mapping[str, Any]) -> dict[str, Any]:
    """The signature of an answer's part, as the caller gets it and may give it back."""
    signature = part.get("thoughtSignature")
    return {"extra_content": {"google": {"thought_signature": signature}}} if isinstance(signature, str) else {}


def _signature(name: str, value: Any) -> str | None:
    if name == "extra_content" and isinstance(value, Mapping):
        value = value.get("google")
    if isinstance(value, Mapping):
        value = value.get("thought_signature") or _last(value.get("thought_signatures"))
    return value if isinstance(value, str) and value else None


def _last(given: Any) -> Any:
    return given[-1] if isinstance(given, list) and given else None
