"""Batches in slices and the budgets of their keys: they count by their lines, wait for room, and overshoot nothing."""

import threading
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from producer.operations import batches
from shared import accounts, clock, key_holders, key_limits
from shared.batches import credit, key_holds, states
from shared.db import Database
from shared.db import models as m
from shared.jobs import credit_waits
from shared.key_holders import KeyHolder
from shared.key_limits import Change
from shared.money import ledger
from shared.money.key_budgets import Counted, KeySpend
from tests.integration import batch_world, world
from tests.integration.batch_world import chat, files_of_its_own  # noqa: F401
from tests.integration.test_batch_credit import bound_of_a_line, drive, end_jobs, sliced
from tests.integration.test_key_budgets import budgeted, spend
from tests.integration.world import CREDIT

DAY = 86_400 * clock.MICROS


@pytest.fixture
def line(database: Database) -> int:
    return bound_of_a_line(database)


def waits(database: Database, holder: KeyHolder, id: str) -> tuple[int, str | None]:
    """How many lines have become jobs, and what the others wait for."""
    batch_world.take_turns(database)
    assert world.violations(database) == []
    shown = batch_world.shown(database, holder, id)
    return batch_world.row(database, id)["released"], shown["waiting_for"]


def set_budgets(database: Database, holder: KeyHolder, **budgets: int | None) -> None:
    database.write_sync(key_limits.change, holder.key_id, Change(budgets=budgets))  # type: ignore[arg-type]


def test_it_counts_by_what_its_lines_hold_and_waits_when_the_next_does_not_fit(database: Database, line: int) -> None:
    holder = budgeted(database, month=2 * line + line // 2)
    id = sliced(database, holder, 5)
    assert waits(database, holder, id) == (2, "budget")
    assert spend(database, holder) == (2 * line, 0)
    shown = batch_world.shown(database, holder, id)
    row = batch_world.row(database, id)
    assert shown["waiting_until"] * clock.MICROS == row["budget_until"] > clock.now_micros()
    assert row["short_micros"] is None and database.read_sync(states.in_need) == [], "it is passed over meanwhile"


def test_it_goes_on_with_what_its_own_lines_leave_and_ends_whole(database: Database, line: int) -> None:
    charge = line // 4
    holder = budgeted(database, total=3 * line)
    id = sliced(database, holder, 8)
    drive(database, id, charge)
    row = batch_world.row(database, id)
    assert (row["status"], row["succeeded"], row["charged_micros"]) == ("completed", 8, 8 * charge)
    assert spend(database, holder, "total") == (0, 8 * charge)
    assert (row["budget_short_micros"], row["budget_until"]) == (None, None)


def test_it_goes_on_when_the_day_begins_anew_and_counts_in_the_new_one(database: Database, line: int) -> None:
    with world.virtual_time():
        holder = budgeted(database, day=2 * line)
        id = sliced(database, holder, 5, completion_window="72h")
        assert waits(database, holder, id) == (2, "budget")
        end_jobs(database, id, charge=line)
        assert waits(database, holder, id) == (2, "budget") and spend(database, holder, "day") == (0, 2 * line)
        clock.shift(DAY)
        assert waits(database, holder, id) == (4, "budget") and spend(database, holder, "day") == (2 * line, 0)
        assert spend(database, holder, "total") == (2 * line, 2 * line)


def test_it_goes_on_when_the_budget_is_raised_or_taken_away(database: Database, line: int) -> None:
    holder = budgeted(database, month=line)
    id = sliced(database, holder, 6)
    assert waits(database, holder, id) == (1, "budget")
    set_budgets(database, holder, month=3 * line)
    assert waits(database, holder, id) == (3, "budget")
    set_budgets(database, holder, month=None)
    assert waits(database, holder, id) == (6, None)


def test_a_budget_that_never_renews_says_no_time(database: Database, line: int) -> None:
    holder = budgeted(database, total=line)
    id = sliced(database, holder, 2)
    assert waits(database, holder, id) == (1, "budget")
    assert batch_world.shown(database, holder, id)["waiting_until"] is None


def test_the_longer_budget_is_waited_for_when_the_shorter_one_is_over(database: Database, line: int) -> None:
    with world.virtual_time():
        holder = budgeted(database, day=line, total=line)
        id = sliced(database, holder, 2, completion_window="72h")
        assert waits(database, holder, id) == (1, "budget")
        assert batch_world.shown(database, holder, id)["waiting_until"] is not None
        clock.shift(DAY)
        assert waits(database, holder, id) == (1, "budget")
        assert batch_world.shown(database, holder, id)["waiting_until"] is None


def test_a_line_that_is_too_dear_for_any_period_expires_with_the_window(database: Database, line: int) -> None:
    holder = budgeted(database, day=line // 2)
    id = sliced(database, holder, 2)
    assert waits(database, holder, id) == (0, "budget")
    database.write_sync(lambda c: c.execute(update(m.batches).where(m.batches.c.id == id).values(expires_at=1)))
    assert waits(database, holder, id) == (0, None)
    row = batch_world.row(database, id)
    assert (row["status"], row["expired"]) == ("expired", 2) and spend(database, holder, "day") == (0, 0)


def test_a_cancel_while_it_waits_gives_the_budget_back(database: Database, line: int) -> None:
    holder = budgeted(database, month=2 * line)
    id = sliced(database, holder, 4)
    assert waits(database, holder, id) == (2, "budget")
    database.write_sync(batches.cancel, holder, id)
    drive(database, id, charge=0)
    batch_world.take_turns(database)
    assert batch_world.row(database, id)["status"] == "cancelled"
    assert spend(database, holder) == (0, 0) and world.violations(database) == []


def test_it_waits_for_credit_first_and_then_for_its_budget(database: Database, line: int) -> None:
    holder = budgeted(database, credits=line / CREDIT, month=2 * line)
    id = sliced(database, holder, 4)
    assert waits(database, holder, id) == (1, "credits")
    database.write_sync(ledger.grant, holder.account_id, 2 * line)
    assert waits(database, holder, id) == (2, "budget")
    assert batch_world.row(database, id)["short_micros"] is None


def without_budget(database: Database, holder: KeyHolder) -> KeyHolder:
    """Another key of the account."""

    def make(connection: Any) -> KeyHolder:
        found = key_holders.find_key(connection, accounts.create_key(connection, holder.account_id, "live")[1])
        assert found is not None
        return found

    return database.write_sync(make)


def test_one_that_waits_for_its_budget_keeps_nobody_else_waiting(database: Database, line: int) -> None:
    holder = budgeted(database, credits=3 * line / CREDIT, month=line)
    id = sliced(database, holder, 2)
    assert waits(database, holder, id) == (1, "budget")
    other = sliced(database, without_budget(database, holder), 2)
    assert waits(database, holder, other) == (2, None)
    assert not database.read_sync(credit_waits.is_any, holder.account_id)


def test_two_batches_of_a_key_share_its_budget_whoever_makes_their_lines(database: Database, line: int) -> None:
    holder = budgeted(database, month=7 * line)
    ids = [sliced(database, holder, 6) for _ in range(2)]
    threads = [threading.Thread(target=batch_world.take_turns, args=(database,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(batch_world.row(database, id)["released"] for id in ids) == 7
    assert spend(database, holder) == (7 * line, 0) and world.violations(database) == []


def test_a_budget_that_is_set_while_it_runs_counts_its_further_lines(
    database: Database, line: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credit, "SLICE", 2)
    holder = world.open_account(database)
    id = sliced(database, holder, 6)
    batch_world.take_turns(database)
    end_jobs(database, id, charge=1)
    set_budgets(database, holder, month=line)
    assert waits(database, holder, id)[1] == "budget"
    held, spent = spend(database, holder)
    assert (held, spent) == (line, 0)


def begun_whole(database: Database, holder: KeyHolder, id: str, line: int, total: int) -> None:
    """As the version before begins it: it counts whole, in the periods of that moment."""

    def count(connection: Any) -> None:
        row = dict(batch_world.row(database, id))
        one = Counted(holder.account_id, holder.key_id, row["budget_at"])
        held = KeySpend(connection, [one])
        held.hold(one, total * line)
        held.close()
        connection.execute(update(m.batches).where(m.batches.c.id == id).values(budget_rest_micros=total * line))

    database.write_sync(count)


def one_turn(database: Database, id: str) -> None:
    """Read it, and make no job of it yet."""
    process = batch_world.BatchScheduler(database, world.RecordedBell())
    while batch_world.row(database, id)["status"] != "in_progress":
        process.run_once()
    process.close()


def test_one_that_the_version_before_began_counts_by_its_lines_from_the_next_slice_on(
    database: Database, line: int
) -> None:
    holder = budgeted(database, month=3 * line)
    id = sliced(database, holder, 3)
    one_turn(database, id)
    begun_whole(database, holder, id, line, 3)
    set_budgets(database, holder, month=2 * line)
    assert spend(database, holder) == (3 * line, 0)
    assert waits(database, holder, id) == (2, "budget")
    assert spend(database, holder) == (2 * line, 0) and database.read_sync(key_holds.unmended, 10) == []


def test_the_version_before_makes_no_line_of_one_that_counts_by_its_lines(database: Database, line: int) -> None:
    """It would let the lines count, and hand on to them what of its batch never counted."""
    holder = budgeted(database, month=line)
    id = sliced(database, holder, 2)
    one_turn(database, id)
    row = batch_world.row(database, id)
    assert row["budget_at"] is not None
    handed_on = {"budget_rest_micros": row["budget_rest_micros"] - line}
    with pytest.raises(IntegrityError, match="budget_rest_not_negative"):
        database.write_sync(
            lambda c: c.execute(update(m.batches).where(m.batches.c.id == id).values(**handed_on)).rowcount
        )
