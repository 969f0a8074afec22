"""The engine on a real database with a scripted provider: slots come back, cancels are heard, stopping hands back."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import orjson
import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from shared import clock
from shared.db import Database
from shared.db import models as m
from shared.errors import ProviderError
from shared.jobs import leases
from shared.jobs.leases import Leased
from shared.jobs.outcomes import Ending, Requeue, Verdict
from shared.notifier import Notifier
from shared.submissions.schemas import Usage
from tests.integration import attempts, world
from workers.pacing import Pace, PaceStore
from workers.providers import ProviderAnswer, ProviderCall
from workers.running import requeues
from workers.running.attempts import Attempts
from workers.running.engine import Engine
from workers.running.partial_answer import PartialAnswer
from workers.running.settler import Settler
from workers.running.slots import EARNED_LEASES, Slots


class Provider:
    """Answers with what a test says."""

    def __init__(self, behave: Callable[[ProviderCall], Awaitable[ProviderAnswer]]) -> None:
        self.call = behave


async def good(ask: ProviderCall) -> ProviderAnswer:
    return ProviderAnswer({"choices": []}, Usage(prompt_tokens=1, completion_tokens=1))


async def forever(ask: ProviderCall) -> ProviderAnswer:
    await asyncio.Event().wait()
    raise AssertionError


class Silent(Notifier):
    """Tells nobody."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def publish(self, channel: str, ids: Any) -> None:
        self.told += ids


class Turning(Attempts):
    """Has each job turn to another offer, on the queue of its provider, once it `may`."""

    def __init__(self) -> None:
        super().__init__({}, Pace(PaceStore(attempts.NOWHERE), "w"))
        self.may = asyncio.Event()
        self.may.set()

    async def run(self, job: Leased, attempts: list[dict[str, Any]], partial: PartialAnswer) -> Ending | Requeue:
        await self.may.wait()
        return requeues.to_offer(job, 1, "google", "batch", attempts)


def scene(
    database: Database,
    play: Callable[[Engine, Slots], Awaitable[None]],
    behave: Callable[[ProviderCall], Awaitable[ProviderAnswer]] | Attempts = good,
    capacity: int = 10,
    also: str = world.QUEUE,
) -> Silent:
    """Play something with a running engine, then stop it."""
    worker, notifier = world.new_worker(database), Silent()

    async def main() -> None:
        slots = Slots({world.QUEUE: capacity, "openai.batch": capacity, also: capacity})
        settler = Settler(database, notifier, lambda deliveries: None)
        calls = behave if isinstance(behave, Attempts) else attempts.of(Provider(behave))
        engine = Engine(database, worker, calls, slots, settler)
        engine.start()
        async with asyncio.timeout(20):
            await play(engine, slots)
            await engine.stop(5)
        assert not slots.busy() and engine.busy == 0, "every slot came back"

    asyncio.run(main())
    return notifier


def statuses(database: Database, ids: list[str]) -> list[str]:
    return [world.row(database, id)["status"] for id in ids]


def test_more_jobs_than_slots_all_run(database: Database) -> None:
    ids = world.queued(database, world.open_account(database), 60)
    most = 0

    async def counted(ask: ProviderCall) -> ProviderAnswer:
        nonlocal most
        most = max(most, seen[0].in_use()["openai.batch"])
        return await good(ask)

    seen: list[Slots] = []

    async def play(engine: Engine, slots: Slots) -> None:
        seen.append(slots)
        engine.offer("openai.batch", ids)
        engine.offer("openai.batch", ids[:20])
        await engine.quiet()

    notifier = scene(database, play, counted, capacity=7)
    assert set(statuses(database, ids)) == {"succeeded"} and 1 <= most <= 7
    assert sorted(notifier.told) == sorted(ids) and world.violations(database) == []


def test_others_are_called_while_ends_are_written_down_but_not_more_than_may_be_kept(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids, called, flush = world.queued(database, world.open_account(database), 9), list[str](), Settler._flush

    async def counted(ask: ProviderCall) -> ProviderAnswer:
        called.append(ask.job_id)
        return await good(ask)

    may = asyncio.Event()

    async def later(settler: Settler, outcomes: Sequence[Ending | Requeue]) -> Sequence[Verdict]:
        await may.wait()
        return await flush(settler, outcomes)

    monkeypatch.setattr(Settler, "_flush", later)

    async def play(engine: Engine, slots: Slots) -> None:
        engine.offer("openai.batch", ids)
        while len(called) < 6 or engine._calling:
            await asyncio.sleep(0.01)
        assert engine.busy == 6 and slots.in_use()["openai.batch"] == 4, "four slots, and half as many beside them"
        assert set(statuses(database, called)) == {"running"}
        may.set()
        await engine.quiet()
        assert engine.busy == 0, "what is being written down is not quiet"

    scene(database, play, counted, capacity=4)
    assert set(statuses(database, ids)) == {"succeeded"} and sorted(called) == sorted(ids)
    assert world.violations(database) == []


@pytest.mark.parametrize("comes", ["realtime", "enough", "stop"])
def test_a_few_of_a_batch_wait_for_more_unless_somebody_waits_or_it_stops(
    database: Database, monkeypatch: pytest.MonkeyPatch, comes: str
) -> None:
    monkeypatch.setattr("workers.running.leasing.MANY", 1)
    monkeypatch.setattr("workers.running.engine.MANY", 1)
    monkeypatch.setattr("workers.running.leasing.LEASE_LEAST", 3)
    monkeypatch.setattr("workers.running.leasing.GATHER_SECONDS", 3600 if comes != "enough" else 0.01)
    holder, may, asked = world.open_account(database), asyncio.Event(), list[int]()
    ids, (waited_for,) = world.queued(database, holder, 5), world.queued(database, holder)

    async def later(ask: ProviderCall) -> ProviderAnswer:
        await may.wait()
        return await good(ask)

    def lease(connection: Connection, worker: str, wanted: Mapping[str, Sequence[str]], **more: Any) -> list[Leased]:
        asked.append(sum(map(len, wanted.values())))
        return leases.lease(connection, worker, wanted)

    monkeypatch.setattr("workers.running.leasing._lease", lease)

    async def play(engine: Engine, slots: Slots) -> None:
        engine.offer("openai.batch", ids[:1])
        while engine.busy < 1:
            await asyncio.sleep(0.01)
        engine.offer("openai.batch", ids[1:3])
        if comes == "realtime":
            engine.offer(world.QUEUE, [waited_for])
        elif comes == "enough":
            engine.offer("openai.batch", ids[3:])
        may.set()
        await (engine.stop(5) if comes == "stop" else engine.quiet())

    scene(database, play, later)
    assert asked == {"realtime": [1, 3], "enough": [1, 4], "stop": [1]}[comes]
    assert statuses(database, ids[:3]) == ["succeeded", *["queued" if comes == "stop" else "succeeded"] * 2]
    assert world.woken(database).isdisjoint(ids[1:3]), "what was not leased is the feeder's"


def test_a_task_cancelled_at_its_birth_gives_its_slot_back(database: Database) -> None:
    (id,) = world.queued(database, world.open_account(database))

    async def play(engine: Engine, slots: Slots) -> None:
        slots.add(world.QUEUE, [id])
        await engine._leasing.lease(slots.take(1, 0.0))
        engine.cancel([id])
        await engine.quiet()

    scene(database, play, forever)
    assert statuses(database, [id]) == ["cancelled"]


def test_stopping_hands_back_what_was_not_done(database: Database) -> None:
    ids = world.queued(database, world.open_account(database), 4)

    async def play(engine: Engine, slots: Slots) -> None:
        engine.offer("openai.batch", ids)
        while engine.busy < 2:
            await asyncio.sleep(0.01)
        await engine.stop(0.05)

    scene(database, play, forever, capacity=2)
    rows = [world.row(database, id) for id in ids]
    assert {row["status"] for row in rows} == {"queued"} and {row["woken_at"] for row in rows} == {None}
    assert world.violations(database) == []


@pytest.mark.parametrize("fault", [RuntimeError("bug"), KeyError("canary-4411")])
def test_a_fault_of_ours_ends_the_job_and_only_it(database: Database, fault: Exception) -> None:
    ids = world.queued(database, world.open_account(database), 3)

    async def faulty(ask: ProviderCall) -> ProviderAnswer:
        if ask.job_id == ids[1]:
            raise fault
        return await good(ask)

    async def play(engine: Engine, slots: Slots) -> None:
        engine.offer("openai.batch", ids)
        await engine.quiet()

    scene(database, play, faulty)
    assert statuses(database, ids) == ["succeeded", "failed", "succeeded"] and world.violations(database) == []


def test_an_answer_that_the_database_will_not_take_fails_its_job_alone(database: Database) -> None:
    ids = world.queued(database, world.open_account(database), 6)

    async def huge(ask: ProviderCall) -> ProviderAnswer:
        tokens = 2**62 if ask.job_id == ids[2] else 1  # its excess is more than a column holds
        return ProviderAnswer({"choices": []}, Usage(prompt_tokens=tokens, completion_tokens=1))

    async def play(engine: Engine, slots: Slots) -> None:
        engine.offer("openai.batch", ids)
        await engine.quiet()

    scene(database, play, huge)
    assert statuses(database, ids) == ["succeeded"] * 2 + ["failed"] + ["succeeded"] * 3
    assert world.violations(database) == []


def test_a_provider_that_is_not_configured_fails_the_job_with_a_reason(database: Database) -> None:
    (id,) = world.queued(database, world.open_account(database))

    async def absent(ask: ProviderCall) -> ProviderAnswer:
        raise ProviderError("the provider openai is not configured here", code="not_configured")

    async def play(engine: Engine, slots: Slots) -> None:
        engine.offer(world.QUEUE, [id])
        await engine.quiet()

    scene(database, play, absent)
    assert statuses(database, [id]) == ["failed"]


def test_jobs_that_turn_to_another_offer_count_as_gone_through_and_are_rung_for_together(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids, bell = world.queued(database, world.open_account(database), 100), world.RecordedBell()
    monkeypatch.setattr("workers.running.engine.bell", lambda: bell)
    went = 0

    async def play(engine: Engine, slots: Slots) -> None:
        nonlocal went
        engine.offer("openai.batch", ids)
        await engine.quiet()
        went = slots._queues["openai.batch"].earned_now // EARNED_LEASES

    scene(database, play, Turning(), capacity=100)
    assert went == len(ids), "so that a queue that is leased from slowly is leased from faster"
    assert sorted(bell.ids("google.batch")) == sorted(ids) and len(bell.rung) <= 3, (
        "one message for what settled together"
    )
    assert world.woken(database) == set(ids)


def test_what_turns_while_its_worker_stops_is_left_to_the_feeder(database: Database) -> None:
    ids, turning = world.queued(database, world.open_account(database), 3), Turning()
    turning.may.clear()

    async def play(engine: Engine, slots: Slots) -> None:
        engine.offer("openai.batch", ids)
        while engine.busy < len(ids):
            await asyncio.sleep(0.01)
        engine.stop_leasing()
        turning.may.set()
        await engine.stop(5)

    scene(database, play, turning, also="google.batch")
    rows = [world.row(database, id) for id in ids]
    assert {(row["status"], row["queue"], row["offer"]) for row in rows} == {("queued", "google.batch", 1)}
    assert world.woken(database) == set(), "no message is on its way"


@pytest.mark.parametrize("away", [True, False])
def test_jobs_that_could_not_be_leased_are_leased_once_they_can_be(
    database: Database, monkeypatch: pytest.MonkeyPatch, away: bool
) -> None:
    """Here, when the database is away; of another fault one of them may be the cause, so they are the feeder's."""
    ids, asked = world.queued(database, world.open_account(database), 5), list[int]()
    for id in ids:
        world.change(database, id, woken_at=clock.now_micros())

    def lease(connection: Connection, worker: str, wanted: Mapping[str, Sequence[str]], **more: Any) -> list[Leased]:
        asked.append(sum(map(len, wanted.values())))
        if len(asked) == 1:
            raise PoolTimeoutError("away") if away else RuntimeError("one is not what it should be")
        return leases.lease(connection, worker, wanted)

    monkeypatch.setattr("workers.running.leasing._lease", lease)

    async def play(engine: Engine, slots: Slots) -> None:
        engine.offer("openai.batch", ids)
        while asked == []:
            await asyncio.sleep(0.01)
        await engine.quiet()

    scene(database, play)
    assert asked == ([5, 5] if away else [5]) and world.woken(database) == set()
    assert set(statuses(database, ids)) == {"succeeded" if away else "queued"}


def test_what_the_provider_calls_each_call_by_is_kept_with_its_attempt(database: Database) -> None:
    (id,) = world.queued(database, world.open_account(database))
    calls = 0

    async def second_time(ask: ProviderCall) -> ProviderAnswer:
        nonlocal calls
        calls += 1
        if calls == 1:
            error = ProviderError("busy", upstream_status=503)
            error.request_ids = ["req_1"]
            raise error
        answer = await good(ask)
        answer.request_ids = ["req_2", "req_3"]
        return answer

    async def play(engine: Engine, slots: Slots) -> None:
        engine.offer(world.QUEUE, [id])
        await engine.quiet()

    scene(database, play, second_time)
    (result,) = world.rows(database, m.job_results, job_id=id)
    assert [one["request_ids"] for one in orjson.loads(result["attempts"])] == [["req_1"], ["req_2", "req_3"]]
