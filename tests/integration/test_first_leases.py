"""First leases: a job is begun on the word of its doorbell, ends once and exactly, and is nobody else's meanwhile."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update

from producer.admission.overload import Overload, heads
from producer.operations import jobs as jobs_ops
from shared import clock
from shared.audit import Action
from shared.broker.bell import Bell
from shared.db import Database
from shared.db import models as m
from shared.errors import ProviderError
from shared.jobs import first_leases, leases, pauses, turning
from shared.jobs.outcomes import Ending
from shared.key_holders import KeyHolder
from tests.conditions import eventually
from tests.integration import world
from tests.integration.test_engine import forever, good, scene, statuses
from workers.maintenance import doorbells
from workers.providers import ProviderAnswer, ProviderCall
from workers.running.engine import Engine
from workers.running.slots import Slots

#: A doorbell that rings in two seconds leaves a machine that stands still for a while the time to begin.
SOON = -2.0


def given(database: Database, holder: KeyHolder | None = None, *, ago: float = SOON) -> str:
    """A job whose doorbell is its first lease, and has rung so many seconds ago."""
    (id,) = world.queued(database, holder or world.open_account(database))
    at = clock.now_micros() - int(ago * clock.MICROS)
    row = {"woken_at": at, "offer": 0}
    first_leases.give(row, "{}")
    world.change(database, id, created_at=at, woken_at=at, run_at=row["run_at"])
    return id


def begun(database: Database, id: str, worker: str | None = None) -> list[Any]:
    """The jobs that a worker begins of one, and when it did."""
    worker = worker or world.new_worker(database)
    at, jobs = database.read_sync(first_leases.read, worker, {world.QUEUE: [id]})
    return [(job, at, worker) for job in jobs]


def ending(job: Any, at: int, mark: str, charge: int = 7) -> Ending:
    """A good answer of a job that was begun then, of whoever leaves this mark."""
    end = replace(world.good_end(job, charge), came_from="queued", began_at=at, attempts=[{"mark": mark}])
    return world._with_usage(end)


def test_a_job_that_ends_soon_is_never_leased(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    id, leased = given(database), list[Any]()
    monkeypatch.setattr("workers.running.leasing._lease", lambda *args, **more: leased.extend(args) or [])
    before = clock.now_micros()

    async def play(engine: Engine, slots: Slots) -> None:
        engine.offer(world.QUEUE, [id], first=True)
        await engine.quiet()

    notifier = scene(database, play)
    row = world.row(database, id)
    assert (row["status"], row["lease_epoch"], row["worker_id"], notifier.told) == ("succeeded", 1, None, [id])
    assert before - clock.MICROS <= row["started_at"] <= row["finished_at"] and leased == []
    assert world.violations(database) == []


def test_the_lease_of_one_that_takes_longer_is_written(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.running.unwritten_leases.WRITE_SECONDS", 0.01)
    id, may = given(database), asyncio.Event()

    async def slow(ask: ProviderCall) -> ProviderAnswer:
        await may.wait()
        return await good(ask)

    async def play(engine: Engine, slots: Slots) -> None:
        engine.offer(world.QUEUE, [id], first=True)
        await eventually(running)
        may.set()
        await engine.quiet()

    async def running() -> bool | None:
        return True if statuses(database, [id]) == ["running"] else None

    scene(database, play, slow)
    row = world.row(database, id)
    assert (row["status"], row["lease_epoch"]) == ("succeeded", 1) and world.violations(database) == []


def test_one_that_is_cancelled_meanwhile_has_its_call_interrupted(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.running.unwritten_leases.WRITE_SECONDS", 0.05)
    holder = world.open_account(database)
    id, called = given(database, holder), asyncio.Event()

    async def endless(ask: ProviderCall) -> ProviderAnswer:
        called.set()
        return await forever(ask)

    async def play(engine: Engine, slots: Slots) -> None:
        engine.offer(world.QUEUE, [id], first=True)
        await called.wait()
        shown, _ = database.write_sync(jobs_ops.cancel_job, holder, id)
        assert shown["status"] == "cancelled"
        await engine.quiet()

    scene(database, play, endless)
    row = world.row(database, id)
    assert (row["status"], row["lease_epoch"]) == ("cancelled", 1) and world.violations(database) == []


@pytest.mark.parametrize("stops", [False, True])
def test_one_that_is_put_back_is_put_back_by_its_holder(database: Database, stops: bool) -> None:
    id, called = given(database), asyncio.Event()

    async def busy(ask: ProviderCall) -> ProviderAnswer:
        called.set()
        if stops:
            return await forever(ask)
        raise ProviderError("busy", upstream_status=429, retry_after_seconds=900)

    async def play(engine: Engine, slots: Slots) -> None:
        engine.offer(world.QUEUE, [id], first=True)
        await called.wait()
        await (engine.stop(0.01) if stops else engine.quiet())

    scene(database, play, busy)
    row = world.row(database, id)
    assert (row["status"], row["lease_epoch"], row["woken_at"]) == ("queued", 1, None)
    assert (row["run_at"] == 0) == stops and world.violations(database) == []


@pytest.mark.parametrize("ago", [leases.GIVEN_MICROS / clock.MICROS - first_leases.LEAST_SECONDS + 0.1, 60])
def test_a_message_that_comes_late_leases_as_any_other(database: Database, ago: float) -> None:
    id = given(database, ago=ago)
    assert begun(database, id) == []

    async def play(engine: Engine, slots: Slots) -> None:
        engine.offer(world.QUEUE, [id], first=True)
        await engine.quiet()

    scene(database, play)
    assert statuses(database, [id]) == ["succeeded"] and world.violations(database) == []


def test_its_message_twice_makes_one_call(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.running.unwritten_leases.WRITE_SECONDS", 0.05)
    id, calls, may = given(database), list[str](), asyncio.Event()

    async def counted(ask: ProviderCall) -> ProviderAnswer:
        calls.append(ask.job_id)
        await may.wait()
        return await good(ask)

    async def play(engine: Engine, slots: Slots) -> None:
        for _ in range(3):
            engine.offer(world.QUEUE, [id], first=True)
            engine.offer(world.QUEUE, [id])
            await asyncio.sleep(0.05)
        may.set()
        await engine.quiet()

    notifier = scene(database, play, counted)
    assert calls == [id] and notifier.told == [id] and statuses(database, [id]) == ["succeeded"]


def test_a_doorbell_that_rings_while_it_is_settled_is_answered_then(database: Database) -> None:
    """It was put back, and rung for, before the worker had let go of it."""
    id, asked = given(database), list[str]()

    async def busy_once(ask: ProviderCall) -> ProviderAnswer:
        asked.append(ask.job_id)
        if len(asked) == 1:
            engines[0].offer(world.QUEUE, [id])
            await asyncio.sleep(0.05)
            world.change(database, id, status="queued", lease_epoch=7, run_at=0)
            return await good(ask)
        return await good(ask)

    engines: list[Engine] = []

    async def play(engine: Engine, slots: Slots) -> None:
        engines.append(engine)
        engine.offer(world.QUEUE, [id], first=True)
        await engine.quiet()

    scene(database, play, busy_once)
    row = world.row(database, id)
    assert (len(asked), row["status"], row["lease_epoch"]) == (2, "succeeded", 8)
    assert world.violations(database) == []


def test_an_answer_that_is_there_when_the_lease_is_refused_is_taken_if_nobody_else_has_the_job(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.running.unwritten_leases.WRITE_SECONDS", 0.01)
    id, may, refused = given(database), asyncio.Event(), asyncio.Event()

    async def slow(ask: ProviderCall) -> ProviderAnswer:
        await may.wait()
        return await good(ask)

    def refuse(*args: Any) -> set[str]:
        loops[0].call_soon_threadsafe(may.set)
        return set()

    loops: list[Any] = []
    monkeypatch.setattr("workers.running.unwritten_leases._write", refuse)
    monkeypatch.setattr(Engine, "_interrupt", lambda *_: refused.set())

    async def play(engine: Engine, slots: Slots) -> None:
        loops.append(asyncio.get_running_loop())
        engine.offer(world.QUEUE, [id], first=True)
        await engine.quiet()

    scene(database, play, slow)
    assert refused.is_set() and statuses(database, [id]) == ["succeeded"] and world.violations(database) == []


def test_what_was_put_off_meanwhile_is_not_leased_before_its_time(database: Database) -> None:
    """A first message that waited in a worker's list while another had the job, and its provider asked for a pause."""
    id = given(database)
    later = clock.now_micros() + 3 * clock.MICROS
    world.change(database, id, woken_at=None, run_at=later, deferred_for="429", lease_epoch=1)
    wanted = {world.QUEUE: [id]}
    early = leases.GIVEN_MICROS + clock.MICROS
    leased = database.write_sync(leases.lease, world.new_worker(database), wanted, early_micros=early)
    assert leased == [] and world.row(database, id)["deferred_for"] == "429"


def test_one_whose_lease_is_refused_is_the_feeders(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its worker's own lease looked over for a moment: nobody has the job, and its message is gone."""
    monkeypatch.setattr("workers.running.unwritten_leases.WRITE_SECONDS", 0.05)
    id = given(database)

    async def play(engine: Engine, slots: Slots) -> None:
        engine.offer(world.QUEUE, [id], first=True)
        while engine.busy < 1:
            await asyncio.sleep(0.01)
        over = update(m.workers).values(lease_until=clock.now_micros() - 1)
        await engine._database.write(lambda connection: connection.execute(over).rowcount)
        await engine.quiet()

    scene(database, play, forever)
    row = world.row(database, id)
    assert (row["status"], row["lease_epoch"], row["woken_at"]) == ("queued", 0, None)
    assert row["run_at"] <= clock.now_micros()


def test_those_that_are_put_back_at_once_have_their_leases_written_together(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder, written, write = world.open_account(database), list[int](), first_leases.write
    ids = [given(database, holder) for _ in range(10)]

    def counted(connection: Any, worker: str, begun: Any) -> set[str]:
        written.append(len(begun))
        return write(connection, worker, begun)

    monkeypatch.setattr("shared.jobs.first_leases.write", counted)

    async def play(engine: Engine, slots: Slots) -> None:
        engine.offer(world.QUEUE, ids, first=True)
        while engine.busy < 10:
            await asyncio.sleep(0.01)
        await engine.stop(0.01)

    scene(database, play, forever)
    assert sum(written) == 10 and len(written) <= 4 and set(statuses(database, ids)) == {"queued"}


def test_one_with_a_long_request_is_leased_though_its_acceptor_s_clock_is_ahead(database: Database) -> None:
    id = given(database, ago=-0.5)
    long = update(m.job_payloads).values(request='{"messages": [{"role": "user", "content": "' + "x" * 20_000 + '"}]}')
    database.write_sync(lambda connection: connection.execute(long).rowcount)

    async def play(engine: Engine, slots: Slots) -> None:
        engine.offer(world.QUEUE, [id], first=True)
        await engine.quiet()

    scene(database, play)
    assert world.row(database, id)["finished_at"] is not None


def test_one_that_is_handed_back_is_due_at_once(database: Database) -> None:
    id, worker = given(database), world.new_worker(database)
    ((_, at, _),) = begun(database, id, worker)
    assert database.write_sync(first_leases.write, worker, {id: at}) == {id}
    assert database.write_sync(leases.hand_back, [(id, 1)]) == 1
    assert [job.epoch for job in world.take(database, worker, [id])] == [2]


def test_one_that_was_turned_to_another_offer_is_not_ended_by_who_began_it(database: Database) -> None:
    id = given(database)
    ((job, at, _),) = begun(database, id)
    database.write_sync(leases.unwake, [id])
    database.write_sync(
        lambda connection: (
            connection.execute(turning._TURN, [{"b_id": id, "b_queue": "google.realtime", "b_offer": 1}]).rowcount
        )
    )
    assert world.settle(database, ending(job, at, "one")).verdicts == {id: "stale"}


def test_a_lost_message_is_not_looked_for_in_its_time_and_found_after_it(
    database: Database, passing_time: None
) -> None:
    id = given(database, ago=0)
    assert database.write_sync(doorbells.unwake_lost, world.QUEUE, 2**60) == 0
    assert database.read_sync(doorbells.unanswered) == []
    clock.shift(leases.GIVEN_MICROS + doorbells.UNANSWERED_MICROS + clock.MICROS)
    assert database.read_sync(doorbells.unanswered) == [id]


def test_a_clock_that_was_set_back_keeps_none(database: Database) -> None:
    id = given(database, ago=-3600)
    assert database.write_sync(doorbells.unwake_lost, world.QUEUE, 2**60) == 1
    assert len(world.take(database, world.new_worker(database), [id])) == 1


def test_nobody_else_begins_it_in_its_time_and_all_may_after_it(database: Database, passing_time: None) -> None:
    id, worker = given(database, ago=0), world.new_worker(database)
    assert world.take(database, worker, [id]) == [] and id in world.woken(database)
    clock.shift(leases.GIVEN_MICROS)
    assert begun(database, id) == []
    assert [job.epoch for job in world.take(database, worker, [id])] == [1]


def test_whoever_leaves_it_to_the_feeder_gives_its_time_up(database: Database) -> None:
    id, worker = given(database), world.new_worker(database)
    database.write_sync(leases.unwake, [id])
    row = world.row(database, id)
    assert row["woken_at"] is None and row["run_at"] < row["created_at"], "due, whatever a clock says"
    assert begun(database, id) == [] and len(world.take(database, worker, [id])) == 1


@pytest.mark.parametrize("first_ends", [True, False])
def test_of_two_who_both_called_for_it_one_is_paid(database: Database, first_ends: bool) -> None:
    id = given(database)
    ((job, at, worker),), ((other, later, _),) = begun(database, id), begun(database, id)
    if first_ends:
        assert world.settle(database, ending(job, at, "one")).verdicts == {id: "done"}
    else:
        assert database.write_sync(first_leases.write, worker, {id: at}) == {id}
    for _ in range(2):
        assert world.settle(database, ending(other, later, "two")).verdicts == {id: "stale"}
        assert database.write_sync(first_leases.write, world.new_worker(database), {id: later}) == set()
    if not first_ends:
        job.epoch = 1
        assert world.settle(database, world.good_end(job, 7)).verdicts == {id: "done"}
    row, (result,) = world.row(database, id), world.rows(database, m.job_results, job_id=id)
    assert (row["lease_epoch"], row["started_at"], result["charged_micros"]) == (1, at, 7)
    assert world.violations(database) == []


def test_an_end_that_is_told_again_after_an_ambiguous_commit_is_known(database: Database) -> None:
    id = given(database)
    ((job, at, worker),) = begun(database, id)
    for _ in range(2):
        assert world.settle(database, ending(job, at, "one")).verdicts == {id: "done"}
    assert database.write_sync(first_leases.write, worker, {id: at}) == set()
    assert world.violations(database) == []


@pytest.mark.parametrize("change", ["lapsed", "paused", "ended", "leased", "long"])
def test_what_is_not_begun(database: Database, change: str) -> None:
    id, worker = given(database), world.new_worker(database)
    if change == "lapsed":
        late = update(m.workers).values(lapsed_at=clock.now_micros())
        database.write_sync(lambda connection: connection.execute(late).rowcount)
    elif change == "paused":
        database.write_sync(pauses.pause, Action("ada", "queue.pause"), "openai")
    elif change == "long":
        long = update(m.job_payloads).values(request='{"messages": "' + "x" * leases.SHORT + '"}')
        database.write_sync(lambda connection: connection.execute(long).rowcount)
    else:
        world.change(database, id, **({"status": "cancelled"} if change == "ended" else {"lease_epoch": 1}))
    assert begun(database, id, worker) == []


def test_none_is_given_while_a_worker_of_an_earlier_version_lives(database: Database, passing_time: None) -> None:
    world.new_worker(database)
    assert database.read_sync(first_leases.are_taken)
    old = world.new_worker(database)
    earlier = update(m.workers).where(m.workers.c.id == old).values(first_leases=False)
    database.write_sync(lambda connection: connection.execute(earlier).rowcount)
    assert not database.read_sync(first_leases.are_taken)
    clock.shift(3600 * clock.MICROS)
    assert database.read_sync(first_leases.are_taken), "its lease is over"


def test_one_that_nobody_begins_is_a_backlog_from_its_doorbell_on(database: Database) -> None:
    id = given(database, ago=5)
    assert database.read_sync(heads) == {}, "somebody calls it, mostly"
    late = given(database, ago=7)
    since = world.row(database, late)["woken_at"]
    assert database.read_sync(heads) == {world.QUEUE: since}
    database.write_sync(leases.unwake, [id, late])
    assert database.read_sync(heads) == {world.QUEUE: since}, "it has waited as long though it is the feeder's"


def test_the_bell_knows_whether_they_are_taken(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("producer.admission.overload.LOOK_SECONDS", 0.01)
    bell = Bell()

    async def looked() -> None:
        looking = asyncio.create_task(Overload(database, bell).run())
        while not bell.first_leases:
            await asyncio.sleep(0.01)
        looking.cancel()

    assert not bell.first_leases, "nothing is known before the first look"
    asyncio.run(asyncio.wait_for(looked(), 30))
