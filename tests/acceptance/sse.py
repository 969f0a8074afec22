"""A reader of server-sent events for tests: what the wire carried, and the answer that its chunks add up to."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import orjson


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its id, when it has one, and its data as sent."""

    id: str | None
    data: str

    @property
    def json(self) -> Any:
        """The data, unless it is [DONE]."""
        return orjson.loads(self.data)


def events(response: httpx.Response) -> Iterator[Event]:
    """The events as they come, comments left out; each is one that the document describes."""
    from tests import contract  # not for those who only add chunks up

    assert response.headers["content-type"].startswith("text/event-stream"), response.read()
    id: str | None = None
    data: list[str] = []
    for line in response.iter_lines():
        name, _, value = line.partition(": ")
        if name == "id":
            id = value
        elif name == "data":
            data.append(value)
        elif not line and data:
            event = Event(id, "\n".join(data))
            if event.data != "[DONE]":
                contract.check_object("StreamError" if "error" in event.json else "ChatCompletionChunk", event.json)
            yield event
            id, data = None, []


def added_up(chunks: Iterable[Any]) -> list[dict[str, Any]]:
    """The choices that chunks add up to, as an unstreamed answer has them (without logprobs)."""
    choices: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        assert chunk["object"] == "chat.completion.chunk"
        for choice in chunk["choices"]:
            _add(choices, choice)
    return [choices[index] for index in sorted(choices)]


def _add(choices: dict[int, dict[str, Any]], choice: dict[str, Any]) -> None:
    index, delta = choice["index"], choice["delta"]
    if index not in choices:
        assert delta["role"] == "assistant", "the role comes first"
        message = {"role": "assistant", "content": delta["content"], "refusal": None}
        choices[index] = {"index": index, "message": message, "logprobs": None, "finish_reason": None}
        return
    whole = choices[index]
    assert whole["finish_reason"] is None and "role" not in delta
    for name in ("content", "refusal", "reasoning_content"):
        if name in delta:
            whole["message"][name] = (whole["message"].get(name) or "") + delta[name]
    for name in {"extra_content", "thinking_blocks"} & delta.keys():
        assert name not in whole["message"], "it comes once: clients add strings and lists up"
        whole["message"][name] = delta[name]
    for call in delta.get("tool_calls", ()):
        calls = whole["message"].setdefault("tool_calls", [])
        if call["index"] == len(calls):
            calls.append({**call, "function": dict(call["function"])})
            del calls[-1]["index"]
        else:
            calls[call["index"]]["function"]["arguments"] += call["function"]["arguments"]
    whole["finish_reason"] = choice["finish_reason"]
