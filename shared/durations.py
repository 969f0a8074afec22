"""Lengths and points of time as HTTP servers write them, in headers and error bodies. Pure; every pattern is linear."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_tz

#: The longest wait that somebody may mean: the longest month.
MOST_SECONDS = 31 * 86_400.0
_UNITS = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{0,12})?")
_PART = re.compile(r"([0-9]{1,15}(?:\.[0-9]{0,12})?)(ms|us|µs|ns|d|h|m|s)")
#: No form of a point of time is longer.
_LONGEST = 64


def number(text: str) -> float | None:
    """A number as it stands, not negative; None for anything else: signs, exponents, words for infinity."""
    text = text.strip()
    return float(text) if _NUMBER.fullmatch(text) else None


def seconds(text: str) -> float | None:
    """A length: "1s", "6m0s", "17ms", "1h2m3.5s" (OpenAI, Groq), "34.07s" (Google), or a bare number of seconds."""
    if (plain := number(text)) is not None:
        return plausible(plain)
    at, total, text = 0, 0.0, text.strip()
    if len(text) > _LONGEST:
        return None
    while found := _PART.match(text, at):
        total += float(found[1]) * _UNITS[found[2]]
        at = found.end()
    return plausible(round(total, 9)) if at and at == len(text) else None


def plausible(length: float) -> float | None:
    """The same length, unless nobody can mean it."""
    return length if 0 <= length <= MOST_SECONDS else None


def until(text: str, headers: Mapping[str, str], now_seconds: float | None) -> float | None:
    """How long until a point of time, 0 when it is over: an HTTP date in any of RFC 9110's three forms, or RFC 3339's.

    It is compared with the answer's own `Date`, since the two machines' clocks may differ; without one with
    `now_seconds`.
    """
    at = _instant(text)
    said = headers.get("date")
    now = _instant(said) if said else None
    now = now_seconds if now is None else now
    return None if at is None or now is None else plausible(max(at - now, 0.0))


def _instant(text: str) -> float | None:
    """Seconds since 1970."""
    text = text.strip()
    if len(text) > _LONGEST:
        return None
    try:
        if text[:4].isdigit():
            moment = datetime.fromisoformat(text)
        elif (parts := parsedate_tz(text)) is not None:
            moment = datetime(*parts[:6], tzinfo=UTC)
            return moment.timestamp() - (parts[9] or 0)
        else:
            return None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
