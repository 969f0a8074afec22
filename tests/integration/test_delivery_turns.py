"""Deliveries of many webhooks in turn: a long backlog, two workers, waiting claims, what a worker takes at once."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import insert, text

from shared import clock
from shared.db import Database
from shared.db import models as m
from shared.db.models.events import PENDING
from tests.integration import world
from tests.integration.test_delivering import deliver, open_webhook
from tests.receiver import Answer, Receiver
from workers.webhooks import client as outbound
from workers.webhooks import due, send_slots, sender
from workers.webhooks.sender import Sender


@pytest.fixture(autouse=True)
def loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    world.settings_allow_loopback(monkeypatch)


def idle(database: Database, work: Callable[[list[Sender]], None], senders: int = 1) -> None:
    """Give senders something to do, and wait until they have nothing more."""

    async def main() -> None:
        async with outbound.client(allow_loopback=True, allow_private=False) as client:
            made = [Sender(database, client) for _ in range(senders)]
            work(made)
            async with asyncio.timeout(60):
                while any(one._tasks for one in made):
                    await asyncio.wait([task for one in made for task in one._tasks])

    asyncio.run(main())


def statuses(database: Database) -> Counter[tuple[str, int, int]]:
    return Counter((row["status"], row["attempts"], row["claims"]) for row in world.rows(database, m.deliveries))


def test_what_is_due_of_a_webhook_is_sent_though_little_of_it_was_rung_for(database: Database) -> None:
    """A backlog is as quick as its receiver, not as the sweeper's looks."""
    with Receiver() as receiver:
        _, _, ids = open_webhook(database, receiver.url, 700)
        idle(database, lambda senders: senders[0].offer(ids[: due.LEAST]))
        assert len({one.headers["webhook-id"] for one in receiver.deliveries}) == len(receiver.deliveries) == 700
    assert statuses(database) == {("delivered", 1, 0): 700}


def test_a_line_that_found_no_room_is_gone_on_with(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "MOST_WAITING_EACH", 5)
    with Receiver() as receiver:
        _, _, ids = open_webhook(database, receiver.url, 40)
        idle(database, lambda senders: senders[0].offer(ids))
    assert statuses(database) == {("delivered", 1, 0): 40}


def test_two_workers_with_the_same_ids_send_each_once(database: Database) -> None:
    with Receiver() as receiver:
        _, _, ids = open_webhook(database, receiver.url, 200)

        def work(senders: list[Sender]) -> None:
            for at in range(0, 200, 50):
                for one in senders:
                    one.offer(ids[at : at + 50])

        idle(database, work, senders=2)
        assert len(receiver.deliveries) == 200
    assert statuses(database) == {("delivered", 1, 0): 200}


def test_a_long_backlog_delays_no_other_webhook(database: Database) -> None:
    with Receiver() as busy, Receiver() as other:
        busy.answer = Answer(delay_seconds=0.02)
        _, _, many = open_webhook(database, busy.url, 3000)
        _, _, (one,) = open_webhook(database, other.url, 1)
        before = []

        def until() -> None:
            other.wait_for(lambda got: len(got) == 1, timeout=60)
            before.append(len(busy.deliveries))

        deliver(database, many, [one], until=until)
    assert before[0] < 1000


def test_claims_that_wait_for_a_slot_are_given_back_and_are_no_attempts(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They wait for longer than a claim may before its send, which begins with a claim of its own."""
    monkeypatch.setitem(send_slots.SHARES, "quick", (1, 1, 1))
    monkeypatch.setattr(sender, "CLAIMED_SECONDS", 0.05)
    with Receiver() as receiver:
        receiver.answer = Answer(delay_seconds=0.04)
        _, _, ids = open_webhook(database, receiver.url, 20)
        idle(database, lambda senders: senders[0].offer(ids))
        assert len(receiver.deliveries) == 20
    assert statuses(database) == {("delivered", 1, 0): 20}


def test_a_worker_takes_what_it_has_room_for_and_leaves_the_rest(database: Database) -> None:
    with Receiver() as receiver:
        _, _, ids = open_webhook(database, receiver.url, sender.SPARE + 20)
        left: list[Any] = []

        def work(senders: list[Sender]) -> None:
            left.append(senders[0].take(ids))
            left.append(senders[0].take(left[0]))

        idle(database, work)
        assert left == [ids[sender.SPARE :]] * 2, "what is on its way into a line counts"
        assert {row["id"] for row in world.rows(database, m.deliveries, status="delivered")} == set(ids)


def test_one_that_stops_takes_nothing(database: Database) -> None:
    async def main() -> None:
        async with outbound.client(allow_loopback=True, allow_private=False) as client:
            one = Sender(database, client)
            await one.stop()
            assert one.take(["dlv_1"]) == ["dlv_1"]

    asyncio.run(main())


def backlog(database: Database, sizes: list[int]) -> list[str]:
    """Webhooks with so many late deliveries each; their ids."""
    holder = world.open_account(database)
    ids = [f"wh_{number:04}" for number in range(len(sizes))]
    hook = {"account_id": holder.account_id, "url": "http://x", "events": '["*"]', "secret": "s"}
    hooks = [{"id": id, "status": "enabled", "created_at": 0, **hook} for id in ids]
    rows = [
        {
            "id": f"dlv_{id}_{number}",
            "event_id": f"evt_{id}_{number}",
            "webhook_id": id,
            "account_id": holder.account_id,
            "test": False,
            "status": "pending",
            "attempts": 0,
            "next_at": 1 + number,
        }
        for id, size in zip(ids, sizes, strict=True)
        for number in range(size)
    ]

    def write(connection: Any) -> None:
        connection.execute(insert(m.webhooks), hooks)
        connection.execute(insert(m.deliveries), rows)

    database.write_sync(write)
    return ids


def counted(database: Database) -> Counter[str]:
    return Counter(id.split("_", 1)[1].rpartition("_")[0] for id in database.read_sync(due.due_ids))


def test_of_each_webhook_a_few_are_found_the_oldest_first_and_in_turn(database: Database) -> None:
    ids = backlog(database, [2000, 3, 1])
    assert counted(database) == {ids[0]: due.EACH, ids[1]: 3, ids[2]: 1}
    found = database.read_sync(due.due_ids)
    assert found[:4] == [f"dlv_{ids[0]}_0", f"dlv_{ids[1]}_0", f"dlv_{ids[2]}_0", f"dlv_{ids[0]}_1"]
    assert database.read_sync(due.due_of, ids[0], 3) == [f"dlv_{ids[0]}_{number}" for number in range(3)]


def test_of_very_many_webhooks_each_is_found(database: Database) -> None:
    ids = backlog(database, [6] * 150)
    assert counted(database) == dict.fromkeys(ids, due.LEAST)


def test_what_is_not_late_or_not_pending_is_not_found(database: Database) -> None:
    backlog(database, [2, 2])
    soon = clock.now_micros() + 60 * clock.MICROS
    database.write_sync(lambda c: c.execute(m.deliveries.update().values(next_at=soon)).rowcount)
    assert database.read_sync(due.due_deliveries) == []
    database.write_sync(lambda c: c.execute(m.deliveries.update().values(next_at=0, status="failed")).rowcount)
    assert database.read_sync(due.due_deliveries) == []


def test_a_webhooks_first_ones_are_found_by_the_index_of_what_waits(database: Database) -> None:
    backlog(database, [3000, 3])
    statement = due._OF_ONE.text.replace(":webhook", "'wh_0001'").replace(":now", "9").replace(":most", "5")
    word = "EXPLAIN QUERY PLAN" if database.is_sqlite else "EXPLAIN"

    def plan(connection: Any) -> str:
        if not database.is_sqlite:
            connection.execute(text("ANALYZE deliveries"))
        return " ".join(str(row) for row in connection.execute(text(f"{word} {statement}")))

    found = database.write_sync(plan)
    assert "deliveries_waiting" in found and "Seq Scan" not in found and "SCAN" not in found
    assert PENDING in statement
