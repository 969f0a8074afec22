"""Who waits for a job hears of its end by a hint, or within about a second from the row; never too early."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from producer.context import Context
from producer.waiting import waiters as replies
from producer.waiting.waiters import JobState, Waiters, ended_among
from shared import clock
from shared.db import Database
from shared.jobs.outcomes import Ending
from shared.settings import settings
from tests.integration import world


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def finish(database: Database, id: str) -> None:
    for job in world.take(database, world.new_worker(database), [id]):
        world.settle(database, Ending(job.id, job.epoch, "failed"))


def test_the_row_is_asked_when_no_hint_comes(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "ASK_SECONDS", 0.1)
    holder = world.open_account(database)
    ids = world.queued(database, holder, 3)

    async def scene() -> None:
        waiters = Waiters(database)
        asking = asyncio.create_task(waiters.run())
        futures = [waiters.register(id) for id in (*ids, ids[0])]
        await asyncio.sleep(0.3)
        assert not any(future.done() for future in futures)
        await asyncio.to_thread(finish, database, ids[0])
        await until(lambda: futures[0].done() and futures[3].done())
        assert not futures[1].done() and not futures[2].done()
        asking.cancel()

    asyncio.run(scene())


def test_a_hint_needs_no_row(database: Database) -> None:
    async def scene() -> None:
        waiters = Waiters(database)
        one, same, other = waiters.register("job_1"), waiters.register("job_1"), waiters.register("job_2")
        waiters.ended(["job_1", "job_3"])
        waiters.ended(["job_1"])
        assert one.done() and same.done() and not other.done()

    asyncio.run(scene())


def test_after_a_reconnect_everybody_is_asked_for_at_once(database: Database) -> None:
    (id,) = world.queued(database, world.open_account(database))
    finish(database, id)

    async def scene() -> None:
        waiters = Waiters(database)
        asking = asyncio.create_task(waiters.run())
        future = waiters.register(id)
        await asyncio.sleep(0.05)
        assert not future.done(), "too young to be asked for"
        waiters.ask_all()
        await asyncio.wait_for(future, 0.8)
        asking.cancel()

    asyncio.run(scene())


def test_an_answer_in_a_hint_is_had_by_each_who_waits(database: Database) -> None:
    async def scene() -> None:
        waiters = Waiters(database)
        one, same, other = waiters.register("job_1"), waiters.register("job_1"), waiters.register("job_2")
        waiters.heard({"job_1": {"response": "{}", "charged_micros": 3, "later": 1}, "job_2": None, "job_3": None})
        assert one.result() == same.result() == JobState("job_1", "succeeded", "{}", None, 3)
        assert other.result() is None, "the row says"

    asyncio.run(scene())


def test_who_leaves_is_forgotten_and_the_others_are_not(database: Database) -> None:
    async def scene() -> None:
        waiters = Waiters(database)
        one, other = waiters.register("job_1"), waiters.register("job_1")
        waiters.unregister("job_1", one)
        waiters.ended(["job_1"])
        assert other.done() and one.cancelled()
        waiters.unregister("job_1", other)
        assert not waiters._waiting and not waiters._since

    asyncio.run(scene())


def test_a_database_that_is_away_is_asked_again(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(replies, "ASK_SECONDS", 0.05)
    (id,) = world.queued(database, world.open_account(database))
    finish(database, id)
    failing = 2

    def flaky(connection: Any, ids: Any) -> list[str]:
        nonlocal failing
        failing -= 1
        if failing >= 0:
            raise OSError
        return ended_among(connection, ids)

    monkeypatch.setattr(replies, "ended_among", flaky)

    async def scene() -> None:
        waiters = Waiters(database)
        asking = asyncio.create_task(waiters.run())
        await asyncio.wait_for(waiters.register(id), 10)
        asking.cancel()

    asyncio.run(scene())
    assert caplog.text.count("failed: OSError") == 2


def test_only_terminal_states_are_an_end(database: Database) -> None:
    holder = world.open_account(database)
    queued, running, ended = world.queued(database, holder, 3)
    world.take(database, world.new_worker(database), [running])
    finish(database, ended)
    assert database.read_sync(ended_among, [queued, running, ended, "job_none"]) == [ended]


def test_a_worker_is_told_until_when_its_jobs_caller_waits(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never past the job's own deadline; and not at all where the caller takes the job instead of its answer."""
    holder = world.open_account(database)
    scenes = [("waits", 30.0, True, 30.0), ("past its deadline", 600.0, True, 100.0), ("takes it", 30.0, False, None)]
    monkeypatch.setattr(settings(), "job_expires_seconds", 100)

    async def place() -> list[str]:
        context = Context(database, world.RecordedBell())
        try:
            placed = [
                await context.placer.place(holder, world.submission(), None, waits=waits, insists=insists)
                for _, waits, insists, _ in scenes
            ]
            assert [job.left_seconds for job in placed] == pytest.approx([30, 100, 30], abs=5)
            return [job.job_id for job in placed]
        finally:
            await context.close()

    ids = [*asyncio.run(place()), *world.queued(database, holder, 2)]
    leased = {job.id: job for job in world.take(database, world.new_worker(database), ids)}
    for id, (name, _, _, known) in zip(ids, [*scenes, ("job", 0, False, None), ("job", 0, False, None)], strict=True):
        job = leased[id]
        expected = None if known is None else job.created_at + int(known * clock.MICROS)
        assert job.wait_until == expected, name


def test_when_the_server_stops_nobody_waits_any_more(database: Database) -> None:
    holder = world.open_account(database)
    (id,) = world.queued(database, holder)

    async def scene() -> None:
        context = Context(database, world.RecordedBell())
        placed = await context.placer.place(holder, world.submission(), None, waits=60)
        waiting = [
            asyncio.create_task(context.placer.wait(placed)),
            asyncio.create_task(context.placer.await_end(id, holder, 60)),
        ]
        await asyncio.sleep(0.05)
        context.stop_waiting()
        outcome, _ = await asyncio.wait_for(asyncio.gather(*waiting), 10)
        assert isinstance(outcome, replies.JobState) and not outcome.over
        later = await context.placer.place(holder, world.submission(), None, waits=60)
        assert not (await asyncio.wait_for(context.placer.wait(later), 10)).over
        await context.close()

    asyncio.run(scene())
