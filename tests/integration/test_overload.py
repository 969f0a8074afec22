"""What the overload check reads from the rows, on both databases: since when the head of a realtime queue waits."""

import asyncio

import pytest

from producer.admission import idempotency
from producer.admission.overload import BACKLOG_SECONDS, Overload, heads
from producer.context import Context
from shared import clock
from shared.db import Database
from shared.db import models as m
from shared.errors import Unavailable
from shared.submissions.schemas import read_submission
from tests.integration import world

MINUTE = 60 * clock.MICROS


def test_a_job_that_came_back_after_a_pause_is_no_backlog(database: Database) -> None:
    """It was accepted long ago, called for, and put back because the provider said so: nothing waits behind it."""
    holder = world.open_account(database, 1_000)
    (id,) = world.queued(database, holder)
    (row,) = world.rows(database, m.jobs, id=id)
    now = clock.now_micros()
    world.change(database, id, created_at=now - 2 * MINUTE, run_at=now, woken_at=None)
    found = database.read_sync(heads)
    assert found == {row["queue"]: now}
    overload = Overload(database, world.RecordedBell())
    overload.look(found)
    overload.check(row["queue"], 28)


def test_the_head_is_the_oldest_that_is_due_woken_or_not(database: Database) -> None:
    holder = world.open_account(database, 1_000)
    ids = [world.queued(database, holder)[0] for _ in range(4)]
    now = clock.now_micros()
    times = {"woken": now - MINUTE, "left": now - 2 * MINUTE, "later": now + MINUTE, "taken": now - 3 * MINUTE}
    for id, (how, at) in zip(ids, times.items(), strict=True):
        world.change(database, id, created_at=at, run_at=at, woken_at=None if how == "left" else at)
    world.change(database, ids[3], status="running")
    (found,) = database.read_sync(heads).values()
    assert found == now - 2 * MINUTE


def test_what_was_accepted_before_is_answered_however_much_waits(database: Database) -> None:
    """A key that is sent again is no new load."""
    holder = world.open_account(database, 1_000)
    body = {"model": "gpt-4", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
    submission = read_submission("chat.completion", body)
    known, new = (idempotency.claim(holder, key, "POST", "/chat/completions", body) for key in ("known", "new"))

    async def place_both() -> None:
        context = Context(database, world.RecordedBell())
        placed = await context.placer.place(holder, submission, known, waits=28)
        context.overload.look({world.QUEUE: clock.now_micros() - 5 * MINUTE})
        with pytest.raises(Unavailable):
            await context.placer.place(holder, submission, new, waits=28)
        again = await context.placer.place(holder, submission, known, waits=28)
        assert again.job_id == placed.job_id and again.accepted.replayed
        await context.close()

    asyncio.run(place_both())


def test_the_version_before_takes_no_new_job_for_a_backlog(database: Database) -> None:
    """It looks at `run_at` alone; on SQLite, which is one machine, its processes are replaced together."""
    clock.unlearn()
    (id,) = world.queued(database, world.open_account(database, 1_000))
    row = world.row(database, id)
    assert database.read_sync(heads) == {row["queue"]: row["created_at"]}
    age = row["created_at"] - row["run_at"]
    assert not row["run_at"] if database.is_sqlite else 0 < age < BACKLOG_SECONDS * clock.MICROS / 2
