"""Operations on invoices: list, show."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from producer import objects
from producer.objects import Invoice, List
from producer.operations.pages import PageQuery, paged
from producer.operations.usage import Period, read_day
from shared.db.models import invoices
from shared.errors import InvalidRequest, NotFound

#: What an invoice is of: a batch that was paid as it ran, or credit that was bought.
KINDS = ("statement", "purchase")
#: How an invoice stands; statements are always paid.
STATUSES = ("open", "paid", "void", "expired")
_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True)
class Filters:
    """Which invoices are wanted; None: it does not matter. Instants in microseconds."""

    kind: str | None = None
    status: str | None = None
    period: str | None = None
    batch_id: str | None = None
    made_from: int | None = None
    made_before: int | None = None


ALL = Filters()


def read_filters(given: Mapping[str, str | None]) -> Filters:
    """The filters of these parameters, by their names in the API; 400 for what no invoice has."""
    check_one_of("kind", given.get("kind"), KINDS)
    check_one_of("status", given.get("status"), STATUSES)
    period = given.get("period")
    if period is not None and not _MONTH.fullmatch(period):
        raise InvalidRequest(f"period must be a month such as 2026-11, not {period[:50]!r}", param="period")
    since, until = read_day(given.get("from"), "from"), read_day(given.get("to"), "to")
    if since and until and since > until:
        raise InvalidRequest(f"from: {since} is after to ({until})", param="from")
    return Filters(
        kind=given.get("kind"),
        status=given.get("status"),
        period=period,
        batch_id=given.get("batch_id"),
        made_from=None if since is None else Period(since, since).begins,
        made_before=None if until is None else Period(until, until).ends,
    )


def list_invoices(connection: Connection, account_id: str, page: PageQuery, wanted: Filters = ALL) -> List[Invoice]:
    """A page of the account's invoices that fit, newest first."""
    statement = select(invoices).where(invoices.c.account_id == account_id)
    for name in ("kind", "status", "period", "batch_id"):
        if (value := getattr(wanted, name)) is not None:
            statement = statement.where(invoices.c[name] == value)
    if wanted.made_from is not None:
        statement = statement.where(invoices.c.created_at >= wanted.made_from)
    if wanted.made_before is not None:
        statement = statement.where(invoices.c.created_at < wanted.made_before)
    rows = connection.execute(paged(statement, invoices.c.id, page)).mappings()
    return objects.page([objects.invoice_object(dict(row)) for row in rows], page.limit)


def check_one_of(param: str, value: str | None, known: Sequence[str]) -> None:
    """400 for a value that no invoice has."""
    if value is not None and value not in known:
        raise InvalidRequest(f"{param} must be one of {', '.join(known)}, not {value[:50]!r}", param=param)


def show_invoice(connection: Connection, account_id: str, invoice_id: str) -> Invoice:
    """The invoice object; 404 when the account has no such invoice."""
    statement = select(invoices).where(invoices.c.id == invoice_id, invoices.c.account_id == account_id)
    row = connection.execute(statement).mappings().first()
    if row is None:
        raise NotFound(f"not found: invoice {invoice_id[:100]!r}")
    return objects.invoice_object(dict(row))
