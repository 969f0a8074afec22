"""Webhooks: how long after its settling an event is delivered, at 500 events a second, to one webhook and to twenty.

    python -m tests.bench.hooks ACCOUNT…      # a process of its own: settles those accounts' jobs at that pace

From the event's `created_at`, before its COMMIT, to the row's `delivered_at`, after the receiver's answer. The receiver
is the upstream's process: it answers at once, or after 20 ms. A worker process of all queues sends.
"""

import statistics
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from sqlalchemy import insert, select, text

from shared import clock
from shared.broker.bell import bell
from shared.db import Database
from shared.db import models as m
from shared.db.models.jobs import QUEUED
from shared.jobs import transitions
from shared.jobs.outcomes import Ending
from shared.queues import WEBHOOKS
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
RECEIVERS = {"at once": "/v1", "after 20 ms": "/delay/20/v1"}
HOOKS = (1, 20)
ANSWER = '{"choices":[]}'


@dataclass(frozen=True, slots=True)
class Told:
    """Seconds from settled to delivered, and events a second that there really were."""

    middle: float
    late: float
    pace: float


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


def tell(running: Bench, customers: Sequence[Customer], seconds: int) -> Told:
    """Settle jobs of these customers for so many seconds, and see when the events are delivered."""
    each = PER_SECOND * (WARM_SECONDS + seconds) // len(customers)
    for customer in customers:
        running.accept(each, customer=customer)
    accounts = [customer.holder.account_id for customer in customers]
    began = clock.now_micros()
    command = [sys.executable, "-m", "tests.bench.hooks", *accounts]
    subprocess.run(command, env=running.environment, check=True)
    running.until(lambda connection: not connection.execute(_PENDING).first())
    seen = running.database.read_sync(_deliveries, began)
    assert len(seen) == each * len(customers), f"{len(seen)} events"
    assert all(status == "delivered" for status, _, _ in seen)
    measured = [(at, done) for _, at, done in seen if at - seen[0][1] >= WARM_SECONDS * clock.MICROS]
    waits = [(done - at) / clock.MICROS for at, done in measured]
    pace = len(measured) / (measured[-1][0] - measured[0][0]) * clock.MICROS
    return Told(statistics.median(waits), statistics.quantiles(waits, n=100)[98], pace)


_PENDING = select(m.deliveries.c.id).where(m.deliveries.c.status == "pending").limit(1)


def _deliveries(connection: Any, began: int) -> Sequence[Any]:
    columns = (m.deliveries.c.status, m.events.c.created_at, m.deliveries.c.delivered_at)
    statement = select(*columns).join_from(m.deliveries, m.events, m.events.c.id == m.deliveries.c.event_id)
    found: Sequence[Any] = connection.execute(
        statement.where(m.events.c.created_at >= began).order_by(m.events.c.created_at)
    ).all()
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
    """Both receivers, each as one webhook and as twenty, in turn in one stack."""
    kinds = [(count, name) for name in RECEIVERS for count in HOOKS]
    # Not verified: these jobs are ended without a provider, for a charge that is no price.
    with bench(base, check=False, FUSIONAI_WEBHOOKS_ALLOW_LOOPBACK="true") as running:
        of = {
            (count, name): [hooked(running, f"{base}{RECEIVERS[name]}/{number}/hook") for number in range(count)]
            for count, name in kinds
        }
        seen = in_turn(runs, *(lambda kind=kind: tell(running, of[kind], seconds) for kind in kinds))
    for (count, name), told in zip(kinds, seen, strict=True):
        middle, late, pace = (statistics.median(getattr(one, part) for one in told) for part in Told.__slots__)
        hooks = "1 webhook" if count == 1 else f"{count} webhooks"
        what = f"settled to delivered, {PER_SECOND} events/s to {hooks} answering {name}: p99"
        row(what, f"{late:.2f} s", f"{BAR_SECONDS:g} s", late < BAR_SECONDS)
        note(f"p50 {middle:.2f} s, at {pace:,.0f} events/s")


if __name__ == "__main__":
    settle(sys.argv[1:])
