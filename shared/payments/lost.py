"""Payments for invoices that a restore has undone: their provider has the money, and nobody here knows of it."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, func, select

from shared.db import Database
from shared.db.models import audit_log, invoices, number_gaps
from shared.payments.protocol import Payments, ReceivedPayment

#: Invoices that are asked for in one statement.
PAGE: Final = 500


def first_restore(connection: Connection) -> int | None:
    """The earliest moment to which the database was ever restored, in microseconds; None: it never was."""
    earliest = connection.execute(select(func.min(number_gaps.c.restored_to))).scalar()
    return None if earliest is None else int(earliest)


def lost(database: Database, payments: Payments, since: int) -> list[ReceivedPayment]:
    """Payments made since then, in seconds, of invoices that are not here; but for those that were granted by hand."""
    found = sorted(payments.received(since), key=lambda one: one.at)
    known: set[str] = set()
    for at in range(0, len(found), PAGE):
        known |= database.read_sync(_known, found[at : at + PAGE])
    return [one for one in found if not {one.invoice_id, one.payment} & known]


def _known(connection: Connection, found: Sequence[ReceivedPayment]) -> set[str]:
    """Of these, the invoices that are here, and the payments that are the reference of something an operator did."""
    here = select(invoices.c.id).where(invoices.c.id.in_([one.invoice_id for one in found]))
    done = select(audit_log.c.reference).where(audit_log.c.reference.in_([one.payment for one in found]))
    return {*connection.execute(here).scalars(), *connection.execute(done).scalars()}
