"""Routes of usage, as JSON or CSV, and of invoices."""

from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from producer import objects
from producer.dialects.fusionai import invoice_documents
from producer.operations import invoice_documents as documents
from producer.operations import invoices, usage, usage_csv, usage_groups, usage_series
from producer.operations.invoice_documents import MEDIA_TYPES
from producer.operations.usage import Selection, read_period
from producer.web import formats
from producer.web.request import answer, check_live, enter, page_of
from producer.web.router import Router
from producer.web.rows import JSON, PAGE, Answer, Row, Schema, binary, one, query
from shared.errors import Forbidden, InvalidRequest, NotFound
from shared.key_holders import KeyHolder

router = Router()

_TEXT: Schema = {"type": "string", "minLength": 1, "maxLength": 200}
_GROUPS: Schema = {"type": "string", "minLength": 1, "maxLength": 300, "examples": ["key,metadata.team"]}
_SECONDS: Schema = {"type": "integer", "minimum": 0, "maximum": 9_999_999_999}
_DAY: Schema = {"type": "string", "format": "date"}
_MONTH: Schema = {"type": "string", "pattern": "^[0-9]{4}-(0[1-9]|1[0-2])$"}

#: Parameters by which invoices are filtered.
_FILTERS = ("kind", "status", "period", "batch_id", "from", "to")
#: Characters of a name to filter by.
MOST_NAME = 200
#: The answer depends on it.
_VARY = {"Vary": "Accept"}


@router.get(
    "/usage",
    doc=Row(
        "Usage",
        {
            200: Answer(
                "The totals of the period and a page of its rows; as CSV, all rows of the period. With `group_by`, "
                "groups instead of rows.",
                {JSON: objects.UsageReport | objects.UsageGroups, "text/csv": {"type": "string"}},
                ("Vary", "Content-Disposition"),
            )
        },
        parameters=(
            *PAGE,
            query("from", _DAY, "The first day, in UTC. Default: the first day of the current month."),
            query("to", _DAY, "The last day, in UTC, inclusive. Default: today."),
            query("model", _TEXT, "Only usage of this model."),
            query("batch_id", _TEXT, "Only usage of this batch."),
            query(
                "group_by",
                _GROUPS,
                "The sums by `model`, `key`, `day` or a label (`metadata.team`), or by several, separated by commas.",
            ),
            query("format", {"type": "string", "enum": ["json", "csv"]}, "Default: as the Accept header says."),
        ),
    ),
)
async def show_usage(request: Request) -> Response:
    """Get the usage of a period in the key's mode (live or test): totals, and rows or groups of them."""
    context, holder = await enter(request)
    page, rest = page_of(request, "from", "to", "model", "batch_id", "format", "group_by")
    wanted = _selection(holder, rest)
    by = usage_groups.read_dimensions(rest["group_by"]) if "group_by" in rest else ()
    if formats.wanted(request, rest.get("format"), {"csv": "text/csv"}) == "json":
        if by:
            return answer(await usage_groups.page(context.database, wanted, by, page), _VARY)
        return answer(await usage.page(context.database, wanted, page), _VARY)
    for param in ("limit", "after", "order"):
        if param in request.query_params:
            raise InvalidRequest(
                f"{param} is not supported with CSV: the response has all rows of the period, oldest first", param=param
            )
    chunks = usage_csv.chunks(context.database, wanted) if not by else usage_csv.groups(context.database, wanted, by)
    first = await anext(chunks)  # before the status line: a database that is away is a 503
    disposition = {"Content-Disposition": f'attachment; filename="{usage_csv.filename(wanted)}"'}
    return StreamingResponse(_joined(first, chunks), 200, {**_VARY, **disposition}, "text/csv; charset=utf-8")


@router.get(
    "/usage/series",
    doc=Row(
        "Usage",
        one("A point for each interval.", objects.UsageSeries),
        parameters=(
            query("interval", {"type": "string", "enum": [*usage_series.SECONDS]}, "Default: hour."),
            query(
                "since",
                _SECONDS,
                "The first time. Default: an hour, a day or 30 days before the end; at most 6 hours, 7 or 400 days.",
            ),
            query("until", _SECONDS, "The end. Default: now."),
            query("model", _TEXT, "Only usage of this model."),
            query("key_id", _TEXT, "Only usage of this API key."),
        ),
    ),
)
async def show_usage_series(request: Request) -> Response:
    """Get usage over time, by minute, hour or day: jobs, credits and tokens in the key's mode (live or test)."""
    context, holder = await enter(request)
    given = dict(request.query_params)
    if unknown := given.keys() - {"interval", "since", "until", "model", "key_id"}:
        name = min(unknown)[:100]
        raise InvalidRequest(f"{name}: unknown parameter", param=name)
    wanted = usage_series.read_wanted(holder, given)
    return answer(await context.database.read(usage_series.read, wanted))


@router.get(
    "/invoices",
    doc=Row(
        "Usage",
        one("A page of invoices.", objects.List[objects.Invoice]),
        parameters=(
            *PAGE,
            query("kind", {"type": "string", "enum": [*invoices.KINDS]}, "Only invoices of this kind."),
            query("status", {"type": "string", "enum": [*invoices.STATUSES]}, "Only invoices with this status."),
            query("period", _MONTH, "Only the statement of this calendar month, such as `2026-11`."),
            query("batch_id", _TEXT, "Only invoices of this batch."),
            query("from", _DAY, "Only invoices made on this day, in UTC, or later."),
            query("to", _DAY, "Only invoices made on this day, in UTC, or earlier."),
        ),
        errors=(Forbidden,),
    ),
)
async def list_invoices(request: Request) -> Response:
    """List invoices, newest first."""
    context, holder = await enter(request)
    page, rest = page_of(request, *_FILTERS)
    given = {name: _name(rest, name) for name in _FILTERS}
    wanted = invoices.read_filters(given)
    check_live(holder)
    return answer(await context.database.read(invoices.list_invoices, holder.account_id, page, **wanted))


@router.get(
    "/invoices/{invoice_id}",
    doc=Row(
        "Usage",
        {
            200: Answer(
                "The invoice, or its document.",
                {
                    JSON: objects.Invoice,
                    MEDIA_TYPES["html"]: invoice_documents.PAGE_OF_HTML,
                    **binary(MEDIA_TYPES["pdf"]),
                },
                ("Vary", "Content-Disposition"),
            )
        },
        parameters=(
            query("format", {"type": "string", "enum": ["json", *MEDIA_TYPES]}, "Default: as the Accept header says."),
        ),
        errors=(NotFound, Forbidden),
    ),
)
async def show_invoice(request: Request, invoice_id: str) -> Response:
    """Get an invoice, as JSON or as a document: HTML or PDF."""
    context, holder = await enter(request)
    format = formats.wanted(request, request.query_params.get("format"), MEDIA_TYPES)
    check_live(holder)
    if format == "json":
        found = await context.database.read(invoices.show_invoice, holder.account_id, invoice_id)
        return answer(found, _VARY)
    owned = await context.database.read(documents.read, invoice_id, holder.account_id)
    return await invoice_documents.respond(owned, format, vary=True)


def _selection(holder: KeyHolder, given: dict[str, str]) -> Selection:
    period = read_period(given.get("from"), given.get("to"))
    return Selection(holder.account_id, holder.test, period, _name(given, "model"), _name(given, "batch_id"))


def _name(given: dict[str, str], param: str) -> str | None:
    name = given.get(param)
    if name is not None and not 0 < len(name) <= MOST_NAME:
        raise InvalidRequest(f"{param} must be 1 to {MOST_NAME} characters long", param=param)
    return name


async def _joined(first: str, rest: AsyncIterator[str]) -> AsyncIterator[str]:
    yield first
    async for chunk in rest:
        yield chunk
