"""The lines that explain a job's charge: they add up to it exactly, whatever was used, whoever wrote the rows."""

import doctest
from decimal import Decimal
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from producer.objects import charges
from producer.objects.charges import Charge, charge
from shared.money.pricing import PER_TOKENS, price
from shared.submissions.charging import priced_offer, usage_of
from shared.submissions.offers import Offer
from workers.answers import reported

COUNTS, PRICES = st.integers(0, 10**7), st.integers(0, 10**11)
MAYBE = st.none() | PRICES


def offer(**given: Any) -> Offer:
    usual = {"provider": "p", "model": "m", "upstream": "m", "input": 0, "output": 0, "version": "v1"}
    return Offer(**{**usual, "bound_micros": 10**15, **given})


def row(offers: list[Offer], charged: int, **given: Any) -> dict[str, Any]:
    """A finished job's row, joined with its payload and result."""
    usual = {
        "provider": "p",
        "served_model": "m",
        "test": False,
        "offer": 0,
        "job_bound": 10**15,
        "offers": orjson.dumps(offers).decode(),
        "request": None,
        "service_tier": "",
        "prompt_tokens": 0,
        "completion_tokens": 0,
        "images": 0,
        "cached_tokens": None,
        "cache_creation_tokens": None,
        "cache_creation_1h_tokens": None,
        "reasoning_tokens": None,
        "charged_micros": charged,
    }
    return {**usual, **given}


def explained(offers: list[Offer], charged: int, **given: Any) -> Charge:
    found = charge(row(offers, charged, **given))
    assert found is not None
    assert sum(Decimal(line["credits"]) for line in found["lines"]) == Decimal(charged) / 1_000_000
    return found


def lines(found: Charge) -> dict[str, str]:
    return {line["item"]: line["credits"] for line in found["lines"]}


def test_the_examples_in_the_docstrings_hold() -> None:
    for module in (charges, reported):
        results = doctest.testmod(module)
        assert results.attempted and not results.failed


@given(
    usage=st.fixed_dictionaries(
        {"prompt_tokens": COUNTS, "completion_tokens": COUNTS, "cached_tokens": st.none() | COUNTS}
        | {"cache_creation_tokens": COUNTS, "cache_creation_1h_tokens": COUNTS, "reasoning_tokens": st.none() | COUNTS}
    ),
    prices=st.fixed_dictionaries(
        {"input": PRICES, "output": PRICES, "cached_input": MAYBE, "cache_write": MAYBE, "cache_write_1h": MAYBE}
        | {"reasoning": MAYBE, "request": PRICES}
    ),
    bound=st.integers(0, 10**13),
)
def test_the_lines_add_up_to_the_charge(usage: dict[str, Any], prices: dict[str, Any], bound: int) -> None:
    at = offer(**prices, bound_micros=bound)
    full = price(usage_of(row([at], 0, **usage), at).amount, at.price)
    found = explained([at], min(full, bound), **usage)
    for line in found["lines"]:
        if "count" in line:
            exact = Decimal(line["count"] * line["price"]) / (line["per"] * PER_TOKENS)
            assert exact == Decimal(line["credits"])
    assert ("maximum" in lines(found)) == (full > bound)


def test_each_count_has_its_line_its_price_and_its_credits() -> None:
    prices = {"cached_input": 25_000_000, "cache_write": 312_500_000, "cache_write_1h": 500_000_000}
    at = offer(input=250_000_000, output=1_500_000_001, reasoning=1_000_000_000, request=7, **prices)
    used = {"prompt_tokens": 1000, "cached_tokens": 500, "cache_creation_tokens": 300, "cache_creation_1h_tokens": 100}
    exact = 200 * 250_000_000 + 500 * 25_000_000 + 200 * 312_500_000 + 100 * 500_000_000
    exact += 680 * 1_500_000_001 + 20 * 1_000_000_000 + 7_000_000
    charged = -(-exact // PER_TOKENS)
    found = explained([at], charged, completion_tokens=700, reasoning_tokens=20, **used)
    assert lines(found) == {
        "input": "0.05",
        "cached_input": "0.0125",
        "cache_write": "0.0625",
        "cache_write_1h": "0.05",
        "output": "1.02000000068",
        "reasoning": "0.02",
        "request": "0.000007",
        "rounding": "0.00000099932",
    }
    assert found["lines"][2]["description"] == "cache write (5 minutes)" and found["price_version"] == "v1"


def test_pictures_are_named_by_quality_and_size() -> None:
    at = offer(images={"high/1024x1024": 17_000_000, "1024x1024": 4_000_000})
    request = orjson.dumps({"size": "1024x1024", "quality": "high"}).decode()
    (line,) = explained([at], 34_000_000, images=2, request=request)["lines"]
    assert (line["description"], line["count"], line["price"]) == ("images high/1024x1024", 2, 17_000_000)
    assert (line["per"], line["credits"]) == (1, "34")


def test_the_tier_that_served_has_the_price() -> None:
    flex, usual = offer(input=500_000, service_tier="flex"), offer(input=1_000_000, service_tier="default")
    assert priced_offer([flex, usual], flex, "default") is usual and priced_offer([flex, usual], flex, "") is flex
    assert priced_offer([flex, usual], flex, "scale") is flex
    found = explained([flex, usual], 100, prompt_tokens=100, service_tier="default")
    assert found["service_tier"] == "default" and found["lines"][0].get("price") == 1_000_000
    assert explained([flex, usual], 50, prompt_tokens=100, service_tier="flex")["service_tier"] == "flex"


def test_long_context_is_said_so() -> None:
    at = offer(input=1_000_000, long_context={"above": 99, "input": 2_000_000, "output": 0})
    assert explained([at], 200, prompt_tokens=100)["long_context"]
    assert not explained([at], 99, prompt_tokens=99)["long_context"]


def test_what_the_version_before_charged_is_explained_at_the_prices_that_it_knows() -> None:
    at = offer(input=1_000_000, output=5_000_000, reasoning=2_000_000, request=9)
    found = explained([at], 150, prompt_tokens=100, completion_tokens=10, reasoning_tokens=4, service_tier=None)
    assert lines(found) == {"input": "0.0001", "output": "0.00003", "reasoning": "0.00002"}


def test_what_cannot_be_explained_is_one_line() -> None:
    assert lines(explained([offer(input=1)], 77, prompt_tokens=5)) == {"other": "0.000077"}
    assert lines(explained([], 77, prompt_tokens=5)) == {"other": "0.000077"}


def test_what_costs_nothing_says_why() -> None:
    assert explained([offer()], 0, test=True, prompt_tokens=5)["reason"] == "test_key"
    assert explained([offer()], 0, provider=None, served_model=None)["reason"] == "nothing_used"
    assert charge(row([offer()], 0, charged_micros=None)) is None
