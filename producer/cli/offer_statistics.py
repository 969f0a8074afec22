"""How an offer has served of late, as the commands show it: columns, their cells, and the object of `--json`."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from producer.cli.output import Output
from producer.cli.tables import Column

if TYPE_CHECKING:  # its module needs a package of the server
    from shared.providers.statistics import OfferStatistics

#: Beside what else a table has; where the terminal is too narrow, the times go first.
COLUMNS = (
    Column("errors", right=True, drop=2),
    Column("first", right=True, drop=4),
    Column("answer", right=True, drop=3),
)
#: What the columns mean, below a table.
MEANING = "errors: of recent calls; first, answer: seconds to the first token, to the end."
#: The least weight of all calls of which a share is shown.
LEAST_CALLS = 0.01


def as_object(one: "OfferStatistics | None") -> dict[str, float | None] | None:
    """The object of `--json`; None: nothing is known of late."""
    if one is None:
        return None
    return {
        "error_rate": round(one.error_rate, 4),
        "first_seconds": _rounded(one.first_seconds),
        "total_seconds": _rounded(one.total_seconds),
        "calls": round(one.calls, 2),
    }


def cells(found: Mapping[str, Any] | None) -> tuple[str, str, str]:
    """The cells of COLUMNS, of what `as_object` made."""
    if found is None:
        return "", "", ""
    errors = f"{found['error_rate'] * 100:.1f} %" if found["calls"] >= LEAST_CALLS else ""
    return errors, _seconds(found["first_seconds"]), _seconds(found["total_seconds"])


def table(
    output: Output, columns: Sequence[Column], rows: Sequence[Sequence[object]], *, known: bool, empty: str
) -> None:
    """A table that has COLUMNS, and what they mean below it; or, where nothing is known, the same without them."""
    kept = [index for index, column in enumerate(columns) if known or column not in COLUMNS]
    output.table([columns[index] for index in kept], [[row[index] for index in kept] for row in rows], empty=empty)
    if known:
        output.remark(MEANING)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.2f}" if seconds < 10 else f"{seconds:.0f}"
