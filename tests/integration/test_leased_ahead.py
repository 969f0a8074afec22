"""Jobs of a batch that are leased before there is a slot for them: begun at once when one ends, or handed back."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest
from sqlalchemy import Connection, update

from shared.db import Database
from shared.db import models as m
from shared.jobs import leases
from tests.integration import attempts, world
from tests.integration.test_engine import Provider, Silent, good, statuses
from workers.maintenance.overdue import end_overdue
from workers.providers import ProviderAnswer, ProviderCall
from workers.running import lease
from workers.running.engine import Engine
from workers.running.settler import Settler
from workers.running.slots import Slots

BATCH = "openai.batch"
#: Slots; and how many more are leased once as many have gone through.
CAPACITY, AHEAD = 8, 2


class Scene:
    """An engine with eight slots, all taken by calls that end when they are let, and two jobs leased ahead."""

    def __init__(self, database: Database, engine: Engine, slots: Slots, worker: str) -> None:
        self.database, self.engine, self.slots, self.worker = database, engine, slots, worker
        self.called: list[str] = []
        self.may = asyncio.Event()
        self.paused: set[str] = set()
        self.unlucky = ""

    async def fill(self) -> None:
        holder = world.open_account(self.database)
        quick = world.queued(self.database, holder, CAPACITY)
        self.ids = world.queued(self.database, holder, CAPACITY + AHEAD + 2)
        self.may.set()
        self.engine.offer(BATCH, quick)
        await self.engine.quiet()
        self.may.clear()
        self.called.clear()
        self.engine.offer(BATCH, self.ids)
        await self.until(lambda: len(self.called) == CAPACITY and len(self.running()) == CAPACITY + AHEAD)

    def running(self) -> list[str]:
        """What is leased, says the database."""
        return [id for id in self.ids if world.row(self.database, id)["status"] == "running"]

    def ahead(self) -> list[str]:
        """What is leased and not called."""
        return [id for id in self.running() if id not in self.called]

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await asyncio.sleep(0.01)

    async def call(self, ask: ProviderCall) -> ProviderAnswer:
        self.called.append(ask.job_id)
        await self.may.wait()
        return await good(ask)


def play(database: Database, act: Callable[[Scene], Awaitable[None]], monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Act in the scene, stop the engine, and look whether all slots came back."""
    monkeypatch.setattr("workers.running.slots.RATE_SECONDS", 3600.0)  # however slow the machine is
    worker = world.new_worker(database)
    seen: list[Scene] = []

    async def main() -> None:
        slots, settler = Slots({BATCH: CAPACITY}), Settler(database, Silent(), lambda deliveries: None)
        calls = attempts.of(Provider(lambda ask: seen[0].call(ask)))
        calls.paused = lambda: seen[0].paused
        engine = Engine(database, worker, calls, slots, settler)
        seen.append(Scene(database, engine, slots, worker))
        engine.start()
        async with asyncio.timeout(20):
            await seen[0].fill()
            await act(seen[0])
            await engine.stop(0.05)
        assert not slots.busy() and engine.busy == 0, "every slot came back"

    asyncio.run(main())
    return seen[0]


def test_a_call_that_ends_lets_the_next_begin_while_the_database_is_busy(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act(scene: Scene) -> None:
        first = scene.ahead()
        monkeypatch.setattr("workers.running.leasing._lease", nothing_is_leased)
        scene.may.set()
        await scene.until(lambda: set(first) <= set(scene.called))
        assert scene.called[CAPACITY:] == first, "in their turn"

    play(database, act, monkeypatch)


def nothing_is_leased(*_: object, **__: object) -> list[leases.Leased]:
    return []


def test_one_that_is_cancelled_is_never_called(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    async def act(scene: Scene) -> None:
        scene.unlucky, _ = scene.ahead()
        scene.engine.cancel([scene.unlucky])
        scene.may.set()
        await scene.engine.quiet()

    scene = play(database, act, monkeypatch)
    assert scene.unlucky not in scene.called and statuses(database, [scene.unlucky]) == ["cancelled"]
    assert set(statuses(database, [id for id in scene.ids if id != scene.unlucky])) == {"succeeded"}
    assert world.violations(database) == []


def test_one_that_is_flagged_for_cancel_when_it_is_handed_back_is_nobodys_to_call(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act(scene: Scene) -> None:
        scene.unlucky, other = scene.ahead()
        database.write_sync(flag, scene.unlucky)
        scene.engine._ahead.drop(BATCH)
        scene.engine.cancel([scene.unlucky])  # its message comes when nobody has it
        await scene.until(lambda: statuses(database, [scene.unlucky, other]) == ["queued"] * 2)
        scene.engine.offer(BATCH, [scene.unlucky, other])
        scene.may.set()
        await scene.engine.quiet()
        assert other in scene.called and scene.unlucky not in scene.called

    scene = play(database, act, monkeypatch)
    assert world.row(database, scene.unlucky)["woken_at"] is None
    database.write_sync(end_overdue)
    assert statuses(database, [scene.unlucky]) == ["cancelled"] and world.violations(database) == []


def flag(connection: Connection, id: str) -> None:
    connection.execute(update(m.jobs).where(m.jobs.c.id == id).values(cancel_requested=True))


def test_they_are_handed_back_however_often_the_database_fails(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.running.handing_back.AGAIN_SECONDS", 0.01)
    tried, real = list[int](), leases.hand_back

    def failing(connection: Connection, held: Sequence[tuple[str, int]]) -> int:
        tried.append(len(held))
        if len(tried) < 3:
            raise OSError("away")
        return real(connection, held)

    async def act(scene: Scene) -> None:
        ahead = scene.ahead()
        monkeypatch.setattr(leases, "hand_back", failing)
        scene.engine._ahead.drop(BATCH)
        await scene.until(lambda: set(statuses(database, ahead)) == {"queued"})

    play(database, act, monkeypatch)
    assert tried[:3] == [AHEAD] * 3 and world.violations(database) == []


def test_a_worker_that_stops_hands_them_back_at_once_and_lets_its_calls_end(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act(scene: Scene) -> None:
        ahead = scene.ahead()
        scene.engine.stop_leasing()
        await scene.until(lambda: set(statuses(database, ahead)) == {"queued"})
        assert len(scene.running()) == CAPACITY and world.woken(database).isdisjoint(ahead), "the feeder rings anew"
        scene.may.set()
        await scene.until(lambda: scene.engine.busy == 0)

    scene = play(database, act, monkeypatch)
    assert len(scene.called) == CAPACITY and set(statuses(database, scene.called)) == {"succeeded"}
    assert world.violations(database) == []


def test_those_of_a_provider_that_is_paused_meanwhile_are_handed_back(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act(scene: Scene) -> None:
        ahead = scene.ahead()
        scene.paused.add("openai")
        monkeypatch.setattr("workers.running.leasing._lease", nothing_is_leased)
        scene.may.set()
        await scene.until(lambda: set(statuses(database, ahead)) == {"queued"})

    scene = play(database, act, monkeypatch)
    assert len(scene.called) == CAPACITY and world.violations(database) == []


def test_one_that_waits_for_long_is_handed_back_so_that_another_worker_may_call(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act(scene: Scene) -> None:
        monkeypatch.setattr("workers.running.leasing._lease", nothing_is_leased)
        await scene.until(lambda: len(scene.running()) == CAPACITY)
        assert sorted(scene.running()) == sorted(scene.called), "what has a slot goes on"

    play(database, act, monkeypatch)
    assert world.violations(database) == []


def test_they_are_not_taken_for_lost(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    async def act(scene: Scene) -> None:
        held = database.read_sync(lease.held_by, scene.worker)
        assert len(held) == CAPACITY + AHEAD
        for _ in range(3):
            scene.engine.reconcile(held)
        scene.may.set()
        await scene.engine.quiet()

    scene = play(database, act, monkeypatch)
    assert set(statuses(database, scene.ids)) == {"succeeded"} and len(scene.called) == len(scene.ids)
