"""Service tiers of a job's model: when a cheap tier has no room, and when its job goes to the usual one. Pure.

A cheap tier (`flex`) is served as there is room, and slowly. That there is none is no failure: nothing is charged, the
provider is not deemed ill, and the job asks again later; nor is it ill where it is silent for long. Before its time
runs out the job goes to the offer of the usual tier of the same model, for which enough is held: a batch's line in the
last quarter of its window, and a job whose caller waits in the last quarter of the caller's time.

Source: developers.openai.com/api/docs/guides/flex-processing (429 Resource Unavailable, not charged; retry later or at
the default tier; a timeout of 15 minutes; no code is documented), ai.google.dev/gemini-api/docs/flex-inference (best
effort, sheddable: 503 and 429), ai.google.dev/gemini-api/docs/optimization (1 to 15 minutes),
console.groq.com/docs/flex-processing (498 `capacity_exceeded`). A 429 that names a quota, or whose headers say that a
limit is used up, is our own limit in any tier.
"""

from collections.abc import Sequence
from typing import Final

from shared.errors import ProviderError
from shared.submissions.offers import Offer
from shared.submissions.schemas import USUAL_TIER
from workers.running.retry import SILENT_CODES
from workers.upstream.faults import classify

#: Tiers that are served as there is room.
SHEDDABLE: Final = frozenset({"flex"})
#: The part of the time that is left to the usual tier.
USUAL_PART: Final = 0.25
#: Pauses after refusals for lack of room, in base pauses; the last repeats.
PAUSES: Final = (4.0, 16.0, 60.0, 120.0, 300.0)

#: How long a cheap tier may be silent before it answers, in seconds: OpenAI advises its clients to wait so long, and
#: Google's target is up to so much. And how long it is waited for at least, however little time is left.
MOST_SILENCE: Final = 900.0
LEAST_SILENCE: Final = 1.0

#: Codes by which a provider says that it has no room in the tier, whatever the status.
_CODES: Final = frozenset({"resource_unavailable", "service_tier_capacity_exceeded", "capacity_exceeded"})
#: Codes of a 429 that say that our own limit is reached, which pace is about.
_OWN_LIMIT: Final = frozenset({"rate_limit_exceeded", "requests", "tokens", "RateLimitReached"})


def usual_offer(offers: Sequence[Offer], at: int) -> int | None:
    """The index of the usual tier's offer of the model whose cheap one is at `at`; None: that is no cheap one."""
    asked = offers[at]
    if asked.service_tier not in SHEDDABLE:
        return None
    same = (asked.provider, asked.model, USUAL_TIER)
    found = (index for index, one in enumerate(offers) if (one.provider, one.model, one.service_tier) == same)
    return next(found, None)


def lacks_room(error: ProviderError, offer: Offer) -> bool:
    """Whether a cheap tier refused for lack of room.

    A 429 without a code of our own limits, or an overloaded provider: neither says anything of the other tiers.
    """
    if offer.service_tier not in SHEDDABLE or error.head:
        return False
    if error.code in _CODES or "resource unavailable" in error.message.lower():
        return True
    kind = classify(error)
    return kind == "overload" or (kind == "rate" and not _own_limit(error))


def _own_limit(error: ProviderError) -> bool:
    """Whether a 429 is about how fast we ask, by its code, or by headers that say that nothing is left."""
    limits = error.limits
    left = [one.remaining for one in (limits.requests, limits.tokens) if one is not None] if limits else []
    return error.code in _OWN_LIMIT or 0 in left


def bought_slow(offer: Offer) -> bool:
    """Whether it is an offer of a cheap tier, which may be silent for long before it answers."""
    return offer.service_tier in SHEDDABLE


def harmless(error: ProviderError, offer: Offer) -> bool:
    """Whether a failure tells nothing of the provider, and its cheap tier is asked again: no room, or silence."""
    return lacks_room(error, offer) or (bought_slow(offer) and error.code in SILENT_CODES and not error.head)


def silence(left: float) -> float:
    """How long a call in a cheap tier may be silent, in seconds, of which so many are left to it.

    >>> silence(0.1), silence(60.0), silence(86_400.0)
    (1.0, 60.0, 900.0)
    """
    return min(max(left, LEAST_SILENCE), MOST_SILENCE)


def seconds_until_usual(now: int, since: int, until: int) -> float:
    """How long, in seconds, a job may still ask the cheap tier; 0: it goes to the usual one now. Times in microseconds.

    >>> seconds_until_usual(0, 0, 100_000_000), seconds_until_usual(75_000_000, 0, 100_000_000)
    (75.0, 0.0)
    """
    turn = until - int(USUAL_PART * max(until - since, 0))
    return max(turn - now, 0) / 1_000_000


def pause(refusals: int, left: float, *, base_seconds: float, jitter: float) -> float:
    """How long to wait after so many refusals (1: the first), in seconds: never beyond the turn to the usual tier.

    >>> pause(1, 100.0, base_seconds=1.0, jitter=0.0), pause(9, 100.0, base_seconds=1.0, jitter=0.5)
    (4.0, 100.0)
    """
    return min(PAUSES[min(refusals, len(PAUSES)) - 1] * base_seconds * (1 + jitter / 2), left)
