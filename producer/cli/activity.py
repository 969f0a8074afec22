"""Progress of a long command: in place on a terminal, a plain line now and then in a pipe, nothing with --json.

All of it goes to standard error, so that the answer on standard output stays whole.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from producer.cli import rates
from producer.cli.output import Output, console_on
from shared import clock

#: Between two plain lines, in seconds.
PLAIN_SECONDS = 5.0
#: On a narrower terminal there is no bar.
_BAR_WIDTH = 60

#: Takes what is done and, where it is known, of how much.
Update = Callable[[int, int | None], None]


def is_live() -> bool:
    """Whether a line can be drawn in place: standard error is a terminal that can move its cursor."""
    return sys.stderr.isatty() and not console_on(stderr=True).is_dumb_terminal


@contextmanager
def working(output: Output, doing: str, unit: str = "") -> Iterator[Update]:
    """Shows `doing` while the block runs. `unit`: what updates count, `bytes` in the unit that fits."""
    if output.as_json:
        yield lambda done, total: None
    elif is_live():
        with _bar(doing, unit) as update:
            yield update
    else:
        with _lines(doing, unit) as update:
            yield update


@contextmanager
def ticking(line: Callable[[], str]) -> Iterator[None]:
    """A plain line on standard error every few seconds."""
    ended = threading.Event()

    def print_lines() -> None:
        while not ended.wait(PLAIN_SECONDS):
            click.echo(line(), err=True)

    thread = threading.Thread(target=print_lines, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def _bar(doing: str, unit: str) -> Iterator[Update]:
    console = console_on(stderr=True)
    bar = [BarColumn(bar_width=None, complete_style="green")] if console.width >= _BAR_WIDTH else []
    columns = (
        SpinnerColumn("line"),
        TextColumn("{task.description}", markup=False),
        *bar,
        TextColumn("{task.fields[count]}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, expand=bool(bar)) as progress:
        task = progress.add_task(doing, total=None, count="")
        yield lambda done, total: progress.update(task, completed=done, total=total, count=_count(done, total, unit))


@contextmanager
def _lines(doing: str, unit: str) -> Iterator[Update]:
    began, count = clock.monotonic(), ""

    def update(done: int, total: int | None) -> None:
        nonlocal count
        count = f": {_count(done, total, unit)}"

    with ticking(lambda: f"{doing}{count}, {rates.time_text(clock.monotonic() - began)} elapsed"):
        yield update


def _count(done: int, total: int | None, unit: str) -> str:
    """`3/30 checks`; of bytes, whose total is not known, `1.2 MB`."""
    if unit == "bytes":
        return decimal(done)
    return f"{done:,} {unit}" if total is None else f"{done:,}/{total:,} {unit}"
