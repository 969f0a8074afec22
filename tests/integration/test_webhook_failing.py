"""A webhook that fails for days is disabled, and its account's other webhooks are notified; attempts are logged."""

import json
from typing import Any

import pytest
from sqlalchemy import update

from producer import objects
from producer.operations import webhooks as hooks
from producer.operations.webhooks import WebhookChange, WebhookSpec
from shared import clock
from shared.db import Database
from shared.db import models as m
from shared.key_holders import KeyHolder
from shared.settings import settings
from tests.contract import check_object
from tests.integration import world
from tests.integration.test_webhook_rows import DAY, answered, delivery, emit, webhook
from workers.webhooks import attempt_log, claims, results


@pytest.fixture(autouse=True)
def loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    world.settings_allow_loopback(monkeypatch)


def opened(database: Database) -> tuple[KeyHolder, str]:
    holder = world.open_account(database)
    return holder, database.write_sync(hooks.create, holder, WebhookSpec(url="http://127.0.0.1:1/hook"))["id"]


def send(database: Database, ids: list[str], status: int, **more: Any) -> None:
    for row in database.write_sync(claims.claim, ids):
        database.write_sync(results.record, answered(row, status, **more))


def sent(database: Database, holder: KeyHolder, id: str, status: int) -> str:
    """A new event, sent once to this webhook."""
    made = database.write_sync(emit, holder, 1)
    (mine,) = [one for one in made if delivery(database, one)["webhook_id"] == id]
    send(database, [mine], status)
    return mine


def test_it_is_disabled_after_days_of_failures_alone(database: Database) -> None:
    holder, id = opened(database)
    other = database.write_sync(hooks.create, holder, WebhookSpec(url="http://127.0.0.1:1/other"))["id"]
    with world.virtual_time():
        for _ in range(5):
            sent(database, holder, id, 500)
            assert webhook(database, id)["status"] == "enabled"
            clock.shift(DAY)
        last = sent(database, holder, id, 500)
        row = webhook(database, id)
        assert row["status"] == "disabled"
        assert row["disabled_reason"] == "all deliveries have failed for 5 days"
        assert delivery(database, last)["status"] == "failed", "nothing waits for it any more"
        told = [one for one in world.rows(database, m.events) if one["type"] == "webhook.disabled"]
        assert len(told) == 1 and json.loads(told[0]["data"])["webhook"]["id"] == id
        to = [one["webhook_id"] for one in world.rows(database, m.deliveries) if one["event_id"] == told[0]["id"]]
        assert to == [other]
        shown = database.write_sync(hooks.change, holder, id, WebhookChange(status="enabled"))
        assert (shown["status"], shown["failing_since"], shown["disabled_reason"]) == ("enabled", None, None)
        sent(database, holder, id, 500)
        assert webhook(database, id)["status"] == "enabled", "it begins anew"


def test_one_success_begins_anew(database: Database) -> None:
    holder, id = opened(database)
    with world.virtual_time():
        for day in range(8):
            sent(database, holder, id, 200 if day == 4 else 500)
            assert bool(webhook(database, id)["failing_since"]) == (day != 4)
            clock.shift(DAY)
    assert webhook(database, id)["status"] == "enabled"


def test_a_success_that_an_earlier_version_recorded_counts(database: Database) -> None:
    """It does not note it in the webhook's row."""
    holder, id = opened(database)
    with world.virtual_time():
        for day in range(6):
            sent(database, holder, id, 500)
            clock.shift(DAY)
            if day == 2:
                (one,) = database.write_sync(emit, holder, 1)
                done = update(m.deliveries).where(m.deliveries.c.id == one)
                given = {"status": "delivered", "delivered_at": clock.now_micros()}
                database.write_sync(lambda c: c.execute(done.values(given)).rowcount)  # noqa: B023
        assert webhook(database, id)["status"] == "enabled"
        assert webhook(database, id)["failing_since"] > clock.now_micros() - 2 * DAY


def test_two_failures_with_a_long_pause_between_are_two_spells(database: Database) -> None:
    holder, id = opened(database)
    with world.virtual_time():
        sent(database, holder, id, 500)
        clock.shift(30 * DAY)
        sent(database, holder, id, 500)
    assert webhook(database, id)["status"] == "enabled"


@pytest.mark.parametrize(("days", "status"), [(0.0, "enabled"), (1.0, "disabled")])
def test_the_days_are_a_setting(database: Database, monkeypatch: pytest.MonkeyPatch, days: float, status: str) -> None:
    monkeypatch.setattr(settings(), "webhook_disable_days", days)
    holder, id = opened(database)
    with world.virtual_time():
        sent(database, holder, id, 500)
        clock.shift(2 * DAY)
        sent(database, holder, id, 500)
    assert webhook(database, id)["status"] == status


def test_the_schedule_is_a_setting(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings(), "webhook_schedule", "60,120")
    holder, _ = opened(database)
    with world.virtual_time():
        (one,) = database.write_sync(emit, holder, 1)
        for pause in (60, 120, None):
            before = clock.now_micros()
            send(database, [one], 500)
            row, after = delivery(database, one), clock.now_micros()
            assert row["status"] == ("failed" if pause is None else "pending")
            if pause:
                assert before + pause * clock.MICROS <= row["next_at"] <= after + pause * 1.2 * clock.MICROS
                clock.shift(pause * 5 // 4 * clock.MICROS)
    assert row["attempts"] == 3


def test_each_attempt_is_logged_with_what_the_receiver_said(database: Database) -> None:
    holder, _ = opened(database)
    with world.virtual_time():
        (one,) = database.write_sync(emit, holder, 1)
        (row,) = database.write_sync(claims.claim, [one])
        heard = b'{"error": "bad\n key whsec_AAAABBBB and Bearer abcdefghijkl"}' + b"x" * 2000
        (failed,) = results_of(row, 500, heard, location=None)
        database.write_sync(results.record, [failed])
        clock.shift(10 * clock.MICROS)
        (row,) = database.write_sync(claims.claim, [one])
        database.write_sync(results.record, results_of(row, 302, b"", location="https://user.example/hook\n"))
        clock.shift(60 * clock.MICROS)
        (row,) = database.write_sync(claims.claim, [one])
        database.write_sync(results.record, results_of(row, 204, b"\xff\xfe\x00\x01", location=None))
    shown = objects.delivery_object(delivery(database, one), clock.now_micros())
    check_object("Delivery", shown)
    first, second, third = shown["log"]
    assert first["response"] is not None and len(first["response"]) == attempt_log.MOST_WORDS
    assert first["response"].startswith('{"error": "bad key [redacted] and [redacted]"}xx')
    assert (first["status_code"], first["latency_ms"]) == (500, 123) and first["error"]
    assert second["location"] == "https://user.example/hook\ufffd" and second["at"] > first["at"]
    assert (third["status_code"], third["error"], third["response"]) == (204, None, None)


def results_of(row: Any, status: int, body: bytes, location: str | None) -> list[dict[str, Any]]:
    from workers.webhooks.client import SendResult

    return [results.result(row, SendResult(status, body, 0.1234, location=location))]


def test_no_more_than_the_last_attempts_are_kept() -> None:
    log = None
    for number in range(30):
        log = attempt_log.added(log, {"at": number})
    kept = [one["at"] for one in json.loads(log or "")]
    assert kept == list(range(10, 30))
