"""A worker with room finds jobs whose doorbell cannot be heard: by the broker's fault, or by its own deafness."""

import asyncio
from collections.abc import Iterator, Sequence

import pytest

from shared import clock
from shared.db import Database
from tests.integration import world
from workers.running.polling import DEAF_SECONDS, LATE_SECONDS, MOST, SILENT_SECONDS, Poller
from workers.running.slots import Slots

BATCH = "openai.batch"


class Worker:
    """A poller, and what it found."""

    def __init__(self, database: Database, *, up: bool, slots: int = 10) -> None:
        self.bell = world.RecordedBell()
        self.bell.up = up
        self.slots = Slots({world.QUEUE: slots, BATCH: slots})
        self.found: list[str] = []
        self.delivered: list[str] = []
        self.poller = Poller(
            database, self.bell, self.slots, self.offer, self.delivered.extend, lambda connection: ["dlv_1"]
        )

    def offer(self, queue: str, ids: Sequence[str]) -> None:
        assert not self.slots.add(queue, ids)
        self.found += ids

    def look(self) -> list[str]:
        """What one look finds."""
        before = len(self.found)
        assert asyncio.run(self.poller.look()) == (len(self.found) > before)
        return self.found[before:]


@pytest.fixture(autouse=True)
def _virtual() -> Iterator[None]:
    with world.virtual_time():
        yield


def unrung(database: Database, count: int = 3) -> list[str]:
    return world.queued(database, world.open_account(database, 100_000), count, type="embedding")


def test_while_the_broker_is_away_what_waits_is_found_once(database: Database) -> None:
    ids = unrung(database)
    first, second = Worker(database, up=False), Worker(database, up=False)
    assert first.look() == ids and second.look() == [] and first.look() == []
    assert first.delivered == ["dlv_1"] * 2
    assert len(world.take(database, world.new_worker(database), ids)) == 3, "leased as ever"


def test_while_the_broker_is_well_a_queue_that_is_heard_is_left_to_it(database: Database) -> None:
    unrung(database)
    worker = Worker(database, up=True)
    assert worker.look() == []
    clock.shift(int(SILENT_SECONDS * clock.MICROS) - 1)
    worker.poller.heard(BATCH)
    assert worker.look() == [] and worker.delivered == []


def test_a_worker_that_has_not_heard_of_deliveries_for_long_looks_for_due_ones(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(database, up=True)
    worker.look()
    assert worker.delivered == [], "it would have heard of them"
    monkeypatch.setattr("workers.running.polling.SILENT_SECONDS", 0.0)
    worker.look()
    assert worker.delivered == ["dlv_1"]


def test_no_more_is_taken_than_there_is_room_for(database: Database) -> None:
    ids = unrung(database, 30)
    worker = Worker(database, up=False, slots=10)
    assert worker.look() == ids[:10] and worker.look() == []
    many = Worker(database, up=False, slots=1000)
    unrung(database, 500)
    assert len(many.look()) == MOST, "others want some"


def test_accounts_take_turns(database: Database) -> None:
    big, small = unrung(database, 100), unrung(database, 2)
    found = Worker(database, up=False, slots=10).look()
    assert set(small) < set(found) and len(found) == 10 and set(found) - set(small) < set(big)


def test_what_another_took_and_never_ran_is_found_again(database: Database) -> None:
    ids = unrung(database)
    assert Worker(database, up=False).look() == ids
    later = Worker(database, up=False)
    assert later.look() == []
    clock.shift(int((LATE_SECONDS + 1) * clock.MICROS))
    assert later.look() == ids


def test_a_deaf_worker_finds_what_was_rung_for_long_ago(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = unrung(database)
    for id in ids:
        world.change(database, id, woken_at=clock.now_micros())
    worker = Worker(database, up=True)
    monkeypatch.setattr("workers.running.polling.SILENT_SECONDS", 0.0)
    assert worker.look() == []
    clock.shift(int((DEAF_SECONDS + 1) * clock.MICROS))
    assert worker.look() == ids


def test_a_queue_that_cannot_be_had_is_not_waited_for_though_others_ring_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a cluster that is split: its node is away for this worker, and not for who rings."""
    ids = unrung(database)
    for id in ids:
        world.change(database, id, woken_at=clock.now_micros())
    worker = Worker(database, up=True)
    monkeypatch.setattr("shared.broker.rabbitmq.unavailable", {BATCH})
    assert worker.look() == []
    clock.shift(int((LATE_SECONDS + 1) * clock.MICROS))
    assert worker.look() == ids
