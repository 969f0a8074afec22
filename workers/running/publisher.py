"""Publishes streamed answers to Redis: the chunks of all of this process's calls, in one pipeline a turn.

Redis is never waited for by a call, and nothing is lost with it: whoever reads is served from the stored result. What
could not be sent is sent again (the entries' ids make that harmless) until the answer has ended. While a pipeline is
under way, further text of an answer joins what of it already waits, so a slow Redis gets fewer and longer chunks.
"""

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import redis.asyncio as redis

from shared import clock, logs, redis_clients
from shared.answers import streams
from shared.stopping import stop
from workers.running.partial_answer import SentAnswer

log = logging.getLogger(__name__)

#: How long the entries live: of an answer in the making since the last of them, and once it is stored.
LIVE_SECONDS = 3600
ENDED_SECONDS = 120
#: Entries of one stream; a reader who finds the oldest gone waits for the stored result.
MOST_ENTRIES = 20_000
#: What of a delta is text, to which more can be joined.
_TEXTS = frozenset({"content", "refusal", "reasoning_content"})
#: Commands in one pipeline, and how long it may take, in seconds.
MOST_COMMANDS = 2000
DEADLINE_SECONDS = 2.0
#: After a failed pipeline.
PAUSE_SECONDS = 0.5

ChoicePart = Mapping[str, Any]
#: A key, and the words of one command after it.
_Command = tuple[str, tuple[Any, ...]]


@dataclass(slots=True)
class StreamSink:
    """Where one call's chunks go. `began`: something visible has been sent, after which there is no other attempt."""

    publisher: "Publisher"
    job_id: str
    epoch: int
    #: The model that the chunks name, where that is not the one that is called; empty: it is.
    model: str = ""
    began: bool = False
    ended: bool = False
    #: When the first content came, by the monotonic clock.
    first_at: float | None = None
    gathered: SentAnswer = field(default_factory=SentAnswer)
    _head: Mapping[str, Any] = field(default_factory=dict)
    _count: int = 0
    _waiting: list[dict[str, Any]] = field(default_factory=list)

    def send(self, head: Mapping[str, Any], choices: Sequence[ChoicePart]) -> None:
        """Send the choices of a chunk; `head` has the answer's id, created and model."""
        self.began = True
        if self.first_at is None:
            self.first_at = clock.monotonic()
        head = {**head, "model": self.model} if self.model else head
        self._head = head
        self.gathered.take(head, choices)
        for choice in choices:
            if not (self._waiting and _joined(self._waiting[-1], choice)):
                self._waiting.append({**choice, "delta": dict(choice["delta"])})
        self.publisher.notify(self)

    def end(self) -> None:
        """The call is over: what it sent is kept a little longer for those who still read."""
        self.ended = True
        if self.began:
            self.publisher.notify(self)

    def commands(self) -> list[_Command]:
        """What waits, as commands."""
        key, made = streams.key(self.job_id), list[_Command]()
        for choice in self._waiting:
            self._count += 1
            data = orjson.dumps(streams.chunk(self._head, [choice]))
            id = f"{self.epoch}-{self._count}"
            made.append((key, ("XADD", key, "MAXLEN", "~", MOST_ENTRIES, id, streams.FIELD, data)))
        self._waiting.clear()
        made.append((key, ("EXPIRE", key, ENDED_SECONDS if self.ended else LIVE_SECONDS)))
        return made


@dataclass(slots=True)
class HeldSink:
    """A sink that gives on nothing before the answer is whole: until then another provider's may take its place."""

    sink: StreamSink
    first_at: float | None = None
    _kept: list[tuple[Mapping[str, Any], Sequence[ChoicePart]]] = field(default_factory=list)

    @property
    def began(self) -> bool:
        return self.sink.began

    def send(self, head: Mapping[str, Any], choices: Sequence[ChoicePart]) -> None:
        """Keep the choices of a chunk."""
        if self.first_at is None:
            self.first_at = clock.monotonic()
        self._kept.append((head, choices))

    def release(self) -> None:
        """The answer is whole: send it."""
        for head, choices in self._kept:
            self.sink.send(head, choices)
        self._kept.clear()


class UnreadSink:
    """A sink of a stream that nobody reads as it comes."""

    began = False
    first_at: float | None = None

    def send(self, head: Mapping[str, Any], choices: Sequence[ChoicePart]) -> None:
        """Note when the first content came: the whole is what is wanted."""
        if self.first_at is None:
            self.first_at = clock.monotonic()


class Publisher:
    """Publishes what this process's calls say to Redis; made and used on its event loop."""

    def __init__(self, url: str) -> None:
        self._redis = redis_clients.connect(url, DEADLINE_SECONDS)
        self._sinks: dict[tuple[str, int], StreamSink] = {}
        self._unsent: list[_Command] = []
        self._wake = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    def open(self, job_id: str, epoch: int) -> StreamSink:
        """The sink of one job's call."""
        return StreamSink(self, job_id, epoch)

    def notify(self, sink: StreamSink) -> None:
        """A sink has something to send."""
        self._sinks[sink.job_id, sink.epoch] = sink
        self._wake.set()

    async def close(self) -> None:
        """Send what waits, if Redis takes it at once, and hang up."""
        await stop(self._task)
        if self._sinks or self._unsent:
            await self._flush()
        await self._redis.aclose()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(0)  # whatever else this turn of the loop brings goes along
            self._wake.clear()
            try:
                sent = await self._flush()
            except Exception as error:  # whatever it is, it is these chunks' end and not that of those to come
                log.error("%d stream commands were dropped: %s", len(self._unsent), logs.trace(error))
                self._unsent.clear()
                sent = True
            if not sent:
                await asyncio.sleep(PAUSE_SECONDS)
                self._wake.set()
            elif self._unsent or self._sinks:
                self._wake.set()

    async def _flush(self) -> bool:
        """One pipeline; False when Redis did not take it."""
        while self._sinks and len(self._unsent) < MOST_COMMANDS:
            self._unsent += self._sinks.pop(next(iter(self._sinks))).commands()
        sending = self._unsent[:MOST_COMMANDS]
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await self._send(sending)
        except (redis.RedisError, OSError) as error:
            log.warning("stream chunks of %d answers wait for Redis: %s", len(self._sinks), type(error).__name__)
            self._sinks = {place: sink for place, sink in self._sinks.items() if not sink.ended}
            return False
        del self._unsent[: len(sending)]
        return True

    async def _send(self, commands: Sequence[_Command]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for _, words in commands:
            pipeline.execute_command(*words)
        changed = sorted({key.rpartition(":")[2] for key, _ in commands})
        pipeline.publish(streams.NEW_ENTRIES, json.dumps(changed))
        # An entry that is refused is one sent before, or a stale worker's: neither is a fault.
        await pipeline.execute(raise_on_error=False)


def _joined(last: dict[str, Any], choice: ChoicePart) -> bool:
    """Join a piece of text to the one before it, when they are of the same kind and choice."""
    if last["index"] != choice["index"] or last["finish_reason"] or choice["finish_reason"]:
        return False
    if last["logprobs"] or choice["logprobs"]:
        return False
    names, delta = last["delta"], choice["delta"]
    if names.keys() != delta.keys() or len(delta) != 1 or not names.keys() <= _TEXTS:
        return False
    for name, text in delta.items():
        names[name] += text
    return True
