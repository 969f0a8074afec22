"""A model of budgets beside the real ones, on both databases: whatever comes in whatever order, they agree.

Jobs are accepted in groups, end in groups, some by a worker that knows no budgets; days pass; budgets change.
"""

import contextlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import update

from producer.admission.prepared import Accepted
from shared import accounts, clock, key_limits
from shared.db import Database
from shared.db import models as m
from shared.errors import InsufficientCredits
from shared.jobs.outcomes import Ending
from shared.key_holders import KeyHolder
from shared.key_limits import Change
from shared.money.budget_periods import periods
from shared.money.key_budgets import EXCEEDED
from tests.integration import world
from workers.maintenance import key_counts

KEYS = st.integers(0, 2)
PERIODS: Any = st.sampled_from(["day", "month", "total"])
HOUR = 3600 * clock.MICROS


@dataclass
class Key:
    """What the model thinks of a key."""

    holder: KeyHolder
    budgets: dict[str, int | None] = field(default_factory=dict)
    held: Counter[str] = field(default_factory=Counter)
    spent: Counter[str] = field(default_factory=Counter)

    def fits(self, names: dict[Any, str], micros: int) -> bool:
        budgets = [(names[period], most) for period, most in self.budgets.items() if most is not None]
        return not micros or all(self.held[name] + self.spent[name] + micros <= most for name, most in budgets)


class BudgetMachine(RuleBasedStateMachine):
    """Two keys with budgets and one that may get some, of one account."""

    database: Database

    def __init__(self) -> None:
        super().__init__()
        world.wipe(self.database)
        self.shifts = contextlib.ExitStack()
        self.shifts.enter_context(world.virtual_time())
        first = world.open_account(self.database, 1000)
        self.keys = [Key(first), Key(self._another(first)), Key(self._another(first))]
        #: By job: its key, bound, and periods if it counts.
        self.jobs: dict[str, tuple[Key, int, tuple[str, ...]]] = {}
        self.set_budget(0, "month", 100)
        self.set_budget(1, "day", 50)

    def teardown(self) -> None:
        self.shifts.close()

    def _another(self, holder: KeyHolder) -> KeyHolder:
        id, _ = self.database.write_sync(accounts.create_key, holder.account_id, "live")
        return KeyHolder(id, holder.account_id, "live", None)

    @rule(who=KEYS, period=PERIODS, most=st.integers(1, 200) | st.none())
    def set_budget(self, who: int, period: Any, most: int | None) -> None:
        key = self.keys[who]
        key.budgets[period] = most
        self.database.write_sync(key_limits.change, key.holder.key_id, Change(budgets={period: most}))
        limits = self.database.read_sync(key_limits.of_key, key.holder.key_id)
        key.holder = KeyHolder(key.holder.key_id, key.holder.account_id, "live", None, limits=limits)

    @rule(hours=st.integers(1, 40))
    def time_passes(self, hours: int) -> None:
        clock.shift(hours * HOUR)

    @rule(asked=st.lists(st.tuples(KEYS, st.integers(1, 3), st.integers(0, 40)), min_size=1, max_size=5))
    def accept_a_group(self, asked: list[tuple[int, int, int]]) -> None:
        orders = [
            world.order(self.database, self.keys[who].holder, count=count, bound=bound, listed=count > 1)
            for who, count, bound in asked
        ]
        outcomes = world.accept_all(self.database, orders)
        for (who, count, bound), order, outcome in zip(asked, orders, outcomes, strict=True):
            key, at = self.keys[who], order.rows[0]["budget_at"]
            if at is not None and not key.fits(periods(at), count * bound):
                assert isinstance(outcome, InsufficientCredits) and outcome.reason == EXCEEDED
                continue
            assert isinstance(outcome, Accepted)
            names = () if at is None else tuple(periods(at).values())
            key.held.update(dict.fromkeys(names, count * bound))
            self.jobs.update((row["id"], (key, bound, names)) for row in order.rows)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), knows=st.booleans())
    def end_a_group(self, data: st.DataObject, knows: bool) -> None:
        """`knows`: the worker knows of budgets; one that does not leaves that to the sweeper."""
        ids = data.draw(st.lists(st.sampled_from(sorted(self.jobs)), min_size=1, max_size=4, unique=True))
        endings = []
        taken = world.take(self.database, world.new_worker(self.database), ids)
        for job in sorted(taken, key=lambda job: job.id):  # PostgreSQL gives rows in any order, and a rerun in another
            charge = data.draw(st.integers(0, job.bound_micros))
            good = data.draw(st.booleans())
            endings.append(world.good_end(job, charge) if good else Ending(job.id, job.epoch, "failed", error={"a": 1}))
        world.settle(self.database, *endings)
        world.settle(self.database, *endings)
        if not knows:
            self._forget([ending.job_id for ending in endings])
            assert world.violations(self.database) == [], "what is not counted yet is no fault"
            self.database.write_sync(key_counts.count, self.database.read_sync(key_counts.uncounted, 100))
        for ending in endings:
            key, bound, names = self.jobs.pop(ending.job_id)
            key.held.subtract(dict.fromkeys(names, bound))
            key.spent.update(dict.fromkeys(names, ending.charge_micros))

    def _forget(self, ids: list[str]) -> None:
        """The rows as the earlier version leaves them."""

        def work(connection: Any) -> None:
            counted = m.jobs.c.budget_at.is_not(None)
            connection.execute(update(m.jobs).where(m.jobs.c.id.in_(ids), counted).values(budget_open=True))
            for key in self.keys:
                for period in key.held:
                    of = (m.key_spend.c.key_id == key.holder.key_id) & (m.key_spend.c.period == period)
                    before = {"held_micros": key.held[period], "spent_micros": key.spent[period]}
                    connection.execute(update(m.key_spend).where(of).values(before))

        self.database.write_sync(work)

    @invariant()
    def the_real_ones_agree(self) -> None:
        for key in self.keys:
            rows = world.rows(self.database, m.key_spend, key_id=key.holder.key_id)
            assert {row["period"]: (row["held_micros"], row["spent_micros"]) for row in rows} == {
                name: (held, key.spent[name]) for name, held in key.held.items()
            }

    @invariant()
    def nothing_is_violated(self) -> None:
        assert world.violations(self.database) == []


@pytest.mark.timeout(900)
@pytest.mark.parametrize("examples", [6, pytest.param(100, marks=pytest.mark.chaos)])
def test_budgets_never_differ_from_their_model(database: Database, examples: int) -> None:
    machine: Any = type("Machine", (BudgetMachine,), {"database": database})
    run_state_machine_as_test(
        machine,
        settings=hypothesis_settings(
            max_examples=examples,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
