"""A slow receiver holds up only itself, and a webhook that is gone gets nothing more."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import insert, update

from producer import hooks
from shared import clock
from shared import models as m
from shared.db import Database
from shared.events import NewEvent
from shared.events import write as write_events
from tests.integration import world
from tests.receiver import Answer, Receiver
from workers import outbound, webhooks
from workers.sweep import due_deliveries
from workers.webhooks import FEWEST_SENDING_EACH, MOST_SENDING, Sender


class Hooks:
    """Webhooks of one account, and events for one of them each."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.account_id = world.open_account(database).account_id
        self._sequence = 0

    def add(self, id: str, url: str = "http://x") -> str:
        row = {"id": id, "account_id": self.account_id, "url": url, "events": '["*"]', "secret": "whsec_c2VjcmV0"}
        new = insert(m.webhooks).values(row | {"status": "enabled", "created_at": 0})
        self.database.write_sync(lambda connection: connection.execute(new).rowcount)
        return id

    def events(self, webhook_id: str, count: int, *, age_seconds: int = 0) -> list[str]:
        first = self._sequence + 1
        self._sequence += count
        new = [
            NewEvent(self.account_id, number, "webhook.test", {}, webhook_id=webhook_id)
            for number in range(first, first + count)
        ]
        return self.database.write_sync(write_events, new, clock.now_micros() - age_seconds * clock.MICROS)

    def rows(self, webhook_id: str) -> list[tuple[str, str | None, int]]:
        rows = world.rows(self.database, m.deliveries, webhook_id=webhook_id)
        return [(row["status"], row["last_error"], row["attempts"]) for row in rows]


@pytest.fixture
def made(database: Database) -> Hooks:
    return Hooks(database)


@asynccontextmanager
async def sending(database: Database) -> AsyncIterator[Sender]:
    client = outbound.client(allow_loopback=True, allow_private=False, connections=MOST_SENDING)
    sender = Sender(database, client)
    try:
        yield sender
    finally:
        await sender.stop()
        await client.aclose()


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


def test_a_slow_webhook_holds_up_only_itself(made: Hooks) -> None:
    async def scene(slow: Receiver, quick: Receiver) -> None:
        slow.answer = Answer(delay_seconds=4)
        for number in range(20):
            made.events(made.add(f"wh_slow_{number}", slow.url), 40, age_seconds=60)
        made.add("wh_quick", quick.url)
        async with sending(made.database) as sender:
            sender.offer([row["id"] for row in world.rows(made.database, m.deliveries)])
            await until(lambda: len(slow.deliveries) == 20 * FEWEST_SENDING_EACH)
            made.events("wh_quick", 3, age_seconds=5)
            sender.offer(made.database.read_sync(due_deliveries))
            await until(lambda: len(quick.deliveries) == 3, 2)
            assert len(slow.deliveries) == 20 * FEWEST_SENDING_EACH
        rows = world.rows(made.database, m.deliveries)
        claimed = [row for row in rows if row["status"] == "pending" and row["next_at"] > clock.now_micros()]
        assert claimed == [], "what was claimed and not sent is due again"
        assert sum(row["attempts"] for row in rows) == 20 * FEWEST_SENDING_EACH + 3

    with Receiver() as slow, Receiver() as quick:
        asyncio.run(scene(slow, quick))


def test_all_of_a_quick_webhook_s_burst_is_sent_without_the_sweeper(made: Hooks) -> None:
    async def scene(quick: Receiver) -> None:
        ids = made.events(made.add("wh_quick", quick.url), 450)
        async with sending(made.database) as sender:
            sender.offer(ids[:250])
            sender.offer(ids)
            await until(lambda: len(quick.deliveries) == 450, 30)
        assert made.rows("wh_quick") == [("delivered", None, 1)] * 450
        assert len({delivery.headers["webhook-id"] for delivery in quick.deliveries}) == 450

    with Receiver() as quick:
        asyncio.run(scene(quick))


@pytest.mark.parametrize("how", ["deleted", "disabled"])
def test_a_webhook_that_is_gone_gets_nothing_after_what_is_under_way(made: Hooks, how: str) -> None:
    async def scene(slow: Receiver) -> None:
        slow.answer = Answer(delay_seconds=2.5)
        ids = made.events(made.add("wh_gone", slow.url), 40)
        async with sending(made.database) as sender:
            sender.offer(ids)
            await until(lambda: len(slow.deliveries) == FEWEST_SENDING_EACH)
            await asyncio.to_thread(end, made, how)
            await until(lambda: not sender._lanes)
            sender.offer(ids)
        assert len(slow.deliveries) == FEWEST_SENDING_EACH
        assert {(status, error) for status, error, _ in made.rows("wh_gone")} == {("failed", f"the webhook was {how}")}

    with Receiver() as slow:
        asyncio.run(scene(slow))


def end(made: Hooks, how: str) -> None:
    if how == "deleted":
        made.database.write_sync(hooks.remove, made.account_id, "wh_gone")
    else:
        made.database.write_sync(hooks.change, made.account_id, "wh_gone", hooks.WebhookChange(status="disabled"))


def test_a_delivery_written_while_its_webhook_was_deleted_fails_when_claimed(made: Hooks) -> None:
    (gone,) = made.events(made.add("wh_gone"), 1)
    (kept,) = made.events(made.add("wh_kept"), 1)
    delete = update(m.webhooks).where(m.webhooks.c.id == "wh_gone").values(status="deleted")
    made.database.write_sync(lambda connection: connection.execute(delete).rowcount)
    claimed = made.database.write_sync(webhooks.claim, [gone, kept])
    assert [row["delivery_id"] for row in claimed] == [kept]
    assert made.database.read_sync(webhooks.still_wanted, [gone, kept]) == {kept}
    assert made.rows("wh_gone") == [("failed", "the webhook was deleted", 0)]
    assert made.rows("wh_kept") == [("pending", None, 1)]


def test_the_sweeper_picks_from_every_webhook(made: Hooks) -> None:
    many = made.events(made.add("wh_many"), 500, age_seconds=60)
    few = made.events(made.add("wh_few"), 2, age_seconds=5)
    due = made.database.read_sync(due_deliveries)
    assert set(few) < set(due[:4]) and len(due) == 400 and set(due) - set(few) < set(many)
