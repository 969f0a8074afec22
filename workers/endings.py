"""How a job ends at its worker: what an answer came to, and how each failure is told. Pure."""

from typing import Any

import orjson

from shared import usage_shown
from shared.errors import ProviderError
from shared.jobs import Ending, Leased
from shared.ledger import credits
from shared.pricing import Amount, Price, charge
from shared.schemas import Offer
from workers.faults import CALLERS, GENERAL_CODES, classify
from workers.providers import Answer
from workers.retry import GiveUp


def succeeded(job: Leased, offer: Offer, answer: Answer, attempts: list[dict[str, Any]]) -> Ending:
    """The end of a job that a provider has answered: charged exactly, at its offer's price, no more than was held."""
    usage = answer.usage
    amount = Amount(usage.prompt_tokens, usage.completion_tokens, usage.images, usage.size)
    at = Price(offer.version, offer.input, offer.output, offer.images)
    charged, excess = (0, 0) if job.test else charge(amount, at, bound=offer.bound_micros)
    answer.body["usage"] = _usage(job, answer, charged)
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
        images=usage.images,
        estimated=usage.estimated,
        charge_micros=charged,
        excess_micros=excess,
    )


def _usage(job: Leased, answer: Answer, charged_micros: int) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    if job.type != "image":
        shown = usage_shown.tokens(answer.usage, completion=job.type == "chat.completion")
    shown["credits_used"] = credits(charged_micros)
    if job.test:
        shown["test"] = True
    if answer.usage.estimated:
        shown["estimated"] = True
    return shown


def broken_off(job: Leased, error: ProviderError, attempts: list[dict[str, Any]]) -> Ending:
    """The end of a job whose answer broke off after somebody may have read of it: nothing else may take its place."""
    said = f"the provider's stream broke off: {error.message}"
    what = {"message": said, "type": "upstream_error", "code": 502, "reason": "stream_broken"}
    return Ending(job.id, job.epoch, "failed", error=what, attempts=attempts)


def given_up(job: Leased, error: ProviderError, verdict: GiveUp, attempts: list[dict[str, Any]]) -> Ending:
    """The end of a job that nobody else may serve."""
    return Ending(job.id, job.epoch, "failed", error=_told(error, verdict), attempts=attempts)


def _told(error: ProviderError, verdict: GiveUp) -> dict[str, Any]:
    """The error as the job shows it: the caller's own fault as a 400, anything else as the upstream's.

    Its `reason` is for programs: of the caller's own fault the provider's code, where that says more than "invalid".
    """
    if not verdict.elsewhere or classify(error) in CALLERS:
        return {"message": error.message, "type": "invalid_request", "code": 400, "reason": _callers(error, verdict)}
    if error.code == "timeout":
        return {"message": error.message, "type": "timeout", "code": 504, "reason": "timeout"}
    return {"message": error.message, "type": "upstream_error", "code": 502, "reason": verdict.reason}


def _callers(error: ProviderError, verdict: GiveUp) -> str:
    """The reason of a fault of the caller's own."""
    if error.code is not None and error.code not in GENERAL_CODES:
        return error.code
    return "request_too_large" if classify(error) == "too_long" else verdict.reason


def fault(job: Leased, error: Exception, attempts: list[dict[str, Any]]) -> Ending:
    """The end of a job on which our own program failed."""
    said = f"an internal error ({type(error).__name__})"
    what = {"message": said, "type": "internal_error", "code": 500, "reason": "internal_error"}
    return Ending(job.id, job.epoch, "failed", error=what, attempts=attempts)
