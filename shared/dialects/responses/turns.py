"""The items of a response's input as the messages of a chat completion. Pure.

Source: the types of openai-python, `openai.types.responses.response_input_item`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from shared.answers.beside import BESIDE, SIGNED
from shared.dialects.responses import sealing
from shared.errors import InvalidRequest

Value = dict[str, Any]

#: What came with an item of an output, and means nothing in an input.
_LEFTOVERS: Final = frozenset({"id", "status", "phase", "type", "created_by", "caller"})
_OF_PART: Final = frozenset({"annotations", "logprobs"})
_PARTS: Final = frozenset({"input_text", "output_text", "text", "refusal", "input_image"})
_REFERENCE: Final = "item_reference"
_PICTURE: Final = "image_generation_call"
_ITEMS: Final = "items of type message, function_call, function_call_output, reasoning and item_reference"
_MOST_NAME, _MOST_ID = 50, 100
#: For an input that refers to no stored items.
NOTHING: Final[Mapping[str, Value]] = {}


def references(given: Any) -> list[tuple[str, str]]:
    """The ids of stored items that an input refers to, each after its place: `input[2]`."""
    items = given if isinstance(given, list) else ()
    return [
        (f"input[{number}]", item["id"])
        for number, item in enumerate(items)
        if isinstance(item, dict) and _refers(item) and isinstance(item.get("id"), str)
    ]


def _refers(item: Value) -> bool:
    """Whether an item stands for a stored one; OpenAI lets its type be left out."""
    return item.get("type") == _REFERENCE or (item.get("type") is None and "role" not in item and "id" in item)


def messages(given: str | Sequence[Value], stored: Mapping[str, Value] = NOTHING) -> list[tuple[str, Value]]:
    """The messages, each after the place in the body of the item that it is made of: `input[2]`.

    `stored`: the items that the input refers to, by id.
    """
    if isinstance(given, str):
        return [("input", {"role": "user", "content": given})]
    turns = _Turns(stored)
    for number, item in enumerate(given):
        turns.add(f"input[{number}]", item)
    return turns.made


class _Turns:
    """An input being read: consecutive calls are one turn, and reasoning goes with what follows it."""

    def __init__(self, stored: Mapping[str, Value]) -> None:
        self.made: list[tuple[str, Value]] = []
        self._stored = stored
        #: What its provider had signed: the thoughts, and what goes back with calls, by their ids.
        self._signed: list[Value] = []
        self._beside: dict[str, Any] = {}
        self._thoughts: str = ""

    def add(self, at: str, item: Value) -> None:
        """One item."""
        kind = "message" if item.get("type") is None else item["type"]
        if _refers(item):
            self.add(at, self._referred(at, item))
        elif kind == "message":
            self._message(at, item)
        elif kind == "function_call":
            self._call(at, item)
        elif kind == "function_call_output":
            self._answer(at, item)
        elif kind == "reasoning":
            self._think(item)
        elif kind != _PICTURE:  # one that was made before is not shown to the model, as it is not in other answers
            raise _unsupported(f"{at}.type", kind, _ITEMS)

    def _referred(self, at: str, item: Value) -> Value:
        id = _text(at, item, "id")
        if (found := self._stored.get(id)) is None:
            said = "of a response that was deleted, or made with store: false, none is kept"
            raise InvalidRequest(f"{at}.id: item {id[:_MOST_ID]!r} not found; {said}", param=f"{at}.id")
        return found

    def _think(self, item: Value) -> None:
        signed, text, beside = sealing.unsealed(item.get("encrypted_content"))
        self._thoughts += _thoughts(item) or text
        self._signed += signed
        self._beside |= beside

    def _message(self, at: str, item: Value) -> None:
        message = {name: value for name, value in item.items() if name not in _LEFTOVERS}
        if message.get("role") == "tool":
            raise InvalidRequest(f"{at}.role: use an item of type function_call_output", param=f"{at}.role")
        if isinstance(message.get("content"), list):
            message["content"] = [
                _part(f"{at}.content[{place}]", part) for place, part in enumerate(message["content"])
            ]
        if message.get("role") == "assistant":
            if message.get("content") == []:
                message["content"] = ""
            message = self._thought_of(message)
        else:
            self._forget()
        self.made.append((at, message))

    def _call(self, at: str, item: Value) -> None:
        id = _text(at, item, "call_id")
        call: Value = {
            "id": id,
            "type": "function",
            "function": {"name": _text(at, item, "name"), "arguments": _text(at, item, "arguments")},
        }
        if isinstance(beside := self._beside.pop(id, None), dict):
            call[BESIDE] = beside
        last = self.made[-1][1] if self.made else {}
        if last.get("role") == "assistant" and not (self._thoughts or self._signed):
            last.setdefault("tool_calls", []).append(call)
        else:
            self.made.append((at, self._thought_of({"role": "assistant", "content": None, "tool_calls": [call]})))

    def _answer(self, at: str, item: Value) -> None:
        content = item.get("output")
        if isinstance(content, list):
            content = [_part(f"{at}.output[{place}]", part) for place, part in enumerate(content)]
        elif not isinstance(content, str):
            raise InvalidRequest(f"{at}.output: must be a string or an array", param=f"{at}.output")
        self._forget()
        self.made.append((at, {"role": "tool", "tool_call_id": _text(at, item, "call_id"), "content": content or ""}))

    def _thought_of(self, message: Value) -> Value:
        """An assistant's message with the thoughts before it."""
        thought: Value = {"reasoning_content": self._thoughts, SIGNED: self._signed}
        self._thoughts, self._signed = "", []
        return {**message, **{name: value for name, value in thought.items() if value}}

    def _forget(self) -> None:
        """Thoughts that nothing of the assistant's follows belong nowhere."""
        self._thoughts, self._signed = "", []


def _thoughts(item: Mapping[str, Any]) -> str:
    """The text of a reasoning item; its summary, where it has no other."""
    for name in ("content", "summary"):
        parts = item.get(name)
        texts = [part.get("text") for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
        if found := "".join(text for text in texts if isinstance(text, str)):
            return found
    return ""


def _part(at: str, part: Any) -> Any:
    if not isinstance(part, dict):
        return part
    kind = part.get("type")
    if not isinstance(kind, str) or kind not in _PARTS:
        raise _unsupported(f"{at}.type", kind, "input_text, output_text, refusal and input_image")
    if part.get("file_id") is not None:
        raise InvalidRequest(f"{at}.file_id: not supported; use image_url", param=f"{at}.file_id")
    return {name: value for name, value in part.items() if name not in _OF_PART and name != "file_id"}


def _text(at: str, item: Mapping[str, Any], name: str) -> str:
    value = item.get(name)
    if not isinstance(value, str):
        raise InvalidRequest(f"{at}.{name}: must be a string", param=f"{at}.{name}")
    return value


def _unsupported(where: str, kind: Any, known: str) -> InvalidRequest:
    shown = repr(kind[:_MOST_NAME]) if isinstance(kind, str) else "this"
    return InvalidRequest(f"{where}: {shown} is not supported; supported: {known}", param=where)
