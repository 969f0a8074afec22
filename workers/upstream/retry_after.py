"""Reads how long a provider asks to wait, in any of its forms. Pure."""

from collections.abc import Mapping
from typing import Any

from shared import durations
from shared.providers.limits import RateLimits

#: The statuses after which a limit that is used up is the reason.
_LIMITED = frozenset({429, 503, 529})


def seconds(
    status: int, headers: Mapping[str, str], error: Mapping[str, Any], limits: RateLimits | None, *, now_seconds: float
) -> float | None:
    """The wait in seconds, None when nothing is said of it, or nothing that can be meant.

    By order: `retry-after-ms` (OpenAI, Azure); `retry-after`, a number or a date; Google's RetryInfo in the body; of
    the limits that are used up the longest time until they are whole again.
    """
    if (wait := durations.number(headers.get("retry-after-ms", ""))) is not None:
        if (wait := durations.plausible(wait / 1000)) is not None:
            return wait
    if said := headers.get("retry-after"):
        wait = durations.seconds(said)
        if wait is None:
            wait = durations.until(said, headers, now_seconds)
        if wait is not None:
            return wait
    if (wait := in_body(error)) is not None:
        return wait
    return _until_whole(limits) if status in _LIMITED else None


def in_body(error: Mapping[str, Any]) -> float | None:
    """Google's: `{"details": [{"@type": "…google.rpc.RetryInfo", "retryDelay": "34s"}]}`."""
    details = error.get("details")
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and isinstance(delay := detail.get("retryDelay"), str):
            return durations.seconds(delay)
    return None


def _until_whole(limits: RateLimits | None) -> float | None:
    if limits is None:
        return None
    used_up = [one for one in (limits.requests, limits.tokens) if one is not None and one.remaining == 0]
    return max((one.reset_seconds for one in used_up if one.reset_seconds is not None), default=None)
