"""Processes with nothing to do ask the database for next to nothing; what there is to do is seen at the next look."""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Connection, event, func, insert, select, text, update

from shared import clock
from shared.db import Database
from shared.db import models as m
from shared.key_holders import KeyHolder
from tests.integration import batch_world, world
from workers.batches.scheduler import BatchScheduler
from workers.maintenance.purge import PURGED, purge_all
from workers.maintenance.signs import SIGNS, Sign, is_any_queued, seen
from workers.maintenance.sweep import Sweeper

#: Statements of a sweep with nothing to do, and of what is done between two sweeps.
SWEEP_STATEMENTS, FEED_STATEMENTS = 14, 2


@pytest.fixture(autouse=True)
def _virtual() -> Iterator[None]:
    with world.virtual_time():
        yield


@pytest.fixture
def holder(database: Database) -> KeyHolder:
    return world.open_account(database)


def lapsed_with_a_job(database: Database, holder: KeyHolder) -> None:
    """A worker that has ended and still holds a job."""
    world.take(database, world.new_worker(database), world.queued(database, holder))
    every_worker(database, clock.now_micros())


def every_worker(database: Database, lapsed_at: int) -> None:
    database.write_sync(lambda c: c.execute(update(m.workers).values(lapsed_at=lapsed_at)))


def gone_worker(database: Database, _: KeyHolder) -> None:
    """A worker that ended long ago."""
    world.new_worker(database)
    every_worker(database, 1)


def job_with(**values: object) -> Callable[[Database, KeyHolder], None]:
    """A job whose row says so."""
    return lambda database, holder: world.change(database, world.queued(database, holder)[0], **values)


def batch_with(**values: object) -> Callable[[Database, KeyHolder], None]:
    """A batch whose row says so."""

    def make(database: Database, holder: KeyHolder) -> None:
        id = batch_world.new_batch(database, holder, [batch_world.chat("one")])
        changed = update(m.batches).where(m.batches.c.id == id).values(**values)
        database.write_sync(lambda c: c.execute(changed))

    return make


def grant_with(**values: int) -> Callable[[Database, KeyHolder], None]:
    """A grant whose time has come."""

    def make(database: Database, holder: KeyHolder) -> None:
        sums = dict.fromkeys(("unspent_micros", "counted_micros", "expired_micros"), 0)
        times = {"created_at": 1, "expires_at": 2, "due_at": clock.now_micros() * 2}
        row = {"id": "grant", "account_id": holder.account_id, "amount_micros": 1, **sums, **times, **values}
        database.write_sync(lambda c: c.execute(insert(m.credit_grants).values(**row)))

    return make


def kept_answer(database: Database, holder: KeyHolder) -> None:
    """An answer that is cached no longer."""
    row = {"account_id": holder.account_id, "fingerprint": "live:1", "job_id": "job", "expires_at": 1}
    database.write_sync(lambda c: c.execute(insert(m.cached_answers).values(**row)))


def kept_idempotency_key(database: Database, holder: KeyHolder) -> None:
    """An answer that is not kept any longer."""
    row = {"account_id": holder.account_id, "key": "key", "fingerprint": "1", "status_code": 200, "response": "{}"}
    database.write_sync(lambda c: c.execute(insert(m.idempotency_keys).values(**row, created_at=0, expires_at=1)))


def ended_session(database: Database, _: KeyHolder) -> None:
    """A sign-in to the console that has ended."""
    row = {"id": "cses", "hash": "1", "operator": "ann", "created_at": 0, "used_at": 0, "expires_at": 1}
    database.write_sync(lambda c: c.execute(insert(m.console_sessions).values(**row)))


def paused_provider(database: Database, _: KeyHolder) -> None:
    """A provider that an operator has paused."""
    row = {"provider": "openai", "operator": "ann", "reason": "tests", "paused_at": 1}
    database.write_sync(lambda c: c.execute(insert(m.queue_pauses).values(**row)))


def old_payment_notice(database: Database, _: KeyHolder) -> None:
    """A message of a payment provider that is remembered no longer."""
    row = {"provider": "stripe", "id": "evt_1", "type": "invoice.paid", "heeded_at": 1}
    database.write_sync(lambda c: c.execute(insert(m.payment_notices).values(**row)))


ENDED = {"status": "failed", "finished_at": 1}
WORK: list[tuple[Sign, Callable[[Database, KeyHolder], None]]] = [
    ("held", lapsed_with_a_job),
    ("overdue", job_with(expires_at=1)),
    ("overdue", job_with(cancel_requested=True)),
    ("untold", job_with(**ENDED, owed_events="responses")),
    ("callbacks", job_with(**ENDED, owed_events="callback")),
    ("callbacks", batch_with(status="failed", callback_owed=True)),
    ("uncounted", job_with(**ENDED, budget_open=True)),
    ("uncounted", batch_with(budget_rest_micros=1)),
    ("grants", grant_with(due_at=1)),
    ("grants", grant_with(warn_at=1)),
    ("paused", paused_provider),
    ("purge", gone_worker),
    ("purge", kept_answer),
    ("purge", kept_idempotency_key),
    ("purge", ended_session),
    ("purge", old_payment_notice),
]


@pytest.mark.parametrize(("sign", "make"), WORK, ids=[f"{sign}-{number}" for number, (sign, _) in enumerate(WORK)])
def test_each_kind_of_work_is_seen(
    database: Database, holder: KeyHolder, sign: Sign, make: Callable[[Database, KeyHolder], None]
) -> None:
    assert database.read_sync(seen) == set()
    make(database, holder)
    assert sign in database.read_sync(seen)


def test_every_sign_is_tried() -> None:
    assert {sign for sign, _ in WORK} == set(SIGNS)


def test_whatever_is_looked_for_is_purged(database: Database, holder: KeyHolder) -> None:
    makers = [make for sign, make in WORK if sign == "purge"]
    assert len(makers) == len(PURGED) == len(SIGNS["purge"])
    for make in makers:
        make(database, holder)
    purge_all(database)
    assert database.read_sync(seen) == set()
    assert {one.table: database.read_sync(_rows, one.table) for one in PURGED} == dict.fromkeys(
        (one.table for one in PURGED), 0
    )


def _rows(connection: Connection, table: str) -> int:
    return connection.execute(select(func.count()).select_from(text(table))).scalar_one()


def test_queued_jobs_are_seen_when_their_time_has_come(database: Database, holder: KeyHolder) -> None:
    assert not database.read_sync(is_any_queued)
    (id,) = world.queued(database, holder)
    later = clock.now_micros() + clock.MICROS
    for values, any_queued in (
        ({"woken_at": None}, True),
        ({"woken_at": 1}, True),
        ({"woken_at": None, "deferred_for": "retry", "run_at": later}, False),
    ):
        world.change(database, id, **values)
        assert database.read_sync(is_any_queued) is any_queued
    clock.shift(clock.MICROS)
    assert database.read_sync(is_any_queued)


def test_an_idle_sweeper_asks_for_little(database: Database, holder: KeyHolder) -> None:
    sweeper = Sweeper(database, world.RecordedBell())
    sweeper.run_once()
    asked: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    for step, most in ((sweeper.feed_often, FEED_STATEMENTS), (sweeper.run_once, SWEEP_STATEMENTS)):
        asked.clear()
        step()
        queries = [statement for statement in asked if statement.lstrip().startswith(("SELECT", "WITH"))]
        assert len(queries) <= most, queries


def test_a_batches_process_is_idle_when_every_batch_has_ended(database: Database, holder: KeyHolder) -> None:
    process = BatchScheduler(database, world.RecordedBell())
    assert not process.run_once() and process.idle
    id = batch_world.new_batch(database, holder, [batch_world.chat("one")])
    while process.run_once():
        assert not process.idle
    assert not process.idle, "its job is waited for"
    leased = world.take(database, world.new_worker(database), batch_world.job_ids(database, id))
    world.settle(database, *(world.good_end(job, 1) for job in leased))
    while process.run_once():
        pass
    assert batch_world.row(database, id)["status"] == "completed" and process.idle
