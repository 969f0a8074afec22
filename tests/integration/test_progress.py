"""How a batch is getting on, on both databases: by provider, by reason, from one index, once a second."""

import asyncio
import logging
import re
from typing import Any

import pytest
from sqlalchemy import text

from producer import objects
from producer.objects import BatchProgress
from producer.operations import batch_progress, batches, kept_counts
from producer.operations.batch_progress import ProgressReader
from shared import clock
from shared.db import Database
from shared.db import models as m
from shared.jobs.outcomes import Ending
from tests.catalogues import dear_gpt_4  # noqa: F401
from tests.integration import batch_world, world
from tests.integration.batch_world import chat, files_of_its_own  # noqa: F401
from workers.batches.scheduler import BatchScheduler

BAD = {"message": "not that", "type": "invalid_request", "code": 400, "reason": "invalid_request"}


@pytest.fixture(autouse=True)
def _virtual() -> Any:
    with world.virtual_time():
        yield


def seen(database: Database, id: str) -> BatchProgress:
    row = dict(batch_world.row(database, id))
    counts = database.read_sync(batch_progress.count, row)
    return objects.progress_object(row, counts.providers, counts.reasons)


def test_lines_are_counted_by_provider_and_failures_by_reason(database: Database) -> None:
    holder = world.open_account(database)
    lines = [chat(f"o{n}") for n in range(6)] + [chat(f"g{n}", model="gemini-pro") for n in range(3)]
    id = batch_world.new_batch(database, holder, lines)
    assert seen(database, id)["providers"] == []
    batch_world.take_turns(database)
    ids = batch_world.job_ids(database, id)
    leased = world.take(database, world.new_worker(database), ids[:4])
    world.settle(database, world.good_end(leased[0], 7))
    ends = [Ending(job.id, job.epoch, "failed", error={**BAD, "message": job.id}) for job in leased[1:3]]
    world.settle(database, *ends)
    now = clock.now_micros()
    world.change(database, ids[4], deferred_for="429", run_at=now + 50 * clock.MICROS)
    world.change(database, ids[5], deferred_for="429", run_at=now + 20 * clock.MICROS)
    world.change(database, ids[6], deferred_for="connect", run_at=now + 90 * clock.MICROS)
    world.settle(database, Ending(ids[8], 0, "cancelled", came_from="queued", takes=True))
    found = seen(database, id)
    google, openai = found["providers"]
    assert openai == {
        **{"provider": "openai", "total": 6, "completed": 1, "failed": 2, "running": 1, "waiting": 2},
        **{"waiting_for": "429", "until": (now + 20 * clock.MICROS) // clock.MICROS},
    }
    assert google == {
        **{"provider": "google", "total": 3, "completed": 0, "failed": 1, "running": 0, "waiting": 2},
        **{"waiting_for": "connect", "until": (now + 90 * clock.MICROS) // clock.MICROS},
    }
    assert found["reasons"] == [
        {"reason": "invalid_request", "status_code": 400, "model": "gpt-4", "count": 2, "message": leased[1].id},
        {
            **{"reason": "cancelled", "status_code": None, "model": "gemini-pro", "count": 1},
            "message": "the request was cancelled before it finished",
        },
    ]
    assert found["request_counts"] == {"total": 9, "completed": 1, "failed": 3}
    assert (found["status"], found["finished_at"], found["credits_used"]) == ("in_progress", None, 0.000007)


def test_a_line_on_probation_is_its_providers(database: Database) -> None:
    holder = world.open_account(database)
    id = batch_world.new_batch(database, holder, [chat("a"), chat("b")])
    batch_world.take_turns(database)
    world.change(database, batch_world.job_ids(database, id)[0], queue="probation")
    (openai,) = seen(database, id)["providers"]
    assert (openai["provider"], openai["total"], openai["waiting"]) == ("openai", 2, 2)


def test_lines_that_never_became_jobs_are_a_reason(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.batches.releasing.CHUNK", 2)
    monkeypatch.setattr("workers.batches.releasing.SLICE_SECONDS", 0.0)
    holder = world.open_account(database)
    id = batch_world.new_batch(database, holder, [chat(str(n)) for n in range(6)])
    taking_turns = BatchScheduler(database, world.RecordedBell())
    while len(batch_world.job_ids(database, id)) < 2:
        taking_turns.run_once()
    database.write_sync(batches.cancel, holder, id)
    while taking_turns.run_once():
        pass
    batch_world.take_turns(database)
    found = seen(database, id)
    assert [(group["reason"], group["count"]) for group in found["reasons"]] == [("cancelled", 6)]
    assert found["status"] == "cancelled" and found["finished_at"]


def test_the_reasons_that_are_told_are_bounded(database: Database) -> None:
    holder = world.open_account(database)
    id = batch_world.new_batch(database, holder, [chat(str(n)) for n in range(25)])
    batch_world.take_turns(database)
    leased = world.take(database, world.new_worker(database), batch_world.job_ids(database, id))
    world.settle(
        database,
        *(Ending(job.id, job.epoch, "failed", error={**BAD, "reason": f"r{n}\x00"}) for n, job in enumerate(leased)),
    )
    reasons = seen(database, id)["reasons"]
    assert len(reasons) == batch_progress.MOST_REASONS and all(
        re.fullmatch(r"r\d+\?", one["reason"]) for one in reasons
    )


def test_many_who_ask_are_answered_by_one_count(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = []
    real = batch_progress.count
    monkeypatch.setattr(batch_progress, "count", lambda c, row: counted.append(row["status"]) or real(c, row))
    monkeypatch.setattr(kept_counts, "DURATIONS", 0.0)
    now = [1000.0]
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    holder = world.open_account(database)
    id = batch_world.new_batch(database, holder, [chat("a")])
    row = dict(batch_world.row(database, id))

    async def scene() -> None:
        progress = ProgressReader(database)
        await asyncio.gather(*(progress.of(row) for _ in range(20)))
        now[0] += kept_counts.SECONDS * 0.9
        await progress.of(row)
        assert counted == ["validating"]
        now[0] += kept_counts.SECONDS * 0.2
        await progress.of(row)
        assert counted == ["validating"] * 2
        await progress.of({**row, "status": "completed"})
        assert counted[-1] == "completed", "what was counted before the end is not told after it"
        now[0] += 3600
        await progress.of({**row, "status": "completed"})
        assert len(counted) == 3, "what is over does not change"

    asyncio.run(scene())


def test_the_counts_go_by_the_batchs_own_index(database: Database) -> None:
    holder = world.open_account(database)
    id = batch_world.new_batch(database, holder, [chat(str(n)) for n in range(30)])
    batch_world.take_turns(database)
    by_provider = (
        "SELECT queue, status, deferred_for, count(*), min(run_at) FROM jobs WHERE batch_id = :id GROUP BY 1, 2, 3"
    )
    by_reason = (
        "SELECT r.reason, r.status_code, j.model, count(*), min(j.id) FROM jobs j JOIN job_results r ON r.job_id = j.id"
        " WHERE j.batch_id = :id AND j.status <> 'succeeded' GROUP BY 1, 2, 3"
    )
    for query in (by_provider, by_reason):
        told = explained(database, query, id)
        assert "jobs_of_batch" in told, told
        assert not re.search(r"SCAN (j|jobs|r)\b(?! USING)|Seq Scan", told), told


def explained(database: Database, query: str, id: str) -> str:
    """The plan of a query; on PostgreSQL, of a table too small for an index to pay, without sequential scans."""

    def explain(connection: Any) -> str:
        if not database.is_sqlite:
            connection.execute(text("SET LOCAL enable_seqscan = off"))
        words = "EXPLAIN QUERY PLAN" if database.is_sqlite else "EXPLAIN"
        rows = connection.execute(text(f"{words} {query}"), {"id": id}).all()
        return "\n".join(str(row[-1]) for row in rows)

    return database.read_sync(explain)


@pytest.mark.usefixtures("dear_gpt_4")
def test_operators_read_of_a_batchs_start_and_end_once(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "workers.batches.reports")
    holder = world.open_account(database, 10_000)
    id = batch_world.new_batch(database, holder, [chat(str(n)) for n in range(1200)])
    both = [BatchScheduler(database, world.RecordedBell()) for _ in range(2)]
    while sum(one.run_once() for one in both):
        pass
    leased = world.take(database, world.new_worker(database), batch_world.job_ids(database, id))
    ends = [Ending(job.id, job.epoch, "failed", error=BAD) for job in leased[:3]]
    world.settle(database, *ends, *(world.good_end(job, 250_000) for job in leased[3:]))
    while sum(one.run_once() for one in both):
        pass
    begin, end = (record.getMessage() for record in caplog.records if id in record.getMessage())
    held = world.rows(database, m.transfers, subject_id=id)[0]["amount_micros"] / world.CREDIT
    assert begin == f"batch {id} of account {holder.account_id} started: 1,200 lines, at most {held:,} credits"
    said = f"batch {id} of account {holder.account_id} ended as completed: 1,197 succeeded, 3 failed, 299.25 credits, "
    assert end.startswith(said) and re.fullmatch(r"\d+\.\d s", end.removeprefix(said))
