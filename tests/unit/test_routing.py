"""The order of candidates: by budget, by weights, and the same again for the same conversation."""

import doctest
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.objects.selections import routing as shown
from shared.providers import statistics
from shared.providers.statistics import OfferStatistics
from shared.strict_json import dumps
from shared.submissions import quote, routing
from shared.submissions.catalogue import catalogue
from shared.submissions.routing import Candidate
from shared.submissions.schemas import Offer, read_submission

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


def made(body: dict[str, Any]) -> list[Offer]:
    return quote.offers(read_submission("chat.completion", {"messages": SAY, **body}), catalogue(), test=False)


def models(body: dict[str, Any]) -> list[str]:
    return [offer.model for offer in made(body)]


def test_the_examples_in_the_docstrings_hold() -> None:
    results = doctest.testmod(routing)
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
