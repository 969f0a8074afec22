"""The odd answers of `odd_replies` in Anthropic's Messages, those that this protocol can express."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson

from workers.simulator.anthropic_events import events
from workers.simulator.messages import SimulatedReply, event, json_reply, stream_reply

Body = dict[str, Any]

#: Of the prompt, so many in ten tokens come from the provider's cache.
CACHED_TENTHS = 9


def cached_usage(body: Body) -> None:
    """Most of the prompt was read from the cache."""
    if usage := body.get("usage"):
        read = usage["input_tokens"] * CACHED_TENTHS // 10
        usage |= {"input_tokens": usage["input_tokens"] - read, "cache_read_input_tokens": read}


def zero_usage(body: Body) -> None:
    """A usage of zeros, whatever was said."""
    body["usage"] = {"input_tokens": 0, "output_tokens": 0}


def odd_usage(body: Body) -> None:
    """Counts that are no numbers."""
    body["usage"] = {"input_tokens": -1, "output_tokens": "many", "cache_creation": [], "service_tier": 7}


def odd_finish(body: Body) -> None:
    """An end in a word of tomorrow."""
    body["stop_reason"] = "done_for_today"


def no_arguments(body: Body) -> None:
    """Tool calls without arguments."""
    for block in body["content"]:
        if block["type"] == "tool_use":
            block["input"] = {}


def wrong_shape(body: Body) -> None:
    """Blocks that are no answers."""
    body["content"] = [{"type": "text", "text": {"hello": 1}}]


CHANGES: dict[str, Callable[[Body], None]] = {
    change.__name__: change for change in (cached_usage, zero_usage, odd_usage, odd_finish, no_arguments, wrong_shape)
}


def changed(name: str, reply: SimulatedReply) -> SimulatedReply:
    """A reply with the change of that name; one that is no message, or a change that is none here, leaves it."""
    body = message(reply)
    if body is None or (change := CHANGES.get(name)) is None:
        return reply
    change(body)
    return json_reply(body) if reply.events is None else replace(reply, events=_written(body))


def other_form(reply: SimulatedReply) -> SimulatedReply:
    """A stream where a whole answer was asked for, and a whole answer where a stream was."""
    body = message(reply)
    if body is None:
        return reply
    return json_reply(body) if reply.events is not None else stream_reply(_written(body))


def message(reply: SimulatedReply) -> Body | None:
    """The message that a reply is, put together from its events where it is streamed."""
    if reply.status != 200:
        return None
    if reply.events is None:
        body: Body = orjson.loads(reply.body)
        return body if body.get("type") == "message" else None
    told = [orjson.loads(data.partition(b"data: ")[2]) for data in reply.events]
    if told[0]["type"] != "message_start":
        return None
    made: Body = told[0]["message"]
    for one in told:
        _add(made, one)
    for block in made["content"]:
        if "json" in block:
            block["input"] = _whole(block.pop("json"))
    return made


def _add(made: Body, told: Body) -> None:
    if told["type"] == "content_block_start":
        made["content"].append(dict(told["content_block"]))
    elif told["type"] == "content_block_delta":
        block, (kind, piece) = made["content"][told["index"]], list(told["delta"].items())[1]
        name = {"partial_json": "json"}.get(kind, kind)
        block[name] = block.get(name, "") + piece
    elif told["type"] == "message_delta":
        made |= told["delta"]
        if "usage" in told:
            made["usage"] = made.get("usage", {}) | told["usage"]


def _whole(text: str) -> Any:
    """Arguments; those that were cut short are none."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}


def _written(body: Body) -> list[bytes]:
    called: Body = next((block for block in body["content"] if block["type"] == "tool_use"), {"input": {}})
    arguments = orjson.dumps(called["input"]).decode()
    return [event(one, one["type"]) for one in events(body, arguments)]
