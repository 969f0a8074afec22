"""Thoughts as the provider signed them: what of them goes to the caller, and back as it came. Pure.

Sources: platform.claude.com/docs/en/build-with-claude/thinking (thinking blocks go back as they came, in their places),
…/build-with-claude/preserved-thinking (a signature is good for what came before its block; of a block that another
model has signed, the provider keeps what the model can read). A canonical message has one text, and then its calls: a
thought that stands in their midst says after how much of them (`after`), which is for us alone.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

#: What makes a block whole, by its type; the last of it is what the provider proves it by.
_WHOLE: Final[Mapping[str, tuple[str, ...]]] = {
    "thinking": ("thinking", "signature"),
    "redacted_thinking": ("data",),
}
_AFTER, _CHARACTERS, _CALLS = "after", "characters", "tool_calls"
#: The types of blocks that are thoughts.
TYPES: Final = frozenset(_WHOLE)


def signed(blocks: Iterable[Any]) -> list[dict[str, Any]]:
    """The thoughts among these blocks that can be given back; one that was cut off has no signature, and cannot.

    >>> signed([{"type": "thinking", "thinking": "Hm."}, {"type": "redacted_thinking", "data": "Eq8", "index": 0}])
    [{'type': 'redacted_thinking', 'data': 'Eq8'}]
    """
    found = []
    for block in blocks:
        kind = block.get("type") if isinstance(block, dict) else None
        names = _WHOLE.get(kind) if isinstance(kind, str) else None
        if names and all(isinstance(block.get(name), str) for name in names) and block[names[-1]]:
            found.append({"type": kind, **{name: block[name] for name in names}})
    return found


def placed(block: Mapping[str, Any], characters: int, calls: int) -> dict[str, Any]:
    """A thought as the caller gets it, that came after so many characters of text and so many calls of tools."""
    return {**block, **({_AFTER: {_CHARACTERS: characters, _CALLS: calls}} if characters or calls else {})}


def all_placed(blocks: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """The signed thoughts of a whole answer, in their places.

    >>> list(all_placed([{"type": "text", "text": "Hm:"}, {"type": "redacted_thinking", "data": "Eq8"}]))
    [{'type': 'redacted_thinking', 'data': 'Eq8', 'after': {'characters': 3, 'tool_calls': 0}}]
    """
    characters = calls = 0
    for block in blocks:
        yield from (placed(one, characters, calls) for one in signed([block]))
        if isinstance(block, Mapping):
            calls += block.get("type") == "tool_use"
            characters += len(block["text"]) if block.get("type") == "text" else 0


def position(block: Any) -> tuple[int, int]:
    """After how many characters and calls a thought stands that a caller has given back; what makes no sense is 0."""
    after = block.get(_AFTER) if isinstance(block, Mapping) else None
    counts = (after.get(name) for name in (_CHARACTERS, _CALLS)) if isinstance(after, Mapping) else (0, 0)
    first, second = (count if type(count) is int and count > 0 else 0 for count in counts)
    return first, second
