"""What follows when the database was put back to an earlier moment: nothing that was given out since comes twice.

A restored backup, and a replica that was promoted without the last commits, know nothing of what happened after their
moment; receivers, customers and workers do. So events and invoices go on with numbers that none has had, and no worker
of before holds a job. Each step may be done while the system runs, and again: who dies on the way begins anew.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Connection, delete, func, insert, select, update

from shared import audit, clock, db
from shared.audit import Action
from shared.db import Database, counters
from shared.db.models import accounts, console_sessions, events, invoices, jobs, number_gaps, workers
from shared.db.models.events import INVOICES
from shared.errors import Conflict
from shared.jobs import disowning
from shared.money.invoices import NUMBERS
from shared.settings import settings

#: Events that one account can have had in a second, which is more than a whole system of many machines makes
#: (deploy/capacity.md); and invoices of all.
MOST_EVENTS: Final = 10_000
MOST_INVOICES: Final = 1
#: How far numbers go on at least, and to which multiples, so that people see where they do.
EVENTS_APART: Final = 1_000_000
INVOICES_APART: Final = 1000
#: In which time before the moment invoices are counted, in days: each day since may have had as many.
INVOICE_DAYS: Final = 30
#: Accounts in one transaction.
CHUNK: Final = 200


@dataclass(frozen=True, slots=True)
class Restored:
    """What was done. `restored_to`: the moment, in microseconds."""

    restored_to: int
    leases: int
    jobs: int
    accounts: int
    #: The last invoice number before, and the first after.
    last_invoice: int
    next_invoice: int
    sessions: int


def settle(
    database: Database, action: Action, *, restored_to: int | None = None, next_invoice: int | None = None
) -> Restored:
    """Do all of it.

    `restored_to`: the moment, in microseconds; None: the newest that the rows know of. `next_invoice`: the number of
    the next invoice, where it is known; Conflict when it is one that was given out.
    """
    known = database.read_sync(moment)
    to = known if restored_to is None else min(restored_to, known)
    last, next = database.write_sync(_leave_out_invoices, to, next_invoice)
    leases = database.write_sync(disowning.end_leases)
    raised = _raise_epochs(database)
    count = _leave_out_sequences(database, to)
    return database.write_sync(_end, action, Restored(to, leases, raised, count, last, next, 0))


def moment(connection: Connection) -> int:
    """The newest instant that the rows know of, in microseconds; a system that runs writes one every few seconds."""
    beat = connection.execute(select(func.max(workers.c.lease_until))).scalar()
    told = connection.execute(select(func.max(events.c.created_at))).scalar()
    job = connection.execute(select(func.max(jobs.c.id))).scalar()
    lease = round(settings().lease_seconds * clock.MICROS)
    found = [*([] if beat is None else [int(beat) - lease]), *([] if told is None else [int(told)])]
    if job is not None:
        found.append((int(job.partition("_")[2], 16) >> 80) * clock.MICROS // 1000)
    now = db.now(connection)
    return min(max(found, default=now), now)


def _raise_epochs(database: Database) -> int:
    raised, after = 0, disowning.FIRST
    while True:
        some, further = database.write_sync(disowning.raise_epochs, after)
        raised += some
        if further is None:
            return raised
        after = further


def _leave_out_sequences(database: Database, restored_to: int) -> int:
    count, after = 0, ""
    while ids := database.write_sync(_next_sequences, restored_to, after):
        count, after = count + len(ids), ids[-1]
    return count


def _next_sequences(connection: Connection, restored_to: int, after: str) -> list[str]:
    """Leave numbers out for the next CHUNK accounts; their ids."""
    now = db.now(connection)
    page = select(accounts.c.id, accounts.c.sequence, accounts.c.test_sequence).where(accounts.c.id > after)
    rows = connection.execute(page.order_by(accounts.c.id).limit(CHUNK).with_for_update()).all()
    apart = MOST_EVENTS * _seconds(restored_to, now)
    gaps: list[dict[str, Any]] = []
    for row in rows:
        to = {name: beyond(getattr(row, name), apart, EVENTS_APART) for name in ("sequence", "test_sequence")}
        connection.execute(update(accounts).where(accounts.c.id == row.id).values(to))
        for name, last in to.items():
            gaps.append(_gap(row.id, name == "test_sequence", getattr(row, name), last, restored_to, now))
    if gaps:
        connection.execute(insert(number_gaps), gaps)
    return [row.id for row in rows]


def _leave_out_invoices(connection: Connection, restored_to: int, next: int | None) -> tuple[int, int]:
    """The last number before, and the next."""
    last = counters.last_number(connection, NUMBERS)
    if next is not None and next <= last:
        raise Conflict(f"invoice {next} was given out already; the next is {last + 1} at least")
    now = db.now(connection)
    if next is None:
        since = restored_to - INVOICE_DAYS * 86_400 * clock.MICROS
        lately = connection.execute(select(func.count()).where(invoices.c.created_at > since)).scalar_one()
        seconds = _seconds(restored_to, now)
        next = beyond(last, seconds * MOST_INVOICES + -(-seconds // 86_400) * lately, INVOICES_APART) + 1
    if next > last + 1:
        counters.leave_out(connection, NUMBERS, next - 1)
        connection.execute(insert(number_gaps), [_gap(INVOICES, False, last, next - 1, restored_to, now)])
    return last, next


def _gap(owner: str, test: bool, before: int, last: int, restored_to: int, now: int) -> dict[str, Any]:
    span = {"first": before + 1, "last": last}
    return {"owner": owner, "test": test, **span, "restored_to": restored_to, "made_at": now}


def beyond(number: int, apart: int, round_to: int) -> int:
    """The multiple that is above a number by so much at least, and by one multiple at least."""
    return -(-(number + max(apart, round_to)) // round_to) * round_to


def _seconds(since: int, now: int) -> int:
    return max(now - since, 0) // clock.MICROS + 1


def _end(connection: Connection, action: Action, done: Restored) -> Restored:
    """Sign everybody out of the console, and write it all down."""
    sessions = connection.execute(delete(console_sessions)).rowcount
    after = {"restored_to": clock.seconds(done.restored_to), "next_invoice_number": done.next_invoice}
    before = {"last_invoice_number": done.last_invoice}
    audit.record(connection, action, None, ("database", "restored"), before=before, after=after)
    return replace(done, sessions=sessions)
