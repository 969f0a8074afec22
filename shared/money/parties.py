"""Who sells and who buys, as their details stand on an invoice: the operator's settings, and those of the account."""

import json
from collections.abc import Mapping
from typing import Any, NotRequired

from sqlalchemy import Connection, select, update
from typing_extensions import TypedDict

from shared.db.models import accounts
from shared.errors import InvalidRequest, NotFound
from shared.settings import settings
from shared.strict_json import dumps

#: Characters of each detail, and lines of an address.
MOST_CHARACTERS, MOST_LINES = 500, 10


class Party(TypedDict):
    """One side of an invoice; a detail that is not known is empty. The address may have several lines."""

    name: str
    address: str
    tax_id: str


class Parties(TypedDict):
    """Both sides, and what the seller wants at the foot of each page."""

    seller: Party
    buyer: Party
    footer: str
    #: Whom the buyer asks how to pay; empty: it is not said.
    contact: NotRequired[str]


def now(connection: Connection, account_id: str) -> Parties:
    """Both as their details are now; kept with an invoice when it is made, since what changes later is not its."""
    own = settings()
    return {
        "seller": {
            "name": own.invoice_seller_name,
            "address": own.invoice_seller_address.replace("\\n", "\n"),
            "tax_id": own.invoice_seller_tax_id,
        },
        "buyer": buyer(connection, account_id),
        "footer": own.invoice_footer,
        "contact": own.payment_contact,
    }


def of(connection: Connection, invoice: Mapping[str, Any]) -> Parties:
    """Both as they were when the invoice was made; of one that an earlier version made, as they are now."""
    today = now(connection, invoice["account_id"])
    kept = json.loads(invoice["parties"] or "{}")
    return {
        "seller": {**today["seller"], **kept.get("seller", {})},
        "buyer": {**today["buyer"], **kept.get("buyer", {})},
        "footer": kept.get("footer", today["footer"]),
        "contact": kept.get("contact", today["contact"]),
    }


def buyer(connection: Connection, account_id: str) -> Party:
    """The details of an account; its own name unless it has another for invoices. 404 without such an account."""
    row = connection.execute(select(accounts.c.name, accounts.c.billing).where(accounts.c.id == account_id)).first()
    if row is None:
        raise NotFound(f"not found: account {account_id}")
    own: Party = {"name": row.name, "address": "", "tax_id": ""}
    return {**own, **json.loads(row.billing or "{}")}


def set_buyer(
    connection: Connection, account_id: str, *, name: str | None, address: str | None, tax_id: str | None
) -> None:
    """Change what is given; an empty name is the account's own again. Invoices that were made stay as they are."""
    changed = {"name": name, "address": address, "tax_id": tax_id}
    given = {key: _checked(key, value) for key, value in changed.items() if value is not None}
    statement = select(accounts.c.billing).where(accounts.c.id == account_id).with_for_update()
    row = connection.execute(statement).first()
    if row is None:
        raise NotFound(f"not found: account {account_id}")
    billing = {**json.loads(row.billing or "{}"), **given}
    kept = {key: value for key, value in billing.items() if value}
    connection.execute(
        update(accounts).where(accounts.c.id == account_id).values(billing=dumps(kept) if kept else None)
    )


def _checked(key: str, value: str) -> str:
    text = value.replace("\r\n", "\n").strip()
    if len(text) > MOST_CHARACTERS or text.count("\n") >= (MOST_LINES if key == "address" else 1):
        raise InvalidRequest(f"{key}: at most {MOST_CHARACTERS} characters, and {MOST_LINES} lines of an address")
    if any(character < " " and character != "\n" for character in text):
        raise InvalidRequest(f"{key}: control characters are not allowed")
    return text
