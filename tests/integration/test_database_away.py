"""A database that is away, or whose COMMIT is ambiguous: no answer is thrown away, no leased job is forgotten."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from shared.db import AmbiguousCommitError, Database
from tests.integration import attempts, world
from tests.integration.test_engine import Provider, Silent, forever, good
from workers.providers import ProviderAnswer, ProviderCall
from workers.running import lease
from workers.running.engine import Engine
from workers.running.lease import held_by
from workers.running.settler import Settler
from workers.running.slots import Slots

#: Where a list of jobs waits.
QUEUE = "openai.batch"


class Failing(Database):
    """A database whose writes of one function fail, before or after their COMMIT, as often as a test says."""

    def __init__(self, real: Database, fails: Callable[[Any], Exception | None], *, after: bool) -> None:
        self.__dict__.update(real.__dict__)
        self._fails, self._after = fails, after

    def write_sync(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        if not self._after and (error := self._fails(fn)) is not None:
            raise error
        value = Database.write_sync(self, fn, *args, **kwargs)
        if self._after and (error := self._fails(fn)) is not None:
            raise error
        return value


class Hanging(Database):
    """A database that keeps who leases waiting, until it does not."""

    def __init__(self, real: Database) -> None:
        self.__dict__.update(real.__dict__)
        self.hangs, self.reached = asyncio.Event(), asyncio.Event()
        self.hangs.set()

    async def write_few(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        return await self.write(fn, *args, **kwargs)

    async def write(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        if "lease" in fn.__name__ and not self.hangs.is_set():
            self.reached.set()
            await self.hangs.wait()
        return await Database.write(self, fn, *args, **kwargs)


def times(count: int, name: str, error: Exception) -> Callable[[Any], Exception | None]:
    """`error` for the first `count` writes of the function of that name."""
    left = [count]

    def fails(fn: Any) -> Exception | None:
        if fn.__name__ != name or not left[0]:
            return None
        left[0] -= 1
        return error

    return fails


def run(database: Database, worker: str, failing: Failing, ids: list[str], beats: int) -> None:
    """Offer jobs to an engine over a failing database, with so many beats, until all is quiet."""

    async def main() -> None:
        slots = Slots({QUEUE: 10})
        engine = Engine(failing, worker, attempts.of(Provider(good)), slots, Settler(failing, Silent(), print))
        engine.start()
        async with asyncio.timeout(30):
            engine.offer(QUEUE, ids)
            await engine.quiet()
            for _ in range(beats):
                engine.reconcile(database.read_sync(held_by, worker))
            await engine.stop(5)

    asyncio.run(main())


def test_answers_outlast_a_database_that_is_away(database: Database) -> None:
    ids = world.queued(database, world.open_account(database), 3)
    away = OperationalError("UPDATE jobs", None, Exception("database is locked"))
    run(database, world.new_worker(database), Failing(database, times(4, "_settle", away), after=False), ids, 0)
    results = [world.rows(database, world.m.job_results, job_id=id)[0] for id in ids]
    assert [world.row(database, id)["status"] for id in ids] == ["succeeded"] * 3
    assert all(result["response"] for result in results) and world.violations(database) == []


def test_settling_twice_after_an_ambiguous_commit_charges_once(database: Database) -> None:
    ids = world.queued(database, world.open_account(database), 3)
    unsure = times(2, "_settle", AmbiguousCommitError())
    run(database, world.new_worker(database), Failing(database, unsure, after=True), ids, 0)
    assert [world.row(database, id)["status"] for id in ids] == ["succeeded"] * 3
    assert world.violations(database) == []


def test_a_lease_whose_commit_was_ambiguous_is_handed_back_at_the_second_beat(database: Database) -> None:
    ids = world.queued(database, world.open_account(database), 3)
    worker = world.new_worker(database)
    unsure = times(1, "_lease", AmbiguousCommitError())
    run(database, worker, Failing(database, unsure, after=True), ids, 1)
    assert [world.row(database, id)["status"] for id in ids] == ["running"] * 3, "one beat says nothing yet"
    again = times(1, "_lease", AmbiguousCommitError())
    run(database, worker, Failing(database, again, after=True), [], 2)
    assert {world.row(database, id)["status"] for id in ids} == {"queued"}
    assert {world.row(database, id)["woken_at"] for id in ids} == {None}, "the feeder's to wake"
    assert world.violations(database) == []


def test_a_worker_that_starts_while_the_database_is_away_has_its_lease_as_soon_as_it_is_back(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One lease, also where the first COMMIT was ambiguous; what is not there yet cannot run out."""
    away = OperationalError("INSERT INTO workers", None, Exception("timeout expired"))
    errors: list[Exception] = [away, AmbiguousCommitError(), away]
    incarnation, write = lease.Incarnation(database), database.write_sync

    def fails(fn: Any, *args: Any, **kwargs: Any) -> Any:
        assert not incarnation.expiring
        error = errors.pop() if errors else None
        if error is None or isinstance(error, AmbiguousCommitError):
            write(fn, *args, **kwargs)
        if error is not None:
            raise error

    with monkeypatch.context() as patched:
        patched.setattr(lease, "START_AGAIN_SECONDS", 0)
        patched.setattr(database, "write_sync", fails)
        incarnation.start()
    assert [row["id"] for row in world.rows(database, world.m.workers)] == [incarnation.id]
    assert not errors and not incarnation.expiring
    incarnation.stop()


def test_a_lease_that_is_over_ends_calls_although_the_database_hangs(database: Database) -> None:
    """What is being leased just then is waited for, and nothing that is called."""
    calling, ids = asyncio.Event(), world.queued(database, world.open_account(database), 2)

    async def waits(ask: ProviderCall) -> ProviderAnswer:
        try:
            calling.set()
            return await forever(ask)
        finally:
            calling.clear()

    async def main() -> None:
        hanging, slots = Hanging(database), Slots({QUEUE: 10})
        settler = Settler(hanging, Silent(), print)
        engine = Engine(hanging, world.new_worker(database), attempts.of(Provider(waits)), slots, settler)
        engine.start()
        async with asyncio.timeout(30):
            engine.offer(QUEUE, ids[:1])
            await calling.wait()
            hanging.hangs.clear()
            engine.offer(QUEUE, ids[1:])
            await hanging.reached.wait()
            stopping = asyncio.create_task(engine.stop(0))
            while calling.is_set():
                await asyncio.sleep(0)
            assert not stopping.done()
            hanging.hangs.set()
            await stopping

    asyncio.run(main())
    assert {world.row(database, id)["status"] for id in ids} == {"queued"}
