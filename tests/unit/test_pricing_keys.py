"""Every key of a price: what it applies to, what stands in for it, and that the hold covers all that it may come to."""

import dataclasses
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InvalidRequest
from shared.money.pricing import (
    PER_TOKENS,
    Amount,
    LongContext,
    UnitPrices,
    price,
    priced_counts,
    reachable,
    worst_case,
)
from shared.money.shortage import linear
from shared.submissions import quote
from shared.submissions.catalogue import Catalogue, read
from shared.submissions.offers import read_offer
from shared.submissions.schemas import Usage, read_submission
from tests.catalogues import whole

COUNTS, PRICES = st.integers(0, 10**7), st.integers(0, 10**11)
MAYBE = st.none() | PRICES
SAY = [{"role": "user", "content": "hello"}]
ROW = whole(
    """[models.m]
type = "chat.completion"
provider = "p"
upstream = "m"
purpose = ""
input = 1_000_000
output = 8_000_000
max_output = 10
""",
    overhead=0,
)
#: A micro-credit a token, ten the output.
PLAIN = UnitPrices("v", 1_000_000, 10_000_000)

TOKENS = {
    "input": PRICES,
    "output": PRICES,
    "cached_input": MAYBE,
    "cache_write": MAYBE,
    "cache_write_1h": MAYBE,
    "reasoning": MAYBE,
}
LONG = st.none() | st.builds(LongContext, above=COUNTS, **TOKENS)
ANY_PRICE = st.builds(
    UnitPrices, version=st.just("v"), images=st.just({"s": 3}), request=PRICES, long_context=LONG, **TOKENS
)
AMOUNTS = st.builds(
    Amount,
    COUNTS,
    COUNTS,
    st.integers(0, 10),
    st.just("s"),
    cached_tokens=COUNTS,
    cache_creation_tokens=COUNTS,
    cache_creation_1h_tokens=COUNTS,
    reasoning_tokens=COUNTS,
)


@given(used=AMOUNTS, at=ANY_PRICE, more=st.tuples(COUNTS, COUNTS, st.integers(0, 10)))
def test_no_usage_within_the_bounds_costs_more_than_the_worst_case(
    used: Amount, at: UnitPrices, more: tuple[int, int, int]
) -> None:
    most = Amount(used.input_tokens + more[0], used.output_tokens + more[1], used.images + more[2], "s")
    assert 0 <= price(used, at) <= worst_case(most, at)
    assert price(used, reachable(most, at)) == price(used, at), "what cannot apply is left out of the offer"


@given(used=AMOUNTS, at=ANY_PRICE)
def test_the_counts_are_disjoint_and_nothing_of_the_usage_is_without_a_price(used: Amount, at: UnitPrices) -> None:
    counts = {one.what: one.count for one in priced_counts(used, at)}
    assert all(count >= 0 for count in counts.values())
    read_or_written = counts["cached_input"] + counts["cache_write"] + counts["cache_write_1h"]
    assert counts["input"] + read_or_written == used.input_tokens
    assert counts["output"] + counts["reasoning"] == used.output_tokens
    exact = sum(one.exact for one in priced_counts(used, at))
    assert exact <= price(used, at) * PER_TOKENS < exact + PER_TOKENS


def test_what_is_written_for_an_hour_has_its_own_price_else_that_of_what_is_written_else_that_of_input() -> None:
    used = Usage(prompt_tokens=1000, cache_creation_tokens=400, cache_creation_1h_tokens=300).amount
    both = dataclasses.replace(PLAIN, cache_write=1_250_000, cache_write_1h=2_000_000)
    assert price(used, both) == 600 + 125 + 600
    assert price(used, dataclasses.replace(PLAIN, cache_write=1_250_000)) == 600 + 500
    assert price(used, PLAIN) == 1000


def test_reasoning_has_its_own_price_else_that_of_output() -> None:
    used = Usage(prompt_tokens=10, completion_tokens=100, reasoning_tokens=60).amount
    assert price(used, PLAIN) == 10 + 1000
    assert price(used, dataclasses.replace(PLAIN, reasoning=3_000_000)) == 10 + 400 + 180


def test_a_request_has_its_price_beside_what_it_uses() -> None:
    assert price(Amount(10), dataclasses.replace(PLAIN, request=5_000)) == 5_010
    assert worst_case(Amount(10), dataclasses.replace(PLAIN, request=5_000)) == 5_010


def test_a_request_of_long_context_is_priced_so_as_a_whole() -> None:
    long = LongContext(input=2_000_000, output=15_000_000, cached_input=500_000, above=1000)
    at = dataclasses.replace(PLAIN, cached_input=250_000, long_context=long)
    assert price(Amount(1000, 10, cached_tokens=200), at) == 800 + 50 + 100
    assert price(Amount(1001, 10, cached_tokens=200), at) == 1602 + 100 + 150
    bare = dataclasses.replace(at, long_context=LongContext(input=2_000_000, output=0, above=1000))
    assert price(Amount(1001, cached_tokens=200), bare) == 2002, "no usual price applies to it"
    assert worst_case(Amount(1000, 10), at) == 1000 + 100 and worst_case(Amount(1001, 10), at) == 2002 + 150


def offered(more: str, body: dict[str, Any] | None = None) -> Any:
    offer, *_ = quote.offers(
        read_submission("chat.completion", {"model": "m", "messages": SAY, **(body or {})}), row(more), test=False
    )
    return offer


def row(more: str) -> Catalogue:
    return read(ROW + more)


def test_a_row_s_prices_are_fixed_in_the_offer_and_held_for() -> None:
    plain, dear = (
        offered(more) for more in ("", "cache_write_1h = 2_000_000\nreasoning = 9_000_000\nrequest = 7\nimages = {}\n")
    )
    tokens = plain.bound_micros - 80
    assert dear.bound_micros == 2 * tokens + 90 + 7
    assert (dear.price.cache_write_1h, dear.price.reasoning, dear.price.request) == (2_000_000, 9_000_000, 7)
    kept = orjson.loads(orjson.dumps(dear))
    assert read_offer({**kept, "invented": 1}) == dear
    new = ("cache_write_1h", "reasoning", "request", "long_context")
    assert read_offer({name: value for name, value in kept.items() if name not in new}).price == dataclasses.replace(
        dear.price, cache_write_1h=None, reasoning=None, request=0
    )


def test_long_context_is_in_the_offer_of_a_request_that_may_be_so_long_and_in_no_other() -> None:
    table = "long_context = {{ above = {}, input = 3_000_000, output = 4_000_000 }}\n"
    assert offered(table.format(10_000)).long_context is None
    long = offered(table.format(10))
    assert read_offer(orjson.loads(orjson.dumps(long))).price == long.price
    assert long.price.long_context == LongContext(3_000_000, 4_000_000, above=10)
    kept = orjson.loads(orjson.dumps(long))
    kept["long_context"]["invented"] = 1
    assert read_offer(kept).price == long.price
    assert long.bound_micros == 3 * (offered("").bound_micros - 80) + 80


def test_the_limit_that_would_fit_counts_on_the_dearest_output() -> None:
    offer = offered("reasoning = 9_000_000\n", {"max_tokens": 5})
    fixed, slope = linear({"messages": SAY, "max_tokens": 5}, [offer], offer.bound_micros)
    assert slope == 9_000_000 and fixed + 5 * slope == offer.bound_micros * PER_TOKENS


def test_a_tier_has_every_key_of_a_price_and_nothing_of_the_usual_one() -> None:
    tier = (
        "service_tiers.flex = { input = 500_000, output = 4_000_000, cached_input = 50_000, cache_write = 600_000, "
        "cache_write_1h = 900_000, reasoning = 3_000_000, request = 1, "
        "long_context = { above = 10, input = 800_000, output = 6_000_000 } }\n"
    )
    at = offered("cached_input = 1\nrequest = 9\n" + tier, {"service_tier": "flex"}).price
    assert (at.input, at.output, at.cached_input, at.cache_write) == (500_000, 4_000_000, 50_000, 600_000)
    assert (at.cache_write_1h, at.reasoning, at.request) == (900_000, 3_000_000, 1)
    assert at.long_context == LongContext(800_000, 6_000_000, above=10)
    bare = offered(
        "cached_input = 1\nrequest = 9\nservice_tiers.flex = { input = 2, output = 3 }\n", {"service_tier": "flex"}
    )
    assert (bare.price.input, bare.price.cached_input, bare.price.request) == (2, None, 9)


def test_a_tier_without_a_price_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"not supported by m; supported values: auto, default, flex"):
        offered("service_tiers.flex = { input = 2, output = 3 }\n", {"service_tier": "priority"})


@pytest.mark.parametrize(
    "wrong",
    [
        "request = -1",
        "reasoning = 1.5",
        "long_context = { above = 0, input = 1, output = 1 }",
        "long_context = { above = 5, input = 1 }",
        "long_context = { above = 5, input = 1, output = 1, images = {} }",
        "service_tiers.flex = { input = 1 }",
        "service_tiers.flex = { input = 1, output = 1, outputs = 2 }",
    ],
)
def test_a_price_that_cannot_be_read_stops_the_start(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"(?s)models?|Tier|LongContext|validation"):
        row(wrong + "\n")
