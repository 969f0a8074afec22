"""What a job does whose provider is not to be called just now: wait in its slot, be put off, or turn."""

import random
from collections.abc import Mapping, Sequence
from typing import Any, Final

from shared.errors import ProviderError
from shared.jobs.leases import Leased
from shared.providers.states import words
from shared.queues import Lane
from shared.settings import settings
from workers.pacing import PATIENCE, Wait
from workers.running import attempt_records, tiers, time_left
from workers.running.retry import BARRED, PAUSED

#: How long a provider is down before a batch line turns to another offer without having called it: nearly a second, for
#: which calls are paused at first, so that a line that was put off for a second turns the next time that it looks.
LASTED_SECONDS: Final = 0.9
#: A line that waits for that in its slot looks so long after it, in seconds.
AFTER_SECONDS: Final = 0.01


def seconds_in_slot(wait: Wait, lane: Lane, *, another_left: bool) -> float:
    """How long to keep the slot and ask again: a caller until a paused provider is tried again, a line until it may
    turn to its other offer. 0: no waiting here.

    >>> seconds_in_slot(Wait(1.2, "503", paused=True, lasted=0.4), "batch", another_left=True)
    0.51
    """
    if not wait.paused:
        return 0.0
    if lane == "realtime":
        return wait.seconds if wait.seconds < PATIENCE else 0.0
    if turns(wait, lane, another_left=another_left) or not another_left:
        return 0.0
    return LASTED_SECONDS - wait.lasted + AFTER_SECONDS


def turns(wait: Wait, lane: Lane, *, another_left: bool) -> bool:
    """Whether to turn to another offer: a caller at once, a line when waiting is in vain or has lasted.

    >>> turns(Wait(1.2, "503", paused=True, lasted=1.0), "batch", another_left=True)
    True
    """
    return another_left and (lane == "realtime" or wait.barred or wait.lasted > LASTED_SECONDS)


def seconds_put_off(wait: Wait, *, another_left: bool) -> float:
    """For how long a line is put off, which looks again early while it has another offer."""
    return min(wait.seconds, LASTED_SECONDS) if another_left else wait.seconds


def seconds_for_room(job: Leased, attempts: Sequence[Mapping[str, Any]]) -> float:
    """How long to wait for room in a cheap service tier, after those of these attempts that found none."""
    refusals, left = attempt_records.refusals(attempts), time_left.until_usual(job)
    return tiers.pause(max(refusals, 1), left, base_seconds=settings().retry_base_seconds, jitter=random.random())


def failure(wait: Wait) -> ProviderError:
    """A provider that is not called just now, as if it had answered so itself."""
    if wait.paused:
        message = f"calls to this provider are paused: {words(wait.reason)}"
        return ProviderError(message, code=BARRED if wait.barred else PAUSED, retry_after_seconds=wait.seconds)
    message = "the rate limit of this provider is reached"
    return ProviderError(message, code="rate_limit_exceeded", retry_after_seconds=wait.seconds)
