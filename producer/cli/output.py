"""Prints results: tables and pages by rich for people, JSON for programs; control characters are replaced."""

import json
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import click
from rich.console import Console, RenderableType
from rich.highlighter import JSONHighlighter
from rich.table import Table
from rich.text import Text

from producer.cli import pages, tables
from producer.cli.tables import LEAST_TEXT, Column, Grid
from producer.terminal import as_json, one_line, printable
from shared import clock
from shared.money.currencies import money_text

F = TypeVar("F", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

#: What stands for an empty cell in a pipe, so that every row has the same number of fields.
_EMPTY = "-"
#: A value is folded into a column of at least this width.
_LEAST_FOLD = 20


class Verbatim(str):
    """A command or a path, to be copied: it is never folded."""


def console_on(*, stderr: bool = False, width: int | None = None) -> Console:
    """A console that prints text as it stands; colours only on a terminal (NO_COLOR, FORCE_COLOR, TERM as usual)."""
    # Of a width without a height rich takes no notice where TERM is dumb.
    height = None if width is None else 25
    return Console(stderr=stderr, width=width, height=height, markup=False, emoji=False, highlight=False)


class Output:
    """Where a command's answer goes; `as_json`: the value as it came, else the page made for people."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.is_terminal = sys.stdout.isatty()
        self.width = shutil.get_terminal_size().columns
        #: The columns of the last table whose cells were shortened.
        self.cut: set[str] = set()

    def value(self, value: Any, page: Callable[[], None]) -> None:
        """JSON of the value, or what `page` prints."""
        if self.as_json:
            click.echo(as_json(value, on_terminal=self.is_terminal, indent=2))
        else:
            page()

    def line(self, text: str = "") -> None:
        """One line, whatever is in it."""
        click.echo(one_line(text))

    def prose(self, text: str) -> None:
        """A sentence; on a terminal it is folded between words."""
        text = one_line(text)
        self.lines(textwrap.fill(text, self.width, break_on_hyphens=False) if self.is_terminal else text)

    def lines(self, text: str) -> None:
        """A text that may have several."""
        click.echo(printable(text))

    def document(self, value: Any) -> None:
        """The JSON of a value on a page; on a terminal very long texts and lists of numbers are cut short."""
        shown = pages.abridged(value) if self.is_terminal else value
        text = printable(json.dumps(shown, indent=2, ensure_ascii=False))
        if not self.is_terminal:
            click.echo(text)
            return
        console_on().print(JSONHighlighter()(text), soft_wrap=True)
        if shown != value:
            self.line("Long values are cut short; --json has all of it.")

    def note(self, text: str) -> None:
        """A line beside the answer, such as what to do next: in a pipe it goes to standard error."""
        click.echo(one_line(text), err=not self.is_terminal)

    def remark(self, text: str) -> None:
        """A note of any length: on a terminal it is folded between words."""
        lines = textwrap.wrap(one_line(text), self.width, break_on_hyphens=False) if self.is_terminal else [text]
        for line in lines:
            self.note(line)

    def record(self, value: Any) -> None:
        """One of many values, as a line of JSON."""
        click.echo(as_json(value, on_terminal=self.is_terminal))

    def fields(self, pairs: Mapping[str, object] | Iterable[tuple[str, object]]) -> None:
        """`name  value` lines; a value of None is left out. On a terminal long values are folded."""
        named = pairs.items() if isinstance(pairs, Mapping) else pairs
        shown = [(name, value) for name, value in named if value is not None]
        width = max((len(name) for name, _ in shown), default=0)
        for name, value in shown:
            self._field(name, value, width)

    def table(
        self,
        columns: Sequence[str | Column],
        rows: Iterable[Sequence[object]],
        *,
        empty: str = "",
        header: bool = True,
        fold: bool = False,
    ) -> None:
        """Aligned columns, one row a line: all of it in a pipe, on a terminal what has room.

        `fold`: free text goes on below instead of being cut, where it is what the table is for.
        """
        named = [Column(column) if isinstance(column, str) else column for column in columns]
        cells = [[self._cell(cell) for cell in row] for row in rows]
        if not cells:
            self.note(empty)
            return
        self._grid(Grid(named, cells, header=header, fold=fold))

    def details(self, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
        """Rows of a page about one thing, without a header; on a terminal free text is folded rather than cut."""
        cells = [[one_line(cell) for cell in row] for row in rows]
        if cells:
            self._grid(Grid(columns, cells, header=False, fold=True))

    def _grid(self, grid: Grid) -> None:
        if self.is_terminal:
            self.cut = grid.fit(self.width)
            self._print(grid.table(), max(self.width, grid.needed(LEAST_TEXT)))
            if grid.left and grid.has_header:
                self.remark(f"No room for: {', '.join(column.name for column in grid.left)}; --json has all.")
        else:
            self._print(grid.table(), grid.needed())

    def _cell(self, value: object) -> str:
        text = "" if value is None else one_line(str(value))
        return text if text or self.is_terminal else _EMPTY

    def _field(self, name: str, value: object, width: int) -> None:
        text = one_line(str(value))
        room = self.width - width - 2
        whole = isinstance(value, Verbatim) or " " not in text or room < _LEAST_FOLD
        row = Table.grid(padding=(0, 2, 0, 0))
        row.add_column(min_width=width, no_wrap=True, style="dim")
        row.add_column(no_wrap=whole, overflow="fold")
        row.add_row(Text(name), Text(text, style=tables.style_of(text) if name == "status" else ""))
        self._print(row, max(width, len(name)) + len(text) * 2 + 4 if whole or not self.is_terminal else self.width)

    def _print(self, what: RenderableType, width: int) -> None:
        console = console_on(width=width)
        with console.capture() as printed:
            console.print(what, crop=False)
        for line in printed.get().removesuffix("\n").split("\n"):
            click.echo(line.rstrip(), color=True)


def moment(seconds: float | None) -> str:
    """Seconds since the epoch as UTC; nothing for what has not happened yet."""
    return "" if not seconds else clock.utc(int(seconds * clock.MICROS)).strftime("%Y-%m-%d %H:%M:%S")


def awaited(found: Mapping[str, Any]) -> str | None:
    """What the lines of a batch that have not started wait for, in words; None: for nothing."""
    if found.get("waiting_for") != "budget":
        return found.get("waiting_for")
    renewal = f", which renews {moment(found['waiting_until'])}" if found.get("waiting_until") else ""
    return f"the budget of the API key{renewal}"


def credits_text(value: object) -> str:
    """Credits with at most six decimals and without needless zeros: 1,234.5."""
    whole, _, decimals = f"{float(str(value or 0)):,.6f}".partition(".")
    return f"{whole}.{decimals.rstrip('0')}".rstrip(".")


def price_text(price: Mapping[str, Any] | None) -> str | None:
    """A price as the API gives it: 1,234.50 USD; None: there is none."""
    return money_text(price["amount"], price["currency"]) if price else None


def micros_text(micros: object) -> str | None:
    """The same of micro-credits; None: there is no number."""
    return credits_text(micros / clock.MICROS) if isinstance(micros, int) else None
