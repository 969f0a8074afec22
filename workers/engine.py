"""The spine: lease -> choose -> call -> settle | retry | fall back, for thousands of jobs on one event loop."""

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import orjson
from sqlalchemy import Connection

from shared import clock, crash, jobs, logs
from shared.db import Database
from shared.errors import ProviderError
from shared.jobs import Ending, Leased, Requeue
from shared.queue import PROBATION, Lane, queue_name
from shared.schemas import Offer
from shared.settings import settings
from workers import endings
from workers.pictures import dress
from workers.providers import Ask, Upstream
from workers.retry import GiveUp, decide
from workers.routing import choose
from workers.settle import Outcome, Settler
from workers.slots import Slots
from workers.streams import Publisher, Sink

log = logging.getLogger(__name__)

#: Jobs leased in one transaction.
LEASE_MOST = 400
#: A wait up to this long keeps its slot; a longer one puts the job back with `run_at`.
IN_PLACE_SECONDS = 60.0


class Engine:
    """Runs the jobs of one process. Everything but `offer_soon` is called on its event loop."""

    def __init__(
        self,
        database: Database,
        worker_id: str,
        upstreams: Mapping[str, Upstream],
        slots: Slots,
        settler: Settler,
        *,
        publisher: Publisher | None = None,
        consume: Callable[[str, bool], None] = lambda queue, on: None,
    ) -> None:
        self._database = database
        self._worker_id = worker_id
        self._upstreams = upstreams
        self._slots = slots
        self._settler = settler
        self._publisher = publisher
        self._consume = consume
        self._paused: set[str] = set()
        self._work = asyncio.Event()
        self._running: dict[str, asyncio.Task[None]] = {}
        #: Those of them that have no answer yet, which alone may be interrupted.
        self._calling: set[str] = set()
        self._cancelled: set[str] = set()
        self._side: set[asyncio.Future[Any]] = set()
        self._astray: set[tuple[str, int]] = set()
        self._leasing: asyncio.Task[None] | None = None
        self._stopping = False

    def start(self) -> None:
        """Lease whatever is offered from now on."""
        self._leasing = asyncio.create_task(self._lease_until_stopped())

    def offer(self, queue: str, ids: Sequence[str]) -> None:
        """Take note of ids that may be leased; those there is no room for go back to the feeder."""
        refused = list(ids) if self._stopping else self._slots.add(queue, ids)
        if refused:
            self._leave(refused)
        if self._slots.full(queue) and queue not in self._paused:
            self._paused.add(queue)
            self._consume(queue, False)
        self._work.set()

    def cancel(self, ids: Sequence[str]) -> None:
        """Stop calling for these jobs, if they are running here; an answer already there wins."""
        for id in ids:
            if id in self._calling and id not in self._cancelled:
                self._cancelled.add(id)
                # Not at once: a task cancelled before its first step never runs, not even its `finally`.
                asyncio.get_running_loop().call_soon(self._interrupt, id)

    def reconcile(self, held: Sequence[tuple[str, int]]) -> None:
        """Hand back what the rows say is running here and is not, at two beats in a row: a lease whose COMMIT was
        ambiguous, an outcome that was lost.
        """
        missing = {(id, epoch) for id, epoch in held if id not in self._running}
        if lost := sorted(missing & self._astray):
            log.warning("%d jobs were leased here and are not running; they are handed back", len(lost))
            self._keep(self._database.write(jobs.hand_back, lost))
        self._astray = missing

    @property
    def busy(self) -> int:
        """Jobs leased and not yet settled."""
        return len(self._running)

    async def quiet(self) -> None:
        """Until nothing that was offered waits for a slot, is being leased, or runs."""
        while self._slots.busy():
            if self._running:
                await asyncio.wait(list(self._running.values()), return_when=asyncio.FIRST_COMPLETED)
            else:
                await asyncio.sleep(0.01)

    def stop_leasing(self) -> None:
        """Take nothing more; what is offered from now on is left to others."""
        self._stopping = True
        self._work.set()

    async def stop(self, drain_seconds: float) -> None:
        """Stop leasing, wait for the calls under way, hand back what is left."""
        self.stop_leasing()
        if self._leasing is not None:
            await self._leasing
        self._leave(self._slots.drop_waiting())
        if self._running and drain_seconds > 0:
            await asyncio.wait(list(self._running.values()), timeout=drain_seconds)
        for id in list(self._calling):
            self._interrupt(id)
        if ending := [*self._running.values(), *self._side]:
            # What a database that is away does not take by then is the sweeper's.
            await asyncio.wait(ending, timeout=settings().lease_seconds)

    def _leave(self, ids: Sequence[str]) -> None:
        if ids:
            self._keep(self._database.write(jobs.unwake, list(ids)))

    def _keep(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.ensure_future(work)
        self._side.add(task)
        task.add_done_callback(self._side.discard)
        task.add_done_callback(_log_failure)

    def _interrupt(self, id: str) -> None:
        """Cancel a call; an outcome that is on its way to the database is let be."""
        if id in self._calling:
            self._running[id].cancel()

    async def _lease_until_stopped(self) -> None:
        while not self._stopping:
            await self._work.wait()
            self._work.clear()
            while not self._stopping and (taken := self._slots.take(LEASE_MOST)):
                await self._lease(taken)
                self._resume()
            self._resume()

    async def _lease(self, taken: dict[str, list[str]]) -> None:
        try:
            leased = await self._database.write(_lease, self._worker_id, taken)
        except Exception as error:
            log.warning("leasing failed: %s", logs.kind(error))
            for queue, ids in taken.items():
                self._slots.give_back(queue, len(ids))
            await asyncio.sleep(0.5)
            return
        crash.point("lease.after_commit")
        for queue, ids in taken.items():
            got = sum(job.queue == queue for job in leased)
            self._slots.give_back(queue, len(ids) - got)
        for job in leased:
            self._calling.add(job.id)
            self._running[job.id] = asyncio.create_task(self._run(job))

    def _resume(self) -> None:
        for queue in [queue for queue in self._paused if self._slots.hungry(queue)]:
            self._paused.discard(queue)
            self._consume(queue, True)

    async def _run(self, job: Leased) -> None:
        try:
            await self._settle(await self._outcome(job))
        finally:
            if self._running.get(job.id) is asyncio.current_task():
                del self._running[job.id]
            self._cancelled.discard(job.id)
            self._slots.give_back(job.queue)
            self._work.set()

    async def _outcome(self, job: Leased) -> Outcome:
        """What comes of the job here; when this process stops, handing it back."""
        attempts: list[dict[str, Any]] = orjson.loads(job.attempts) if job.attempts else []
        try:
            return await self._attempt_until_decided(job, attempts)
        except asyncio.CancelledError:
            if job.id in self._cancelled:
                return Ending(job.id, job.epoch, "cancelled", attempts=attempts)
            return Requeue(job.id, job.epoch, job.queue, job.offer, job.failures, clock.now_micros(), attempts)
        except Exception as error:
            log.error("job %s met a fault of ours: %s", job.id, logs.trace(error))
            return endings.fault(job, error, attempts)
        finally:
            self._calling.discard(job.id)

    async def _attempt_until_decided(self, job: Leased, attempts: list[dict[str, Any]]) -> Outcome:
        offers = [Offer(**row) for row in orjson.loads(job.offers)]
        request = orjson.loads(job.request)
        with self._streaming(job, request) as sink:
            ask = Ask(job.id, job.type, request, offers[job.offer], sink)
            return await self._insist(job, ask, offers, attempts)

    async def _insist(self, job: Leased, ask: Ask, offers: Sequence[Offer], attempts: list[dict[str, Any]]) -> Outcome:
        """Call until it went well or is given up; once an answer has begun to be streamed, once only."""
        failures = job.failures
        while True:
            error = await self._attempt(job, ask, attempts)
            if isinstance(error, Ending):
                return error
            if ask.sink is not None and ask.sink.began:
                return endings.broken_off(job, error, attempts)
            failures += 1
            verdict = decide(
                error, failures=failures, base_seconds=settings().retry_base_seconds, jitter=random.random()
            )
            if isinstance(verdict, GiveUp):
                return self._elsewhere(job, offers, verdict, error, attempts)
            if verdict.wait_seconds > IN_PLACE_SECONDS:
                run_at = clock.now_micros() + int(verdict.wait_seconds * clock.MICROS)
                return Requeue(job.id, job.epoch, job.queue, job.offer, failures, run_at, attempts)
            await asyncio.sleep(verdict.wait_seconds)

    async def _attempt(self, job: Leased, ask: Ask, attempts: list[dict[str, Any]]) -> Ending | ProviderError:
        """One call, written down; the job's end when it went well."""
        offer = ask.offer
        record: dict[str, Any] = {"provider": offer.provider, "model": offer.model}
        record["started_at"] = clock.now_seconds()
        attempts.append(record)
        try:
            crash.point("call.before")
            answer = await self._upstream(offer.provider).call(ask)
            if job.type == "image":
                await dress(ask, answer, of_batch=job.batch_id is not None)
            crash.point("call.after")
        except ProviderError as failure:
            error = failure
        else:
            record.update(finished_at=clock.now_seconds(), status_code=answer.status_code, error=None)
            return endings.succeeded(job, offer, answer, attempts)
        finally:
            record.setdefault("finished_at", clock.now_seconds())
            record.setdefault("status_code", None)
            record.setdefault("error", "interrupted")
        record.update(status_code=error.upstream_status, error=error.code or error.message)
        return error

    @contextmanager
    def _streaming(self, job: Leased, request: Mapping[str, Any]) -> Iterator[Sink | None]:
        """Where a job is streamed to while it is called for; a batch's lines have nobody who would read."""
        if self._publisher is None or job.type != "chat.completion" or job.batch_id or not request.get("stream"):
            yield None
            return
        sink = self._publisher.open(job.id, job.epoch)
        try:
            yield sink
        finally:
            sink.end()

    def _upstream(self, provider: str) -> Upstream:
        if upstream := self._upstreams.get(provider):
            return upstream
        raise ProviderError(f"the provider {provider} is not configured here", code="not_configured")

    def _elsewhere(
        self,
        job: Leased,
        offers: Sequence[Offer],
        verdict: GiveUp,
        error: ProviderError,
        attempts: list[dict[str, Any]],
    ) -> Outcome:
        """Fall back to the next offer, on its own provider's queue; or the end."""
        following = choose(offers, after=job.offer) if verdict.elsewhere else None
        if following is None:
            return endings.given_up(job, error, verdict, attempts)
        lane: Lane = "batch" if job.lane == "batch" else "realtime"
        queue = PROBATION if job.cohort else queue_name(offers[following].provider, lane)
        return Requeue(job.id, job.epoch, queue, following, 0, clock.now_micros(), attempts)

    async def _settle(self, outcome: Outcome) -> None:
        """Store it, however long the database is away; the lease's end is what ends the trying."""
        while True:
            try:
                if await self._settler(outcome) == "stale":
                    log.info("job %s was no longer ours; its late answer is dropped", outcome.job_id)
                return
            except Exception as error:
                log.warning("settling %s failed: %s", outcome.job_id, logs.kind(error))
            await asyncio.sleep(0.5)


def _lease(connection: Connection, worker_id: str, taken: Mapping[str, Sequence[str]]) -> list[Leased]:
    leased = jobs.lease(connection, worker_id, taken)
    crash.point("lease.before_commit")
    return leased


def _log_failure(task: "asyncio.Task[Any] | asyncio.Future[Any]") -> None:
    if not task.cancelled() and (error := task.exception()):
        log.warning("leaving jobs to the feeder failed: %s", logs.kind(error))
