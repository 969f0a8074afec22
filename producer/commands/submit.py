"""fusionai submit: a JSONL file as jobs, followed to their ends when asked."""

import hashlib
import json
import os
import shlex
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import click

from producer import jobfile, progress
from producer.client import FusionAI
from producer.commands.connection import api_command
from producer.commands.output import Output, credits_text
from producer.filerun import FileRun, RefusedError
from producer.jobfile import Line, Problem
from producer.progress import Told
from shared import clock

#: Exit status when some jobs ended other than succeeded, and after Ctrl-C.
SOME_FAILED, INTERRUPTED = 3, 130


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--wait", is_flag=True, help="Wait for the results and write them.")
@click.option("-o", "--output", "target", type=click.Path(dir_okay=False, path_type=Path), help="FILE.out.jsonl")
@click.option("--again", is_flag=False, flag_value="new", metavar="[NAME]", help="Buy it again, under a name.")
@api_command
def submit(client: FusionAI, output: Output, file: Path, wait: bool, target: Path | None, again: str | None) -> None:
    """Submit every line of FILE: OpenAI batch lines, or jobs {"type", "model", …}.

    Running the same command on the same file takes up the same jobs again rather than buying new ones. Exit status 3
    when some jobs failed.
    """
    target = target or file.with_suffix(".out.jsonl")
    if wait and not os.access(target.parent, os.W_OK):
        raise click.UsageError(f"{target} cannot be written; choose another place with -o")
    content = file.read_bytes()
    run = FileRun(client, _lines(file, content))
    salt = clock.new_id("again") if again == "new" else again or ""
    content_hash, began = hashlib.sha256(content).hexdigest(), clock.monotonic()

    def key_of(chunk: int) -> str:
        return jobfile.idempotency_key(content_hash, chunk, scope=client.mode, salt=salt)

    try:
        _carry_out(run, key_of, output, wait)
    except RefusedError as error:
        raise click.ClickException(f"{file}: {error}") from error
    except KeyboardInterrupt:
        click.echo(_how_to_resume(run, file, target, salt), err=True)
        raise SystemExit(INTERRUPTED) from None
    if wait:
        _write(target, run)
        _summarise(run, output, target, clock.monotonic() - began)
    else:
        _report_accepted(run, output)
    if wait and run.tally.failed:
        raise SystemExit(SOME_FAILED)


def _lines(file: Path, content: bytes) -> list[Line]:
    lines, problems = jobfile.parse(content.splitlines())
    if problems or not lines:
        _refuse(file, problems)
    return lines


def _carry_out(run: FileRun, key_of: Callable[[int], str], output: Output, wait: bool) -> None:
    with _progress(output)() as told:
        told(run.tally)
        run.send(key_of, told)
        if wait:
            run.wait(told)


def _refuse(file: Path, problems: list[Problem]) -> None:
    for problem in problems:
        click.echo(f"{file}:{problem.number}: {problem.reason}", err=True)
    more = " or more" if len(problems) == jobfile.MAX_PROBLEMS else ""
    if not problems:
        raise click.ClickException(f"{file} has no lines")
    raise click.ClickException(f"{len(problems)}{more} lines are wrong; nothing was sent")


def _progress(output: Output) -> Callable[[], AbstractContextManager[Told]]:
    if output.as_json:
        return progress.silent
    return progress.bar if output.is_terminal else progress.plain


def _report_accepted(run: FileRun, output: Output) -> None:
    rows = [
        {"line": line.number, "custom_id": line.custom_id, "job_id": id}
        for line, id in zip(run.lines, run.accepted, strict=True)
    ]

    def words() -> None:
        output.line(f"{len(rows):,} jobs accepted")
        output.line("The same command with --wait collects their results.")

    output.value(rows, words)


def _write(target: Path, run: FileRun) -> None:
    """Write the whole file, or leave the one that was there."""
    partial = target.with_name(f"{target.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        for row in run.rows():
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    os.replace(partial, target)


def _summarise(run: FileRun, output: Output, target: Path, seconds: float) -> None:
    tally = run.tally
    value: dict[str, Any] = {
        "total": tally.total,
        "succeeded": tally.succeeded,
        "failed": tally.failed,
        "credits_charged": float(tally.credits),
        "extra_attempts": tally.extra_attempts,
        "seconds": round(seconds, 3),
        "output": str(target),
    }

    def words() -> None:
        output.fields(
            {
                "succeeded": f"{tally.succeeded:,} of {tally.total:,}",
                "failed": f"{tally.failed:,}",
                "charged": f"{credits_text(tally.credits)} credits",
                "retries": f"{tally.extra_attempts:,} attempts beyond the first",
                "took": f"{seconds:.1f} s, {progress.rate(tally.total, seconds)} jobs/s",
                "written": str(target),
            }
        )

    output.value(value, words)


def _how_to_resume(run: FileRun, file: Path, target: Path, salt: str) -> str:
    words = ["fusionai", "submit", str(file), "--wait"]
    words += ["-o", str(target)]
    words += [f"--again={salt}"] if salt else []
    count = f"{len(run.accepted):,} accepted jobs run on. " if run.accepted else ""
    return f"\nStopped waiting. {count}To go on, without buying anything twice:\n  {shlex.join(words)}"
