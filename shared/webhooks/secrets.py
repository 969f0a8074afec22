"""The secrets of a webhook: the current one, and earlier ones that also sign for a day. Pure."""

import json
from collections.abc import Mapping
from typing import Any, Final

#: For how long a rotated secret still signs, in microseconds.
OVERLAP_MICROS: Final = 24 * 3600 * 1_000_000
#: Secrets that sign at once: each is a part of two headers of every delivery.
MOST: Final = 8


def signing(row: Mapping[str, Any], now: int) -> list[str]:
    """All that sign a delivery now, the newest first, of a row of `webhooks`; `now` in microseconds."""
    return [row["secret"], *(one["secret"] for one in _before(row, now))]


def rotated(row: Mapping[str, Any], fresh: str, now: int) -> dict[str, Any]:
    """What changes in the row when `fresh` becomes its secret."""
    until = now + OVERLAP_MICROS
    before = [{"secret": row["secret"], "until": until}, *_before(row, now)]
    return {
        "secret": fresh,
        "old_secrets": json.dumps(before),
        "previous_secret": row["secret"],
        "previous_until": until,
    }


def first_end(row: Mapping[str, Any], now: int) -> int | None:
    """When the oldest of them ends, if as many sign as may; None while there is room for another."""
    before = _before(row, now)
    return min(one["until"] for one in before) if len(before) + 1 >= MOST else None


def _before(row: Mapping[str, Any], now: int) -> list[dict[str, Any]]:
    """The older ones that still sign; that of a version which knows no list is among them."""
    kept = list(json.loads(row["old_secrets"] or "[]"))
    known = {row["secret"], *(one["secret"] for one in kept)}
    if row["previous_secret"] and row["previous_secret"] not in known:
        kept.insert(0, {"secret": row["previous_secret"], "until": row["previous_until"] or 0})
    return [one for one in kept if one["until"] > now]
