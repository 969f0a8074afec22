"""Documents of invoices: read with a key or by a signed link, and made of the rows each time."""

import asyncio
import math
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

from sqlalchemy import Connection

from producer.admission.fair_share import Buckets
from producer.documents import html, pdf
from producer.documents.invoice import InvoiceDocument, document
from shared.db.models import invoices
from shared.errors import NotFound, RateLimited, Unavailable
from shared.money import parties
from shared.money.invoices import with_purchase
from shared.objects.invoices import invoice_object

#: Media types by the name of the format.
MEDIA_TYPES = {"html": "text/html", "pdf": "application/pdf"}
#: Documents that wait to be made, at most, and those of one account; each takes its thread up to a second.
MOST_WAITING, MOST_OF_ACCOUNT = 30, 4
#: PDFs of an account's invoices that a process makes in a minute: each is up to a second of what it can do in all.
PDFS_PER_MINUTE = 60
_pdfs = Buckets()
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
    """The document in a format, made on a thread of its own, one after another; 503 when too many wait.

    429 for an account for which many PDFs have been made: those of a link need no key, and count as well.
    """
    if _waiting.total() >= MOST_WAITING or _waiting[found.account_id] >= MOST_OF_ACCOUNT:
        raise Unavailable("too many documents are being made; retry in a few seconds")
    if format == "pdf" and (seconds := _pdfs.take(found.account_id, PDFS_PER_MINUTE)) is not None:
        said = f"rate limit exceeded: {PDFS_PER_MINUTE} PDFs of invoices per minute"
        raise RateLimited(f"{said}; retry in {math.ceil(seconds)} s", retry_after_seconds=math.ceil(seconds))
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
