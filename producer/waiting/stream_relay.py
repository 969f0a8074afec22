"""One reader's stream of a job: what to send, when, and how it ends."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson

from producer.waiting.framing import BrokenStream, Framing
from producer.waiting.stream_readers import OpenStream, Readers
from producer.waiting.stream_starts import StreamLimits, about, broken_off, check_resumed, standing
from producer.waiting.thinking_framing import ThinkingFraming
from producer.waiting.waiters import JobState, JobStates, Waiters
from shared import clock, logs
from shared.answers import streams
from shared.answers.streams import FROM_RESULT, EventId, StreamProgress
from shared.db import Database, is_away
from shared.errors import FusionError, InternalError, Timeout, Unavailable
from shared.jobs.outcomes import TERMINAL
from shared.key_holders import KeyHolder
from shared.objects.addresses import job_url, stream_url
from shared.settings import settings
from shared.submissions import answer_options

T = TypeVar("T")
log = logging.getLogger(__name__)

#: How much longer than the worker's own limit a stream may last here, for its end to be stored and read; as long may
#: its last bytes take to leave. In seconds.
LEAVE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Sources:
    """What streams are made from: the rows, who waits for their ends, and the entries in Redis."""

    database: Database
    waiters: Waiters
    states: JobStates
    readers: Readers


class StreamRelay:
    """One client's stream; an error event in it names its request."""

    request_id = ""

    def __init__(
        self, sources: Sources, job_id: str, *, include_usage: bool, limits: StreamLimits, ids: bool, framing: Framing
    ) -> None:
        self.limits = limits
        self._sources = sources
        self._readers = sources.readers
        self._job_id = job_id
        self._include_usage = include_usage
        self._ids = ids
        self.framing: Framing = framing
        self._reader: OpenStream | None = None
        self._progress = StreamProgress()
        #: Epoch and count of the last event that was sent.
        self._at: tuple[int, int] | None = None
        self._since = clock.monotonic()
        #: How long we may last now: to the first event, then to the last.
        self._limit = limits.first
        #: The head has been sent; an event has been sent.
        self._begun = self._spoke = False
        self._wake = asyncio.Event()
        self._timer: asyncio.Handle | None = None
        #: When the pause is over, and when the timer rings; uvloop's, of less than half a millisecond, do not say when.
        self._due, self._rings_at = 0.0, float("inf")
        self._watch()

    async def begin(self, holder: KeyHolder, after: EventId | None) -> None:
        """Until there is something to send, or the time to begin has come; raises what may come instead."""
        status, epoch, options = await self._sources.database.read(standing, holder, self._job_id)
        if after is not None:
            check_resumed(self._job_id, after, status, epoch)
            self._progress = after.progress
            self._at = after.epoch, after.count
        if answer_options.wants_thinking(options):
            self.framing = ThinkingFraming(self.framing, self._progress)
        if status in TERMINAL:
            self._ended.cancel()
        else:
            self._open(after, epoch if status == "running" else epoch + 1)
        while not (self._reader and self._reader.entries):
            self._wake.clear()
            if (outcome := await self._end()) is not None:
                if outcome.response is None:
                    raise outcome.refusal()
                break
            self._check()
            if (left := self.limits.begin - self._lasted()) <= 0:
                break
            await self._pause(min(left, self._limit - self._lasted()))

    def close(self) -> None:
        """Read no longer; the job runs on."""
        if self._timer is not None:
            self._timer.cancel()
        self._sources.waiters.unregister(self._job_id, self._ended)
        if self._reader is not None:
            self._readers.close(self._reader)

    async def frames(self) -> AsyncIterator[bytes]:
        """The whole body; what has come together is sent together, frame after frame."""
        try:
            async for frame in self._frames():
                yield frame
        except FusionError as error:
            yield self._error(error)
        except Exception as error:
            log.error("the stream of job %s failed: %s", self._job_id, logs.trace(error))
            yield self._error(InternalError("internal server error; the job continues"))

    async def _frames(self) -> AsyncIterator[bytes]:
        self._begun = True
        said_at = float("-inf")
        while True:
            self._wake.clear()
            if taken := b"".join(self._taken()):
                yield taken
                said_at = clock.monotonic()
            if (outcome := await self._end()) is not None:
                for frame in await self._closing(outcome):
                    yield frame
                return
            silence = clock.monotonic() - said_at
            if silence >= self.limits.comment:
                yield self.framing.comment()
                said_at, silence = clock.monotonic(), 0.0
            self._check()
            await self._pause(min(self.limits.comment - silence, self._limit - self._lasted()))

    def _check(self) -> None:
        """Whether the stream may last longer."""
        if self._sources.waiters.released:
            said = f"the server is shutting down; job {self._job_id} continues"
            raise about(self._job_id, Unavailable(f"{said}; {self._how}"))
        if self._lasted() >= self._limit and not self._spoke:
            said = f"job {self._job_id} has produced no output within {self._limit:.0f} s and continues"
            raise about(self._job_id, Timeout(f"{said}; get it at {job_url(self._job_id)}, or {self._how}"))
        if self._lasted() >= self._limit:
            raise about(self._job_id, Timeout(f"the stream has reached its maximum duration; {self._how}"))

    @property
    def _how(self) -> str:
        """How to have what is missing."""
        if not self._spoke:
            return f"read the stream at GET {self._path}" + (" with the same Last-Event-ID" if self._at else "")
        return f"resume the stream at GET {self._path} with the last_event_id of this error as Last-Event-ID"

    @property
    def _path(self) -> str:
        return stream_url(self._job_id)

    def _lasted(self) -> float:
        return clock.monotonic() - self._since

    def _watch(self) -> None:
        self._ended = self._sources.waiters.register(self._job_id)
        self._ended.add_done_callback(lambda _: self._wake.set())

    def _open(self, after: EventId | None, epoch: int) -> None:
        at, count = (epoch, 0) if after is None else (after.epoch, after.count)
        self._reader = OpenStream(self._job_id, epoch=at, count=count, began=after is not None)
        self._reader.fresh = self._wake
        self._readers.open(self._reader)

    async def _pause(self, seconds: float) -> None:
        """Until there is news, or so many seconds are over.

        One timer, which is moved when it rings too early: each event of a stream moves the time by which it would.
        """
        loop = asyncio.get_running_loop()
        self._due = loop.time() + max(seconds, 0.0)
        if self._due < self._rings_at:
            if self._timer is not None:
                self._timer.cancel()
            self._rings_at, self._timer = self._due, loop.call_at(self._due, self._ring)
        await self._wake.wait()

    def _ring(self) -> None:
        loop = asyncio.get_running_loop()
        early = loop.time() < self._due
        self._rings_at = self._due if early else float("inf")
        self._timer = loop.call_at(self._due, self._ring) if early else None
        if not early:
            self._wake.set()

    def _taken(self) -> Iterator[bytes]:
        """What has come from Redis, as frames."""
        if self._reader is None:
            return
        while self._reader.entries:
            count, data = self._reader.entries.popleft()
            yield self._frame(self._reader.epoch, count, data)
        if self._reader.more:
            self._readers.want(self._reader)

    def _frame(self, epoch: int, count: int, data: bytes) -> bytes:
        self._progress.advance(orjson.loads(data).get("choices") or ())
        self._at = epoch, count
        if not self._spoke:  # the worker's own limit began earlier, and ends the job before this one ends the stream
            self._spoke = True
            self._limit = self._lasted() + settings().stream_seconds + LEAVE_SECONDS
        if self._include_usage:
            data = data[:-1] + b',"usage":null}'
        return self.framing.chunk(data, self._event_id() if self._ids else None)

    def _event_id(self) -> str:
        """Of the last event that was sent."""
        assert self._at is not None
        return str(EventId(self._job_id, *self._at, self._progress))

    async def _end(self) -> JobState | None:
        """How the job has ended, if it has; an error when it has left the worker whose answer this was."""
        if self._ended.done() and (outcome := await self._is_over()):
            return outcome
        if self._reader is not None and self._reader.superseded:
            outcome = await self._asked(self._sources.states)
            if not outcome.over:
                raise broken_off(self._job_id)
            return outcome
        return None

    async def _is_over(self) -> JobState | None:
        """The outcome; or None, when a hint came too early, and the end is still to be waited for."""
        outcome = await self._asked(self._sources.states)
        if outcome.over:
            return outcome
        self._sources.waiters.unregister(self._job_id, self._ended)
        self._watch()
        return None

    async def _asked(self, ask: Callable[[str], Awaitable[T]]) -> T:
        """What the rows say of the job; a database that is away is asked again while there is time."""
        while True:
            try:
                return await ask(self._job_id)
            except Exception as error:
                if not is_away(error) or (self._lasted() >= self.limits.begin and not self._begun):
                    raise
                self._check()
            await asyncio.sleep(1.0)

    async def _closing(self, outcome: JobState) -> list[bytes]:
        """What is left to say once the job has ended."""
        if outcome.response is None:
            raise outcome.refusal()
        _, epoch = await self._asked(self._readers.standing)
        if self._progress.sent and self._reader is not None and self._reader.epoch != epoch:
            raise broken_off(self._job_id)
        body: dict[str, Any] = orjson.loads(outcome.response)
        frames = []
        for choices in streams.rest(body["choices"], self._progress):
            frames.append(self._frame(epoch, FROM_RESULT, orjson.dumps(streams.chunk(body, choices))))
        if self._include_usage:
            details = {"usage_details": body["usage_details"]} if "usage_details" in body else {}
            usage = orjson.dumps({**streams.chunk(body, []), "usage": body.get("usage"), **details})
            frames.append(self.framing.chunk(usage, None))
        return [*frames, self.framing.end()]

    def _error(self, error: FusionError) -> bytes:
        """An error's frame: its message names the job, and it says from where one that goes on may be read on."""
        named = error.message if self._job_id in error.message else f"job {self._job_id}: {error.message}"
        at = self._event_id() if self._spoke and self._how in named else None
        return self.framing.error(BrokenStream(error, named, self.request_id, self._job_id, at))
