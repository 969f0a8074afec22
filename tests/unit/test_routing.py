"""The order of candidates: by budget, by weights, and the same again for the same conversation."""

import doctest
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.objects.selections import routing as shown
from shared import clock
from shared.batches import line_requests, plan_lines
from shared.errors import InvalidRequest
from shared.money.pricing import Amount, LongContext, UnitPrices, priced_counts
from shared.providers import statistics
from shared.providers.statistics import OfferStatistics
from shared.strict_json import dumps
from shared.submissions import chosen, quote, routing, rows, selecting, selection
from shared.submissions.catalogue import catalogue
from shared.submissions.offers import Offer
from shared.submissions.routing import Candidate
from shared.submissions.schemas import read_submission

SAY = [{"role": "user", "content": "hello"}]
NAMES = st.text(max_size=3)
RATES = st.floats(0, 1)
SECONDS = st.none() | st.floats(0, 1000)
CANDIDATES = st.lists(
    st.builds(
        Candidate, st.text(max_size=3), st.text(max_size=3), st.integers(0, 10**15), RATES, SECONDS, SECONDS, RATES
    ),
    min_size=1,
    max_size=6,
)
MEASURES = ("price", "error", "start_latency", "end_latency")
WEIGHTS = st.fixed_dictionaries({name: st.floats(0.001, 100) for name in MEASURES})


@pytest.fixture(autouse=True)
def on_a_day_of_these_prices() -> Iterator[None]:
    """Which model is the cheapest changes on the days on which introductory prices end."""
    before = clock.shift_micros()
    clock.shift(int(datetime(2026, 11, 29, tzinfo=UTC).timestamp()) * clock.MICROS - clock.now_micros())
    yield
    clock.shift(before - clock.shift_micros())


def made(body: dict[str, Any]) -> list[Offer]:
    return quote.offers(read_submission("chat.completion", {"messages": SAY, **body}), catalogue(), test=False)


def models(body: dict[str, Any]) -> list[str]:
    return [offer.model for offer in made(body)]


def test_the_examples_in_the_docstrings_hold() -> None:
    for module in (routing, selection):
        results = doctest.testmod(module)
        assert results.attempted and not results.failed


@given(candidates=CANDIDATES, budget=st.sampled_from(["economy", "balanced", "quality"]))
def test_a_budget_orders_and_drops_none(candidates: list[Candidate], budget: Any) -> None:
    order = routing.by_budget(candidates, budget)
    assert sorted(order.indexes) == list(range(len(candidates)))
    first, *rest = [candidates[index] for index in order.indexes]
    others = [one for one in rest if one.failing == first.failing]
    assert not first.failing or all(one.failing for one in rest)
    if budget == "economy":
        assert all(first.cost <= one.cost for one in others)
    if budget == "quality":
        assert all(first.cost >= one.cost for one in others)


@given(candidates=CANDIDATES, weights=WEIGHTS, key=st.binary(max_size=4))
def test_weights_order_and_drop_none(candidates: list[Candidate], weights: Any, key: bytes) -> None:
    for prefix in (None, lambda: key):
        order = routing.by_weights(candidates, weights, prefix)
        assert sorted(order.indexes) == list(range(len(candidates)))


FALLBACKS = {"fallbacks": ["claude-3-opus", "gemini-pro"]}


def test_without_a_budget_the_order_is_the_callers_and_nothing_is_said_of_it() -> None:
    offers = made({"model": "gpt-3.5-turbo", "routing": FALLBACKS})
    assert [offer.model for offer in offers] == ["gpt-3.5-turbo", *FALLBACKS["fallbacks"]]
    assert all(offer.selection is None for offer in offers)


@pytest.mark.parametrize(
    ("budget", "order"),
    [
        ("economy", ["gemini-pro", "gpt-3.5-turbo", "claude-3-opus"]),
        ("balanced", ["gpt-3.5-turbo", "claude-3-opus", "gemini-pro"]),
        ("quality", ["claude-3-opus", "gpt-3.5-turbo", "gemini-pro"]),
    ],
)
def test_a_budget_orders_the_offers(budget: str, order: list[str]) -> None:
    offers = made({"model": "gpt-3.5-turbo", "routing": {**FALLBACKS, "budget": budget}})
    assert [offer.model for offer in offers] == order
    first = offers[0].selection
    assert first is not None and first["budget"] == budget and [one[1] for one in first["expected"]] == order
    assert all(offer.selection is None for offer in offers[1:])


def test_what_fails_comes_last(monkeypatch: pytest.MonkeyPatch) -> None:
    upstream = catalogue().models["gemini-pro"].upstream
    found = {f"google/{upstream}": OfferStatistics(0.9, None, None, 10)}
    monkeypatch.setattr(statistics, "snapshot", lambda: found)
    offers = made({"model": "gpt-3.5-turbo", "routing": {**FALLBACKS, "budget": "economy"}})
    assert [offer.model for offer in offers] == ["gpt-3.5-turbo", "claude-3-opus", "gemini-pro"]
    assert offers[0].selection and offers[0].selection["reason"] == "cheapest of 3 candidates, 1 of which are failing"


def row(offers: list[Offer], **more: Any) -> dict[str, Any]:
    counts = dict.fromkeys(
        ("cached_tokens", "cache_creation_tokens", "cache_creation_1h_tokens", "reasoning_tokens"), None
    )
    used = {"prompt_tokens": 1000, "completion_tokens": 10, "images": 0, "request": None, "charged_micros": 1, **counts}
    return {"offers": dumps(offers), **used, "provider": "", "served_model": "", **more}


def test_a_job_says_what_the_next_best_would_have_cost() -> None:
    offers = made({"model": "gpt-3.5-turbo", "routing": {**FALLBACKS, "budget": "economy"}})
    served = {"provider": offers[0].provider, "served_model": offers[0].model}
    found = shown(row(offers, **served))
    assert found and found["reason"] == "cheapest of 3 candidates" and found["budget"] == "economy"
    assert [one["model"] for one in found["candidates"]] == [offer.model for offer in offers]
    assert found["next_best"] and found["next_best"]["model"] == "gpt-3.5-turbo"
    micros = -(-(1000 * offers[1].input + 10 * offers[1].output) // 10**6)
    assert found["next_best"]["credits"] == micros / 10**6
    fallen = shown(row(offers, provider=offers[1].provider, served_model=offers[1].model))
    assert fallen and fallen["next_best"] and fallen["next_best"]["model"] == offers[0].model


def test_offers_of_earlier_releases_and_none_at_all_are_read() -> None:
    old = [{k: v for k, v in one.items() if k != "selection"} for one in orjson.loads(dumps(made({"model": "gpt-4"})))]
    found = shown({"offers": dumps(old)})
    assert found and found["reason"] == "requested" and found["next_best"] is None
    assert shown({"offers": None}) is None and shown({"offers": "[]"}) is None


def test_without_a_model_a_few_that_can_serve_it_are_selected() -> None:
    offers = made({"max_tokens": 50})
    providers = [offer.provider for offer in offers]
    assert len({offer.model for offer in offers}) == 4 and max(providers.count(name) for name in providers) <= 2
    assert quote.bound(offers) <= selecting.HOLD_FACTOR * offers[0].bound_micros
    first = offers[0].selection
    assert first and first["weights"] == dict(routing.DEFAULT_WEIGHTS) and first["asked"] == {}


def test_what_the_request_needs_is_what_the_selected_can() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    offers = made({"max_tokens": 50, "tools": [tool]})
    rows = [catalogue().models[offer.model] for offer in offers]
    assert offers and all(row.capabilities is None or "tools" in row.capabilities for row in rows)


def test_llms_are_the_only_candidates_and_the_cheapest_is_first() -> None:
    llms = ["anthropic.claude-3-opus", "gpt-3.5-turbo", "gemini-pro"]
    body = {"model": {"llms": llms, "weights": {"price": 1}}, "max_tokens": 50}
    offers = made(body)
    assert offers[0].model == "gemini-pro" and {offer.model for offer in offers} <= {"gemini-pro", "gpt-3.5-turbo"}, (
        "an opus would hold more than four times as much"
    )
    without = made({**body, "model": {"llms": llms, "exclude_llms": ["gemini-pro"]}})
    assert "gemini-pro" not in [offer.model for offer in without]


def test_a_maximum_cost_is_exact_credits_for_a_quarter_of_a_token() -> None:
    row = catalogue().models["gpt-3.5-turbo"]
    exact = Decimal(row.input) / (4 * 10**12)
    for cost in (str(exact), float(exact)):
        assert models({"model": {"llms": ["gpt-3.5-turbo"], "max_input_cost": cost}}) == ["gpt-3.5-turbo"]
    with pytest.raises(InvalidRequest, match="1 above max_input_cost"):
        made({"model": {"llms": ["gpt-3.5-turbo"], "max_input_cost": f"{exact - Decimal('1e-17'):f}"}})


@given(
    text=st.text(max_size=400), limit=st.none() | st.integers(1, 2000), most=st.integers(0, 1000), n=st.integers(1, 3),
    prices=st.tuples(*[st.integers(0, 10**10)] * 5), above=st.integers(1, 150),
)  # fmt: skip
def test_what_is_expected_is_priced_as_a_charge_is(
    text: str, limit: int | None, most: int, n: int, prices: tuple[int, ...], above: int
) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": text}], "n": n}
    submission = read_submission("chat.completion", body | ({"max_tokens": limit} if limit else {}))
    input, output, dear_input, dear_output, request = prices
    at = UnitPrices("v", input, output, request=request, long_context=LongContext(dear_input, dear_output, above=above))
    used = Amount(-(-len(submission.json) // 4), min(limit or 500, most or 500, 500) * n)
    exact = sum(one.exact for one in priced_counts(used, at))
    assert chosen.Expected(submission).cost(at, most) == exact


def test_which_models_are_connected_is_found_out_once_for_all_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(selecting, "endpoint", lambda provider: asked.append(provider.name))
    monkeypatch.setattr(selecting, "_found", None)
    for _ in range(10):
        made({"max_tokens": 50})
    assert sorted(asked) == sorted(set(catalogue().providers) - {"sandbox"})


def test_what_is_selected_for_a_tier_is_ranked_by_its_price_and_has_one() -> None:
    llms = ["gpt-6-luna", "claude-opus-5-5", "gpt-5.5"]
    said = [made({"model": {"llms": llms}, "max_tokens": 50, **tier}) for tier in ({}, {"service_tier": "flex"})]
    usual, flex = (offers[0].selection for offers in said)
    assert usual and flex and flex["reason"] == "best by weights of 2 candidates"
    costs = [{model: cost for _, model, cost in one["expected"]} for one in (usual, flex)]
    assert costs[1]["gpt-6-luna"] < costs[0]["gpt-6-luna"] * 0.6
    assert {offer.service_tier for offer in said[1]} == {"flex", "default"}
    with pytest.raises(InvalidRequest, match="1 without a price for the service_tier"):
        made({"model": {"llms": ["claude-opus-5-5"]}, "service_tier": "flex"})


def test_a_fallback_that_is_there_already_is_no_other_candidate() -> None:
    again = {"fallbacks": ["gemini-pro", "openai.gpt-3.5-turbo", "gemini-pro"]}
    assert models({"model": "gpt-3.5-turbo", "routing": again}) == ["gpt-3.5-turbo", "gemini-pro"]


@pytest.mark.parametrize(
    ("body", "param", "said"),
    [
        ({"model": {"llms": ["gpt-99"]}}, "model.llms[0]", "unknown model"),
        ({"model": {"llms": ["gpt-4", "image-gen-2"]}}, "model.llms[1]", "has type image"),
        ({"model": {"llms": []}}, "model.llms", "at least 1"),
        ({"model": {"exclude_llms": ["gpt-99"]}}, "model.exclude_llms[0]", "unknown model"),
        ({"model": {"llms": ["gpt-4"], "exclude_llms": ["gpt-4"]}}, "model", "1 excluded by exclude_llms"),
        ({"model": {"max_output_cost": 0}}, "model", "above max_output_cost"),
        ({"model": {"max_input_cost": -1}}, "model.max_input_cost", "at least 0"),
        ({"model": {"max_input_cost": "1e-3"}}, "model.max_input_cost", "decimal string"),
        ({"model": {"weights": {"price": -1}}}, "model.weights.price", "greater"),
        ({"model": {"weights": {"price": float("nan")}}}, "model.weights.price", "model.weights.price: "),
        ({"model": {"weights": {"price": 0, "error": 0}}}, "model.weights", "above 0"),
        ({"model": {"weights": {}}}, "model.weights", "above 0"),
        ({"model": {"weights": {"speed": 1}}}, "model.weights.speed", "unknown field"),
        ({"model": {"imsn": 1}}, "model.imsn", "unknown field"),
        ({"model": {"weights": {"price": 1}}, "routing": {"budget": "economy"}}, "routing.budget", "combined"),
        ({"model": ["gpt-4"]}, "model", "string or an object"),
        ({"model": ""}, "model", "string or an object"),
        ({"max_tokens": 10**9}, "model", "below max_tokens"),
    ],
)
def test_a_selection_that_cannot_be_is_a_400(body: dict[str, Any], param: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said) as refused:
        made(body)
    assert refused.value.param == param


@pytest.mark.parametrize("model", [None, {}, {"llms": ["text-embedding-3-large"]}])
def test_only_chats_select_a_model(model: Any) -> None:
    with pytest.raises(InvalidRequest, match="model is required"):
        read_submission("embedding", {"input": "a", "model": model})


def test_a_budget_orders_what_is_selected_and_named_fallbacks_follow_the_first() -> None:
    llms = {"llms": ["gpt-3.5-turbo", "gemini-pro"]}
    assert models({"model": llms, "routing": {"budget": "economy"}})[0] == "gemini-pro"
    assert models({"model": llms, "routing": {"budget": "quality"}})[0] == "gpt-3.5-turbo"
    assert models({"model": llms, "routing": {"fallbacks": ["claude-3-opus"]}}) == ["gemini-pro", "claude-3-opus"]
    assert models({"model": llms, "routing": {"fallbacks": []}}) == ["gemini-pro"]


EQUALS = [Candidate(f"m{number}", "p", 100 + number % 3) for number in range(4)]


def first(key: bytes, candidates: list[Candidate]) -> str:
    return candidates[routing.by_weights(candidates, {"price": 1.0}, lambda: key).indexes[0]].model


def test_a_conversation_stays_and_conversations_spread() -> None:
    chosen = {key: first(bytes([key]), EQUALS) for key in range(200)}
    assert {chosen[key] == first(bytes([key]), EQUALS) for key in chosen} == {True}
    assert set(chosen.values()) == {one.model for one in EQUALS}
    fewer = EQUALS[1:]
    assert all(first(bytes([key]), fewer) == model for key, model in chosen.items() if model != EQUALS[0].model)


def test_what_is_clearly_better_is_taken_whatever_the_conversation() -> None:
    clear = [Candidate("dear", "p", 120), Candidate("cheap", "p", 100)]
    assert {first(bytes([key]), clear) for key in range(200)} == {"cheap"}


def test_a_conversation_is_what_each_later_turn_begins_with() -> None:
    begun = [{"role": "system", "content": "s"}, {"role": "user", "content": "a"}]
    later = [*begun, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    key = routing.conversation("acc", {"messages": begun})
    assert key == routing.conversation("acc", {"messages": later})
    others = [
        routing.conversation("acc", {"messages": begun[:1]}),
        routing.conversation("other", {"messages": begun}),
        routing.conversation("acc", {"messages": begun, "tools": []}),
        routing.conversation("acc", {"messages": begun, "prompt_cache_key": "k"}),
    ]
    assert len({key, *others}) == 5
    named = routing.conversation("acc", {"messages": later, "prompt_cache_key": "k"})
    assert named == others[-1]


@pytest.mark.parametrize("model", [None, {"llms": ["gpt-4", "gemini-pro"], "max_input_cost": "0.5"}])
def test_a_line_is_sent_again_with_what_it_said_of_the_model(model: Any) -> None:
    body = {"messages": SAY, **({"model": model} if model else {})}
    submission = read_submission("chat.completion", body)
    line = rows.priced(submission, quote.offers(submission, catalogue(), test=False), "a")
    assert line.model in catalogue().models
    again = orjson.loads(orjson.dumps(line_requests.of_plan(plan_lines.unplanned(plan_lines.planned(line)))))
    assert again["body"] == body
