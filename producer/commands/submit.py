"""fusionai submit: a JSONL file as one batch, followed to its end when asked."""

import shlex
from pathlib import Path

import click

from producer import filerun
from producer.client import ApiError, Batch, DryRun, FusionAI
from producer.commands.connection import api_command
from producer.commands.follow import Targets, faults, finish, follow, resumable, shown
from producer.commands.output import Output, credits_text
from producer.filerun import Prepared, RefusedFileError
from producer.progress import Tally
from producer.wire import BatchOptions
from shared import clock


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--wait", is_flag=True, help="Wait for the results and write them.")
@click.option("-o", "--output", "target", type=click.Path(dir_okay=False, path_type=Path), help="FILE.out.jsonl")
@click.option("--window", default="24h", show_default=True, metavar="HOURS", help="When it must be done, 1h to 168h.")
@click.option("--priority", type=click.IntRange(0, 9), help="A higher one goes first among your batches.")
@click.option("--dry-run", is_flag=True, help="Say what is wrong and the most it can cost; buy nothing.")
@click.option("--again", is_flag=False, flag_value="new", metavar="[NAME]", help="Buy it again, under a name.")
@api_command
def submit(
    client: FusionAI,
    output: Output,
    file: Path,
    wait: bool,
    target: Path | None,
    window: str,
    priority: int | None,
    dry_run: bool,
    again: str | None,
) -> None:
    """Submit the lines of FILE as one batch.

    A line is an OpenAI batch line, {"custom_id", "method", "url", "body"}, or a job, {"type", "model", …}; one without
    custom_id gets line-<n>.

    With --wait the answers are written to FILE.out.jsonl and the errors to FILE.errors.jsonl. Running the same command
    on the same file takes up the same batch again rather than buying a new one. Exit status 3 when some lines failed.
    """
    options: BatchOptions = {"completion_window": window}
    if priority is not None:
        options["priority"] = priority
    salt = clock.new_id("again") if again == "new" else again or ""
    try:
        with filerun.prepared(file) as work:
            if dry_run:
                _tell_dry_run(output, filerun.dry_run(client, work, salt, options), file)
            elif wait:
                _carry_out(client, output, work, salt, options, file, target)
            else:
                _report(output, _take_up(client, work, salt, options))
    except RefusedFileError as error:
        for problem in error.problems:
            click.echo(f"{file}:{problem.number}: {problem.reason}", err=True)
        raise click.ClickException(str(error)) from error


def _carry_out(
    client: FusionAI,
    output: Output,
    work: Prepared,
    salt: str,
    options: BatchOptions,
    file: Path,
    target: Path | None,
) -> None:
    targets = Targets.of(target or file.with_suffix(".out.jsonl"))
    batch: Batch | None = None
    with resumable(targets, lambda: batch and batch["id"], _same_command(file, targets, salt, options)):
        with shown(output) as told:
            told(Tally(work.lines, phase="uploading"))
            batch = _take_up(client, work, salt, options)
            followed = follow(client, batch["id"], told, lines=work.lines)
        finish(client, output, followed, targets, str(file))


def _take_up(client: FusionAI, work: Prepared, salt: str, options: BatchOptions) -> Batch:
    try:
        return filerun.take_up(client, work, salt, options)
    except ApiError as error:
        if error.type != "idempotency_mismatch":
            raise
        raise click.ClickException(
            "this file has been submitted already, with another name, --window or --priority: submit it as before to "
            "find its batch, or buy it once more with --again"
        ) from error


def _report(output: Output, batch: Batch) -> None:
    def words() -> None:
        output.line(f"{batch['id']}  {batch['status']}")
        output.line(f"To follow it and write its results: fusionai batch {batch['id']} --wait")

    output.value(batch, words)


def _tell_dry_run(output: Output, verdict: DryRun, file: Path) -> None:
    worst, available = verdict["credits_worst_case"], verdict["credits_available"]

    def words() -> None:
        output.fields(
            {
                "lines": f"{verdict['request_counts']['total']:,}",
                "at most": f"{credits_text(worst)} credits",
                "available": f"{credits_text(available)} credits",
            }
        )

    output.value(verdict, words)
    for fault in faults(verdict["errors"], str(file)):
        click.echo(fault, err=True)
    if not verdict["valid"]:
        raise click.ClickException("the batch would be refused; nothing was bought")
    if worst > available:
        raise click.ClickException("the batch would be refused: there are not enough credits; nothing was bought")


def _same_command(file: Path, targets: Targets, salt: str, options: BatchOptions) -> str:
    words = ["fusionai", "submit", str(file), "--wait", "-o", str(targets.output)]
    words += [f"--window={options['completion_window']}"] if options["completion_window"] != "24h" else []
    words += [f"--priority={options['priority']}"] if "priority" in options else []
    return shlex.join([*words, f"--again={salt}"] if salt else words)
