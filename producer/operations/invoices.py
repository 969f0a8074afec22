"""Operations on invoices: list, show."""

from sqlalchemy import Connection, select

from producer import objects
from producer.objects import Invoice, List
from producer.operations.pages import PageQuery, paged
from shared.db.models import invoices
from shared.errors import InvalidRequest, NotFound

#: What an invoice is of: a batch that was paid as it ran, or credit that was bought.
KINDS = ("statement", "purchase")


def list_invoices(
    connection: Connection, account_id: str, page: PageQuery, *, kind: str | None = None, batch_id: str | None = None
) -> List[Invoice]:
    """A page of the account's invoices, newest first; of one kind, of one batch."""
    statement = select(invoices).where(invoices.c.account_id == account_id)
    check_kind(kind)
    if kind is not None:
        statement = statement.where(invoices.c.kind == kind)
    if batch_id is not None:
        statement = statement.where(invoices.c.batch_id == batch_id)
    rows = connection.execute(paged(statement, invoices.c.id, page)).mappings()
    return objects.page([objects.invoice_object(dict(row)) for row in rows], page.limit)


def check_kind(kind: str | None) -> None:
    """400 for a kind that no invoice has."""
    if kind is not None and kind not in KINDS:
        raise InvalidRequest(f"kind must be one of {', '.join(KINDS)}, not {kind[:50]!r}", param="kind")


def show_invoice(connection: Connection, account_id: str, invoice_id: str) -> Invoice:
    """The invoice object; 404 when the account has no such invoice."""
    statement = select(invoices).where(invoices.c.id == invoice_id, invoices.c.account_id == account_id)
    row = connection.execute(statement).mappings().first()
    if row is None:
        raise NotFound(f"not found: invoice {invoice_id[:100]!r}")
    return objects.invoice_object(dict(row))
