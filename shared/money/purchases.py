"""Purchases of credit: made, paid, closed. Each change compares and sets the invoice's status, in one transaction.

An invoice's row is locked before the account's, and that before its wish for top-ups. Money that has arrived is never
lost: a payment that its provider proves is granted, once, also for an invoice that had expired or was voided meanwhile.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, func, insert, select, update

from shared import clock, db
from shared.db import counters
from shared.db.models import auto_top_ups, invoices, purchases
from shared.errors import Conflict, InvalidRequest, NotFound
from shared.money import parties
from shared.money.invoices import NUMBERS, with_purchase
from shared.money.ledger import Book
from shared.objects.addresses import invoice_url
from shared.objects.invoices import Invoice, amount_line, invoice_object
from shared.settings import settings
from shared.strict_json import dumps

log = logging.getLogger(__name__)

#: Purchases of an account that may be open at a time.
MOST_OPEN: Final = 20
#: The largest price, in the currency's minor unit: Stripe's bound of eight digits.
MOST_AMOUNT: Final = 99_999_999
#: How long whoever made an invoice has for having its payment begun, before the sweeper sees to it, in seconds.
BEGIN_SECONDS: Final = 30


@dataclass(frozen=True, slots=True)
class NewPurchase:
    """What is bought: whole credits in micro-credits, and what the customer says of it."""

    micros: int
    provider: str
    description: str | None = None
    metadata: Mapping[str, str] | None = None
    saves_method: bool = False
    auto_top_up: bool = False
    #: `checkout` or `saved`.
    method: str = "checkout"


def price_of(micros: int) -> tuple[int | None, str | None]:
    """The price of credits in the currency's minor unit, rounded up, and the currency; None for both: none is set."""
    if not settings().price_amount:
        return None, None
    amount = -(-micros * settings().price_amount // (settings().price_credits * 1_000_000))
    if amount > MOST_AMOUNT:
        raise InvalidRequest(f"credits: the price of {amount:,} is above {MOST_AMOUNT:,}; buy fewer", param="credits")
    return amount, settings().price_currency


def create(connection: Connection, account_id: str, wanted: NewPurchase) -> tuple[Invoice, list[str]]:
    """Make an open invoice and tell of it; the invoice, and the deliveries now due."""
    amount, currency = price_of(wanted.micros)
    book = Book(connection, [account_id])
    book.unheld(account_id)  # locked from here on: two at once are not both the last one allowed
    if not wanted.auto_top_up and open_count(connection, account_id) >= MOST_OPEN:
        raise Conflict(f"an account can have at most {MOST_OPEN} open invoices; pay or void one first")
    invoice: dict[str, Any] = {
        "id": clock.new_id("inv"),
        "account_id": account_id,
        "number": counters.next_number(connection, NUMBERS),
        "kind": "purchase",
        "status": "open",
        "batch_id": None,
        "lines": dumps([amount_line("purchase", "Prepaid credits", wanted.micros)]),
        "parties": dumps(parties.now(connection, account_id)),
        "total_micros": wanted.micros,
        "created_at": book.now,
        "paid_at": None,
    }
    purchase: dict[str, Any] = {
        "invoice_id": invoice["id"],
        "account_id": account_id,
        "description": wanted.description,
        "labels": dumps(dict(wanted.metadata)) if wanted.metadata is not None else None,
        "amount": amount,
        "currency": currency,
        "provider": wanted.provider,
        "method": wanted.method,
        "saves_method": wanted.saves_method,
        "auto_top_up": wanted.auto_top_up,
        "open_top_up": wanted.auto_top_up,
        "ask_at": None if wanted.provider == "manual" else _first_ask(db.now(connection), wanted),
    }
    connection.execute(insert(invoices), [invoice])
    connection.execute(insert(purchases), [purchase])
    made = shown(connection, invoice["id"])
    _emit(book, account_id, "invoice.created", made)
    return made, book.close()


def shown(connection: Connection, invoice_id: str) -> Invoice:
    """The invoice object of a purchase."""
    return invoice_object(locked(connection, invoice_id))


def found(connection: Connection, invoice_id: str) -> dict[str, Any] | None:
    """The row of a purchase's invoice, locked until the transaction ends, with the columns of its purchase.

    They are read when the lock is there: a statement that waits for one reads other rows as they were before.
    """
    mine = (invoices.c.id == invoice_id, invoices.c.kind == "purchase")
    if connection.execute(select(invoices.c.id).where(*mine).with_for_update()).first() is None:
        return None
    return dict(connection.execute(with_purchase().where(*mine)).mappings().one())


def locked(connection: Connection, invoice_id: str) -> dict[str, Any]:
    """The same; NotFound, and Conflict for a statement."""
    row = found(connection, invoice_id)
    if row is not None:
        return row
    kind = connection.execute(select(invoices.c.kind).where(invoices.c.id == invoice_id)).scalar()
    if kind is None:
        raise NotFound(f"not found: invoice {invoice_id[:100]!r}")
    raise Conflict(f"invoice {invoice_id} is a {kind}, paid as its jobs ran: there is nothing to pay or decide")


def open_count(connection: Connection, account_id: str) -> int:
    """How many purchases of an account are open; by these alone, of however many invoices of batches."""
    mine = select(func.count()).where(purchases.c.account_id == account_id, purchases.c.closed_at.is_(None))
    return int(connection.execute(mine).scalar_one())


def pay(
    connection: Connection,
    invoice_id: str,
    *,
    note: str | None = None,
    payment: str | None = None,
    proven: bool = False,
) -> list[str]:
    """Grant what an open invoice buys, or one that expired unpaid; the deliveries now due. A paid one stays as it is.

    `payment`: the provider's id of the payment. `proven`: its provider says that the money is there, which is granted
    for an invoice that was voided, too; otherwise such a one is a 409.
    """
    row = locked(connection, invoice_id)
    if row["status"] == "paid":
        if payment and row["payment"] != payment:  # by another page, or beside an operator's word
            log.error("invoice %s was paid twice: give back payment %s at its provider", invoice_id, payment)
        return []
    if row["status"] == "void" and not proven:
        raise Conflict(f"invoice {invoice_id} is {row['status']} and cannot be paid")
    if row["status"] != "open":
        log.warning("invoice %s was %s, but has been paid: its credits are granted", invoice_id, row["status"])
    now = clock.now_micros()
    if not _change(connection, row, now, "paid", paid_at=now):
        raise Conflict(f"invoice {invoice_id} was changed at the same moment; try again")
    of_purchase = {"payment": payment or row["payment"], "note": note or row["note"], "problem": None}
    of_purchase["doubt"] = _still_doubted(row, payment)
    connection.execute(of_invoice(invoice_id).values(**of_purchase))
    account_id = row["account_id"]
    book = Book(connection, [account_id], now=now)
    resume_top_ups(connection, account_id)
    book.grant(account_id, row["total_micros"], ("invoice", invoice_id), note)
    _emit(book, account_id, "invoice.paid", shown(connection, invoice_id))
    return book.close()


def _still_doubted(row: Mapping[str, Any], payment: str | None) -> str | None:
    """The doubt of an invoice that is paid now: of another payment, which is to be given back; else None."""
    doubt: str | None = row["doubt"]
    return doubt if doubt and payment and json.loads(doubt)["payment"] != payment else None


def close(connection: Connection, invoice_id: str, status: str, *, problem: str | None = None) -> bool:
    """End an open invoice as `void` or `expired`, unpaid; whether it was this that did.

    One whose page has expired may be voided still: to void it is to have its page expire, of which its provider tells.
    """
    row = locked(connection, invoice_id)
    closable = ("open", "expired") if status == "void" else ("open",)
    if row["status"] not in closable or not _change(connection, row, clock.now_micros(), status):
        return False
    if problem is not None:
        connection.execute(of_invoice(invoice_id).values(problem=problem))
    if row["auto_top_up"]:
        stop_top_ups(connection, row["account_id"], problem or f"the invoice of the last one is {status}, unpaid")
    return True


def fail(connection: Connection, invoice_id: str, problem: str, reference: str) -> list[str]:
    """An attempt to pay an open invoice has failed for good: tell of it, and let the next attempt be begun.

    Nothing, where the attempt of this reference is not the one that is under way: it has been told already.
    """
    row = locked(connection, invoice_id)
    if row["status"] != "open" or (row["reference"] or reference) != reference:
        return []
    now = db.now(connection)
    fresh = {"attempt": row["attempt"] + 1, "method": "checkout", "reference": None, "url": None, "begun_at": None}
    connection.execute(of_invoice(invoice_id).values(**fresh, expires_at=None, problem=problem, ask_at=now))
    account_id = row["account_id"]
    book = Book(connection, [account_id], now=now)
    if row["auto_top_up"]:
        stop_top_ups(connection, account_id, problem)
    _emit(book, account_id, "invoice.payment_failed", shown(connection, invoice_id))
    return book.close()


def stop_top_ups(connection: Connection, account_id: str, why: str) -> None:
    """Make no further automatic top-ups for an account, until a purchase of it is paid or its wish is changed."""
    mine = update(auto_top_ups).where(auto_top_ups.c.account_id == account_id, auto_top_ups.c.stopped.is_(None))
    connection.execute(mine.values(stopped=why))


def resume_top_ups(connection: Connection, account_id: str) -> None:
    """Make automatic top-ups again, where they were stopped."""
    mine = update(auto_top_ups).where(auto_top_ups.c.account_id == account_id, auto_top_ups.c.stopped.is_not(None))
    connection.execute(mine.values(stopped=None))


def _change(connection: Connection, row: Mapping[str, Any], now: int, status: str, **more: Any) -> bool:
    """Set an invoice's status, if it is still the one that was seen; its purchase is over with it."""
    mine = update(invoices).where(invoices.c.id == row["id"], invoices.c.status == row["status"])
    if connection.execute(mine.values(status=status, **more)).rowcount != 1:
        return False
    connection.execute(of_invoice(row["id"]).values(open_top_up=False, ask_at=None, closed_at=now))
    return True


def _first_ask(now: int, wanted: NewPurchase) -> int:
    """A saved way to pay is charged by the sweeper, at once; a page to pay at is made by whoever made the invoice."""
    return now if wanted.method == "saved" or wanted.auto_top_up else now + BEGIN_SECONDS * clock.MICROS


def of_invoice(invoice_id: str) -> Any:
    """An update of a purchase's row."""
    return update(purchases).where(purchases.c.invoice_id == invoice_id)


def _emit(book: Book, account_id: str, type: str, made: Invoice) -> None:
    book.emit(account_id, type, {"invoice": made, "url": invoice_url(made["id"])})
