"""How values look in pages: amounts of credit, counts, times, durations, sizes. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from shared.money.currencies import money_text


def credits(value: float | None) -> str:
    """An amount of credit: at least two decimals, and as many as it has.

    >>> credits(1234.5), credits(0.000007), credits(None), credits(3)
    ('1,234.50', '0.000007', '–', '3.00')
    """
    if value is None:
        return "–"
    text = f"{value:,.6f}".rstrip("0")
    whole, _, rest = text.partition(".")
    return f"{whole}.{rest:0<2}"


def count(value: int | None) -> str:
    """A number of things.

    >>> count(1234567), count(None)
    ('1,234,567', '–')
    """
    return "–" if value is None else f"{value:,}"


def instant(value: int | None) -> str:
    """Seconds since the epoch as a machine reads it, for <time datetime>.

    >>> instant(1)
    '1970-01-01T00:00:01Z'
    """
    return "" if value is None else datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(value: int | None) -> str:
    """The same for people, in UTC, where no script makes local time of it.

    >>> moment(1)
    '1970-01-01 00:00:01 UTC'
    """
    return "–" if value is None else datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def duration(seconds: float | None) -> str:
    """A length of time, two units at most.

    >>> duration(0), duration(0.25), duration(75), duration(3 * 3600 + 60), duration(200_000), duration(None)
    ('0 s', '0.25 s', '1 min 15 s', '3 h 1 min', '2 d 7 h', '–')
    """
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{round(seconds, 2):g} s"
    whole = int(seconds)
    for unit, name, lesser, lesser_name in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= unit:
            rest = whole % unit // lesser
            return f"{whole // unit} {name}" + (f" {rest} {lesser_name}" if rest else "")
    return f"{whole} s"


def size(value: int | None) -> str:
    """A number of bytes.

    >>> size(999), size(2_500_000)
    ('999 B', '2.5 MB')
    """
    if value is None:
        return "–"
    number, unit = float(value), "B"
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000 or unit == "GB":
            break
        number /= 1000
    return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"


def price(value: Mapping[str, Any] | None) -> str:
    """An amount of money as invoices have it.

    >>> price({"amount": 1250, "currency": "usd"}), price(None)
    ('12.50 USD', '–')
    """
    return "–" if value is None else money_text(value["amount"], value["currency"])


FILTERS: Final[dict[str, Any]] = {
    "credits": credits,
    "count": count,
    "instant": instant,
    "moment": moment,
    "duration": duration,
    "size": size,
    "price": price,
}
