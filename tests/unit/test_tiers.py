"""Cheap service tiers: what lack of room is, when a job goes to the usual tier, and what it is offered at."""

import doctest
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InvalidRequest, ProviderError
from shared.submissions import quote
from shared.submissions.catalogue import read
from shared.submissions.schemas import Offer, read_submission
from tests.catalogues import whole
from workers.running import tiers
from workers.running.fallback import choose
from workers.running.tiers import lacks_room, pause, seconds_until_usual, usual_offer

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


@given(now=st.integers(0, 10**15), since=st.integers(0, 10**15), window=st.integers(0, 10**12))
def test_the_last_quarter_is_the_usual_tier_s(now: int, since: int, window: int) -> None:
    left = seconds_until_usual(now, since, since + window)
    assert (left == 0) == (now >= since + window - int(window * tiers.USUAL_PART))
    assert 0 <= pause(3, left, base_seconds=1.0, jitter=0.5) <= left
