"""The sender on real databases and sockets: a slow receiver holds up only itself; a deleted webhook gets nothing."""

import asyncio

from producer import hooks
from producer.hooks import WebhookSpec
from shared import models as m
from shared.db import Database
from shared.ledger import Book
from tests.integration import world
from tests.receiver import Answer, Receiver
from workers import outbound
from workers.webhooks import Sender


def open_webhook(database: Database, url: str, count: int) -> tuple[str, str, list[str]]:
    """An account with a webhook and so many events for it: account, webhook, deliveries."""
    account = world.open_account(database).account_id

    def emit(connection: object) -> list[str]:
        book = Book(connection, [account])  # type: ignore[arg-type]
        for number in range(count):
            book.emit(account, "webhook.test", {"number": number})
        return book.close()

    id = database.write_sync(hooks.create, account, WebhookSpec(url=url))["id"]
    return account, id, database.write_sync(emit)


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
