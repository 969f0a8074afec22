"""When a failed attempt is tried again. Pure: no clock, no network, no database."""

from dataclasses import dataclass
from typing import Final

from shared.errors import ProviderError

#: Pauses before the retries, in base pauses; as many as there are retries (the documented maximum is three).
SCHEDULE: Final = (1.0, 4.0, 16.0)

#: The longest wait that is honoured; a provider that asks for more is given up (or fallen back from).
LONGEST_WAIT_SECONDS: Final = 3600.0

#: HTTP statuses after which the same request may succeed later. 529 is Anthropic's `overloaded_error`.
RETRYABLE_STATUSES: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})

#: Our own codes for attempts that had no answer, or not a whole one.
RETRYABLE_CODES: Final = frozenset({"connect", "timeout", "reset", "protocol", "truncated", "empty"})

#: Codes that say that our key is wrong, whatever the status: Google answers 400 to a wrong key, gateways 200.
KEY_CODES: Final = frozenset(
    {
        "invalid_api_key",
        "authentication_error",
        "permission_error",
        "API_KEY_INVALID",
        "UNAUTHENTICATED",
        "PERMISSION_DENIED",
    }
)

#: Codes that say "no" whatever the status: OpenAI's exhausted quota and Anthropic's spend limits come as 429.
FINAL_CODES: Final = KEY_CODES | {
    "insufficient_quota",
    "billing_hard_limit_reached",
    "billing_not_active",
    "billing_error",
    "spend_limit_exceeded",
}

#: The request itself is wrong: another provider would say the same.
CALLERS_STATUSES: Final = frozenset({400, 413, 415, 422})


@dataclass(frozen=True, slots=True)
class Retry:
    """Try this provider again after a pause."""

    wait_seconds: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No further attempt at this provider; `elsewhere`: another offer may still serve the job."""

    reason: str
    elsewhere: bool


def decide(error: ProviderError, *, failures: int, base_seconds: float, jitter: float) -> Retry | GiveUp:
    """Say whether a job that has failed `failures` times at this offer gets another attempt there, and when.

    The schedule is stretched by up to a half by `jitter` (0–1, uniformly random, the caller's). The provider's own
    Retry-After wins when it is longer.

    >>> decide(ProviderError("", upstream_status=400), failures=1, base_seconds=1.0, jitter=0.0)
    GiveUp(reason='invalid_request', elsewhere=False)
    >>> decide(ProviderError("", upstream_status=503), failures=2, base_seconds=1.0, jitter=0.5)
    Retry(wait_seconds=5.0)
    """
    if error.upstream_status in CALLERS_STATUSES and error.code not in FINAL_CODES:
        return GiveUp("invalid_request", elsewhere=False)
    if not _retryable(error):
        return GiveUp(error.code or f"status_{error.upstream_status}", elsewhere=True)
    if failures > len(SCHEDULE):
        return GiveUp("retries_exhausted", elsewhere=True)
    asked = error.wait_seconds or 0.0
    if asked > LONGEST_WAIT_SECONDS:
        return GiveUp("retry_after_too_long", elsewhere=True)
    return Retry(max(SCHEDULE[failures - 1] * base_seconds * (1 + jitter / 2), asked))


def _retryable(error: ProviderError) -> bool:
    if error.code in FINAL_CODES:
        return False
    return error.upstream_status in RETRYABLE_STATUSES or error.code in RETRYABLE_CODES
