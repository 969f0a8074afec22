"""Which of its offers a job is charged by: when it ends, and later, from its rows.

Of one model there may be an offer for each service tier: the provider says by which tier it served, and that one's
price counts, whichever was asked for. All of them are inside the job's hold.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from shared.money.pricing import UnitPrices, price
from shared.submissions.offers import Offer, read_offer
from shared.submissions.schemas import Usage, picture_kind

#: The counts of a result's row that have a price.
USED = (
    "prompt_tokens",
    "completion_tokens",
    "images",
    "cached_tokens",
    "cache_creation_tokens",
    "cache_creation_1h_tokens",
    "reasoning_tokens",
)


def priced_offer(offers: Sequence[Offer], asked: Offer, tier: str) -> Offer:
    """The offer whose price applies: that of the service tier that the provider served, if the job has one for it."""
    if tier and tier != asked.service_tier:
        for one in offers:
            if (one.provider, one.model, one.service_tier) == (asked.provider, asked.model, tier):
                return one
    return asked


def usage_of(row: Mapping[str, Any], offer: Offer) -> Usage:
    """The usage of a job's row, joined with its result; of an image with its `request`."""
    size = picture_kind(orjson.loads(row["request"]), offer.images) if row["request"] else ""
    return Usage(**{name: row[name] for name in USED}, size=size)


def fair_charges(row: Mapping[str, Any]) -> Iterator[tuple[int, Offer, Usage]]:
    """What a job may have been charged, and by which offer, the likeliest first; KeyError, ValueError, TypeError.

    `row`: the job with `job_bound` (its bound), `offer`, `offers`, the result's provider, counts and service_tier.
    """
    kept = orjson.loads(row["offers"])
    by = row["provider"], row["served_model"]
    made = [(index, read_offer(one)) for index, one in enumerate(kept) if (one["provider"], one["model"]) == by]
    of_tier = [pair for pair in made if row["service_tier"] and pair[1].service_tier == row["service_tier"]]
    for _, offer in sorted(of_tier or made, key=lambda pair: pair[0] != row["offer"]):
        used = usage_of(row, offer)
        possible = [offer] if row["service_tier"] is not None else [offer, _as_earlier(offer)]
        for one in possible:
            yield min(price(used.amount, one.price), one.bound_micros, int(row["job_bound"])), one, used


def _as_earlier(offer: Offer) -> Offer:
    """The offer as workers of the previous release read it; their results have no service tier."""
    return dataclasses.replace(offer, cache_write_1h=None, reasoning=None, request=0, long_context=None)


def charged_attempt(
    attempts: Sequence[Mapping[str, Any]], provider: str, model: str, step: str | None = None
) -> int | None:
    """The index of the attempt that a charge is for: the last at this model (of this step) that came to something.

    When none did, the last of all, whose answer was sent on in part; None: none is known.
    """
    own = [
        index
        for index, one in enumerate(attempts)
        if (one.get("provider"), one.get("model")) == (provider, model) and step in (None, one.get("step"))
    ]
    good = [index for index in own if attempts[index].get("error") is None]
    return (good or own)[-1] if own else None


def as_charged(row: Mapping[str, Any]) -> tuple[UnitPrices, Offer, Usage] | None:
    """The price, offer and usage that come to a job's charge; None if none of those in its rows do."""
    try:
        found = list(fair_charges(row))
    except (KeyError, ValueError, TypeError):
        return None
    for charged, offer, used in found:
        if charged == row["charged_micros"]:
            return offer.price, offer, used
    return None
