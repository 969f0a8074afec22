"""Routes of the documents of invoices: PDF, links that a browser opens, and what such a link opens."""

from starlette.requests import Request
from starlette.responses import Response

from producer import objects
from producer.context import Context
from producer.documents import html, links
from producer.operations import invoice_documents
from producer.operations.invoice_documents import MEDIA_TYPES, Owned
from producer.web.request import answer, check_live, enter
from producer.web.router import Router
from producer.web.rows import Answer, Row, Schema, binary, one, query
from shared.errors import Forbidden, NotFound

router = Router()

#: The page itself: an HTML document as text.
PAGE_OF_HTML: Schema = {"type": "string"}
_PART_OF_LINK = {"type": "string"}


@router.get(
    "/invoices/{invoice_id}/pdf",
    doc=Row(
        "Usage",
        {200: Answer("The invoice as a PDF.", binary(MEDIA_TYPES["pdf"]), ("Content-Disposition",))},
        errors=(NotFound, Forbidden),
    ),
)
async def show_pdf(request: Request, invoice_id: str) -> Response:
    """Get an invoice as a PDF."""
    context, holder = await enter(request)
    check_live(holder)
    found = await context.database.read(invoice_documents.read, invoice_id, holder.account_id)
    return await respond(found, "pdf")


@router.get(
    "/invoices/{invoice_id}/links",
    doc=Row("Usage", one("The links.", objects.InvoiceLinks), errors=(NotFound, Forbidden)),
)
async def show_links(request: Request, invoice_id: str) -> Response:
    """Get links to an invoice's document that open in a browser without a key for a day."""
    context, holder = await enter(request)
    check_live(holder)
    await context.database.read(invoice_documents.read, invoice_id, holder.account_id)
    return answer(links.make(invoice_id))


@router.get(
    "/documents/{name}",
    doc=Row(
        "Usage",
        {
            200: Answer(
                "The document.",
                {MEDIA_TYPES["html"]: PAGE_OF_HTML, **binary(MEDIA_TYPES["pdf"])},
                ("Content-Disposition",),
            )
        },
        parameters=(
            query("expires", _PART_OF_LINK, "Part of the signed link."),
            query("signature", _PART_OF_LINK, "Part of the signed link."),
        ),
        errors=(NotFound,),
        keyless=True,
    ),
)
async def show_document(request: Request, name: str) -> Response:
    """Get the document of an invoice through its signed link (no API key)."""
    context: Context = request.app.state.context
    expires, signature = (request.query_params.get(part, "") for part in ("expires", "signature"))
    opened = links.opened(name, expires, signature)
    if opened is None:
        raise NotFound("document not found, or the link has expired")
    found = await context.database.read(invoice_documents.read, opened[0])
    return await respond(found, opened[1])


async def respond(found: Owned, format: str, vary: bool = False) -> Response:
    """The document as an answer that a browser shows. `vary`: the Accept header had a say in the format."""
    content = await invoice_documents.rendered(found, format)
    headers = {
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, no-store",
        "Referrer-Policy": "no-referrer",
        "Content-Security-Policy": html.policy() if format == "html" else "default-src 'none'; frame-ancestors 'none'",
        "Content-Disposition": f'inline; filename="{invoice_documents.filename(found.document, format)}"',
    }
    media_type = MEDIA_TYPES[format] + ("; charset=utf-8" if format == "html" else "")
    return Response(content, headers=headers | ({"Vary": "Accept"} if vary else {}), media_type=media_type)
