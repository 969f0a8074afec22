"""When a failed attempt is tried again: the whole decision as a table, and its arithmetic as properties."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ProviderError
from workers import retry, webhooks
from workers.retry import LONGEST_WAIT_SECONDS, SCHEDULE, GiveUp, Retry, decide

AGAIN = "again"
ELSEWHERE = "elsewhere"
NEVER = "never"

#: (HTTP status, code, what follows the first failure)
TABLE = [
    *((status, None, AGAIN) for status in (408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529)),
    *((status, None, NEVER) for status in (400, 413, 415, 422)),
    *((status, None, ELSEWHERE) for status in (401, 402, 403, 404, 405, 410, 418, 451, 501)),
    *((None, code, AGAIN) for code in ("connect", "timeout", "reset", "protocol", "truncated", "empty")),
    (None, "not_configured", ELSEWHERE),
    (None, None, ELSEWHERE),
    (200, "protocol", AGAIN),
    (200, "empty", AGAIN),
    (429, "rate_limit_exceeded", AGAIN),
    (429, "rate_limit_error", AGAIN),
    (529, "overloaded_error", AGAIN),
    (429, "insufficient_quota", ELSEWHERE),
    (429, "billing_hard_limit_reached", ELSEWHERE),
    (403, "billing_not_active", ELSEWHERE),
    (429, "billing_error", ELSEWHERE),
    (429, "spend_limit_exceeded", ELSEWHERE),
    (500, "insufficient_quota", ELSEWHERE),
    (400, "billing_hard_limit_reached", ELSEWHERE),
    (400, "connect", NEVER),
]


def decided(status: int | None, code: str | None, failures: int = 1, asked: float | None = None) -> Retry | GiveUp:
    error = ProviderError("", upstream_status=status, code=code, retry_after_seconds=asked)
    return decide(error, failures=failures, base_seconds=1.0, jitter=0.0)


@pytest.mark.parametrize(("status", "code", "follows"), TABLE)
def test_what_follows_a_first_failure(status: int | None, code: str | None, follows: str) -> None:
    verdict = decided(status, code)
    if follows == AGAIN:
        assert verdict == Retry(1.0)
    else:
        assert isinstance(verdict, GiveUp) and verdict.elsewhere is (follows == ELSEWHERE)


@pytest.mark.parametrize(
    ("failures", "asked", "wait"),
    [
        (1, None, 1.0),
        (2, None, 4.0),
        (3, None, 16.0),
        (1, 0.0, 1.0),
        (1, 0.5, 1.0),
        (1, 7.0, 7.0),
        (2, 3.0, 4.0),
        (3, 61.0, 61.0),
        (1, LONGEST_WAIT_SECONDS, LONGEST_WAIT_SECONDS),
    ],
)
def test_the_longer_of_schedule_and_retry_after(failures: int, asked: float | None, wait: float) -> None:
    assert decided(429, None, failures, asked) == Retry(wait)


def test_a_provider_that_asks_for_more_than_an_hour_is_given_up() -> None:
    assert decided(429, None, 1, LONGEST_WAIT_SECONDS + 1) == GiveUp("retry_after_too_long", elsewhere=True)


@pytest.mark.parametrize("failures", [4, 5, 100])
def test_three_retries_and_no_more(failures: int) -> None:
    assert decided(503, None, failures) == GiveUp("retries_exhausted", elsewhere=True)


def test_a_spent_quota_is_named_not_called_exhausted_retries() -> None:
    assert decided(429, "insufficient_quota", 9) == GiveUp("insufficient_quota", elsewhere=True)


@given(
    status=st.one_of(st.none(), st.integers(100, 599)),
    code=st.one_of(st.none(), st.sampled_from(sorted(retry.RETRYABLE_CODES | retry.FINAL_CODES)), st.text(max_size=8)),
    failures=st.integers(1, 10),
    base=st.floats(0.001, 60),
    jitter=st.floats(0, 1),
    asked=st.one_of(st.none(), st.floats(0, 1e6)),
)
def test_every_verdict_is_bounded(
    status: int | None, code: str | None, failures: int, base: float, jitter: float, asked: float | None
) -> None:
    error = ProviderError("", upstream_status=status, code=code, retry_after_seconds=asked)
    verdict = decide(error, failures=failures, base_seconds=base, jitter=jitter)
    if isinstance(verdict, Retry):
        assert failures <= len(SCHEDULE) and code not in retry.FINAL_CODES
        assert max(asked or 0, SCHEDULE[failures - 1] * base) <= verdict.wait_seconds
        assert verdict.wait_seconds <= max(asked or 0, SCHEDULE[failures - 1] * base * 1.5 + 1e-9)
    else:
        assert verdict.reason


@pytest.mark.parametrize("module", [retry, webhooks])
def test_the_examples_in_the_docstrings_hold(module: object) -> None:
    results = doctest.testmod(module)  # type: ignore[arg-type]
    assert results.attempted and not results.failed


def test_webhook_pauses_grow_and_sum_to_about_three_days() -> None:
    pauses = [webhooks.pause_seconds(attempt, 0.0) for attempt in range(1, len(webhooks.SCHEDULE) + 1)]
    kept = [pause for pause in pauses if pause is not None]
    assert kept == sorted(kept) and len(kept) == len(pauses) and kept[0] <= 10
    assert 2.5 * 86_400 <= sum(kept) <= 3.5 * 86_400
    assert webhooks.pause_seconds(len(pauses) + 1, 0.0) is None


@given(attempt=st.integers(1, len(webhooks.SCHEDULE)), jitter=st.floats(0, 1))
def test_webhook_jitter_only_lengthens_and_little(attempt: int, jitter: float) -> None:
    plain, jittered = webhooks.pause_seconds(attempt, 0.0), webhooks.pause_seconds(attempt, jitter)
    assert plain is not None and jittered is not None
    assert plain <= jittered <= plain * (1 + webhooks.JITTER)
