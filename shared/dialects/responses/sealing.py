"""What providers want back with their thoughts and calls, sealed into the `encrypted_content` of reasoning items. Pure.

Source: platform.openai.com/docs/guides/reasoning ("Encrypted reasoning items": asked for by `include`, opaque, sent
back with the other items where nothing is stored). Here it holds what the canonical message had beside its text: the
thoughts as their provider signed them (else their text), and what it wants back with each call.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from shared.answers.beside import BESIDE, REDACTED, SIGNATURE, SIGNED
from shared.dialects.messages import seals
from shared.dialects.messages.answers import AFTER

#: As `include` asks for it.
WANTED: Final = "reasoning.encrypted_content"
_TEXT: Final = "reasoning_content"
_CALLS: Final = "calls"


def sealed(message: Mapping[str, Any]) -> str:
    """The `encrypted_content` of a message's reasoning."""
    calls = {call["id"]: call[BESIDE] for call in message.get("tool_calls") or () if call.get(BESIDE)}
    return _sealed(message.get(SIGNED) or (), message.get(_TEXT) or "", calls)


def leads(message: Mapping[str, Any]) -> bool:
    """Whether a message begins with a thought, shown or not."""
    blocks = message.get(SIGNED) or ()
    return bool(message.get(_TEXT) or (blocks and not blocks[0].get(AFTER)))


def begins_call(message: Mapping[str, Any]) -> bool:
    """Whether its provider wants something back with the first of a message's calls."""
    calls = message.get("tool_calls") or ()
    return bool(calls and calls[0].get(BESIDE))


def unsealed(content: Any) -> tuple[list[dict[str, Any]], str, dict[str, Any]]:
    """The signed thoughts, the text of the thoughts, and what goes back with calls by their ids; nothing of another's.

    >>> unsealed(sealed({"reasoning_content": "Hm."})), unsealed("gAAAAB")
    (([], 'Hm.', {}), ([], '', {}))
    """
    found = (seals.unsealed(content) if isinstance(content, str) else None) or {}
    blocks, text, calls = found.get(SIGNED), found.get(_TEXT), found.get(_CALLS)
    thoughts = [block for block in blocks if isinstance(block, dict)] if isinstance(blocks, list) else []
    if not isinstance(text, str):
        shown = [block.get("thinking") for block in thoughts]
        text = "".join(one for one in shown if isinstance(one, str))
    return thoughts, text, calls if isinstance(calls, dict) else {}


def _sealed(blocks: Sequence[Any], text: str, calls: Mapping[str, Any]) -> str:
    thoughts: dict[str, Any] = {SIGNED: list(blocks)} if blocks else {_TEXT: text} if text else {}
    return str(seals.sealed({**thoughts, **({_CALLS: dict(calls)} if calls else {})})["data"])


class Gathered:
    """The same of a message that comes in pieces, as far as it has come."""

    def __init__(self) -> None:
        self._blocks: list[dict[str, Any]] = []
        self._signed = 0
        self._calls: dict[str, Any] = {}

    @staticmethod
    def is_signed(delta: Mapping[str, Any]) -> bool:
        """Whether a thought ends with a piece, or a call begins that its provider wants something back with."""
        calls = delta.get("tool_calls") or ()
        return SIGNATURE in delta or REDACTED in delta or any(call.get(BESIDE) for call in calls)

    def take(self, delta: Mapping[str, Any], text: str) -> None:
        """Such a piece; `text`: of the thoughts up to it."""
        if proof := delta.get(SIGNATURE):
            self._blocks.append({"type": "thinking", "thinking": text[self._signed :], "signature": proof})
            self._signed = len(text)
        if secret := delta.get(REDACTED):
            self._blocks.append({"type": "redacted_thinking", "data": secret})
        self._calls |= {call["id"]: call[BESIDE] for call in delta.get("tool_calls") or () if call.get(BESIDE)}

    def sealed(self, text: str) -> str:
        """The `encrypted_content`; `text`: of the thoughts."""
        return _sealed(self._blocks, text, self._calls)
