"""fusionai batch, batches: the progress and the results of batches."""

import json
import shlex
from pathlib import Path
from typing import Any, get_args

import click

from fusionai.plain import Batch, PlainClient
from fusionai.plain.objects import BatchProgress
from producer.cli import labels
from producer.cli.connection import api_command
from producer.cli.faults import listed
from producer.cli.follow import Targets, follow, resumable, shown
from producer.cli.ids import Id
from producer.cli.labels import metadata_option
from producer.cli.output import Output, awaited, credits_text, moment
from producer.cli.summary import failures, finish, provider_rows, retrying
from producer.cli.tables import Column, short_id
from shared.objects.batches import BatchStatus
from shared.submissions.sizes import MOST_PAGE

_STATUS = click.Choice(get_args(BatchStatus))
_COLUMNS = [
    Column("id", short=short_id),
    Column("status", styled=True),
    Column("lines", right=True, drop=2),
    Column("succeeded", right=True),
    Column("failed", right=True),
    Column("credits", right=True, drop=1),
    Column("created", drop=3),
]

_ERRORS = [
    Column("lines", right=True),
    Column("reason"),
    Column("status", right=True, drop=2),
    Column("first line", drop=1),
    Column("retry helps", drop=3),
    Column("message", text=True),
]


@click.command()
@click.argument("id", type=Id("batch"))
@click.option("--wait", is_flag=True, help="Wait for the results and write them to files.")
@click.option("-o", "--output", "target", type=click.Path(dir_okay=False, path_type=Path), help="Where the answers go.")
@click.option("--errors", is_flag=True, help="Show why lines failed, grouped by reason, so far.")
@api_command
def batch(client: PlainClient, output: Output, id: str, wait: bool, target: Path | None, errors: bool) -> None:
    """Show a batch, or wait for its results.

    With --wait the answers are written to ID.out.jsonl and the errors to ID.errors.jsonl; exit status 3 when some lines
    failed.
    """
    if errors:
        grouped = client.batch_errors(id)
        output.value(grouped, lambda: _show_errors(output, grouped))
        return
    if not (wait or target):
        found, progress = client.batch(id), client.progress_or_none(id)
        output.value({**found, "progress": progress}, lambda: _show(output, found, progress))
        return
    targets = Targets.of(target or Path(f"{id}.out.jsonl"))
    with resumable(targets, lambda: id, ""):
        with shown(output) as show:
            followed = follow(client, id, show)
        finish(client, output, followed, targets)


@click.command()
@click.option(
    "--limit", type=click.IntRange(1, MOST_PAGE), metavar="N", default=20, show_default=True, help="How many."
)
@click.option("--after", type=Id("batch"), metavar="ID", help="Begin after this batch.")
@click.option("--status", type=_STATUS, metavar="STATUS", help="Only batches with this status, such as in_progress.")
@metadata_option("Only batches with this label; may be repeated.")
@api_command
def batches(
    client: PlainClient, output: Output, limit: int, after: str | None, status: str | None, metadata: dict[str, str]
) -> None:
    """List batches, the newest first."""
    page = client.batches(limit=limit, after=after, status=status, metadata=metadata)

    def words() -> None:
        rows = [_row(found) for found in page["data"]]
        output.table(_COLUMNS, rows, empty="No batches.")
        if page["has_more"]:
            asked = [*([f"--status={status}"] if status else []), *labels.as_words(metadata)]
            output.note(f"More: {shlex.join(['fusionai', 'batches', *asked, '--after', str(page['last_id'])])}")

    output.value(page, words)


def _row(found: dict[str, Any]) -> list[object]:
    counts, cost = found["request_counts"], credits_text(found["credits_used"])
    numbers = [f"{counts[name]:,}" for name in ("total", "completed", "failed")]
    return [found["id"], found["status"], *numbers, cost, moment(found["created_at"])]


def _show(output: Output, found: Batch, progress: BatchProgress | None) -> None:
    counts, usage = found["request_counts"], found["usage"]
    refused = found["status"] == "failed" and not counts["total"]  # no line of its file was made, nor counted
    times = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")
    heads: list[tuple[str, object]] = [
        ("id", found["id"]),
        ("retry of", found.get("retry_of")),
        ("status", found["status"]),
        ("endpoint", found["endpoint"]),
        ("model", found["model"]),
        ("lines", None if refused else f"{counts['total']:,}"),
        ("succeeded", None if refused else f"{counts['completed']:,}"),
        *failures(counts["failed"], progress["reasons"] if progress else ()),
        *provider_rows(progress["providers"] if progress else ()),
    ]
    rest: dict[str, object] = {
        "credits": f"{credits_text(found['credits_used'])} used, {credits_text(found['credits_held'])} held",
        "hold": "in slices" if found.get("hold") == "slices" else None,
        "waiting for": awaited(found),
        "tokens": f"{usage['input_tokens']:,} in, {usage['output_tokens']:,} out" if usage else None,
        "priority": found["priority"] or None,
        "window": f"{found['completion_window']}, until {moment(found['expires_at'])}",
        "created": moment(found["created_at"]),
        **{name.replace("_", " "): moment(_at(found, name)) or None for name in times if name != "failed"},
        "refused": moment(found["failed_at"]) or None,
        "input": found["input_file_id"],
        "output": found["output_file_id"],
        "errors": found["error_file_id"],
        "invoice": found["invoice_id"],
        "metadata": json.dumps(found["metadata"], ensure_ascii=False) if found["metadata"] else None,
        "to retry": retrying(found, progress["reasons"] if progress else ()),
    }
    output.fields([*heads, *rest.items()])
    for fault in listed(found["errors"]["data"] if found["errors"] else (), None):
        output.line(fault)


def _show_errors(output: Output, found: dict[str, Any]) -> None:
    rows = [
        (
            f"{group['count']:,}",
            group["reason"],
            group["status_code"] or "",
            (group["example"] or {}).get("custom_id") or "",
            "yes" if group["retry_may_help"] else "no",
            group["message"],
        )
        for group in found["data"]
    ]
    output.table(_ERRORS, rows, empty="No line has failed so far.", fold=True)
    if found["others"]:
        output.note(f"{found['others']:,} lines more failed for other reasons")
    if helped := [group["reason"] for group in found["data"] if group["retry_may_help"]]:
        output.note(f"Next, when the batch is over: fusionai retry {found['batch_id']} --reason {helped[0]}")


def _at(found: Batch, name: str) -> int | None:
    at: int | None = found[f"{name}_at"]  # type: ignore[literal-required]
    return at
