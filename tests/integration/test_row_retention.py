"""Rows that are kept for so many days and no longer; money's rows stay; no statement touches more than a thousand."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event, insert, update

from producer.operations import batch_retries, webhooks
from producer.operations.webhooks import WebhookSpec
from shared import clock
from shared.batches import transitions
from shared.db import Database, retention_marks
from shared.db import models as m
from shared.errors import Conflict
from shared.settings import Settings, settings
from tests.integration import batch_world, world
from tests.integration.batch_world import files_of_its_own  # noqa: F401
from workers.batches import cancelling
from workers.maintenance import purge, row_retention, sweep
from workers.maintenance.feeder import Feeder

DAY = 86_400 * clock.MICROS
BATCH = "openai.batch"


@pytest.fixture(autouse=True)
def _virtual(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(settings(), "keep_jobs_days", 30)
    monkeypatch.setattr(settings(), "keep_events_days", 30)
    monkeypatch.setattr(settings(), "keep_files_days", 30)
    with world.virtual_time():
        yield


def retire(database: Database) -> None:
    """Until nothing is left to be done."""
    for chore in (
        row_retention.JobRetention(database),
        row_retention.EventRetention(database),
        row_retention.FileExpiry(database),
    ):
        while chore.some():
            pass


def finish(database: Database, ids: list[str]) -> None:
    held = world.take(database, world.new_worker(database), ids)
    world.settle(database, *(world.good_end(job, 3, prompt_tokens=1) for job in held))
    assert len(held) == len(ids)


def there(database: Database, table: Any) -> set[str]:
    return {row.get("id") or row["job_id"] for row in world.rows(database, table)}


def test_jobs_that_are_over_go_after_their_days_and_money_stays(database: Database) -> None:
    holder = world.open_account(database)
    old = world.queued(database, holder, 5, bound=10)
    finish(database, old)
    waiting = world.queued(database, holder, 1, bound=10)
    clock.shift(29 * DAY)
    young = world.queued(database, holder, 3, bound=10)
    finish(database, young)
    retire(database)
    assert there(database, m.jobs) == {*old, *waiting, *young}
    clock.shift(2 * DAY)
    before = {table.name: world.rows(database, table) for table in _MONEY}
    retire(database)
    left = {*waiting, *young}
    assert there(database, m.jobs) == there(database, m.job_payloads) == left
    assert there(database, m.job_results) == set(young)
    assert {table.name: world.rows(database, table) for table in _MONEY} == before
    assert 0 < database.read_sync(retention_marks.marks)["jobs"] <= clock.now_micros() - 30 * DAY
    finish(database, waiting)
    assert world.violations(database) == []


_MONEY = (m.transfers, m.accounts, m.daily_usage, m.monthly_spend, m.invoices, m.batches)


def test_nothing_goes_unless_it_is_asked_for(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("keep_jobs_days", "keep_events_days", "keep_files_days"):
        monkeypatch.setattr(settings(), name, Settings.model_fields[name].default)
    holder = world.open_account(database)
    ids = world.queued(database, holder, 2)
    finish(database, ids)
    file = batch_world.upload(database, holder, b"x")
    clock.shift(3660 * DAY)
    retire(database)
    assert there(database, m.jobs) == set(ids) and len(world.rows(database, m.events)) == 2
    assert world.rows(database, m.files, id=file)[0]["expires_at"] is None


@pytest.mark.parametrize(("name", "days"), [("keep_jobs_days", 1), ("keep_events_days", 3), ("keep_files_days", -1)])
def test_days_that_would_break_a_promise_are_refused(name: str, days: int) -> None:
    """An Idempotency-Key is good for a day, and webhooks are tried for three."""
    with pytest.raises(ValueError, match=name):
        Settings.model_validate({name: days})


def test_lines_stay_while_their_batch_or_a_retry_of_it_goes_on(database: Database) -> None:
    holder = world.open_account(database)
    batch = batch_world.new_batch(database, holder, [batch_world.chat(str(n)) for n in range(4)])
    batch_world.take_turns(database)
    lines = batch_world.job_ids(database, batch)
    finish(database, lines[:3])
    clock.shift(31 * DAY)
    retire(database)
    assert there(database, m.jobs) == set(lines), "a line of it has not ended"
    finish(database, lines[3:])
    batch_world.take_turns(database)
    assert batch_world.row(database, batch)["status"] == "completed"
    retire(database)
    assert there(database, m.jobs) == set(lines), "it has just ended"
    before = world.violations(database)
    clock.shift(31 * DAY)
    _repeats(database, holder, batch, "in_progress")
    retire(database)
    assert there(database, m.jobs) == set(lines), "their answers go into the retry's file"
    _end_retry(database)
    retire(database)
    assert there(database, m.jobs) == set()
    assert before == [] and [one for one in world.violations(database) if batch in one] == []
    with pytest.raises(Conflict, match="no longer stored"):
        database.read_sync(batch_retries.repeatable, holder, batch)


def _repeats(database: Database, holder: Any, batch: str, status: str) -> None:
    row = {**batch_world.row(database, batch), "id": clock.new_id("batch"), "status": status, "retry_root": batch}
    row.update(retry_of=batch, total=0, released=0, succeeded=0, bound_micros=0, released_micros=0, resolved_micros=0)
    row.update(charged_micros=0, completed_at=None)
    database.write_sync(lambda connection: connection.execute(insert(m.batches), [row]).rowcount)


def _end_retry(database: Database) -> None:
    over = update(m.batches).where(m.batches.c.status == "in_progress").values(status="cancelled", cancelled_at=1)
    database.write_sync(lambda connection: connection.execute(over).rowcount)


def test_events_go_in_their_order_and_never_before_they_are_delivered(database: Database) -> None:
    holder = world.open_account(database)
    database.write_sync(webhooks.create, holder, WebhookSpec(url="https://a.example/"))
    finish(database, world.queued(database, holder, 5))
    first = world.rows(database, m.events)
    clock.shift(31 * DAY)
    finish(database, world.queued(database, holder, 2))
    for row in sorted(first, key=lambda row: int(row["sequence"]))[:3]:
        _deliver(database, row["id"])
    retire(database)
    left = sorted(int(row["sequence"]) for row in world.rows(database, m.events))
    assert left == [4, 5, 6, 7], "the fourth is still to be told"
    assert len(world.rows(database, m.deliveries)) == 4
    for row in first[3:]:
        _deliver(database, row["id"])
    retire(database)
    assert sorted(int(row["sequence"]) for row in world.rows(database, m.events)) == [6, 7]
    assert len(world.rows(database, m.deliveries)) == 2
    finish(database, world.queued(database, holder, 1))
    assert max(int(row["sequence"]) for row in world.rows(database, m.events)) == 8
    assert world.violations(database) == []


def _deliver(database: Database, event_id: str) -> None:
    done = update(m.deliveries).where(m.deliveries.c.event_id == event_id)
    values = {"status": "delivered", "delivered_at": clock.now_micros()}
    database.write_sync(lambda connection: connection.execute(done.values(values)).rowcount)


def test_files_that_nobody_told_to_expire_do_after_their_days(database: Database) -> None:
    holder = world.open_account(database)
    old, read = batch_world.upload(database, holder, b"x"), None
    batch = batch_world.new_batch(database, holder, [batch_world.chat("1")])
    read = batch_world.row(database, batch)["input_file_id"]
    clock.shift(31 * DAY)
    young = batch_world.upload(database, holder, b"x")
    retire(database)
    expires = {row["id"]: row["expires_at"] for row in world.rows(database, m.files)}
    assert expires[old] and expires[old] <= clock.now_micros()
    assert expires[read] is None and expires[young] is None


# -- no statement without a bound -------------------------------------------------------------------------------------


@contextmanager
def statements(database: Database) -> Iterator[list[tuple[str, int]]]:
    """What is written within, and how many rows each statement touches."""
    seen: list[tuple[str, int]] = []

    def note(_c: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.lstrip().startswith(("UPDATE", "DELETE")):
            seen.append((statement, cursor.rowcount))

    event.listen(database.engine, "after_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(database.engine, "after_cursor_execute", note)


def many_jobs(database: Database, count: int, **values: Any) -> None:
    """Rows of jobs, straight into the table."""
    holder = world.open_account(database)
    (id,) = world.queued(database, holder)
    row = {**world.row(database, id), **values}
    rows = [{**row, "id": clock.new_id("job")} for _ in range(count)]
    for start in range(0, count, 500):
        part = rows[start : start + 500]
        database.write_sync(lambda connection, part=part: connection.execute(insert(m.jobs), part).rowcount)


def test_what_is_forgotten_goes_in_bounded_steps(database: Database) -> None:
    kept = {"account_id": "a", "fingerprint": "f", "status_code": 202, "response": "{}", "created_at": 0}
    answers = [{**kept, "key": f"live:{n}", "expires_at": 1} for n in range(2500)]
    gone = {"host": "h", "pid": 1, "probation": False, "started_at": 0, "lease_until": 0, "lapsed_at": 1, "lost": 0}
    workers = [{**gone, "id": f"wrk_{n}"} for n in range(1200)]
    database.write_sync(lambda c: c.execute(insert(m.idempotency_keys), answers).rowcount)
    database.write_sync(lambda c: c.execute(insert(m.workers), workers).rowcount)
    with statements(database) as seen:
        purge.purge_all(database)
    assert not world.rows(database, m.idempotency_keys) and not world.rows(database, m.workers)
    assert sum(rows for _, rows in seen) == 3700 and max(rows for _, rows in seen) <= 1000


def test_lost_doorbells_are_left_to_the_feeder_in_bounded_steps(database: Database) -> None:
    many_jobs(database, 2300, queue=BATCH, lane="batch", woken_at=5)
    bell = world.RecordedBell()
    sweeper = sweep.Sweeper(database, bell)
    with statements(database) as seen:
        for _ in range(5):
            sweeper.find_lost_doorbells()
            clock.shift(clock.MICROS)
    assert not world.woken(database) and max(rows for _, rows in seen) <= 1000


def test_a_large_window_is_fed_in_bounded_steps(database: Database) -> None:
    many_jobs(database, 2300, queue=BATCH, lane="batch", woken_at=None)
    bell = world.RecordedBell()
    feeder = Feeder(database, bell)
    feeder.run_once([BATCH])
    feeder.flows[BATCH].window = 5000
    with statements(database) as seen:
        feeder.run_once([BATCH])
    assert len(set(bell.ids(BATCH))) == 2300 and max(rows for _, rows in seen) <= 1000


def test_running_lines_are_asked_to_end_in_bounded_steps(database: Database) -> None:
    many_jobs(database, 2300, batch_id="batch_x", status="running")
    flagged: list[int] = []
    while found := database.write_sync(cancelling.flag_running, "batch_x"):
        flagged.append(len(found))
    assert flagged == [1000, 1000, 300]


def test_one_queue_that_cannot_be_fed_stops_no_other(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = world.queued(database, world.open_account(database), 2)
    bell = world.RecordedBell()
    feeder = Feeder(database, bell)
    fill = Feeder._fill

    def fails(self: Feeder, queue: str, inside: int) -> int:
        if queue == "google.batch":
            raise RuntimeError("a fault of ours")
        return fill(self, queue, inside)

    monkeypatch.setattr(Feeder, "_fill", fails)
    assert feeder.run_once(["google.batch", BATCH]) == 2 and bell.ids(BATCH) == ids


def test_one_line_that_cannot_be_cancelled_stops_no_other(database: Database) -> None:
    holder = world.open_account(database)
    batch = batch_world.new_batch(database, holder, [batch_world.chat(str(n)) for n in range(5)])
    process = batch_world.take_turns(database)
    ids = batch_world.job_ids(database, batch)
    world.change(database, ids[2], bound_micros=10**15)  # more than is held: its release cannot be written

    database.write_sync(transitions.stop, batch, "cancelled")
    process.run_once()
    while process.run_once() and world.row(database, ids[4])["status"] == "queued":
        pass
    assert [world.row(database, id)["status"] for id in ids] == [
        *("cancelled", "cancelled", "queued", "cancelled", "cancelled")
    ]
