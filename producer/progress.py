"""How far a file's jobs are: a bar on a terminal, a plain line now and then in a pipe, nothing with --json."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from producer.commands.output import credits_text
from producer.filerun import Tally
from shared import clock

#: Between two plain lines.
_PLAIN_SECONDS = 5.0

Told = Callable[[Tally], None]


@contextmanager
def bar() -> Iterator[Told]:
    """done/total, rate, time left, credits, failures; drawn again in place."""
    columns = (
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}/s"),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[credits]} credits"),
        TextColumn("{task.fields[sending]}"),
        TextColumn("{task.fields[failed]}", style="red"),
    )
    with Progress(*columns, console=Console(highlight=False), transient=True) as progress:
        task = progress.add_task("", total=None, rate="–", credits="0", sending="", failed="")
        began = clock.monotonic()

        def told(tally: Tally) -> None:
            progress.update(
                task,
                total=tally.total,
                completed=tally.done,
                rate=rate(tally.done, clock.monotonic() - began),
                credits=credits_text(tally.credits),
                sending=sending(tally),
                failed=f"{tally.failed:,} failed" if tally.failed else "",
            )

        yield told


@contextmanager
def plain() -> Iterator[Told]:
    """A line every five seconds."""
    began = last = clock.monotonic()

    def told(tally: Tally) -> None:
        nonlocal last
        now = clock.monotonic()
        if now - last < _PLAIN_SECONDS:
            return
        last = now
        if tally.accepted < tally.total:
            click.echo(sending(tally))
            return
        left = (tally.total - tally.done) * (now - began) / tally.done if tally.done else None
        remaining = f", {left:.0f} s left" if left is not None else ""
        failed = f", {tally.failed:,} failed" if tally.failed else ""
        click.echo(
            f"{tally.done:,}/{tally.total:,} done, {rate(tally.done, now - began)}/s{remaining}, "
            f"{credits_text(tally.credits)} credits{failed}"
        )

    yield told


@contextmanager
def silent() -> Iterator[Told]:
    yield lambda tally: None


def sending(tally: Tally) -> str:
    """How much of the file has been sent, until all of it has."""
    return "" if tally.accepted == tally.total else f"{tally.accepted:,} of {tally.total:,} sent"


def rate(done: int, seconds: float) -> str:
    """Jobs a second, with a decimal while it is small."""
    value = done / seconds if seconds > 0 else 0.0
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"
