"""The attempts of a delivery, as its row keeps them: when, what came of each, in how long, and in whose words. Pure.

What a receiver says may repeat what it was sent, and stands in a log that people read: it is cut, made printable, and
what looks like a secret is left out.
"""

import re
from typing import Any, Final

import orjson

#: Attempts that are kept of a delivery: those of a whole schedule, and some that were asked for.
MOST_KEPT: Final = 20
#: Characters that are kept of an answer's body, of a Location, and of an error.
MOST_WORDS, MOST_LOCATION, MOST_ERROR = 300, 200, 500
#: Bytes of a body that are looked at.
_LOOKED: Final = 4 * MOST_WORDS
#: An answer that is mostly not text is left out: more than this part of it cannot be read.
_UNREADABLE: Final = 0.2
_HIDDEN: Final = "[redacted]"
#: What looks like a secret: ours (webhooks' and keys), a bearer's token, a key of a usual prefix, a signature.
_SECRET: Final = re.compile(
    r"whsec_[A-Za-z0-9+/=_-]+|fusionai_(?:live|test)_[A-Za-z0-9_-]+|\b(?:sk|pk|rk|xox[abp]|gh[pousr])[-_][A-Za-z0-9_-]{8,}"
    r"|(?i:bearer|basic)\s+[A-Za-z0-9+/=._~-]{8,}|\bv1[=,][A-Za-z0-9+/=]{40,}|\beyJ[A-Za-z0-9_-]{10,}[A-Za-z0-9._-]*"
)


def printable(text: str, most: int) -> str:
    """A stranger's words as they may be stored and shown: one line, no control characters, cut."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:most])


def redacted(text: str) -> str:
    """The same without what looks like a secret.

    >>> redacted("expected whsec_AAAA, got Bearer abcdefgh12")
    'expected [redacted], got [redacted]'
    """
    return _SECRET.sub(_HIDDEN, text)


def words(body: bytes) -> str | None:
    """What a receiver said, as far as it is kept: its body's first characters; None of nothing that can be read."""
    text = " ".join(body[:_LOOKED].decode("utf-8", errors="replace").split())
    if len(body) > _LOOKED:
        text = text.rstrip("\N{REPLACEMENT CHARACTER}")  # a character that was cut in two
    shown = printable(redacted(text), MOST_WORDS)
    unreadable = shown.count("\N{REPLACEMENT CHARACTER}")
    return shown if shown and unreadable <= _UNREADABLE * len(shown) else None


def location(text: str | None) -> str | None:
    """Where a redirect leads, as far as it is kept."""
    return printable(redacted(text[: 2 * MOST_LOCATION]), MOST_LOCATION) if text else None


def entry(
    at: int, status: int | None, seconds: float, error: str | None, body: bytes, redirected: str | None
) -> dict[str, Any]:
    """One attempt that ended `at`, in microseconds, after so many seconds; what there is none of is left out."""
    made = {
        "at": at,
        "ms": round(seconds * 1000),
        "status": status,
        "error": error,
        "words": words(body),
        "location": location(redirected),
    }
    return {name: value for name, value in made.items() if value is not None}


def added(log: str | None, attempt: dict[str, Any]) -> str:
    """The log with one more attempt, the oldest of too many left out."""
    before = orjson.loads(log) if log else []
    return orjson.dumps([*before, attempt][-MOST_KEPT:]).decode()
