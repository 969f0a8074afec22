"""The feeder: a bounded window, turns over the accounts, priority, and a broker that is away."""

from typing import Any

import pytest
from sqlalchemy import text

from shared import clock
from shared.db import Database
from shared.db.models.jobs import DEFERRED, TO_WAKE
from shared.jobs.outcomes import Requeue
from tests.integration import world
from workers.maintenance import feeder
from workers.maintenance.feeder import FIRST, Feeder

SECOND = clock.MICROS
BATCH = "openai.batch"


@pytest.fixture(autouse=True)
def _virtual() -> Any:
    with world.virtual_time():
        yield


@pytest.fixture
def bell() -> world.RecordedBell:
    return world.RecordedBell()


@pytest.mark.parametrize(("seconds", "woken"), [(0.25, 400), (0.5, 100), (10.0, 0)])
def test_the_window_is_bounded_and_topped_up(
    database: Database, bell: world.RecordedBell, monkeypatch: pytest.MonkeyPatch, seconds: float, woken: int
) -> None:
    """By what is drained a second: 300 jobs in so many seconds; the window is halfway between that and what it was."""
    instant = [1000.0]
    monkeypatch.setattr(clock, "monotonic", lambda: instant[0])
    holder = world.open_account(database, 100_000)
    ids = world.queued(database, holder, FIRST + 500, type="embedding")
    fed = Feeder(database, bell)
    assert fed.run_once([BATCH]) == FIRST and fed.run_once([BATCH]) == 0
    assert bell.ids(BATCH) == ids[:FIRST], "the oldest first"
    worker = world.new_worker(database)
    assert len(world.take(database, worker, ids[:300])) == 300
    instant[0] += seconds
    assert fed.run_once([BATCH]) == woken
    assert len(set(bell.ids(BATCH))) == len(bell.ids(BATCH)), "each is rung for once"


def test_accounts_take_turns(database: Database, bell: world.RecordedBell) -> None:
    big, small = world.open_account(database, 100_000), world.open_account(database)
    world.queued(database, big, FIRST * 2, type="embedding")
    late = world.queued(database, small, 2, type="embedding")
    Feeder(database, bell).run_once([BATCH])
    places = [bell.ids(BATCH).index(id) for id in late]
    assert max(places) < 5, "two jobs behind two thousand of another account are among the first"


def test_more_accounts_than_one_pass_takes_all_get_their_turn(
    database: Database, bell: world.RecordedBell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeder, "ACCOUNTS", 2)
    holders = [world.open_account(database) for _ in range(5)]
    ids = {id for holder in holders for id in world.queued(database, holder, 2, type="embedding")}
    fed = Feeder(database, bell)
    for _ in range(3):
        fed.run_once([BATCH])
    assert set(bell.ids(BATCH)) == ids


def test_priority_goes_first_and_run_at_is_respected(
    database: Database, bell: world.RecordedBell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeder, "LEAST", 2)
    holder = world.open_account(database)
    ids = world.queued(database, holder, 5, type="embedding")
    world.change(database, ids[4], priority=5)
    world.change(database, ids[0], run_at=clock.now_micros() + 60 * SECOND)
    fed = Feeder(database, bell, {BATCH: feeder._Flow(window=2)})
    fed.run_once([BATCH])
    assert set(bell.ids(BATCH)) == {ids[4], ids[1]}
    clock.shift(61 * SECOND)
    world.take(database, world.new_worker(database), [ids[4], ids[1]])
    fed.flows[BATCH].window = 100
    fed.run_once([BATCH])
    assert set(bell.ids(BATCH)) == set(ids)


def test_a_broker_that_is_down_marks_nothing(database: Database, bell: world.RecordedBell) -> None:
    ids = world.queued(database, world.open_account(database), 3, type="embedding")
    bell.up = False
    fed = Feeder(database, bell)
    assert fed.run_once([BATCH]) == 0 and world.woken(database) == set()
    bell.up = True
    assert fed.run_once([BATCH]) == 3 and world.woken(database) == set(ids)


def test_two_feeders_ring_for_each_job_once(database: Database, bell: world.RecordedBell) -> None:
    ids = world.queued(database, world.open_account(database), 50, type="embedding")
    for fed in (Feeder(database, bell), Feeder(database, bell)):
        fed.run_once([BATCH])
    assert sorted(bell.ids(BATCH)) == ids


def put_off(database: Database, worker: str, id: str, seconds: float, reason: str = "429") -> None:
    """What a worker does with a batch line that its provider does not take now."""
    (job,) = world.take(database, worker, [id])
    later = clock.now_micros() + int(seconds * SECOND)
    back = Requeue(job.id, job.epoch, job.queue, job.offer, job.failures, later, deferred_for=reason)
    assert world.settle(database, back).verdicts == {id: "done"}


def test_a_deferred_job_is_woken_when_its_time_has_come_and_not_before(
    database: Database, bell: world.RecordedBell
) -> None:
    (id,) = world.queued(database, world.open_account(database), 1)
    world.change(database, id, queue=BATCH, lane="batch")
    put_off(database, world.new_worker(database), id, 3000)
    fed = Feeder(database, bell)
    for _ in range(29):  # a shift is longer than all of this can take
        assert fed.run_once([BATCH]) == 0
        clock.shift(100 * SECOND)
    assert world.row(database, id)["deferred_for"] == "429" and world.woken(database) == set()
    clock.shift(100 * SECOND)
    assert fed.run_once([BATCH]) == 1 and bell.ids(BATCH) == [id]
    (job,) = world.take(database, world.new_worker(database), [id])
    assert world.row(database, id)["deferred_for"] is None
    world.settle(database, world.good_end(job))
    assert world.violations(database) == []


def test_deferred_jobs_of_one_account_take_nothing_of_anothers_window(
    database: Database, bell: world.RecordedBell
) -> None:
    worker = world.new_worker(database)
    for _ in range(30):
        (id,) = world.queued(database, world.open_account(database), 1, bound=1)
        world.change(database, id, queue=BATCH, lane="batch")
        put_off(database, worker, id, 1800)
    world.queued(database, world.open_account(database, 100_000), FIRST, type="embedding")
    assert Feeder(database, bell).run_once([BATCH]) == FIRST


def test_what_an_account_leaves_of_its_share_goes_to_the_others(database: Database, bell: world.RecordedBell) -> None:
    for _ in range(20):
        (id,) = world.queued(database, world.open_account(database), 1, bound=1)
        world.change(database, id, queue=BATCH, lane="batch", woken_at=None, run_at=clock.now_micros() + 1800 * SECOND)
    world.queued(database, world.open_account(database, 100_000), FIRST - 1, type="embedding")
    assert Feeder(database, bell).run_once([BATCH]) == FIRST - 1
    named = [row["deferred_for"] for row in world.rows(database, world.m.jobs, bound_micros=1)]
    assert named == ["retry"] * 20, "jobs that another version put back are put aside as well"


@pytest.mark.parametrize("statement", ["due", "queues", "wake"])
def test_deferred_jobs_are_found_and_passed_over_by_an_index(database: Database, statement: str) -> None:
    queries = {
        "due": (f"SELECT id FROM jobs WHERE {DEFERRED} AND run_at <= 5 ORDER BY run_at LIMIT 400", "jobs_deferred"),
        "queues": (f"SELECT min(queue) FROM jobs WHERE {TO_WAKE} AND queue > 'a'", "jobs_to_wake"),
        "wake": (
            f"SELECT min(account_id) FROM jobs WHERE queue = 'q' AND {TO_WAKE} AND account_id > 'a'",
            "jobs_to_wake",
        ),
    }
    query, index = queries[statement]
    explain = "EXPLAIN QUERY PLAN" if database.engine.dialect.name == "sqlite" else "EXPLAIN"

    def plan(connection: Any) -> str:
        if explain == "EXPLAIN":
            connection.execute(text("SET LOCAL enable_seqscan = off"))
        return " ".join(str(row) for row in connection.execute(text(f"{explain} {query}")))

    assert index in database.read_sync(plan)


def test_while_the_broker_is_away_nothing_is_marked(database: Database, bell: world.RecordedBell) -> None:
    holder = world.open_account(database)
    ids = world.queued(database, holder, 3, type="embedding")
    bell.up = False
    bell.check()
    assert Feeder(database, bell).run_once([BATCH]) == 0
    assert world.woken(database) == set(), "workers with room find them so"
    bell.up = True
    assert Feeder(database, bell).run_once([BATCH]) == 3 and bell.ids(BATCH) == ids
