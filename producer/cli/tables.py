"""Tables, by rich: numbers to the right, and on a narrow terminal fewer columns and short ids. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

_GAP = 2
#: An id that is cut keeps this many of its last characters, which differ most.
_SHORT_ID = 8
#: Free text is cut to the first width before anything else becomes short, to the second before a column leaves.
_FAIR_TEXT, LEAST_TEXT = 24, 10
#: The first word of a cell → how the cell is coloured.
_STYLES = {
    "failed": "red",
    "expired": "red",
    "refused": "red",
    "cancelled": "yellow",
    "cancelling": "yellow",
    "paused": "yellow",
    "running": "cyan",
    "in_progress": "cyan",
    "revoked": "dim",
}


def short_id(cell: str) -> str:
    """`…a8a5c31b` of an id, which the commands take too; any other text is itself."""
    return cell if len(cell) <= _SHORT_ID + 1 or "_" not in cell else f"…{cell[-_SHORT_ID:]}"


def time_of_day(cell: str) -> str:
    """`13:03:36` of a date and time."""
    return cell.rpartition(" ")[2]


@dataclass(frozen=True)
class Column:
    """`right`: it holds numbers. `text`: free text, cut at its end where there is no room. `styled`: it holds statuses.

    `short`: a short form of its cells; `cut` and `drop`: where the terminal is too narrow, the highest number of all
    columns goes first: at `cut` the cells become short, at `drop` (0: never) the column leaves.
    """

    name: str
    right: bool = False
    text: bool = False
    styled: bool = False
    short: Callable[[str], str] | None = None
    cut: int = 0
    drop: int = 0


def fitted(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int
) -> tuple[list[Column], list[list[str]]]:
    """The columns and cells that have room in so many terminal cells, as far as they can be cut or dropped."""
    named, cells = list(columns), [list(row) for row in rows]
    for column, drop in _steps(columns):
        if needed(named, cells, LEAST_TEXT if drop else _FAIR_TEXT) <= width:
            continue
        index = named.index(column)
        if drop:
            del named[index]
            cells = [row[:index] + row[index + 1 :] for row in cells]
        elif column.short:
            cells = [[*row[:index], column.short(row[index]), *row[index + 1 :]] for row in cells]
    return named, cells


def _steps(columns: Sequence[Column]) -> list[tuple[Column, bool]]:
    """What is done to get a narrower table, in order: a column, and whether it is dropped or cut."""
    ranked = [(column.cut, column, False) for column in columns if column.short]
    ranked += [(column.drop, column, True) for column in columns if column.drop]
    return [(column, drop) for _, column, drop in sorted(ranked, key=lambda step: -step[0])]


def needed(columns: Sequence[Column], rows: Sequence[Sequence[str]], least_text: int = LEAST_TEXT) -> int:
    """The width of a table in which nothing is cut but free text, and that to `least_text` at most."""
    widths = natural_widths(columns, rows)
    least = (min(width, least_text) if column.text else width for column, width in zip(columns, widths, strict=True))
    return sum(least) + _GAP * (len(columns) - 1)


def natural_widths(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[int]:
    """The width of each column in terminal cells: of some scripts a letter takes two, a mark none."""
    header = [column.name for column in columns]
    return [max(cell_len(row[index]) for row in [header, *rows]) for index in range(len(columns))]


def table(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], *, header: bool = True, fold: bool = False
) -> Table:
    """A table without lines; `fold`: free text goes on below instead of being cut. Markup in a cell is plain text."""
    made = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), show_header=header, header_style="bold")
    for column, width in zip(columns, natural_widths(columns, rows), strict=True):
        made.add_column(
            Text(column.name),
            justify="right" if column.right else "left",
            no_wrap=not column.text,
            overflow="fold" if fold else "ellipsis",
            min_width=None if column.text else width,
        )
    for row in rows:
        made.add_row(*(_cell(column, cell, fold) for column, cell in zip(columns, row, strict=True)))
    return made


def style_of(text: str) -> str:
    """The style of a status, "" for most."""
    return _STYLES.get(text.partition(" ")[0].rstrip(",:"), "")


def _cell(column: Column, cell: str, fold: bool) -> Text:
    style = style_of(cell) if column.styled else ""
    return Text(cell, style, no_wrap=True, overflow="ellipsis") if column.text and not fold else Text(cell, style)
