"""Grants that expire: what is unspent leaves the account once, what jobs hold stays until they have ended."""

import threading
from typing import Any

import pytest
from sqlalchemy import Connection, event, update

from producer.operations import credits as credits_ops
from shared import clock
from shared.audit import Action
from shared.db import Database
from shared.db import models as m
from shared.errors import InsufficientCredits
from shared.key_holders import KeyHolder
from shared.money import corrections, grants, ledger, shortage, unspent
from tests.integration import batch_world, world
from tests.integration.batch_world import files_of_its_own
from tests.integration.world import CREDIT
from workers.maintenance.credit_admission import CreditAdmission
from workers.maintenance.sweep import Sweeper

__all__ = ["files_of_its_own"]

DAY = 86_400 * clock.MICROS
WHY = Action("ann", "credits.grant")


@pytest.fixture(autouse=True)
def shifted_back() -> Any:
    with world.virtual_time():
        yield


def give(database: Database, holder: KeyHolder, credits: float, days: float | None = None) -> None:
    until = None if days is None else clock.now_micros() + round(days * DAY)
    database.write_sync(corrections.grant, WHY, holder.account_id, round(credits * CREDIT), until)


def sweep(database: Database) -> int:
    """What a sweeper does about grants; how many accounts it looked at."""
    due = database.read_sync(lambda c: grants.due(c, clock.now_micros()))
    return database.write_sync(lambda c: grants.expire(c, due, clock.now_micros()))[0]


def spend(database: Database, holder: KeyHolder, credits: float) -> None:
    (job,) = begin(database, holder, credits)
    end(database, job, credits)


def begin(database: Database, holder: KeyHolder, credits: float) -> Any:
    ids = world.queued(database, holder, bound=round(credits * CREDIT))
    return world.take(database, world.new_worker(database), ids)


def end(database: Database, job: Any, credits: float) -> None:
    world.settle(database, world.good_end(job, round(credits * CREDIT)))


def available(database: Database, holder: KeyHolder) -> float:
    (row,) = world.rows(database, m.accounts, id=holder.account_id)
    return float(row["available_micros"] / CREDIT)


def expired(database: Database, holder: KeyHolder) -> list[float]:
    rows = world.rows(database, m.transfers, account_id=holder.account_id, kind="expire")
    return [row["amount_micros"] / CREDIT for row in rows]


def expiring(database: Database, holder: KeyHolder) -> list[Any]:
    shown = database.read_sync(credits_ops.show_credits, holder.account_id)
    return [one["credits"] for one in shown["expiring"]]


def test_what_is_unspent_of_a_grant_leaves_once(database: Database) -> None:
    holder = world.open_account(database, 50)
    give(database, holder, 10, days=1)
    spend(database, holder, 4)
    assert expiring(database, holder) == [6] and sweep(database) == 0
    clock.shift(DAY + 1)
    assert (sweep(database), sweep(database)) == (1, 0)
    assert expired(database, holder) == [6] and available(database, holder) == 50
    assert expiring(database, holder) == [] and world.violations(database) == []


def test_credits_that_expire_first_are_spent_first(database: Database) -> None:
    holder = world.open_account(database, 50)
    give(database, holder, 10, days=20)
    give(database, holder, 10, days=10)
    spend(database, holder, 13)
    assert expiring(database, holder) == [7]
    give(database, holder, 5, days=5)
    assert expiring(database, holder) == [5, 7], "the charge was before it"
    clock.shift(30 * DAY)
    sweep(database)
    assert expired(database, holder) == [5, 7] and available(database, holder) == 50
    assert world.violations(database) == []


def test_what_jobs_hold_is_spent_or_expires_when_they_end(database: Database) -> None:
    holder = world.open_account(database, 100)
    give(database, holder, 10, days=1)
    (job,), (other,) = begin(database, holder, 6), begin(database, holder, 1)
    clock.shift(DAY + 1)
    sweep(database)
    assert expired(database, holder) == [3] and available(database, holder) == 100
    (later,) = begin(database, holder, 50)
    end(database, job, 2)
    clock.shift(grants.AGAIN_MICROS + 1)
    sweep(database)
    assert expired(database, holder) == [3, 4], "of 6 held 2 were spent; a hold made since keeps nothing"
    end(database, other, 0)
    end(database, later, 50)
    clock.shift(DAY)
    sweep(database)
    assert expired(database, holder) == [3, 4], "the last that was held was spent by a later charge: it is the oldest"
    assert available(database, holder) == 110 - 2 - 50 - 7
    assert world.violations(database) == []


def test_what_was_held_for_long_expires_soon_after_it_is_released(database: Database) -> None:
    """Not after a tenth of that time, in which it could be spent though it has expired for days."""
    holder = world.open_account(database, 0)
    give(database, holder, 10, days=1)
    (job,) = begin(database, holder, 10)
    clock.shift(8 * DAY)
    assert sweep(database) == 1 and expired(database, holder) == []
    end(database, job, 0)
    clock.shift(61 * clock.MICROS)
    assert sweep(database) == 1 and expired(database, holder) == [10] and available(database, holder) == 0
    assert world.violations(database) == []


def test_what_has_expired_is_held_once_at_most(database: Database) -> None:
    """Holds that overlap for ever kept it: each was there before the last one was released."""
    holder = world.open_account(database, 0)
    give(database, holder, 10, days=1)
    (job,) = begin(database, holder, 10)
    clock.shift(DAY + 1)
    assert sweep(database) == 1 and expired(database, holder) == []
    end(database, job, 0)
    (refused,) = world.accept_all(database, [world.order(database, holder, bound=CREDIT)])
    assert isinstance(refused, InsufficientCredits) and refused.details["available_credits"] == 0
    assert database.read_sync(credits_ops.show_credits, holder.account_id)["available"] == 0
    assert database.read_sync(shortage.balance, holder.account_id).available == 0
    clock.shift(grants.AGAIN_MICROS + 1)
    assert sweep(database) == 1 and expired(database, holder) == [10] and available(database, holder) == 0
    assert world.violations(database) == []


def test_what_is_held_of_expired_credit_freezes_no_other(database: Database) -> None:
    """Of 30 that do not expire all may be held, whatever of the 10 that did is held or has been released."""
    holder = world.open_account(database, 30)
    give(database, holder, 10, days=1)
    (first,), (second,) = begin(database, holder, 6), begin(database, holder, 4)
    clock.shift(DAY + 1)
    sweep(database)
    (other,) = begin(database, holder, 12)
    end(database, first, 1)
    bounds = [18 * CREDIT, 1, 0]
    outcomes = [world.accept_all(database, [world.order(database, holder, bound=bound)])[0] for bound in bounds]
    assert [isinstance(outcome, InsufficientCredits) for outcome in outcomes] == [False, True, False]
    end(database, second, 4)
    end(database, other, 12)
    clock.shift(grants.AGAIN_MICROS + 1)
    sweep(database)
    assert expired(database, holder) == [], "charges take the oldest first, whichever job's they are"
    assert available(database, holder) == 40 - 1 - 4 - 12 - 18
    assert world.violations(database) == []


def test_a_job_that_waits_is_not_let_in_by_what_has_expired(database: Database) -> None:
    holder = world.open_account(database, 0)
    give(database, holder, 10, days=1)
    (job,) = begin(database, holder, 10)
    order = world.order(database, holder, bound=5 * CREDIT)
    order.waits = True
    world.accept_all(database, [order])
    clock.shift(DAY + 1)
    sweep(database)
    end(database, job, 0)
    CreditAdmission(database).run_once()
    assert world.rows(database, m.jobs, id=order.rows[0]["id"])[0]["bound_micros"] == 0
    give(database, holder, 5)
    CreditAdmission(database).run_once()
    assert world.rows(database, m.jobs, id=order.rows[0]["id"])[0]["bound_micros"] == 5 * CREDIT
    assert world.violations(database) == []


def test_a_sweeper_of_an_earlier_version_leaves_nothing_frozen(database: Database) -> None:
    """It takes what has expired, and does not know that the account's row says so."""
    holder = world.open_account(database, 20)
    give(database, holder, 10, days=1)
    (job,) = begin(database, holder, 10)
    clock.shift(DAY + 1)
    sweep(database)
    (row,) = world.rows(database, m.accounts, id=holder.account_id)
    assert row["expired_micros"] == 10 * CREDIT
    end(database, job, 0)
    clock.shift(grants.AGAIN_MICROS + 1)
    sweep(database)
    stale = update(m.accounts).where(m.accounts.c.id == holder.account_id).values(expired_micros=10 * CREDIT)
    database.write_sync(lambda c: c.execute(stale).rowcount)
    (last,) = begin(database, holder, 20)
    (row,) = world.rows(database, m.accounts, id=holder.account_id)
    assert (row["available_micros"], row["expired_micros"]) == (0, 0) and last.bound_micros == 20 * CREDIT
    assert world.violations(database) == []


def test_what_a_batch_holds_stays_until_its_lines_have_ended(database: Database) -> None:
    holder = world.open_account(database, 0)
    give(database, holder, 10, days=0.5)
    id = batch_world.new_batch(database, holder, [batch_world.chat(name) for name in "abc"])
    batch_world.take_turns(database)
    (batch,) = world.rows(database, m.batches, id=id)
    first, *rest = world.take(database, world.new_worker(database), batch_world.job_ids(database, id))
    world.settle(database, world.good_end(first, 5))
    clock.shift(DAY // 2 + 1)
    sweep(database)
    held = (batch["bound_micros"] - first.bound_micros) / CREDIT
    assert expired(database, holder) == [pytest.approx(10 - 5 / CREDIT - held)] and available(database, holder) == 0
    world.settle(database, *(world.good_end(job, 7) for job in rest))
    clock.shift(grants.AGAIN_MICROS + 1)
    sweep(database)
    assert sum(expired(database, holder)) == pytest.approx(10 - 19 / CREDIT) and available(database, holder) == 0
    assert world.events(database, holder.account_id).count("credit.exhausted") == 1
    assert world.violations(database) == []


def test_many_sweepers_at_once_take_it_once(database: Database) -> None:
    holders = [world.open_account(database, 5) for _ in range(3)]
    for holder in holders:
        give(database, holder, 10, days=1)
        spend(database, holder, 2)
    clock.shift(DAY + 1)
    url = database.engine.url.render_as_string(hide_password=False)
    ids, now = [holder.account_id for holder in holders], clock.now_micros()

    def one() -> None:
        own = Database(url, threads=1)
        for _ in range(3):
            own.write_sync(grants.expire, ids, now)
        own.close()

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for holder in holders:
        assert expired(database, holder) == [8] and available(database, holder) == 5
    assert world.violations(database) == []


def test_a_sweeper_killed_before_its_commit_leaves_it_to_the_next(database: Database) -> None:
    holder = world.open_account(database, 5)
    give(database, holder, 10, days=1)
    clock.shift(DAY + 1)

    def killed(connection: Any) -> None:
        grants.expire(connection, [holder.account_id], clock.now_micros())
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        database.write_sync(killed)
    assert expired(database, holder) == [] and world.violations(database) == []
    bell = world.RecordedBell()
    Sweeper(database, bell).expire_grants()
    Sweeper(database, bell).expire_grants()
    assert expired(database, holder) == [10] and world.violations(database) == []


def test_a_month_that_ends_loses_no_charge(database: Database) -> None:
    holder = world.open_account(database, 50)
    give(database, holder, 10, days=40)
    for _ in range(2):
        spend(database, holder, 3)
        clock.shift(31 * DAY)
    assert expiring(database, holder) == [], "it is due"
    sweep(database)
    assert expired(database, holder) == [4] and available(database, holder) == 50
    spent = world.rows(database, m.monthly_spend, account_id=holder.account_id)
    assert sorted(month["spent_micros"] for month in spent if month["spent_micros"]) == [3 * CREDIT, 3 * CREDIT]


def test_it_is_told_a_week_before_unless_it_is_spent(database: Database) -> None:
    holder, thrifty = world.open_account(database, 200), world.open_account(database, 200)
    for one in (holder, thrifty):
        give(database, one, 20, days=30)
        spend(database, one, 15 if one is thrifty else 20)
    assert sweep(database) == 0
    clock.shift(23 * DAY + 1)
    sweep(database)
    sweep(database)
    assert "credit.expiring" not in world.events(database, holder.account_id)
    assert world.events(database, thrifty.account_id).count("credit.expiring") == 1
    (told,) = world.rows(database, m.events, account_id=thrifty.account_id, type="credit.expiring")
    assert '"credits":5' in told["data"]


def test_an_expiry_crosses_thresholds_and_may_be_the_end(database: Database) -> None:
    holder = world.open_account(database, 0)
    give(database, holder, 150, days=1)
    clock.shift(DAY + 1)
    sweep(database)
    told = world.events(database, holder.account_id)
    assert told.count("credit.threshold") == 1 and told.count("credit.exhausted") == 1
    assert world.violations(database) == []


def test_what_an_adjustment_takes_expires_no_more(database: Database) -> None:
    holder = world.open_account(database, 50)
    give(database, holder, 10, days=1)
    why = Action("ann", "credits.adjust", "too much")
    database.write_sync(corrections.adjust, why, holder.account_id, -4 * CREDIT)
    spend(database, holder, 1)
    assert expiring(database, holder) == [5]
    clock.shift(DAY + 1)
    sweep(database)
    assert available(database, holder) == 50 and world.violations(database) == []


def test_versions_that_know_no_grants_run_beside(database: Database) -> None:
    """Their grants do not expire, their charges count, and their holds arm `credit.exhausted` anew."""
    holder = world.open_account(database, 0)
    give(database, holder, 10, days=1)
    database.write_sync(ledger.grant, holder.account_id, 5 * CREDIT)
    spend(database, holder, 3)
    armed = update(m.accounts).where(m.accounts.c.id == holder.account_id).values(exhausted_armed=True)
    database.write_sync(lambda c: c.execute(armed).rowcount)
    clock.shift(DAY + 1)
    sweep(database)
    assert expired(database, holder) == [7] and available(database, holder) == 5
    spend(database, holder, 5)
    assert world.events(database, holder.account_id).count("credit.exhausted") == 1


def test_what_is_held_is_looked_for_among_unfinished_jobs_alone(database: Database) -> None:
    """The account is locked meanwhile, and may have had millions of jobs."""
    holder, made = world.open_account(database, 10), list[Any]()
    begin(database, holder, 3)

    def hear(connection: Any, cursor: Any, statement: str, given: Any, *_: Any) -> None:
        made.append((statement, given))

    def look(connection: Connection) -> str:
        event.listen(database.engine, "before_cursor_execute", hear)
        held = unspent.still_held(connection, holder.account_id, clock.now_micros())
        event.remove(database.engine, "before_cursor_execute", hear)
        assert held == 3 * CREDIT
        words = "EXPLAIN QUERY PLAN" if database.is_sqlite else "EXPLAIN"
        return str(connection.exec_driver_sql(f"{words} {made[0][0]}", made[0][1]).all())

    assert "jobs_of_account" not in database.read_sync(look)
