"""Publishes streamed answers to Redis: the chunks of all of this process's calls, in one command a turn.

Redis is never waited for by a call, and nothing is lost with it: whoever reads is served from the stored result. What
could not be sent is sent again (the entries' ids make that harmless) until the answer has ended. While a command is
under way, further text of an answer joins what of it already waits, so a slow Redis gets fewer and longer chunks. The
same while many answers are in the making: then chunks are gathered for some milliseconds, each answer's first at once.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
import redis

from shared import clock, logs
from shared.answers import streams
from shared.redis_pipe import RedisPipe
from shared.stopping import stop
from workers.running.partial_answer import SentAnswer
from workers.running.stream_script import APPEND, Addition, arguments

log = logging.getLogger(__name__)

#: How long the entries live: of an answer in the making since the last of them, and once it is stored.
LIVE_SECONDS = 3600
ENDED_SECONDS = 120
#: Entries of one stream; a reader who finds the oldest gone waits for the stored result.
MOST_ENTRIES = 20_000
#: What of a delta is text, to which more can be joined.
_TEXTS = frozenset({"content", "refusal", "reasoning_content"})
#: Answers in one command, and how long it may take, in seconds.
MOST_ANSWERS = 1000
#: Chunks in one command: Redis does nothing else meanwhile, and takes no more than 2^20 words.
MOST_CHUNKS = 2000
DEADLINE_SECONDS = 2.0
#: After a command that failed.
PAUSE_SECONDS = 0.5
#: Answers in the making at once from which on their chunks are gathered, for how long for each of them, and for how
#: long at most, in seconds: 400 answers and more make 25 commands a second, of whatever each has said meanwhile.
GATHERED_FROM: Final = 50
GATHERING_SECONDS, MOST_GATHERING_SECONDS = 100e-6, 0.040

ChoicePart = Mapping[str, Any]


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
        told = bool(self._waiting)
        for choice in choices:
            if not (self._waiting and _joined(self._waiting[-1], choice)):
                self._waiting.append({**choice, "delta": dict(choice["delta"])})
        if not told:
            self.publisher.notify(self)

    def end(self) -> None:
        """The call is over: what it sent is kept a little longer for those who still read."""
        self.ended = True
        if self.began:
            self.publisher.notify(self)

    @property
    def begins(self) -> bool:
        """Nothing of it is in Redis yet."""
        return self._count == 0

    @property
    def waits(self) -> bool:
        """Some of it has not been taken yet."""
        return bool(self._waiting)

    def addition(self, most: int) -> Addition:
        """What waits, of so many chunks at most."""
        words: list[str | bytes] = []
        for choice in self._waiting[:most]:
            self._count += 1
            words += (f"{self.epoch}-{self._count}", orjson.dumps(streams.chunk(self._head, [choice])))
        del self._waiting[:most]
        return Addition(self.job_id, ENDED_SECONDS if self.ended else LIVE_SECONDS, words)


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
        self._redis = RedisPipe(url, DEADLINE_SECONDS)
        self._append = self._redis.script(APPEND)
        self._sinks: dict[tuple[str, int], StreamSink] = {}
        #: Answers that have begun and not ended.
        self._live: set[tuple[str, int]] = set()
        self._unsent: list[Addition] = []
        self._wake, self._urgent = asyncio.Event(), asyncio.Event()
        self._sent_at = float("-inf")
        self._task = asyncio.create_task(self._run())

    def open(self, job_id: str, epoch: int) -> StreamSink:
        """The sink of one job's call."""
        return StreamSink(self, job_id, epoch)

    def notify(self, sink: StreamSink) -> None:
        """A sink has something to send."""
        place = sink.job_id, sink.epoch
        self._sinks[place] = sink
        if sink.begins:
            self._live.add(place)
            self._urgent.set()
        if sink.ended:
            self._live.discard(place)
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
            await self._gather()
            self._wake.clear()
            self._urgent.clear()
            try:
                sent = await self._flush()
            except Exception as error:  # whatever it is, it is these chunks' end and not that of those to come
                log.error("chunks of %d answers were dropped: %s", len(self._unsent), logs.trace(error))
                self._unsent.clear()
                sent = True
            if not sent:
                await asyncio.sleep(PAUSE_SECONDS)
                self._wake.set()
            elif self._unsent or self._sinks:
                self._wake.set()

    async def _gather(self) -> None:
        """Wait for what else comes, as long as it pays, unless an answer begins."""
        left = self._sent_at + gathering_seconds(len(self._live)) - clock.monotonic()
        if left > 0:
            timer = asyncio.get_running_loop().call_later(left, self._urgent.set)
            await self._urgent.wait()
            timer.cancel()
        self._sent_at = clock.monotonic()

    async def _flush(self) -> bool:
        """One command; False when Redis did not take it."""
        room = MOST_CHUNKS - sum(one.entries for one in self._unsent)
        while self._sinks and room > 0 and len(self._unsent) < MOST_ANSWERS:
            place = next(iter(self._sinks))
            sink = self._sinks.pop(place)
            self._unsent.append(sink.addition(room))
            room -= self._unsent[-1].entries
            if sink.waits:
                self._sinks[place] = sink
        sending = self._unsent[:]
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await self._send(sending)
        except (redis.RedisError, OSError) as error:
            log.warning("stream chunks of %d answers wait for Redis: %s", len(self._sinks), type(error).__name__)
            self._sinks = {place: sink for place, sink in self._sinks.items() if not sink.ended}
            return False
        del self._unsent[: len(sending)]
        return True

    async def _send(self, additions: Sequence[Addition]) -> None:
        changed = sorted({one.job_id for one in additions})
        keys, words = arguments(additions, orjson.dumps(changed), MOST_ENTRIES)
        await self._append(keys=keys, args=words)


def gathering_seconds(answers: int) -> float:
    """For how long the chunks of so many answers in the making are gathered.

    >>> gathering_seconds(49), gathering_seconds(250), gathering_seconds(5000)
    (0.0, 0.025, 0.04)
    """
    return min(answers * GATHERING_SECONDS, MOST_GATHERING_SECONDS) if answers >= GATHERED_FROM else 0.0


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
