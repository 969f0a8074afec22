"""What was held for a job and why so much, line by line: what each call may take at most, at the dearest price. Pure.

The parts are those that were noted when the job was accepted (`Offer.basis`); the lines add up to the hold exactly.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, NotRequired

import orjson
from pydantic import Field
from typing_extensions import TypedDict

from producer.objects.charges import ExactCredits, exact_credits
from shared.money.pricing import PER_TOKENS, Amount, UnitPrices, dearest, reachable
from shared.objects.amounts import credits
from shared.objects.fields import Count, Credits
from shared.submissions.offers import Offer, read_offer

HoldItem = Literal["input", "overhead", "pictures", "search", "output", "images", "request", "rounding", "other"]


class HoldLine(TypedDict):
    """So many of one thing at most, at the dearest price that may apply; or `rounding`, or `other`, without a price."""

    item: HoldItem
    call: NotRequired[Annotated[int, Field(description="Which call of a job that takes several, from 1.")]]
    description: str
    count: NotRequired[Count]
    price: NotRequired[Annotated[int, Field(ge=0, description="Micro-credits for each `per`.")]]
    per: NotRequired[Annotated[int, Field(description="1,000,000 of tokens; 1 of images and requests.")]]
    rate: NotRequired[Annotated[str, Field(description="Which price that is, where several may apply.")]]
    credits: ExactCredits


class JobHold(TypedDict):
    """What a job may cost at most, which is set aside for it. The credits of the lines add up to `credits` exactly."""

    credits: Credits
    state: Annotated[
        Literal["held", "waiting", "ended"],
        Field(description="`waiting`: the job waits until the account has so much. `ended`: charged or released."),
    ]
    of_batch: Annotated[bool, Field(description="It is a part of the hold of the job's batch.")]
    reason: Annotated[str, Field(description="Why it is this much, in words.")]
    provider: Annotated[str | None, Field(description="Of the candidate whose worst case is held; null: not known.")]
    model: str | None
    service_tier: str | None
    price_version: Annotated[str | None, Field(description="The version of the catalogue that the prices are from.")]
    lines: list[HoldLine]


#: A part of the input of a call, by its name in the basis.
_INPUTS: Final[Mapping[str, tuple[HoldItem, str]]] = {
    "text": ("input", "text of the request, one token for each byte"),
    "around": ("overhead", "what the provider adds around messages, tools and inputs"),
    "pictures": ("pictures", "pictures of the request"),
    "searched": ("search", "what a web search may add"),
    "input": ("input", "input of the call"),
}


def hold(row: Mapping[str, Any]) -> JobHold | None:
    """The hold of a job, explained; None: nothing was to be held. `row`: as `producer.objects.jobs` takes it."""
    held = int(row["job_bound"] or row.get("wanted_micros") or 0)
    if not held:
        return None
    offers = _offers(row)
    by = next((one for one in offers if one.bound_micros == held), None)
    lines = list(_lines(by, offers)) if by else []
    rest = held * PER_TOKENS - sum(exact for exact, _ in lines)
    if rest < 0:  # its parts are of a version that counts otherwise
        lines, rest = [], held * PER_TOKENS
    return {
        "credits": credits(held),
        "state": _state(row),
        "of_batch": row.get("batch_id") is not None,
        "reason": _reason(by, offers),
        "provider": by.provider if by else None,
        "model": by.model if by else None,
        "service_tier": (by.service_tier or None) if by else None,
        "price_version": (by.version or None) if by else None,
        "lines": [line for _, line in lines] + ([_unpriced("other", "what is not told apart", rest)] if rest else []),
    }


def _offers(row: Mapping[str, Any]) -> list[Offer]:
    """The job's candidates; none where they are gone, or of a version that writes them otherwise."""
    try:
        return [read_offer(one) for one in orjson.loads(row["offers"] or "[]")]
    except (ValueError, LookupError, TypeError, AttributeError):
        return []


def _state(row: Mapping[str, Any]) -> Literal["held", "waiting", "ended"]:
    if row["status"] not in ("queued", "running"):
        return "ended"
    return "held" if row["job_bound"] else "waiting"


def _reason(by: Offer | None, offers: Sequence[Offer]) -> str:
    most = "the most that the job may cost"
    if by is None:
        return most
    if len(by.basis or ()) > 1:
        return f"{most}: all of the {len(by.basis or ())} calls that it may take, each at its dearest"
    if len(offers) == 1:
        return f"{most} at {by.provider} {by.model}"
    tier = f" in the tier {by.service_tier}" if by.service_tier else ""
    return f"{most} at the dearest of its {len(offers)} candidates, {by.provider} {by.model}{tier}"


#: A line with its credits in millionths of a micro-credit.
_Exact = tuple[int, HoldLine]


def _lines(by: Offer, offers: Sequence[Offer]) -> Iterator[_Exact]:
    """The lines of all calls, each rounded up to a micro-credit."""
    basis = by.basis or ([{}] if by.request == by.bound_micros else ())  # that of an answer from the cache is a fee
    for number, parts in enumerate(basis, start=1):
        index = parts.get("by")
        offer = offers[index] if isinstance(index, int) and index < len(offers) else by
        made = list(_of_call(parts, offer.price))
        exact = sum(one for one, _ in made)
        if over := -exact % PER_TOKENS:
            made.append((over, _unpriced("rounding", "rounding up", over)))
        for one, line in made:
            yield one, ({**line, "call": number} if len(basis) > 1 else line)


def _of_call(parts: Mapping[str, int | str], at: UnitPrices) -> Iterator[_Exact]:
    """What one call may take at most."""
    count = {name: value for name, value in parts.items() if isinstance(value, int)}
    tokens = sum(count.get(name, 0) for name in _INPUTS)
    answers, limit, guessed = count.get("answers", 1), count.get("limit", 0), count.get("guessed", 0)
    output = (limit + guessed) * answers + count.get("output", 0)
    most = Amount(tokens, output)
    price, possible = dearest(most, at), reachable(most, at)
    for name, (item, words) in _INPUTS.items():
        if count.get(name):
            yield _priced(item, words, count[name], price.input, PER_TOKENS, _input_rate(possible))
    if output:
        words = _output_words(answers, limit, guessed)
        yield _priced("output", words, output, price.output, PER_TOKENS, _output_rate(possible))
    if pictures := count.get("images"):
        size = str(parts.get("size", ""))
        yield _priced("images", f"images {size}", pictures, at.images.get(size, 0), 1)
    if at.request:
        yield _priced("request", "fee for each request", 1, at.request, 1)


def _output_words(answers: int, limit: int, guessed: int) -> str:
    if not limit:
        return "output of the call"
    longest = f"{limit:,} tokens" + (f" and {guessed:,} of a prediction" if guessed else "")
    return f"the answer, of at most {longest}" if answers == 1 else f"{answers} answers, of at most {longest} each"


#: Prices of input, beside that of input itself.
_CACHED: Final = {
    "cached input": "cached_input",
    "cache write": "cache_write",
    "cache write for an hour": "cache_write_1h",
}


def _input_rate(at: UnitPrices) -> str:
    return _dearest_of(at, {"": "input", **_CACHED})


def _output_rate(at: UnitPrices) -> str:
    return _dearest_of(at, {"": "output", "reasoning": "reasoning"})


def _dearest_of(at: UnitPrices, prices: Mapping[str, str]) -> str:
    """The name of the dearest of these prices; none where it is the usual one, or as dear."""
    found = [
        (getattr(table, column) or 0, ", ".join(filter(None, (name, of))))
        for of, table in (("", at.usual), ("long context", at.long_context))
        if table is not None
        for name, column in prices.items()
    ]
    return max(found, key=lambda one: one[0])[1]


def _priced(item: HoldItem, words: str, count: int, price: int, per: int, rate: str = "") -> _Exact:
    exact = count * price * (PER_TOKENS // per)
    line: HoldLine = {
        "item": item,
        "description": words,
        "count": count,
        "price": price,
        "per": per,
        "credits": exact_credits(exact),
    }
    return exact, ({**line, "rate": rate} if rate else line)


def _unpriced(item: HoldItem, words: str, exact: int) -> HoldLine:
    return {"item": item, "description": words, "credits": exact_credits(exact)}
