"""A chat completion's chunks as the typed events of a streamed message.

Source: platform.claude.com/docs/en/build-with-claude/streaming: `message_start`, then each block's start, deltas and
stop, then `message_delta` with the stop reason and the usage, which is cumulative, then `message_stop`; `ping` at any
time. What was asked has been counted only at the end, so `message_start` says 0 and `message_delta` says all.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from producer.dialects.messages import manners
from producer.web.dialect import BrokenStream, event
from shared.answers.beside import BESIDE, IMAGES, NATIVE, REDACTED, SIGNATURE, SIGNED, STOPPED_AT
from shared.dialects.messages import answers, seals

_PING = event(b'{"type":"ping"}', name="ping")


class MessageEvents:
    """The framing of one stream."""

    media_type = "text/event-stream"
    keeps_thoughts = True

    def __init__(self) -> None:
        self._begun = False
        #: The block that is open, by its type, or the number of its tool call.
        self._open: str | int | None = None
        self._index = -1
        #: Blocks of tool calls, by the number of the call.
        self._calls: dict[int, int] = {}
        self._finish: str | None = None
        self._refusal = ""
        #: What proved the last thought.
        self._proof = ""
        self._stopped_at: str | None = None
        self._usage: Mapping[str, Any] = {}

    def chunk(self, chunk: bytes, event_id: str | None) -> bytes:
        """The events of one chunk, perhaps none; `event_id` stands at the last."""
        made = orjson.loads(chunk)
        self._usage = made.get("usage") or self._usage
        events = list(self._events(made))
        ids = [None] * (len(events) - 1) + [event_id]
        return b"".join(_event(one, id) for one, id in zip(events, ids, strict=False))

    def end(self) -> bytes:
        """Why it ended, what it used, and the last event."""
        ending = {
            "type": "message_delta",
            "delta": answers.end(self._finish, self._refusal or None, self._stopped_at),
            "usage": answers.used(self._usage),
        }
        return b"".join(map(_event, [*self._close(), ending, {"type": "message_stop"}]))

    def error(self, fault: BrokenStream) -> bytes:
        """An event of its own."""
        return event(orjson.dumps(manners.broken(fault)), name="error")

    def comment(self) -> bytes:
        """A ping, which readers pass over."""
        return _PING

    def _events(self, chunk: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        if not self._begun:
            self._begun = True
            yield {"type": "message_start", "message": _empty(chunk)}
        for choice in chunk["choices"]:
            yield from self._delta(choice["delta"])
            if choice["delta"].get(IMAGES):
                yield from [*self._close(), *self._say("text", answers.pictured(chunk), {"text": ""})]
            if choice.get("finish_reason"):
                self._finish = choice.get(NATIVE) or choice["finish_reason"]
                self._stopped_at = choice.get(STOPPED_AT)
                yield from self._late(choice["delta"].get(SIGNED) or ())

    def _delta(self, delta: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        if thought := delta.get("reasoning_content"):
            yield from self._say("thinking", thought, {"thinking": "", "signature": ""})
        if proof := delta.get(SIGNATURE):
            yield from self._sign(proof)
        if secret := delta.get(REDACTED):
            yield from self._hide(secret)
        if text := delta.get("content"):
            yield from self._say("text", text, {"text": ""})
        self._refusal += delta.get("refusal") or ""
        for call in delta.get("tool_calls") or ():
            yield from self._call(call)

    def _say(self, kind: str, text: str, empty: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        if self._open != kind:
            yield from self._start(kind, {"type": kind, **empty})
        yield _delta(self._index, {"type": f"{kind}_delta", kind: text})

    def _call(self, call: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """A call's beginning, or a piece of its arguments."""
        number, function = call["index"], call["function"]
        if number not in self._calls:
            yield from self._seal(call)
            block = {"type": "tool_use", "id": call["id"], "name": function["name"], "input": {}}
            yield from self._start(number, block)
            self._calls[number] = self._index
        if piece := function.get("arguments"):
            yield _delta(self._calls[number], {"type": "input_json_delta", "partial_json": piece})

    def _late(self, blocks: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        """Of workers that sign thoughts at the end alone: the signature of the only one, if it is still open."""
        if self._open == "thinking" and len(blocks) == 1 and blocks[0].get("signature"):
            yield from self._sign(blocks[0]["signature"])

    def _sign(self, proof: str) -> Iterator[dict[str, Any]]:
        """The signature of a thought, which ends it; the text of the thought may be empty."""
        if proof == self._proof:
            return
        if self._open != "thinking":
            yield from self._start("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        self._proof = proof
        yield _delta(self._index, {"type": "signature_delta", "signature": proof})
        yield from self._close()

    def _seal(self, given: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """What the provider wants back with a call, before it."""
        if beside := given.get(BESIDE):
            yield from self._start("redacted_thinking", seals.sealed(beside))
            yield from self._close()

    def _hide(self, secret: str) -> Iterator[dict[str, Any]]:
        """A thought that is kept secret."""
        if secret != self._proof:
            self._proof = secret
            yield from self._start("redacted_thinking", {"type": "redacted_thinking", "data": secret})
            yield from self._close()

    def _start(self, kind: str | int, block: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield from self._close()
        self._index += 1
        self._open = kind
        yield {"type": "content_block_start", "index": self._index, "content_block": block}

    def _close(self) -> Iterator[dict[str, Any]]:
        if self._open is not None:
            yield {"type": "content_block_stop", "index": self._index}
            self._open = None


def _empty(chunk: Mapping[str, Any]) -> dict[str, Any]:
    return {**answers.head(chunk), "content": [], **answers.end(None, None), "usage": answers.used({})}


def _delta(index: int, delta: dict[str, Any]) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": delta}


def _event(made: Mapping[str, Any], id: str | None = None) -> bytes:
    return event(orjson.dumps(made), name=made["type"], id=id)
