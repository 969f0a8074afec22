"""One reader's stream of a job: what to send, when, and how it ends."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson
from sqlalchemy import Connection, select

from producer.context import Desk
from producer.waiting.stream_readers import Reader
from producer.waiting.waiters import Outcome
from shared import clock, logs
from shared.accounts import KeyHolder
from shared.batches import json_lines
from shared.db import is_away
from shared.db.models import jobs
from shared.errors import Conflict, FusionError, InternalError, InvalidRequest, NotFound, Timeout, Unavailable
from shared.jobs import streams
from shared.jobs.outcomes import TERMINAL
from shared.jobs.streams import FROM_RESULT, EventId, Progress
from shared.settings import settings

T = TypeVar("T")
log = logging.getLogger(__name__)

#: A silence before a comment says that we are there, in seconds.
KEEP_ALIVE_SECONDS = 10.0
#: How much longer than the worker's own limit a stream may last here, for its end to be stored and read; as long may
#: its last bytes take to leave. In seconds.
LEAVE_SECONDS = 10.0

_DONE = b"data: [DONE]\n\n"
#: One newline: a blank line ends an event, and readers that take it so are handed an empty one where none was begun.
_KEEP_ALIVE = b": keep-alive\n"


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """A stream's limits, in seconds: until it is begun, until its first event, and a silence before a comment."""

    begin: float
    first: float
    comment: float = KEEP_ALIVE_SECONDS


class Relay:
    """One client's stream; an error event in it names its request."""

    request_id = ""

    def __init__(self, desk: Desk, job_id: str, *, include_usage: bool, limits: StreamLimits, ids: bool) -> None:
        self.limits = limits
        self._desk = desk
        self._readers = desk.readers
        self._job_id = job_id
        self._include_usage = include_usage
        self._ids = ids
        self._reader: Reader | None = None
        self._progress = Progress()
        #: Epoch and count of the last event that was sent.
        self._at: tuple[int, int] | None = None
        self._since = clock.monotonic()
        #: How long we may last now: to the first event, then to the last.
        self._limit = limits.first
        #: The head has been sent; an event has been sent.
        self._begun = self._spoke = False
        self._wake = asyncio.Event()
        self._watch()

    async def begin(self, holder: KeyHolder, after: EventId | None) -> None:
        """Until there is something to send, or the time to begin has come; raises what may come instead."""
        status, epoch = await self._desk.database.read(_standing, holder, self._job_id)
        if after is not None:
            _check_resumed(self._job_id, after, status, epoch)
            self._progress = after.progress
            self._at = after.epoch, after.count
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
        self._desk.waiters.leave(self._job_id, self._ended)
        if self._reader is not None:
            self._readers.close(self._reader)

    async def frames(self) -> AsyncIterator[bytes]:
        """The whole body."""
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
            for frame in self._taken():
                yield frame
                said_at = clock.monotonic()
            if (outcome := await self._end()) is not None:
                for frame in await self._closing(outcome):
                    yield frame
                return
            silence = clock.monotonic() - said_at
            if silence >= self.limits.comment:
                yield _KEEP_ALIVE
                said_at, silence = clock.monotonic(), 0.0
            self._check()
            await self._pause(min(self.limits.comment - silence, self._limit - self._lasted()))

    def _check(self) -> None:
        """Whether the stream may last longer."""
        if self._desk.stopped:
            said = f"the server is shutting down; job {self._job_id} continues"
            raise about(self._job_id, Unavailable(f"{said}; {self._how}"))
        if self._lasted() >= self._limit and not self._spoke:
            said = f"job {self._job_id} has produced no output within {self._limit:.0f} s and continues"
            raise about(self._job_id, Timeout(f"{said}; get it at /v1/jobs/{self._job_id}, or {self._how}"))
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
        return f"/v1/jobs/{self._job_id}/stream"

    def _lasted(self) -> float:
        return clock.monotonic() - self._since

    def _watch(self) -> None:
        self._ended = self._desk.waiters.register(self._job_id)
        self._ended.add_done_callback(lambda _: self._wake.set())

    def _open(self, after: EventId | None, epoch: int) -> None:
        at, count = (epoch, 0) if after is None else (after.epoch, after.count)
        self._reader = Reader(self._job_id, epoch=at, count=count, began=after is not None)
        self._reader.fresh = self._wake
        self._readers.open(self._reader)

    async def _pause(self, seconds: float) -> None:
        """Until there is news, or so many seconds are over."""
        try:
            async with asyncio.timeout(max(seconds, 0.0)):
                await self._wake.wait()
        except TimeoutError:
            pass

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
        if not self._ids:
            return _event(data)
        return b"id: %s\n%s" % (self._event_id().encode(), _event(data))

    def _event_id(self) -> str:
        """Of the last event that was sent."""
        assert self._at is not None
        return str(EventId(self._job_id, *self._at, self._progress))

    async def _end(self) -> Outcome | None:
        """How the job has ended, if it has; an error when it has left the worker whose answer this was."""
        if self._ended.done() and (outcome := await self._is_over()):
            return outcome
        if self._reader is not None and self._reader.superseded:
            outcome = await self._asked(self._desk.outcomes)
            if not outcome.over:
                raise _broken_off(self._job_id)
            return outcome
        return None

    async def _is_over(self) -> Outcome | None:
        """The outcome; or None, when a hint came too early, and the end is still to be waited for."""
        outcome = await self._asked(self._desk.outcomes)
        if outcome.over:
            return outcome
        self._desk.waiters.leave(self._job_id, self._ended)
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

    async def _closing(self, outcome: Outcome) -> list[bytes]:
        """What is left to say once the job has ended."""
        if outcome.response is None:
            raise outcome.refusal()
        _, epoch = await self._asked(self._readers.standing)
        if self._progress.sent and self._reader is not None and self._reader.epoch != epoch:
            raise _broken_off(self._job_id)
        body: dict[str, Any] = orjson.loads(outcome.response)
        frames = []
        for choices in streams.rest(body["choices"], self._progress):
            frames.append(self._frame(epoch, FROM_RESULT, orjson.dumps(streams.chunk(body, choices))))
        if self._include_usage:
            frames.append(_event(orjson.dumps({**streams.chunk(body, []), "usage": body.get("usage")})))
        return [*frames, _DONE]

    def _error(self, error: FusionError) -> bytes:
        """An error event; its message names the job, and it says from where one that goes on may be read on."""
        named = error.message if self._job_id in error.message else f"job {self._job_id}: {error.message}"
        shown = {"message": named, "type": error.type, "code": error.status, "request_id": self.request_id}
        if error.param is not None:
            shown["param"] = error.param
        if error.reason is not None:
            shown["reason"] = error.reason
        shown["job_id"] = self._job_id
        if self._spoke and self._how in named:
            shown["last_event_id"] = self._event_id()
        return _event(orjson.dumps({"error": shown}))


def _event(json: bytes) -> bytes:
    """An event without an id, one line for every reader."""
    return b"data: %s\n\n" % json_lines.safe(json)


def _standing(connection: Connection, holder: KeyHolder, job_id: str) -> tuple[str, int]:
    """Status and lease epoch of a chat job that the holder may see."""
    statement = select(jobs.c.type, jobs.c.status, jobs.c.lease_epoch).where(
        jobs.c.id == job_id, jobs.c.account_id == holder.account_id, jobs.c.test == holder.test
    )
    row = connection.execute(statement).first()
    if row is None:
        raise NotFound(f"not found: job {job_id[:100]!r}")
    if row.type != "chat.completion":
        raise InvalidRequest(f"job {job_id} has type {row.type}: only chat completions can be streamed")
    return row.status, row.lease_epoch


def _check_resumed(job_id: str, after: EventId, status: str, epoch: int) -> None:
    """Whether the answer that a reader has begun is still the job's."""
    if after.epoch > epoch or (after.count == FROM_RESULT and status not in TERMINAL):
        raise InvalidRequest("Last-Event-ID does not match an event of this stream", param="Last-Event-ID")
    over = status in TERMINAL and status != "succeeded"
    if not over and (after.epoch != epoch or status == "queued"):
        raise _broken_off(job_id)


def _broken_off(job_id: str) -> FusionError:
    """The worker was lost, or handed the job back, after some of the answer had been read."""
    said = (
        f"the stream of job {job_id} was interrupted and the job was restarted from the beginning; "
        f"read the stream again, without Last-Event-ID, at GET /v1/jobs/{job_id}/stream"
    )
    return about(job_id, Conflict(said))


def about(job_id: str, error: FusionError) -> FusionError:
    """An error of an accepted job."""
    error.job_id = job_id
    return error
