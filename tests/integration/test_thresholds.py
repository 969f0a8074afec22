"""Thresholds and the end of credit: one event a crossing, whoever crosses them at once and whoever sets them anew."""

import json
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any

from producer.operations import credits as credits_ops
from producer.operations.credits import ThresholdSpecs
from shared import clock
from shared.db import Database
from shared.db import models as m
from shared.key_holders import KeyHolder
from shared.money import ledger
from shared.money.ledger import Book
from tests.integration import world
from tests.integration.world import CREDIT

LEVELS = [("remaining", 75), ("remaining", 50), ("remaining", 25), ("spent", 20), ("spent", 60), ("spent", 99)]


def set_levels(database: Database, holder: KeyHolder, levels: Sequence[tuple[str, float]]) -> None:
    wanted = {"thresholds": [{"kind": kind, "credits": credits} for kind, credits in levels]}
    database.write_sync(credits_ops.set_thresholds, holder.account_id, ThresholdSpecs.model_validate(wanted))


def told(database: Database, holder: KeyHolder) -> Counter[tuple[str, float]]:
    rows = world.rows(database, m.events, account_id=holder.account_id, type="credit.threshold")
    return Counter((data["kind"], data["threshold"]) for data in (json.loads(row["data"]) for row in rows))


def spend(database: Database, holder: KeyHolder, credits: float) -> None:
    micros = round(credits * CREDIT)
    (job,) = world.take(database, world.new_worker(database), world.queued(database, holder, bound=micros))
    world.settle(database, world.good_end(job, micros))


def test_each_fires_once_while_many_settle_and_others_set_them_anew(database: Database) -> None:
    holder = world.open_account(database, 100)
    set_levels(database, holder, LEVELS)
    jobs = world.take(database, world.new_worker(database), world.queued(database, holder, 100, bound=CREDIT))
    url = database.engine.url.render_as_string(hide_password=False)
    over = threading.Event()

    def settle(some: Sequence[Any]) -> None:
        own = Database(url, threads=1)
        for job in some:
            world.settle(own, world.good_end(job, CREDIT))
        own.close()

    def replace() -> None:
        own = Database(url, threads=1)
        while not over.is_set():
            set_levels(own, holder, LEVELS)
        own.close()

    workers = [threading.Thread(target=settle, args=(jobs[start::4],)) for start in range(4)]
    web = threading.Thread(target=replace)
    for thread in (*workers, web):
        thread.start()
    for thread in workers:
        thread.join()
    over.set()
    web.join()
    assert told(database, holder) == dict.fromkeys(LEVELS, 1)
    assert world.events(database, holder.account_id).count("credit.exhausted") == 1
    assert world.violations(database) == []


def test_a_level_that_stays_keeps_its_state_and_a_new_one_that_is_crossed_waits(database: Database) -> None:
    holder = world.open_account(database, 100)
    set_levels(database, holder, [("remaining", 90), ("spent", 10)])
    spend(database, holder, 15)
    set_levels(database, holder, [("remaining", 90), ("spent", 10), ("remaining", 95), ("spent", 12), ("spent", 20)])
    spend(database, holder, 1)
    assert told(database, holder) == {("remaining", 90): 1, ("spent", 10): 1}
    database.write_sync(ledger.grant, holder.account_id, 20 * CREDIT)
    spend(database, holder, 20)
    expected = {("remaining", 90): 2, ("remaining", 95): 1, ("spent", 10): 1, ("spent", 20): 1}
    assert told(database, holder) == expected


def test_a_level_given_twice_is_one(database: Database) -> None:
    holder = world.open_account(database, 100)
    set_levels(database, holder, [("remaining", 90), ("remaining", 90.0)])
    assert len(world.rows(database, m.thresholds, account_id=holder.account_id)) == 1
    spend(database, holder, 15)
    assert told(database, holder) == {("remaining", 90): 1}


def test_a_transaction_of_last_month_that_comes_late_fires_nothing_twice(database: Database) -> None:
    holder = world.open_account(database, 1000)
    set_levels(database, holder, [("spent", 20)])
    world.queued(database, holder, bound=200 * CREDIT)
    now = clock.now_micros()
    last = now - 32 * 86_400 * clock.MICROS

    def charge(at: int, credits: int) -> None:
        def write(connection: Any) -> None:
            book = Book(connection, [holder.account_id], now=at)
            book.settle(holder.account_id, ("job", clock.new_id("job")), held=credits * CREDIT, charge=credits * CREDIT)
            book.close()

        database.write_sync(write)

    for at, credits in ((last, 15), (now, 25), (last, 15), (now, 15), (last, 15)):
        charge(at, credits)
    assert told(database, holder) == {("spent", 20): 2}, "each month once, in whichever order"


def test_a_hold_of_all_that_fails_is_no_end(database: Database) -> None:
    """The last is held and released again and again, and requests are refused meanwhile: one event."""
    holder = world.open_account(database, 20)
    for _ in range(3):
        (job,) = world.take(database, world.new_worker(database), world.queued(database, holder, bound=20 * CREDIT))
        world.accept_all(database, [world.order(database, holder, bound=CREDIT)])
        world.settle(database, world.good_end(job, 0))
    spend(database, holder, 20)
    assert world.events(database, holder.account_id).count("credit.exhausted") == 1
