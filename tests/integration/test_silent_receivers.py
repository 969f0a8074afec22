"""One receiver that answers beside 120 that never do: what its events cost is counted, since times depend on machines.

Measured before: its first send waited behind all the silent ones' first, its second among them once more; its
deliveries were claimed eight at a time; and each ring of the sweeper looked up all ids that waited already.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import insert, update

from shared import clock
from shared.db import Database
from shared.db import models as m
from shared.queues import WEBHOOKS
from shared.settings import settings
from shared.webhooks import events
from shared.webhooks.events import NewEvent
from tests.conditions import eventually
from tests.integration import world
from tests.integration.test_delivering import open_webhook
from tests.receiver import Answer, Delivery, Receiver
from workers.maintenance.sweep import Sweeper
from workers.webhooks import client as outbound
from workers.webhooks import due, send_slots
from workers.webhooks.lines import FEW_DUE, DeliveryLine
from workers.webhooks.receivers import ReceiverState
from workers.webhooks.sender import Sender

SILENT, EACH, EVENTS = 120, 3, 500


class Counted:
    """The transactions of a database, by the name of what is done in each."""

    def __init__(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        self.of: Counter[str] = Counter()
        for name in ("read", "write"):
            monkeypatch.setattr(database, name, self._counting(getattr(database, name)))

    def _counting(self, work: Callable[..., Any]) -> Callable[..., Any]:
        async def run(fn: Callable[..., Any], *args: Any) -> Any:
            self.of[fn.__name__] += 1
            return await work(fn, *args)

        return run


def path_decides(delivery: Delivery) -> Answer:
    return Answer(delay_seconds=3600) if delivery.path.startswith("/silent") else Answer()


def of(deliveries: Any, path: str) -> list[Delivery]:
    return [one for one in deliveries if one.path.startswith(path)]


def test_one_that_answers_is_not_kept_waiting_by_those_that_do_not(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.settings_allow_loopback(monkeypatch)
    with Receiver() as receiver:
        receiver.answer = path_decides
        base = receiver.url.removesuffix("/hook")
        silent = [open_webhook(database, f"{base}/silent/{n}", EACH)[2] for n in range(SILENT)]
        _, _, good = open_webhook(database, f"{base}/good", EVENTS)

        async def main() -> None:
            async with outbound.client(allow_loopback=True, allow_private=False) as client:
                sender = Sender(database, client)
                for ids in silent:
                    sender.offer(ids)
                await asyncio.to_thread(receiver.wait_for, lambda got: len(of(got, "/silent")) >= 25)
                counted = Counted(database, monkeypatch)
                sender.offer(good)
                await asyncio.to_thread(receiver.wait_for, lambda got: len(of(got, "/good")) == EVENTS, 60)
                claims, lookups = counted.of["claim"], counted.of["webhooks_of"]
                for ids in [*silent, *silent]:  # as the sweeper rings, again and again
                    sender.offer([id for id in ids if id in sender._waiting])
                await asyncio.wait([asyncio.ensure_future(sender._sort([], weight=1))])
                assert counted.of["webhooks_of"] == lookups, "what waits here is not looked up again"
                for task in list(sender._tasks):
                    task.cancel()
                # Each silent one has at most one claim of its own; the rest are the good one's.
                assert claims <= SILENT + EVENTS // 10 and lookups <= 5

        asyncio.run(main())
        first_each = Counter(one.path for one in of(receiver.deliveries, "/silent"))
        assert max(first_each.values()) <= 1, "of one that has not answered yet, one send is under way"


def test_a_receiver_that_has_answered_waits_no_longer_among_the_new_ones() -> None:
    """The new ones' places are all taken, by sends that hang."""

    async def main() -> None:
        slots = send_slots.SendSlots()
        hanging = [send_slots.ReceiverState(f"a{n}", f"https://h{n}.example/") for n in range(300)]
        entering = [asyncio.create_task(slots.enter(one)) for one in hanging]
        good = send_slots.ReceiverState("good", "https://good.example/")
        first = asyncio.create_task(slots.enter(good))
        await asyncio.sleep(0)
        good.learn(outbound.SendResult(200, b"", 0.01))
        async with asyncio.timeout(10):
            assert (await first).kind == "quick"
        assert not good.on_change and sum(task.done() for task in entering) == send_slots.SHARES["fresh"][0]
        for task in entering:
            task.cancel()

    asyncio.run(main())


def test_the_sweeper_rings_seldom_for_what_receivers_keep_waiting(database: Database, passing_time: None) -> None:
    holder = world.open_account(database)
    hook = {"account_id": holder.account_id, "url": "http://x", "events": '["*"]', "secret": "s"}
    hooks = [{"id": f"wh_{n:03}", "status": "enabled", "created_at": 0, **hook} for n in range(10)]
    database.write_sync(lambda connection: connection.execute(insert(m.webhooks), hooks).rowcount)
    new = [NewEvent(holder.account_id, n + 1, "webhook.test", {}) for n in range(8)]
    database.write_sync(events.write, new, clock.now_micros())
    bell = world.RecordedBell()
    sweeper = Sweeper(database, bell)
    for _ in range(60):
        clock.shift(clock.MICROS)
        sweeper.ring_due_deliveries()
    rings = Counter(bell.ids(WEBHOOKS))
    assert len(rings) == len(database.read_sync(due.due_ids)) == 80 and max(rings.values()) <= 9


def test_callbacks_to_a_host_that_does_not_answer_do_not_hide_those_to_others(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are an account's, found in one order: so many to a silent host, which are not sent for long, came first."""
    world.settings_allow_loopback(monkeypatch)
    monkeypatch.setattr(settings(), "webhook_timeout_seconds", 0.5)
    holder = world.open_account(database)
    with Receiver() as silent:
        silent.answer = Answer(delay_seconds=3600)
        new = [NewEvent(holder.account_id, n + 1, "webhook.test", {}, callback_url=silent.url) for n in range(200)]
        ids = database.write_sync(events.write, new, clock.now_micros())
        again = NewEvent(holder.account_id, 201, "webhook.test", {}, callback_url="http://127.0.0.1:1/other")
        (other,) = database.write_sync(events.write, [again], clock.now_micros())
        tried = update(m.deliveries).where(m.deliveries.c.id == other).values(next_at=1, attempts=1)
        database.write_sync(lambda connection: connection.execute(tried).rowcount)
        assert other not in database.read_sync(due.due_ids)

        async def main() -> None:
            async with outbound.client(allow_loopback=True, allow_private=False) as client:
                sender = Sender(database, client)
                sender.offer(ids)
                await eventually(lambda: known(sender, "silent"))
                monkeypatch.setattr(settings(), "webhook_timeout_seconds", 60)
                sender.offer(database.read_sync(due.due_ids))  # as the sweeper rings
                await eventually(lambda: found(database, other))
                (line,) = sender._lines.values()
                assert FEW_DUE - 20 <= len(line.waiting) == len(line.where) <= FEW_DUE, "some were sent meanwhile"
                for task in list(sender._tasks):
                    task.cancel()

        asyncio.run(main())
    later = [row for row in world.rows(database, m.deliveries) if row["next_at"] > clock.now_micros()]
    assert len([row for row in later if row["attempts"] == 0]) >= 200 - FEW_DUE - 20


def test_a_host_whose_first_answer_takes_a_moment_has_nothing_put_off() -> None:
    host = ReceiverState("acct_1", "http://example.com/hook")
    line = DeliveryLine(host, "callbacks", shares=True)
    for number in range(FEW_DUE + 10):
        line.put(f"dlv_{number}")
    host.mark_slow()
    assert host.kind == "silent" and line.crowd() == [], "it may answer yet"
    host.learn(outbound.timed_out(30.0))
    assert line.crowd() == [f"dlv_{number}" for number in reversed(range(FEW_DUE, FEW_DUE + 10))]


async def known(sender: Sender, kind: str) -> bool | None:
    """Whether what is sent to is known to be so, by a send that came to nothing."""
    return [line.receiver.kind for line in sender._lines.values() if line.receiver.failures] == [kind] or None


async def found(database: Database, id: str) -> bool | None:
    """Whether the sweeper finds a delivery that is due."""
    return id in await asyncio.to_thread(database.read_sync, due.due_ids) or None
