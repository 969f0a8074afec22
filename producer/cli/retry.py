"""fusionai retry: runs the failed lines of a batch again as a new batch, with one merged output."""

import hashlib
import itertools
from collections.abc import Sequence
from pathlib import Path

import click

from fusionai.plain import Batch, PlainClient
from producer.cli import costs
from producer.cli.connection import api_command
from producer.cli.follow import Targets, follow, resumable, shown
from producer.cli.ids import Id
from producer.cli.output import Output
from producer.cli.summary import finish, report
from shared import clock


@click.command()
@click.argument("id", type=Id("batch"), metavar="BATCH")
@click.option(
    "--reason",
    "reasons",
    multiple=True,
    metavar="REASON",
    help="Only lines that failed for this reason; may be repeated.",
)
@click.option("--wait", is_flag=True, help="Wait for the results and write them to files.")
@click.option("-o", "--output", "target", type=click.Path(dir_okay=False, path_type=Path), help="Where the answers go.")
@click.option(
    "--again", is_flag=False, flag_value="new", metavar="[NAME]", help="Make another batch of lines retried before."
)
@click.option("--dry-run", is_flag=True, help="Only say what the lines would cost.")
@api_command
def retry(
    client: PlainClient,
    output: Output,
    id: str,
    reasons: tuple[str, ...],
    wait: bool,
    target: Path | None,
    again: str | None,
    dry_run: bool,
) -> None:
    """Run the failed lines of a batch again.

    They become a new batch. With --wait the answers of both batches are written to ID.out.jsonl, and the lines that
    failed again to ID.errors.jsonl. The same command again continues with the same new batch. Exit status 3 when some
    lines failed.
    """
    if dry_run:
        verdict = client.retry_dry_run(id, sorted(set(reasons)))
        output.value(verdict, lambda: costs.show(output, verdict))
        return
    salt = clock.new_id("again") if again == "new" else again or ""
    batch, found = _submit_or_find(client, id, sorted(set(reasons)), salt)
    if not (wait or target):
        report(output, batch, found=found)
        return
    targets = Targets.of(target or Path(f"{batch['id']}.out.jsonl"))
    with resumable(targets, lambda: batch["id"], ""):
        with shown(output) as show:
            followed = follow(client, batch["id"], show)
        finish(client, output, followed, targets, found=found)


def _submit_or_find(client: PlainClient, id: str, reasons: Sequence[str], salt: str) -> tuple[Batch, bool]:
    """The new batch as it is now, and whether it had been made before.

    One that was refused as a whole charged nothing, so another is created.
    """
    for number in itertools.count():
        made, replayed = client.retry_batch(id, reasons, _key(client, id, reasons, salt, number))
        batch = client.batch(made["id"])
        if not (replayed and batch["status"] == "failed"):
            break
    return batch, replayed


def _key(client: PlainClient, id: str, reasons: Sequence[str], salt: str, number: int) -> str:
    """The idempotency key: the same lines of the same batch are charged once however often the command runs."""
    text = "\0".join(("retry-1", client.mode, id, salt, str(number), *reasons))
    return f"retry-1-{hashlib.sha256(text.encode()).hexdigest()[:40]}"
