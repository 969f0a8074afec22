"""Grants that expire: what is unspent leaves the account once, what jobs hold stays until they have ended."""

from typing import Any

import pytest

from producer.operations import credits as credits_ops
from shared import clock
from shared.accounts import KeyHolder
from shared.audit import Action
from shared.db import Database
from shared.db import models as m
from shared.money import corrections, grants
from tests.integration import world
from tests.integration.world import CREDIT

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
