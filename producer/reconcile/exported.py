"""What a provider's export says, row by row, whatever form it has; and what is wrong with one. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from producer.terminal import one_line

#: What is counted of calls. Of tokens each is in one of the classes; a class that an export does not have is absent.
CLASSES: Final = ("calls", "input", "cached", "write_5m", "write_1h", "output", "images")
#: Thousandths of a micro-credit, in which costs are kept, of a dollar: a credit is a cent.
NANOS_OF_DOLLAR: Final = 100_000_000_000

#: Counts by class.
Counts = Mapping[str, int]


class ExportError(Exception):
    """A message that says where in the file something is not understood, and what."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(one_line(f"{where}: {what}"))


@dataclass(frozen=True, slots=True)
class ExportRow:
    """Calls of one day (UTC) at one model: one call, where there is a request id; as many as were made, if not."""

    where: str
    day: str
    model: str
    counts: Counts = field(default_factory=dict)
    cost_nanos: int | None = None
    request_id: str | None = None
    provider: str | None = None


def row(where: str, day: str, model: str, counts: Counts, **more: Any) -> ExportRow:
    """A row; of pictures their number counts alone, since that is what they are sold by."""
    if counts.get("images"):
        counts = {name: count for name, count in counts.items() if name in ("calls", "images")}
    return ExportRow(where, day, model, counts, **more)


def day_of(value: object, where: str) -> str:
    """The day (UTC) of an instant: seconds since the epoch, or ISO 8601, which without an offset is UTC.

    >>> day_of(1730419200, ""), day_of("2026-11-29T23:30:00-05:00", ""), day_of("2026-11-29", "")
    ('2024-11-01', '2026-11-30', '2026-11-29')
    """
    text = str(value).strip()
    try:
        if text.replace(".", "", 1).isdigit():
            return datetime.fromtimestamp(float(text), UTC).date().isoformat()
        moment = datetime.fromisoformat(text.replace(" UTC", "+00:00").replace("Z", "+00:00"))
    except (ValueError, OverflowError, OSError):
        raise ExportError(where, f"{text[:40]!r} is no time (ISO 8601, or seconds since 1970)") from None
    return (moment if moment.tzinfo is None else moment.astimezone(UTC)).date().isoformat()


def count_of(value: object, where: str) -> int:
    """A count; empty and null are 0.

    >>> count_of("1,024", ""), count_of(None, ""), count_of("3.0", "")
    (1024, 0, 3)
    """
    text = "" if value is None else str(value).strip().replace(",", "")
    try:
        number = Decimal(text or 0)
        if not number.is_finite() or number != int(number) or number < 0:
            raise ValueError
    except (InvalidOperation, ValueError):
        raise ExportError(where, f"{text[:40]!r} is no count") from None
    return int(number)


def nanos_of(value: object, where: str, *, dollars: Decimal = Decimal(1)) -> int:
    """What an amount comes to; `dollars`: what one of it is in dollars.

    >>> nanos_of("0.06", ""), nanos_of("123.78912", "", dollars=Decimal("0.01"))
    (6000000000, 123789120000)
    """
    text = "" if value is None else str(value).strip().removeprefix("$").replace(",", "")
    try:
        number = Decimal(text or 0)
        if not number.is_finite():
            raise ValueError
    except (InvalidOperation, ValueError):
        raise ExportError(where, f"{text[:40]!r} is no amount") from None
    return int((number * dollars * NANOS_OF_DOLLAR).to_integral_value())
