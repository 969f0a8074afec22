"""fusionai invoices: statements of what was used, and purchases of credits, which operators may mark paid."""

from pathlib import Path
from typing import Any

import click

from fusionai.plain import PlainClient
from producer.cli.connection import api_command
from producer.cli.groups import DefaultGroup, loaded
from producer.cli.ids import Id
from producer.cli.output import Output, Verbatim, credits_text, moment, price_text
from producer.cli.tables import Column, short_id
from shared.submissions.sizes import MOST_PAGE

_COLUMNS = [
    Column("number", right=True),
    Column("date", drop=1),
    Column("kind"),
    Column("status", drop=2, styled=True),
    Column("month"),
    Column("total", right=True),
    Column("id", short=short_id, cut=9),
]
_LINE_COLUMNS = [
    Column("for"),
    Column("jobs", right=True),
    Column("prompt tokens", right=True, drop=2),
    Column("completion tokens", right=True, drop=3),
    Column("images", right=True, drop=1),
    Column("credits", right=True),
]


@click.group(cls=DefaultGroup)
def invoices() -> None:
    """List invoices, show one; buy credits, void, pay."""


for name in ("doubts", "settle", "lost", "pay"):
    invoices.add_command(loaded(f"producer.cli.payment_doubts:{name}"))


@invoices.command("list")
@click.option(
    "--limit", type=click.IntRange(1, MOST_PAGE), metavar="N", default=20, show_default=True, help="How many."
)
@click.option("--after", type=Id("invoice"), metavar="ID", help="Begin after this invoice.")
@click.option("--kind", type=click.Choice(["statement", "purchase"]), help="Only statements, or only purchases.")
@click.option("--status", type=click.Choice(["open", "paid", "void", "expired"]), help="Only those with this status.")
@click.option("--month", metavar="YYYY-MM", help="Only the statement of this calendar month, UTC.")
@click.option("--batch", type=Id("batch"), metavar="ID", help="Only the statement of this batch.")
@click.option("--from", "first", metavar="DAY", help="Only those made on this day (2026-11-21, UTC) or later.")
@click.option("--to", "last", metavar="DAY", help="Only those made on this day or earlier.")
@api_command
def list_invoices(
    client: PlainClient,
    output: Output,
    limit: int,
    after: str | None,
    kind: str | None,
    status: str | None,
    month: str | None,
    batch: str | None,
    first: str | None,
    last: str | None,
) -> None:
    """List invoices, the newest first."""
    wanted: dict[str, Any] = {"kind": kind, "status": status, "period": month, "batch_id": batch}
    wanted.update({"from": first, "to": last})
    page = client.get("/invoices", limit=limit, after=after, **wanted)

    def words() -> None:
        output.table(_COLUMNS, [_cells(row) for row in page["data"]], empty="No invoices.")
        if page["has_more"]:
            output.note(f"More: fusionai invoices list --after {page['last_id']}")

    output.value(page, words)


def _cells(row: dict[str, Any]) -> list[object]:
    made, total = moment(row["created_at"]).partition(" ")[0], credits_text(row["total"])
    return [row["number"], made, row["kind"], row["status"], row.get("period"), total, row["id"]]


@invoices.command("show")
@click.argument("id", type=Id("invoice"))
@click.option("--pdf", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write it as a PDF.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write it as HTML.")
@click.option("--link", is_flag=True, help="Links that open in a browser without a key, for a day.")
@api_command
def show_invoice(client: PlainClient, output: Output, id: str, pdf: Path | None, html: Path | None, link: bool) -> None:
    """Show an invoice, a line for each model; or write it as a document."""
    if link:
        links = client.invoice_links(id)
        output.value(links, lambda: output.fields({"pdf": Verbatim(links["pdf"]), "html": Verbatim(links["html"])}))
        return
    if pdf is not None:
        client.invoice_document(id, pdf, "pdf")
        output.note(f"{pdf} written")
    if html is not None:
        client.invoice_document(id, html, "html")
        output.note(f"{html} written")
    if pdf is None and html is None:
        found = client.invoice(id)
        output.value(found, lambda: _show(output, found))


@invoices.command("buy")
@click.argument("credits", type=click.IntRange(1, 10**9))
@click.option("--description", metavar="TEXT", help="What the invoice says of it.")
@click.option("--save", is_flag=True, help="Save the way to pay, for automatic top-ups.")
@api_command
def buy(client: PlainClient, output: Output, credits: int, description: str | None, save: bool) -> None:
    """Buy credits: make an invoice, and say where it is paid."""
    more: dict[str, Any] = {"description": description} if description else {}
    made = client.buy_credits(credits, save_payment_method=save, **more)
    output.value(made, lambda: _show(output, made))


@invoices.command("void")
@click.argument("id", type=Id("invoice"))
@api_command
def void(client: PlainClient, output: Output, id: str) -> None:
    """Void a purchase that is not paid."""
    gone = client.void_invoice(id)
    output.value(gone, lambda: output.line(f"invoice {gone['number']} is {gone['status']}"))


def _show(output: Output, found: dict[str, Any]) -> None:
    purchase = {
        "description": found.get("description"),
        "price": price_text(found.get("price")),
        "pay at": found.get("checkout_url"),
        "pay by": moment(found.get("expires_at")) or None,
        "last try": found.get("payment_error"),
        "refunded": price_text(found.get("refunded")),
    }
    output.fields(
        {
            "id": found["id"],
            "number": found["number"],
            "kind": found["kind"],
            "status": found["status"],
            "month": found.get("period"),
            "batch": found["batch_id"],
            "created": moment(found["created_at"]),
            "paid": moment(found["paid_at"]) or None,
            "credits": credits_text(found["credits"]),
            **purchase,
        }
    )
    if found["kind"] == "purchase":
        if (said := found.get("how_to_pay")) and not found.get("checkout_url"):
            output.line()
            output.prose(said)
        return
    names = ("jobs", "prompt_tokens", "completion_tokens", "images")
    rows = [
        [line.get("description") or line.get("model"), *map(line.get, names), credits_text(line.get("credits"))]
        for line in found["lines"]
    ]
    if rows:
        output.line()
        output.table(_LINE_COLUMNS, rows)
