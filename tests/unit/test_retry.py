"""When a failed attempt is tried again: the whole decision as a table, and its arithmetic as properties."""

import doctest
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ProviderError
from shared.queues import Lane
from workers.running import retry
from workers.running.retry import LONGEST_WAIT_SECONDS, SCHEDULE, Defer, GiveUp, Retry, Situation, decide
from workers.upstream import faults
from workers.webhooks import schedule

AGAIN = "again"
ELSEWHERE = "elsewhere"
NEVER = "never"
LATER = "later"

#: (HTTP status, code, what follows the first failure in the realtime lane, and in the batch lane)
TABLE = [
    *((status, None, AGAIN, LATER) for status in (408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529)),
    *((status, None, NEVER, NEVER) for status in (400, 415, 422)),
    *((status, None, ELSEWHERE, LATER) for status in (401, 402, 403)),
    *((status, None, ELSEWHERE, LATER) for status in (404, 405, 410, 418, 451, 501)),
    (413, None, ELSEWHERE, ELSEWHERE),
    *((None, code, AGAIN, LATER) for code in ("connect", "first_byte", "idle", "timeout", "reset", "truncated")),
    *((None, code, AGAIN, LATER) for code in ("protocol", "empty", None)),
    (None, "not_configured", ELSEWHERE, LATER),
    (404, "model_not_found", ELSEWHERE, LATER),
    (200, "protocol", AGAIN, LATER),
    (429, "rate_limit_exceeded", AGAIN, LATER),
    (529, "overloaded_error", AGAIN, LATER),
    (429, "insufficient_quota", ELSEWHERE, LATER),
    (400, "billing_hard_limit_reached", ELSEWHERE, LATER),
    (400, "API_KEY_INVALID", ELSEWHERE, LATER),
    (400, "context_length_exceeded", ELSEWHERE, ELSEWHERE),
    (400, "content_filter", NEVER, NEVER),
    (200, "content_filter", NEVER, NEVER),
    (400, "connect", NEVER, NEVER),
]


def fault(status: int | None, code: str | None = None, asked: float | None = None, head: bool = False) -> ProviderError:
    return ProviderError("", upstream_status=status, code=code, retry_after_seconds=asked, head=head)


def decided(error: ProviderError, lane: Lane = "realtime", **at: Any) -> Retry | Defer | GiveUp:
    return decide(error, Situation(lane, **at), base_seconds=1.0, jitter=0.0)


@pytest.mark.parametrize(("status", "code", "realtime", "batch"), TABLE)
def test_what_follows_a_first_failure(status: int | None, code: str | None, realtime: str, batch: str) -> None:
    for lane, follows in (("realtime", realtime), ("batch", batch)):
        verdict = decided(fault(status, code), lane)  # type: ignore[arg-type]
        if isinstance(verdict, GiveUp):
            assert verdict.elsewhere is (follows == ELSEWHERE) and follows in (ELSEWHERE, NEVER)
        else:
            assert follows in (AGAIN, LATER)
            assert (type(verdict), verdict.wait_seconds) == (Retry if follows == AGAIN else Defer, 1.0)


@pytest.mark.parametrize(
    ("failures", "asked", "wait"),
    [
        *((1, asked, 1.0) for asked in (None, 0.0, 0.5)),
        *((number, None, wait) for number, wait in ((2, 4.0), (3, 16.0))),
        (1, 7.0, 7.0),
        (2, 3.0, 4.0),
        (3, 61.0, 61.0),
        (1, LONGEST_WAIT_SECONDS, LONGEST_WAIT_SECONDS),
    ],
)
def test_the_longer_of_schedule_and_retry_after(failures: int, asked: float | None, wait: float) -> None:
    assert decided(fault(429, asked=asked), failures=failures) == Retry(wait)


def test_a_provider_that_asks_a_caller_for_more_than_an_hour_is_given_up() -> None:
    verdict = decided(fault(429, asked=LONGEST_WAIT_SECONDS + 1))
    assert verdict == GiveUp("retry_after_too_long", elsewhere=True)


@pytest.mark.parametrize("failures", [4, 5, 100])
def test_a_caller_gets_three_retries_and_no_more(failures: int) -> None:
    assert decided(fault(503), failures=failures) == GiveUp("retries_exhausted", elsewhere=True)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 529, 401, 402, 403])
@pytest.mark.parametrize("failures", [1, 4, 30, 1000])
def test_a_line_of_a_batch_is_put_off_however_often_and_for_minutes_at_most(status: int, failures: int) -> None:
    verdict = decided(fault(status), "batch", failures=failures)
    assert isinstance(verdict, Defer) and verdict.reason == str(status)
    assert verdict.wait_seconds <= 300 and (failures < 7 or status == 429 or verdict.wait_seconds == 300)


def test_a_line_waits_as_long_as_the_provider_asks() -> None:
    assert decided(fault(429, asked=86_000.0), "batch") == Defer(86_000.0, "429")


def test_while_another_offer_is_left_a_caller_is_turned_within_two_seconds() -> None:
    waits, failures = [], 1
    while isinstance(
        verdict := decide(fault(503), Situation(failures=failures, another_left=True), base_seconds=1.0, jitter=1.0),
        Retry,
    ):
        waits.append(verdict.wait_seconds)
        failures += 1
    assert verdict == GiveUp("retries_exhausted", elsewhere=True) and len(waits) == 2 and sum(waits) < 2


def test_a_short_retry_after_is_waited_for_once() -> None:
    asked = fault(429, asked=2.0)
    assert decided(asked, another_left=True) == Retry(2.0)
    assert decided(asked, another_left=True, failures=2) == GiveUp("retry_after_too_long", elsewhere=True)
    assert isinstance(decided(fault(429, asked=20.0), another_left=True), GiveUp)


@pytest.mark.parametrize("code", ["first_byte", "timeout", "paused"])
def test_a_silent_or_paused_provider_is_left_at_once_for_another(code: str) -> None:
    assert decided(fault(None, code), another_left=True) == GiveUp(code, elsewhere=True)
    assert isinstance(decided(fault(None, code)), Retry)


def test_a_caller_is_told_at_once_of_a_provider_that_refuses_our_key() -> None:
    assert decided(fault(None, "provider_paused")) == GiveUp("provider_paused", elsewhere=True)


def test_a_retry_fits_into_what_is_left_of_the_caller_s_time() -> None:
    assert decided(fault(503), seconds_left=1.1) == Retry(1.0)
    assert decided(fault(503), seconds_left=0.9) == GiveUp("no_time_left", elsewhere=True)


def test_an_answer_that_began_is_asked_for_once_more_and_no_third_time() -> None:
    cut = fault(None, "truncated", head=True)
    assert decided(cut, begun=1) == Retry(1.0)
    assert decided(cut, begun=2, failures=2) == GiveUp("truncated", elsewhere=True)


def test_a_line_whose_answer_is_no_answer_twice_is_given_up_one_that_was_cut_off_is_not() -> None:
    assert decided(fault(200, "protocol", head=True), "batch", begun=1) == Defer(60.0, "protocol")
    assert decided(fault(200, "protocol", head=True), "batch", begun=2) == GiveUp("broken_answer", elsewhere=True)
    for code in ("idle", "reset", "truncated"):
        assert isinstance(decided(fault(None, code, head=True), "batch", begun=9, failures=9), Defer)


def test_a_line_turns_to_another_offer_after_three_attempts_or_when_the_key_is_refused() -> None:
    assert isinstance(decided(fault(503), "batch", another_left=True, failures=2), Defer)
    assert decided(fault(503), "batch", another_left=True, failures=3) == GiveUp("503", elsewhere=True)
    assert decided(fault(401), "batch", another_left=True) == GiveUp("401", elsewhere=True)


@given(
    status=st.one_of(st.none(), st.integers(100, 599)),
    code=st.one_of(st.none(), st.sampled_from(sorted(faults.KEY_CODES | faults.QUOTA_CODES)), st.text(max_size=8)),
    at=st.builds(
        Situation,
        st.sampled_from(["realtime", "batch"]),
        failures=st.integers(1, 10),
        begun=st.integers(0, 3),
        another_left=st.booleans(),
        seconds_left=st.one_of(st.none(), st.floats(-1, 600)),
    ),
    base=st.floats(0.001, 60),
    jitter=st.floats(0, 1),
    asked=st.one_of(st.none(), st.floats(0, 1e6)),
    head=st.booleans(),
)
def test_every_verdict_is_bounded(
    status: int | None, code: str | None, at: Situation, base: float, jitter: float, asked: float | None, head: bool
) -> None:
    verdict = decide(fault(status, code, asked, head), at, base_seconds=base, jitter=jitter)
    if isinstance(verdict, Retry):
        assert at.lane == "realtime" and at.failures <= len(SCHEDULE)
        assert at.seconds_left is None or verdict.wait_seconds < at.seconds_left
        assert verdict.wait_seconds <= max(asked or 0, SCHEDULE[at.failures - 1] * base * 1.5 + 1e-9)
    elif isinstance(verdict, Defer):
        assert at.lane == "batch" and verdict.reason
        assert (asked or 0) <= verdict.wait_seconds <= max(asked or 0, 300 * base * 1.5 + 1e-9)
    else:
        assert verdict.reason


@pytest.mark.parametrize("module", [retry, schedule])
def test_the_examples_in_the_docstrings_hold(module: object) -> None:
    results = doctest.testmod(module)  # type: ignore[arg-type]
    assert results.attempted and not results.failed


def test_webhook_pauses_grow_and_sum_to_about_three_days() -> None:
    pauses = [schedule.pause_seconds(attempt, 0.0) for attempt in range(1, len(schedule.SCHEDULE) + 1)]
    kept = [pause for pause in pauses if pause is not None]
    assert kept == sorted(kept) and len(kept) == len(pauses) and kept[0] <= 10
    assert 2.5 * 86_400 <= sum(kept) <= 3.5 * 86_400
    assert schedule.pause_seconds(len(pauses) + 1, 0.0) is None


@given(attempt=st.integers(1, len(schedule.SCHEDULE)), jitter=st.floats(0, 1))
def test_webhook_jitter_only_lengthens_and_little(attempt: int, jitter: float) -> None:
    plain, jittered = schedule.pause_seconds(attempt, 0.0), schedule.pause_seconds(attempt, jitter)
    assert plain is not None and jittered is not None
    assert plain <= jittered <= plain * (1 + schedule.JITTER)
