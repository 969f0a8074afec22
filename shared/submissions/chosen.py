"""Puts a job's offers in the order that its caller's budget or weights give, and keeps why with the first of them.

`Offer.selection` is `{"budget", "weights", "reason", "expected", "asked"}`: `expected` is what each candidate was
expected to cost, as `[provider, model, millionths of a micro-credit]`, in their order; `asked` is what stood for the
name of a model, empty where nothing did. Offers whose order the caller
gave have none. Readers of earlier versions pass it over.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

from shared.money.pricing import PER_TOKENS, UnitPrices
from shared.providers import statistics
from shared.providers.states import name_of
from shared.submissions import routing
from shared.submissions.offers import Offer
from shared.submissions.schemas import Submission, picture_kind
from shared.submissions.token_estimates import USUAL_OUTPUT

#: Bytes of a request that are a token, as expected.
BYTES_PER_TOKEN: Final = 4


def by_budget(submission: Submission, made: Sequence[Offer], budget: routing.Budget) -> list[Offer]:
    """The same offers in the order of a budget; those of one model, in several tiers, stay together."""
    groups = _by_model(made)
    candidates = [candidate(submission, group[0]) for group in groups]
    return ordered(groups, candidates, routing.by_budget(candidates, budget), budget=budget)


def ordered(
    groups: Sequence[Sequence[Offer]], candidates: Sequence[routing.Candidate], order: routing.Order, **said: Any
) -> list[Offer]:
    """The groups' offers in that order, the first with why."""
    expected = [[candidates[i].provider, candidates[i].model, candidates[i].cost] for i in order.indexes]
    first, *rest = [offer for index in order.indexes for offer in groups[index]]
    selection = {**said, "reason": order.reason, "expected": expected}
    return [dataclasses.replace(first, selection=selection), *rest]


def candidate(submission: Submission, offer: Offer) -> routing.Candidate:
    """An offer with its expected cost and what is known of how its calls go."""
    cost = Expected(submission).cost(offer.price, offer.max_output)
    return known(offer.provider, offer.model, offer.upstream, cost)


def known(provider: str, model: str, upstream: str, cost: int) -> routing.Candidate:
    """A candidate of that expected cost, with the statistics of its calls."""
    found = statistics.snapshot().get(name_of(provider, upstream))
    if found is None:
        return routing.Candidate(model, provider, cost)
    return routing.Candidate(
        model, provider, cost, found.error_rate, found.first_seconds, found.total_seconds, found.calls
    )


class Expected:
    """What a request is expected to use: taken once, and priced for each candidate. A guess, which binds nothing."""

    def __init__(self, submission: Submission) -> None:
        request = self._request = submission.request
        self._images: int = request["n"] if submission.type == "image" else 0
        self._input = 0 if self._images else -(-len(submission.json) // BYTES_PER_TOKEN)
        self._answers: int = (request.get("n") or 1) if submission.type == "chat.completion" else 0
        self._limit = min(request.get("max_tokens") or USUAL_OUTPUT, USUAL_OUTPUT)

    def cost(self, at: UnitPrices, max_output: int) -> int:
        """Its price at a model of so many tokens of output, in millionths of a micro-credit."""
        long = at.long_context
        prices = at if long is None or self._input <= long.above else long
        output = min(self._limit, max_output or self._limit) * self._answers
        whole = at.request
        if self._images:
            whole += self._images * at.images[picture_kind(self._request, at.images)]
        return self._input * prices.input + output * prices.output + whole * PER_TOKENS


def _by_model(made: Sequence[Offer]) -> list[list[Offer]]:
    """The offers, those of one model together, in the order in which the models appear first."""
    groups: dict[tuple[str, str], list[Offer]] = {}
    for offer in made:
        groups.setdefault((offer.provider, offer.model), []).append(offer)
    return list(groups.values())
