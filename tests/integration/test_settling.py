"""Settlement: once whatever is repeated; thresholds fire once a crossing; events have no gap."""

import threading
from typing import Any

import pytest
from sqlalchemy import insert, text, update
from sqlalchemy.exc import IntegrityError

from producer.operations import credits as credits_ops
from producer.operations.credits import ThresholdSpecs
from shared import clock
from shared.db import Database
from shared.db import models as m
from shared.jobs.outcomes import Ending, Requeue
from shared.money import ledger
from shared.money.ledger import Book
from tests.integration import world
from tests.integration.world import CREDIT


def leased(database: Database, holder: Any, count: int = 1, **more: Any) -> list[Any]:
    return world.take(database, world.new_worker(database), world.queued(database, holder, count, **more))


def spend(database: Database, holder: Any, credits: float) -> None:
    (job,) = leased(database, holder, bound=round(credits * CREDIT))
    world.settle(database, world.good_end(job, round(credits * CREDIT)))


def test_settling_again_is_done_and_moves_nothing(database: Database) -> None:
    holder = world.open_account(database)
    endings = [world.good_end(job, 7) for job in leased(database, holder, 3, bound=10)]
    for _ in range(3):
        assert set(world.settle(database, *endings).verdicts.values()) == {"done"}
    assert len(world.rows(database, m.transfers, kind="charge")) == 3
    assert world.events(database, holder.account_id) == ["job.completed"] * 3 and world.violations(database) == []


def test_half_of_a_group_that_was_settled_before(database: Database) -> None:
    holder = world.open_account(database)
    one, two = (world.good_end(job, 7) for job in leased(database, holder, 2, bound=10))
    world.settle(database, one)
    assert world.settle(database, one, two).verdicts == {one.job_id: "done", two.job_id: "done"}
    assert world.violations(database) == []


def test_requeueing_again_is_done(database: Database) -> None:
    holder = world.open_account(database)
    (job,) = leased(database, holder)
    back = Requeue(job.id, job.epoch, "google.realtime", 1, 2, 0, [{"status_code": 503}])
    assert [world.settle(database, back).verdicts[job.id] for _ in range(2)] == ["done", "done"]
    row = world.row(database, job.id)
    assert (row["queue"], row["offer"], row["failures"], row["woken_at"]) == ("google.realtime", 1, 2, None)
    assert world.settle(database, Ending(job.id, job.epoch, "failed")).verdicts[job.id] == "stale"


def test_another_end_than_the_first_is_stale(database: Database) -> None:
    holder = world.open_account(database)
    (job,) = leased(database, holder, bound=10)
    world.settle(database, world.good_end(job, 7))
    assert world.settle(database, Ending(job.id, job.epoch, "failed")).verdicts[job.id] == "stale"
    (counted,) = world.rows(database, m.counters, name="stale_answers_refused")
    assert counted["value"] == 1


def test_a_charge_above_the_hold_is_refused_and_rolled_back(database: Database) -> None:
    holder = world.open_account(database)
    (job,) = leased(database, holder, bound=10)
    with pytest.raises(ValueError, match="does not fit"):
        world.settle(database, world.good_end(job, 11))
    assert world.row(database, job.id)["status"] == "running" and world.violations(database) == []


def test_the_schema_itself_refuses_to_bill_a_test_job(database: Database) -> None:
    holder = world.open_account(database, test=True)
    (job,) = leased(database, holder)
    assert job.test and job.bound_micros == 0
    with pytest.raises(IntegrityError):
        database.write_sync(lambda c: c.execute(update(m.jobs).values(bound_micros=5)).rowcount)
    with pytest.raises(IntegrityError):
        bill = insert(m.job_results).values(job_id=job.id, test=True, attempts="[]", charged_micros=1)
        database.write_sync(lambda c: c.execute(bill).rowcount)
    world.settle(database, world.good_end(job))
    assert world.rows(database, m.job_results)[0]["charged_micros"] == 0
    assert [row["kind"] for row in world.rows(database, m.transfers)] == ["grant"]


@pytest.mark.parametrize(
    "meddling",
    ["UPDATE accounts SET available_micros = -1", "UPDATE accounts SET held_micros = -1",
     "UPDATE transfers SET amount_micros = 0", "UPDATE jobs SET status = 'lost'"],
)  # fmt: skip
def test_the_schema_refuses_what_must_never_be(database: Database, meddling: str) -> None:
    world.queued(database, world.open_account(database), bound=10)
    with pytest.raises(IntegrityError):
        database.write_sync(lambda connection: connection.execute(text(meddling)).rowcount)


@pytest.mark.parametrize(
    "meddling",
    ["UPDATE accounts SET available_micros = available_micros + 1", "UPDATE accounts SET sequence = sequence + 1",
     "DELETE FROM transfers WHERE kind = 'charge'", "DELETE FROM events", "DELETE FROM job_results",
     "UPDATE jobs SET status = 'running', finished_at = NULL", "UPDATE job_results SET charged_micros = 3",
     "UPDATE monthly_spend SET spent_micros = spent_micros - 1", "UPDATE jobs SET bound_micros = 11"],
)  # fmt: skip
def test_verify_sees_every_meddling(database: Database, meddling: str) -> None:
    (job,) = leased(database, world.open_account(database), bound=10)
    world.settle(database, world.good_end(job, 7))
    assert world.violations(database) == []
    database.write_sync(lambda connection: connection.execute(text(meddling)).rowcount)
    assert world.violations(database) != []


def test_a_threshold_fires_once_a_crossing_and_is_armed_again_by_a_top_up(database: Database) -> None:
    holder = world.open_account(database, 130)
    told: list[int] = []
    for credits in (20, 10, 5, -50, 30, 40):
        if credits > 0:
            spend(database, holder, credits)
        else:
            database.write_sync(ledger.grant, holder.account_id, -credits * CREDIT)
        told.append(world.events(database, holder.account_id).count("credit.threshold"))
    assert told == [0, 1, 1, 1, 1, 2], "130 > 110 > 100 = told, 95, topped up to 145, 115, 75 = told"


def test_a_hold_alone_crosses_nothing(database: Database) -> None:
    holder = world.open_account(database, 130)
    world.queued(database, holder, bound=100 * CREDIT)
    assert world.events(database, holder.account_id) == []


def test_spent_thresholds_fire_once_a_month(database: Database) -> None:
    holder = world.open_account(database, 10_000)
    spec = ThresholdSpecs.model_validate({"thresholds": [{"kind": "spent", "credits": 25}]})
    database.write_sync(credits_ops.set_thresholds, holder.account_id, spec)
    told: list[int] = []
    with world.virtual_time():
        for _ in range(2):
            for _ in range(4):
                spend(database, holder, 10)
                told.append(world.events(database, holder.account_id).count("credit.threshold"))
            clock.shift(32 * 86_400 * clock.MICROS)
    assert told == [0, 0, 1, 1, 1, 1, 2, 2]


def test_a_threshold_already_crossed_waits_for_the_next_crossing(database: Database) -> None:
    holder = world.open_account(database, 50)
    levels = [{"kind": "remaining", "credits": 60}, {"kind": "remaining", "credits": 45}]
    spec = ThresholdSpecs.model_validate({"thresholds": levels})
    database.write_sync(credits_ops.set_thresholds, holder.account_id, spec)
    spend(database, holder, 6)
    assert world.events(database, holder.account_id).count("credit.threshold") == 1


def test_exhausted_is_told_once_until_a_top_up(database: Database) -> None:
    holder = world.open_account(database, 10)
    told: list[int] = []
    for _ in range(2):
        spend(database, holder, 10)
        for _ in range(2):
            world.accept_all(database, [world.order(database, holder, bound=1)])
        told.append(world.events(database, holder.account_id).count("credit.exhausted"))
        database.write_sync(ledger.grant, holder.account_id, 10 * CREDIT)
    assert told == [1, 2]


def test_a_request_that_is_too_dear_is_no_end_of_credit(database: Database) -> None:
    """Refused with 10 credits there: its 402 says so. That the last of them was spent is told, once."""
    holder = world.open_account(database, 10)
    world.accept_all(database, [world.order(database, holder, bound=11 * CREDIT)])
    assert world.events(database, holder.account_id) == []
    spend(database, holder, 10)
    told = world.events(database, holder.account_id)
    assert told.count("credit.exhausted") == 1 and "job.completed" in told


def test_nine_credits_and_a_request_for_fifty_are_no_end(database: Database) -> None:
    """What it buys as a rule can be bought still; when that is no more so, one event."""
    holder = world.open_account(database, 12)
    spend(database, holder, 3)
    for bound in (50, 10):
        world.accept_all(database, [world.order(database, holder, bound=bound * CREDIT)])
    assert world.events(database, holder.account_id).count("credit.exhausted") == 0
    for _ in range(2):
        spend(database, holder, 3.5)
    for _ in range(3):
        world.accept_all(database, [world.order(database, holder, bound=3 * CREDIT)])
    assert world.events(database, holder.account_id).count("credit.exhausted") == 1, "2 are left, 3 was the least"


def test_of_an_account_without_jobs_credit_ends_with_the_last(database: Database) -> None:
    holder = world.open_account(database, 9)
    world.accept_all(database, [world.order(database, holder, bound=50 * CREDIT)])
    assert world.events(database, holder.account_id) == []
    none = world.open_account(database, 0)
    for _ in range(2):
        world.accept_all(database, [world.order(database, none, bound=1)])
    assert world.events(database, none.account_id) == ["credit.exhausted"]


def test_the_real_end_is_told_after_an_early_one(database: Database) -> None:
    """Too little was left for its jobs when a request was refused, but a smaller one spent the rest."""
    holder = world.open_account(database, 9)
    spend(database, holder, 6)
    for _ in range(2):
        world.accept_all(database, [world.order(database, holder, bound=6 * CREDIT)])
    assert world.events(database, holder.account_id).count("credit.exhausted") == 1, "not at each refusal"
    spend(database, holder, 3)
    assert world.events(database, holder.account_id).count("credit.exhausted") == 2
    assert world.violations(database) == []


def test_events_are_numbered_without_gaps_by_many_writers(database: Database) -> None:
    holder = world.open_account(database)
    url = database.engine.url.render_as_string(hide_password=False)

    def emit(connection: Any, fails: bool) -> None:
        book = Book(connection, [holder.account_id])
        book.emit(holder.account_id, "webhook.test", {})
        book.close()
        if fails:
            raise RuntimeError("rolled back")

    def write(own: Database) -> None:
        for n in range(20):
            try:
                own.write_sync(emit, n % 4 == 3)
            except RuntimeError:
                continue

    writers = [Database(url, threads=1) for _ in range(4)]
    threads = [threading.Thread(target=write, args=(own,)) for own in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for own in writers:
        own.close()
    assert world.events(database, holder.account_id) == ["webhook.test"] * 60
    assert world.violations(database) == []
