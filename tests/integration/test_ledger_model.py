"""A model of the ledger beside the real one, on both databases: after each step they agree, and nothing is violated.

The model keeps grants that expire lot by lot: each charge takes from them at once, in the order of their expiry.
"""

import contextlib
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from producer.admission.prepared import Accepted
from producer.operations import jobs as jobs_ops
from shared import clock
from shared.audit import Action
from shared.db import Database
from shared.db import models as m
from shared.errors import Conflict, InsufficientCredits
from shared.jobs.leases import Leased
from shared.jobs.outcomes import Ending
from shared.key_holders import KeyHolder
from shared.money import corrections, grants, ledger, unspent
from tests.integration import world
from tests.integration.world import CREDIT
from workers.maintenance.credit_admission import CreditAdmission
from workers.maintenance.overdue import end_overdue, overdue

MONEY = st.integers(1, 200 * CREDIT) | st.sampled_from([1, 50 * CREDIT, 100 * CREDIT])
WHO = st.integers(0, 2)
HOUR = 3600 * clock.MICROS


@dataclass
class Lot:
    """A grant that expires, in the model."""

    id: str
    expires_at: int
    warn_at: int | None
    unspent: int


@dataclass
class Purse:
    """What the model thinks of an account."""

    holder: KeyHolder
    available: int = 0
    held: int = 0
    spent: int = 0
    armed: bool = False
    exhausted_armed: bool = True
    end_armed: bool = True
    events: list[str] = field(default_factory=list)
    test_events: list[str] = field(default_factory=list)
    jobs: dict[str, int] = field(default_factory=dict)
    #: Jobs that wait for credit, in their order, and what is to be held for each.
    line: dict[str, int] = field(default_factory=dict)
    held_at: dict[str, int] = field(default_factory=dict)
    #: What of each job's charge has not been refunded.
    refundable: dict[str, int] = field(default_factory=dict)
    lots: list[Lot] = field(default_factory=list)
    #: What each of its jobs was to hold, in their order, as of the last group.
    bounds: dict[str, int] = field(default_factory=dict)
    #: Lots that have been swept since they expired.
    swept: set[str] = field(default_factory=set)

    @property
    def frozen(self) -> int:
        """What has expired and may not be held: but for what was held then."""
        covered, found = 0, 0
        now = clock.now_micros()
        if not any(lot.id in self.swept for lot in self.lots):
            return 0  # a sweeper is to look first
        for lot in [lot for lot in sorted(self.lots, key=lambda lot: (lot.expires_at, lot.id)) if lot.expires_at < now]:
            kept = min(lot.unspent, max(0, self.held_since(lot.expires_at) - covered))
            covered += kept
            found += lot.unspent - kept
        return found

    @property
    def holdable(self) -> int:
        return max(0, self.available - self.frozen)

    def hold(self, id: str, bound: int) -> None:
        self.available -= bound
        self.held += bound
        self.jobs[id], self.held_at[id] = bound, clock.now_micros()

    def top_up(self, micros: int) -> None:
        self.available += micros
        self.exhausted_armed = self.end_armed = True
        self.watch()

    def spend_lots(self, micros: int) -> None:
        """One lot after the other, the first to expire first; credits that do not expire pay the rest."""
        for lot in sorted(self.lots, key=lambda lot: (lot.expires_at, lot.id)):
            taken = min(lot.unspent, micros)
            lot.unspent -= taken
            micros -= taken
        self.lots = [lot for lot in self.lots if lot.unspent]

    def watch(self) -> None:
        """The default threshold: 100 credits remain."""
        above = self.available + self.held > 100 * CREDIT
        if self.armed and not above:
            self.events.append("credit.threshold")
        self.armed = above

    def refuse(self) -> None:
        """It is news where less is left than any of its jobs was to hold; with more it was a dear request."""
        left, paid = self.holdable, [bound for bound in self.bounds.values() if bound]
        ended = not left or (paid and left < min(paid))
        if ended and (self.exhausted_armed or (self.end_armed and not left)):
            self.exhausted_armed, self.end_armed = False, left > 0
            self.events.append("credit.exhausted")

    def lessen(self) -> None:
        """Less remains: that nothing does is news, unless that was told."""
        if not self.available + self.held and (self.exhausted_armed or self.end_armed):
            self.exhausted_armed = self.end_armed = False
            self.events.append("credit.exhausted")

    def held_since(self, at: int) -> int:
        return sum(bound for id, bound in self.jobs.items() if self.held_at[id] <= at)

    def sweep(self, now: int) -> None:
        covered, reduced = 0, False
        for lot in [lot for lot in sorted(self.lots, key=lambda lot: (lot.expires_at, lot.id)) if lot.expires_at < now]:
            kept = min(lot.unspent, max(0, self.held_since(lot.expires_at) - covered))
            covered += kept
            self.swept.add(lot.id)
            taken = min(lot.unspent - kept, self.available)
            lot.unspent -= taken
            self.available -= taken
            if taken:
                reduced = True
                self.lessen()
        for lot in sorted(self.lots, key=lambda lot: (lot.expires_at, lot.id)):
            if lot.warn_at is not None and lot.warn_at < now:
                lot.warn_at = None
                self.events += ["credit.expiring"] * (lot.expires_at > now and lot.unspent > 0)
        self.lots = [lot for lot in self.lots if lot.unspent]
        if reduced:
            self.watch()


class LedgerMachine(RuleBasedStateMachine):
    """Grants, holds, charges, releases, refusals, cancels, refunds, adjustments and expiries in any order."""

    database: Database

    def __init__(self) -> None:
        super().__init__()
        world.wipe(self.database)
        self.purses = [Purse(world.open_account(self.database, 0)) for _ in range(3)]
        self.shifts = contextlib.ExitStack()
        self.shifts.enter_context(world.virtual_time())

    def teardown(self) -> None:
        self.shifts.close()

    @rule(who=WHO, micros=MONEY)
    def grant(self, who: int, micros: int) -> None:
        purse = self.purses[who]
        self.database.write_sync(ledger.grant, purse.holder.account_id, micros)
        purse.top_up(micros)

    @rule(who=WHO, micros=MONEY, hours=st.integers(1, 40))
    def grant_for_a_while(self, who: int, micros: int, hours: int) -> None:
        purse = self.purses[who]
        until = clock.now_micros() + hours * HOUR
        self.database.write_sync(
            corrections.grant, Action("a", "credits.grant"), purse.holder.account_id, micros, until
        )
        new = max(world.rows(self.database, m.credit_grants), key=lambda row: row["id"])
        purse.lots.append(Lot(new["id"], until, new["warn_at"], micros))
        purse.top_up(micros)

    @rule(hours=st.integers(0, 12))
    def sweep_later(self, hours: int) -> None:
        clock.shift(hours * HOUR)
        self._expire_jobs()
        now = clock.now_micros()
        ids = [purse.holder.account_id for purse in self.purses]
        for _ in range(2):  # a second time changes nothing
            self.database.write_sync(grants.expire, ids, now)
        for purse in self.purses:
            purse.sweep(now)

    def _expire_jobs(self) -> None:
        ids = self.database.read_sync(overdue)
        self.database.write_sync(end_overdue, ids)
        waited = [(purse, id) for purse in self.purses for id in ids if id in purse.line]
        for purse, id in waited:  # it holds nothing
            del purse.line[id]
            purse.events.append("job.expired")
        known = {id for _, id in waited}
        self._end([Ending(id, 0, "expired") for id in ids if id not in known])

    @precondition(lambda self: any(purse.refundable for purse in self.purses))
    @rule(data=st.data(), micros=MONEY | st.none())
    def refund(self, data: st.DataObject, micros: int | None) -> None:
        id = data.draw(st.sampled_from(sorted(id for purse in self.purses for id in purse.refundable)))
        purse = next(purse for purse in self.purses if id in purse.refundable)
        left = purse.refundable[id]
        given = left if micros is None else micros
        try:
            self.database.write_sync(corrections.refund, Action("a", "credits.refund", "bad answer"), id, micros)
        except Conflict:
            assert given > left or not left
        else:
            assert 0 < given <= left
            purse.refundable[id] -= given
            purse.top_up(given)

    @rule(who=WHO, micros=MONEY, takes=st.booleans())
    def adjust(self, who: int, micros: int, takes: bool) -> None:
        purse = self.purses[who]
        why = Action("a", "credits.adjust", "a typing error")
        change = -micros if takes else micros
        try:
            self.database.write_sync(corrections.adjust, why, purse.holder.account_id, change)
        except Conflict:
            assert takes and micros > purse.available
            return
        if not takes:
            purse.top_up(micros)
            return
        assert micros <= purse.available
        purse.available -= micros
        purse.spend_lots(micros)
        purse.lessen()
        purse.watch()

    @rule(asked=st.lists(st.tuples(WHO, st.integers(1, 3), st.integers(0, 80 * CREDIT)), min_size=1, max_size=4))
    def accept_a_group(self, asked: list[tuple[int, int, int]]) -> None:
        orders = [
            world.order(self.database, self.purses[who].holder, count=count, bound=bound, listed=count > 1)
            for who, count, bound in asked
        ]
        outcomes = world.accept_all(self.database, orders)
        for (who, count, bound), order, outcome in zip(asked, orders, outcomes, strict=True):
            purse = self.purses[who]
            if count * bound <= purse.holdable:
                assert isinstance(outcome, Accepted)
                for row in order.rows:
                    purse.hold(row["id"], bound)
            else:
                assert isinstance(outcome, InsufficientCredits)
                purse.refuse()
        for (who, _, bound), order, outcome in zip(asked, orders, outcomes, strict=True):
            if isinstance(outcome, Accepted):
                self.purses[who].bounds |= dict.fromkeys((str(row["id"]) for row in order.rows), bound)

    @rule(who=WHO, bound=st.integers(0, 80 * CREDIT))
    def accept_one_that_may_wait(self, who: int, bound: int) -> None:
        purse = self.purses[who]
        order = world.order(self.database, purse.holder, bound=bound)
        order.waits = True
        (outcome,) = world.accept_all(self.database, [order])
        id, short = str(order.rows[0]["id"]), bound > purse.holdable
        assert isinstance(outcome, Accepted) and outcome.waits == (short or bool(purse.line))
        if short:
            purse.refuse()
        if outcome.waits:
            purse.line[id] = bound
        else:
            purse.hold(id, bound)
        purse.bounds[id] = bound

    @rule()
    def let_in_who_waits(self) -> None:
        CreditAdmission(self.database).run_once()
        for purse in self.purses:
            while purse.line and (first := next(iter(purse.line))) and purse.line[first] <= purse.holdable:
                purse.hold(first, purse.line.pop(first))

    @precondition(lambda self: any(purse.line for purse in self.purses))
    @rule(data=st.data())
    def cancel_one_that_waits(self, data: st.DataObject) -> None:
        id = data.draw(st.sampled_from(sorted(id for purse in self.purses for id in purse.line)))
        purse = next(purse for purse in self.purses if id in purse.line)
        assert self._taken([id]) == []
        self.database.write_sync(jobs_ops.cancel_job, purse.holder, id)
        del purse.line[id]
        purse.events.append("job.cancelled")

    def _taken(self, ids: list[str]) -> list[Leased]:
        """Leased by a worker that has just begun: of one that began long ago the lease is over on a slow machine."""
        taken = world.take(self.database, world.new_worker(self.database), ids)
        return sorted(taken, key=lambda job: job.id)

    def _some(self, data: st.DataObject, most: int = 4) -> list[str]:
        ids = sorted(id for purse in self.purses for id in purse.jobs)
        return data.draw(st.lists(st.sampled_from(ids), min_size=1, max_size=most, unique=True))

    def _purse_of(self, id: str) -> Purse:
        return next(purse for purse in self.purses if id in purse.jobs)

    @precondition(lambda self: any(purse.jobs for purse in self.purses))
    @rule(data=st.data())
    def end_a_group(self, data: st.DataObject) -> None:
        endings: list[Ending] = []
        for job in self._taken(self._some(data)):
            good = data.draw(st.booleans())
            charge = data.draw(st.integers(0, job.bound_micros)) if good else 0
            endings.append(world.good_end(job, charge) if good else Ending(job.id, job.epoch, "failed", error={"a": 1}))
        assert set(world.settle(self.database, *endings).verdicts.values()) <= {"done"}
        assert set(world.settle(self.database, *endings).verdicts.values()) <= {"done"}, "a second time changes nothing"
        self._end(endings)

    def _end(self, endings: list[Ending]) -> None:
        """In the order of the real one: each job's money and event, then the thresholds of the whole group."""
        charged: list[Purse] = []
        for ending in self._in_order(endings):
            waiting = next((purse for purse in self.purses if ending.job_id in purse.line), None)
            if waiting is not None:  # until its deadline, for credit: nothing was held
                del waiting.line[ending.job_id]
                waiting.events.append("job." + ending.status)
                continue
            purse = self._purse_of(ending.job_id)
            bound = purse.jobs.pop(ending.job_id)
            purse.held -= bound
            purse.available += bound - ending.charge_micros
            purse.spent += ending.charge_micros
            if ending.charge_micros:
                purse.refundable[ending.job_id] = ending.charge_micros
                purse.spend_lots(ending.charge_micros)
                purse.lessen()
            purse.events.append("job.completed" if ending.status == "succeeded" else "job." + ending.status)
            if ending.charge_micros and purse not in charged:
                charged.append(purse)
        for purse in charged:
            purse.watch()

    def _in_order(self, endings: list[Ending]) -> list[Ending]:
        """As the events say it was; of one kind of ending any order is right."""
        told: list[str] = []
        for purse in self.purses:
            for event in world.rows(self.database, m.events, account_id=purse.holder.account_id):
                told += [ending.job_id for ending in endings if ending.job_id in event["data"]]
        return sorted(endings, key=lambda ending: told.index(ending.job_id))

    @precondition(lambda self: any(purse.jobs for purse in self.purses))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        (id,) = self._some(data, most=1)
        purse = self._purse_of(id)
        job, _ = self.database.write_sync(jobs_ops.cancel_job, purse.holder, id)
        assert job["status"] == "cancelled" and job["usage"]["credits_used"] == 0
        self._end([Ending(id, 0, "cancelled")])

    @rule(who=WHO, count=st.integers(1, 3))
    def run_test_jobs(self, who: int, count: int) -> None:
        purse = self.purses[who]
        holder = KeyHolder("key_test", purse.holder.account_id, "test", None)
        ids = world.queued(self.database, holder, count)
        leased = self._taken(ids)
        assert [job.bound_micros for job in leased] == [0] * count
        world.settle(self.database, *(world.good_end(job) for job in leased))
        purse.test_events += ["job.completed"] * count

    @invariant()
    def the_real_one_agrees(self) -> None:
        for purse in self.purses:
            (real,) = world.rows(self.database, m.accounts, id=purse.holder.account_id)
            assert (real["available_micros"], real["held_micros"]) == (purse.available, purse.held)
            assert (real["exhausted_armed"], real["end_armed"]) == (purse.exhausted_armed, purse.end_armed)
            lots = self.database.read_sync(unspent.lots, purse.holder.account_id)
            assert {lot.id: lot.unspent for lot in lots} == {lot.id: lot.unspent for lot in purse.lots}
            spent = world.rows(self.database, m.monthly_spend, account_id=purse.holder.account_id)
            assert sum(month["spent_micros"] for month in spent) == purse.spent
            told = world.events(self.database, purse.holder.account_id)
            # Where months end, their statements are made as well (`world.violations`), which move no money.
            told = [type for type in told if not type.startswith("invoice.")]
            assert told == purse.events + purse.test_events

    @invariant()
    def nothing_is_violated(self) -> None:
        assert world.violations(self.database) == []


@pytest.mark.timeout(900)
@pytest.mark.parametrize("examples", [8, pytest.param(100, marks=pytest.mark.chaos)])
def test_the_ledger_never_differs_from_its_model(database: Database, examples: int) -> None:
    machine: Any = type("Machine", (LedgerMachine,), {"database": database})
    run_state_machine_as_test(
        machine,
        settings=hypothesis_settings(
            max_examples=examples,
            stateful_step_count=22,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
