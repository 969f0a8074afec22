"""Gemini's sound and odd answers, by the names of `odd_replies.CHANGES`: each changes a response in place.

A stream is put together, changed, and written anew, a part in each chunk. A change that this protocol cannot express
(`object_arguments`, `function_call`) changes nothing.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import orjson

from workers.simulator.answers import pieces, tokens
from workers.simulator.messages import SimulatedReply, event, json_reply, stream_reply

THOUGHTS = "Let me see. The question is short, so the answer can be."
CACHED_TENTHS = 9


def reasoning(body: dict[str, Any]) -> None:
    """Thoughts before the answer, counted beside it."""
    for candidate in body["candidates"]:
        _parts(candidate).insert(0, {"text": THOUGHTS, "thought": True})
    if usage := body.get("usageMetadata"):
        thought = tokens(THOUGHTS) * len(body["candidates"])
        usage["thoughtsTokenCount"] = usage.get("thoughtsTokenCount", 0) + thought
        usage["totalTokenCount"] += thought


def cached_usage(body: dict[str, Any]) -> None:
    """Most of the prompt was read from the cache."""
    if usage := body.get("usageMetadata"):
        usage["cachedContentTokenCount"] = usage["promptTokenCount"] * CACHED_TENTHS // 10


def zero_usage(body: dict[str, Any]) -> None:
    """A usage of zeros: they are left out."""
    body["usageMetadata"] = {"totalTokenCount": 0}


def odd_usage(body: dict[str, Any]) -> None:
    """Counts that are no numbers."""
    body["usageMetadata"] = {"promptTokenCount": -1, "candidatesTokenCount": "many", "totalTokenCount": None}


def odd_finish(body: dict[str, Any]) -> None:
    """An end for a reason that is not known."""
    for candidate in body["candidates"]:
        if candidate.get("finishReason") == "STOP":
            candidate["finishReason"] = "OTHER"


def content_parts(body: dict[str, Any]) -> None:
    """The text in many parts."""
    for candidate in body["candidates"]:
        content = candidate.setdefault("content", {"role": "model"})
        content["parts"] = [one for part in _parts(candidate) for one in _split(part)]


def no_arguments(body: dict[str, Any]) -> None:
    """Calls without arguments."""
    for call in _calls(body):
        call.pop("args", None)


def broken_arguments(body: dict[str, Any]) -> None:
    """A call that came to nothing."""
    for candidate in body["candidates"]:
        if any("functionCall" in part for part in _parts(candidate)):
            candidate.pop("content")
            candidate["finishReason"] = "MALFORMED_FUNCTION_CALL"


def no_ids(body: dict[str, Any]) -> None:
    """Each call twice, without ids."""
    for candidate in body["candidates"]:
        calls = [part for part in _parts(candidate) if "functionCall" in part]
        _parts(candidate).extend({"functionCall": dict(part["functionCall"])} for part in calls)
    for call in _calls(body):
        call.pop("id", None)


def wrong_shape(body: dict[str, Any]) -> None:
    """Candidates that are no answers."""
    body["candidates"] = [{"index": 0, "content": "hello", "finishReason": "STOP"}]


CHANGES: dict[str, Callable[[dict[str, Any]], None]] = {
    change.__name__: change
    for change in (
        *(reasoning, cached_usage, zero_usage, odd_usage, odd_finish, content_parts, no_arguments),
        *(broken_arguments, no_ids, wrong_shape),
    )
} | {"reasoning_renamed": reasoning, "same_index": no_ids}


def changed(name: str, reply: SimulatedReply) -> SimulatedReply:
    """A reply with that change; one that is no answer of a model stays as it is."""
    change, body = CHANGES.get(name), whole(reply)
    if change is None or body is None:
        return reply
    change(body)
    return replace(reply, events=list(_events(body))) if reply.events is not None else json_reply(body)


def other_form(reply: SimulatedReply) -> SimulatedReply:
    """A stream where a whole answer was asked for, and a whole answer where a stream was."""
    body = whole(reply)
    if body is None:
        return reply
    return json_reply(body) if reply.events is not None else stream_reply(list(_events(body)))


def whole(reply: SimulatedReply) -> dict[str, Any] | None:
    """The response that a reply is, put together from its chunks where it is streamed."""
    if reply.status != 200:
        return None
    if reply.events is None:
        body = orjson.loads(reply.body)
        return body if isinstance(body, dict) and "candidates" in body else None
    chunks = [orjson.loads(data.removeprefix(b"data: ")) for data in reply.events]
    found: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        for given in chunk.get("candidates", ()):
            one = found.setdefault(given["index"], {"index": given["index"]})
            parts = _parts(one) + _parts(given)
            one.update(given)
            if parts:
                one["content"] = {"role": "model", "parts": parts}
    return {**chunks[-1], "candidates": list(found.values())} if found else None


def _parts(candidate: dict[str, Any]) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = candidate.get("content", {}).get("parts", [])
    return parts


def _calls(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for candidate in body["candidates"]:
        yield from (part["functionCall"] for part in _parts(candidate) if "functionCall" in part)


def _split(part: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**part, "text": piece} for piece in pieces(part["text"])] if "text" in part else [part]


def _events(body: dict[str, Any]) -> Iterator[bytes]:
    for candidate in body["candidates"]:
        content = candidate.get("content")
        if not isinstance(content, dict):
            yield event({**body, "candidates": [candidate]})
            continue
        head = {"index": candidate["index"]}
        for part in content.get("parts", ()):
            for one in _split(part):
                yield event({**body, "candidates": [{**head, "content": {"role": "model", "parts": [one]}}]})
        yield event({**body, "candidates": [{**head, "finishReason": candidate.get("finishReason")}]})
