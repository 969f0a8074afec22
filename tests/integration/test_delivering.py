"""The sender on real databases and sockets: a slow receiver holds up only itself; a deleted webhook gets nothing."""

import asyncio

from producer import hooks, operations
from producer.hooks import WebhookSpec
from shared import models as m
from shared.accounts import KeyHolder
from shared.db import Database
from shared.ledger import Book
from tests.integration import world
from tests.receiver import Answer, Receiver
from workers import outbound, webhooks
from workers.webhooks import Sender


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
        slow.answer = Answer(delay_seconds=3)
        _, _, many = open_webhook(database, slow.url, 600)
        _, _, (one,) = open_webhook(database, fast.url, 1)
        deliver(database, many, [one], until=lambda: fast.wait_for(lambda got: len(got) == 1, timeout=2.5))
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
        claimed = database.write_sync(webhooks.claim, [one])
        database.write_sync(operations.redeliver_event, holder, event["id"])
        late = [{**webhooks.result(row, outbound.Answer(200, b"", 0.1))} for row in claimed]
        database.write_sync(webhooks.record, late)
        assert world.rows(database, m.deliveries, id=one)[0]["status"] == "pending"
        deliver(database, [one], until=lambda: receiver.wait_for(lambda got: len(got) == 1))
    assert world.rows(database, m.deliveries, id=one)[0]["status"] == "delivered"


def test_one_slow_answer_does_not_hold_up_the_others_of_its_webhook(database: Database, monkeypatch: object) -> None:
    world.settings_allow_loopback(monkeypatch)
    with Receiver() as receiver:
        slow = iter([Answer(delay_seconds=5)])
        receiver.answer = lambda _: next(slow, Answer())
        _, _, many = open_webhook(database, receiver.url, 200)
        deliver(database, many, until=lambda: receiver.wait_for(lambda got: len(got) == 200, timeout=4.5))
