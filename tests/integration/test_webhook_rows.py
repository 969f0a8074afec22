"""Rows of webhooks and deliveries that two change at once, or that somebody comes back to late: nothing is undone."""

import threading
from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest
from sqlalchemy import update

from producer.operations import events as events_ops
from producer.operations import webhooks as hooks
from producer.operations.pages import PageQuery
from producer.operations.webhooks import RotateSpec, WebhookChange, WebhookSpec
from shared import clock
from shared.db import Database
from shared.db import models as m
from shared.errors import Conflict, FusionError, InvalidRequest, NotFound
from shared.key_holders import KeyHolder
from shared.money.ledger import Book
from shared.objects.events import event_object
from shared.webhooks import events, signing
from shared.webhooks import secrets as webhook_secrets
from tests.integration import world
from tests.integration.test_delivering import open_webhook
from workers.webhooks import claims, client, results, schedule
from workers.webhooks.schedule import SCHEDULE

HOUR = 3600 * clock.MICROS
DAY = 24 * HOUR


@pytest.fixture(autouse=True)
def loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    world.settings_allow_loopback(monkeypatch)


def answered(row: Mapping[str, Any], status: int, **more: Any) -> list[dict[str, Any]]:
    return [results.result(row, client.SendResult(status, b"", 0.1, **more))]


def verifies(claimed: Mapping[str, Any], secret: str) -> bool:
    now = clock.now_seconds()
    signed = signing.headers(claimed["id"], b"{}", now, claimed["secrets"])
    return signing.verify(signed, b"{}", secret, now=now)


def delivery(database: Database, id: str) -> dict[str, Any]:
    (row,) = world.rows(database, m.deliveries, id=id)
    return row


def webhook(database: Database, id: str) -> dict[str, Any]:
    (row,) = world.rows(database, m.webhooks, id=id)
    return row


def together(*work: Any) -> list[Any]:
    """Each in a thread of its own, all at once; what they returned or raised."""
    met, came = threading.Barrier(len(work), timeout=10), []

    def run(one: Any) -> None:
        met.wait()
        try:
            came.append(one())
        except FusionError as error:
            came.append(error)

    threads = [threading.Thread(target=run, args=(one,)) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return came


def test_each_secret_signs_for_its_day_however_often_it_is_rotated(database: Database) -> None:
    holder, id, (one,) = open_webhook(database, "http://127.0.0.1:1/hook", 1)
    with world.virtual_time():
        given = [webhook(database, id)["secret"]]
        for _ in range(3):
            clock.shift(6 * HOUR)
            given.append(database.write_sync(hooks.rotate, holder, id)["secret"])
        (claimed,) = database.write_sync(claims.claim, [one])
        assert [verifies(claimed, secret) for secret in given] == [True] * 4
        database.write_sync(claims.release, [(one, claimed["claimed_until"])])
        clock.shift(13 * HOUR)  # a day after the first rotation, less than that after the second
        (claimed,) = database.write_sync(claims.claim, [one])
        assert [verifies(claimed, secret) for secret in given] == [False, True, True, True]


def test_a_secret_of_a_version_that_knew_no_list_signs_on(database: Database) -> None:
    holder, id, (one,) = open_webhook(database, "http://127.0.0.1:1/hook", 1)
    first, old = webhook(database, id)["secret"], signing.secret_of(bytes(32))
    kept = {"previous_secret": old, "previous_until": clock.now_micros() + 20 * HOUR}
    database.write_sync(lambda c: c.execute(update(m.webhooks).values(kept)).rowcount)
    fresh = database.write_sync(hooks.rotate, holder, id)["secret"]
    (claimed,) = database.write_sync(claims.claim, [one])
    assert all(verifies(claimed, secret) for secret in (first, old, fresh))


def test_rotations_at_once_all_hold(database: Database) -> None:
    holder, id, (one,) = open_webhook(database, "http://127.0.0.1:1/hook", 1)
    rotate = lambda: database.write_sync(hooks.rotate, holder, id)["secret"]  # noqa: E731
    given = together(rotate, rotate, rotate)
    (claimed,) = database.write_sync(claims.claim, [one])
    assert len(set(given)) == 3 and all(verifies(claimed, secret) for secret in given)


def test_it_can_always_be_rotated_and_no_more_secrets_sign_than_headers_may_carry(database: Database) -> None:
    """Of forty rotations in a loop none is refused, nor cuts off a receiver that has the secret of an hour before."""
    holder, id, (one,) = open_webhook(database, "http://127.0.0.1:1/hook", 1)
    with world.virtual_time():
        first = webhook(database, id)["secret"]
        clock.shift(HOUR)
        deployed = database.write_sync(hooks.rotate, holder, id)["secret"]
        clock.shift(HOUR)
        for _ in range(40):
            clock.shift(clock.MICROS)
            newest = database.write_sync(hooks.rotate, holder, id)["secret"]
        (claimed,) = database.write_sync(claims.claim, [one])
        assert len(claimed["secrets"]) == webhook_secrets.MOST
        assert all(verifies(claimed, secret) for secret in (first, deployed, newest))
        signed = signing.headers("evt_1", b"{}", 1, claimed["secrets"])
        assert max(len(value) for value in signed.values()) < 1024


def test_a_leaked_secret_ends_at_once(database: Database) -> None:
    holder, id, (one,) = open_webhook(database, "http://127.0.0.1:1/hook", 1)
    given = [webhook(database, id)["secret"]]
    for overlap in (86_400, 60, 0):
        wanted = RotateSpec(overlap_seconds=overlap)
        given.append(database.write_sync(hooks.rotate, holder, id, wanted)["secret"])
    (claimed,) = database.write_sync(claims.claim, [one])
    assert [verifies(claimed, secret) for secret in given] == [False, False, False, True]
    assert webhook(database, id)["previous_secret"] is None, "for versions that know no list, too"


def test_a_shorter_overlap_holds_for_all_before(database: Database) -> None:
    holder, id, (one,) = open_webhook(database, "http://127.0.0.1:1/hook", 1)
    with world.virtual_time():
        given = [webhook(database, id)["secret"]]
        for overlap in (86_400, 3600):
            wanted = RotateSpec(overlap_seconds=overlap)
            given.append(database.write_sync(hooks.rotate, holder, id, wanted)["secret"])
        clock.shift(HOUR + clock.MICROS)
        (claimed,) = database.write_sync(claims.claim, [one])
        assert [verifies(claimed, secret) for secret in given] == [False, False, True]


def test_a_deleted_webhook_stays_deleted(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is deleted while a change of it is being judged."""
    holder, id, _ = open_webhook(database, "http://127.0.0.1:1/hook", 0)
    real = hooks._check_url

    def meanwhile(url: str) -> None:
        if not database.is_sqlite:  # which has one writer at a time
            thread = threading.Thread(target=database.write_sync, args=(hooks.remove, holder, id))
            thread.start()
            thread.join()
        real(url)

    if database.is_sqlite:
        database.write_sync(hooks.remove, holder, id)
    monkeypatch.setattr(hooks, "_check_url", meanwhile)
    with pytest.raises(NotFound):
        database.write_sync(hooks.change, holder, id, WebhookChange(url="http://127.0.0.1:2/", status="enabled"))
    assert webhook(database, id)["status"] == "deleted"


def test_changes_and_deletions_at_once_end_deleted(database: Database) -> None:
    for _ in range(5):
        holder, id, _ = open_webhook(database, "http://127.0.0.1:1/hook", 0)
        wanted = WebhookChange(url="http://127.0.0.1:2/", status="enabled")
        change = lambda: database.write_sync(hooks.change, holder, id, wanted)  # noqa: B023, E731
        together(change, lambda: database.write_sync(hooks.remove, holder, id), change)  # noqa: B023
        assert webhook(database, id)["status"] == "deleted"


def test_two_at_once_are_not_both_the_last_webhook(database: Database) -> None:
    holder, _, _ = open_webhook(database, "http://127.0.0.1:1/hook", 0)
    create = lambda: database.write_sync(hooks.create, holder, WebhookSpec(url="http://127.0.0.1:1/"))  # noqa: E731
    for _ in range(hooks.MOST - 2):
        create()
    came = together(create, create, create)
    assert sum(isinstance(one, Conflict) for one in came) == 2


def test_a_late_410_of_the_old_address_leaves_the_new_one(database: Database) -> None:
    holder, id, (one, other) = open_webhook(database, "http://127.0.0.1:1/old", 2)
    first, second = database.write_sync(claims.claim, [one, other])
    database.write_sync(hooks.change, holder, id, WebhookChange(url="http://127.0.0.1:2/new"))
    database.write_sync(results.record, answered(first, 410))
    assert webhook(database, id)["status"] == "enabled"
    assert delivery(database, one)["status"] == "pending", "it is sent to the new address"
    database.write_sync(events_ops.redeliver_event, holder, second["id"])
    database.write_sync(results.record, answered({**second, "url": "http://127.0.0.1:2/new"}, 410))
    assert webhook(database, id)["status"] == "enabled", "nor does an answer to a claim that does not stand"


def test_a_claim_that_is_given_up_late_undoes_no_redelivery(database: Database) -> None:
    holder, _, (one,) = open_webhook(database, "http://127.0.0.1:1/hook", 1)
    (event,) = world.rows(database, m.events)
    (first,) = database.write_sync(claims.claim, [one])
    database.write_sync(events_ops.redeliver_event, holder, event["id"])
    database.write_sync(claims.release, [(one, first["claimed_until"])])
    assert (delivery(database, one)["attempts"], delivery(database, one)["claims"]) == (0, 0)
    (again,) = database.write_sync(claims.claim, [one])
    (result,) = answered(again, 503)
    assert result["pause"] < 10


def test_a_sender_that_comes_back_ends_no_claim_of_anothers(database: Database) -> None:
    _, _, (one,) = open_webhook(database, "http://127.0.0.1:1/hook", 1)
    with world.virtual_time():
        (first,) = database.write_sync(claims.claim, [one])
        clock.shift(41 * clock.MICROS)
        (second,) = database.write_sync(claims.claim, [one])
        database.write_sync(claims.release, [(one, first["claimed_until"])])
        assert database.write_sync(claims.claim, [one]) == []
        database.write_sync(results.record, answered(first, 500))
        database.write_sync(results.record, answered(second, 200))
    row = delivery(database, one)
    assert (row["status"], row["attempts"], row["claims"]) == ("delivered", 1, 0)


def test_attempts_are_sends_not_claims(database: Database) -> None:
    """Ten senders die after claiming; what is sent then fails for the first time, and is tried again soon."""
    _, _, (one,) = open_webhook(database, "http://127.0.0.1:1/hook", 1)
    with world.virtual_time():
        for _ in range(10):
            assert len(database.write_sync(claims.claim, [one])) == 1
            clock.shift(41 * clock.MICROS)
        assert delivery(database, one)["attempts"] == 0
        (claimed,) = database.write_sync(claims.claim, [one])
        (result,) = answered(claimed, 500)
        database.write_sync(results.record, [result])
    assert delivery(database, one)["attempts"] == 1 and result["pause"] < 10


def test_one_that_kills_every_sender_is_given_up(database: Database) -> None:
    """In about the three days that any other has: the claims come ever less often."""
    _, _, (one,) = open_webhook(database, "http://127.0.0.1:1/hook", 1)
    with world.virtual_time():
        began = clock.now_micros()
        for _ in range(100):
            if not database.write_sync(claims.claim, [one]):
                break
            clock.shift(delivery(database, one)["next_at"] - clock.now_micros() + clock.MICROS)
        days = (clock.now_micros() - began) / (24 * HOUR)
    row = delivery(database, one)
    assert (row["status"], row["attempts"]) == ("failed", 0) and row["last_error"]
    assert 2.5 < days < 4


def test_a_claim_beyond_the_schedule_ends_there(database: Database) -> None:
    _, _, (one,) = open_webhook(database, "http://127.0.0.1:1/hook", 1)
    beyond = update(m.deliveries).values(attempts=len(SCHEDULE) + 1)
    database.write_sync(lambda connection: connection.execute(beyond).rowcount)
    assert database.write_sync(claims.claim, [one]) == []
    assert delivery(database, one)["status"] == "failed"


def test_redirects_are_told_in_words_and_given_up_at_the_second(database: Database) -> None:
    _, _, (one,) = open_webhook(database, "http://127.0.0.1:1/hook", 1)
    with world.virtual_time():
        for status in ("pending", "failed"):
            (claimed,) = database.write_sync(claims.claim, [one])
            database.write_sync(results.record, answered(claimed, 307, location="/hook/\x1b[2J\u202e" + "a" * 300))
            row = delivery(database, one)
            assert (row["status"], row["last_status"]) == (status, 307)
            assert row["last_error"].startswith("the receiver redirects to /hook/\ufffd[2J\ufffdaaa")
            assert row["last_error"].endswith("redirects are not followed, register that URL instead")
            assert len(row["last_error"]) < 300
            clock.shift(60 * clock.MICROS)


def test_a_busy_receiver_is_left_alone_by_all(database: Database) -> None:
    """Retry-After holds for the webhook, not for the one delivery that met it; what waits has not been tried."""
    holder, id, ids = open_webhook(database, "http://127.0.0.1:1/hook", 3)
    with world.virtual_time():
        (first,) = database.write_sync(claims.claim, ids[:1])
        database.write_sync(results.record, answered(first, 429, retry_seconds=120.0))
        assert database.write_sync(claims.claim, ids) == []
        waiting = [delivery(database, one) for one in ids]
        assert all(row["next_at"] >= webhook(database, id)["paused_until"] for row in waiting[1:])
        assert [(row["attempts"], row["claims"]) for row in waiting] == [(1, 0), (0, 0), (0, 0)]
        (new,) = database.write_sync(emit, holder, 1)
        assert database.write_sync(claims.claim, [new]) == []
        clock.shift(150 * clock.MICROS)
        assert len(database.write_sync(claims.claim, [*ids, new])) == 4


@pytest.mark.parametrize(("said", "least", "most"), [(7200.0, 3600, 3600), (0.0, 5, 6), (None, 5, 6), (1.0, 5, 6)])
def test_a_busy_receivers_wish_is_bounded(database: Database, said: float | None, least: float, most: float) -> None:
    _, id, (one,) = open_webhook(database, "http://127.0.0.1:1/hook", 1)
    (claimed,) = database.write_sync(claims.claim, [one])
    (result,) = answered(claimed, 503, retry_seconds=said)
    assert least <= result["pause"] <= most
    database.write_sync(results.record, [result])
    assert bool(webhook(database, id)["paused_until"]) == bool(said)


def test_another_address_has_no_pause(database: Database) -> None:
    holder, id, (one, other) = open_webhook(database, "http://127.0.0.1:1/hook", 2)
    first, second = database.write_sync(claims.claim, [one, other])
    database.write_sync(results.record, answered(first, 429, retry_seconds=600.0))
    database.write_sync(hooks.change, holder, id, WebhookChange(url="http://127.0.0.1:2/hook"))
    assert webhook(database, id)["paused_until"] is None
    database.write_sync(results.record, answered(second, 429, retry_seconds=600.0))
    assert webhook(database, id)["paused_until"] is None, "a late answer of the old address"


def test_one_that_is_always_busy_is_given_up_after_some_days(database: Database) -> None:
    _, _, (one,) = open_webhook(database, "http://127.0.0.1:1/hook", 1)
    tried = update(m.deliveries).values(attempts=2, last_error="the receiver returned status 429")
    with world.virtual_time():
        clock.shift(7 * 24 * HOUR)
        database.write_sync(lambda connection: connection.execute(tried).rowcount)
        assert database.write_sync(claims.claim, [one]) == []
    assert delivery(database, one)["status"] == "failed"


def test_one_that_waited_for_days_but_was_never_tried_is_sent(database: Database) -> None:
    _, _, (one,) = open_webhook(database, "http://127.0.0.1:1/hook", 1)
    with world.virtual_time():
        clock.shift(7 * 24 * HOUR)
        assert len(database.write_sync(claims.claim, [one])) == 1


def emit(connection: Any, holder: KeyHolder, count: int, *, test: bool = False) -> list[str]:
    book = Book(connection, [holder.account_id])
    for number in range(count):
        book.emit(holder.account_id, "webhook.test", {"number": number}, test=test)
    return book.close()


def both_modes(database: Database) -> tuple[KeyHolder, KeyHolder]:
    live = world.open_account(database)
    return live, KeyHolder("key_test", live.account_id, "test", None)


def test_live_and_test_events_go_apart_and_are_numbered_apart(database: Database) -> None:
    live, test = both_modes(database)
    made = {one: database.write_sync(hooks.create, one, WebhookSpec(url="http://127.0.0.1:1/")) for one in (live, test)}
    of_live = database.write_sync(emit, live, 2)
    of_test = database.write_sync(emit, live, 3, test=True)
    for holder, ids in ((live, of_live), (test, of_test)):
        assert {row["webhook_id"] for row in map(lambda id: delivery(database, id), ids)} == {made[holder]["id"]}
        claimed = database.write_sync(claims.claim, ids)
        assert [event_object(row).get("test") for row in claimed] == [True if holder.test else None] * len(ids)
        page = database.read_sync(events_ops.list_events, holder, PageQuery())
        assert [event["sequence"] for event in page["data"]] == list(range(1, len(ids) + 1))
        assert {event["id"] for event in page["data"]} == {row["id"] for row in claimed}
    assert world.violations(database) == []


def test_an_event_that_a_version_without_modes_wrote_goes_to_no_test_webhook(database: Database) -> None:
    live, test = both_modes(database)
    database.write_sync(hooks.create, test, WebhookSpec(url="http://127.0.0.1:1/"))
    ids = database.write_sync(emit, live, 1, test=True)
    database.write_sync(lambda connection: connection.execute(update(m.events).values(test=False)).rowcount)
    assert database.write_sync(claims.claim, ids) == []
    assert delivery(database, ids[0])["status"] == "failed"


def test_each_mode_has_its_own_twenty(database: Database) -> None:
    live, test = both_modes(database)
    for _ in range(hooks.MOST):
        database.write_sync(hooks.create, test, WebhookSpec(url="http://127.0.0.1:1/"))
    database.write_sync(hooks.create, live, WebhookSpec(url="http://127.0.0.1:1/"))
    with pytest.raises(Conflict):
        database.write_sync(hooks.create, test, WebhookSpec(url="http://127.0.0.1:1/"))


def test_what_waits_for_a_disabled_webhook_ends_in_steps(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "CHUNK", 4)
    holder, id, ids = open_webhook(database, "http://127.0.0.1:1/hook", 10)
    assert database.write_sync(hooks.give_up_waiting, holder, id) == 0, "it is enabled"
    database.write_sync(hooks.change, holder, id, WebhookChange(status="disabled"))
    assert [database.write_sync(hooks.give_up_waiting, holder, id) for _ in range(4)] == [4, 4, 2, 0]
    assert {delivery(database, one)["last_error"] for one in ids} == {"the webhook was disabled"}
    assert database.write_sync(results.give_up_disabled, id) == 0


def test_there_is_no_pause_before_the_first_attempt() -> None:
    for attempts in (0, -1):
        with pytest.raises(ValueError, match="no retry"):
            schedule.pause_seconds(attempts, 0.0)


def test_events_are_read_from_either_end(database: Database) -> None:
    holder, _, _ = open_webhook(database, "http://127.0.0.1:1/hook", 5)

    def read(after: str | None = None, **more: bool) -> list[int]:
        page = database.read_sync(partial(events_ops.list_events, **more), holder, PageQuery(limit=2, after=after))
        return [one["sequence"] for one in page["data"]]

    ids = {row["sequence"]: row["id"] for row in world.rows(database, m.events)}
    assert (read(), read(ids[2])) == ([1, 2], [3, 4])
    assert (read(newest_first=True), read(ids[4], newest_first=True)) == ([5, 4], [3, 2])


def test_events_are_read_by_their_types(database: Database) -> None:
    holder, _, _ = open_webhook(database, "http://127.0.0.1:1/hook", 5)
    rows = world.rows(database, m.events)
    for row, type in zip(
        rows, ("job.failed", "job.completed", "job.expired", "job.failed", "job.completed"), strict=True
    ):
        change = m.events.update().where(m.events.c.id == row["id"]).values(type=type)
        database.write_sync(lambda connection, change=change: connection.execute(change).rowcount)

    def read(*types: str) -> list[int]:
        listed = partial(events_ops.list_events, types=types)
        return [one["sequence"] for one in database.read_sync(listed, holder, PageQuery())["data"]]

    assert (read("job.failed"), read("job.failed", "job.expired"), len(read())) == ([1, 4], [1, 3, 4], 5)
    with pytest.raises(InvalidRequest, match="unknown type"):
        read("job.failed", "job.nothing")


def test_a_delivery_says_of_which_type_its_event_is(database: Database) -> None:
    holder, id, _ = open_webhook(database, "http://127.0.0.1:1/hook", 1)
    (shown,) = database.read_sync(hooks.list_deliveries, holder, id, PageQuery())["data"]
    assert shown["event_type"] == "webhook.test"
    database.write_sync(lambda c: c.execute(m.events.delete()).rowcount)
    (shown,) = database.read_sync(hooks.list_deliveries, holder, id, PageQuery())["data"]
    assert shown["event_type"] is None
