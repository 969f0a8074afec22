"""How a table is laid out: numbers to the right, and on a narrow terminal fewer columns and shorter ids. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len

_GAP = 2
#: Of an id that has no room: so many of its last characters, which differ most.
_SHORT_ID = 8


@dataclass(frozen=True)
class Column:
    """`right`: it holds numbers. `drop`: the first to go where there is no room has the highest; 0 stays.

    `id`: it may be shortened, to `…` and its end, when dropping others was not enough.
    """

    name: str
    right: bool = False
    drop: int = 0
    id: bool = False


def lay_out(columns: Sequence[Column], rows: Sequence[Sequence[str]], room: int | None) -> list[list[str]]:
    """The header and the rows as cells of equal width; `room` None: all of it, however wide.

    Nothing but an id is ever cut: where even that is too wide, lines are longer than the room.
    """
    cells = [[column.name for column in columns], *(list(row) for row in rows)]
    kept = list(range(len(columns)))
    while room is not None and _width(cells, kept) > room:
        droppable = [index for index in kept if columns[index].drop]
        if not droppable:
            cells = [[short(cell) if column.id else cell for column, cell in zip(columns, row, strict=True)]
                     for row in cells]  # fmt: skip
            break
        kept.remove(max(droppable, key=lambda index: columns[index].drop))
    widths = {index: max(cell_len(row[index]) for row in cells) for index in kept}
    return [[_padded(row[index], widths[index], right=columns[index].right) for index in kept] for row in cells]


def line(cells: Sequence[str]) -> str:
    """A row of padded cells."""
    return (" " * _GAP).join(cells).rstrip()


def _width(cells: Sequence[Sequence[str]], kept: Sequence[int]) -> int:
    return sum(max(cell_len(row[index]) for row in cells) for index in kept) + _GAP * (len(kept) - 1)


def _padded(cell: str, width: int, *, right: bool) -> str:
    """In the terminal's own columns: of some scripts a letter takes two, a mark none."""
    spaces = " " * (width - cell_len(cell))
    return spaces + cell if right else cell + spaces


def short(cell: str) -> str:
    """`…a8a5c31b` of an id; any other text is itself."""
    return cell if len(cell) <= _SHORT_ID + 1 or "_" not in cell else f"…{cell[-_SHORT_ID:]}"
