"""Payments that are not the price of their invoice: kept with the invoice until an operator has decided about them.

Nothing is granted by such a payment, and its account's automatic top-ups rest meanwhile. `accept`: it will do; the
invoice is paid by it, as if it had been the price. `given_back`: the operator has given the money back at the provider;
an invoice that is open is voided. Either way top-ups go on.
"""

import json
from typing import Any, Final

from sqlalchemy import Connection, select

from shared.db.models import invoices, purchases
from shared.errors import Conflict
from shared.money.purchases import close, locked, of_invoice, pay, resume_top_ups, stop_top_ups
from shared.strict_json import dumps

#: Doubts that are listed.
MOST: Final = 100


def note(connection: Connection, invoice_id: str, payment: str, said: str) -> None:
    """Keep a payment that is not the price: an operator has to look, and the provider is not asked again."""
    row = locked(connection, invoice_id)
    doubt = dumps({"payment": payment, "said": said})
    connection.execute(of_invoice(invoice_id).values(problem=said, ask_at=None, doubt=doubt))
    if row["auto_top_up"]:
        stop_top_ups(connection, row["account_id"], f"a payment of invoice {invoice_id} is not its price")


def all_of(connection: Connection) -> list[dict[str, Any]]:
    """The invoices with such payments, of all accounts: `invoice_id`, `account_id`, `status`, `payment`, `said`."""
    statement = (
        select(purchases.c.invoice_id, purchases.c.account_id, invoices.c.status, purchases.c.doubt)
        .join_from(purchases, invoices, invoices.c.id == purchases.c.invoice_id)
        .where(purchases.c.doubt.is_not(None))
        .order_by(purchases.c.invoice_id)
        .limit(MOST)
    )
    rows = (dict(row) for row in connection.execute(statement).mappings())
    return [{**row, **json.loads(row.pop("doubt"))} for row in rows]


def accept(connection: Connection, invoice_id: str, note: str) -> list[str]:
    """Grant what the invoice buys, for the payment that is in doubt; the deliveries now due."""
    row, doubt = _doubted(connection, invoice_id)
    if row["status"] == "paid":
        raise Conflict(
            f"invoice {invoice_id} is paid already; give back payment {doubt['payment']} at its provider, then say so "
            f"(--given-back)"
        )
    due = pay(connection, invoice_id, note=note, payment=doubt["payment"], proven=True)
    connection.execute(of_invoice(invoice_id).values(doubt=None))
    return due


def given_back(connection: Connection, invoice_id: str, note: str) -> list[str]:
    """The payment that is in doubt has been given back at its provider; nothing is granted for it."""
    row, _ = _doubted(connection, invoice_id)
    if row["status"] != "paid":
        close(connection, invoice_id, "void", problem=f"the payment was given back: {note}")
    connection.execute(of_invoice(invoice_id).values(doubt=None))
    resume_top_ups(connection, row["account_id"])
    return []


def _doubted(connection: Connection, invoice_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    row = locked(connection, invoice_id)
    if row["doubt"] is None:
        raise Conflict(f"no payment of invoice {invoice_id} is in doubt")
    return row, json.loads(row["doubt"])
