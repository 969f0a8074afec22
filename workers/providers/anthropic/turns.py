"""Canonical messages as a Messages request has them: the system's blocks, and turns of blocks by user and assistant.

Sources: platform.claude.com/docs/en/api/messages/create (messages, system, content blocks),
…/agents-and-tools/tool-use/handle-tool-calls (results stand first in the turn after the calls),
…/build-with-claude/thinking (thinking blocks go back as they came, in their places). Pure.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from shared import strict_json
from workers.providers.anthropic.hints import Hints
from workers.providers.anthropic.thoughts import TYPES, position, signed

Block = dict[str, Any]

#: What the provider allows in the ids of tool calls.
_NO_ID: Final = re.compile(r"[^a-zA-Z0-9_-]")
_DATA_URL: Final = re.compile(r"data:([^;,]+)(;[^;,]*)*;base64,", re.IGNORECASE)
_SYSTEM: Final = frozenset({"system", "developer"})
#: Under this name the provider wants arguments that are no JSON object
#: (…/agents-and-tools/tool-use/fine-grained-tool-streaming).
_INVALID: Final = "INVALID_JSON"
#: Pictures are shown as large as they are, whatever the caller asks for.
_USUAL_DETAIL: Final = (None, "auto")


@dataclass(slots=True)
class Conversation:
    """The messages of one request."""

    system: list[Block] = field(default_factory=list)
    turns: list[dict[str, Any]] = field(default_factory=list)
    #: Paths of what the provider has no place for.
    unsent: list[str] = field(default_factory=list)

    def add(self, role: str, blocks: Sequence[Block]) -> None:
        """Add to the turn of that role; results of tools stand first in theirs."""
        if not blocks:
            return
        if not self.turns or self.turns[-1]["role"] != role:
            self.turns.append({"role": role, "content": []})
        content = self.turns[-1]["content"]
        results = [block for block in blocks if block["type"] == "tool_result"]
        first = sum(block["type"] == "tool_result" for block in content)
        content[first:first] = results
        content += [block for block in blocks if block["type"] != "tool_result"]

    @property
    def thoughtless_call(self) -> bool:
        """A tool loop is under way whose calls came without signed thoughts, so that it cannot begin to think."""
        for turn in reversed(self.turns):
            kinds = [block["type"] for block in turn["content"]]
            if turn["role"] == "user" and "tool_result" not in kinds:
                return False
            if turn["role"] == "assistant" and "tool_use" in kinds:
                return kinds[0] not in TYPES
        return False


def conversation(messages: Sequence[Mapping[str, Any]], hints: Hints) -> Conversation:
    """The conversation; a request of instructions alone is asked with them."""
    made = Conversation()
    for at, message in enumerate(messages):
        path = f"messages[{at}]"
        role = message["role"]
        blocks = list(_blocks(message, path, hints, made.unsent))
        _mark(blocks, hints, f"{path}.cache_control")
        if role in _SYSTEM:
            made.system += blocks
        else:
            made.add("assistant" if role == "assistant" else "user", blocks)
        if message.get("name"):
            made.unsent.append(f"{path}.name")
    if not made.turns:
        made.add("user", made.system)
        made.system = []
    _trim(made.turns)
    return made


def _blocks(message: Mapping[str, Any], path: str, hints: Hints, unsent: list[str]) -> Iterator[Block]:
    match message["role"]:
        case "tool":
            yield _result(message, path, hints, unsent)
        case "assistant":
            thoughts, content = _thoughts(path, hints), message.get("content")
            given = message.get("tool_calls") or ()
            calls = [_call(call, f"{path}.tool_calls[{at}]", hints) for at, call in enumerate(given)]
            if isinstance(content, str | None) and not message.get("refusal"):
                yield from _interleaved(thoughts, content or "", calls)
                return
            yield from (block for block, _ in thoughts)
            yield from _parts(content, path, hints, unsent)
            yield from _texts(message.get("refusal"))
            yield from calls
        case "user":
            yield from _parts(message.get("content"), path, hints, unsent)
        case _:
            for block in _parts(message.get("content"), path, hints, unsent):
                if block["type"] == "text":
                    yield block
                else:
                    unsent.append(f"{path}.content")


def _texts(text: Any) -> Iterator[Block]:
    """A text as a block; the provider refuses one of nothing but blanks."""
    if isinstance(text, str) and text.strip():
        yield {"type": "text", "text": text}


def _parts(content: Any, path: str, hints: Hints, unsent: list[str]) -> Iterator[Block]:
    if not isinstance(content, list):
        yield from _texts(content)
        return
    for at, part in enumerate(content):
        place = f"{path}.content[{at}]"
        if part["type"] == "image_url":
            if part["image_url"].get("detail") not in _USUAL_DETAIL:
                unsent.append(f"{place}.image_url.detail")
            found = [{"type": "image", "source": _source(part["image_url"]["url"])}]
        else:
            found = list(_texts(part.get("text") or part.get("refusal")))
        _mark(found, hints, f"{place}.cache_control")
        yield from found


def _source(url: str) -> Block:
    """Where a picture is: its data, or its address.

    >>> _source("data:image/png;base64,AAAA")
    {'type': 'base64', 'media_type': 'image/png', 'data': 'AAAA'}
    """
    if head := _DATA_URL.match(url):
        kind = head[1].lower()
        return {
            "type": "base64",
            "media_type": "image/jpeg" if kind == "image/jpg" else kind,
            "data": url[head.end() :],
        }
    return {"type": "url", "url": url}


def _result(message: Mapping[str, Any], path: str, hints: Hints, unsent: list[str]) -> Block:
    block: Block = {"type": "tool_result", "tool_use_id": _id(message["tool_call_id"])}
    content = message.get("content")
    if isinstance(content, list):
        block["content"] = list(_parts(content, path, hints, unsent))
    elif content:
        block["content"] = content
    if hints.take(f"{path}.is_error"):
        block["is_error"] = True
    return block


def _thoughts(path: str, hints: Hints) -> list[tuple[Block, tuple[int, int]]]:
    """The signed thoughts of an assistant's message, each with its place; others cannot be given back."""
    given = hints.look(f"{path}.thinking_blocks") or []
    found = [(block, position(one)) for one in given for block in signed([one])]
    if len(found) == len(given):
        hints.take(f"{path}.thinking_blocks")
    if any(block["type"] == "thinking" for block, _ in found):
        hints.covered(path)
    return found


def _interleaved(
    thoughts: Sequence[tuple[Block, tuple[int, int]]], text: str, calls: Sequence[Block]
) -> Iterator[Block]:
    """The blocks of a message in the order in which they came: its text, cut where thoughts stood, then its calls."""
    read = called = 0
    for block, (characters, number) in thoughts:
        yield from _texts(text[read:characters])
        yield from calls[called:number]
        read, called = max(read, characters), max(called, number)
        yield block
    yield from _texts(text[read:])
    yield from calls[called:]


def _call(call: Mapping[str, Any], path: str, hints: Hints) -> Block:
    function = call["function"]
    block = {
        "type": "tool_use",
        "id": _id(call["id"]),
        "name": function["name"],
        "input": _arguments(function["arguments"]),
    }
    for place in (f"{path}.function.cache_control", f"{path}.cache_control"):
        _mark([block], hints, place)
    return block


def _arguments(text: str) -> dict[str, Any]:
    """Arguments as the object that the provider wants.

    >>> _arguments('{"a": 1}'), _arguments(""), _arguments('{"a":')
    ({'a': 1}, {}, {'INVALID_JSON': '{"a":'})
    """
    if not text.strip():
        return {}
    value = strict_json.within(text)
    return value if isinstance(value, dict) else {_INVALID: text}


def _id(given: str) -> str:
    """The id of a call, which another provider may have made, in the letters that this one allows."""
    return _NO_ID.sub("_", given)


def _mark(blocks: Sequence[Block], hints: Hints, path: str) -> None:
    """Where a message or a part is to be cached, its last block is; thoughts cannot be."""
    if blocks and blocks[-1]["type"] not in TYPES and (hint := hints.take(path)):
        blocks[-1]["cache_control"] = hint


def _trim(turns: Sequence[Mapping[str, Any]]) -> None:
    """An answer that has been begun for the model may not end in blanks."""
    last = turns[-1] if turns else None
    if last and last["role"] == "assistant" and last["content"][-1]["type"] == "text":
        last["content"][-1]["text"] = last["content"][-1]["text"].rstrip()
