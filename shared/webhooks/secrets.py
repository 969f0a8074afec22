"""The secrets of a webhook, or of callbacks: the current one, and earlier ones that also sign for a day. Pure."""

import json
from collections.abc import Mapping
from typing import Any, Final

from shared.errors import Conflict

#: For how long a rotated secret still signs, in microseconds.
OVERLAP_MICROS: Final = 24 * 3600 * 1_000_000
#: Secrets that sign at once: each is a part of two headers of every delivery.
MOST: Final = 8


def signing(row: Mapping[str, Any], now: int) -> list[str]:
    """All that sign a delivery now, the newest first, of their row; `now` in microseconds."""
    return [row["secret"], *(one["secret"] for one in _before(row, now))]


def rotated(row: Mapping[str, Any], fresh: str, now: int) -> dict[str, Any]:
    """What changes in the row when `fresh` becomes its secret."""
    until = now + OVERLAP_MICROS
    before = [{"secret": row["secret"], "until": until}, *_before(row, now)]
    changed: dict[str, Any] = {"secret": fresh, "old_secrets": json.dumps(before)}
    if "previous_secret" in row:
        changed |= {"previous_secret": row["secret"], "previous_until": until}
    return changed


def first_end(row: Mapping[str, Any], now: int) -> int | None:
    """When the oldest of them ends, if as many sign as may; None while there is room for another."""
    before = _before(row, now)
    return min(one["until"] for one in before) if len(before) + 1 >= MOST else None


def check_room(row: Mapping[str, Any], now: int, whose: str) -> None:
    """Refuse a rotation while as many sign as may: a 409 that says when the oldest of them ends."""
    if (end := first_end(row, now)) is not None:
        seconds = (end - now) // 1_000_000 + 1
        raise Conflict(f"{whose} already has {MOST} valid secrets; the oldest expires in {seconds:,} s")


def _before(row: Mapping[str, Any], now: int) -> list[dict[str, Any]]:
    """The older ones that still sign; that of a version which knows no list is among them."""
    if not (row["old_secrets"] or row.get("previous_secret")):
        return []
    kept = list(json.loads(row["old_secrets"] or "[]"))
    known = {row["secret"], *(one["secret"] for one in kept)}
    if row.get("previous_secret") and row["previous_secret"] not in known:
        kept.insert(0, {"secret": row["previous_secret"], "until": row["previous_until"] or 0})
    return [one for one in kept if one["until"] > now]
