"""Budgets of keys: a hard cap by the hold, on both databases; every way back; what earlier versions leave."""

from typing import Any

import orjson
import pytest
from sqlalchemy import insert, update

from producer.admission.prepared import Accepted
from shared import accounts, clock, key_holders, key_limits
from shared.batches import key_holds, states, transitions
from shared.batches.transitions import Plan
from shared.db import Database
from shared.db import models as m
from shared.errors import InsufficientCredits
from shared.jobs.outcomes import Ending
from shared.key_holders import KeyHolder
from shared.key_limits import Change
from shared.money import key_budgets, ledger
from shared.money.shortage import Need
from shared.submissions import rows as intake
from shared.verify import verify_all
from tests.integration import batch_world, world
from tests.integration.world import CREDIT
from workers.maintenance import key_counts


def budgeted(database: Database, *, credits: float = 1000, **budgets: int) -> KeyHolder:
    """A key of a new account with budgets, in micro-credits by period."""

    def make(connection: Any) -> KeyHolder:
        account = accounts.create_account(connection, "a")
        ledger.grant(connection, account, round(credits * CREDIT))
        id, key = accounts.create_key(connection, account, "live")
        key_limits.change(connection, id, Change(budgets=budgets))  # type: ignore[arg-type]
        holder = key_holders.find_key(connection, key)
        assert holder is not None
        return holder

    return database.write_sync(make)


def spend(database: Database, holder: KeyHolder, period: str = "month") -> tuple[int, int]:
    """What a key holds and has spent in the present period."""
    found = database.read_sync(key_budgets.of_key, holder.key_id, clock.now_micros())
    return found[period].held, found[period].spent  # type: ignore[index]


def test_a_budget_is_a_hard_cap_by_the_hold(database: Database) -> None:
    holder = budgeted(database, month=10)
    orders = [world.order(database, holder, bound=3) for _ in range(5)]
    outcomes = world.accept_all(database, orders)
    assert [isinstance(one, Accepted) for one in outcomes] == [True, True, True, False, False]
    refused = outcomes[3]
    assert isinstance(refused, InsufficientCredits) and refused.status == 402
    assert refused.reason == "key_budget_exceeded"
    assert refused.details["budget"]["held_credits"] == 0.000009 and refused.details["available_credits"] == 0.000001
    assert refused.details["budget"]["renews_at"] > clock.now_seconds() and "renews at" in refused.message
    assert spend(database, holder) == spend(database, holder, "day") == spend(database, holder, "total") == (9, 0)
    assert not world.violations(database)


def test_what_is_released_may_be_held_again_and_what_is_charged_may_not(database: Database) -> None:
    holder = budgeted(database, total=10)
    (id,) = world.queued(database, holder, bound=10)
    assert isinstance(world.accept_all(database, [world.order(database, holder, bound=1)])[0], InsufficientCredits)
    (job,) = world.take(database, world.new_worker(database), [id])
    world.settle(database, world.good_end(job, 4))
    assert spend(database, holder, "total") == (0, 4)
    assert isinstance(world.accept_all(database, [world.order(database, holder, bound=7)])[0], InsufficientCredits)
    world.queued(database, holder, bound=6)
    assert spend(database, holder, "total") == (6, 4)
    assert not world.violations(database)


@pytest.mark.parametrize("status", ["failed", "cancelled", "expired"])
def test_every_end_gives_the_hold_back(database: Database, status: Any) -> None:
    holder = budgeted(database, day=10)
    ids = world.queued(database, holder, count=2, bound=5)
    world.settle(database, *(Ending(id, 0, status, came_from="queued", takes=True) for id in ids))
    assert spend(database, holder, "day") == (0, 0)
    assert not world.violations(database)


def test_a_charge_stays_in_the_period_of_its_hold(database: Database) -> None:
    with world.virtual_time():
        holder = budgeted(database, day=10)
        (id,) = world.queued(database, holder, bound=10)
        clock.shift(86_400 * clock.MICROS)
        world.queued(database, holder, bound=8)
        (job,) = world.take(database, world.new_worker(database), [id])
        world.settle(database, world.good_end(job, 10))
        assert spend(database, holder, "day") == (8, 0)
        rows = {row["period"]: row for row in world.rows(database, m.key_spend)}
        assert rows["total"]["held_micros"] == 8 and rows["total"]["spent_micros"] == 10
        assert not world.violations(database)


def test_keys_without_a_budget_and_test_keys_leave_no_rows(database: Database) -> None:
    world.queued(database, world.open_account(database), bound=5)
    world.queued(database, world.open_account(database, test=True))
    assert not world.rows(database, m.key_spend)


def test_a_budget_that_is_set_later_counts_from_then_on(database: Database) -> None:
    holder = world.open_account(database)
    (before,) = world.queued(database, holder, bound=50)
    database.write_sync(key_limits.change, holder.key_id, Change(budgets={"month": 10}))
    now = KeyHolder(holder.key_id, holder.account_id, "live", None, limits=_limits(database, holder))
    (after,) = world.queued(database, now, bound=10)
    worker = world.new_worker(database)
    world.settle(database, *(world.good_end(job, 2) for job in world.take(database, worker, [before, after])))
    assert spend(database, now) == (0, 2)
    database.write_sync(key_limits.change, holder.key_id, Change(budgets={"month": None}))
    assert _limits(database, holder).budgets == () and _limits(database, holder).counted
    assert not world.violations(database)


def test_jobs_that_an_earlier_version_ended_are_counted_by_the_sweeper(database: Database) -> None:
    holder = budgeted(database, month=20)
    ids = world.queued(database, holder, count=2, bound=10)
    jobs = world.take(database, world.new_worker(database), ids)
    world.settle(database, *(world.good_end(job, 3) for job in jobs))
    _forget_the_end(database, holder, ids)
    assert spend(database, holder) == (20, 0) and not world.violations(database)
    found = database.read_sync(key_counts.uncounted, 100)
    assert sorted(found) == sorted(ids)
    for _ in range(2):
        database.write_sync(key_counts.count, found)
        assert spend(database, holder) == (0, 6)
    assert not database.read_sync(key_counts.uncounted, 100) and not world.violations(database)


def test_verify_finds_a_budget_that_is_wrong(database: Database) -> None:
    holder = budgeted(database, month=20)
    world.queued(database, holder, bound=10)
    database.write_sync(lambda connection: connection.execute(update(m.key_spend).values(held_micros=9)).rowcount)
    assert any("held credits differ from the holds of its" in line for line in world.violations(database))


def test_the_hold_of_a_batch_counts_and_goes_on_to_its_lines(database: Database) -> None:
    holder = budgeted(database, month=100)
    id = _batch(database, holder)
    begun, _ = database.write_sync(transitions.begin, id, _plan(60, 6))
    assert begun and spend(database, holder) == (60, 0)
    refused = _batch(database, holder)
    begun, _ = database.write_sync(transitions.begin, refused, _plan(50, 5))
    (row,) = world.rows(database, m.batches, id=refused)
    assert not begun and row["status"] == "failed" and "key_budget_exceeded" in row["errors"]
    lines = _lines(database, holder, id, 2)
    assert database.write_sync(transitions.release, id, (0, 2), lines) and spend(database, holder) == (60, 0)
    (job, other) = world.take(database, world.new_worker(database), [job["id"] for job, _ in lines])
    world.settle(database, world.good_end(job, 7))
    assert spend(database, holder) == (50, 7)
    assert database.write_sync(transitions.stop, id, "cancelled") and spend(database, holder) == (10, 7)
    world.settle(database, world.good_end(other, 1))
    assert spend(database, holder) == (0, 8)
    assert not [line for line in world.violations(database) if line.startswith("key")]


def _released_by_an_earlier_version(database: Database, holder: KeyHolder) -> tuple[str, Any]:
    """A batch of 60 credits' bound, two of whose six lines are jobs that say nothing of budgets."""
    id = _batch(database, holder)
    database.write_sync(transitions.begin, id, _plan(60, 6))
    lines = _lines(database, holder, id, 2)
    for job, _ in lines:
        job["budget_at"], job["budget_open"] = None, False
    database.write_sync(transitions.release, id, (0, 2), lines)
    return id, lines


def test_lines_made_by_an_earlier_version_are_counted_by_the_sweeper(database: Database) -> None:
    holder = budgeted(database, month=100)
    id, _ = _released_by_an_earlier_version(database, holder)
    assert database.read_sync(key_holds.unmended, 10) == [id]
    assert not database.write_sync(key_holds.mend, id)
    assert spend(database, holder) == (60, 0) and not database.read_sync(key_holds.unmended, 10)
    released = {"stopped": "cancelled", "released_micros": 60, "resolved_micros": 40}
    database.write_sync(lambda connection: connection.execute(update(m.batches).values(released)).rowcount)
    assert database.read_sync(key_holds.unmended, 10) == [id]
    for _ in range(2):
        assert not database.write_sync(key_holds.mend, id)
        assert spend(database, holder) == (20, 0)


def test_lines_made_by_an_earlier_version_count_although_their_batch_is_stopped(database: Database) -> None:
    holder = budgeted(database, month=100)
    id, lines = _released_by_an_earlier_version(database, holder)
    (first,) = world.take(database, world.new_worker(database), [lines[0][0]["id"]])
    world.settle(database, world.good_end(first, 7))
    assert database.write_sync(transitions.stop, id, "cancelled") and spend(database, holder) == (60, 0)
    assert database.read_sync(key_holds.unmended, 10) == [id]
    assert not database.write_sync(key_holds.mend, id) and spend(database, holder) == (20, 0)
    database.write_sync(key_counts.count, database.read_sync(key_counts.uncounted, 10))
    assert spend(database, holder) == (10, 7) and not database.read_sync(key_holds.unmended, 10)
    assert not [line for line in world.violations(database) if line.startswith("key")]


@pytest.mark.parametrize("limits", [Change(budgets={"month": 10**9}), Change(values={"models": ["gpt-4"]})])
def test_no_earlier_version_reads_a_batch_of_a_key_with_limits(database: Database, limits: Change) -> None:
    """It would neither count the batch in a budget nor refuse its lines' models."""
    free = world.open_account(database)
    database.write_sync(key_limits.change, free.key_id, limits)
    holder = KeyHolder(free.key_id, free.account_id, "live", None, limits=_limits(database, free))
    line = batch_world.chat("a")
    known = batch_world.new_batch(database, free, [line])
    assert batch_world.row(database, known)["status"] == "validating"
    id = batch_world.new_batch(database, holder, [line])
    assert batch_world.row(database, id)["status"] == "reading"
    assert batch_world.shown(database, holder, id)["status"] == "validating"
    assert any(finding.check.startswith("at rest: batch") for finding in verify_all(database, at_rest=True))
    assert {row["id"] for row in database.read_sync(states.in_need)} == {known, id}
    batch_world.take_turns(database).close()
    assert batch_world.row(database, id)["status"] == "in_progress" and not world.violations(database)


def thresholds_fired(database: Database, holder: KeyHolder) -> list[dict[str, Any]]:
    """The data of the events of a key's thresholds, in order; each has its id."""
    found = [row for row in world.rows(database, m.events, account_id=holder.account_id)]
    data = [orjson.loads(row["data"]) for row in found if row["type"] == "credit.threshold"]
    return [one for one in data if one.get("key_id") == holder.key_id]


def charge(database: Database, holder: KeyHolder, *charges: int) -> None:
    """Jobs of a key that end together, charged so."""
    ids = world.queued(database, holder, count=len(charges), bound=max(charges))
    jobs = world.take(database, world.new_worker(database), ids)
    world.settle(database, *(world.good_end(job, micros) for job, micros in zip(jobs, charges, strict=True)))


def test_thresholds_of_a_key_fire_once_a_crossing_and_once_a_period(database: Database) -> None:
    with world.virtual_time():
        holder = budgeted(database, day=100)
        levels: list[Any] = [("spent", 30), ("remaining", 60), ("spent", 30)]
        database.write_sync(key_limits.change, holder.key_id, Change(thresholds=levels))
        charge(database, holder, 10, 10)
        assert not thresholds_fired(database, holder)
        charge(database, holder, 10, 10, 10)
        charge(database, holder, 10)
        first, second = sorted(thresholds_fired(database, holder), key=lambda data: data["kind"])
        assert (first["kind"], first["credits_remaining"], first["credits_spent"]) == ("remaining", 0.00005, 0.00005)
        assert (second["kind"], second["threshold"]) == ("spent", 0.00003) and len(first["period"]) == 10
        clock.shift(86_400 * clock.MICROS)
        charge(database, holder, 45)
        assert [data["kind"] for data in thresholds_fired(database, holder)][2:].count("remaining") == 1
        database.write_sync(key_limits.change, holder.key_id, Change(budgets={"day": 1000}))
        charge(database, holder, 1)
        database.write_sync(key_limits.change, holder.key_id, Change(budgets={"day": 100}))
        charge(database, holder, 1)
        assert [data["kind"] for data in thresholds_fired(database, holder)].count("remaining") == 3
        assert not world.violations(database)


def test_a_threshold_alone_has_its_key_counted(database: Database) -> None:
    holder = world.open_account(database)
    database.write_sync(key_limits.change, holder.key_id, Change(thresholds=[("spent", 5)]))
    now = KeyHolder(holder.key_id, holder.account_id, "live", None, limits=_limits(database, holder))
    charge(database, now, 5)
    (data,) = thresholds_fired(database, now)
    assert data["credits_spent"] == 0.000005 and data["credits_remaining"] > 900
    assert not world.violations(database)


def _limits(database: Database, holder: KeyHolder) -> Any:
    return database.read_sync(key_limits.of_key, holder.key_id)


def _forget_the_end(database: Database, holder: KeyHolder, ids: list[str]) -> None:
    """As a worker leaves rows that knows nothing of budgets."""

    def work(connection: Any) -> None:
        jobs = update(m.jobs).where(m.jobs.c.id.in_(ids)).values(budget_open=True)
        connection.execute(jobs)
        connection.execute(update(m.key_spend).values(held_micros=20, spent_micros=0))

    database.write_sync(work)


def _plan(bound: int, total: int) -> Plan:
    need = Need(lines=True)
    for _ in range(total):
        need.add(bound // total, 0, 0)
    return Plan("plan", total, bound, "gpt-4", need)


def _batch(database: Database, holder: KeyHolder) -> str:
    """A batch that is being read."""
    id, now = clock.new_id("batch"), clock.now_micros()
    row = {
        "id": id,
        "account_id": holder.account_id,
        "key_id": holder.key_id,
        "status": "validating",
        "input_file_id": "file_1",
        "completion_window": "24h",
        "created_at": now,
        "expires_at": now + 3600 * clock.MICROS,
    }
    database.write_sync(lambda connection: connection.execute(insert(m.batches).values(row)).rowcount)
    return id


def _lines(database: Database, holder: KeyHolder, id: str, count: int) -> list[Any]:
    """Rows of jobs of a batch, of ten micro-credits each."""
    (batch,) = world.rows(database, m.batches, id=id)
    made = []
    for _ in range(count):
        prepared = world.order(database, holder, bound=10)
        owner = intake.Owner(holder.account_id, holder.key_id, False, batch_id=id, budget_at=batch["budget_at"])
        job = {**prepared.rows[0], "batch_id": id, "lane": owner.lane, "budget_at": owner.budget_at}
        made.append((job, prepared.payloads[0]))
    return made
