"""A model of the lease protocol beside the real one: several workers, stale answers, sweeps, cancels, virtual time."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from producer.operations import jobs as jobs_ops
from shared import clock
from shared.db import Database
from shared.db import models as m
from shared.jobs import first_leases, leases
from shared.jobs.leases import Leased
from shared.jobs.outcomes import Ending, Requeue
from shared.queues import PROBATION
from shared.settings import settings
from tests.integration import world
from workers.maintenance import overdue, recovery
from workers.running import lease

#: Shifts of the clock: three of them outlive a lease of 30 s, two do not.
STEP_MICROS = 11 * clock.MICROS
LEASE_MICROS = int(settings().lease_seconds * clock.MICROS)
OPEN = ("queued", "running")


@dataclass
class Worker:
    """What the model thinks of an incarnation."""

    probation: bool
    until: int
    lapsed: bool = False
    lost: int = 0
    #: When it ended otherwise than in good order.
    gone: int = 0

    @property
    def alive(self) -> bool:
        return not self.lapsed and self.until > clock.now_micros()


@dataclass
class Job:
    """What the model thinks of a job; `done` is what its holder of this epoch did to it."""

    expires: int
    status: str = "queued"
    epoch: int = 0
    queue: str = world.QUEUE
    worker: str | None = None
    run_at: int = 0
    cohort: int = 0
    losses: int = 0
    excused: int = 0
    flagged: bool = False
    done: str = ""
    ended: int = 0
    #: Its doorbell was its first lease, and is it as long as it has not been leased.
    given: bool = False

    def end(self, status: str, *, takes: bool) -> None:
        assert self.status in OPEN, "a job ends once"
        self.status, self.worker = status, None
        self.epoch += takes
        self.ended += 1


@dataclass(frozen=True)
class Held:
    """An answer that some worker has, now or long after the job was taken from it."""

    job: Leased = field(hash=False)
    worker: str
    #: Of one that was begun on the word of its doorbell, when; None: its lease was written first.
    began: int | None = None

    @property
    def unwritten(self) -> bool:
        return self.began is not None and self.job.epoch == 0


class LeaseMachine(RuleBasedStateMachine):
    """Register, renew, lease, settle, requeue, lapse, take back, cancel, expire; late answers at any time."""

    database: Database

    def __init__(self) -> None:
        super().__init__()
        self.shift = clock.shift_micros()
        world.wipe(self.database)
        self.holder = world.open_account(self.database, 100_000)
        self.workers: dict[str, Worker] = {}
        self.jobs: dict[str, Job] = {}
        self.held: list[Held] = []
        self.epochs: dict[str, int] = {}
        #: When those were begun that ended without that a lease was written.
        self.begun: dict[str, int] = {}
        self.register(False)
        self.accept(3)
        self._lease(min(self.workers), sorted(self.jobs), None)

    def teardown(self) -> None:
        clock.shift(self.shift - clock.shift_micros())

    @rule(probation=st.booleans())
    def register(self, probation: bool) -> None:
        id = world.new_worker(self.database, probation=probation)
        self.workers[id] = Worker(probation, clock.now_micros() + LEASE_MICROS)

    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        id = data.draw(st.sampled_from(sorted(self.workers)))
        flagged = self.database.write_sync(lease.renew, id)
        if not self.workers[id].alive:
            assert flagged is None, "a lapsed incarnation never comes back"
            return
        self.workers[id].until = clock.now_micros() + LEASE_MICROS
        mine = {key for key, job in self.jobs.items() if job.worker == id and job.flagged and job.status == "running"}
        assert flagged is not None and set(flagged) == mine

    @rule(count=st.integers(1, 4), given=st.booleans())
    def accept(self, count: int, given: bool = False) -> None:
        expires = clock.now_micros() + settings().job_expires_seconds * clock.MICROS
        for id in world.queued(self.database, self.holder, count, bound=10):
            self.jobs[id] = Job(expires, queue=world.row(self.database, id)["queue"], given=given)
            if given:
                self._give(id)

    def _give(self, id: str) -> None:
        woken = clock.now_micros()
        self.jobs[id].run_at = woken + leases.GIVEN_MICROS
        world.change(self.database, id, woken_at=woken, run_at=self.jobs[id].run_at)

    @rule()
    def time_passes(self) -> None:
        clock.shift(STEP_MICROS)

    @precondition(lambda self: any(job.worker for job in self.jobs.values()))
    @rule()
    def everybody_is_lost(self) -> None:
        """The way of most stale answers: leases run out, jobs are taken back, and a new worker is there."""
        clock.shift(3 * STEP_MICROS)
        self.lapse()
        self.take_back()
        self.register(False)
        self._lease(max(self.workers), sorted(self.jobs)[:5], None)

    @precondition(lambda self: len(self.jobs) > 3)
    @rule()
    def a_day_passes(self) -> None:
        clock.shift(settings().job_expires_seconds * clock.MICROS // 2 + STEP_MICROS)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def lease(self, data: st.DataObject) -> None:
        id = data.draw(st.sampled_from(sorted(self.workers)))
        ids = data.draw(st.lists(st.sampled_from(sorted(self.jobs)), min_size=1, max_size=5, unique=True))
        self._lease(id, ids, "google.batch" if data.draw(st.integers(0, 9)) == 9 else None)

    def _lease(self, id: str, ids: list[str], wrong_queue: str | None) -> None:
        leased = world.take(self.database, id, ids, queue=wrong_queue)
        now = clock.now_micros()
        due = {
            key for key in ids if (job := self.jobs[key]).status == "queued" and job.run_at <= now and not job.flagged
        }
        assert {job.id for job in leased} == (due if self.workers[id].alive and not wrong_queue else set())
        for job in sorted(leased, key=lambda job: job.id):
            mine = self.jobs[job.id]
            mine.status, mine.worker, mine.epoch, mine.done = "running", id, mine.epoch + 1, ""
            assert job.epoch == mine.epoch
            self.held.append(Held(job, id))

    @precondition(lambda self: any(job.given and job.status == "queued" for job in self.jobs.values()))
    @rule(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        """Workers begin what they are given just now, though it is given to several of them."""
        given = [key for key, job in sorted(self.jobs.items()) if job.given]
        ids = data.draw(st.lists(st.sampled_from(given), min_size=1, max_size=3, unique=True))
        for id in filter(self._is_waiting, ids):
            self._give(id)
        for worker in data.draw(st.lists(st.sampled_from(sorted(self.workers)), min_size=1, max_size=2, unique=True)):
            wanted: dict[str, list[str]] = {}
            for id in ids:
                wanted.setdefault(self.jobs[id].queue, []).append(id)
            at, begun = self.database.read_sync(first_leases.read, worker, wanted)
            mine = set(filter(self._is_waiting, ids))
            assert {job.id for job in begun} == (mine if self.workers[worker].alive else set())
            self.held += [Held(job, worker, at) for job in sorted(begun, key=lambda job: job.id)]

    def _is_waiting(self, id: str) -> bool:
        return self.jobs[id].status == "queued" and self.jobs[id].epoch == 0

    @precondition(lambda self: any(held.unwritten for held in self.held))
    @rule(data=st.data())
    def write_late(self, data: st.DataObject) -> None:
        """The lease of what was begun is written, or refused; again, should it not be known that it was."""
        held = data.draw(st.sampled_from([held for held in self.held if held.unwritten]))
        id, job = held.job.id, self.jobs[held.job.id]
        if self._is_waiting(id) and self.workers[held.worker].alive:
            job.status, job.worker, job.epoch, job.run_at = "running", held.worker, 1, 0
        mine = (job.status, job.worker, job.epoch) == ("running", held.worker, 1)
        for _ in range(2):
            written = self.database.write_sync(first_leases.write, held.worker, {id: held.began or 0})
            assert written == ({id} if mine else set())
        if mine:
            held.job.epoch = 1

    @precondition(lambda self: self.held)
    @rule(data=st.data(), group=st.integers(1, 4))
    def answer(self, data: st.DataObject, group: int) -> None:
        """Workers answer for jobs they have, had, or answered for before."""
        answers = data.draw(
            st.lists(st.sampled_from(self.held), min_size=1, max_size=group, unique_by=lambda h: h.job.id)
        )
        outcomes: list[Any] = []
        for held in answers:
            job = held.job
            kinds = ["succeeded", "failed", "cancelled", *([] if held.unwritten else ["requeue", "requeue later"])]
            kind = data.draw(st.sampled_from(kinds))
            outcome = self._outcome(job, kind)
            if held.unwritten and isinstance(outcome, Ending):
                told = {"error": held.worker}
                outcome = replace(outcome, came_from="queued", began_at=held.began, attempts=[told])
            outcomes.append(outcome)
        verdicts = world.settle(self.database, *outcomes).verdicts
        for outcome in outcomes:
            assert verdicts[outcome.job_id] == self._expect(outcome), outcome

    def _outcome(self, job: Leased, kind: str) -> Ending | Requeue:
        if kind.startswith("requeue"):
            run_at = clock.now_micros() + (2 * STEP_MICROS if "later" in kind else 0)
            return Requeue(job.id, job.epoch, "google.realtime", job.offer, job.failures + 1, run_at)
        charge = 5 if kind == "succeeded" else 0
        return Ending(job.id, job.epoch, kind, charge_micros=charge)  # type: ignore[arg-type]

    def _expect(self, outcome: Ending | Requeue) -> str:
        """The verdict there must be; and the model follows."""
        job = self.jobs[outcome.job_id]
        what = "requeued" if isinstance(outcome, Requeue) else outcome.status
        if isinstance(outcome, Ending) and outcome.began_at is not None:
            what = f"{what} {outcome.attempts}"
            if self._is_waiting(job_id := outcome.job_id):
                job.end(outcome.status, takes=True)
                job.done, self.begun[job_id] = what, outcome.began_at
                return "done"
            return "done" if job.done == what else "stale"
        if job.epoch != outcome.epoch:
            return "stale"
        if job.status == "running":
            job.done = what
            if isinstance(outcome, Requeue):
                job.status, job.worker, job.queue, job.run_at = "queued", None, outcome.queue, outcome.run_at
            else:
                job.end(outcome.status, takes=False)
            return "done"
        return "done" if job.done == what else "stale"

    @rule()
    def lapse(self) -> None:
        over = {id for id, worker in self.workers.items() if not worker.lapsed and not worker.alive}
        assert set(self.database.write_sync(recovery.lapse)) == over
        now = clock.now_micros()
        together = len(over) > 1 or any(
            worker.gone > now - recovery.TOGETHER_BEATS * settings().beat_seconds * clock.MICROS
            for worker in self.workers.values()
            if not worker.probation
        )
        for id in over:
            self.workers[id].lapsed, self.workers[id].gone = True, now
            self.workers[id].lost = 0 if together else sum(job.worker == id for job in self.jobs.values())

    @rule(data=st.data())
    def resign(self, data: st.DataObject) -> None:
        id = data.draw(st.sampled_from(sorted(self.workers)))
        self.database.write_sync(lease.resign, id)
        self.workers[id].lapsed = True

    @rule()
    def take_back(self) -> None:
        mine = [job for job in self.jobs.values() if job.worker and self.workers[job.worker].lapsed]
        touched, _ = self.database.write_sync(recovery.take_back)
        assert touched == len(mine)
        for job in mine:
            assert job.worker is not None
            worker = self.workers[job.worker]
            if job.flagged:
                job.end("cancelled", takes=True)
            elif worker.probation and worker.lost == 1 and job.cohort == 1 and job.losses >= recovery.POISON_LOSSES - 1:
                job.end("failed", takes=True)
            else:
                job.status, job.worker, job.epoch = "queued", None, job.epoch + 1
                if worker.lost:
                    job.losses += 1
                    job.queue, job.cohort = PROBATION if job.cohort else job.queue, max(1, worker.lost // 2)
                else:
                    job.excused += 1
                    if job.excused > recovery.MOST_EXCUSED:
                        job.queue, job.cohort = PROBATION, job.cohort or recovery.SUSPECTS

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        id = data.draw(st.sampled_from(sorted(self.jobs)))
        shown, _ = self.database.write_sync(jobs_ops.cancel_job, self.holder, id)
        job = self.jobs[id]
        if job.status == "queued":
            job.end("cancelled", takes=True)
        elif job.status == "running":
            job.flagged = True
        assert (shown["status"], shown["cancel_requested"]) == (job.status, job.flagged)

    @rule()
    def end_overdue(self) -> None:
        self.database.write_sync(overdue.end_overdue)
        for job in self.jobs.values():
            if job.status in OPEN and job.expires <= clock.now_micros():
                job.end("cancelled" if job.flagged else "expired", takes=True)
            elif job.status == "queued" and job.flagged:
                job.end("cancelled", takes=True)

    @invariant()
    def the_rows_agree(self) -> None:
        for row in world.rows(self.database, m.jobs):
            job = self.jobs[row["id"]]
            assert (row["status"], row["lease_epoch"], row["worker_id"]) == (job.status, job.epoch, job.worker)
            assert (row["queue"], row["cohort"], row["cancel_requested"]) == (job.queue, job.cohort, job.flagged)
            assert row["id"] not in self.begun or row["started_at"] == self.begun[row["id"]]
            assert row["lease_epoch"] >= self.epochs.get(row["id"], 0), "an epoch never goes back"
            self.epochs[row["id"]] = row["lease_epoch"]

    @invariant()
    def each_end_is_told_once_and_the_money_is_exact(self) -> None:
        told = [type for type in world.events(self.database, self.holder.account_id) if type.startswith("job.")]
        assert len(told) == sum(job.ended for job in self.jobs.values())
        assert world.violations(self.database) == []


@pytest.mark.timeout(900)
@pytest.mark.parametrize("examples", [12, pytest.param(200, marks=pytest.mark.chaos)])
def test_the_protocol_never_differs_from_its_model(database: Database, examples: int) -> None:
    machine: Any = type("Machine", (LeaseMachine,), {"database": database})
    with world.virtual_time():
        run_state_machine_as_test(
            machine,
            settings=hypothesis_settings(
                max_examples=examples,
                stateful_step_count=25,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
