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
FAIR_TEXT, LEAST_TEXT = 24, 10
#: The first word of a cell → how the cell is coloured.
_STYLES = {
    "failed": "red",
    "expired": "red",
    "refused": "red",
    "cancelled": "yellow",
    "cancelling": "yellow",
    "paused": "yellow",
    "budget": "yellow",
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
    columns goes first: at `cut` the cells become short, at `drop` (0: never) the column leaves. Empty ones go before.
    """

    name: str
    right: bool = False
    text: bool = False
    styled: bool = False
    short: Callable[[str], str] | None = None
    cut: int = 0
    drop: int = 0


class Grid:
    """Cells in columns. `fold`: free text goes on below instead of being cut. Markup in a cell is plain text."""

    def __init__(
        self, columns: Sequence[Column], rows: Sequence[Sequence[str]], *, header: bool = True, fold: bool = False
    ) -> None:
        self._given = columns
        self._columns = list(columns)
        self._rows = [list(row) for row in rows]
        self.has_header = header
        self._fold = fold
        #: The columns for which there was no room, in order.
        self.left: list[Column] = []

    def fit(self, width: int) -> set[str]:
        """Cut and drop columns, as far as that is possible, until they fit in `width` terminal cells.

        The names of the columns that are there with shortened cells.
        """
        cut: set[str] = set()
        if self.has_header and self.needed(FAIR_TEXT) > width:
            self._leave_empty()
        for _, column, drop in _steps(self._columns):
            if self.needed(LEAST_TEXT if drop and not self._fold else FAIR_TEXT) <= width:
                continue
            index = next((i for i, one in enumerate(self._columns) if one is column), None)
            if index is None:
                continue
            if drop:
                cut.discard(column.name)
                self.left = [one for one in self._given if one is column or one in self.left]
                self._leave(index)
            elif column.short:
                cut.add(column.name)
                for row in self._rows:
                    row[index] = column.short(row[index])
        return cut

    def _leave_empty(self) -> None:
        """Columns without anything in them take nobody's room."""
        for index in reversed(range(len(self._columns))):
            if not any(row[index] for row in self._rows):
                self._leave(index)

    def _leave(self, index: int) -> None:
        del self._columns[index]
        for row in self._rows:
            del row[index]

    def needed(self, most_text: int | None = None) -> int:
        """The width in which nothing is cut, but free text to `most_text`."""
        pairs = zip(self._columns, self._widths(), strict=True)
        widths = (min(width, most_text) if column.text and most_text else width for column, width in pairs)
        return sum(widths) + _GAP * (len(self._columns) - 1)

    def table(self) -> Table:
        """The table, without lines."""
        table = Table(
            box=None, pad_edge=False, padding=(0, _GAP, 0, 0), show_header=self.has_header, header_style="bold"
        )
        for column, width in zip(self._columns, self._widths(), strict=True):
            table.add_column(
                Text(column.name),
                justify="right" if column.right else "left",
                overflow="fold" if self._fold else "ellipsis",
                no_wrap=not column.text,
                min_width=None if column.text else width,
            )
        for row in self._rows:
            table.add_row(*(self._cell(column, cell) for column, cell in zip(self._columns, row, strict=True)))
        return table

    def _widths(self) -> list[int]:
        """Of each column, in terminal cells: of some scripts a letter takes two, a mark none."""
        names = [[column.name for column in self._columns]] if self.has_header else []
        return [max(map(cell_len, column)) for column in zip(*names, *self._rows, strict=True)]

    def _cell(self, column: Column, cell: str) -> Text:
        style = style_of(cell) if column.styled else ""
        if column.text and not self._fold:
            return Text(cell, style, no_wrap=True, overflow="ellipsis")
        return Text(cell, style)


def _steps(columns: Sequence[Column]) -> list[tuple[int, Column, bool]]:
    """What is done to get a narrower table, in order: rank, column, and whether it is dropped rather than cut."""
    steps = [(column.cut, column, False) for column in columns if column.short]
    steps += [(column.drop, column, True) for column in columns if column.drop]
    return sorted(steps, key=lambda step: -step[0])


def style_of(text: str) -> str:
    """The style of a status, "" for most."""
    return _STYLES.get(text.partition(" ")[0].rstrip(",:"), "")
