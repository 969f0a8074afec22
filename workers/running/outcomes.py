"""Outcomes of jobs at their worker: what an answer came to, and the error that a job shows for each failure."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import orjson

from shared.errors import FusionError, InternalError, InvalidRequest, ProviderError, Timeout, UpstreamError
from shared.jobs.leases import Leased
from shared.jobs.outcomes import Ending, RelayedPart, Terminal
from shared.money.pricing import UnitPrices, charge, charge_of_all
from shared.objects.amounts import credits
from shared.submissions import usage_shown
from shared.submissions.charging import priced_offer
from shared.submissions.offers import Offer
from shared.submissions.schemas import USUAL_TIER, Usage
from workers.providers import ProviderAnswer
from workers.running import walks
from workers.running.partial_answer import PartialAnswer
from workers.running.retry import GiveUp
from workers.upstream.faults import CALLERS, GENERAL_CODES, classify

#: As the job lists what was not passed on.
TIER_FIELD: Final = "service_tier"


def succeeded(
    job: Leased, offers: Sequence[Offer], asked: Offer, answer: ProviderAnswer, attempts: list[dict[str, Any]]
) -> Ending:
    """The end of a job that a provider has answered: charged exactly, no more than was held.

    The price is that of the offer that was asked for, or of another tier's, where the provider says so. A tier that the
    provider was not told of, since it has no name for it, is not what it served.
    """
    usage = answer.usage
    offer = priced_offer(offers, asked, usage.service_tier or (USUAL_TIER if TIER_FIELD in answer.ignored else ""))
    charged, excess = _charged(job, offer, usage)
    answer.body["usage"] = usage_of(job, usage, charged)
    return Ending(
        job.id,
        job.epoch,
        "succeeded",
        response=orjson.dumps(answer.body).decode(),
        attempts=attempts,
        ignored=answer.ignored,
        provider=offer.provider,
        model=offer.model,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        cached_tokens=usage.cached_tokens,
        cache_creation_tokens=usage.cache_creation_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        cache_creation_1h_tokens=usage.cache_creation_1h_tokens,
        service_tier=usage.service_tier or offer.service_tier,
        images=usage.images,
        estimated=usage.estimated,
        charge_micros=charged,
        excess_micros=excess,
        awaited=job.wait_until is not None,
    )


def _charged(job: Leased, offer: Offer, usage: Usage) -> tuple[int, int]:
    """What the customer pays, and what is the platform's loss; nothing of a test job."""
    bound = min(offer.bound_micros, job.bound_micros)
    return (0, 0) if job.test else charge(usage.amount, _price(offer), bound=bound)


def _price(offer: Offer) -> UnitPrices:
    """The price of an offer, which many jobs share (`job_rows`): made once, as making one costs what using it does."""
    kept = _prices.get(id(offer))
    if kept is None or kept[0] is not offer:
        if len(_prices) >= MOST_PRICES:
            _prices.clear()
        kept = _prices[id(offer)] = offer, offer.price
    return kept[1]


#: By what they are prices of, which is kept with them, so that its address is nobody else's meanwhile.
_prices: dict[int, tuple[Offer, UnitPrices]] = {}
MOST_PRICES: Final = 256


def _so_far(job: Leased, partial: PartialAnswer, offer: Offer) -> tuple[Usage, int, int]:
    """What an answer has used as far as it was sent on, with the calls before it; what is paid for it, what is lost."""
    usage, walk = partial.usage(), partial.walk
    if walk is None:
        return usage, *_charged(job, offer, usage)
    last = walk.conductor.counted(walk.asked, walk.step, usage)
    charged = charge_of_all([*walk.spent, (last.amount, offer.price)], bound=job.bound_micros)
    return walks.total([*(one.counted for one in walk.finished), last]), *((0, 0) if job.test else charged)


def usage_of(job: Leased, used: Usage, charged_micros: int) -> dict[str, Any]:
    """What a result says of its usage."""
    shown: dict[str, Any] = {}
    if job.type != "image":
        shown = dict(usage_shown.tokens(used))
        if job.type == "embedding":
            del shown["completion_tokens"]
    shown["credits_used"] = credits(charged_micros)
    if job.test:
        shown["test"] = True
    if used.estimated:
        shown["estimated"] = True
    return shown


def cut_short(
    job: Leased,
    status: Terminal,
    attempts: list[dict[str, Any]],
    partial: PartialAnswer,
    error: Mapping[str, Any] | None = None,
) -> Ending:
    """The end of a job before its answer was whole: what was sent on of it is kept and charged, as counted here."""
    ending = Ending(job.id, job.epoch, status, error=error, attempts=attempts)
    if not partial.began or partial.offer is None or partial.gathered is None:
        return ending
    offer, (usage, charged, excess) = partial.offer, _so_far(job, partial, partial.offer)
    head = {name: partial.gathered.head[name] for name in ("id", "created", "model")}
    body = {**head, "object": "chat.completion", "choices": partial.gathered.choices()}
    body["usage"] = usage_of(job, usage, charged)
    return replace(
        ending,
        service_tier=offer.service_tier,
        partial=orjson.dumps(body).decode(),
        relayed=True,
        provider=offer.provider,
        model=offer.model,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        estimated=True,
        charge_micros=charged,
        excess_micros=excess,
    )


def progress(job: Leased, partial: PartialAnswer) -> RelayedPart | None:
    """What the job's row is to know of what was sent on, in case this process does not live to end it."""
    if not partial.began or partial.offer is None or job.test:
        return None
    offer, (usage, charged, _) = partial.offer, _so_far(job, partial, partial.offer)
    return RelayedPart(
        job.id, job.epoch, offer.provider, offer.model, usage.prompt_tokens, usage.completion_tokens, charged
    )


def broken_off(job: Leased, error: ProviderError, attempts: list[dict[str, Any]], partial: PartialAnswer) -> Ending:
    """The end of a job whose answer broke off after somebody may have read of it: nothing else may take its place."""
    broken = UpstreamError(f"the stream of the provider was interrupted: {error.message}", reason="stream_broken")
    return cut_short(job, "failed", attempts, partial, broken.as_json())


def given_up(job: Leased, error: ProviderError, verdict: GiveUp, attempts: list[dict[str, Any]]) -> Ending:
    """The end of a job that nobody else may serve."""
    return Ending(job.id, job.epoch, "failed", error=_final(error, verdict).as_json(), attempts=attempts)


def _final(error: ProviderError, verdict: GiveUp) -> FusionError:
    """The error as the job shows it: the caller's own fault as a 400, anything else as the upstream's.

    Its `reason` is for programs: of the caller's own fault the provider's code, where that says more than "invalid";
    its `param` the field that the provider names.
    """
    if not verdict.elsewhere or classify(error) in CALLERS:
        return InvalidRequest(error.message, param=error.param, reason=_callers_reason(error, verdict))
    if error.code == "timeout":
        return Timeout(error.message, reason="timeout")
    return UpstreamError(error.message, reason=verdict.reason)


def _callers_reason(error: ProviderError, verdict: GiveUp) -> str:
    """The reason of a fault of the caller's own."""
    if error.code is not None and error.code not in GENERAL_CODES:
        return error.code
    return "request_too_large" if classify(error) == "too_long" else verdict.reason


def fault(job: Leased, error: Exception, attempts: list[dict[str, Any]], partial: PartialAnswer) -> Ending:
    """The end of a job on which our own program failed."""
    ours = InternalError(f"internal error ({type(error).__name__})", reason="internal_error")
    return cut_short(job, "failed", attempts, partial, ours.as_json())
