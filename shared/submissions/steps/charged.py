"""What a job of several calls may have been charged, from its rows: each step, and what came of the last one. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from shared.money.pricing import Amount, UnitPrices
from shared.submissions.charging import USED
from shared.submissions.offers import read_offer
from shared.submissions.schemas import Usage
from shared.submissions.steps import grounding


@dataclass(frozen=True, slots=True)
class ChargedPart:
    """A step's amount and price; an empty name: what was sent on of a step that did not end."""

    step: str
    amount: Amount
    price: UnitPrices


def ways(row: Mapping[str, Any], steps: Sequence[Mapping[str, Any]]) -> Iterator[list[ChargedPart]]:
    """The parts of a charge; what was sent on of a last step may have the price of any tier of the model that served.

    `row`: the job with `offers`, the result's provider, `served_model`, `prompt_tokens` and `completion_tokens`;
    `steps`: `shared.jobs.job_steps.ended`. LookupError, ValueError, TypeError: they cannot be read, or do not fit.
    """
    offers = [read_offer(one) for one in orjson.loads(row["offers"])]
    prompt, completion = row["prompt_tokens"], row["completion_tokens"]
    parts: list[ChargedPart] = []
    for step in steps:
        used = Usage(**{name: step[name] for name in USED if name in step})
        parts.append(
            ChargedPart(step["step"], used.amount, grounding.price_of(step["step"], offers[step["offer"]].price))
        )
        prompt, completion = prompt - used.prompt_tokens, completion - used.completion_tokens
    if prompt < 0 or completion < 0 or (row["status"] == "succeeded" and prompt + completion):
        raise ValueError("counts")
    served = [one for one in offers if (one.provider, one.model) == (row["provider"], row["served_model"])]
    if not served:
        raise LookupError("served by none of its offers")
    for by in served:
        yield [*parts, ChargedPart("", Amount(prompt, completion), by.price)] if prompt + completion else parts
