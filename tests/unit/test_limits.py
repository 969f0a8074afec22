"""What one process remembers of its admissions, what an answer's headers say, and what the plans have."""

import asyncio
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.admission.limits import Limits
from producer.admission.limits.allowances import Allowance, Ruling
from producer.admission.limits.local import OwnLog
from producer.admission.limits.rates import DIMENSIONS, TOKENS_OF_KEY, Dimension, RateLimit
from producer.web.rate_headers import limit_headers
from shared.errors import RateLimited
from shared.key_holders import KeyHolder
from shared.key_limits import KeyLimits
from shared.money import plans

STEP, COUNTED = 0.02, 60.2


def headers(allowance: Allowance) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in limit_headers(allowance)}


def test_headers_are_openais() -> None:
    assert headers(Allowance(2500, 2499, 60.2)) == {
        "x-ratelimit-limit-requests": "2500",
        "x-ratelimit-remaining-requests": "2499",
        "x-ratelimit-reset-requests": "60.200s",
    }
    assert headers(Allowance(1, 0, -0.1))["x-ratelimit-reset-requests"] == "0.000s"


@pytest.mark.parametrize(("seconds", "told"), [(0.0, 1), (0.2, 1), (1.0, 1), (1.01, 2), (59.001, 60)])
def test_a_refusal_says_when_to_come_again(seconds: float, told: int) -> None:
    with pytest.raises(RateLimited) as refused:
        Allowance(100, 0, 60, seconds).check()
    assert refused.value.retry_after_seconds == told and refused.value.status == 429
    assert "100 requests" in refused.value.message
    Allowance(100, 0, 60).check()


def test_the_first_of_a_group_are_admitted_and_each_is_told_its_own_rest() -> None:
    ruling = Ruling(admitted=2, before=7, room_seconds=3, reset_seconds=60)
    told = [ruling.allowance(RateLimit("a", 10), place) for place in range(3)]
    assert [(one.remaining, one.retry_seconds) for one in told] == [(2, None), (1, None), (0, 3)]


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 4)), max_size=60), st.integers(1, 20))
def test_the_log_counts_each_admission_for_at_least_its_time_and_at_most_a_step_more(
    pauses: list[tuple[float, int]], limit: int
) -> None:
    log, now, admitted = OwnLog(STEP, COUNTED), 1000.0, []
    for pause, number in pauses:
        now += pause
        log.forget(now)
        least = sum(n for at, n in admitted if at + COUNTED > now)
        most = sum(n for at, n in admitted if at + COUNTED + STEP >= now)
        assert least <= log.count <= most
        log.add(number, now)
        admitted.append((now, number))
    at = log.room_at(limit, now)
    if log.count < limit:
        assert at == now
    else:
        log.forget(math.nextafter(at, 0))
        assert log.count >= limit
        log.forget(at)
        assert log.count < limit


def test_what_redis_is_owed_is_never_more_than_what_still_counts() -> None:
    log = OwnLog(STEP, COUNTED)
    log.add(5, 0.0)
    log.owed = 5
    log.add(2, 30.0)
    log.owed += 2
    log.forget(61.0)
    assert (log.count, log.take_owed(), log.take_owed()) == (2, 2, 0)


def test_a_full_limit_is_known_until_there_is_room_and_for_that_limit_alone() -> None:
    log = OwnLog(STEP, COUNTED)
    log.fill(10, until=5.0, reset_at=60.0)
    assert log.refusal(10, 4.0) == (56.0, 1.0)
    assert log.refusal(10, 5.0) is None and log.refusal(11, 4.0) is None


def test_the_log_of_a_process_is_bounded_by_its_steps() -> None:
    log = OwnLog(STEP, COUNTED)
    for n in range(200_000):
        log.forget(n / 1000)
        log.add(1, n / 1000)
    assert len(log._entries) <= COUNTED / STEP + 2 and log.count <= 60_300


def test_the_plans_are_the_seeds() -> None:
    assert dict(plans.REQUESTS_PER_MINUTE) == {
        "starter": 100,
        "professional": 600,
        "business": 2500,
        "enterprise": None,
    }
    for plan in plans.PLANS:
        assert plans.requests_per_minute(plan, 7) == 7
    assert plans.requests_per_minute("starter", None) == 100


def an_hour_of_a_key(limit: int) -> Dimension:
    return Dimension(lambda holder: f"hour.{holder.key_id}", lambda _: limit, 3600.0)


async def alone(dimensions: list[Dimension]) -> Limits:
    """The limits of a process whose Redis is away."""
    limits = Limits("redis://127.0.0.1:1/0", dimensions=dimensions)
    limits._up = False
    return limits


def test_the_rates_of_a_request() -> None:
    holder = KeyHolder("key_1", "acct_1", "live", None, 100)
    assert [one.of(holder) for one in DIMENSIONS] == [None, RateLimit("acct_1", 100, 60.0)]
    assert [one.of(replace(holder, requests_per_minute=None)) for one in DIMENSIONS] == [None, None]
    own = replace(holder, limits=KeyLimits(requests_per_minute=7, tokens_per_minute=900))
    assert [one.of(own) for one in DIMENSIONS] == [RateLimit("key.key_1", 7, 60.0), RateLimit("acct_1", 100, 60.0)]
    assert TOKENS_OF_KEY.of(own) == RateLimit("tokens.key_1", 900, 60.0) and TOKENS_OF_KEY.of(holder) is None
    assert (RateLimit("a", 1).window, RateLimit("a", 1, 3600).window, RateLimit("a", 1, 10).window) == (
        *("minute", "hour", "10 seconds"),
    )


def test_a_new_dimension_is_a_row() -> None:
    """An hour of a key beside a minute of its account, with nothing but the row; from this process's own memory."""

    async def scene() -> None:
        limits = await alone([*DIMENSIONS, an_hour_of_a_key(3)])
        one, other = (KeyHolder(key, "acct_1", "live", None, 5) for key in ("key_1", "key_2"))
        taken = [await limits.take(one) for _ in range(4)]
        assert [allowance and allowance.remaining for allowance in taken] == [2, 1, 0, 0]
        refused = taken[-1]
        assert refused is not None and refused.limit == 3 and 3600 < (refused.retry_seconds or 0) <= 3614
        with pytest.raises(RateLimited, match="3 requests per hour"):
            refused.check()
        theirs = await limits.take(other)  # the account's fifth and last
        assert theirs is not None and (theirs.limit, theirs.remaining, theirs.retry_seconds) == (5, 0, None)
        full = await limits.take(other)
        assert full is not None and full.limit == 5 and 0 < (full.retry_seconds or 0) <= 60.3
        await limits.close()

    asyncio.run(scene())


def test_a_request_may_take_more_than_one_whole_or_not_at_all() -> None:
    async def scene() -> None:
        limits = await alone([])
        tokens = RateLimit("tokens.acct_1", 100)
        first = await asyncio.gather(limits.admit(tokens, 40), limits.admit(tokens, 40), limits.admit(tokens, 40))
        assert [(one.remaining, one.retry_seconds is None) for one in first] == [(60, True), (20, True), (0, False)]
        small = await limits.admit(tokens, 20)
        assert (small.remaining, small.retry_seconds) == (0, None)
        await limits.close()

    asyncio.run(scene())
