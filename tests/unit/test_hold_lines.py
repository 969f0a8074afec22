"""The lines that explain a job's hold: they add up to it exactly, whatever was asked, whoever wrote the rows."""

import dataclasses
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.objects.holds import JobHold, hold
from shared.money.pricing import Amount, LongContext, UnitPrices, worst_case
from shared.settings import settings
from shared.submissions import quote
from shared.submissions.catalogue import catalogue
from shared.submissions.offers import Offer
from shared.submissions.schemas import Submission, read_submission

COUNTS, PRICES = st.integers(0, 10**7), st.integers(0, 10**11)
MAYBE = st.none() | PRICES


def row(offers: list[Offer], held: int, **given: Any) -> dict[str, Any]:
    usual = {"status": "queued", "job_bound": held, "wanted_micros": None, "batch_id": None}
    return {**usual, "offers": orjson.dumps(offers).decode(), **given}


def explained(offers: list[Offer], held: int | None = None, **given: Any) -> JobHold:
    micros = quote.bound(offers) if held is None else held
    found = hold(row(offers, micros, **given))
    assert found is not None
    assert sum(Decimal(line["credits"]) for line in found["lines"]) == Decimal(micros) / 1_000_000
    for line in found["lines"]:
        if "price" in line:
            exact = Decimal(line["count"]) * line["price"] / line["per"] / 1_000_000
            assert exact == Decimal(line["credits"])
    return found


def quoted(body: dict[str, Any], *, test: bool = False) -> list[Offer]:
    return quote.offers(submitted(body), catalogue(), test=test)


def submitted(body: dict[str, Any]) -> Submission:
    given = {"type": "chat.completion", "model": "gpt-4", **body}
    return read_submission(given.pop("type"), given)


MESSAGES = [{"role": "user", "content": "hello"}]
TOOL = {"type": "function", "function": {"name": "look"}}


def items(found: JobHold) -> list[str]:
    return [line["item"] for line in found["lines"] if line["item"] != "rounding"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"messages": MESSAGES, "max_tokens": 50}, ["input", "overhead", "output"]),
        ({"messages": MESSAGES, "max_tokens": 50, "n": 3, "tools": [TOOL]}, ["input", "overhead", "output"]),
        (
            {"messages": MESSAGES, "max_tokens": 9, "prediction": {"type": "content", "content": "x"}},
            ["input", "overhead", "output"],
        ),
        ({"type": "embedding", "model": "text-embedding-3-large", "input": ["a", "b"]}, ["input", "overhead"]),
        ({"type": "image", "model": "image-gen-2", "prompt": "a cat", "n": 2}, ["images"]),
    ],
)
def test_what_is_quoted_is_explained_line_by_line(body: dict[str, Any], expected: list[str]) -> None:
    found = explained(quoted(body))
    assert items(found) == expected and found["state"] == "held"


def test_the_answer_is_told_as_it_was_limited() -> None:
    found = explained(quoted({"messages": MESSAGES, "max_tokens": 50, "n": 3}))
    (line,) = (one for one in found["lines"] if one["item"] == "output")
    assert line["count"] == 150 and line["description"] == "3 answers, of at most 50 tokens each"


def test_the_hold_is_that_of_the_dearest_candidate_and_says_so() -> None:
    body = {"messages": MESSAGES, "max_tokens": 50, "routing": {"fallbacks": ["claude-3-opus"]}}
    offers = quoted(body)
    found = explained(offers)
    by = max(offers, key=lambda one: one.bound_micros)
    assert (found["provider"], found["model"]) == (by.provider, by.model)
    assert f"the dearest of its {len(offers)} candidates" in found["reason"] and by.model in found["reason"]


def test_each_call_of_several_has_its_lines() -> None:
    offers = quoted({"model": "euqai-fusion-v1", "messages": MESSAGES})
    found = explained(offers)
    calls = [line["call"] for line in found["lines"]]
    assert sorted(calls) == calls and calls[0] == 1 and calls[-1] == len(offers[0].basis or ())
    assert f"all of the {calls[-1]} calls" in found["reason"]


def test_calls_that_each_of_several_candidates_may_serve_are_each_at_the_dearest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings(), "search_kind", "tavily")
    body = {"messages": MESSAGES, "max_tokens": 50, "grounding": True, "routing": {"fallbacks": ["claude-3-opus"]}}
    offers = quoted(body)
    found = explained(offers)
    assert len(offers) > 1 and {line["item"] for line in found["lines"]} >= {"input", "output"}
    assert all("price" in line or line["item"] == "rounding" for line in found["lines"])


@given(
    parts=st.fixed_dictionaries({"text": COUNTS, "around": COUNTS, "limit": COUNTS, "answers": st.integers(1, 128)}),
    prices=st.fixed_dictionaries(
        {"input": PRICES, "output": PRICES, "cached_input": MAYBE, "cache_write": MAYBE, "cache_write_1h": MAYBE}
        | {"reasoning": MAYBE, "request": PRICES}
    ),
    above=st.none() | st.integers(1, 10**7),
)
def test_the_lines_add_up_whatever_the_prices(parts: dict[str, int], prices: dict[str, Any], above: int | None) -> None:
    long = LongContext(2 * prices["input"], 3 * prices["output"], above=above) if above else None
    at = UnitPrices("v", **prices, long_context=long)
    bound = worst_case(Amount(parts["text"] + parts["around"], parts["limit"] * parts["answers"]), at)
    kept = dataclasses.asdict(long) if long else None
    offer = Offer(
        provider="p",
        model="m",
        upstream="m",
        version="v",
        bound_micros=bound,
        basis=[parts],
        long_context=kept,
        **prices,
    )
    if bound:
        assert "other" not in items(explained([offer]))
    else:
        assert hold(row([offer], 0)) is None


def test_the_dearest_of_several_prices_is_named() -> None:
    prices = {"input": 1_000_000, "cache_write_1h": 2_000_000, "output": 1, "reasoning": 5}
    offer = Offer(provider="p", model="m", upstream="m", version="v", bound_micros=201, **prices,
                  basis=[{"text": 100, "around": 0, "limit": 100, "answers": 1}])  # fmt: skip
    rates = {line["item"]: line.get("rate") for line in explained([offer])["lines"]}
    assert rates == {"input": "cache write for an hour", "output": "reasoning", "rounding": None}


def test_a_hold_of_a_version_that_notes_no_parts_is_one_line() -> None:
    offer = dataclasses.replace(quoted({"messages": MESSAGES, "max_tokens": 5})[0], basis=None)
    assert items(explained([offer])) == ["other"]
    assert items(explained([offer], 77)) == ["other"], "nor one that no candidate comes to"


@pytest.mark.parametrize("kept", [None, "", "nonsense", "{}", '[{"provider": "p"}]', "[1]", '{"a": 1}'])
def test_a_hold_whose_candidates_are_gone_is_one_line(kept: str | None) -> None:
    found = hold({**row([], 77), "offers": kept})
    assert found is not None and found["provider"] is None
    assert [(one["item"], one["credits"]) for one in found["lines"]] == [("other", found["lines"][0]["credits"])]
    assert Decimal(found["lines"][0]["credits"]) == Decimal("0.000077")


def test_parts_that_come_to_more_than_the_hold_are_not_told_with_less_than_nothing() -> None:
    offer = quoted({"messages": MESSAGES, "max_tokens": 5})[0]
    offer = dataclasses.replace(offer, basis=[{"text": 10**9, "around": 0, "limit": 1, "answers": 1}])
    assert items(explained([offer])) == ["other"]


def test_an_answer_from_the_cache_is_held_for_by_its_fee() -> None:
    fee = Offer(provider="p", model="m", upstream="m", version="v", input=0, output=0, request=500, bound_micros=500)
    assert items(explained([fee])) == ["request"]


def test_what_waits_or_has_ended_says_so_and_a_test_key_holds_nothing() -> None:
    offers = quoted({"messages": MESSAGES, "max_tokens": 5})
    held = quote.bound(offers)
    waiting = explained(offers, held, job_bound=0, wanted_micros=held)
    assert waiting["state"] == "waiting" and explained(offers, status="succeeded")["state"] == "ended"
    assert hold(row(quoted({"messages": MESSAGES}, test=True), 0)) is None
