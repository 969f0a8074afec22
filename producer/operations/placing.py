"""Places jobs for callers that wait for the result, and waits for them."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson

from producer.admission import cached_answers, idempotency
from producer.admission.accept import Acceptor
from producer.admission.cached_answers import CacheUse
from producer.admission.idempotency import Claim
from producer.admission.linking import FoundEntities, Linking
from producer.admission.overload import Overload
from producer.admission.prepared import Accepted, PreparedJobs
from producer.admission.thread_turns import Turns
from producer.operations import jobs
from producer.waiting.waiters import Ended, JobState, JobStates, Waiters
from shared import clock, telemetry
from shared.db import Database
from shared.errors import InvalidRequest, Unavailable
from shared.jobs import first_leases
from shared.key_holders import KeyHolder
from shared.submissions.schemas import ON_SHORTAGE, Submission
from shared.telemetry.names import messaging


@dataclass(frozen=True, slots=True)
class Placed:
    """A job that was accepted for somebody; `ended` is done when it is over, `until` is when its caller has waited
    long enough, on the monotonic clock.
    """

    job_id: str
    accepted: Accepted
    ended: Ended
    until: float

    @property
    def left_seconds(self) -> float:
        """How long its caller still waits."""
        return max(0.0, self.until - clock.monotonic())


@dataclass(slots=True)
class Placer:
    """Places jobs for callers, and waits for them; one a process."""

    database: Database
    acceptor: Acceptor
    overload: Overload
    parsers: Turns
    waiters: Waiters
    states: JobStates
    linking: Linking

    async def place(
        self,
        holder: KeyHolder,
        submission: Submission,
        claim: Claim | None,
        *,
        waits: float,
        insists: bool = True,
        cache: CacheUse | None = None,
    ) -> Placed:
        """Accept one job and hear of its end; whoever places it releases it.

        `waits`: for so many seconds its caller waits, though never past the job's own deadline. `insists`: with nothing
        but the answer is the caller served: 503 when the job would not even be begun in that time. `cache`: the answer
        may come from the cache, or go there.
        """
        if insists and submission.waits:
            raise _cannot_wait()
        seen = claim is not None or not insists
        prepared = await self.prepare(holder, [submission], listed=False, claim=claim, cache=cache, seen=seen)
        (row,), (payload,) = prepared.rows, prepared.payloads
        waits = min(waits, (row["expires_at"] - row["created_at"]) / clock.MICROS)
        until = clock.monotonic() + waits
        if insists:
            payload["wait_until"] = row["created_at"] + int(waits * clock.MICROS)
            if self._first_leases and not submission.request.get("stream"):
                first_leases.give(row, payload["request"])
            await self._check_room(str(row["queue"]), waits, prepared)
        id = str(row["id"])
        ended = self.waiters.register(id)  # before the commit: a quick job's hint must find it
        try:
            accepted = await self._accept(prepared)
        except BaseException:
            self.waiters.unregister(id, ended)
            raise
        if accepted.replayed:
            self.waiters.unregister(id, ended)
            id = str(orjson.loads(accepted.response)["id"])
            ended = self.waiters.register(id)
        return Placed(id, accepted, ended, until)

    async def submit(
        self, holder: KeyHolder, submissions: Sequence[Submission], *, listed: bool, claim: Claim | None
    ) -> Accepted:
        """Accept jobs, whole or not at all. `listed`: they came as a list, and run on the batch lane."""
        return await self._accept(await self.prepare(holder, submissions, listed=listed, claim=claim))

    async def _accept(self, prepared: PreparedJobs) -> Accepted:
        """Accept what was prepared; where it is traced, its rows say in which span, from which its worker goes on."""
        if not telemetry.on():
            return await self.acceptor.accept(prepared)
        queue, of = str(prepared.rows[0]["queue"]), len(prepared.rows)
        with telemetry.span(f"send {queue}", "producer", **messaging(queue, "send")) as span:
            span.set(messaging__batch__message_count=of if of > 1 else None)
            for payload in prepared.payloads:
                payload["trace"] = span.traceparent
            return await self.acceptor.accept(prepared)

    async def prepare(
        self,
        holder: KeyHolder,
        submissions: Sequence[Submission],
        *,
        listed: bool,
        claim: Claim | None,
        cache: CacheUse | None = None,
        quoting: bool = False,
        seen: bool = True,
    ) -> PreparedJobs:
        """Submissions priced, and made the rows of jobs; the rest is as `Acceptor.prepare` has it."""
        found = await self.linking.find(holder, submissions, listed=listed, claim=claim)
        size = sum(len(one.json) for one in submissions)
        told: dict[str, Any] = {"listed": listed, "claim": claim, "cache": cache, "quoting": quoting, "seen": seen}
        prepare = partial(self._prepared, holder, submissions, found, told)
        return await self.parsers.run(size, prepare, holder.account_id)

    def _prepared(
        self,
        holder: KeyHolder,
        submissions: Sequence[Submission],
        found: FoundEntities,
        told: Mapping[str, Any],
    ) -> PreparedJobs:
        whole = found.put_into(submissions, listed=bool(told["listed"]))
        prepared = self.acceptor.prepare(holder, whole, **told)
        prepared.answered = found.answered
        return prepared

    @property
    def _first_leases(self) -> bool:
        """Whether all workers take them, and this process knows the time that they go by."""
        return self.acceptor.bell.first_leases and (self.database.is_sqlite or clock.is_learned())

    async def _check_room(self, queue: str, within: float, prepared: PreparedJobs) -> None:
        try:
            self.overload.check(queue, within)
        except Unavailable:  # what was accepted before, or is in the cache, is no new load
            if await self.database.read(idempotency.is_known, prepared.claim):
                return
            if not await self.database.read(cached_answers.is_hit, prepared.caching):
                raise

    async def wait(self, placed: Placed) -> JobState:
        """How a placed job stands when it has ended, or when its caller, or this server, waits no longer."""
        if (placed.accepted.replayed or placed.accepted.over) and (before := await self.states(placed.job_id)).over:
            return before
        until = asyncio.get_running_loop().call_later(placed.left_seconds, _wait_no_longer, placed.ended)
        try:
            told = await placed.ended
        finally:
            until.cancel()
        return told or await self.states(placed.job_id)

    def release(self, placed: Placed) -> None:
        """Wait for it no longer; it runs on."""
        self.waiters.unregister(placed.job_id, placed.ended)

    async def await_end(self, job_id: str, holder: KeyHolder, seconds: float) -> None:
        """Until the job has ended, the time is up, or the server stops; the row says which."""
        future = self.waiters.register(job_id)
        try:
            job = await self.database.read(jobs.show_job, holder, job_id)
            if job["finished_at"] is None:
                await asyncio.wait([future], timeout=seconds)
        finally:
            self.waiters.unregister(job_id, future)


def _wait_no_longer(ended: Ended) -> None:
    if not ended.done():
        ended.set_result(None)


def _cannot_wait() -> InvalidRequest:
    """The 400 of a caller that wants the answer at once, or never."""
    return InvalidRequest(
        f"{ON_SHORTAGE}: a request whose answer is waited for cannot wait for credit; send the header Prefer: "
        "respond-async, or POST /v1/jobs",
        param=ON_SHORTAGE,
    )
