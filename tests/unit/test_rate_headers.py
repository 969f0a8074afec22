"""How long to wait and what is left, in every way that providers say it; garbage is never believed."""

import time
from datetime import UTC, datetime
from email.utils import format_datetime

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import durations
from shared.providers.limits import ProviderLimit, RateLimits
from workers.upstream import rate_headers, retry_after

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
NOW_SECONDS = NOW.timestamp()
MILLISECONDS = str(int(NOW_SECONDS * 1000) + 9000)
DATE = format_datetime(NOW, usegmt=True)


def asked(headers: dict[str, str], status: int = 429, **error: object) -> float | None:
    given = httpx.Headers(headers)
    limits = rate_headers.read(given, now_seconds=NOW_SECONDS)
    return retry_after.seconds(status, given, error, limits, now_seconds=NOW_SECONDS)


WAITS: list[tuple[dict[str, str], float | None]] = [
    ({}, None),
    ({"retry-after": "7"}, 7.0),
    ({"retry-after": " 7 "}, 7.0),
    ({"retry-after": "0.5"}, 0.5),
    ({"retry-after": "0"}, 0.0),
    ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
    ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
    ({"retry-after": "Sun, 01 Mar 2026 12:00:30 GMT"}, 30.0),
    ({"retry-after": "Sunday, 01-Mar-26 12:00:30 GMT"}, 30.0),
    ({"retry-after": "Sun Mar  1 12:00:30 2026"}, 30.0),
    ({"retry-after": "Sun, 01 Mar 2026 11:00:00 GMT"}, 0.0),
    # Their clock is an hour ahead of ours, or a day behind: the difference is what counts.
    ({"retry-after": "Sun, 01 Mar 2026 13:00:30 GMT", "date": "Sun, 01 Mar 2026 13:00:00 GMT"}, 30.0),
    ({"retry-after": "Sat, 28 Feb 2026 12:00:30 GMT", "date": "Sat, 28 Feb 2026 12:00:00 GMT"}, 30.0),
    ({"retry-after": "Sun, 01 Mar 2026 12:00:30 GMT", "date": "yesterday"}, 30.0),
    ({"retry-after": "-5"}, None),
    ({"retry-after": "nan"}, None),
    ({"retry-after": "inf"}, None),
    ({"retry-after": "1e3"}, None),
    ({"retry-after": "99999999999999999999"}, None),
    ({"retry-after": "Sun, 01 Mar 2099 12:00:00 GMT"}, None),
    ({"retry-after": "Sun, 99 Mar 2026 12:00:00 GMT"}, None),
    ({"retry-after": ""}, None),
    ({"x-should-retry": "true"}, None),
    # OpenAI's: how long until what is used up is whole again.
    ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, 360.0),
    ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "17ms"}, 0.017),
    ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1h2m3.5s"}, 3723.5),
    ({"x-ratelimit-remaining-tokens": "5", "x-ratelimit-reset-tokens": "6m0s"}, None),
    ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s", "retry-after": "2"}, 2.0),
    (
        {
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-requests": "8s",
            "x-ratelimit-remaining-tokens": "0",
            "x-ratelimit-reset-tokens": "3s",
        },
        8.0,
    ),
    ({"anthropic-ratelimit-tokens-remaining": "0", "anthropic-ratelimit-tokens-reset": "2026-03-01T12:01:00Z"}, 60.0),
]


@pytest.mark.parametrize(("headers", "wait"), WAITS)
def test_how_long_a_provider_asks_us_to_wait(headers: dict[str, str], wait: float | None) -> None:
    assert asked(headers) == pytest.approx(wait)


@pytest.mark.parametrize(
    ("delay", "wait"), [("34s", 34.0), ("34.074824224s", 34.074824224), ("0s", 0.0), ("-1s", None), ("s", None)]
)
def test_google_says_it_in_the_body(delay: str, wait: float | None) -> None:
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}
    assert asked({}, details=[{"@type": "x"}, "y", info]) == wait
    assert asked({"retry-after": "3"}, details=[info]) == 3.0


def test_limits_that_are_used_up_are_no_reason_for_another_failure() -> None:
    headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}
    assert asked(headers, status=500) is None and asked(headers, status=503) == 360.0


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kolkata"])
def test_a_date_without_a_zone_is_gmt_wherever_we_are(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert asked({"retry-after": "Sun Mar  1 12:00:30 2026"}) == 30.0
    finally:
        monkeypatch.undo()
        time.tzset()


LIMITS: dict[str, tuple[dict[str, str], RateLimits | None]] = {
    "none": ({"content-type": "application/json", "x-request-id": "ratelimit"}, None),
    "OpenAI": (
        {
            "x-ratelimit-limit-requests": "5000",
            "x-ratelimit-limit-tokens": "160000",
            "x-ratelimit-remaining-requests": "4999",
            "x-ratelimit-remaining-tokens": "159976",
            "x-ratelimit-reset-requests": "12ms",
            "x-ratelimit-reset-tokens": "9ms",
            "x-ratelimit-limit-tokens_usage_based": "1",
            "x-ratelimit-limit-images": "50",
        },
        RateLimits(ProviderLimit(5000, 4999, 0.012), ProviderLimit(160_000, 159_976, 0.009)),
    ),
    "Azure": (
        {
            "X-RateLimit-Limit-Tokens": "-1",
            "X-RateLimit-Remaining-Tokens": "-1",
            "X-RateLimit-Reset-Tokens": "0",
            "X-RateLimit-Limit-Requests": "60",
            "X-RateLimit-Remaining-Requests": "59",
            "X-RateLimit-Reset-Requests": "10",
        },
        RateLimits(requests=ProviderLimit(60, 59, 10.0)),
    ),
    "Anthropic": (
        {
            "anthropic-ratelimit-requests-limit": "4000",
            "anthropic-ratelimit-requests-remaining": "3999",
            "anthropic-ratelimit-requests-reset": "2026-03-01T12:00:30Z",
            "anthropic-ratelimit-tokens-limit": "480000",
            "anthropic-ratelimit-tokens-remaining": "470000",
            "anthropic-ratelimit-tokens-reset": "2026-03-01T12:00:30Z",
            "anthropic-ratelimit-input-tokens-limit": "400000",
            "anthropic-ratelimit-input-tokens-remaining": "399000",
            "anthropic-ratelimit-input-tokens-reset": "2026-03-01T12:00:01Z",
            "anthropic-ratelimit-output-tokens-limit": "80000",
            "anthropic-ratelimit-output-tokens-remaining": "8000",
            "anthropic-ratelimit-output-tokens-reset": "2026-03-01T13:00:59+01:00",
            "anthropic-ratelimit-unified-remaining": "0",
            "anthropic-ratelimit-unified-5h-reset": "1772366400",
        },
        RateLimits(ProviderLimit(4000, 3999, 30.0), ProviderLimit(80_000, 8000, 59.0)),
    ),
    "Mistral": (
        {
            "x-ratelimit-limit-req-minute": "60",
            "x-ratelimit-remaining-req-minute": "12",
            "ratelimitbysize-limit": "500000",
            "ratelimitbysize-remaining": "499000",
            "ratelimitbysize-reset": "14",
        },
        RateLimits(ProviderLimit(60, 12, None), ProviderLimit(500_000, 499_000, 14.0)),
    ),
    "Cerebras": (
        {
            "x-ratelimit-limit-requests-day": "100",
            "x-ratelimit-remaining-requests-day": "10",
            "x-ratelimit-limit-requests-minute": "30",
            "x-ratelimit-remaining-requests-minute": "29",
        },
        RateLimits(requests=ProviderLimit(100, 10, None)),
    ),
    "the draft of 2021": (
        {"ratelimit-limit": "100, 100;w=60", "ratelimit-remaining": "98", "ratelimit-reset": "3"},
        RateLimits(requests=ProviderLimit(100, 98, 3.0)),
    ),
    "the draft of 2023": ({"RateLimit": "limit=100, remaining=50, reset=30"}, RateLimits(ProviderLimit(100, 50, 30.0))),
    "the draft of today": (
        {
            "ratelimit-policy": '"default";q=100;w=10, "tokens-a-day";q=1000;w=86400',
            "ratelimit": '"default";r=50;t=5, "tokens-a-day";r=10;t=600',
        },
        RateLimits(ProviderLimit(100, 50, 5.0), ProviderLimit(1000, 10, 600.0)),
    ),
    "a point of time": (
        {"x-ratelimit-limit": "20", "x-ratelimit-remaining": "0", "x-ratelimit-reset": MILLISECONDS},
        RateLimits(requests=ProviderLimit(20, 0, 9.0)),
    ),
    "garbage": ({"x-ratelimit-limit-requests": "many", "x-ratelimit-remaining-requests": "1e9"}, None),
    "a reset alone": ({"x-ratelimit-reset-requests": "1s"}, None),
}  # fmt: skip


@pytest.mark.parametrize(("headers", "limits"), LIMITS.values(), ids=LIMITS)
def test_what_a_provider_tells_of_its_limits(headers: dict[str, str], limits: RateLimits | None) -> None:
    assert rate_headers.read(httpx.Headers(headers), now_seconds=NOW_SECONDS) == limits
    assert rate_headers.read(headers, now_seconds=NOW_SECONDS) == limits


def test_a_point_of_time_is_compared_with_the_answer_s_own_date() -> None:
    headers = {
        "anthropic-ratelimit-requests-remaining": "0",
        "anthropic-ratelimit-requests-reset": "2026-03-01T12:00:30Z",
    }
    assert rate_headers.read(headers) == RateLimits(requests=ProviderLimit(None, 0, None))
    dated = {**headers, "date": DATE}
    assert rate_headers.read(dated, now_seconds=1.0) == RateLimits(requests=ProviderLimit(None, 0, 30.0))


NAMES = (
    "retry-after",
    "retry-after-ms",
    "date",
    "ratelimit",
    "ratelimit-policy",
    "ratelimit-reset",
    *LIMITS["OpenAI"][0],
)


@given(st.dictionaries(st.sampled_from(NAMES), st.text('0123456789 .,;=smhdµ-+:eE"TZrtqMar GMT', max_size=40)))
def test_no_header_whatever_breaks_it(headers: dict[str, str]) -> None:
    limits = rate_headers.read(headers, now_seconds=NOW_SECONDS)
    wait = retry_after.seconds(429, headers, {}, limits, now_seconds=NOW_SECONDS)
    assert wait is None or 0 <= wait <= durations.MOST_SECONDS
    for one in (limits.requests, limits.tokens) if limits else ():
        assert one is None or (one.limit or 0) >= 0 <= (one.remaining or 0)


@pytest.mark.parametrize("part", ["1", "1h", "1m1", "9.", ",", ";", "=", '"', " ", "a;r=1,"])
def test_a_long_header_costs_little(part: str) -> None:
    text = part * 20_000
    began = time.process_time()
    assert durations.seconds(text) is None
    durations.until(text, {"date": text}, None)
    rate_headers.read({"ratelimit": text, "x-ratelimit-limit-requests": text, "x-ratelimit-reset-requests": text})
    assert time.process_time() - began < 0.5
