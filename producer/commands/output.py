"""What commands print: tables for people, JSON for programs, never a control code into a pipe."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from shared import clock

F = TypeVar("F", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

_STATUS_STYLES = {"succeeded": "green", "failed": "red", "expired": "red", "cancelled": "yellow", "running": "cyan"}


class Output:
    """Where a command's answer goes; `as_json`: the value as it came, else the words made for people."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.is_terminal = sys.stdout.isatty()
        self.console = Console(highlight=False, soft_wrap=True)

    def value(self, value: Any, words: Callable[[], None]) -> None:
        """JSON of the value, or what `words` prints."""
        if self.as_json:
            click.echo(json.dumps(value, indent=2, ensure_ascii=False))
        else:
            words()

    def line(self, text: str = "") -> None:
        click.echo(text)

    def fields(self, pairs: Mapping[str, object]) -> None:
        """`name  value` lines; a value of None is left out."""
        shown = {name: str(value) for name, value in pairs.items() if value is not None}
        width = max(map(len, shown), default=0)
        for name, text in shown.items():
            click.echo(f"{name:<{width}}  {text}")

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
        """A table; in a pipe, aligned plain columns that are never cut."""
        cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
        if not cells:
            click.echo(empty, err=not self.is_terminal)
        elif self.is_terminal:
            table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
            for row in cells:
                table.add_row(*(Text(cell, style=_STATUS_STYLES.get(cell, "")) for cell in row))
            self.console.print(table, soft_wrap=False)
        else:
            widths = [max(len(row[i]) for row in [list(columns), *cells]) for i in range(len(columns))]
            for row in [list(columns), *cells]:
                click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def moment(seconds: float | None) -> str:
    """Seconds since the epoch as UTC; nothing for what has not happened yet."""
    return "" if not seconds else clock.utc(int(seconds * clock.MICROS)).strftime("%Y-%m-%d %H:%M:%S")


def credits_text(value: object) -> str:
    """Credits with at most six decimals and without needless zeros: 1,234.5."""
    whole, _, decimals = f"{float(str(value or 0)):,.6f}".partition(".")
    return f"{whole}.{decimals.rstrip('0')}".rstrip(".")
