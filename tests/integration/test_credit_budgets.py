"""Budgets of keys beside jobs that wait for credit and batches that hold later: all counts from its acceptance."""

from typing import Any

from producer.admission.prepared import Accepted
from producer.operations import jobs as jobs_ops
from shared.batches import key_holds
from shared.db import Database
from shared.errors import InsufficientCredits
from shared.money import ledger
from tests.integration import batch_world, world
from tests.integration.batch_world import chat, files_of_its_own  # noqa: F401
from tests.integration.test_batch_credit import bound_of_a_line, drive
from tests.integration.test_key_budgets import budgeted, spend
from workers.maintenance.credit_admission import CreditAdmission


def post(database: Database, holder: Any, bound: int) -> Any:
    order = world.order(database, holder, bound=bound)
    order.waits = True
    (outcome,) = world.accept_all(database, [order])
    return order.rows[0]["id"] if isinstance(outcome, Accepted) else outcome


def test_what_waits_counts_and_stays_counted_when_it_is_held_for(database: Database) -> None:
    holder = budgeted(database, credits=0.000005, month=10)
    waiting = post(database, holder, 6)
    assert spend(database, holder) == (6, 0) and world.violations(database) == []
    refused = post(database, holder, 5)
    assert isinstance(refused, InsufficientCredits) and refused.reason == "key_budget_exceeded"
    database.write_sync(ledger.grant, holder.account_id, 1)
    CreditAdmission(database).run_once()
    assert spend(database, holder) == (6, 0) and world.row(database, waiting)["bound_micros"] == 6
    (job,) = world.take(database, world.new_worker(database), [waiting])
    world.settle(database, world.good_end(job, 2))
    assert spend(database, holder) == (0, 2) and world.violations(database) == []


def test_a_cancel_while_it_waits_gives_the_budget_back(database: Database) -> None:
    holder = budgeted(database, credits=0.000001, month=10)
    waiting = post(database, holder, 10)
    database.write_sync(jobs_ops.cancel_job, holder, waiting)
    assert spend(database, holder) == (0, 0) and world.violations(database) == []


def test_a_batch_that_waits_for_all_its_credit_counts_whole_from_its_beginning(database: Database) -> None:
    spec = {"on_insufficient_credits": "wait"}
    line = bound_of_a_line(database)
    holder = budgeted(database, credits=line * 1.5 / 1_000_000, month=5 * line)
    id = batch_world.new_batch(database, holder, [chat(f"l{n}") for n in range(4)], **spec)
    batch_world.take_turns(database)
    assert spend(database, holder) == (4 * line, 0) and world.violations(database) == []
    assert database.read_sync(key_holds.unmended, 10) == [], "nothing of it is an earlier version's"
    other = batch_world.new_batch(database, holder, [chat("a"), chat("b")], **spec)
    batch_world.take_turns(database)
    assert batch_world.row(database, other)["status"] == "failed", "there is no room for both"
    database.write_sync(ledger.grant, holder.account_id, 4 * line)
    drive(database, id, charge=line // 2)
    assert spend(database, holder) == (0, 4 * (line // 2)) and world.violations(database) == []
    assert batch_world.row(database, id)["status"] == "completed"


def test_a_batch_that_does_not_fit_is_told_whether_it_would_in_slices(database: Database) -> None:
    line = bound_of_a_line(database)
    holder = budgeted(database, month=2 * line)
    id = batch_world.new_batch(database, holder, [chat(f"l{n}") for n in range(4)])
    batch_world.take_turns(database)
    (fault,) = batch_world.shown(database, holder, id)["errors"]["data"]
    assert fault["code"] == "key_budget_exceeded" and fault["fits_in_slices"]
    assert 'set hold to "slices"' in fault["message"]
