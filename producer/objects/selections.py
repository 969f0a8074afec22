"""Why a job's model was chosen, and what the next best would have cost: made of its offers and its usage. Pure."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import orjson
from pydantic import Field
from typing_extensions import TypedDict

from producer.objects.charges import ExactCredits, exact_credits
from shared.money.pricing import price
from shared.objects.amounts import credits
from shared.objects.fields import Credits
from shared.submissions import charging
from shared.submissions.offers import read_offer

Expected = Annotated[
    ExactCredits | None,
    Field(description="The cost that was expected when the job was accepted; null: nothing was compared."),
]


class RoutingCandidate(TypedDict):
    """A model that may serve the job."""

    provider: str
    model: str
    expected_credits: Expected


class NextBest(RoutingCandidate):
    """The first of the other candidates."""

    credits: Annotated[
        Credits | None, Field(description="What the usage of the finished job would have cost; null: unknown.")
    ]


class JobRouting(TypedDict):
    """The candidates of a job, in the order in which they are tried, and why they are in it."""

    reason: Annotated[str, Field(description="Why the first candidate is the first.")]
    budget: Literal["economy", "balanced", "quality"] | None
    weights: Annotated[
        dict[str, float] | None, Field(description="The weights by which the candidates were ranked; null: none.")
    ]
    candidates: list[RoutingCandidate]
    next_best: NextBest | None


def routing(row: Mapping[str, Any]) -> JobRouting | None:
    """Of a job's row with its payload, and its result if there is one; None when its offers are gone."""
    try:
        offers = orjson.loads(row["offers"] or "null") or []
        candidates = _candidates(offers)
        selection = offers[0].get("selection") or {}
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
    return {
        "reason": selection.get("reason") or "requested",
        "budget": selection.get("budget"),
        "weights": selection.get("weights"),
        "candidates": candidates,
        "next_best": _next_best(row, offers, candidates),
    }


def _candidates(offers: Sequence[Mapping[str, Any]]) -> list[RoutingCandidate]:
    """Each model once, however many tiers of it there are."""
    expected = {
        (provider, model): exact_credits(cost)
        for provider, model, cost in (offers[0].get("selection") or {}).get("expected") or ()
    }
    models = dict.fromkeys((one["provider"], one["model"]) for one in offers)
    return [
        {"provider": provider, "model": model, "expected_credits": expected.get((provider, model))}
        for provider, model in models
    ]


def _next_best(
    row: Mapping[str, Any], offers: Sequence[Mapping[str, Any]], candidates: Sequence[RoutingCandidate]
) -> NextBest | None:
    """The first candidate that is not the one that served; before the end, the second."""
    served = (row.get("provider"), row.get("served_model"))
    if not served[0]:
        served = candidates[0]["provider"], candidates[0]["model"]
    for one in candidates:
        if (one["provider"], one["model"]) != served:
            return {**one, "credits": _cost(row, offers, one)}
    return None


def _cost(row: Mapping[str, Any], offers: Sequence[Mapping[str, Any]], other: RoutingCandidate) -> int | float | None:
    """What the job's usage comes to at the price of a candidate, never more than its bound."""
    if row.get("charged_micros") is None or not row.get("provider"):
        return None
    kept = next(one for one in offers if (one["provider"], one["model"]) == (other["provider"], other["model"]))
    try:
        offer = read_offer(kept)
        return credits(min(price(charging.usage_of(row, offer).amount, offer.price), offer.bound_micros))
    except (KeyError, ValueError, TypeError):
        return None
