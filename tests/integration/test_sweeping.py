"""The sweeper finds lost doorbells, lapsed workers, poison and overdue jobs, and takes nothing else for any of them."""

from typing import Any

import pytest
from sqlalchemy import insert, update
from sqlalchemy.exc import OperationalError

from producer.operations import jobs as jobs_ops
from shared import clock
from shared.db import Database
from shared.db import models as m
from shared.jobs.outcomes import Requeue
from shared.queues import PROBATION, WEBHOOKS
from shared.settings import settings
from shared.webhooks.events import NewEvent
from shared.webhooks.events import write as write_events
from tests import contract
from tests.integration import world
from workers.maintenance import overdue, purge, recovery
from workers.maintenance.probation import next_group
from workers.maintenance.sweep import Sweeper
from workers.running import lease

SECOND = clock.MICROS
BATCH = "openai.batch"


@pytest.fixture(autouse=True)
def _virtual() -> Any:
    with world.virtual_time():
        yield


@pytest.fixture
def bell() -> world.RecordedBell:
    return world.RecordedBell()


def test_doorbells_lost_with_the_broker_are_rung_again(database: Database, bell: world.RecordedBell) -> None:
    ids = world.queued(database, world.open_account(database), 4, type="embedding")
    sweeper = Sweeper(database, bell)
    sweeper.feed()
    bell.depths[BATCH] = 1
    for _ in range(30):
        clock.shift(SECOND)
        sweeper.run_once()
    assert bell.ids(BATCH) == ids, "waiting is not lost"
    bell.depths[BATCH] = 0
    for _ in range(5):
        clock.shift(SECOND)
        sweeper.run_once()
    assert bell.ids(BATCH)[: len(ids) * 2] == ids * 2


def test_doorbells_lost_again_are_found_again(database: Database, bell: world.RecordedBell) -> None:
    ids = world.queued(database, world.open_account(database), 2, type="embedding")
    sweeper = Sweeper(database, bell)
    for _ in range(20):
        clock.shift(SECOND)
        sweeper.run_once()
    rung = bell.ids(BATCH)
    assert rung[:6] == ids * 3, "the queue is empty at every look, and nobody has them"
    assert len(rung) <= 2 * (1 + 20 // 3), "each ring is given its time"


def test_a_doorbell_just_rung_on_an_empty_queue_is_not_lost(database: Database, bell: world.RecordedBell) -> None:
    ids = world.queued(database, world.open_account(database), 2, type="embedding")
    sweeper = Sweeper(database, bell)
    sweeper.feed()
    for _ in range(2):
        sweeper.run_once()
        clock.shift(SECOND)
    assert bell.ids(BATCH) == ids


def test_a_doorbell_overtaken_by_a_minute_is_lost(database: Database, bell: world.RecordedBell) -> None:
    holder = world.open_account(database)
    bell.depths[BATCH] = 9
    (lost,) = world.queued(database, holder, 1, type="embedding")
    world.change(database, lost, queue=BATCH, lane="batch")
    sweeper = Sweeper(database, bell)
    sweeper.feed()
    clock.shift(59 * SECOND)
    later = world.queued(database, holder, 2, type="embedding")
    sweeper.feed()
    world.take(database, world.new_worker(database), later)
    sweeper.find_lost_doorbells()
    assert lost in world.woken(database)
    clock.shift(3 * SECOND)
    more = world.queued(database, holder, 2, type="embedding")
    sweeper.feed()
    world.take(database, world.new_worker(database), more)
    sweeper.find_lost_doorbells()
    assert lost not in world.woken(database)


def test_jobs_past_their_deadline_expire_and_a_flagged_one_is_cancelled(
    database: Database, bell: world.RecordedBell
) -> None:
    holder = world.open_account(database)
    waiting, running, flagged = world.queued(database, holder, 3)
    (held,) = world.take(database, world.new_worker(database), [running])
    world.change(database, flagged, cancel_requested=True)
    Sweeper(database, bell).run_once()
    assert [world.row(database, id)["status"] for id in (waiting, running, flagged)] == [
        "queued", "running", "cancelled"]  # fmt: skip
    clock.shift(settings().job_expires_seconds * SECOND)
    Sweeper(database, bell).run_once()
    assert {world.row(database, id)["status"] for id in (waiting, running)} == {"expired"}
    assert world.settle(database, world.good_end(held)).verdicts[running] == "stale"
    assert sorted(world.events(database, holder.account_id)) == ["job.cancelled", "job.expired", "job.expired"]
    assert world.violations(database) == []


def test_an_overdue_backlog_ends_in_one_sweep_or_a_few(database: Database, bell: world.RecordedBell) -> None:
    ids = world.queued(database, world.open_account(database, 100_000), overdue.CHUNK * 2 + 10, type="embedding")
    clock.shift(settings().job_expires_seconds * SECOND)
    sweeper = Sweeper(database, bell)
    for _ in range(6):
        sweeper.end_overdue()
    assert sweeper.done["jobs_ended"] == len(ids)
    assert {world.row(database, id)["status"] for id in (ids[0], ids[-1])} == {"expired"}


def test_a_cancel_of_a_requeued_job_is_carried_out_by_the_sweeper(database: Database, bell: world.RecordedBell) -> None:
    holder = world.open_account(database)
    (id,) = world.queued(database, holder)
    (job,) = world.take(database, world.new_worker(database), [id])
    database.write_sync(jobs_ops.cancel_job, holder, id)
    attempt = {"provider": "openai", "model": "gpt-4", "started_at": 1, "finished_at": 2, "status_code": 503}
    tried = [{**attempt, "error": "the provider answered 503"}]
    world.settle(database, Requeue(id, job.epoch, job.queue, 0, 1, clock.now_micros(), tried))
    Sweeper(database, bell).run_once()
    shown = database.read_sync(jobs_ops.show_job, holder, id)
    assert shown["status"] == "cancelled" and shown["attempts"] == tried, "what was tried is shown"


def steady(sweeper: Sweeper, seconds: int) -> None:
    """Sweeps that keep their beat."""
    for _ in range(seconds):
        clock.shift(SECOND)
        sweeper.lapse()
        sweeper.take_back()


def test_a_lapsed_workers_jobs_are_taken_back_within_45_seconds(database: Database, bell: world.RecordedBell) -> None:
    holder = world.open_account(database)
    sweeper = Sweeper(database, bell)
    ids = world.queued(database, holder, 5)
    worker = world.new_worker(database)
    held = world.take(database, worker, ids)
    steady(sweeper, 29)
    assert {world.row(database, id)["status"] for id in ids} == {"running"}
    steady(sweeper, 16)
    rows = [world.row(database, id) for id in ids]
    assert {(row["status"], row["queue"], row["lease_epoch"], row["cohort"]) for row in rows} == {
        ("queued", BATCH, 2, 2)
    }, "the first worker lost may have been anybody's fault"
    assert (sweeper.done["workers_ended"], sweeper.done["jobs_taken_back"]) == (1, 5)
    assert database.write_sync(lease.renew, worker) is None and world.take(database, worker, ids) == []
    assert set(world.settle(database, *map(world.good_end, held)).verdicts.values()) == {"stale"}
    job = database.read_sync(jobs_ops.show_job, holder, ids[0])
    (attempt,) = job["attempts"]
    assert attempt["error"] == "worker_lost" and attempt["provider"] is None, (
        "with the worker it is lost who was called"
    )
    contract.check_object("Job", job)


def test_who_loses_a_second_worker_runs_in_probation(database: Database, bell: world.RecordedBell) -> None:
    sweeper = Sweeper(database, bell)
    ids = world.queued(database, world.open_account(database), 6)
    for queue, cohort in ((BATCH, 3), (PROBATION, 3)):
        world.take(database, world.new_worker(database), ids)
        steady(sweeper, 45)
        assert {(row["queue"], row["cohort"]) for row in world.rows(database, m.jobs)} == {(queue, cohort)}


def test_workers_that_fall_silent_together_tell_nothing_against_their_jobs(
    database: Database, bell: world.RecordedBell
) -> None:
    """A power cut, a network, a database that was away: some beats apart, and the last one much later."""
    sweeper, holder = Sweeper(database, bell), world.open_account(database)
    ids = world.queued(database, holder, 6)
    for some in (ids[:2], ids[2:4], ids[4:]):
        world.take(database, world.new_worker(database), some)
        steady(sweeper, 5)
    steady(sweeper, 40)
    rows = world.rows(database, m.jobs)
    assert {(row["status"], row["queue"], row["cohort"]) for row in rows} == {("queued", BATCH, 0)}
    assert [row["ended"] for row in world.rows(database, m.workers)] == ["together"] * 3
    attempts = database.read_sync(jobs_ops.show_job, holder, ids[0])["attempts"]
    assert [attempt["error"] for attempt in attempts] == ["worker_stopped"]


def test_jobs_that_are_there_at_every_common_end_are_suspects_at_last(database: Database) -> None:
    ids = world.queued(database, world.open_account(database), 2)
    for times in range(1, recovery.MOST_EXCUSED + 2):
        assert {row["queue"] for row in world.rows(database, m.jobs)} == {BATCH}, times
        both = [world.new_worker(database), world.new_worker(database)]
        for worker, id in zip(both, ids, strict=True):
            world.take(database, worker, [id])
        database.write_sync(recovery.lapse, {row["id"]: row["lease_until"] for row in world.rows(database, m.workers)})
        database.write_sync(recovery.take_back)
    assert {(row["queue"], row["cohort"]) for row in world.rows(database, m.jobs)} == {(PROBATION, recovery.SUSPECTS)}


def test_a_database_that_was_away_excuses_who_could_not_renew(
    database: Database, bell: world.RecordedBell, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweeper = Sweeper(database, bell)
    leased_at, worker = clock.now_micros(), world.new_worker(database)
    ids = world.queued(database, world.open_account(database), 3)
    world.take(database, worker, ids)
    for second in range(1, 29):  # with the time that sweeping takes itself, which no lease is given
        clock.shift(max(leased_at + second * SECOND - clock.now_micros(), 0))
        sweeper.lapse()
    with monkeypatch.context() as patched:
        patched.setattr(database, "read_sync", _away)
        with pytest.raises(OperationalError):
            sweeper.run_once()
    steady(sweeper, 10)
    assert database.write_sync(lease.renew, worker, sure=True) == [], "it is given a beat to renew"
    steady(sweeper, 45)
    assert {(row["status"], row["queue"], row["cohort"]) for row in world.rows(database, m.jobs)} == {
        ("queued", BATCH, 0)
    }


def _away(*_: Any, **__: Any) -> Any:
    raise OperationalError("SELECT 1", {}, Exception("the server is gone"))


def test_a_worker_that_ends_because_the_database_was_away_says_so(database: Database) -> None:
    """Also after a sweeper has taken it for lost, as long as its jobs are not yet taken back."""
    (id,) = world.queued(database, world.open_account(database))
    worker = world.new_worker(database)
    world.take(database, worker, [id])
    database.write_sync(recovery.lapse_one, worker)
    assert world.rows(database, m.workers)[0]["lost"] == 1
    database.write_sync(lease.end_explained, worker)
    database.write_sync(recovery.take_back)
    assert (world.row(database, id)["queue"], world.row(database, id)["cohort"]) == (world.QUEUE, 0)
    assert world.rows(database, m.workers)[0]["ended"] == "lease_over"


def test_why_a_lease_is_over_is_told_only_if_it_was_the_database(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop that hangs may hang for its job's sake: that tells against the job."""
    hanging, cut_off = lease.Incarnation(database), lease.Incarnation(database)
    for one in (hanging, cut_off):
        database.write_sync(lease.register, one.id, False)
    monkeypatch.setattr(hanging, "_ticked", clock.monotonic() - 3600)
    hanging._beat()
    with monkeypatch.context() as patched:
        patched.setattr(database, "write_sync", _away)
        cut_off._beat()
    hanging.explain_end(5.0)
    cut_off.explain_end(5.0)
    ended = {row["id"]: row["ended"] for row in world.rows(database, m.workers)}
    assert ended == {hanging.id: None, cut_off.id: "lease_over"}


def test_the_sweepers_clock_may_be_set_back_by_an_hour(database: Database, bell: world.RecordedBell) -> None:
    sweeper = Sweeper(database, bell)
    steady(sweeper, 40)
    ids = world.queued(database, world.open_account(database), 2)
    world.take(database, world.new_worker(database), ids)
    clock.shift(-3600 * SECOND)
    steady(sweeper, 45)
    assert {world.row(database, id)["status"] for id in ids} == {"queued"}


def test_a_clock_that_leaps_ahead_ends_no_worker(database: Database, bell: world.RecordedBell) -> None:
    """Nobody has missed a beat: the database's clock was put right, or the sweeper's."""
    sweeper, worker = Sweeper(database, bell), world.new_worker(database)
    steady(sweeper, 9)
    clock.shift(3600 * SECOND)
    steady(sweeper, 1)
    assert database.write_sync(lease.renew, worker, sure=True) == []
    steady(sweeper, 9)
    assert world.rows(database, m.workers)[0]["lapsed_at"] is None


def test_one_row_that_cannot_end_stops_nothing_else(database: Database, bell: world.RecordedBell) -> None:
    one, other = world.open_account(database), world.open_account(database)
    (bad,) = world.queued(database, one)
    good = world.queued(database, other, 3)
    world.take(database, world.new_worker(database), [good[0]])
    nothing_held = update(m.accounts).where(m.accounts.c.id == one.account_id).values(held_micros=0)
    database.write_sync(lambda connection: connection.execute(nothing_held).rowcount)
    clock.shift((settings().job_expires_seconds + 1) * SECOND)
    sweeper = Sweeper(database, bell)
    sweeper.run_once()
    assert {world.row(database, id)["status"] for id in good} == {"expired"}
    assert world.row(database, bad)["status"] == "queued"
    clock.shift(SECOND)
    sweeper.run_once()
    assert sweeper._ending.besides() == [bad], "it is not tried each second"
    enough = update(m.accounts).where(m.accounts.c.id == one.account_id).values(held_micros=10**9)
    database.write_sync(lambda connection: connection.execute(enough).rowcount)
    clock.shift(3600 * SECOND)
    sweeper.run_once()
    assert world.row(database, bad)["status"] == "expired"


def test_one_row_that_cannot_be_taken_back_stops_nothing_else(database: Database, bell: world.RecordedBell) -> None:
    ids = world.queued(database, world.open_account(database), 5)
    worker = world.new_worker(database)
    world.take(database, worker, ids)
    broken = update(m.job_payloads).where(m.job_payloads.c.job_id == ids[2]).values(attempts="[broken")
    database.write_sync(lambda connection: connection.execute(broken).rowcount)
    database.write_sync(lease.resign, worker)
    Sweeper(database, bell).run_once()
    statuses = [world.row(database, id)["status"] for id in ids]
    assert statuses == ["queued", "queued", "running", "queued", "queued"]


def test_a_step_that_fails_does_not_keep_the_others_from_being_taken(
    database: Database, bell: world.RecordedBell, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweeper, taken = Sweeper(database, bell), []

    def fails() -> None:
        taken.append("failed")
        raise RuntimeError("a fault of ours")

    for step in ("lapse", "_look", "take_back", "end_overdue", "find_lost_doorbells", "ring_due_deliveries", "feed"):
        monkeypatch.setattr(sweeper, step, fails)
    monkeypatch.setattr(sweeper.retention, "run_once", lambda: taken.append("retention"))
    sweeper.run_once()
    assert taken == ["failed"] * 7 + ["retention"], "what there is to do is not known: all is tried"


def test_a_sweeper_that_missed_beats_takes_nothing_for_a_whole_lease(
    database: Database, bell: world.RecordedBell
) -> None:
    sweeper = Sweeper(database, bell)
    steady(sweeper, 40)
    world.take(database, world.new_worker(database), ids := world.queued(database, world.open_account(database)))
    clock.shift(60 * SECOND)
    sweeper.lapse()
    sweeper.take_back()
    steady(sweeper, 28)
    assert world.row(database, ids[0])["status"] == "running", (
        "the lease is long over, but so may the sweeper's time be"
    )
    steady(sweeper, 3)
    assert world.row(database, ids[0])["status"] == "queued"


def test_a_late_answer_is_refused_while_another_worker_runs_the_job(
    database: Database, bell: world.RecordedBell
) -> None:
    holder = world.open_account(database)
    ids = world.queued(database, holder, 3, bound=10)
    late = world.take(database, world.new_worker(database), ids)
    sweeper = Sweeper(database, bell)
    steady(sweeper, 45)
    held = world.take(database, world.new_worker(database), ids)
    assert {job.epoch for job in late} == {1} and {job.epoch for job in held} == {3}
    assert set(world.settle(database, *(world.good_end(job, 9) for job in late)).verdicts.values()) == {"stale"}
    back = [Requeue(job.id, job.epoch, job.queue, 0, 1, 0) for job in late]
    assert set(world.settle(database, *back).verdicts.values()) == {"stale"}
    assert set(world.settle(database, *(world.good_end(job, 4) for job in held)).verdicts.values()) == {"done"}
    assert {row["charged_micros"] for row in world.rows(database, m.job_results)} == {4}
    assert world.violations(database) == []


def test_a_worker_that_renews_is_never_lapsed(database: Database, bell: world.RecordedBell) -> None:
    sweeper, worker = Sweeper(database, bell), world.new_worker(database)
    for _ in range(8):
        steady(sweeper, 10)
        assert database.write_sync(lease.renew, worker) == []
    assert world.rows(database, m.workers)[0]["lapsed_at"] is None


def test_a_poison_job_ends_alone(database: Database) -> None:
    """Eight run together and die; the seven good ones end well, the bad one is found by halving."""
    holder = world.open_account(database)
    ids = world.queued(database, holder, 8)
    poison = ids[5]
    for _ in range(2):
        worker = world.new_worker(database)
        world.take(database, worker, ids)
        database.write_sync(recovery.lapse_one, worker)
        database.write_sync(recovery.take_back)
    for _ in range(60):
        group = database.read_sync(next_group)
        if not group:
            break
        worker = world.new_worker(database, probation=True)
        held = world.take(database, worker, group)
        assert len(held) == len(group)
        if poison in group:
            database.write_sync(recovery.lapse_one, worker)
            database.write_sync(recovery.take_back)
        else:
            world.settle(database, *map(world.good_end, held))
    rows = {row["id"]: row["status"] for row in world.rows(database, m.jobs)}
    assert rows == {id: "failed" if id == poison else "succeeded" for id in ids}
    (result,) = [row for row in world.rows(database, m.job_results) if row["job_id"] == poison]
    assert '"worker_lost"' in result["error"] and world.violations(database) == []


def test_due_deliveries_are_rung_for_while_there_is_room(database: Database, bell: world.RecordedBell) -> None:
    holder = world.open_account(database)
    hook = {"id": "wh_1", "account_id": holder.account_id, "url": "http://x", "events": '["*"]', "secret": "s"}
    new = insert(m.webhooks).values(hook | {"status": "enabled", "created_at": 0})
    database.write_sync(lambda connection: connection.execute(new).rowcount)
    event = NewEvent(holder.account_id, 1, "webhook.test", {})
    due = database.write_sync(write_events, [event], clock.now_micros())
    sweeper = Sweeper(database, bell)
    sweeper.ring_due_deliveries()
    assert bell.ids(WEBHOOKS) == [], "its own doorbell is still young"
    clock.shift(2 * SECOND)
    bell.depths[WEBHOOKS] = 1000
    sweeper.ring_due_deliveries()
    assert bell.ids(WEBHOOKS) == []
    bell.depths[WEBHOOKS] = 0
    sweeper.ring_due_deliveries()
    assert bell.ids(WEBHOOKS) == due and sweeper.done["deliveries_queued"] == len(due)
    database.write_sync(lambda c: c.execute(update(m.deliveries).values(status="delivered")).rowcount)
    sweeper.ring_due_deliveries()
    assert bell.ids(WEBHOOKS) == due


def test_rows_of_long_gone_workers_are_forgotten_unless_they_hold_a_job(database: Database) -> None:
    gone, holding, alive = (world.new_worker(database) for _ in range(3))
    world.take(database, holding, world.queued(database, world.open_account(database)))
    for id in (gone, holding):
        database.write_sync(recovery.lapse_one, id)
    purge.purge_all(database)
    assert len(world.rows(database, m.workers)) == 3
    clock.shift(2 * 86_400 * SECOND)
    purge.purge_all(database)
    assert {row["id"] for row in world.rows(database, m.workers)} == {holding, alive}


def test_sweeping_an_empty_house_twice_at_once_harms_nothing(database: Database, bell: world.RecordedBell) -> None:
    ids = world.queued(database, world.open_account(database), 3)
    one, two = Sweeper(database, bell), Sweeper(database, bell)
    for sweeper in (one, two, one, two):
        sweeper.run_once()
    assert sorted(bell.ids("openai.batch")) == ids and world.violations(database) == []
