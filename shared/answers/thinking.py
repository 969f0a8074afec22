"""Puts the reasoning of an answer before it, as `<thinking>…</thinking>`: of a whole answer, or chunk by chunk. Pure.

Answers are stored with their reasoning apart; this is done to what leaves, where the job's options want it. Reasoning
that comes once the answer has begun stays where it is: nothing can be put before what has been sent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from shared.answers.beside import SIGNED
from shared.answers.streams import StreamProgress

OPEN: Final = "<thinking>"
CLOSE: Final = "</thinking>"
#: Between the reasoning and the answer, if there is one.
BREAK: Final = "\n\n"
_REASONING: Final = "reasoning_content"


def dressed(body: str, *, keeps: bool = False) -> str:
    """A chat completion (JSON) with the reasoning before each answer. `keeps`: it stays in its own place as well."""
    made = orjson.loads(body)
    for choice in made["choices"]:
        choice["message"] = _dressed_message(choice["message"], keeps)
    return orjson.dumps(made).decode()


def _dressed_message(message: dict[str, Any], keeps: bool) -> dict[str, Any]:
    before, late = _parted(message)
    if not before:
        return message
    content = message.get("content") or ""
    head = f"{OPEN}{before}{CLOSE}" + (BREAK if content else "")
    made = {**message, "content": head + content}
    if not keeps:
        made = {name: value for name, value in made.items() if name != _REASONING}
        made |= {_REASONING: late} if late else {}
    for cited in made.get("annotations") or ():
        place = cited["url_citation"]
        place |= {name: place[name] + len(head) for name in ("start_index", "end_index")}
    if message.get(SIGNED):
        made[SIGNED] = [_moved(block, len(head)) for block in message[SIGNED]]
    return made


def _parted(message: Mapping[str, Any]) -> tuple[str, str]:
    """The reasoning before the answer, and that in its midst, as far as its provider signed it: others do not tell."""
    blocks: Sequence[Mapping[str, Any]] = message.get(SIGNED) or ()
    if not any(block.get("after") for block in blocks):
        return message.get(_REASONING) or "", ""
    texts = ["".join(b.get("thinking") or "" for b in blocks if bool(b.get("after")) is late) for late in (False, True)]
    return texts[0], texts[1]


def _moved(block: Mapping[str, Any], by: int) -> Mapping[str, Any]:
    """A thought in the midst of the answer, which has become longer before it."""
    after = block.get("after") or {}
    if not after.get("characters"):
        return block
    return {**block, "after": {**after, "characters": after["characters"] + by}}


@dataclass(slots=True)
class _Choice:
    """One answer as it comes: whether reasoning has been sent, whether what follows it, whether content."""

    opened: bool = False
    answering: bool = False
    spoke: bool = False
    #: The reasoning so far, where it is put before the answer only once it is whole.
    kept: str = ""


class ThinkingChunks:
    """One stream's chunks. `progress`: what of it its reader has had; `keeps`: reasoning stays in its place as well.

    It stands before the answer as it comes; where it is kept, at once, when the answer begins.
    """

    def __init__(self, progress: StreamProgress, *, keeps: bool = False) -> None:
        self._before = dict(progress.sent)
        self._keeps = keeps
        self._choices: dict[int, _Choice] = {}

    def dress(self, chunk: bytes) -> bytes:
        """A chunk (JSON) as it is sent."""
        made = orjson.loads(chunk)
        if not made.get("choices"):
            return chunk
        for choice in made["choices"]:
            self._dress(self._of(choice["index"]), choice)
        return orjson.dumps(made)

    def _of(self, index: int) -> _Choice:
        if index not in self._choices:
            sent = self._before
            spoke = bool(sent.get(f"{index}c"))
            calls = any(name.startswith(f"{index}t") for name in sent)
            answering = spoke or calls or bool(sent.get(f"{index}r"))
            self._choices[index] = _Choice(bool(sent.get(f"{index}g")), answering, spoke)
        return self._choices[index]

    def _dress(self, state: _Choice, choice: dict[str, Any]) -> None:
        delta = choice["delta"]
        thought, content = delta.get(_REASONING) or "", delta.get("content") or ""
        text = ""
        if thought and not state.answering:
            text = self._thought(state, thought)
            if not self._keeps:
                del delta[_REASONING]
        answers = bool(content or delta.get("refusal") or delta.get("tool_calls"))
        if state.opened and not state.answering and (answers or choice.get("finish_reason")):
            text += f"{OPEN}{state.kept}{CLOSE}" if self._keeps else CLOSE
        if state.opened and content and not state.spoke:
            text += BREAK
        state.answering |= answers
        state.spoke |= bool(content)
        if text:
            delta["content"] = text + content

    def _thought(self, state: _Choice, thought: str) -> str:
        """What a piece of the reasoning adds to the text."""
        text = thought if state.opened else OPEN + thought
        state.opened = True
        if self._keeps:
            state.kept += thought
            return ""
        return text
