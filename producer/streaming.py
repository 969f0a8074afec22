"""A job's answer as server-sent events: live from Redis, ended and completed from the rows.

Nothing is sent before there is something to say, so a job that fails at once is a plain HTTP error. `[DONE]` comes only
after the job has been settled; any other end is an error event that names the job.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, TypeVar

import orjson
from sqlalchemy import Connection, select
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from producer.desk import Desk
from producer.replies import Outcome
from producer.stream_readers import Reader
from shared import clock, logs, streams
from shared.accounts import KeyHolder
from shared.db import is_away
from shared.errors import Conflict, FusionError, InternalError, InvalidRequest, NotFound, Timeout, Unavailable
from shared.jobs import TERMINAL
from shared.models import jobs
from shared.streams import FROM_RESULT, EventId, Progress

T = TypeVar("T")
log = logging.getLogger(__name__)

#: How long the first event may take, the whole stream, and a silence before a comment says that we are there; seconds.
FIRST_SECONDS = 28.0
WHOLE_SECONDS = 120.0
KEEP_ALIVE_SECONDS = 10.0
#: How much longer than the whole stream may last its last bytes may take to leave, in seconds.
LEAVE_SECONDS = 10.0

_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
_DONE = b"data: [DONE]\n\n"
_KEEP_ALIVE = b": keep-alive\n\n"


async def respond(
    desk: Desk,
    job_id: str,
    holder: KeyHolder,
    *,
    include_usage: bool,
    last_event_id: str | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """The stream of a chat job that the holder may see, from its beginning or after the event that was read last.

    Raises, with `job_id` set, what a synchronous call would: 504 when there is nothing to send in time, the job's own
    error when it has failed before its first token; 409 when the stream that is to be resumed has broken off.
    """
    after = streams.read_event_id(last_event_id, job_id) if last_event_id else None
    relay = Relay(desk, job_id, include_usage=include_usage)
    try:
        await relay.begin(holder, after)
    except BaseException as error:
        relay.close()
        if is_away(error):
            raise _about(job_id, Unavailable(f"the database does not answer; job {job_id} goes on")) from None
        raise
    return _Events(relay, {"FusionAI-Job-Id": job_id, **_HEADERS, **(headers or {})})


class _Events(StreamingResponse):
    """The relay's frames; the relay is closed also when the client has gone before the first of them.

    One who neither reads nor goes away holds it for as long as a stream may last, and no longer.
    """

    def __init__(self, relay: "Relay", headers: dict[str, str]) -> None:
        super().__init__(relay.frames(), headers=headers, media_type="text/event-stream")
        self._relay = relay

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._relay.request_id = scope.get("request_id", "")
        try:
            async with asyncio.timeout(WHOLE_SECONDS + LEAVE_SECONDS):
                await super().__call__(scope, receive, send)
        except TimeoutError:
            log.info("request %s: a stream is given up that nobody reads", self._relay.request_id)
        finally:
            self._relay.close()


class Relay:
    """One client's stream; an error event in it names its request."""

    request_id = ""

    def __init__(self, desk: Desk, job_id: str, *, include_usage: bool) -> None:
        self._desk = desk
        self._readers = desk.readers
        self._job_id = job_id
        self._include_usage = include_usage
        self._reader: Reader | None = None
        self._progress = Progress()
        self._since = clock.monotonic()
        #: How long we may last now: to the first event, then to the last.
        self._limit = FIRST_SECONDS
        self._wake = asyncio.Event()
        self._watch()

    async def begin(self, holder: KeyHolder, after: EventId | None) -> None:
        """Until there is something to send; see `respond` for what else may come."""
        status, epoch = await self._desk.database.read(_standing, holder, self._job_id)
        if after is not None:
            _check_resumed(self._job_id, after, status, epoch)
            self._progress = after.progress
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
            if self._lasted() >= self._limit:
                said = f"job {self._job_id} has said nothing yet and goes on; ask for it at {self._path}"
                raise _about(self._job_id, Timeout(said))
            await self._pause(self._limit - self._lasted())
        self._limit = WHOLE_SECONDS

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
            yield self._error(InternalError("an internal error; the job goes on"))

    async def _frames(self) -> AsyncIterator[bytes]:
        said_at = clock.monotonic()
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
            if silence >= KEEP_ALIVE_SECONDS:
                yield _KEEP_ALIVE
                said_at, silence = clock.monotonic(), 0.0
            if self._lasted() >= self._limit:
                raise Timeout(f"this stream has lasted {self._limit:.0f} s; the job goes on, read on at {self._path}")
            await self._pause(min(KEEP_ALIVE_SECONDS - silence, self._limit - self._lasted()))

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
        self._progress.advance(orjson.loads(data)["choices"])
        if self._include_usage:
            data = data[:-1] + b',"usage":null}'
        id = str(EventId(self._job_id, epoch, count, self._progress))
        return b"id: %s\ndata: %s\n\n" % (id.encode(), data)

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
        """What the rows say of the job; a database that is away is asked again while the stream may last."""
        while True:
            try:
                return await ask(self._job_id)
            except Exception as error:
                if not is_away(error) or self._lasted() >= self._limit:
                    raise
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
            frames.append(b"data: %s\n\n" % orjson.dumps({**streams.chunk(body, []), "usage": body.get("usage")}))
        return [*frames, _DONE]

    def _error(self, error: FusionError) -> bytes:
        """An error event; its message names the job."""
        named = error.message if self._job_id in error.message else f"job {self._job_id}: {error.message}"
        shown = {"message": named, "type": error.type, "code": error.status, "request_id": self.request_id}
        return b"data: %s\n\n" % orjson.dumps({"error": {**shown, "job_id": self._job_id}})


def _standing(connection: Connection, holder: KeyHolder, job_id: str) -> tuple[str, int]:
    """Status and lease epoch of a chat job that the holder may see."""
    statement = select(jobs.c.type, jobs.c.status, jobs.c.lease_epoch).where(
        jobs.c.id == job_id, jobs.c.account_id == holder.account_id, jobs.c.test == holder.test
    )
    row = connection.execute(statement).first()
    if row is None:
        raise NotFound(f"there is no job {job_id[:100]!r}")
    if row.type != "chat.completion":
        raise InvalidRequest(f"job {job_id} is of type {row.type}: only chat completions can be streamed")
    return row.status, row.lease_epoch


def _check_resumed(job_id: str, after: EventId, status: str, epoch: int) -> None:
    """Whether the answer that a reader has begun is still the job's."""
    if after.epoch > epoch or (after.count == FROM_RESULT and status not in TERMINAL):
        raise InvalidRequest("Last-Event-ID is not the id of an event of this stream", param="Last-Event-ID")
    over = status in TERMINAL and status != "succeeded"
    if not over and (after.epoch != epoch or status == "queued"):
        raise _broken_off(job_id)


def _broken_off(job_id: str) -> FusionError:
    """The worker was lost, or handed the job back, after some of the answer had been read."""
    said = f"the stream of job {job_id} broke off and the job runs again; read it anew at /v1/jobs/{job_id}/stream"
    return _about(job_id, Conflict(said))


def _about(job_id: str, error: FusionError) -> FusionError:
    error.job_id = job_id
    return error
