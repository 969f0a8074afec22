"""What follows a failed attempt: a retry, a deferral, another offer, or the end. Pure.

In the **realtime** lane somebody waits: at most three retries, within the caller's time, and brief ones while another
offer is left. In the **batch** lane a line has until its window ends: what is not its own fault only puts it off.
"""

from dataclasses import dataclass
from typing import Final

from shared.errors import ProviderError
from shared.queues import Lane
from workers.upstream.faults import ACCOUNT, Kind, classify, label

#: Pauses before the retries, in base pauses; as many as there are retries (the documented maximum is three).
SCHEDULE: Final = (1.0, 4.0, 16.0)
#: The same while another offer is left: less than two seconds in all.
BRIEF: Final = (0.5, 1.0)
#: The same in the batch lane, where the last repeats until the window ends.
DEFERRALS: Final = (1.0, 4.0, 16.0, 60.0, 120.0, 300.0)
#: Where the provider said that it was too much: its pace is kept for all lines together, so a line need not wait long.
PACED: Final = 1

#: The longest wait that a provider may ask of a realtime call; while another offer is left; for a second time.
LONGEST_WAIT_SECONDS: Final = 3600.0
LONGEST_BRIEF_SECONDS: Final = 2.0
AGAIN_BRIEF_SECONDS: Final = 1.0
#: Attempts in the batch lane after which a line turns to another offer, if it has one.
TURN_AFTER: Final = 3

#: Answers that began and came to nothing may have been paid for: one more is asked for, and no third.
MOST_BEGUN: Final = 2
#: In the batch lane only those count that the provider ended itself; one that was cut off is not its line's fault.
ENDED_CODES: Final = frozenset({"protocol", "empty", "timeout"})
#: Such a line is asked for again after as long as the fourth deferral.
BEGUN_DEFERRAL: Final = 4

#: Our codes for a provider that is not called because it is deemed down, or refuses our key or our quota.
PAUSED: Final = "paused"
BARRED: Final = "provider_paused"
#: A silent provider has had its time.
SILENT_CODES: Final = frozenset({"first_byte", "timeout"})

#: The request itself is at fault: no waiting helps, and no other offer of the same window.
_CALLERS: frozenset[Kind] = frozenset({"callers", "content_filter"})
#: This offer does not serve it, now or ever.
_ELSEWHERE: frozenset[Kind] = frozenset({"too_long", "missing", "shape"})
#: What the operator can mend, whatever was asked for.
_MENDABLE: frozenset[Kind] = frozenset({"missing", "key", "quota"})


@dataclass(frozen=True, slots=True)
class Retry:
    """Try this provider again after a pause, which the job spends in its slot."""

    wait_seconds: float


@dataclass(frozen=True, slots=True)
class Defer:
    """Put the job back into its queue until then; why, in one word."""

    wait_seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No further attempt at this provider; `elsewhere`: another offer may still serve the job."""

    reason: str
    elsewhere: bool


@dataclass(frozen=True, slots=True)
class Situation:
    """What a decision depends on besides the error."""

    lane: Lane = "realtime"
    #: Failed attempts at this offer, this one included; how many of them had begun to answer.
    failures: int = 1
    begun: int = 0
    another_left: bool = False
    #: How long the caller still waits; None: nobody does.
    seconds_left: float | None = None


def decide(error: ProviderError, at: Situation, *, base_seconds: float, jitter: float) -> Retry | Defer | GiveUp:
    """Say what follows a failed attempt.

    Pauses are stretched by up to a half by `jitter` (0–1, uniformly random, the caller's). The provider's own
    Retry-After wins when it is longer.

    >>> decide(ProviderError("", upstream_status=400), Situation(), base_seconds=1.0, jitter=0.0)
    GiveUp(reason='invalid_request', elsewhere=False)
    >>> decide(ProviderError("", upstream_status=503), Situation(failures=2), base_seconds=1.0, jitter=0.5)
    Retry(wait_seconds=5.0)
    >>> decide(ProviderError("", upstream_status=503), Situation("batch", failures=9), base_seconds=1.0, jitter=0.0)
    Defer(wait_seconds=300.0, reason='503')
    """
    kind = classify(error)
    if kind in _CALLERS:
        return GiveUp("invalid_request" if kind == "callers" else "content_filter", elsewhere=False)
    if kind in _ELSEWHERE and not (kind in _MENDABLE and at.lane == "batch"):
        return GiveUp(error.code or label(error), elsewhere=True)
    if at.lane == "batch":
        return _in_batch(error, kind, at, base_seconds, jitter)
    if kind in ACCOUNT:
        return GiveUp(error.code or label(error), elsewhere=True)
    return _in_realtime(error, at, base_seconds, jitter)


def _in_realtime(error: ProviderError, at: Situation, base_seconds: float, jitter: float) -> Retry | GiveUp:
    if error.code == BARRED:
        return GiveUp(BARRED, elsewhere=True)
    silent = error.code in SILENT_CODES or error.code == PAUSED
    if at.begun >= MOST_BEGUN or (at.another_left and silent):
        return GiveUp(label(error), elsewhere=True)
    schedule, stretch = (BRIEF, 1 + jitter / 4) if at.another_left else (SCHEDULE, 1 + jitter / 2)
    if at.failures > len(schedule):
        return GiveUp("retries_exhausted", elsewhere=True)
    asked = error.wait_seconds or 0.0
    longest = LONGEST_WAIT_SECONDS
    if at.another_left:
        longest = LONGEST_BRIEF_SECONDS if at.failures == 1 else AGAIN_BRIEF_SECONDS
    if asked > longest:
        return GiveUp("retry_after_too_long", elsewhere=True)
    wait = max(schedule[at.failures - 1] * base_seconds * stretch, asked)
    if at.seconds_left is not None and wait >= at.seconds_left:
        return GiveUp("no_time_left", elsewhere=True)
    return Retry(wait)


def _in_batch(error: ProviderError, kind: Kind, at: Situation, base_seconds: float, jitter: float) -> Defer | GiveUp:
    ended = error.head and error.code in ENDED_CODES
    if ended and at.begun >= MOST_BEGUN:
        return GiveUp("broken_answer", elsewhere=True)
    if at.another_left and (kind in _MENDABLE or at.failures >= TURN_AFTER):
        return GiveUp(label(error), elsewhere=True)
    number = min(at.failures, PACED) if kind == "rate" else max(at.failures, BEGUN_DEFERRAL if ended else 1)
    if at.begun >= MOST_BEGUN:
        number = len(DEFERRALS)
    pause = DEFERRALS[min(number, len(DEFERRALS)) - 1] * base_seconds * (1 + jitter / 2)
    return Defer(max(pause, error.wait_seconds or 0.0), label(error))
