"""Invoices: numbered documents. A statement moves no money, since its jobs were charged as they ran."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Select, insert, select

from shared import clock
from shared.db import counters
from shared.db.models import invoices, purchases
from shared.money import parties
from shared.money.ledger import Book
from shared.objects.addresses import invoice_url
from shared.objects.invoices import InvoiceLine, invoice_line, invoice_object, line_micros
from shared.strict_json import dumps

#: The counter that invoice numbers come from.
NUMBERS = "invoice_number"

#: Columns of a purchase that are read together with its invoice's.
OF_PURCHASE = tuple(column for column in purchases.c if column.name not in ("invoice_id", "account_id"))


def with_purchase() -> Select[Any]:
    """A selection of invoices as `invoice_object` takes them: a purchase's with what is known of its payment."""
    joined = invoices.outerjoin(purchases, purchases.c.invoice_id == invoices.c.id)
    return select(invoices, *OF_PURCHASE).select_from(joined)


def state(
    book: Book, connection: Connection, account_id: str, batch_id: str, lines: Sequence[Mapping[str, Any]]
) -> str:
    """Write the statement of a batch, paid as it is made, and tell of it in the open book; its id.

    `lines`: what its jobs used and were charged (`charged_micros`), one for each model that served.
    """
    return _state(book, connection, account_id, [invoice_line(line) for line in lines], batch_id=batch_id)


def state_month(book: Book, connection: Connection, account_id: str, period: str, lines: Sequence[InvoiceLine]) -> str:
    """Write the statement of a calendar month (`2026-11`), paid as it is made, and tell of it; its id."""
    return _state(book, connection, account_id, lines, period=period)


def _state(
    book: Book,
    connection: Connection,
    account_id: str,
    lines: Sequence[InvoiceLine],
    *,
    batch_id: str | None = None,
    period: str | None = None,
) -> str:
    row = {
        "id": clock.new_id("inv"),
        "account_id": account_id,
        "number": counters.next_number(connection, NUMBERS),
        "kind": "statement",
        "status": "paid",
        "batch_id": batch_id,
        "period": period,
        "lines": dumps(list(lines)),
        "parties": dumps(parties.now(connection, account_id)),
        "total_micros": sum(map(line_micros, lines)),
        "created_at": book.now,
        "paid_at": book.now,
    }
    connection.execute(insert(invoices), [row])
    for type in ("invoice.created", "invoice.paid"):
        book.emit(account_id, type, {"invoice": invoice_object(row), "url": invoice_url(str(row["id"]))})
    return str(row["id"])
