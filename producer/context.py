"""What one producer process owns, and the work between route and rows: waiting, cancelling, doing a thing once."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast

import orjson
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError
from starlette.requests import ClientDisconnect, Request

from producer.admission import idempotency, kept_secrets
from producer.admission.accept import Accepted, Door, Order
from producer.admission.auth import Keys
from producer.admission.fair_share import FairShare
from producer.admission.idempotency import Claim
from producer.admission.limits import Limits
from producer.admission.overload import Overload
from producer.admission.thread_turns import Turns
from producer.operations import jobs as jobs_ops
from producer.operations.batch_progress import Progress
from producer.waiting.stream_readers import Readers
from producer.waiting.waiters import Outcome, Outcomes, Waiters
from shared import clock, crash, strict_json
from shared.accounts import KeyHolder
from shared.broker.bell import Bell
from shared.db import Database
from shared.errors import InvalidRequest, PayloadTooLarge, Unavailable, UnsupportedMediaType
from shared.notifier import CANCEL, DONE, Hints
from shared.queues import WEBHOOKS
from shared.settings import settings
from shared.submissions.schemas import Submission

T = TypeVar("T")

#: Bytes of a request body: of one that carries jobs, and of any other.
MOST_BYTES = 50 * 1024 * 1024
SMALL_BYTES = 256 * 1024
#: Larger bodies are parsed on a thread, so many at a time: meanwhile the event loop goes on serving.
THREAD_BYTES = 256 * 1024
PARSERS = 3
#: Above this, work on bytes is long: there is always room for what is shorter.
LONG_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Placed:
    """A job that was accepted for somebody; `ended` is done when it is over, `until` is when its caller has waited
    long enough, on the monotonic clock.
    """

    job_id: str
    accepted: Accepted
    ended: "asyncio.Future[None]"
    until: float

    @property
    def left_seconds(self) -> float:
        """How long its caller still waits."""
        return max(0.0, self.until - clock.monotonic())


class Desk:
    """Made in the event loop that serves; closed by the app's lifespan."""

    def __init__(self, database: Database, bell: Bell) -> None:
        self.database = database
        self.bell = bell
        self.share = FairShare()
        self.keys = Keys(database, self.share)
        self.limits = Limits(settings().redis_url)
        self.door = Door(database, bell)
        self.waiters = Waiters(database)
        self.outcomes = Outcomes(database)
        self.overload = Overload(database, bell)
        self.hints = Hints(settings().redis_url)
        self.hints.listen(DONE, self.waiters.ended, self.waiters.ask_all)
        self.readers = Readers(settings().redis_url, database, self.hints)
        self.parsers = Turns(PARSERS, LONG_BYTES)
        #: Dry runs of batches: each may be seconds of work.
        self.quoting = Turns(2, LONG_BYTES)
        #: Retries of batches, whose files are written while their callers wait.
        self.retrying = asyncio.Semaphore(2)
        self.progress = Progress(database)
        #: The server has been told to stop, and will serve for a moment; the moment is over.
        self.stopping = self.stopped = False
        #: Until when it is believed that the database answers, on the monotonic clock.
        self.ready_until = 0.0
        self._asking = [asyncio.create_task(loop.run()) for loop in (self.waiters, self.overload, self.keys)]

    def stop_waiting(self) -> None:
        """The server stops: whoever waits for a job, or reads its stream, is told so now."""
        self.stopped = True
        self.waiters.release()

    async def close(self) -> None:
        """Let what was accepted be woken, then hang up."""
        for loop in self._asking:
            loop.cancel()
        await self.door.close()
        await self.keys.close()
        await self.limits.close()
        await self.readers.stop()
        await self.hints.close()

    async def place(
        self, holder: KeyHolder, submission: Submission, claim: Claim | None, *, waits: float, insists: bool = True
    ) -> "Placed":
        """Accept one job and be told of its end; whoever places it `leaves` it.

        `waits`: for so many seconds its caller waits, though never past the job's own deadline. `insists`: with nothing
        but the answer is the caller served: 503 when the job would not even be begun in that time.
        """
        order = await self.order(holder, [submission], listed=False, claim=claim)
        (row,), (payload,) = order.rows, order.payloads
        waits = min(waits, (row["expires_at"] - row["created_at"]) / clock.MICROS)
        until = clock.monotonic() + waits
        if insists:
            payload["wait_until"] = row["created_at"] + int(waits * clock.MICROS)
            await self._check_room(str(row["queue"]), waits, claim)
        id = str(row["id"])
        ended = self.waiters.register(id)  # before the commit: a quick job's hint must find it
        try:
            accepted = await self.door.take(order)
        except BaseException:
            self.waiters.leave(id, ended)
            raise
        if accepted.replayed:
            self.waiters.leave(id, ended)
            id = str(orjson.loads(accepted.response)["id"])
            ended = self.waiters.register(id)
        return Placed(id, accepted, ended, until)

    async def submit(
        self, holder: KeyHolder, submissions: Sequence[Submission], *, listed: bool, claim: Claim | None
    ) -> Accepted:
        """Accept jobs, whole or not at all. `listed`: they came as a list, and run on the batch lane."""
        return await self.door.take(await self.order(holder, submissions, listed=listed, claim=claim))

    async def order(
        self, holder: KeyHolder, submissions: Sequence[Submission], *, listed: bool, claim: Claim | None
    ) -> Order:
        """Submissions priced, and made the rows of jobs."""
        size = sum(len(one.json) for one in submissions)
        return await self.apart(
            size, partial(self.door.order, holder, submissions, listed=listed, claim=claim), holder.account_id
        )

    async def apart(self, size: int, fn: Callable[[], T], account_id: str) -> T:
        """Do what takes as long as the bytes that it is about are many: on a thread when these are, in its turn."""
        if size <= THREAD_BYTES:
            return fn()
        async with self.parsers.turn(account_id, size):
            return await asyncio.to_thread(fn)

    async def _check_room(self, queue: str, within: float, claim: Claim | None) -> None:
        try:
            self.overload.check(queue, within)
        except Unavailable:  # what was accepted before is no new load
            if not await self.database.read(idempotency.is_known, claim):
                raise

    async def outcome(self, placed: "Placed") -> Outcome:
        """How a placed job stands when it has ended, or when its caller, or this server, waits no longer."""
        if placed.accepted.replayed and (before := await self.outcomes(placed.job_id)).over:
            return before
        await asyncio.wait([placed.ended], timeout=placed.left_seconds)
        return await self.outcomes(placed.job_id)

    def leave(self, placed: "Placed") -> None:
        """Wait for it no longer; it runs on."""
        self.waiters.leave(placed.job_id, placed.ended)

    async def await_end(self, job_id: str, holder: KeyHolder, seconds: float) -> None:
        """Until the job has ended, the time is up, or the server stops; the row says which."""
        future = self.waiters.register(job_id)
        try:
            job = await self.database.read(jobs_ops.show_job, holder, job_id)
            if job["finished_at"] is None:
                await asyncio.wait([future], timeout=seconds)
        finally:
            self.waiters.leave(job_id, future)

    async def cancel(self, claim: Claim | None, holder: KeyHolder, job_id: str) -> tuple[str, bool]:
        """Cancel a job once, and let its worker hear of it: again when asked again, since a hint may be lost."""
        answer, replayed, deliveries = await self._once_told(claim, jobs_ops.cancel_job, holder, job_id)
        crash.point("cancel.after_commit")
        self._deliver(deliveries)
        ended = orjson.loads(answer)["finished_at"] is not None
        self.hints.tell(DONE if ended else CANCEL, [job_id])
        return answer, replayed

    async def once_told(
        self, claim: Claim | None, fn: Callable[..., tuple[dict[str, Any], list[str]]], *args: Any
    ) -> tuple[str, bool]:
        """`once`, for a thing that also makes webhook deliveries due: they are rung for when it was done just now."""
        answer, replayed, deliveries = await self._once_told(claim, fn, *args)
        self._deliver(deliveries)
        return answer, replayed

    async def _once_told(
        self, claim: Claim | None, fn: Callable[..., tuple[dict[str, Any], list[str]]], *args: Any
    ) -> tuple[str, bool, list[str]]:
        due: list[str] = []

        def keeping(connection: Connection) -> dict[str, Any]:
            value, due[:] = fn(connection, *args)
            return value

        answer, replayed = await self.once(claim, keeping)
        return answer, replayed, [] if replayed else due

    def _deliver(self, deliveries: list[str]) -> None:
        if deliveries:
            self.bell.ring(WEBHOOKS, deliveries)

    async def once(self, claim: Claim | None, fn: Callable[..., dict[str, Any]], *args: Any) -> tuple[str, bool]:
        """Do a thing in one transaction with its idempotency row; the answer, and whether it was given before."""
        for _ in range(3):
            try:
                return await self.database.write(_once, claim, fn, args)
            except IntegrityError:
                continue
        return await self.database.write(_once, claim, fn, args)


def _once(
    connection: Connection, claim: Claim | None, fn: Callable[..., dict[str, Any]], args: tuple[Any, ...]
) -> tuple[str, bool]:
    if claim is None:
        return strict_json.dumps(fn(connection, *args)), False
    known = idempotency.find(connection, [claim])
    if claim.place in known and (before := known[claim.place].standing(claim)) is not None:
        idempotency.keep_sdk(connection, idempotency.taken_up(claim, before), known)
        return kept_secrets.shown(connection, before.response), True
    answer = fn(connection, *args)
    kept = [(claim, 200, strict_json.dumps(kept_secrets.hidden(answer)))]
    idempotency.keep(connection, kept)
    idempotency.keep_sdk(connection, kept, known)
    return strict_json.dumps(answer), False


def _account(request: Request) -> str:
    """Whose request it is, once that is known."""
    return str(request.scope.get("fusionai_account", ""))


def large(request: Request) -> int:
    """How many bytes the body had that was read of a request."""
    return int(request.scope.get("fusionai_bytes", 0))


async def read_body(request: Request, *, most_bytes: int = SMALL_BYTES) -> dict[str, Any]:
    """The JSON object that a POST carries; 400, 413 or 415 when it is not one."""
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise UnsupportedMediaType(f"unsupported Content-Type {kind[:100]!r}: must be application/json")
    if (coding := request.headers.get("content-encoding", "identity").strip().lower()) not in ("identity", ""):
        raise UnsupportedMediaType(f"unsupported Content-Encoding {coding[:100]!r}: must be identity")
    declared = request.headers.get("content-length", "0")
    body = bytearray()
    if not (declared.isdigit() and int(declared[:20]) > most_bytes):
        try:
            async for chunk in request.stream():
                body += chunk
                if len(body) > most_bytes:
                    break
        except ClientDisconnect:  # nobody reads this; it is no fault to be logged either
            raise InvalidRequest("request body is incomplete") from None
    if len(body) > most_bytes or (declared.isdigit() and int(declared[:20]) > most_bytes):
        shown = f"{most_bytes // 1024**2} MB" if most_bytes >= 1024**2 else f"{most_bytes // 1024} KB"
        raise PayloadTooLarge(f"request body is larger than {shown}")
    request.scope["fusionai_bytes"] = len(body)
    value = await cast(Desk, request.app.state.desk).apart(len(body), partial(_parse, bytes(body)), _account(request))
    if not isinstance(value, dict):
        raise InvalidRequest("request body must be a JSON object")
    return cast(dict[str, Any], value)


def _parse(body: bytes) -> Any:
    strict_json.check_structure(body)
    return strict_json.loads(body)
