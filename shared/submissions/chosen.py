"""Puts a job's offers in the order that its caller's budget or weights give, and keeps why with the first of them.

`Offer.selection` is `{"budget", "weights", "reason", "considered", "expected"}`: `expected` is what each candidate was
expected to cost, as `[provider, model, millionths of a micro-credit]`, in their order. Offers whose order the caller
gave have none. Readers of earlier versions pass it over.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

from shared.money.pricing import Amount, Price, priced_counts
from shared.providers import statistics
from shared.providers.states import name_of
from shared.submissions import routing
from shared.submissions.schemas import Offer, Submission, picture_kind

#: Bytes of a request that are a token, as expected; and tokens of an answer, where no lower limit is asked for.
BYTES_PER_TOKEN: Final = 4
USUAL_OUTPUT: Final = 500


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
    return known(offer.provider, offer.model, offer.upstream, expected_cost(submission, offer.price, offer.max_output))


def known(provider: str, model: str, upstream: str, cost: int) -> routing.Candidate:
    """A candidate of that expected cost, with the statistics of its calls."""
    found = statistics.snapshot().get(name_of(provider, upstream))
    if found is None:
        return routing.Candidate(model, provider, cost)
    return routing.Candidate(
        model, provider, cost, found.error_rate, found.first_seconds, found.total_seconds, found.calls
    )


def expected_cost(submission: Submission, at: Price, max_output: int) -> int:
    """What a request is expected to cost, in millionths of a micro-credit: a guess, which orders and binds nothing."""
    return sum(one.exact for one in priced_counts(_expected(submission, at, max_output), at))


def _expected(submission: Submission, at: Price, max_output: int) -> Amount:
    request = submission.request
    if submission.type == "image":
        return Amount(images=request["n"], size=picture_kind(request, at.images))
    tokens = -(-len(submission.json) // BYTES_PER_TOKEN)
    if submission.type == "embedding":
        return Amount(input_tokens=tokens)
    limit = min(request.get("max_tokens") or USUAL_OUTPUT, max_output or USUAL_OUTPUT, USUAL_OUTPUT)
    return Amount(input_tokens=tokens, output_tokens=limit * request.get("n", 1))


def _by_model(made: Sequence[Offer]) -> list[list[Offer]]:
    """The offers, those of one model together, in the order in which the models appear first."""
    groups: dict[tuple[str, str], list[Offer]] = {}
    for offer in made:
        groups.setdefault((offer.provider, offer.model), []).append(offer)
    return list(groups.values())
