"""How far a batch is: a bar on a terminal, a plain line now and then in a pipe, nothing with --json."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from producer.client import Batch
from producer.commands.output import credits_text
from shared import clock

#: Between two plain lines.
_PLAIN_SECONDS = 5.0


@dataclass(frozen=True)
class Tally:
    """How it stands."""

    total: int
    done: int = 0
    failed: int = 0
    credits: float = 0
    #: What it does while it is not at its lines, or what is in the way.
    phase: str = ""

    @classmethod
    def of(cls, batch: Batch, *, lines: int = 0) -> "Tally":
        """A batch's; `lines` are known before the server has read them."""
        counts = batch["request_counts"]
        phase = "" if batch["status"] in ("in_progress", "completed") else batch["status"]
        done = counts["completed"] + counts["failed"]
        return cls(counts["total"] or lines, done, counts["failed"], batch["credits_used"], phase)


Told = Callable[[Tally], None]


class Pace:
    """Lines a second since the first look at them: those that were done before it were not watched."""

    def __init__(self) -> None:
        self._began = clock.monotonic()
        self._before: int | None = None

    def __call__(self, tally: Tally) -> float:
        if self._before is None and not tally.phase:
            self._before, self._began = tally.done, clock.monotonic()
        seconds = clock.monotonic() - self._began
        return max(0, tally.done - (self._before or 0)) / seconds if seconds > 0 else 0.0


@contextmanager
def bar() -> Iterator[Told]:
    """done/total, rate, time left, credits, failures; drawn again in place."""
    columns = (
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}/s"),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[credits]} credits"),
        TextColumn("{task.fields[phase]}", style="cyan"),
        TextColumn("{task.fields[failed]}", style="red"),
    )
    with Progress(*columns, console=Console(highlight=False), transient=True) as progress:
        task = progress.add_task("", total=None, rate="–", credits="0", phase="", failed="")
        pace = Pace()

        def told(tally: Tally) -> None:
            progress.update(
                task,
                total=tally.total or None,
                completed=tally.done,
                rate=rate(pace(tally)) if tally.done else "–",
                credits=credits_text(tally.credits),
                phase=tally.phase,
                failed=f"{tally.failed:,} failed" if tally.failed else "",
            )

        yield told


@contextmanager
def plain() -> Iterator[Told]:
    """A line every five seconds."""
    last, pace = clock.monotonic(), Pace()

    def told(tally: Tally) -> None:
        nonlocal last
        speed, now = pace(tally), clock.monotonic()
        if now - last >= _PLAIN_SECONDS:
            last = now
            click.echo(line(tally, speed))

    yield told


@contextmanager
def silent() -> Iterator[Told]:
    yield lambda tally: None


def line(tally: Tally, speed: float) -> str:
    """How it stands, in a line."""
    parts = [f"{tally.done:,}/{tally.total:,} done", f"{rate(speed)}/s"]
    if speed > 0:
        parts.append(f"{(tally.total - tally.done) / speed:.0f} s left")
    parts.append(f"{credits_text(tally.credits)} credits")
    if tally.failed:
        parts.append(f"{tally.failed:,} failed")
    return ", ".join([*parts, tally.phase] if tally.phase else parts)


def rate(speed: float) -> str:
    """Lines a second, with a decimal while it is small."""
    return f"{speed:,.0f}" if speed >= 10 else f"{speed:.1f}"
