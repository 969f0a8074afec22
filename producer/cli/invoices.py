"""fusionai invoices: statements of what was used, and purchases of credits."""

from typing import Any

import click

from producer.cli.connection import api_command
from producer.cli.groups import DefaultGroup
from producer.cli.output import Output, credits_text, moment
from producer.cli.tables import Column, short_id
from producer.client import FusionAI
from shared.submissions.sizes import MOST_PAGE

_COLUMNS = [
    Column("number", right=True),
    Column("time", drop=1),
    Column("kind"),
    Column("status", drop=2, styled=True),
    Column("credits", right=True),
    Column("id", short=short_id),
]
_LINE_COLUMNS = [
    Column("model"),
    Column("jobs", right=True),
    Column("prompt tokens", right=True, drop=2),
    Column("completion tokens", right=True, drop=3),
    Column("images", right=True, drop=1),
    Column("credits", right=True),
]


@click.group(cls=DefaultGroup)
def invoices() -> None:
    """List invoices, or show one."""


@invoices.command("list")
@click.option(
    "--limit", type=click.IntRange(1, MOST_PAGE), metavar="N", default=20, show_default=True, help="How many."
)
@click.option("--after", metavar="ID", help="Begin after this invoice.")
@click.option("--kind", type=click.Choice(["statement", "purchase"]), help="Only statements, or only purchases.")
@click.option("--batch", metavar="ID", help="Only the statement of this batch.")
@api_command
def list_invoices(
    client: FusionAI, output: Output, limit: int, after: str | None, kind: str | None, batch: str | None
) -> None:
    """List invoices, the newest first."""
    page = client.get("/invoices", limit=limit, after=after, kind=kind, batch_id=batch)

    def words() -> None:
        rows = [
            [i["number"], moment(i["created_at"]), i["kind"], i["status"], credits_text(i["credits"]), i["id"]]
            for i in page["data"]
        ]
        output.table(_COLUMNS, rows, empty="No invoices.")
        if page["has_more"]:
            output.note(f"More: fusionai invoices list --after {page['last_id']}")

    output.value(page, words)


@invoices.command("show")
@click.argument("id")
@api_command
def show_invoice(client: FusionAI, output: Output, id: str) -> None:
    """Show an invoice, a line for each model."""
    found = client.invoice(id)
    output.value(found, lambda: _show(output, found))


def _show(output: Output, found: dict[str, Any]) -> None:
    output.fields(
        {
            "id": found["id"],
            "number": found["number"],
            "kind": found["kind"],
            "status": found["status"],
            "batch": found["batch_id"],
            "created": moment(found["created_at"]),
            "paid": moment(found["paid_at"]) or None,
            "credits": credits_text(found["credits"]),
        }
    )
    names = ("model", "jobs", "prompt_tokens", "completion_tokens", "images")
    rows = [[*(line.get(name) for name in names), credits_text(line.get("credits"))] for line in found["lines"]]
    if rows:
        output.line()
        output.table(_LINE_COLUMNS, rows)
