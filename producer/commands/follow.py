"""What submit and batch share: following a batch to its end, writing its files, saying how it ended."""

import shlex
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from producer import progress
from producer.client import ApiError, Batch, FusionAI
from producer.commands.output import Output, credits_text
from producer.progress import Tally, Told
from producer.whole_file import replacing, writable
from producer.wire import Faults
from shared import clock

#: Exit status when some lines ended other than succeeded, and after Ctrl-C.
SOME_FAILED, INTERRUPTED = 3, 130


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


def shown(output: Output) -> AbstractContextManager[Told]:
    """How progress is shown here."""
    if output.as_json:
        return progress.silent()
    return progress.bar() if output.is_terminal else progress.plain()


@contextmanager
def resumable(targets: Targets, batch_id: Callable[[], str | None], again: str) -> Iterator[None]:
    """Say after Ctrl-C how to go on: with the batch, or, while there is none, with the command `again`."""
    try:
        yield
    except KeyboardInterrupt:
        id = batch_id()
        words = shlex.join(["fusionai", "batch", id, "--wait", "-o", str(targets.output)]) if id else again
        runs_on = f" {id} runs on." if id else ""
        click.echo(f"\nStopped waiting.{runs_on} To go on, without buying anything twice:\n  {words}", err=True)
        raise SystemExit(INTERRUPTED) from None


@dataclass(frozen=True)
class Followed:
    """A batch that is over, and for how long it was watched; None when most of it had happened before."""

    batch: Batch
    seconds: float | None

    @property
    def took(self) -> float:
        """Seconds from its making to its end; whole ones when it was not watched."""
        return self.seconds if self.seconds is not None else float(_seconds(self.batch))


def follow(client: FusionAI, id: str, told: Told, *, lines: int = 0) -> Followed:
    """Wait until a batch is over; `told` how it stands, and that the API is away while it is."""
    began, looks, last = clock.monotonic(), 0, Tally(lines)

    def look(batch: Batch) -> None:
        nonlocal last, looks
        looks += 1
        last = Tally.of(batch, lines=lines)
        told(last)

    def lost(error: Exception) -> None:
        why = "the API is busy" if isinstance(error, ApiError) else "the API cannot be reached"
        told(replace(last, phase=f"{why}; trying again"))

    batch = client.wait_batch(id, look, lost=lost)
    watched = clock.monotonic() - began
    return Followed(batch, watched if looks > 1 and watched >= _seconds(batch) - 1 else None)


def finish(client: FusionAI, output: Output, followed: Followed, targets: Targets, name: str | None = None) -> None:
    """Write the files of a batch that is over and say how it went; SystemExit unless every line succeeded.

    `name` is the file's, for what is wrong with it.
    """
    batch = followed.batch
    if batch["status"] == "failed":
        refuse(output, batch, name)
    errors = _write(client, batch, targets)
    written = {"output": str(targets.output), "errors": str(errors) if errors else None}
    value: dict[str, Any] = {**batch, "seconds": round(followed.took, 3), "written": written}
    output.value(value, lambda: output.fields(_summary(followed, written)))
    if batch["status"] != "completed" or batch["request_counts"]["failed"]:
        raise SystemExit(SOME_FAILED)


def refuse(output: Output, batch: Batch, name: str | None) -> None:
    """Tell what is wrong with a batch that failed; exit status 1."""
    if output.as_json:
        output.value(batch, lambda: None)
    for fault in faults(batch["errors"], name):
        click.echo(fault, err=True)
    raise click.ClickException(f"{batch['id']} failed; nothing was bought")


def faults(errors: Faults | None, name: str | None) -> list[str]:
    """What is wrong, a line each: `name:line: reason`, or without the file's name `line n: reason`."""
    return [f"{_place(fault['line'], name)}{fault['message']}" for fault in (errors["data"] if errors else [])]


def _place(line: int | None, name: str | None) -> str:
    if name is None:
        return f"line {line}: " if line else ""
    return f"{name}:{line}: " if line else f"{name}: "


def _write(client: FusionAI, batch: Batch, targets: Targets) -> Path | None:
    """The server's bytes; an output file is there even when empty, an error file only when there are errors."""
    if batch["output_file_id"] is not None:
        client.download(batch["output_file_id"], targets.output)
    else:
        with replacing(targets.output):
            pass
    if batch["error_file_id"] is not None:
        client.download(batch["error_file_id"], targets.errors)
        return targets.errors
    targets.errors.unlink(missing_ok=True)  # an earlier run's
    return None


def _seconds(batch: Batch) -> int:
    """How long it took, as the server says."""
    return max(batch[name] or 0 for name in ("completed_at", "expired_at", "cancelled_at")) - batch["created_at"]


def _summary(followed: Followed, written: dict[str, str | None]) -> dict[str, object]:
    batch, counts = followed.batch, followed.batch["request_counts"]
    speed = f", {progress.rate(counts['total'] / followed.seconds)} lines/s" if followed.seconds else ""
    took = f"{followed.took:.1f} s{speed}" if speed else f"{followed.took:.0f} s"
    return {
        "batch": batch["id"],
        "status": batch["status"] if batch["status"] != "completed" else None,
        "succeeded": f"{counts['completed']:,} of {counts['total']:,}",
        "failed": f"{counts['failed']:,}",
        "charged": f"{credits_text(batch['credits_used'])} credits",
        "took": took if followed.took else "under a second",
        "written": written["output"],
        "errors": written["errors"],
    }
