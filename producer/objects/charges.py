"""How a job's charge came about, line by line, computed from its rows: the usage, at the offer's price. Pure."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, NotRequired

import orjson
from pydantic import Field
from typing_extensions import TypedDict

from shared.money.pricing import PER_TOKENS, Amount, PricedCount, UnitPrices, price_of_all, priced_counts
from shared.objects.amounts import credits
from shared.objects.fields import Count, Credits
from shared.submissions.charging import as_charged, charged_attempt
from shared.submissions.steps import charged as steps_charged
from shared.submissions.steps.charged import ChargedPart

ExactCredits = Annotated[str, Field(description="Credits as an exact decimal, with at most twelve decimals.")]

ChargeItem = Literal[
    "input",
    "cached_input",
    "cache_write",
    "cache_write_1h",
    "output",
    "reasoning",
    "images",
    "request",
    "rounding",
    "maximum",
    "other",
]

#: Decimals of an exact amount: a millionth of a micro-credit.
_DECIMALS: Final = 12
_UNIT: Final = 10**_DECIMALS
_WORDS: Final[Mapping[str, str]] = {
    "input": "input",
    "cached_input": "cached input",
    "cache_write": "cache write (5 minutes)",
    "cache_write_1h": "cache write (1 hour)",
    "output": "output",
    "reasoning": "reasoning",
    "request": "request",
}


class ChargeLine(TypedDict):
    """So many of one thing at one price, or a correction (`rounding`, `maximum`), which has neither."""

    item: ChargeItem
    step: NotRequired[Annotated[str, Field(description="The call of a job that takes several.")]]
    description: str
    count: NotRequired[Count]
    price: NotRequired[Annotated[int, Field(ge=0, description="Micro-credits for each `per`.")]]
    per: NotRequired[Annotated[int, Field(description="1,000,000 of tokens; 1 of images and requests.")]]
    credits: ExactCredits


class Hold(TypedDict):
    """What was set aside for the job, or for it within its batch's hold, and how much of that was released."""

    credits: Credits
    released: Credits
    of_batch: Annotated[bool, Field(description="It was a part of the hold of the job's batch.")]


class ChargeTerms(TypedDict):
    """What a charge is for, and at which prices."""

    service_tier: Annotated[str | None, Field(description="The service tier whose prices apply; null: the standard.")]
    price_version: Annotated[str | None, Field(description="The version of the catalogue that the prices are from.")]
    long_context: Annotated[bool, Field(description="The prices of long context apply to the whole request.")]
    reason: Annotated[
        Literal["test_key", "nothing_used", "cached"] | None,
        Field(description="Why it is 0, if nothing was to be charged."),
    ]


class Priced(ChargeTerms):
    """The lines of a charge and what they add up to."""

    lines: list[ChargeLine]
    credits: Credits


class Charge(Priced):
    """How the charge came about. The credits of the lines add up to `credits` exactly."""

    hold: Hold
    attempt: Annotated[
        int | None,
        Field(description="Which of `attempts` was charged, from 1; null: none, or several (`step` of the lines)."),
    ]
    estimated: Annotated[bool, Field(description="Tokens were counted here, because the provider did not report them.")]
    cached: Annotated[bool, Field(description="The answer came from the cache, at the fee for such answers.")]
    refunded: Annotated[Credits, Field(description="How much of it has been given back since.")]


def charge(row: Mapping[str, Any]) -> Charge | None:
    """How a job's charge came about; None while it has not ended. `row`: as `shared.submissions.charging` takes it."""
    charged = row["charged_micros"]
    if charged is None:
        return None
    held = int(row["job_bound"])
    of_batch = row.get("batch_id") is not None
    return {
        **_priced(row, charged),
        "hold": {"credits": credits(held), "released": credits(held - charged), "of_batch": of_batch},
        "attempt": _attempt(row),
        "estimated": bool(row.get("estimated")),
        "cached": row.get("cached_from") is not None,
        "refunded": credits(row.get("refunded_micros") or 0),
    }


def _attempt(row: Mapping[str, Any]) -> int | None:
    """The number of the attempt that was charged."""
    if not row["charged_micros"] or not row["provider"] or row.get("steps") or row.get("cached_from"):
        return None
    index = charged_attempt(orjson.loads(row.get("attempts") or "[]"), row["provider"], row["served_model"])
    return None if index is None else index + 1


def _priced(row: Mapping[str, Any], charged: int) -> Priced:
    """The lines."""
    if row["test"]:
        return _nothing("test_key")
    if not charged and row.get("cached_from"):
        return _nothing("cached")
    if not charged and not row["provider"]:
        return _nothing("nothing_used")
    if row.get("steps") and (parts := _parts(row)) is not None:
        return _of_steps(row, parts)
    found = as_charged(row)
    if found is None:
        return {
            **_nothing(None),
            "lines": [_correction("other", "charge", charged * PER_TOKENS)],
            "credits": credits(charged),
        }
    at, offer, used = found
    counts = priced_counts(used.amount, at)
    lines = [_line(one, used.size) for one in counts if one.count]
    lines += _corrections(sum(one.exact for one in counts), charged)
    long = at.long_context
    return {
        "lines": lines,
        "credits": credits(charged),
        "service_tier": offer.service_tier or row["service_tier"] or None,
        "price_version": at.version,
        "long_context": long is not None and used.prompt_tokens > long.above,
        "reason": None,
    }


def _parts(row: Mapping[str, Any]) -> list[ChargedPart] | None:
    """The parts of the charge of a job of several calls; None when none of the ways comes to it."""
    try:
        ways = list(steps_charged.ways(row, row["steps"]))
    except (LookupError, ValueError, TypeError):
        return None
    bound = int(row["job_bound"])
    prices = ([(part.amount, part.price) for part in way] for way in ways)
    fits = (way for way, priced in zip(ways, prices, strict=True) if _cut(priced, bound) == row["charged_micros"])
    return next(fits, None)


def _cut(priced: Sequence[tuple[Amount, UnitPrices]], bound: int) -> int:
    return min(price_of_all(priced), bound)


def _of_steps(row: Mapping[str, Any], parts: Sequence[ChargedPart]) -> Priced:
    lines: list[ChargeLine] = []
    exact = 0
    for part in parts:
        counts = [one for one in priced_counts(part.amount, part.price) if one.count]
        exact += sum(one.exact for one in counts)
        named: ChargeLine
        for one in counts:
            named = _line(one, "")
            if part.step:
                named["step"] = part.step
            lines.append(named)
    last = parts[-1]
    long = last.price.long_context
    return {
        "lines": lines + _corrections(exact, row["charged_micros"]),
        "credits": credits(row["charged_micros"]),
        "service_tier": row["service_tier"] or None,
        "price_version": last.price.version,
        "long_context": long is not None and last.amount.input_tokens > long.above,
        "reason": None,
    }


def _corrections(exact: int, charged: int) -> list[ChargeLine]:
    """What makes the lines before add up to the charge."""
    full = -(-exact // PER_TOKENS) * PER_TOKENS
    lines: list[ChargeLine] = []
    if full != exact:
        lines.append(_correction("rounding", "rounding up", full - exact))
    if full != charged * PER_TOKENS:
        lines.append(_correction("maximum", "above the maximum that was held", charged * PER_TOKENS - full))
    return lines


def exact_credits(exact: int) -> str:
    """Millionths of a micro-credit as credits.

    >>> exact_credits(1), exact_credits(-2_500_000), exact_credits(3 * 10**12), exact_credits(0)
    ('0.000000000001', '-0.0000025', '3', '0')
    """
    whole, part = divmod(abs(exact), _UNIT)
    return ("-" if exact < 0 else "") + f"{whole}.{part:0{_DECIMALS}d}".rstrip("0").rstrip(".")


def _nothing(reason: Literal["test_key", "nothing_used", "cached"] | None) -> Priced:
    return {
        "lines": [],
        "credits": 0,
        "service_tier": None,
        "price_version": None,
        "long_context": False,
        "reason": reason,
    }


def _line(one: PricedCount, size: str) -> ChargeLine:
    return {
        "item": one.what,
        "description": f"images {size}" if one.what == "images" else _WORDS[one.what],
        "count": one.count,
        "price": one.price,
        "per": one.per,
        "credits": exact_credits(one.exact),
    }


def _correction(item: ChargeItem, description: str, exact: int) -> ChargeLine:
    return {"item": item, "description": description, "credits": exact_credits(exact)}
