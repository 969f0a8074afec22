"""Streams as OpenAI's: each chunk an unnamed event, then `[DONE]`; dialects differ in what a chunk and an error say."""

from collections.abc import Callable
from typing import Any

import orjson

from producer.waiting.framing import BrokenStream, event


def _as_it_is(chunk: bytes) -> bytes:
    return chunk


class ChunkEvents:
    """A framing. `broken`: the data of the event that ends a stream without the rest. `dress`: a chunk, as JSON."""

    media_type = "text/event-stream"
    keeps_thoughts = False

    def __init__(self, broken: Callable[[BrokenStream], Any], dress: Callable[[bytes], bytes] = _as_it_is) -> None:
        self._broken = broken
        self._dress = dress

    def chunk(self, chunk: bytes, event_id: str | None) -> bytes:
        """One event."""
        return event(self._dress(chunk), id=event_id)

    def end(self) -> bytes:
        """What OpenAI's SDKs wait for."""
        return b"data: [DONE]\n\n"

    def error(self, fault: BrokenStream) -> bytes:
        """An event too."""
        return event(orjson.dumps(self._broken(fault)))

    def comment(self) -> bytes:
        """One newline: a blank line ends an event, and some readers would be handed an empty one."""
        return b": keep-alive\n"
