"""Thoughts as the provider signed them: what of them goes to the caller, and back as it came. Pure.

Source: platform.claude.com/docs/en/build-with-claude/thinking (preserving thinking blocks).
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

#: What makes a block whole, by its type; the last of it is what the provider proves it by.
_WHOLE: Final[Mapping[str, tuple[str, ...]]] = {
    "thinking": ("thinking", "signature"),
    "redacted_thinking": ("data",),
}
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
