"""The secrets of a webhook, or of callbacks: the current one, and earlier ones that also sign for a day. Pure."""

import json
from collections.abc import Mapping
from typing import Any, Final

_MICROS: Final = 1_000_000
#: For how long a rotated secret still signs, in seconds, where the rotation does not say less.
OVERLAP_SECONDS: Final = 24 * 3600
#: Secrets that sign at once: each is a part of two headers of every delivery, some 120 bytes.
MOST: Final = 8


def signing(row: Mapping[str, Any], now: int) -> list[str]:
    """All that sign a delivery now, the newest first, of their row; `now` in microseconds."""
    return [row["secret"], *(one["secret"] for one in _before(row, now))]


def rotated(row: Mapping[str, Any], fresh: str, now: int, overlap_seconds: int = OVERLAP_SECONDS) -> dict[str, Any]:
    """What changes in the row when `fresh` becomes its secret.

    All secrets before it end after the overlap at the latest; 0 seconds: they sign nothing any more. If more than MOST
    would sign, the one that was the current secret for the shortest time ends now, for it is the one that receivers
    are least likely to have: what a script that rotates in a loop makes, and not what was deployed.
    """
    until = now + overlap_seconds * _MICROS
    before = [{"secret": row["secret"], "until": until, "since": now}, *_before(row, now)]
    before = [{**one, "until": min(one["until"], until)} for one in before]
    before = [one for one in before if one["until"] > now]
    while len(before) >= MOST:
        del before[_shortest(before)]
    changed: dict[str, Any] = {"secret": fresh, "old_secrets": json.dumps(before)}
    if "previous_secret" in row:
        previous = before[0] if before else {"secret": None, "until": None}
        changed |= {"previous_secret": previous["secret"], "previous_until": previous["until"]}
    return changed


def _shortest(before: list[dict[str, Any]]) -> int:
    """Which of them was the current secret for the shortest time, the oldest of equals; of the oldest it is unknown."""
    ended = [one.get("since", one["until"] - OVERLAP_SECONDS * _MICROS) for one in before]
    reigns = [(ended[at] - ended[at + 1], -at) for at in range(len(before) - 1)]
    return -min(reigns)[1]


def _before(row: Mapping[str, Any], now: int) -> list[dict[str, Any]]:
    """The older ones that still sign; that of a version which knows no list is among them."""
    if not (row["old_secrets"] or row.get("previous_secret")):
        return []
    kept = list(json.loads(row["old_secrets"] or "[]"))
    known = {row["secret"], *(one["secret"] for one in kept)}
    if row.get("previous_secret") and row["previous_secret"] not in known:
        kept.insert(0, {"secret": row["previous_secret"], "until": row["previous_until"] or 0})
    return [one for one in kept if one["until"] > now]
