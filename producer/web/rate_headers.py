"""The rate limit as headers of answers, by OpenAI's names and in its form; dialects that have no other share them."""

from collections.abc import Mapping
from typing import Final

from producer.admission.limits.allowances import Allowance
from producer.web.rows import Schema

NAMES: Final = ("X-RateLimit-Limit-Requests", "X-RateLimit-Remaining-Requests", "X-RateLimit-Reset-Requests")


def limit_headers(allowance: Allowance) -> list[tuple[bytes, bytes]]:
    """What is left of the limit; the reset is a duration such as `59.980s`."""
    return [
        (b"x-ratelimit-limit-requests", b"%d" % allowance.limit),
        (b"x-ratelimit-remaining-requests", b"%d" % allowance.remaining),
        (b"x-ratelimit-reset-requests", f"{max(0.0, allowance.reset_seconds):.3f}s".encode()),
    ]


def _header(description: str, pattern: str) -> Schema:
    return {"description": description, "schema": {"type": "string", "pattern": pattern}}


SCHEMAS: Final[Mapping[str, Schema]] = {
    "X-RateLimit-Limit-Requests": _header("The rate limit, in requests per minute. Absent: no limit.", r"^\d+$"),
    "X-RateLimit-Remaining-Requests": _header("The number of requests remaining.", r"^\d+$"),
    "X-RateLimit-Reset-Requests": _header(
        "The time until the rate limit is fully restored, as a duration such as `59.980s`.", r"^\d.*s$"
    ),
}
