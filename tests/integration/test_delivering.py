"""The sender on real databases and sockets: a slow receiver holds up only itself; a deleted webhook gets nothing."""

import asyncio

import pytest

from producer.operations import events as events_ops
from producer.operations import webhooks as hooks
from producer.operations.webhooks import WebhookSpec
from shared import clock
from shared.db import Database
from shared.db import models as m
from shared.key_holders import KeyHolder
from shared.money.ledger import Book
from shared.settings import settings
from tests.integration import world
from tests.receiver import Answer, Receiver
from workers.webhooks import claims, receivers, results, send_slots
from workers.webhooks import client as outbound
from workers.webhooks.schedule import SCHEDULE
from workers.webhooks.sender import Sender


def open_webhook(database: Database, url: str, count: int) -> tuple[KeyHolder, str, list[str]]:
    """An account with a webhook and so many events for it: whose key it is, webhook, deliveries."""
    holder = world.open_account(database)
    account = holder.account_id

    def emit(connection: object) -> list[str]:
        book = Book(connection, [account])  # type: ignore[arg-type]
        for number in range(count):
            book.emit(account, "webhook.test", {"number": number})
        return book.close()

    id = database.write_sync(hooks.create, holder, WebhookSpec(url=url))["id"]
    return holder, id, database.write_sync(emit)


def deliver(database: Database, *offers: list[str], until: object) -> None:
    """Offer deliveries to a sender and stop it once the condition holds."""

    async def main() -> None:
        async with outbound.client(allow_loopback=True, allow_private=False) as client:
            sender = Sender(database, client)
            for ids in offers:
                sender.offer(ids)
            await asyncio.to_thread(until)  # type: ignore[arg-type]
            await sender.stop()

    asyncio.run(main())


def test_a_slow_receiver_holds_up_only_itself(database: Database, monkeypatch: object) -> None:
    world.settings_allow_loopback(monkeypatch)
    with Receiver() as slow, Receiver() as fast:
        slow.answer = Answer(delay_seconds=8)  # long enough for a machine that has other things to do
        _, _, many = open_webhook(database, slow.url, 600)
        _, _, (one,) = open_webhook(database, fast.url, 1)
        deliver(database, many, [one], until=lambda: fast.wait_for(lambda got: len(got) == 1, timeout=7.5))
    (row,) = world.rows(database, m.deliveries, id=one)
    assert row["status"] == "delivered"
    rest = [row for id in many for row in world.rows(database, m.deliveries, id=id)]
    assert {row["status"] for row in rest} <= {"pending", "delivered"} and sum(row["attempts"] for row in rest) <= 32


def test_a_deleted_webhook_gets_nothing_more(database: Database, monkeypatch: object) -> None:
    world.settings_allow_loopback(monkeypatch)
    with Receiver() as receiver, Receiver() as other:
        _, id, deliveries = open_webhook(database, receiver.url, 5)
        _, _, (one,) = open_webhook(database, other.url, 1)
        database.write_sync(
            lambda c: c.execute(m.webhooks.update().where(m.webhooks.c.id == id).values(status="deleted"))
        )
        deliver(database, deliveries, [one], until=lambda: other.wait_for(lambda got: len(got) == 1))
        assert receiver.deliveries == []
    assert {world.rows(database, m.deliveries, id=id)[0]["status"] for id in deliveries} == {"failed"}


def test_what_is_asked_for_again_during_its_send_is_sent_again(database: Database, monkeypatch: object) -> None:
    """The end of the send under way does not undo the redelivery."""
    world.settings_allow_loopback(monkeypatch)
    with Receiver() as receiver:
        holder, _, (one,) = open_webhook(database, receiver.url, 1)
        (event,) = world.rows(database, m.events)
        claimed = database.write_sync(claims.claim, [one])
        database.write_sync(events_ops.redeliver_event, holder, event["id"])
        late = [{**results.result(row, outbound.SendResult(200, b"", 0.1))} for row in claimed]
        database.write_sync(results.record, late)
        assert world.rows(database, m.deliveries, id=one)[0]["status"] == "pending"
        deliver(database, [one], until=lambda: receiver.wait_for(lambda got: len(got) == 1))
    assert world.rows(database, m.deliveries, id=one)[0]["status"] == "delivered"


def test_one_slow_answer_does_not_hold_up_the_others_of_its_webhook(database: Database, monkeypatch: object) -> None:
    world.settings_allow_loopback(monkeypatch)
    with Receiver() as receiver:
        slow = iter([Answer(delay_seconds=20)])
        receiver.answer = lambda _: next(slow, Answer())
        _, _, many = open_webhook(database, receiver.url, 200)
        deliver(database, many, until=lambda: receiver.wait_for(lambda got: len(got) == 200, timeout=18))


def test_many_receivers_that_hang_hold_up_nobody_else(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of as many accounts as webhooks; what answers at once is delivered, new or known."""
    world.settings_allow_loopback(monkeypatch)
    monkeypatch.setattr(receivers, "SLOW_SECONDS", {"quick": 0.2, "fresh": 0.1})
    monkeypatch.setitem(send_slots.SHARES, "fresh", (8, 4, 4))
    with Receiver() as slow, Receiver() as fast:
        slow.answer = Answer(delay_seconds=60)
        tarpits = [open_webhook(database, slow.url, 3)[2] for _ in range(20)]
        _, _, (one,) = open_webhook(database, fast.url, 1)

        async def main() -> None:
            async with outbound.client(allow_loopback=True, allow_private=False) as client:
                sender = Sender(database, client)
                for ids in tarpits:
                    sender.offer(ids)
                await asyncio.to_thread(slow.wait_for, lambda got: len(got) >= 8)
                sender.offer([one])
                await asyncio.to_thread(fast.wait_for, lambda got: len(got) == 1)
                for task in list(sender._tasks):
                    task.cancel()

        asyncio.run(main())


def test_a_busy_receiver_hears_nothing_until_it_wants_to(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    world.settings_allow_loopback(monkeypatch)
    with Receiver() as receiver, Receiver() as other:
        receiver.answer = Answer(429, headers={"Retry-After": "60"})
        _, id, ids = open_webhook(database, receiver.url, 300)
        _, _, after = open_webhook(database, other.url, 1)

        async def main() -> None:
            async with outbound.client(allow_loopback=True, allow_private=False) as client:
                sender = Sender(database, client)
                sender.offer(ids)
                while sender._tasks:
                    await asyncio.wait(list(sender._tasks))
                sender.offer([*ids, *after])
                await asyncio.to_thread(other.wait_for, lambda got: len(got) == 1)
                await sender.stop()

        asyncio.run(main())
        assert len(receiver.deliveries) <= receivers.FIRST_EACH
    rows = [row for row in world.rows(database, m.deliveries, webhook_id=id)]
    assert {row["status"] for row in rows} == {"pending"}
    assert sum(row["attempts"] for row in rows) == len(receiver.deliveries)
    (hook,) = world.rows(database, m.webhooks, id=id)
    assert all(row["next_at"] >= hook["paused_until"] - 20 * clock.MICROS for row in rows)


@pytest.mark.parametrize("status", [200, 500, 302, 204])
def test_never_more_at_once_than_a_webhook_may_have(
    database: Database, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    world.settings_allow_loopback(monkeypatch)
    with Receiver() as receiver:
        monkeypatch.setattr(settings(), "webhook_pace", 0.01)
        receiver.answer = Answer(status, delay_seconds=0.01)
        _, _, ids = open_webhook(database, receiver.url, 60)
        deliver(database, ids, until=lambda: receiver.wait_for(lambda got: len(got) >= 20))
        assert receiver.most_at_once <= (receivers.MOST_EACH if status < 300 else receivers.FIRST_EACH)


@pytest.mark.parametrize("broken", ["https://xn--a/", "http://xn--zz9a.com/", "http://[::1", "", "no-such-scheme://a"])
def test_an_address_that_cannot_be_read_is_recorded_and_given_up(
    database: Database, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """As older versions let them in: each attempt is recorded, and the last is the last."""
    world.settings_allow_loopback(monkeypatch)
    _, id, (one,) = open_webhook(database, "http://127.0.0.1:1/", 1)
    database.write_sync(
        lambda c: c.execute(m.webhooks.update().where(m.webhooks.c.id == id).values(url=broken)).rowcount
    )
    with world.virtual_time():
        for attempt in range(1, len(SCHEDULE) + 2):
            send_all(database, [one])
            (row,) = world.rows(database, m.deliveries, id=one)
            assert row["attempts"] == attempt and row["last_error"]
            assert row["status"] == ("failed" if attempt > len(SCHEDULE) else "pending")
            clock.shift(row["next_at"] - clock.now_micros() + clock.MICROS)


def test_a_delivery_that_cannot_be_signed_or_read_is_recorded(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.settings_allow_loopback(monkeypatch)
    with Receiver() as receiver:
        _, id, (one,) = open_webhook(database, receiver.url, 1)
        _, _, (other,) = open_webhook(database, receiver.url, 1)
        unsigned = m.webhooks.update().where(m.webhooks.c.id == id).values(secret="whsec_!")
        database.write_sync(lambda c: c.execute(unsigned).rowcount)
        unread = m.events.update().where(m.events.c.id == world.rows(database, m.deliveries, id=other)[0]["event_id"])
        database.write_sync(lambda c: c.execute(unread.values(data="{")).rowcount)
        send_all(database, [one, other])
        assert receiver.deliveries == []
    for row in world.rows(database, m.deliveries):
        assert (row["status"], row["attempts"]) == ("pending", 1)
        assert row["last_error"].startswith("sending failed") and "whsec" not in row["last_error"]


def send_all(database: Database, ids: list[str]) -> None:
    """Offer these to a sender, and wait until it has nothing more to do."""

    async def main() -> None:
        async with outbound.client(allow_loopback=True, allow_private=False) as client:
            sender = Sender(database, client)
            sender.offer(ids)
            while sender._tasks:
                await asyncio.wait(list(sender._tasks))

    asyncio.run(main())
