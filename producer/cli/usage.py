"""fusionai usage: what was used and what it cost, on the terminal or as a CSV file."""

import io
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal
from urllib.parse import urlencode

import click

from fusionai.plain import PlainClient
from fusionai.plain.atomic_file import atomic_write
from producer.cli.activity import working
from producer.cli.connection import api_command
from producer.cli.ids import Id
from producer.cli.output import Output, credits_text, moment
from producer.cli.tables import Column, short_id
from producer.cli.usage_groups import every_group, show_groups
from producer.terminal import one_line
from shared.submissions.sizes import MOST_PAGE

_COLUMNS = [
    Column("time", drop=3),
    Column("model"),
    Column("provider", drop=2),
    Column("tokens", right=True, drop=1),
    Column("images", right=True, drop=4),
    Column("credits", right=True),
    Column("job", short=short_id),
]

_SERIES = [
    Column("time"),
    Column("accepted", right=True, drop=2),
    Column("succeeded", right=True),
    Column("failed", right=True, drop=1),
    Column("tokens in", right=True, drop=3),
    Column("tokens out", right=True, drop=4),
    Column("credits", right=True),
]


@click.command()
@click.option(
    "--from", "first", metavar="DAY", help="The first day, UTC, such as 2026-11-01. Default: the first of the month."
)
@click.option("--to", "last", metavar="DAY", help="The last day, UTC. Default: today.")
@click.option("--model", metavar="ID", help="Only what this model did.")
@click.option("--batch", type=Id("batch"), metavar="ID", help="Only the jobs of this batch.")
@click.option(
    "--by",
    metavar="WHAT",
    help="Group by model, key, day or metadata.NAME, or several, separated by commas.  [default: model]",
)
@click.option("--rows", is_flag=True, help="Show a row for each job too, the newest first.")
@click.option("--limit", type=click.IntRange(1, MOST_PAGE), metavar="N", help="How many rows.  [default: 20]")
@click.option("--after", type=Id("usage"), metavar="ID", help="Begin after this row.")
@click.option("--series", type=click.Choice(["minute", "hour", "day"]), help="Show usage over time, until now.")
@click.option("--csv", "target", metavar="FILE", help="Write every row to FILE as CSV; - is standard output.")
@api_command
def usage(
    client: PlainClient,
    output: Output,
    first: str | None,
    last: str | None,
    model: str | None,
    batch: str | None,
    by: str | None,
    rows: bool,
    limit: int | None,
    after: str | None,
    series: Literal["minute", "hour", "day"] | None,
    target: str | None,
) -> None:
    """Show what was used and what it cost, by model, or as --by says."""
    if series is not None:
        if any((first, last, batch, by, rows, limit, after, target)):
            raise click.UsageError("--series goes with --model only")
        _show_series(output, client.usage_series(series, model=model))
        return
    given = {"from": first, "to": last, "model": model, "batch_id": batch, "group_by": by}
    if by is not None and (rows or (limit is not None) or after is not None):
        raise click.UsageError("--by shows every group: it does not go with --rows, --limit or --after")
    if target is not None:
        if output.as_json or limit is not None or after is not None:
            raise click.UsageError("--csv writes every row as CSV: it does not go with --json, --limit or --after")
        _write(client, output, target, given)
        return
    if by is not None:
        report = every_group(client, given)
        output.value(report, lambda: show_groups(output, report))
        return
    wanted: dict[str, Any] = {**given, "limit": limit or 20, "after": after}
    found = client.get("/usage", **wanted)
    output.value(found, lambda: _show(output, found, rows or limit is not None or after is not None))


def _show(output: Output, found: dict[str, Any], with_rows: bool) -> None:
    period = found["period"]
    output.fields(
        {"period": f"{period['from']} to {period['to']}, UTC", "credits": credits_text(found["credits_used"])}
    )
    output.line()
    models = [[row["model"], credits_text(row["credits"])] for row in found["top_models"]]
    output.table(["model", Column("credits", right=True)], models, empty="Nothing was used.")
    if with_rows and found["data"]:
        output.line()
        output.table(_COLUMNS, map(_cells, found["data"]))
        if found["has_more"]:
            output.note(f"More: fusionai usage --after {found['last_id']} with the same options")


def _cells(row: dict[str, Any]) -> list[object]:
    tokens = f"{row['prompt_tokens']} in, {row['completion_tokens']} out"
    cost = credits_text(row["credits_used"])
    return [moment(row["created_at"]), row["model"], row["provider"], tokens, row["images"], cost, row["job_id"]]


def _show_series(output: Output, found: dict[str, Any]) -> None:
    """The intervals in which there was anything, the oldest first."""
    counts = ("accepted", "jobs", "failed", "prompt_tokens", "completion_tokens")
    shown = [one for one in found["data"] if any(one.get(name) for name in counts)]

    def words() -> None:
        rows = [[moment(one["start"]), *_counts(one, counts), credits_text(one["credits"])] for one in shown]
        output.table(_SERIES, rows, empty=f"Nothing was used since {moment(found['since'])}.")

    output.value(found, words)


def _counts(point: dict[str, Any], names: Sequence[str]) -> list[str]:
    return [f"{point[name]:,}" if name in point else "" for name in names]


def _write(client: PlainClient, output: Output, target: str, given: dict[str, str | None]) -> None:
    """Fetch the CSV, whole or not at all."""
    if target != "-":
        with atomic_write(Path(target)) as stream:
            _fetch(client, output, stream, given)
        click.echo(f"{one_line(target)} written", err=True)
        return
    with tempfile.TemporaryFile() as file:
        _fetch(client, output, file, given)
        file.seek(0)
        _print(output, file)


def _print(output: Output, file: BinaryIO) -> None:
    """The bytes as they are; on a terminal as text, without control codes."""
    if not output.is_terminal:
        shutil.copyfileobj(file, sys.stdout.buffer)
        return
    for line in io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace", newline="\n"):
        click.echo(one_line(line.rstrip("\r\n")))


def _fetch(client: PlainClient, output: Output, stream: BinaryIO, given: dict[str, str | None]) -> None:
    query = {name: value for name, value in given.items() if value is not None}
    with working(output, "Downloading the usage", "bytes") as update:
        client._fetch(f"/usage?{urlencode({'format': 'csv', **query})}", stream, lambda done: update(done, None))
