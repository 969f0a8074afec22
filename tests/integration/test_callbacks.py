"""The `callback_url` of jobs and batches: one delivery with the event of the end, signed with the account's secret."""

import json
from typing import Any

import pytest
from sqlalchemy import Connection, event, select, text, update

from producer.operations import callbacks
from producer.operations import events as events_ops
from producer.operations import webhooks as hooks
from producer.operations.pages import PageQuery
from producer.operations.webhooks import WebhookSpec
from shared import clock, logs
from shared.batches import transitions as batch_transitions
from shared.batches.states import event_data
from shared.db import Database
from shared.db import models as m
from shared.errors import NotFound
from shared.jobs import callbacks as job_callbacks
from shared.key_holders import KeyHolder
from shared.money.ledger import Book
from shared.submissions.job_types import CALLBACK
from shared.webhooks import event_search
from tests.conditions import await_condition
from tests.contract import check_object
from tests.integration import batch_world, world
from tests.integration.test_delivering import deliver
from tests.integration.test_webhook_rows import delivery, verifies, webhook
from tests.receiver import Answer, Receiver
from workers.maintenance import row_retention
from workers.maintenance.sweep import Sweeper
from workers.webhooks import claims, results
from workers.webhooks.client import SendResult

URL = "http://127.0.0.1:1/callback?job=1"


@pytest.fixture(autouse=True)
def loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    world.settings_allow_loopback(monkeypatch)


def called_back(database: Database, holder: KeyHolder, url: str = URL) -> str:
    """A queued job with a callback."""
    (id,) = world.queued(database, holder, 1)
    world.change(database, id, owed_events=CALLBACK)
    named = update(m.job_payloads).where(m.job_payloads.c.job_id == id).values(callback_url=url)
    database.write_sync(lambda c: c.execute(named).rowcount)
    return id


def finish(database: Database, *ids: str) -> list[str]:
    """Settle these jobs as succeeded; the deliveries that are then due."""
    worker = world.new_worker(database)
    held = world.take(database, worker, list(ids))
    return world.settle(database, *(world.good_end(job, 1) for job in held)).deliveries


def to_callbacks(database: Database) -> list[dict[str, Any]]:
    return [row for row in world.rows(database, m.deliveries) if row["url"]]


def test_webhook_and_callback_get_the_same_event_once_each(database: Database) -> None:
    holder = world.open_account(database)
    hook = database.write_sync(hooks.create, holder, WebhookSpec(url="http://127.0.0.1:1/hook"))["id"]
    id = called_back(database, holder)
    due = finish(database, id)
    rows = [delivery(database, one) for one in due]
    assert {row["url"] for row in rows} == {URL, None} and len({row["event_id"] for row in rows}) == 1
    assert {row["webhook_id"] for row in rows if not row["url"]} == {hook}
    assert world.row(database, id)["owed_events"] is None
    page = database.read_sync(callbacks.of_job, holder, id, PageQuery())
    assert {one["callback_url"] for one in page["data"]} == {URL, None}
    for one in page["data"]:
        check_object("Delivery", one)
    assert world.violations(database) == []


def test_it_is_signed_with_the_secret_that_a_rotation_shows(database: Database) -> None:
    holder = world.open_account(database)
    first = database.write_sync(callbacks.rotate_secret, holder)["secret"]
    second = database.write_sync(callbacks.rotate_secret, holder)["secret"]
    test_keys = KeyHolder("key_test", holder.account_id, "test", None)
    other = database.write_sync(callbacks.rotate_secret, test_keys)["secret"]
    (one,) = finish(database, called_back(database, holder))
    (claimed,) = database.write_sync(claims.claim, [one])
    assert claimed["url"] == URL and claimed["callback"]
    assert verifies(claimed, first) and verifies(claimed, second) and not verifies(claimed, other)
    shown = database.write_sync(callbacks.show_secret, holder)
    check_object("CallbackSecret", shown)
    assert "secret" not in shown and shown["valid"] == 3, "the one that was made first, and two rotations"


def test_410_and_failures_touch_nothing_but_the_delivery(database: Database) -> None:
    holder = world.open_account(database)
    hook = database.write_sync(hooks.create, holder, WebhookSpec(url=URL, events=["job.failed"]))["id"]
    for status, after in ((410, "failed"), (500, "pending"), (429, "pending")):
        (one,) = finish(database, called_back(database, holder))
        (claimed,) = database.write_sync(claims.claim, [one])
        answer = SendResult(status, b"", 0.1, retry_seconds=60.0)
        database.write_sync(results.record, [results.result(claimed, answer)])
        row = delivery(database, one)
        assert (row["status"], row["last_status"], row["attempts"]) == (after, status, 1)
    assert webhook(database, hook)["status"] == "enabled" and not webhook(database, hook)["failing_since"]
    assert "webhook.disabled" not in {row["type"] for row in world.rows(database, m.events)}


def test_an_earlier_versions_end_is_told_late_and_once(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """It writes the event, and knows no callbacks."""
    holder = world.open_account(database)
    ids = [called_back(database, holder, f"{URL}{number}") for number in range(3)]
    with monkeypatch.context() as older:
        older.setattr(job_callbacks, "urls", lambda *_: {})
        older.setattr(job_callbacks, "settled", lambda *_: None)
        assert finish(database, *ids) == []
    world.queued(database, holder, 2)
    bell = world.RecordedBell()
    sweeper = Sweeper(database, bell)
    sweeper.tell_callbacks()
    rows = to_callbacks(database)
    assert sorted(row["url"] for row in rows) == [f"{URL}{number}" for number in range(3)]
    told = {row["id"]: json.loads(row["data"])["job"]["id"] for row in world.rows(database, m.events)}
    assert sorted(told[row["event_id"]] for row in rows) == sorted(ids)
    sweeper.tell_callbacks()
    assert len(to_callbacks(database)) == 3
    assert world.violations(database) == []


def test_two_sweepers_at_once_write_one_delivery(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    holder = world.open_account(database)
    id = called_back(database, holder)
    with monkeypatch.context() as older:
        older.setattr(job_callbacks, "urls", lambda *_: {})
        older.setattr(job_callbacks, "settled", lambda *_: None)
        finish(database, id)
    first = database.write_sync(job_callbacks.tell, [id])
    world.change(database, id, owed_events=CALLBACK)
    second = database.write_sync(job_callbacks.tell, [id])
    assert len(first[1]) == 1 and second == (1, []) and len(to_callbacks(database)) == 1


def test_the_events_of_what_ended_at_one_instant_are_looked_for_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = world.open_account(database)
    ids = [called_back(database, holder, f"{URL}{number}") for number in range(8)]
    with monkeypatch.context() as older:
        older.setattr(job_callbacks, "urls", lambda *_: {})
        older.setattr(job_callbacks, "settled", lambda *_: None)
        finish(database, *ids)
    looks: list[str] = []

    def hear(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        looks.append(statement)

    event.listen(database.engine, "before_cursor_execute", hear)
    told, deliveries = database.write_sync(job_callbacks.tell, ids)
    event.remove(database.engine, "before_cursor_execute", hear)
    assert told == len(deliveries) == 8 and sum("events.type LIKE" in one for one in looks) == 1
    assert world.violations(database) == []


def test_an_earlier_version_passes_callbacks_over(database: Database) -> None:
    """Its sender joins deliveries with webhooks, and these have none."""
    holder = world.open_account(database)
    finish(database, called_back(database, holder))
    joined = select(m.deliveries.c.id).join(m.webhooks, m.webhooks.c.id == m.deliveries.c.webhook_id)
    assert database.read_sync(lambda c: c.execute(joined).all()) == []


@pytest.mark.parametrize("late", [False, True])
def test_a_batch_calls_back_at_its_end(database: Database, monkeypatch: pytest.MonkeyPatch, late: bool) -> None:
    holder = world.open_account(database)
    id = batch_world.new_batch(database, holder, [b"not a line"], callback_url=URL)
    assert batch_world.shown(database, holder, id)["callback_url"] == URL
    with monkeypatch.context() as older:
        if late:
            older.setattr(batch_transitions, "_emit", of_older)
        batch_world.take_turns(database).close()
    if late:
        owing = update(m.batches).where(m.batches.c.id == id).values(callback_owed=True)
        database.write_sync(lambda c: c.execute(owing).rowcount)
        assert to_callbacks(database) == []
    sweeper = Sweeper(database, world.RecordedBell())
    sweeper.tell_callbacks()
    sweeper.tell_callbacks()
    (row,) = to_callbacks(database)
    (event,) = world.rows(database, m.events, id=row["event_id"])
    assert event["type"] == "batch.failed" and json.loads(event["data"])["batch"]["id"] == id
    assert not batch_world.row(database, id)["callback_owed"]
    page = database.read_sync(callbacks.of_batch, holder, id, PageQuery())
    assert [one["callback_url"] for one in page["data"]] == [URL]
    assert world.violations(database) == []


def of_older(book: Book, row: Any) -> None:
    book.emit(row["account_id"], f"batch.{row['status']}", event_data(row), test=row["test"])


def test_redelivering_its_event_goes_to_the_callback_too(database: Database) -> None:
    holder = world.open_account(database)
    (one,) = finish(database, called_back(database, holder))
    (claimed,) = database.write_sync(claims.claim, [one])
    database.write_sync(results.record, [results.result(claimed, SendResult(200, b"", 0.1))])
    event_id = delivery(database, one)["event_id"]
    counted = database.read_sync(hooks.recipients_of, holder, event_id)
    assert counted == [delivery(database, one)["webhook_id"]]
    _, due = database.write_sync(events_ops.redeliver_event, holder, event_id)
    assert due == [one] and delivery(database, one)["status"] == "pending"
    with pytest.raises(NotFound):
        other = world.open_account(database)
        database.read_sync(callbacks.of_event, other, event_id, PageQuery())


def test_each_host_has_a_line_of_its_own(database: Database) -> None:
    holder = world.open_account(database)
    with Receiver() as one, Receiver() as other:
        urls = [f"{one.url}?a", f"{one.url}?b", f"{other.url}?c"]
        due = [finish(database, called_back(database, holder, url))[0] for url in urls]
        found = database.read_sync(claims.webhooks_of, due)
    assert all(row.open for row in found) and len({row.line for row in found}) == 2
    assert [row.url for row in found] == urls


def test_retention_forgets_the_address(database: Database) -> None:
    holder = world.open_account(database)
    id = batch_world.new_batch(database, holder, [b"not a line"], callback_url=URL)
    batch_world.take_turns(database).close()
    assert database.write_sync(row_retention.forget_callbacks, clock.now_micros() - 3600 * clock.MICROS) == 0
    assert database.write_sync(row_retention.forget_callbacks, clock.now_micros() + clock.MICROS) == 1
    assert batch_world.row(database, id)["callback_url"] is None


def test_no_event_means_no_delivery(database: Database) -> None:
    """Its event has gone by then."""
    holder = world.open_account(database)
    id = called_back(database, holder)
    finish(database, id)
    world.change(database, id, owed_events=CALLBACK)
    database.write_sync(lambda c: (c.execute(m.deliveries.delete()), c.execute(m.events.delete())) and None)
    assert database.write_sync(job_callbacks.tell, [id]) == (1, [])


def test_what_an_address_has_in_it_is_not_logged(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    """Its query may be a secret between its owner and the receiver."""
    caplog.set_level("DEBUG")
    holder = world.open_account(database)
    with Receiver() as receiver:
        receiver.answer = Answer(500, body=b"no")
        (one,) = finish(database, called_back(database, holder, f"{receiver.url}?token=canary-7f3a"))
        deliver(database, [one], until=lambda: await_condition(lambda: delivery(database, one)["attempts"] == 1))
    secret = database.write_sync(callbacks.rotate_secret, holder)["secret"]
    said = [record for record in caplog.records if not record.name.startswith(logs._CHATTY)]
    assert not [one for one in said if "canary-7f3a" in one.getMessage() or secret in one.getMessage()]


def test_the_event_of_an_end_is_found_by_an_index(database: Database) -> None:
    """Whatever else the account's events of that time are; also where an earlier version wrote it."""
    holder = world.open_account(database)
    ended = called_back(database, holder)
    finish(database, ended)
    (at,) = {row["finished_at"] for row in world.rows(database, m.jobs, id=ended)}
    given = {"b_account": holder.account_id, "b_test": False, "b_at": at, "b_type": "job.%"}
    words = "EXPLAIN QUERY PLAN" if database.is_sqlite else "EXPLAIN"

    def plan(connection: Connection) -> str:
        if not database.is_sqlite:
            connection.execute(text("SET LOCAL enable_seqscan = off"))
            connection.execute(text("DROP INDEX events_in_order"))
        literal = str(event_search._OF_END.params(given).compile(connection, compile_kwargs={"literal_binds": True}))
        return " ".join(str(row) for row in connection.execute(text(f"{words} {literal}")))

    with database.engine.connect() as connection:
        assert "events_by_time" in plan(connection)
        connection.rollback()
    found = database.read_sync(event_search.of_end, (holder.account_id, False), "job", ended, at)
    assert found is not None
