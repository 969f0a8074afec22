"""fusionai submit: a JSONL file as one batch, followed to its end when asked."""

import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import click
import httpx

from fusionai.plain import ApiError, PlainClient, batch_submission
from fusionai.plain.asked import BatchOptions
from fusionai.plain.batch_submission import Prepared, RefusedFileError, SubmittedBatch
from producer.cli import costs, labels
from producer.cli.connection import api_command
from producer.cli.failures import FaultyFileError
from producer.cli.faults import explained, listed
from producer.cli.follow import Targets, follow, resumable, shown
from producer.cli.labels import metadata_option
from producer.cli.output import Output
from producer.cli.progress import BatchTally
from producer.cli.summary import finish, report
from producer.terminal import one_line
from shared import clock
from shared.submissions.sizes import LONGEST_HOURS, SHORTEST_HOURS


class Window(click.ParamType[str]):
    """`24h`, or `2d` for 48h."""

    name = "window"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        match = re.fullmatch(r"([0-9]{1,4})([hd])", value)
        hours = int(match[1]) * (24 if match[2] == "d" else 1) if match else 0
        if not SHORTEST_HOURS <= hours <= LONGEST_HOURS:
            self.fail(f"{value!r} is not from {SHORTEST_HOURS}h to {LONGEST_HOURS}h (7d)", param, ctx)
        return f"{hours}h"


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--wait", is_flag=True, help="Wait for the results and write them to files.")
@click.option("-o", "--output", "target", type=click.Path(dir_okay=False, path_type=Path), help="Where the answers go.")
@click.option(
    "--window",
    type=Window(),
    default="24h",
    show_default=True,
    metavar="TIME",
    help="Time to finish: 1h to 168h, or 1d to 7d.",
)
@click.option(
    "--priority", type=click.IntRange(0, 9), metavar="N", help="0 to 9; your batches of higher priority run first."
)
@click.option(
    "--hold",
    type=click.Choice(["all", "slices"]),
    help="slices: hold credits for the lines that start next, not for all.",
)
@click.option("--wait-for-credits", is_flag=True, help="Start once there are enough credits, instead of failing.")
@metadata_option("A label of the batch, by which it is found again; may be repeated.")
@click.option("--dry-run", is_flag=True, help="Only check the file and print what it can cost.")
@click.option(
    "--again", is_flag=False, flag_value="new", metavar="[NAME]", help="Make a new batch of a file submitted before."
)
@api_command
def submit(
    client: PlainClient,
    output: Output,
    file: Path,
    wait: bool,
    target: Path | None,
    window: str,
    priority: int | None,
    hold: Literal["all", "slices"] | None,
    wait_for_credits: bool,
    metadata: dict[str, str],
    dry_run: bool,
    again: str | None,
) -> None:
    """Submit a JSONL file as one batch.

    Each line is an OpenAI batch line, {"custom_id", "method", "url", "body"}, or a job, {"type", "model", …}. A line
    without a custom_id gets line-<n>. FILE may be - for standard input.

    With --wait the answers of NAME.jsonl are written to NAME.out.jsonl and the errors to NAME.errors.jsonl. The same
    command on the same file continues with the same batch and charges nothing again. Exit status 3 when some lines
    failed.
    """
    options: BatchOptions = {"completion_window": window}
    if priority is not None:
        options["priority"] = priority
    if hold is not None:
        options["hold"] = hold
    if wait_for_credits:
        options["on_insufficient_credits"] = "wait"
    if metadata:
        options["metadata"] = metadata
    salt = clock.new_id("again") if again == "new" else again or ""
    try:
        with _source(file) as (path, name), batch_submission.prepared(path, name) as work:
            if dry_run or work.problems:
                _judge(client, output, work, options, name, dry_run=dry_run)
            elif wait:
                _carry_out(client, output, work, salt, options, Path(name), target)
            else:
                taken = _submit_or_find(client, work, salt, options)
                report(output, taken.batch, found=taken.found)
    except RefusedFileError as error:
        raise click.ClickException(str(error)) from error


@contextmanager
def _source(file: Path) -> Iterator[tuple[Path, str]]:
    """The path of the lines, and the name to show for them."""
    if str(file) != "-":
        yield file, str(file)
        return
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as kept:
        shutil.copyfileobj(sys.stdin.buffer, kept)
        kept.flush()
        yield Path(kept.name), "stdin.jsonl"


def _carry_out(
    client: PlainClient,
    output: Output,
    work: Prepared,
    salt: str,
    options: BatchOptions,
    file: Path,
    target: Path | None,
) -> None:
    targets = Targets.of(target or file.with_suffix(".out.jsonl"))
    taken: SubmittedBatch | None = None
    with resumable(targets, lambda: taken.batch["id"] if taken else None, _same_command(file, targets, salt, options)):
        with shown(output) as show:

            def sent(done: int, total: int) -> None:
                phase = "uploading" if done < total else "the server is reading the file"
                show(BatchTally(total, done, phase=phase, upload=True))

            taken = _submit_or_find(client, work, salt, options, sent)
            followed = follow(client, taken.batch["id"], show, lines=work.lines)
        explain = partial(explained, client, work.stream)
        finish(client, output, followed, targets, str(file), found=taken.found, explain=explain)


def _submit_or_find(
    client: PlainClient,
    work: Prepared,
    salt: str,
    options: BatchOptions,
    sent: batch_submission.Sent = lambda done, total: None,
) -> SubmittedBatch:
    try:
        return batch_submission.submit_or_find(client, work, salt, options, sent)
    except ApiError as error:
        if error.type != "idempotency_mismatch":
            raise
        raise click.ClickException(
            "this file has been submitted already with another name, --window, --priority, --hold, "
            "--wait-for-credits or --metadata: submit it as before to find its batch, or make a new batch with --again"
        ) from error


def _judge(
    client: PlainClient, output: Output, work: Prepared, options: BatchOptions, name: str, *, dry_run: bool
) -> None:
    """List what is wrong with a file, or print what it may cost."""
    try:
        verdict = batch_submission.dry_run(client, work, options)
    except (httpx.TransportError, ApiError):
        for problem in work.problems:
            place = f"{name}:{problem.number}" if problem.number else name
            click.echo(one_line(f"{place}: {problem.reason}"), err=True)
        raise
    wrong = explained(client, work.stream, verdict["errors"]["data"] if verdict["errors"] else [])
    if verdict["errors"]:
        verdict["errors"]["data"] = wrong
    if dry_run:
        output.value(verdict, lambda: costs.show(output, verdict))
    if not verdict["valid"]:
        if not output.as_json:
            for fault in listed(wrong, name):
                click.echo(fault, err=True)
        raise FaultyFileError(_how_many(wrong), wrong)
    waits = options.get("hold") == "slices" or options.get("on_insufficient_credits") == "wait"
    if not waits and (verdict["credits_worst_case"] or 0) > (verdict["credits_available"] or 0):
        raise click.ClickException("the batch would be refused: not enough credits; nothing was charged")


def _how_many(wrong: list[Any]) -> str:
    lines = len({fault["line"] for fault in wrong if fault["line"]})
    more = " or more" if len(wrong) >= batch_submission.MOST_FAULTS else ""
    are = f"{lines}{more} {'line is' if lines == 1 else 'lines are'} wrong; " if lines else ""
    return f"{are}nothing was charged"


def _same_command(file: Path, targets: Targets, salt: str, options: BatchOptions) -> str:
    words = ["fusionai", "submit", str(file), "--wait", "-o", str(targets.output)]
    words += [f"--window={options['completion_window']}"] if options["completion_window"] != "24h" else []
    words += [f"--priority={options['priority']}"] if "priority" in options else []
    words += [f"--hold={options['hold']}"] if "hold" in options else []
    words += ["--wait-for-credits"] if "on_insufficient_credits" in options else []
    words += labels.as_words(options.get("metadata") or {})
    return shlex.join([*words, f"--again={salt}"] if salt else words)
