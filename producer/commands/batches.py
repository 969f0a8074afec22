"""fusionai batch, batches: how the files that were submitted are getting on."""

import json
from pathlib import Path
from typing import Any

import click

from producer.client import Batch, FusionAI
from producer.commands.connection import api_command
from producer.commands.follow import Targets, faults, finish, follow, resumable, shown
from producer.commands.output import Output, credits_text, moment


@click.command()
@click.argument("id")
@click.option("--wait", is_flag=True, help="Wait for the results and write them.")
@click.option("-o", "--output", "target", type=click.Path(dir_okay=False, path_type=Path), help="ID.out.jsonl")
@api_command
def batch(client: FusionAI, output: Output, id: str, wait: bool, target: Path | None) -> None:
    """Show a batch, or wait for its results.

    With --wait the answers are written to ID.out.jsonl and the errors to ID.errors.jsonl; exit status 3 when some lines
    failed.
    """
    if not (wait or target):
        found = client.batch(id)
        output.value(found, lambda: _show(output, found))
        return
    targets = Targets.of(target or Path(f"{id}.out.jsonl"))
    with resumable(targets, lambda: id, ""):
        with shown(output) as told:
            followed = follow(client, id, told)
        finish(client, output, followed, targets)


@click.command()
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True)
@click.option("--after", metavar="ID", help="Begin after this batch.")
@api_command
def batches(client: FusionAI, output: Output, limit: int, after: str | None) -> None:
    """List batches, the newest first."""
    page = client.batches(limit=limit, after=after)

    def words() -> None:
        rows = [_row(found) for found in page["data"]]
        output.table(["id", "status", "lines", "succeeded", "failed", "credits", "created"], rows, empty="No batches.")
        if page["has_more"]:
            output.line(f"More: fusionai batches --after {page['last_id']}")

    output.value(page, words)


def _row(found: dict[str, Any]) -> list[object]:
    counts, cost = found["request_counts"], credits_text(found["credits_used"])
    numbers = [f"{counts[name]:,}" for name in ("total", "completed", "failed")]
    return [found["id"], found["status"], *numbers, cost, moment(found["created_at"])]


def _show(output: Output, found: Batch) -> None:
    counts, usage = found["request_counts"], found["usage"]
    times = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")
    output.fields(
        {
            "id": found["id"],
            "status": found["status"],
            "endpoint": found["endpoint"],
            "model": found["model"],
            "lines": f"{counts['total']:,}",
            "succeeded": f"{counts['completed']:,}",
            "failed": f"{counts['failed']:,}",
            "credits": f"{credits_text(found['credits_used'])} used, {credits_text(found['credits_held'])} held",
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
        }
    )
    for fault in faults(found["errors"], None):
        output.line(fault)


def _at(found: Batch, name: str) -> int | None:
    at: int | None = found[f"{name}_at"]  # type: ignore[literal-required]
    return at
