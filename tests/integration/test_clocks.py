"""Hosts whose clocks differ: what may happen at once does, and what waits is judged by the database's clock alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from producer.operations import webhooks
from producer.operations.webhooks import WebhookSpec
from shared import clock
from shared.db import Database
from shared.db import models as m
from shared.jobs import leases
from shared.jobs.outcomes import Requeue
from shared.money.ledger import Book
from shared.settings import settings
from tests.integration import world
from workers.maintenance import feeder
from workers.maintenance.sweep import Sweeper
from workers.running import lease
from workers.webhooks import claims

SECOND, HOUR = clock.MICROS, 3600 * clock.MICROS
SKEWS = [100_000, -100_000, HOUR, -HOUR]


@pytest.fixture(autouse=True)
def _virtual() -> Any:
    with world.virtual_time():
        yield
    clock.unlearn()


@contextmanager
def host(database: Database, skew: int) -> Iterator[None]:
    """What is done inside is done on another machine, whose clock is wrong by so much.

    On SQLite, which is one machine, the time of all that is read there is.
    """
    move = clock.shift if database.is_sqlite else clock.skew
    move(skew)
    clock.unlearn()
    try:
        yield
    finally:
        move(-skew)
        clock.unlearn()


@pytest.mark.parametrize("ahead", SKEWS)
def test_a_job_is_leased_at_once_wherever_it_was_accepted(database: Database, ahead: int) -> None:
    worker = world.new_worker(database)
    with host(database, ahead):
        ids = world.queued(database, world.open_account(database), 3)
    held = world.take(database, worker, ids)
    assert {job.id for job in held} == set(ids)
    with host(database, ahead):
        world.settle(database, *(Requeue(job.id, job.epoch, world.QUEUE, 0, 0, 0, wake=True) for job in held))
    assert len(world.take(database, worker, ids)) == 3, "put back for at once is put back for at once"


@pytest.mark.parametrize("ahead", SKEWS)
def test_a_job_is_fed_at_once_wherever_it_was_accepted(database: Database, ahead: int) -> None:
    bell = world.RecordedBell()
    with host(database, ahead):
        ids = world.queued(database, world.open_account(database), 3)
    Sweeper(database, bell).feed()
    assert bell.ids("openai.batch") == ids


@pytest.mark.parametrize("ahead", SKEWS)
def test_a_delivery_is_claimed_at_once_wherever_its_event_was_made(database: Database, ahead: int) -> None:
    holder = world.open_account(database)

    def emit(connection: Any) -> list[str]:
        book = Book(connection, [holder.account_id])
        book.emit(holder.account_id, "webhook.test", {})
        return book.close()

    database.write_sync(webhooks.create, holder, WebhookSpec(url="https://a.example/"))
    with host(database, ahead):
        due = database.write_sync(emit)
    (claimed,) = database.write_sync(claims.claim, due)
    with host(database, ahead):
        assert database.write_sync(claims.claim, due) == [] or database.is_sqlite, "a claim is a claim everywhere"
    assert claimed["delivery_id"] == due[0]


def test_an_id_that_was_refused_is_the_feeders_again(database: Database) -> None:
    worker, holder = world.new_worker(database), world.open_account(database)
    early, elsewhere, taken = world.queued(database, holder, 3)
    for id in (early, elsewhere, taken):
        world.change(database, id, woken_at=clock.now_micros())
    world.change(database, early, run_at=clock.now_micros() + HOUR)
    world.change(database, elsewhere, queue="google.batch")
    leased = database.write_sync(leases.lease, worker, {"openai.batch": [early, elsewhere, taken]})
    assert [job.id for job in leased] == [taken]
    assert world.woken(database) == {elsewhere, taken}, "what rings elsewhere is not this queue's"


def test_what_waits_is_judged_by_the_databases_clock_on_both_sides(postgres: Any) -> None:
    """Deadlines, leases, and the end of a pause, told by hosts an hour apart from each other."""
    database = Database(postgres.migrated())
    bell = world.RecordedBell()
    try:
        true = database.write_sync(lambda connection: lease.db.now(connection))
        with host(database, HOUR):
            (id,) = world.queued(database, world.open_account(database))
        row = world.row(database, id)
        assert abs(row["created_at"] - true) < 30 * SECOND
        assert abs(row["expires_at"] - true - settings().job_expires_seconds * SECOND) < 30 * SECOND
        with host(database, -HOUR):
            (job,) = world.take(database, world.new_worker(database), [id])
            later = clock.now_micros() + 60 * SECOND
            back = Requeue(id, job.epoch, job.queue, 0, 1, later, deferred_for="429")
            world.settle(database, back)
        with host(database, HOUR):
            assert not database.read_sync(feeder.is_any_due)
            clock.shift(90 * SECOND)
            assert database.read_sync(feeder.is_any_due) and database.write_sync(feeder.end_deferrals) == 1
            Sweeper(database, bell).feed()
        with host(database, -HOUR):
            assert len(world.take(database, world.new_worker(database), [id])) == 1
        with host(database, HOUR):
            Sweeper(database, bell).run_once()
        assert world.row(database, id)["status"] == "running", "nobody is taken for overdue, or lapsed"
    finally:
        database.close()


@pytest.mark.parametrize("ahead", [HOUR, -HOUR])
def test_a_doorbell_lost_is_found_whatever_its_time_says(database: Database, ahead: int) -> None:
    """By a producer of an earlier version, say, whose clock is its own."""
    bell = world.RecordedBell()
    (id,) = world.queued(database, world.open_account(database))
    world.change(database, id, woken_at=clock.now_micros() + ahead)
    sweeper = Sweeper(database, bell)
    for _ in range(3):
        sweeper.run_once()
        clock.shift(SECOND)
    assert bell.ids(world.QUEUE) == [], "it has its three seconds"
    for _ in range(2):
        sweeper.run_once()
        clock.shift(SECOND)
    assert bell.ids(world.QUEUE) == [id]


@pytest.mark.parametrize("ahead", [HOUR, -HOUR])
def test_a_lease_is_judged_by_watching_it(database: Database, ahead: int) -> None:
    """Whatever its row says: an incarnation that renews lives, one that does not is lapsed within 45 s."""
    sweeper = Sweeper(database, world.RecordedBell())
    with host(database, ahead):
        silent, lively = world.new_worker(database), world.new_worker(database)
    for second in range(44):
        clock.shift(SECOND)
        if second % 10 == 0:
            with host(database, ahead):
                assert database.write_sync(lease.renew, lively, sure=True) == []
        sweeper.lapse()
    ended = {row["id"]: row["ended"] for row in world.rows(database, m.workers)}
    assert ended == {silent: "lost", lively: None}


def test_a_process_learns_the_databases_time(postgres: Any) -> None:
    database = Database(postgres.migrated())
    try:
        with host(database, HOUR):
            before = clock.wall_micros()
            database.read_sync(lambda connection: None)
            assert before - clock.now_micros() > HOUR - 30 * SECOND, "any transaction will do"
            clock.skew(-HOUR)
            told = clock.now_micros()
            clock.skew(HOUR)
            assert abs(clock.now_micros() - told) < 30 * SECOND, "a clock that is set moves nothing"
    finally:
        database.close()
