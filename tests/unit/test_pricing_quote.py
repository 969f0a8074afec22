"""Prices and bounds: exact integers, one rounding up, and a charge that always fits in what was held."""

import doctest
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InvalidRequest
from shared.money import pricing
from shared.money.pricing import Amount, Overheads, UnitPrices, charge, input_bound, price, worst_case
from shared.submissions import quote
from shared.submissions.catalogue import Catalogue, catalogue, read
from shared.submissions.offers import read_offer
from shared.submissions.schemas import Usage, read_submission
from tests.pictures import data_url, png

COUNTS = st.integers(0, 10**7)
PRICES = st.integers(0, 10**11)
SAY = [{"role": "user", "content": "hello"}]


def made(body: dict[str, Any], type: Any = "chat.completion", test: bool = False) -> list[Any]:
    return quote.offers(read_submission(type, body), catalogue(), test=test)


def test_the_examples_in_the_docstrings_hold() -> None:
    results = doctest.testmod(pricing)
    assert results.attempted and not results.failed


def test_the_seeds_prices() -> None:
    embedding = catalogue().prices["text-embedding-3-large"]
    assert price(Amount(input_tokens=42), embedding) == 10_000, "42 tokens cost 0.01 credits"
    image = catalogue().prices["image-gen-2"]
    assert price(Amount(images=1, size="1024x1024"), image) == 10_000_000, "one picture costs 10 credits"
    assert price(Amount(images=3, size="1024x1536"), image) == 45_000_000


@given(tokens_in=COUNTS, tokens_out=COUNTS, at_in=PRICES, at_out=PRICES)
def test_one_rounding_and_upwards(tokens_in: int, tokens_out: int, at_in: int, at_out: int) -> None:
    exact = tokens_in * at_in + tokens_out * at_out
    cost = price(Amount(tokens_in, tokens_out), UnitPrices("v", at_in, at_out))
    assert exact <= cost * 1_000_000 < exact + 1_000_000


@given(tokens=COUNTS, at=PRICES, bound=st.integers(0, 10**13))
def test_charge_and_excess_make_up_the_price(tokens: int, at: int, bound: int) -> None:
    used, prices = Amount(tokens, tokens), UnitPrices("v", at, at)
    charged, excess = charge(used, prices, bound=bound)
    assert 0 <= charged <= bound and excess >= 0 and charged + excess == price(used, prices)
    assert not excess or charged == bound


def test_a_size_without_a_price_is_never_free() -> None:
    with pytest.raises(KeyError):
        price(Amount(images=1, size="9x9"), UnitPrices("v", 0, 0, {"1x1": 5}))


def test_input_bound_adds_each_overhead_once() -> None:
    around = Overheads(request=1, message=10, tools=100, tool=1000, image=10_000)
    assert input_bound(text_bytes=5, overheads=around) == 6
    assert input_bound(text_bytes=5, overheads=around, messages=2, image_tokens=30_000) == 30_026
    assert input_bound(text_bytes=5, overheads=around, tools=2) == 2106
    assert input_bound(text_bytes=0, overheads=around, inputs=4) == 41


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=60)
MESSAGES = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "user"]), "content": TEXT}), min_size=1, max_size=4
)


@given(messages=MESSAGES, limit=st.integers(1, 4096), n=st.integers(1, 16), data=st.data())
def test_no_usage_within_bytes_and_max_tokens_costs_more_than_the_bound(
    messages: list[dict[str, str]], limit: int, n: int, data: st.DataObject
) -> None:
    (offer,) = made({"model": "gpt-4", "messages": messages, "max_tokens": limit, "n": n})
    most = sum(len(m["content"].encode()) + len(m["role"]) + 8 for m in messages) + 16
    used = Amount(data.draw(st.integers(0, most)), data.draw(st.integers(0, limit * n)))
    assert price(used, UnitPrices(offer.version, offer.input, offer.output)) <= offer.bound_micros


@given(texts=st.lists(TEXT.filter(bool), min_size=1, max_size=8))
def test_an_embeddings_bound_covers_its_bytes(texts: list[str]) -> None:
    (offer,) = made({"model": "text-embedding-3-large", "input": texts}, "embedding")
    used = Amount(sum(len(text.encode()) for text in texts) + 8 * len(texts))
    assert price(used, UnitPrices("v", offer.input, 0)) <= offer.bound_micros


@given(tokens=st.lists(st.lists(st.integers(0, 200_000), min_size=1, max_size=20), min_size=1, max_size=5))
def test_a_token_arrays_bound_covers_its_tokens(tokens: list[list[int]]) -> None:
    (offer,) = made({"model": "text-embedding-3-large", "input": tokens}, "embedding")
    assert price(Amount(sum(map(len, tokens))), UnitPrices("v", offer.input, 0)) <= offer.bound_micros


def test_a_missing_max_tokens_is_the_models_maximum() -> None:
    (unsaid,) = made({"model": "gpt-4", "messages": SAY})
    (said,) = made({"model": "gpt-4", "messages": SAY, "max_tokens": 4096})
    output = 4096 * unsaid.output // 1_000_000
    assert said.bound_micros >= unsaid.bound_micros >= output


def test_image_data_counts_as_an_image_not_as_text() -> None:
    url = data_url(png() + b"\0" * 750_000)
    content = [{"type": "image_url", "image_url": {"url": url}}]
    (offer,) = made({"model": "gpt-4", "messages": [{"role": "user", "content": content}], "max_tokens": 1})
    tokens = catalogue().overheads.image + 400
    assert offer.bound_micros <= price(Amount(tokens, 1), UnitPrices("v", offer.price.dearest_input, offer.output))


def test_the_dearest_candidate_is_held_and_the_order_is_the_callers() -> None:
    routing = {"fallbacks": ["claude-3-opus", "openai.gpt-3.5-turbo"], "budget": None}
    offers = made({"model": "gemini-pro", "messages": SAY, "routing": routing})
    assert [offer.model for offer in offers] == ["gemini-pro", "claude-3-opus", "gpt-3.5-turbo"]
    assert quote.bound(offers) == max(offer.bound_micros for offer in offers) == offers[1].bound_micros


def test_a_test_key_is_offered_the_sandbox_for_nothing() -> None:
    (offer,) = made({"model": "gpt-4", "messages": SAY, "routing": {"fallbacks": ["gemini-pro"]}}, test=True)
    assert (offer.provider, offer.model, offer.bound_micros) == ("sandbox", "gpt-4", 0)


IMAGE = {"model": "image-gen-2", "prompt": "a cat"}
EMBED = {"model": "text-embedding-3-large", "input": "a"}


@pytest.mark.parametrize("test", [False, True])
@pytest.mark.parametrize(
    ("type", "body", "param"),
    [
        ("chat.completion", {"model": "gpt-5000", "messages": SAY}, "model"),
        ("chat.completion", {"model": "GPT-4", "messages": SAY}, "model"),
        ("chat.completion", {"model": "image-gen-2", "messages": SAY}, "model"),
        ("embedding", {**EMBED, "model": "gpt-4"}, "model"),
        ("image", {**IMAGE, "model": "text-embedding-3-large"}, "model"),
        ("chat.completion", {"model": "gpt-4", "messages": SAY, "max_tokens": 4097}, "max_tokens"),
        ("chat.completion", {"model": "gpt-4", "messages": SAY, "max_completion_tokens": 10**9}, "max_tokens"),
        ("embedding", {**EMBED, "dimensions": 3073}, "dimensions"),
        ("image", {**IMAGE, "size": "512x512"}, "size"),
        ("image", {**IMAGE, "size": "99999x99999"}, "size"),
        (
            "chat.completion",
            {"model": "gpt-4", "messages": SAY, "routing": {"fallbacks": ["gemini-pro", "google.gpt-4"]}},
            "routing.fallbacks[1]",
        ),
        (
            "chat.completion",
            {"model": "gpt-4", "messages": SAY, "routing": {"fallbacks": ["image-gen-2"]}},
            "routing.fallbacks[0]",
        ),
        (
            "chat.completion",
            {"model": "gemini-pro", "messages": SAY, "max_tokens": 8000, "routing": {"fallbacks": ["gpt-4"]}},
            "max_tokens",
        ),
    ],
)
def test_what_cannot_be_served_is_a_400_that_names_it(type: Any, body: dict[str, Any], param: str, test: bool) -> None:
    with pytest.raises(InvalidRequest) as refused:
        made(body, type, test)
    assert refused.value.param == param and param in refused.value.message
    with pytest.raises(InvalidRequest) as listed:
        quote.offers(read_submission(type, body), catalogue(), test=test, at="jobs[7].")
    assert listed.value.param == f"jobs[7].{param}"


def test_every_model_of_the_catalogue_can_be_quoted_and_costs_something() -> None:
    shown: Catalogue = catalogue()
    bodies: dict[str, dict[str, Any]] = {
        "chat.completion": {"messages": SAY},
        "embedding": {"input": "a"},
        "image": {"prompt": "a"},
    }
    for id, model in shown.models.items():
        (offer,) = made({"model": id, **bodies[model.type]}, model.type)
        assert offer.bound_micros > 0 and offer.version.partition("@")[0] == shown.version
        assert orjson.dumps(offer)


def test_the_catalogue_s_fallbacks_serve_who_names_none_as_far_as_they_can() -> None:
    rows = dict(catalogue().models)
    rows["gpt-4"] = rows["gpt-4"].model_copy(update={"fallbacks": ["gpt-3.5-turbo", "claude-3-opus"]})
    rows["gpt-3.5-turbo"] = rows["gpt-3.5-turbo"].model_copy(update={"max_output": 10})
    sold = catalogue()
    usual = Catalogue(sold.version, sold.overheads, sold.providers, rows, sold.prices)
    body = {"model": "gpt-4", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 50}

    def offered(**routing: Any) -> list[str]:
        asked = read_submission("chat.completion", {**body, **({"routing": routing} if routing else {})})
        return [offer.model for offer in quote.offers(asked, usual, test=False)]

    assert offered() == ["gpt-4", "claude-3-opus"], "one that cannot give 50 tokens is passed over"
    assert offered(fallbacks=[]) == ["gpt-4"] and offered(fallbacks=["gemini-pro"]) == ["gpt-4", "gemini-pro"]
    assert offered(hold_stream=True) == ["gpt-4", "claude-3-opus"]


MAYBE = st.none() | PRICES


@given(tokens=COUNTS, cached=COUNTS, written=COUNTS, at_in=PRICES, at_cached=MAYBE, at_written=MAYBE)
def test_whatever_a_cache_did_costs_no_more_than_the_worst_case(
    tokens: int, cached: int, written: int, at_in: int, at_cached: int | None, at_written: int | None
) -> None:
    prices = UnitPrices("v", at_in, 7, cached_input=at_cached, cache_write=at_written)
    used = Amount(tokens, 5, cached_tokens=cached, cache_creation_tokens=written)
    assert 0 <= price(used, prices) <= worst_case(Amount(tokens, 5), prices)


def test_cached_input_has_its_own_price_where_the_row_has_one_and_costs_as_other_input_where_it_has_none() -> None:
    used = Usage(prompt_tokens=1000, completion_tokens=10, cached_tokens=900, reasoning_tokens=4)
    assert price(used.amount, UnitPrices("v", 1_000_000, 1_000_000)) == 1010
    assert price(used.amount, UnitPrices("v", 1_000_000, 1_000_000, cached_input=100_000)) == 100 + 90 + 10
    written = Usage(prompt_tokens=1000, cached_tokens=600, cache_creation_tokens=300)
    assert price(written.amount, UnitPrices("v", 1_000_000, 0, cached_input=0, cache_write=1_250_000)) == 100 + 375


def test_a_detail_that_was_not_told_changes_no_price() -> None:
    prices = UnitPrices("v", 1_000_000, 0, cached_input=1, cache_write=9_000_000)
    assert price(Usage(prompt_tokens=1000).amount, prices) == 1000


def test_a_row_s_cache_prices_are_fixed_in_the_offer_and_held_for() -> None:
    source = """version = "1"\n[overheads]\nrequest = 0\nmessage = 0\ntools = 0\ntool = 0\nimage = 0
    [providers.p]\nprotocol = "openai"\n[models.m]\ntype = "chat.completion"\nprovider = "p"\nupstream = "m"
    purpose = ""\ninput = 1_000_000\noutput = 0\nmax_output = 10\n"""
    plain = read(source)
    dear = read(source + "cached_input = 100_000\ncache_write = 2_000_000\n")
    submission = read_submission("chat.completion", {"model": "m", "messages": SAY})
    (without,), (offer,) = (quote.offers(submission, one, test=False) for one in (plain, dear))
    assert offer.bound_micros == 2 * without.bound_micros
    assert (offer.price.cached_input, offer.price.cache_write) == (100_000, 2_000_000)
    assert read_offer({**orjson.loads(orjson.dumps(offer)), "invented": 1}) == offer
    old = {name: value for name, value in orjson.loads(orjson.dumps(offer)).items() if not name.startswith("cache")}
    assert read_offer(old).price.cached_input is None


def test_the_shipped_catalogue_s_cached_input_is_cheaper_and_what_is_written_dearer() -> None:
    having = [model for model in catalogue().models.values() if model.cached_input is not None]
    assert having and all(model.cached_input < model.input for model in having if model.cached_input is not None)
    written = [model for model in catalogue().models.values() if model.cache_write is not None]
    assert written and all(model.cache_write > model.input for model in written if model.cache_write is not None)
