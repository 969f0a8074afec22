"""Why a line did not succeed, in one word that programs compare: `content_filter`, `expired`. Pure."""

from collections.abc import Mapping
from typing import Any, Final

#: Characters of a reason: a provider's code is nobody's prose.
MOST: Final = 100


def of(status: str, error: Mapping[str, Any] | None) -> str | None:
    """The reason of a job that has ended: its error's own, else the error's type; None when it succeeded.

    >>> of("failed", {"message": "no", "type": "upstream_error", "code": 502, "reason": "retries_exhausted"})
    'retries_exhausted'
    >>> of("expired", None), of("succeeded", None)
    ('expired', None)
    """
    if status == "succeeded":
        return None
    told = error or {}
    return plain(str(told.get("reason") or told.get("type") or status))


def plain(word: str) -> str:
    """Without what a column does not take: it may be what a provider sent."""
    return "".join(letter if letter.isprintable() else "?" for letter in word[:MOST])
