"""The feeder: a bounded window, turns over the accounts, priority, and a broker that is away."""

from typing import Any

import pytest

from shared import clock
from shared.db import Database
from tests.integration import world
from workers import feeder
from workers.feeder import FIRST, Feeder

SECOND = clock.MICROS
BATCH = "openai.batch"


@pytest.fixture(autouse=True)
def _virtual() -> Any:
    with world.virtual_time():
        yield


@pytest.fixture
def bell() -> world.RecordedBell:
    return world.RecordedBell()


def test_the_window_is_bounded_and_topped_up(database: Database, bell: world.RecordedBell) -> None:
    holder = world.open_account(database, 100_000)
    ids = world.queued(database, holder, FIRST + 500, type="embedding")
    fed = Feeder(database, bell)
    assert fed.run_once([BATCH]) == FIRST and fed.run_once([BATCH]) == 0
    assert bell.ids(BATCH) == ids[:FIRST], "the oldest first"
    worker = world.new_worker(database)
    assert len(world.take(database, worker, ids[:300])) == 300
    assert fed.run_once([BATCH]) >= 300
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
