"""How values look in pages: amounts of credit, counts, times, durations, sizes. Pure."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from json import dumps
from typing import Any, Final

from producer.console import line_faults
from shared.money.currencies import money_text

#: What an <input type="number"> takes.
_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?(e[-+]?[0-9]+)?", re.IGNORECASE)
#: Bytes of a request's body that a page shows as commands and code: writing it out takes a moment for each value.
MOST_SHOWN_BYTES: Final = 100_000


def credits(value: float | None, least: int = 2) -> str:
    """An amount of credit: at least so many decimals, and as many as it has.

    >>> credits(1234.5), credits(0.000007), credits(None), credits(3), credits(3, 4)
    ('1,234.50', '0.000007', '–', '3.00', '3.0000')
    """
    if value is None:
        return "–"
    text = f"{value:,.6f}".rstrip("0")
    whole, _, rest = text.partition(".")
    return f"{whole}.{rest:0<{least}}"


def decimals(values: Iterable[float | None]) -> int:
    """As many decimals as the amounts of a column need, so that their points stand beneath each other.

    >>> decimals([3, None, 0.0125]), decimals([])
    (4, 2)
    """
    return max((len(credits(value).partition(".")[2]) for value in values if value is not None), default=2)


def count(value: int | None) -> str:
    """A number of things.

    >>> count(1234567), count(None)
    ('1,234,567', '–')
    """
    return "–" if value is None else f"{value:,}"


def counted(found: Mapping[str, Any]) -> str:
    """A count of the API's, which stops somewhere.

    >>> counted({"count": 10000, "exact": False})
    '10,000+'
    """
    return f"{found['count']:,}{'' if found['exact'] else '+'}"


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


def took(seconds: float | None) -> str:
    """How long something that is over took, by clocks that tell whole seconds.

    >>> took(0), took(75), took(None)
    ('< 1 s', '1 min 15 s', '–')
    """
    return "< 1 s" if seconds is not None and seconds < 1 else duration(seconds)


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


def rate(value: float | None) -> str:
    """A rate, given in things a second; by the minute where that tells more.

    >>> rate(412.3), rate(2.25), rate(0.05), rate(None)
    ('412/s', '2.2/s', '3/min', '–')
    """
    if value is None:
        return "–"
    if value < 0.5:
        return f"{value * 60:.2g}/min"
    return f"{value:,.0f}/s" if value >= 10 else f"{value:.1f}/s"


#: Characters of an answer that a list shows.
_GIST = 140


def gist(job: Mapping[str, Any]) -> str:
    """The beginning of a job's answer, for a list; empty without one.

    >>> gist({"type": "embedding", "result": {"data": [{"embedding": [0.1, 0.2]}]}})
    '1 vector'
    >>> gist({"type": "image", "status": "succeeded", "result": None})  # it was not asked for
    'pictures'
    """
    result = job["result"] or {}
    found = result.get("data") or result.get("choices") or ()
    if job["type"] != "chat.completion":
        word = "vector" if job["type"] == "embedding" else "picture"
        if not found and job.get("status") == "succeeded":
            return f"{word}s"
        return f"{len(found)} {word}{'' if len(found) == 1 else 's'}" if found else ""
    message = found[0].get("message") if found else None
    text = message.get("content") if message else None
    if not isinstance(text, str):
        return "calls a function" if message and message.get("tool_calls") else ""
    text = " ".join(text[: 2 * _GIST].split())
    return text if len(text) <= _GIST else text[:_GIST] + "…"


def short(id: str) -> str:
    """An id by its kind and end, which tells it from others at a glance; a word joiner keeps both on one line.

    >>> short("job_01a228e5f33c0000e192204cba97e324")
    'job_…\\u2060ba97e324'
    """
    kind, _, rest = id.rpartition("_")
    return id if len(rest) <= 12 else f"{kind}_…\u2060{rest[-8:]}"


def price(value: Mapping[str, Any] | None) -> str:
    """An amount of money as invoices have it.

    >>> price({"amount": 1250, "currency": "usd"}), price(None)
    ('12.50 USD', '–')
    """
    return "–" if value is None else money_text(value["amount"], value["currency"])


def typed(value: object, type: str) -> str:
    """A field's value as an <input> of the type takes it; empty if it is none of that type.

    >>> typed("2026-13-01", "date"), typed("20261129", "date"), typed("ten", "number"), typed(1.5, "number")
    ('', '2026-11-29', '', '1.5')
    """
    text = str(value)
    if type == "number":
        return text if _NUMBER.fullmatch(text) else ""
    if type != "date" or not text:
        return text
    try:
        return str(date.fromisoformat(text))
    except ValueError:
        return ""


def worded(message: str, param: str, label: str) -> str:
    """The API's words about a parameter in those of a form, whose field has a label.

    >>> worded("monthly_limit must be above 0", "monthly_limit", "At most in a month")
    '“At most in a month” must be above 0'
    """
    rest = message.removeprefix(param)
    return f"“{label}”{rest}" if rest != message and rest[:1] in (" ", ":") else message


def json(value: Any) -> str:
    """A value as JSON to read, its fields in their own order.

    >>> json({"b": 1, "a": "é"})
    '{\\n  "b": 1,\\n  "a": "é"\\n}'
    """
    return dumps(value, indent=2, ensure_ascii=False)


FILTERS: Final[dict[str, Any]] = {
    "counted": counted,
    "credits": credits,
    "decimals": decimals,
    "count": count,
    "gist": gist,
    "instant": instant,
    "moment": moment,
    "duration": duration,
    "rate": rate,
    "short": short,
    "size": size,
    "took": took,
    "typed": typed,
    "json": json,
    "price": price,
    "worded": worded,
    "line_fault": line_faults.shown,
    "faults_counted": line_faults.counted,
}
