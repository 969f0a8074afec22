"""Operations on invoices: list, show, buy credits, void."""

from typing import Any

from pydantic import Field
from sqlalchemy import Connection

from producer import objects
from producer.objects import Invoice, List
from producer.operations.pages import PageQuery, paged
from shared import clock
from shared.db.models import invoices
from shared.errors import Conflict, InvalidRequest, NotFound
from shared.money import purchases
from shared.money.invoices import with_purchase
from shared.settings import settings
from shared.submissions.schemas import Shape, read_labels

#: What an invoice is of: a batch that was paid as it ran, or credit that was bought.
KINDS = ("statement", "purchase")


class PurchaseSpec(Shape):
    """The body of POST /invoices. `credits`: a whole number."""

    credits: int = Field(ge=1, le=10**9)
    description: str | None = Field(default=None, min_length=1, max_length=500)
    metadata: Any = None
    #: Save the way to pay, so that automatic top-ups may be charged to it.
    save_payment_method: bool = False


def list_invoices(
    connection: Connection, account_id: str, page: PageQuery, *, kind: str | None = None, batch_id: str | None = None
) -> List[Invoice]:
    """A page of the account's invoices, newest first; of one kind, of one batch."""
    statement = with_purchase().where(invoices.c.account_id == account_id)
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
    statement = with_purchase().where(invoices.c.id == invoice_id, invoices.c.account_id == account_id)
    row = connection.execute(statement).mappings().first()
    if row is None:
        raise NotFound(f"not found: invoice {invoice_id[:100]!r}")
    return objects.invoice_object(dict(row))


def read_purchase(spec: PurchaseSpec) -> purchases.NewPurchase:
    """What is bought; 400 outside the bounds of one purchase."""
    least, most = settings().purchase_least_credits, settings().purchase_most_credits
    if not least <= spec.credits <= most:
        raise InvalidRequest(f"credits must be from {least:,} to {most:,} in one purchase", param="credits")
    micros = spec.credits * clock.MICROS
    purchases.price_of(micros)
    return purchases.NewPurchase(
        micros=micros,
        provider=settings().payments,
        description=spec.description,
        metadata=read_labels(spec.metadata),
        saves_method=spec.save_payment_method,
    )


def check_voidable(connection: Connection, account_id: str, invoice_id: str) -> None:
    """404 for an invoice that is not the account's, 409 for one that is not an open purchase."""
    found = show_invoice(connection, account_id, invoice_id)
    if found["kind"] != "purchase" or found["status"] not in ("open", "void"):
        raise Conflict(f"only an open purchase can be voided; this is a {found['kind']} that is {found['status']}")


def void_invoice(connection: Connection, account_id: str, invoice_id: str) -> Invoice:
    """Void an open purchase, which is then never paid; one that is void already stays as it is."""
    check_voidable(connection, account_id, invoice_id)
    purchases.close(connection, invoice_id, "void")
    check_voidable(connection, account_id, invoice_id)
    return show_invoice(connection, account_id, invoice_id)
