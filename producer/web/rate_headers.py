"""The rate limit as headers of answers, by OpenAI's names and in its form; dialects that have no other share them."""

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from producer.admission.limits.allowances import Allowance
from producer.web.rows import Schema

What: TypeAlias = Literal["requests", "tokens"]
NAMES: Final = ("X-RateLimit-Limit-Requests", "X-RateLimit-Remaining-Requests", "X-RateLimit-Reset-Requests")


def limit_headers(allowance: Allowance, what: What = "requests") -> list[tuple[bytes, bytes]]:
    """What is left of the limit of `what`; the reset is a duration such as `59.980s`."""
    name = what.encode()
    return [
        (b"x-ratelimit-limit-" + name, b"%d" % allowance.limit),
        (b"x-ratelimit-remaining-" + name, b"%d" % allowance.remaining),
        (b"x-ratelimit-reset-" + name, f"{max(0.0, allowance.reset_seconds):.3f}s".encode()),
    ]


def _header(description: str, pattern: str) -> Schema:
    return {"description": description, "schema": {"type": "string", "pattern": pattern}}


SCHEMAS: Final[Mapping[str, Schema]] = {
    "X-RateLimit-Limit-Requests": _header("The rate limit, in requests per minute. Absent: no limit.", r"^\d+$"),
    "X-RateLimit-Remaining-Requests": _header("The number of requests remaining.", r"^\d+$"),
    "X-RateLimit-Reset-Requests": _header(
        "The time until the rate limit is fully restored, as a duration such as `59.980s`.", r"^\d.*s$"
    ),
    "X-RateLimit-Limit-Tokens": _header("The rate limit of the API key, in tokens per minute. Absent: none.", r"^\d+$"),
    "X-RateLimit-Remaining-Tokens": _header("The number of tokens remaining.", r"^\d+$"),
    "X-RateLimit-Reset-Tokens": _header("As X-RateLimit-Reset-Requests, of tokens.", r"^\d.*s$"),
}
