"""Operations on invoices: list, show, buy credits, void."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field
from sqlalchemy import Connection, select
from typing_extensions import TypedDict, Unpack

from producer import objects
from producer.objects import Invoice, List
from producer.operations.pages import PageQuery, paged
from producer.operations.usage import Period, read_day
from shared import clock
from shared.db.models import invoices
from shared.db.models import purchases as purchase_rows
from shared.errors import Conflict, InvalidRequest, NotFound
from shared.money import purchases
from shared.money.invoices import with_purchase
from shared.settings import settings
from shared.submissions.schemas import Shape, read_labels

#: What an invoice is of: a batch that was paid as it ran, or credit that was bought.
KINDS = ("statement", "purchase")
#: How an invoice stands; statements are always paid.
STATUSES = ("open", "paid", "void", "expired")
#: Filters that are the value of a column.
_COLUMNS = ("kind", "status", "period", "batch_id")
_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")


#: Purchases of an account in a minute: each may be a call of the payment provider.
BOUGHT_PER_MINUTE = 60


class PurchaseSpec(Shape):
    """The body of POST /invoices. `credits`: a whole number."""

    credits: int = Field(ge=1, le=10**9)
    description: str | None = Field(default=None, min_length=1, max_length=500)
    metadata: Any = None
    #: Save the way to pay, so that automatic top-ups may be charged to it.
    save_payment_method: bool = False


class InvoiceFilters(TypedDict, total=False):
    """Which invoices are wanted; None, or absent: it does not matter. Instants in microseconds."""

    kind: str | None
    status: str | None
    period: str | None
    batch_id: str | None
    made_from: int | None
    made_before: int | None


def read_filters(given: Mapping[str, str | None]) -> InvoiceFilters:
    """The filters of these parameters, by their names in the API; 400 for what no invoice has."""
    check_one_of("kind", given.get("kind"), KINDS)
    check_one_of("status", given.get("status"), STATUSES)
    period = given.get("period")
    if period is not None and not _MONTH.fullmatch(period):
        raise InvalidRequest(f"period must be a month such as 2026-11, not {period[:50]!r}", param="period")
    since, until = read_day(given.get("from"), "from"), read_day(given.get("to"), "to")
    if since and until and since > until:
        raise InvalidRequest(f"from: {since} is after to ({until})", param="from")
    return {
        "kind": given.get("kind"),
        "status": given.get("status"),
        "period": period,
        "batch_id": given.get("batch_id"),
        "made_from": None if since is None else Period(since, since).begins,
        "made_before": None if until is None else Period(until, until).ends,
    }


def list_invoices(
    connection: Connection, account_id: str, page: PageQuery, **wanted: Unpack[InvoiceFilters]
) -> List[Invoice]:
    """A page of the account's invoices that fit, newest first."""
    statement = with_purchase().where(invoices.c.account_id == account_id)
    equal = {name: value for name, value in wanted.items() if name in _COLUMNS and value is not None}
    statement = statement.where(*(invoices.c[name] == value for name, value in equal.items()))
    if (made_from := wanted.get("made_from")) is not None:
        statement = statement.where(invoices.c.created_at >= made_from)
    if (made_before := wanted.get("made_before")) is not None:
        statement = statement.where(invoices.c.created_at < made_before)
    rows = connection.execute(paged(statement, invoices.c.id, page)).mappings()
    return objects.page([objects.invoice_object(dict(row)) for row in rows], page.limit)


def check_one_of(param: str, value: str | None, known: Sequence[str]) -> None:
    """400 for a value that no invoice has."""
    if value is not None and value not in known:
        raise InvalidRequest(f"{param} must be one of {', '.join(known)}, not {value[:50]!r}", param=param)


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
    """404 for an invoice that is not the account's, 409 for one that is no purchase, or paid."""
    found = show_invoice(connection, account_id, invoice_id)
    if found["kind"] != "purchase" or found["status"] == "paid":
        raise Conflict(f"only an unpaid purchase can be voided; this is a {found['kind']} that is {found['status']}")
    doubt = select(purchase_rows.c.doubt).where(purchase_rows.c.invoice_id == invoice_id)
    if connection.execute(doubt).scalar() is not None:
        raise Conflict(f"a payment of invoice {invoice_id} is not its price; the operator of this server has to decide")


def void_invoice(connection: Connection, account_id: str, invoice_id: str) -> Invoice:
    """Void a purchase that is not paid, and then never is; one that is void already stays as it is."""
    check_voidable(connection, account_id, invoice_id)
    purchases.close(connection, invoice_id, "void")
    check_voidable(connection, account_id, invoice_id)
    return show_invoice(connection, account_id, invoice_id)
