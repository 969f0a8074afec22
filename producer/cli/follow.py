"""What submit, batch and retry share: where a batch's files go, and following it to its end."""

import shlex
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import click

from fusionai.plain import ApiError, Batch, PlainClient
from fusionai.plain.atomic_file import writable
from fusionai.plain.objects import BatchProgress
from producer.cli import progress
from producer.cli.activity import is_live
from producer.cli.output import Output
from producer.cli.progress import BatchTally, ShowTally
from producer.terminal import printable
from shared import clock

#: Exit status after Ctrl-C.
INTERRUPTED = 130


@dataclass(frozen=True)
class Targets:
    """Where a batch's answers and its errors are written."""

    output: Path
    errors: Path

    @classmethod
    def of(cls, output: Path) -> "Targets":
        """X.out.jsonl and X.errors.jsonl; UsageError when they cannot be written."""
        stem = output.name.removesuffix(".jsonl").removesuffix(".out")
        if not writable(output):
            raise click.UsageError(f"{output} cannot be written; choose another place with -o")
        return cls(output, output.with_name(f"{stem}.errors.jsonl"))


def shown(output: Output) -> AbstractContextManager[ShowTally]:
    """How progress is shown here."""
    if output.as_json:
        return progress.silent()
    return progress.bar() if is_live() else progress.plain()


@contextmanager
def resumable(targets: Targets, batch_id: Callable[[], str | None], again: str) -> Iterator[None]:
    """Print after Ctrl-C how to continue: with the batch, or, while there is none, with the command `again`."""
    try:
        yield
    except KeyboardInterrupt:
        id = batch_id()
        words = shlex.join(["fusionai", "batch", id, "--wait", "-o", str(targets.output)]) if id else again
        runs_on = f" {id} is still running." if id else ""
        message = f"\nStopped waiting.{runs_on} To continue (nothing is charged twice):\n  {words}"
        click.echo(printable(message), err=True)
        raise SystemExit(INTERRUPTED) from None


@dataclass(frozen=True)
class FollowedBatch:
    """A batch that is over.

    `seconds`: for how long it was watched; None when most of it had happened before. `was_over`: all of it had.
    """

    batch: Batch
    progress: BatchProgress
    seconds: float | None
    was_over: bool

    @property
    def took(self) -> float:
        """Seconds from its making to its end; whole ones when it was not watched."""
        return self.seconds if self.seconds is not None else float(_seconds(self.progress))


def follow(client: PlainClient, id: str, show: ShowTally, *, lines: int = 0) -> FollowedBatch:
    """Wait until a batch is over; `show` is called with its progress, and while the API cannot be reached."""
    began, looks, last = clock.monotonic(), 0, BatchTally(lines)

    def look(found: BatchProgress) -> None:
        nonlocal last, looks
        looks += 1
        last = BatchTally.of(found, lines=lines)
        show(last)

    def lost(error: Exception) -> None:
        why = "the API is busy" if isinstance(error, ApiError) else "the API cannot be reached"
        show(replace(last, phase=f"{why}; trying again", stale=True))

    found = client.wait_progress(id, look, on_failure=lost)
    watched = clock.monotonic() - began
    seconds = watched if looks > 1 and watched >= _seconds(found) - 1 else None
    return FollowedBatch(client.batch(id), found, seconds, was_over=looks == 1 and watched < 1)


def _seconds(found: BatchProgress) -> int:
    """How long it took, as the server says."""
    return (found["finished_at"] or found["created_at"]) - found["created_at"]
