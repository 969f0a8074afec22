"""Cheap service tiers: what lack of room is, when a job goes to the usual tier, and what it is offered at."""

import doctest
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InvalidRequest, ProviderError
from shared.submissions import quote
from shared.submissions.catalogue import read
from shared.submissions.offers import Offer
from shared.submissions.schemas import read_submission
from tests.catalogues import whole
from tests.unit.fault_bodies import google, openai, quota
from workers.running import tiers
from workers.running.fallback import choose
from workers.running.tiers import lacks_room, pause, seconds_until_usual, usual_offer
from workers.upstream import rate_headers
from workers.upstream.post import refused

SAY = [{"role": "user", "content": "hello"}]
CATALOGUE = read(
    whole(
        """[providers.q]
protocol = "openai"
[models.m]
type = "chat.completion"
provider = "p"
upstream = "m"
purpose = ""
input = 1_000_000
output = 8_000_000
max_output = 10
service_tiers.flex = { input = 500_000, output = 4_000_000 }
service_tiers.priority = { input = 2_000_000, output = 16_000_000 }
[models.other]
type = "chat.completion"
provider = "q"
upstream = "o"
purpose = ""
input = 1
output = 1
max_output = 10
service_tiers.flex = { input = 1, output = 1 }
[models.plain]
type = "chat.completion"
provider = "q"
upstream = "plain"
purpose = ""
input = 1
output = 1
max_output = 10
""",
        overhead=0,
    )
)


def offered(tier: str | None, **more: Any) -> list[Offer]:
    body = {"model": "m", "messages": SAY, **({"service_tier": tier} if tier else {}), **more}
    return quote.offers(read_submission("chat.completion", body), CATALOGUE, test=False)


def test_the_examples_in_the_docstrings_hold() -> None:
    results = doctest.testmod(tiers)
    assert results.attempted and not results.failed


def test_a_tier_s_job_has_an_offer_in_it_and_one_in_the_usual_tier_and_the_dearest_is_held_for() -> None:
    (usual,) = offered(None)
    flex, after = offered("flex")
    assert [flex.service_tier, after.service_tier, usual.service_tier] == ["flex", "default", ""]
    assert (flex.price.input, after.price) == (500_000, usual.price)
    assert quote.bound([flex, after]) == after.bound_micros == 2 * flex.bound_micros
    priority, after = offered("priority")
    assert quote.bound([priority, after]) == priority.bound_micros == 2 * after.bound_micros
    assert [one.service_tier for one in offered("auto") + offered("default")] == ["", ""]
    assert usual_offer([flex, after], 0) == 1 and usual_offer([flex, after], 1) is None
    assert usual_offer([priority, after], 0) is None and usual_offer([usual], 0) is None


def test_a_fallback_without_a_price_for_the_tier_is_refused_where_it_is_named() -> None:
    with pytest.raises(InvalidRequest, match=r"supported values: auto, default$"):
        offered("flex", routing={"fallbacks": ["plain"]})


def test_a_provider_that_fails_is_not_asked_again_in_its_other_tier() -> None:
    offers = offered("flex", routing={"fallbacks": ["other"]})
    assert [(one.model, one.service_tier) for one in offers] == [
        ("m", "flex"),
        ("m", "default"),
        ("other", "flex"),
        ("other", "default"),
    ]
    assert choose(offers, after=0) == 2 and choose(offers, after=1) == 2 and choose(offers, after=2) is None
    assert choose(offers[:2], after=0) is None


@pytest.mark.parametrize(
    ("status", "code", "message", "lacking"),
    [
        (429, "resource_unavailable", "", True),
        (429, None, "Resource Unavailable", True),
        (429, "service_tier_capacity_exceeded", "", True),
        (429, "RESOURCE_EXHAUSTED", "", True),
        (498, "capacity_exceeded", "", True),
        (503, "UNAVAILABLE", "", True),
        (429, "rate_limit_exceeded", "", False),
        (429, "insufficient_quota", "", False),
        (500, None, "", False),
        (400, "invalid_value", "", False),
        (None, "connect", "", False),
    ],
)
def test_lack_of_room_is_told_from_our_own_limits_and_from_outages(
    status: int | None, code: str | None, message: str, lacking: bool
) -> None:
    flex, usual = offered("flex")
    error = ProviderError(message, upstream_status=status, code=code)
    assert lacks_room(error, flex) is lacking and not lacks_room(error, usual)


def limited(*ids: str) -> Any:
    return google(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota", *([quota(*ids)] if ids else []))


@pytest.mark.parametrize(
    ("status", "headers", "body", "lacking"),
    [
        # ai.google.dev/gemini-api/docs/rate-limits: a limit of ours is named; docs/flex-inference: no room names none.
        (
            429,
            {},
            limited("GenerateRequestsPerMinutePerProjectPerModel"),
            False,
        ),
        (
            429,
            {},
            limited("GenerateContentInputTokensPerModelPerMinute"),
            False,
        ),
        (429, {}, limited("GenerateRequestsPerDayPerProjectPerModel"), False),
        (429, {}, google(429, "RESOURCE_EXHAUSTED", "Resource exhausted, please try again later."), True),
        (503, {}, google(503, "UNAVAILABLE", "The model is overloaded."), True),
        # developers.openai.com/api/docs/guides/flex-processing and …/rate-limits (headers).
        (429, {}, openai("Resource Unavailable", "resource_unavailable", None), True),
        (429, {}, openai("Rate limit reached for o3", "requests", "rate_limit_exceeded"), False),
        (429, {"x-ratelimit-remaining-requests": "0"}, openai("Too many", "requests_error", None), False),
        (429, {"x-ratelimit-remaining-tokens": "0"}, openai("Too many", None, None), False),
        (429, {"x-ratelimit-remaining-requests": "17"}, openai("Too many", None, None), True),
        (429, {}, openai("Too Many Requests", None, "RateLimitReached"), False),
    ],
)
def test_the_same_of_whole_answers(status: int, headers: dict[str, str], body: Any, lacking: bool) -> None:
    flex, _ = offered("flex")
    limits = rate_headers.read(headers, now_seconds=0.0)
    error = refused(status, httpx.Headers(headers), orjson.dumps(body), limits)
    assert lacks_room(error, flex) is lacking, (error.code, error.limits)


@given(now=st.integers(0, 10**15), since=st.integers(0, 10**15), window=st.integers(0, 10**12))
def test_the_last_quarter_is_the_usual_tier_s(now: int, since: int, window: int) -> None:
    left = seconds_until_usual(now, since, since + window)
    assert (left == 0) == (now >= since + window - int(window * tiers.USUAL_PART))
    assert 0 <= pause(3, left, base_seconds=1.0, jitter=0.5) <= left
