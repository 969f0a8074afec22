"""The life of jobs at their worker: lease -> choose -> call -> settle | retry | fall back, on one event loop."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from shared import clock, logs
from shared.background import BackgroundTasks
from shared.broker.bell import bell
from shared.db import Database
from shared.jobs import leases
from shared.jobs.leases import Leased
from shared.jobs.outcomes import Ending, Requeue, Verdict
from shared.queues import provider_of
from shared.settings import settings
from shared.slices import slices
from workers.running import job_rows, outcomes, traced
from workers.running.attempts import Attempts
from workers.running.handing_back import hand_back
from workers.running.job_rows import UnreadableError
from workers.running.leased_ahead import LeasedAhead
from workers.running.leasing import MANY, Leasing
from workers.running.progress_recorder import ProgressRecorder
from workers.running.settler import JobOutcome, Settler
from workers.running.slots import Slots
from workers.running.unwritten_leases import UnwrittenLeases

log = logging.getLogger(__name__)

#: Rows changed in one transaction.
MOST_ROWS = 1000
#: A job that another version wrote and this one cannot read is left alone for so long, in microseconds.
UNREADABLE_MICROS = 15 * clock.MICROS


class Engine:
    """Runs the jobs of one process. All is called on its event loop."""

    def __init__(
        self,
        database: Database,
        worker_id: str,
        attempts: Attempts,
        slots: Slots,
        settler: Settler,
        *,
        consume: Callable[[str, bool], None] = lambda queue, on: None,
    ) -> None:
        self._database = database
        self._attempts = attempts
        self._slots = slots
        self._settler = settler
        self._running: dict[str, asyncio.Task[None]] = {}
        #: Those of them that have no answer yet, which alone may be interrupted.
        self._calling: set[str] = set()
        self._cancelled: set[str] = set()
        self._side = BackgroundTasks(log, "could not return jobs to the feeder: %s")
        #: Jobs that were put back to be run at once and are not offered yet, by queue.
        self._at_once: dict[str, list[str]] = {}
        self._astray: set[tuple[str, int]] = set()
        self._recorder = ProgressRecorder(database)
        #: Those of them that were begun by a first lease, until they are settled.
        self._unsettled_first: set[str] = set()
        self._ahead = LeasedAhead(slots, self._begin, self._hand_back)
        self._leasing = Leasing(
            *(database, worker_id, slots, consume),
            busy=lambda: len(self._running),
            begin=self._ahead.add,
            begin_first=self._begin_first,
            is_first=lambda id: id in self._unsettled_first,
            leave=self._unwake,
        )
        self._unwritten = UnwrittenLeases(database, worker_id, self._taken_away)

    def start(self) -> None:
        """Lease whatever is offered from now on."""
        self._leasing.start()
        self._recorder.start()

    def offer(self, queue: str, ids: Sequence[str], *, first: bool = False) -> None:
        """Take note of ids that may be leased; those there is no room for go back to the feeder. `first`: theirs is the
        first lease.
        """
        self._leasing.offer(queue, ids, first=first)

    def cancel(self, ids: Sequence[str]) -> None:
        """Stop calling for these jobs, if they are running here; an answer already there wins."""
        for id in ids:
            if id in self._ahead:
                self._cancelled.add(id)  # it is begun to be ended: nobody is called
                self._ahead.out_of_turn(id)
            elif id in self._calling and id not in self._cancelled:
                # Not at once: a task cancelled before its first step never runs, not even its `finally`.
                asyncio.get_running_loop().call_soon(self._call_off, id)

    def reconcile(self, held: Sequence[tuple[str, int]]) -> None:
        """Hand back what the rows say is running here and is not, at two beats in a row: a lease whose COMMIT was
        ambiguous, an outcome that was lost.
        """
        missing = {(id, epoch) for id, epoch in held if id not in self._running and id not in self._ahead}
        if lost := sorted(missing & self._astray):
            log.warning(
                "%d jobs are leased to this worker but not running here: returning them to the queue", len(lost)
            )
            self._hand_back(lost)
        self._astray = missing

    @property
    def busy(self) -> int:
        """Jobs leased and not yet settled."""
        return len(self._running)

    async def quiet(self) -> None:
        """Until nothing that was offered, or put back to be run at once, waits for a slot, is being leased, or runs."""
        while self._slots.busy() or self._at_once:
            if self._running:
                await asyncio.wait(list(self._running.values()), return_when=asyncio.FIRST_COMPLETED)
            else:
                await asyncio.sleep(0.01)

    def stop_leasing(self) -> None:
        """Take nothing more, and begin nothing more that only was leased; what is offered is left to others."""
        self._leasing.stop()
        self._ahead.drop_all()

    def _hand_back(self, held: Sequence[tuple[str, int]]) -> None:
        for some in slices(held, MOST_ROWS):
            self._side.start(hand_back(self._database, some))

    def _go_on(self, queue: str) -> None:
        """A slot may be free: for a job leased already, unless an operator has paused its provider meanwhile."""
        if provider_of(queue) in self._attempts.paused():
            self._ahead.drop(queue)
        self._ahead.fill(queue)
        self._leasing.wake()

    async def stop(self, drain_seconds: float) -> None:
        """Stop leasing, wait for the calls under way, hand back what is left.

        Without a drain they end before anything is waited for: the lease is over, and the database may hang.
        """
        self.stop_leasing()
        if not drain_seconds:
            self._interrupt_all()
        await self._leasing.stopped()
        self._ahead.drop_all()  # what was being leased meanwhile
        self._unwake(self._slots.drop_waiting())
        if self._running and drain_seconds > 0:
            await asyncio.wait(list(self._running.values()), timeout=drain_seconds)
        self._interrupt_all()
        # What a database that is away does not take by then is the sweeper's.
        with suppress(TimeoutError):
            async with asyncio.timeout(settings().lease_seconds):
                await self._settled()
        await self._recorder.stop()

    async def _settled(self) -> None:
        """Until nothing runs, and what was put back is left to others."""
        while True:
            self._offer_at_once()
            if not (ending := [*self._running.values(), *self._side]):
                return
            await asyncio.wait(ending)

    def _unwake(self, ids: Sequence[str]) -> None:
        for some in slices(ids, MOST_ROWS):
            self._side.start(self._database.write(leases.unwake, list(some)))

    def _interrupt_all(self) -> None:
        for id in list(self._calling):
            self._interrupt(id)

    def _interrupt(self, id: str) -> None:
        """Cancel a call; an outcome that is on its way to the database is let be."""
        if id in self._calling:
            self._running[id].cancel()

    def _call_off(self, id: str) -> None:
        """Cancel a call, unless all of its answer has been sent on, so that only its settlement is left."""
        if id in self._calling and not self._recorder.whole(id):
            self._cancelled.add(id)
            self._running[id].cancel()

    def _begin(self, job: Leased) -> None:
        self._calling.add(job.id)
        self._running[job.id] = asyncio.create_task(self._run(job))

    def _taken_away(self, id: str) -> None:
        """The lease of a job that was begun first is refused: others may run it, if it is still queued."""
        self._interrupt(id)
        self._unwake([id])

    def _begin_first(self, job: Leased, at: int) -> None:
        self._unsettled_first.add(job.id)
        self._unwritten.add(job, at)
        self._slots.hold(job.queue, beyond=True)
        self._begin(job)

    async def _run(self, job: Leased) -> None:
        with traced.job(job):
            await self._run_and_settle(job)

    async def _run_and_settle(self, job: Leased) -> None:
        freed: int | None = None
        try:
            outcome = await self._unwritten.ended(job, await self._outcome(job))
            if isinstance(outcome, Requeue):
                await self._put_back(outcome, job)
            else:
                self._slots.went(job.queue)
                freed = self._let_go(outcome, job)
                await self._settle(outcome, patient=job.lane == "batch" and len(self._running) >= MANY)
        finally:
            if self._running.get(job.id) is asyncio.current_task():
                del self._running[job.id]
            self._cancelled.discard(job.id)
            if job.id in self._unsettled_first:
                self._unsettled_first.discard(job.id)
                self._leasing.settled(job.id)
            if freed is None:
                self._slots.leave(job.queue)
            else:
                self._slots.written(job.queue, freed)
            self._go_on(job.queue)

    def _let_go(self, ending: Ending, job: Leased) -> int | None:
        """Let another job have the slot while this one's end is written down: the size of its answer; None: not yet."""
        size = len(ending.response or ending.partial or "")
        if not self._slots.end(job.queue, size):
            return None
        self._go_on(job.queue)
        return size

    async def _outcome(self, job: Leased) -> JobOutcome:
        """What comes of the job here; when this process stops, handing it back."""
        attempts: list[dict[str, Any]] = []
        partial = self._recorder.open(job)
        try:
            attempts = job_rows.attempts(job)
            if job.id in self._cancelled:
                return outcomes.cut_short(job, "cancelled", attempts, partial)
            return await self._attempts.run(job, attempts, partial)
        except UnreadableError as error:
            log.warning(
                "job %s is of another version (%s): leaving it to workers that can read it",
                job.id,
                error,
            )
            run_at = clock.now_micros() + UNREADABLE_MICROS
            return Requeue(job.id, job.epoch, job.queue, job.offer, job.failures, run_at, deferred_for="unreadable")
        except asyncio.CancelledError:
            if job.id in self._cancelled:
                return outcomes.cut_short(job, "cancelled", attempts, partial)
            progress = outcomes.progress(job, partial)
            return Requeue(job.id, job.epoch, job.queue, job.offer, job.failures, 0, attempts, relayed=progress)
        except Exception as error:
            log.error("job %s failed on an internal error: %s", job.id, logs.trace(error))
            return outcomes.fault(job, error, attempts, partial)
        finally:
            self._calling.discard(job.id)
            self._recorder.close(job)

    async def _put_back(self, back: Requeue, job: Leased) -> None:
        """Put a job back: for later, when its queue is leased from more slowly; or at once, mostly on another queue.

        One that turns to another offer or step has not been leased in vain: the others here may turn as well.
        """
        if back.deferred_for is not None:
            self._slots.brake(back.queue, clock.monotonic())
        elif back.step is not None or back.offer != job.offer:
            self._slots.went(job.queue)
        if await self._settle(back) == "done" and back.wake:
            if not self._at_once:  # together with those that the same transaction has put back
                asyncio.get_running_loop().call_soon(self._offer_at_once)
            self._at_once.setdefault(back.queue, []).append(back.job_id)

    def _offer_at_once(self) -> None:
        at_once, self._at_once = self._at_once, {}
        for queue, ids in at_once.items():
            if self._slots.serves(queue):
                self.offer(queue, ids)
            else:
                self._side.start(self._wake(queue, ids))

    async def _wake(self, queue: str, ids: list[str]) -> None:
        if not await asyncio.wrap_future(bell().ring(queue, ids)):
            await self._database.write(leases.unwake, ids)

    async def _settle(self, outcome: JobOutcome, *, patient: bool = False) -> Verdict:
        """Store it, however long the database is away; the lease's end is what ends the trying."""
        while True:
            try:
                verdict = await self._settler(outcome, patient=patient)
                if verdict == "stale":
                    log.info("job %s is no longer leased to this worker: its late result is discarded", outcome.job_id)
                return verdict
            except Exception as error:
                log.warning("could not settle job %s, trying again: %s", outcome.job_id, logs.kind(error))
            await asyncio.sleep(0.5)
