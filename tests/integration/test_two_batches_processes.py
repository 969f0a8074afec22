"""Two `batches` processes at the same batch: each makes files of its own, and the one that comes second leaves none."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import delete, select

from producer.operations import batches as producer_batches
from shared import clock
from shared.batches import transitions
from shared.db import AmbiguousCommitError, Database
from shared.db import models as m
from shared.files import blobs
from shared.key_holders import KeyHolder
from shared.settings import settings
from tests.integration import batch_world, world
from tests.integration.batch_world import chat, files_of_its_own  # noqa: F401
from workers.batches import releasing, scheduler
from workers.batches.scheduler import BatchScheduler
from workers.maintenance.retention import Retention


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(releasing, "CHUNK", 2)
    monkeypatch.setattr(releasing, "SLICE_SECONDS", 0.0)
    with world.virtual_time():
        yield


def drain(work: Any) -> None:
    for _ in work:
        pass


def looking(database: Database) -> BatchScheduler:
    """A process that has looked at what there is to do, and done nothing."""
    process = BatchScheduler(database, world.RecordedBell())
    process._look()
    return process


def stopped(database: Database, holder: KeyHolder, *, lines: int, made: int) -> str:
    """A batch that was cancelled when so many of its lines had become jobs, all of which are ended."""
    id = batch_world.new_batch(database, holder, [chat(f"line {n}") for n in range(lines)])
    work = looking(database)._works[id]
    while (row := batch_world.row(database, id))["status"] == "validating" or row["released"] < made:
        next(work)
    database.write_sync(producer_batches.cancel, holder, id)
    work.close()
    if made:
        drain(looking(database)._works[id])
    assert batch_world.row(database, id)["cancelled"] == lines
    return id


def done(database: Database, holder: KeyHolder) -> str:
    """A batch whose lines have all succeeded, and that waits for its files."""
    id = batch_world.new_batch(database, holder, [chat(f"line {n}") for n in range(5)])
    batch_world.take_turns(database)
    leased = world.take(database, world.new_worker(database), batch_world.job_ids(database, id))
    world.settle(database, *(world.good_end(job, 1) for job in leased))
    return id


def file_of(database: Database, id: str, name: str) -> Any:
    file_id = batch_world.row(database, id)[name]
    statement = select(m.files).where(m.files.c.id == file_id)
    return database.read_sync(lambda c: c.execute(statement).mappings().one())


def outputs() -> list[str]:
    """The names of all blobs that renderings have made."""
    directory = settings().state_directory / "files" / "outputs"
    return sorted(path.name for path in directory.iterdir()) if directory.exists() else []


@pytest.mark.parametrize("made", [0, 2])
def test_the_second_leaves_the_firsts_files_alone(database: Database, made: int) -> None:
    holder = world.open_account(database)
    id = stopped(database, holder, lines=7, made=made)
    first, second = (looking(database)._works[id] for _ in range(2))
    next(second)  # it has written its first line
    drain(first)
    file = file_of(database, id, "error_file_id")
    drain(second)
    assert blobs.size(file["blob"]) == file["bytes"]
    assert [one["custom_id"] for one in batch_world.lines_of(database, file["id"])] == [f"line {n}" for n in range(7)]
    assert len(outputs()) == 1, "the second took its own away"
    assert world.events(database, holder.account_id).count("batch.cancelled") == 1
    assert world.violations(database) == []


def test_a_file_that_its_owner_deleted_does_not_come_back(database: Database) -> None:
    id = done(database, world.open_account(database))
    first, second = (looking(database)._works[id] for _ in range(2))
    next(second)
    drain(first)
    file = file_of(database, id, "output_file_id")
    blobs.delete(file["blob"])
    database.write_sync(lambda c: c.execute(delete(m.files).where(m.files.c.id == file["id"])).rowcount)
    drain(second)
    assert outputs() == []


def test_an_earlier_release_beside_it_spoils_nothing(database: Database) -> None:
    """It writes under names that are the batch's, deletes an empty file under such a name, and then the plan."""
    holder = world.open_account(database)
    id = stopped(database, holder, lines=7, made=2)
    plan = batch_world.row(database, id)["plan"]
    drain(looking(database)._works[id])
    for name in ("output", "errors"):
        with blobs.writer(f"outputs/{id}.{name}.jsonl") as file:
            file.write(b"{}\n")
        blobs.delete(f"outputs/{id}.{name}.jsonl")
    blobs.delete(plan)
    file = file_of(database, id, "error_file_id")
    assert blobs.size(file["blob"]) == file["bytes"] and len(batch_world.lines_of(database, file["id"])) == 7


def test_a_plan_that_goes_meanwhile_makes_no_shorter_file(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "AGAIN_SECONDS", 0.0)
    holder = world.open_account(database)
    id = stopped(database, holder, lines=7, made=2)
    plan = batch_world.row(database, id)["plan"]
    place = settings().state_directory / "files" / plan
    for content in (None, place.read_bytes()[:-200]):
        kept = place.read_bytes()
        place.unlink() if content is None else place.write_bytes(content)
        process = looking(database)
        for _ in range(20):
            process.run_once()
        assert batch_world.row(database, id)["status"] == "cancelling" and outputs() == []
        place.write_bytes(kept)
    batch_world.take_turns(database)
    assert len(batch_world.lines_of(database, batch_world.row(database, id)["error_file_id"])) == 7


def test_a_commit_whose_answer_was_lost_is_known_again(database: Database) -> None:
    id = done(database, world.open_account(database))
    database.write_sync(transitions.finalize, id)
    with blobs.writer("outputs/x") as file:
        file.write(b"{}\n")
    made = transitions.Made(clock.new_id("file"), "outputs/x", "x.jsonl", 3)
    other = transitions.Made(clock.new_id("file"), "outputs/y", "y.jsonl", 3)
    first, _ = database.write_sync(transitions.finish, id, made, None, [])
    again, deliveries = database.write_sync(transitions.finish, id, made, None, [])
    assert first is not None and again is not None and again["output_file_id"] == made.id and deliveries == []
    assert database.write_sync(transitions.finish, id, other, None, [])[0] is None
    assert database.write_sync(transitions.finish, id, None, None, [])[0] is None


@pytest.mark.parametrize(("error", "left"), [(AmbiguousCommitError("gone"), 1), (RuntimeError("no"), 0)])
def test_what_cannot_be_finished_leaves_files_only_when_they_may_be_the_batchs(
    database: Database, monkeypatch: pytest.MonkeyPatch, error: Exception, left: int
) -> None:
    id = done(database, world.open_account(database))

    def failing(*args: Any) -> Any:
        raise error

    with monkeypatch.context() as away:
        away.setattr(transitions, "finish", failing)
        process = looking(database)
        for _ in range(20):
            process.run_once()
    assert len(outputs()) == left
    with blobs.writer("outputs/batch_of_others.x.output.jsonl") as made:
        made.write(b"{}")
    batch_world.take_turns(database)
    assert batch_world.row(database, id)["status"] == "completed" and len(outputs()) == 2, "what died before is gone"
    with blobs.writer(f"outputs/{id}.late.output.jsonl") as made:
        made.write(b"{}")
    for name in outputs():
        os.utime(settings().state_directory / "files" / "outputs" / name, (0, 0))
    Retention(database).run_once()
    file = file_of(database, id, "output_file_id")
    assert outputs() == [file["blob"].removeprefix("outputs/")] and blobs.size(file["blob"]) == file["bytes"]


def test_a_plan_taken_by_a_commit_whose_answer_was_lost_is_kept_when_the_batch_is_then_cancelled(
    database: Database,
) -> None:
    holder = world.open_account(database)
    id = batch_world.new_batch(database, holder, [chat("a")])
    plan = transitions.Plan("plans/one", 1, 10, "gpt-4")
    assert database.write_sync(transitions.begin, id, plan)[0]
    database.write_sync(producer_batches.cancel, holder, id)
    assert database.write_sync(transitions.begin, id, plan)[0], "its lines that never began are read from it"


def test_many_lines_that_never_began_hold_up_nobody_elses_batch(database: Database) -> None:
    id = stopped(database, world.open_account(database, 10_000), lines=300, made=0)
    other = batch_world.new_batch(database, world.open_account(database), [chat("a")])
    process = BatchScheduler(database, world.RecordedBell())
    while not batch_world.job_ids(database, other):
        assert process.run_once()
    assert batch_world.row(database, id)["status"] == "cancelling", "a turn is a line where a turn lasts no time"
