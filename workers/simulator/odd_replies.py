"""Answers that are sound and oddly written, as one provider or another of OpenAI's protocol writes them.

Those that Anthropic's can express are in `anthropic_odd`.

Each changes a chat completion in place; a stream of it is written anew, a tool call in one piece. What each is in the
wild: see workers.answers.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import orjson

from workers.simulator import anthropic_odd, google_odd
from workers.simulator.answers import pieces, tokens
from workers.simulator.messages import Protocol, SimulatedReply, event, json_reply, stream_reply

#: What the models think, in `reasoning` and its kin.
THOUGHTS = "Let me see. The question is short, so the answer can be."
#: Of the prompt, so many in ten tokens come from the provider's cache.
CACHED_TENTHS = 9

_DONE = b"data: [DONE]\n\n"
_WORDS = {"stop": "end_turn", "length": "MAX_TOKENS", "tool_calls": "STOP", "content_filter": "SAFETY"}


def reasoning(body: dict[str, Any], name: str = "reasoning_content") -> None:
    """Thoughts before the answer, counted among its tokens."""
    for choice in body["choices"]:
        choice["message"] = {"role": "assistant", name: THOUGHTS, **choice["message"]}
    if usage := body.get("usage"):
        thought = tokens(THOUGHTS) * len(body["choices"])
        usage["completion_tokens"] += thought
        usage["total_tokens"] += thought
        usage["completion_tokens_details"] = {"reasoning_tokens": thought}


def reasoning_renamed(body: dict[str, Any]) -> None:
    """The same under OpenRouter's, Groq's and newer vLLM's name."""
    reasoning(body, "reasoning")


def cached_usage(body: dict[str, Any]) -> None:
    """Most of the prompt was read from the cache."""
    if usage := body.get("usage"):
        usage["prompt_tokens_details"] = {"cached_tokens": usage["prompt_tokens"] * CACHED_TENTHS // 10}


def zero_usage(body: dict[str, Any]) -> None:
    """A usage of zeros, whatever was said."""
    body["usage"] = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


def odd_usage(body: dict[str, Any]) -> None:
    """Counts that are no numbers."""
    body["usage"] = {"prompt_tokens": -1, "completion_tokens": "many", "total_tokens": None}


def odd_finish(body: dict[str, Any]) -> None:
    """The end in others' words."""
    for choice in body["choices"]:
        choice["finish_reason"] = _WORDS[choice["finish_reason"]]


def content_parts(body: dict[str, Any]) -> None:
    """The content as a list of parts."""
    for choice in body["choices"]:
        if isinstance(text := choice["message"].get("content"), str):
            choice["message"]["content"] = [{"type": "text", "text": piece} for piece in pieces(text)]


def object_arguments(body: dict[str, Any]) -> None:
    """The arguments of tool calls as objects."""
    for call in _calls(body):
        call["function"]["arguments"] = orjson.loads(call["function"]["arguments"])


def no_arguments(body: dict[str, Any]) -> None:
    """Tool calls without arguments."""
    for call in _calls(body):
        call["function"]["arguments"] = None


def broken_arguments(body: dict[str, Any]) -> None:
    """Arguments that end before they are JSON."""
    for call in _calls(body):
        call["function"]["arguments"] = call["function"]["arguments"][:-1]


def same_index(body: dict[str, Any]) -> None:
    """Two tool calls, each with the index 0."""
    _twice(body)
    for call in _calls(body):
        call["index"] = 0


def no_ids(body: dict[str, Any]) -> None:
    """Two tool calls without ids, and without indexes."""
    _twice(body)
    for call in _calls(body):
        call["id"], call["index"] = "", None


def function_call(body: dict[str, Any]) -> None:
    """The older way of calling one function."""
    for choice in body["choices"]:
        if calls := choice["message"].pop("tool_calls", None):
            choice["message"]["function_call"] = calls[0]["function"]
            choice["finish_reason"] = "function_call"


def wrong_shape(body: dict[str, Any]) -> None:
    """Choices that are no answers."""
    body["choices"] = [{"index": 0, "message": "hello", "delta": "hello", "finish_reason": "stop"}]


def odd_lines(reply: SimulatedReply, protocol: Protocol) -> SimulatedReply:
    """A stream with a byte order mark, a comment, and CRLF at the end of its lines."""
    if reply.events is None:
        return reply
    lines = [b"\xef\xbb\xbf: welcome\r\n\r\n", *(data.replace(b"\n", b"\r\n") for data in reply.events)]
    return replace(reply, events=[data.replace(b"data: ", b"data:") for data in lines])


def other_form(reply: SimulatedReply, protocol: Protocol) -> SimulatedReply:
    """A stream where a whole answer was asked for, and a whole answer where a stream was."""
    if protocol == "anthropic":
        return anthropic_odd.other_form(reply)
    if protocol == "google":
        return google_odd.other_form(reply)
    body = _body(reply, protocol)
    if body is None:
        return reply
    return json_reply(body) if reply.events is not None else stream_reply(list(_events(body)))


#: What is changed in a chat completion.
CHANGES: dict[str, Callable[[dict[str, Any]], None]] = {
    change.__name__: change
    for change in (
        *(reasoning, reasoning_renamed, cached_usage, zero_usage, odd_usage, odd_finish, content_parts),
        *(object_arguments, no_arguments, broken_arguments, same_index, no_ids, function_call, wrong_shape),
    )
}


def changed(change: Callable[[dict[str, Any]], None]) -> Callable[[SimulatedReply, Protocol], SimulatedReply]:
    """The same of a reply, whole or streamed; one that is no chat completion of this protocol stays as it is."""

    def change_reply(reply: SimulatedReply, protocol: Protocol) -> SimulatedReply:
        if protocol == "anthropic":
            return anthropic_odd.changed(change.__name__, reply)
        if protocol == "google":
            return google_odd.changed(change.__name__, reply)
        if (body := _body(reply, protocol)) is None:
            return reply
        change(body)
        return replace(reply, events=list(_events(body))) if reply.events is not None else json_reply(body)

    return change_reply


def _calls(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for choice in body["choices"]:
        yield from choice["message"].get("tool_calls") or ()


def _twice(body: dict[str, Any]) -> None:
    """Each tool call twice."""
    for choice in body["choices"]:
        if calls := choice["message"].get("tool_calls"):
            again = [{**call, "id": f"{call['id']}_b", "function": dict(call["function"])} for call in calls]
            choice["message"]["tool_calls"] = [*calls, *again]


def _body(reply: SimulatedReply, protocol: Protocol) -> dict[str, Any] | None:
    """The chat completion that a reply is, put together from its chunks where it is streamed."""
    if reply.status != 200 or protocol not in ("openai", "google-openai"):
        return None
    if reply.events is None:
        body = orjson.loads(reply.body)
        return body if "choices" in body else None
    chunks = [orjson.loads(data.removeprefix(b"data: ")) for data in reply.events if data != _DONE]
    body = {**chunks[0], "object": "chat.completion", "usage": chunks[-1].get("usage")}
    choices: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        for given in chunk["choices"]:
            _add(choices.setdefault(given["index"], {"index": given["index"], "message": {}}), given)
    return body | {"choices": list(choices.values())}


def _add(choice: dict[str, Any], given: dict[str, Any]) -> None:
    choice["finish_reason"] = given["finish_reason"]
    message, delta = choice["message"], given["delta"]
    for name in ("role", "content", "refusal"):
        if name in delta:
            before = message.get(name)
            message[name] = delta[name] if before is None else before + delta[name]
    for call in delta.get("tool_calls", ()):
        if "id" in call:
            message.setdefault("tool_calls", []).append({key: call[key] for key in ("id", "type", "function")})
        else:
            message["tool_calls"][-1]["function"]["arguments"] += call["function"]["arguments"]


def _events(body: dict[str, Any]) -> Iterator[bytes]:
    head = {name: body[name] for name in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    for choice in body["choices"]:
        given = {"index": choice["index"], "finish_reason": None}
        for delta in _deltas(choice["message"]):
            yield event(head | {"choices": [given | {"delta": delta}]})
        yield event(head | {"choices": [given | {"delta": {}, "finish_reason": choice["finish_reason"]}]})
    if body.get("usage"):
        yield event(head | {"choices": [], "usage": body["usage"]})
    yield _DONE


def _deltas(message: Any) -> Iterator[Any]:
    if not isinstance(message, dict):
        yield message
        return
    yield {"role": "assistant", "content": ""}
    for name, said in message.items():
        if name == "tool_calls":
            for number, call in enumerate(said):
                yield {name: [{key: value for key, value in ({"index": number} | call).items() if value is not None}]}
        elif name == "function_call":
            yield {name: said}
        elif name != "role" and said:
            yield from ({name: piece} for piece in (pieces(said) if isinstance(said, str) else [said]))
