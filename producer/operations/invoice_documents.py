"""Documents of invoices: read with a key or by a signed link, and made of the rows each time."""

import asyncio
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

from sqlalchemy import Connection

from producer.documents import html, pdf
from producer.documents.invoice import InvoiceDocument, document
from shared.db.models import invoices
from shared.errors import NotFound, Unavailable
from shared.money import parties
from shared.money.invoices import with_purchase
from shared.objects.invoices import invoice_object

#: Media types by the name of the format.
MEDIA_TYPES = {"html": "text/html", "pdf": "application/pdf"}
#: Documents that wait to be made, at most, and those of one account; each takes its thread up to a second.
MOST_WAITING, MOST_OF_ACCOUNT = 30, 4
#: How many there are, by account.
_waiting: Counter[str] = Counter()


@dataclass(frozen=True, slots=True)
class Owned:
    """What stands on an invoice, and whose it is."""

    account_id: str
    document: InvoiceDocument


def read(connection: Connection, invoice_id: str, account_id: str | None = None) -> Owned:
    """What stands on an invoice; 404 when the account (None: any) has no such invoice."""
    statement = with_purchase().where(invoices.c.id == invoice_id)
    if account_id is not None:
        statement = statement.where(invoices.c.account_id == account_id)
    found = connection.execute(statement).mappings().first()
    if found is None:
        raise NotFound(f"not found: invoice {invoice_id[:100]!r}")
    row = dict(found)
    return Owned(row["account_id"], document(invoice_object(row), parties.of(connection, row)))


async def rendered(found: Owned, format: str) -> bytes:
    """The document in a format, made on a thread of its own, one after another; 503 when too many wait."""
    if _waiting.total() >= MOST_WAITING or _waiting[found.account_id] >= MOST_OF_ACCOUNT:
        raise Unavailable("too many documents are being made; retry in a few seconds")
    _waiting[found.account_id] += 1
    try:
        return await asyncio.get_running_loop().run_in_executor(_thread(), _render, found.document, format)
    finally:
        _waiting[found.account_id] -= 1
        if not _waiting[found.account_id]:
            del _waiting[found.account_id]


def filename(document: InvoiceDocument, format: str) -> str:
    """What it is called where it is saved."""
    return f"invoice-{document.number}.{format}"


def _render(document: InvoiceDocument, format: str) -> bytes:
    return pdf.render(document) if format == "pdf" else html.render(document).encode()


@cache
def _thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="documents")
