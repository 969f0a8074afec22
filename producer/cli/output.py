"""What commands print: tables for people, JSON for programs, never a control code that came from elsewhere."""

import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import click
from rich.console import Console

from producer.cli import tables
from producer.cli.tables import Column
from producer.terminal import as_json, one_line, printable
from shared import clock

F = TypeVar("F", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

#: Rows of these are coloured; those that went well are not.
_STATUS_COLOURS = {"failed": "red", "expired": "red", "cancelled": "yellow", "running": "cyan"}


class Output:
    """Where a command's answer goes; `as_json`: the value as it came, else the words made for people."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.is_terminal = sys.stdout.isatty()
        self.is_dumb = Console().is_dumb_terminal
        self.width = shutil.get_terminal_size().columns

    def value(self, value: Any, words: Callable[[], None]) -> None:
        """JSON of the value, or what `words` prints."""
        if self.as_json:
            click.echo(as_json(value, on_terminal=self.is_terminal, indent=2))
        else:
            words()

    def line(self, text: str = "") -> None:
        """One line, whatever is in it."""
        click.echo(one_line(text))

    def lines(self, text: str) -> None:
        """A text that may have several."""
        click.echo(printable(text))

    def record(self, value: Any) -> None:
        """One of many values, as a line of JSON."""
        click.echo(as_json(value, on_terminal=self.is_terminal))

    def fields(self, pairs: Mapping[str, object] | Iterable[tuple[str, object]]) -> None:
        """`name  value` lines; a value of None is left out."""
        named = pairs.items() if isinstance(pairs, Mapping) else pairs
        shown = [(name, one_line(str(value))) for name, value in named if value is not None]
        width = max((len(name) for name, _ in shown), default=0)
        for name, text in shown:
            click.echo(f"{name:<{width}}  {text}")

    def columns(self, rows: Iterable[Sequence[str]]) -> None:
        """Aligned cells without a header."""
        found = [[one_line(cell) for cell in row] for row in rows]
        if found:
            nameless = [Column("") for _ in found[0]]
            for row in tables.lay_out(nameless, found, None)[1:]:
                click.echo(tables.line(row))

    def table(self, columns: Sequence[str | Column], rows: Iterable[Sequence[object]], *, empty: str) -> None:
        """Aligned columns; whole in a pipe, on a terminal as many of them as its width takes. Colours only there."""
        named = [Column(column) if isinstance(column, str) else column for column in columns]
        cells = [["" if cell is None else one_line(str(cell)) for cell in row] for row in rows]
        if not cells:
            click.echo(empty, err=not self.is_terminal)
            return
        header, *shown = tables.lay_out(named, cells, self.width if self.is_terminal else None)
        click.secho(tables.line(header), bold=True)
        for whole, row in zip(cells, shown, strict=True):
            colour = next((_STATUS_COLOURS[cell] for cell in whole if cell in _STATUS_COLOURS), None)
            click.secho(tables.line(row), fg=colour)


def moment(seconds: float | None) -> str:
    """Seconds since the epoch as UTC; nothing for what has not happened yet."""
    return "" if not seconds else clock.utc(int(seconds * clock.MICROS)).strftime("%Y-%m-%d %H:%M:%S")


def credits_text(value: object) -> str:
    """Credits with at most six decimals and without needless zeros: 1,234.5."""
    whole, _, decimals = f"{float(str(value or 0)):,.6f}".partition(".")
    return f"{whole}.{decimals.rstrip('0')}".rstrip(".")
