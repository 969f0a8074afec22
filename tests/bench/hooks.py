"""Webhooks: how long after its settling an event is delivered, at 500 events a second, in four shapes.

    python -m tests.bench.hooks ACCOUNT…      # a process of its own: settles those accounts' jobs at that pace

To one webhook, to twenty, to one and twenty that answer after 20 ms, and to one beside 120 that never answer, of as
many accounts. From the event's `created_at`, before its COMMIT, to the row's `delivered_at`, after the receiver's
answer. The receiver is the upstream's process. A worker process of all queues sends; its CPU time is that of all its
threads, from the doorbell to the record.
"""

import statistics
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import Any

from celery import Celery
from sqlalchemy import bindparam, insert, select, text

from shared import clock
from shared.broker.bell import CHUNK, bell
from shared.db import Database
from shared.db import models as m
from shared.db.models.jobs import QUEUED
from shared.jobs import transitions
from shared.jobs.outcomes import Ending
from shared.money.ledger import Book
from shared.queues import TASKS, WEBHOOKS
from shared.settings import settings
from shared.webhooks import signing
from tests.bench.stack import Bench, Customer, bench
from tests.bench.table import in_turn, note, row

BAR_SECONDS = 2.0
PER_SECOND = 500
#: Between two settling transactions, in seconds; as a busy worker's follow each other.
TICK_SECONDS = 0.02
#: Seconds of events that warm the sender up, and are left out.
WARM_SECONDS = 2
ANSWER = '{"choices":[]}'
#: Where the upstream answers a delivery long after its sender has given it up.
NEVER = "/delay/3600000/v1"
#: Events for each webhook that never answers; they are due when the others' begin.
EACH_DEAD = 20


@dataclass(frozen=True, slots=True)
class Shape:
    """Webhooks, how they answer, and how many never do, beside them."""

    what: str
    count: int
    path: str
    dead: int = 0


SHAPES = (
    Shape("to 1 webhook", 1, "/v1"),
    Shape("to 20 webhooks", 20, "/v1"),
    Shape("to 1 webhook answering after 20 ms", 1, "/delay/20/v1"),
    Shape("to 20 webhooks answering after 20 ms", 20, "/delay/20/v1"),
    Shape("to 1 webhook beside 120 that never answer", 1, "/v1", dead=120),
)


@dataclass(frozen=True, slots=True)
class Told:
    """Seconds from settled to delivered, events a second that there really were, microseconds of CPU for each."""

    middle: float
    late: float
    pace: float
    cpu: float


def settle(accounts: Sequence[str]) -> None:
    """End every waiting job of the accounts, each account in turn, PER_SECOND of them a second; and ring for it."""
    database, ring, pause = Database(settings().database_url), bell(), threading.Event()
    due = iter(database.read_sync(_endings, accounts))
    start, settled = clock.monotonic(), 0
    while endings := list(islice(due, max(1, int((clock.monotonic() - start) * PER_SECOND) - settled))):
        ring.ring(WEBHOOKS, database.write_sync(transitions.settle, endings).deliveries)
        settled += len(endings)
        pause.wait(max(0.0, start + settled / PER_SECOND + TICK_SECONDS - clock.monotonic()))
    ring.close()
    database.close()


def _endings(connection: Any, accounts: Sequence[str]) -> list[Ending]:
    waiting = select(m.jobs.c.id, m.jobs.c.lease_epoch).where(text(QUEUED)).order_by(m.jobs.c.id)
    columns = [connection.execute(waiting.where(m.jobs.c.account_id == account)).all() for account in accounts]
    return [
        Ending(id, epoch, "succeeded", came_from="queued", takes=True, response=ANSWER, charge_micros=1)
        for id, epoch in chain.from_iterable(zip(*columns, strict=True))
    ]


def tell(running: Bench, customers: Sequence[Customer], dead: Sequence[Customer], seconds: int) -> Told:
    """Settle jobs of these customers for so many seconds, and see when the events are delivered."""
    each = PER_SECOND * (WARM_SECONDS + seconds) // len(customers)
    for customer in customers:
        running.accept(each, customer=customer)
    accounts = [customer.holder.account_id for customer in customers]
    running.until(lambda connection: connection.execute(select(m.workers.c.id)).first())
    began, spent = clock.now_micros(), running.cpu_seconds("worker0")
    ring(running, running.database.write_sync(_emitted, [customer.holder.account_id for customer in dead]))
    command = [sys.executable, "-m", "tests.bench.hooks", *accounts]
    subprocess.run(command, env=running.environment, check=True)
    running.until(lambda connection: not connection.execute(_PENDING, {"accounts": accounts}).first())
    spent = running.cpu_seconds("worker0") - spent
    seen = running.database.read_sync(_deliveries, accounts, began)
    assert len(seen) == each * len(customers), f"{len(seen)} events"
    assert all(status == "delivered" for status, _, _ in seen)
    measured = [(at, done) for _, at, done in seen if at - seen[0][1] >= WARM_SECONDS * clock.MICROS]
    waits = [(done - at) / clock.MICROS for at, done in measured]
    pace = len(measured) / (measured[-1][0] - measured[0][0]) * clock.MICROS
    late = statistics.quantiles(waits, n=100)[98]
    return Told(statistics.median(waits), late, pace, spent / len(seen) * clock.MICROS)


def ring(running: Bench, deliveries: Sequence[str]) -> None:
    """Ring for deliveries, as whoever settles does."""
    with Celery(broker=running.redis.url) as app:
        for start in range(0, len(deliveries), CHUNK):
            some = list(deliveries[start : start + CHUNK])
            app.send_task(TASKS[WEBHOOKS], args=(WEBHOOKS, some), queue=WEBHOOKS, ignore_result=True)


def _emitted(connection: Any, accounts: Sequence[str]) -> list[str]:
    """Events that are settled for nobody's job: the deliveries of webhooks that never answer."""
    book = Book(connection, accounts)
    for account in [*accounts] * EACH_DEAD:
        book.emit(account, "webhook.test", {})
    return book.close()


_PENDING = (
    select(m.deliveries.c.id)
    .where(m.deliveries.c.status == "pending", m.deliveries.c.account_id.in_(bindparam("accounts", expanding=True)))
    .limit(1)
)


def _deliveries(connection: Any, accounts: Sequence[str], began: int) -> Sequence[Any]:
    columns = (m.deliveries.c.status, m.events.c.created_at, m.deliveries.c.delivered_at)
    statement = select(*columns).join_from(m.deliveries, m.events, m.events.c.id == m.deliveries.c.event_id)
    statement = statement.where(m.events.c.created_at >= began, m.events.c.account_id.in_(accounts))
    found: Sequence[Any] = connection.execute(statement.order_by(m.events.c.created_at)).all()
    return found


def hooked(running: Bench, url: str) -> Customer:
    """A customer whose one webhook is sent every event."""
    customer = running.open_account()
    values = {
        "id": clock.new_id("wh"),
        "account_id": customer.holder.account_id,
        "url": url,
        "events": '["*"]',
        "secret": signing.secret_of(bytes(32)),
        "status": "enabled",
        "created_at": clock.now_micros(),
    }
    running.database.write_sync(lambda connection: connection.execute(insert(m.webhooks), [values]))
    return customer


def hooks_rows(base: str, seconds: int, runs: int) -> None:
    """All shapes in turn, each in a stack of its own: what one leaves undone is not the next one's."""
    for shape, told in zip(
        SHAPES, in_turn(runs, *(partial(_told, base, shape, seconds) for shape in SHAPES)), strict=True
    ):
        middle, late, pace, cpu = (statistics.median(getattr(one, part) for one in told) for part in Told.__slots__)
        what = f"settled to delivered, {PER_SECOND} events/s {shape.what}: p99"
        row(what, f"{late:.3f} s", f"{BAR_SECONDS:g} s", late < BAR_SECONDS)
        note(f"p50 {middle:.3f} s, at {pace:,.0f} events/s, {cpu:,.0f} µs of the worker's CPU an event")


def _told(base: str, shape: Shape, seconds: int) -> Told:
    # Not verified: these jobs are ended without a provider, for a charge that is no price.
    with bench(base, check=False, FUSIONAI_WEBHOOKS_ALLOW_LOOPBACK="true") as running:
        customers = [hooked(running, f"{base}{shape.path}/{number}/hook") for number in range(shape.count)]
        dead = [hooked(running, f"{base}{NEVER}/{number}/hook") for number in range(shape.dead)]
        return tell(running, customers, dead, seconds)


if __name__ == "__main__":
    settle(sys.argv[1:])
