"""When a provider is deemed down, for how long it is left alone, and who tries whether it is there again. Pure."""

from dataclasses import dataclass
from typing import Final

from shared.providers.states import FIRST_LIMIT, ProviderState, words
from workers.pacing.reports import Report

#: Failures in a row after which a provider is deemed down.
FAILURES: Final = 5
#: And no good answer of anybody for so long, in seconds: while others are served the fault is the requests'.
QUIET: Final = 1.5
#: So long after that one more call is to say whether it is down, in seconds.
SOON: Final = 0.1
#: How long one call may try a paused provider before another may.
PROBE: Final = 30.0


@dataclass(frozen=True, slots=True)
class Pauses:
    """How long a paused provider is left alone, in seconds: the first time, doubled each time, at most."""

    first: float = 1.0
    most: float = 30.0

    @property
    def longest_hold(self) -> float:
        """For how long at most all calls wait because one was refused for pace."""
        return 2 * self.most


def still_tells(state: ProviderState, version: int) -> bool:
    """Whether failures of calls that were sent under this version say that the provider is down.

    A cut ends no outage. But what was sent before the provider responded again is over, and a pause is not made longer
    by what was under way when it began.
    """
    return version == state.version or (version >= state.resumed and not state.paused)


def claim(state: ProviderState, worker: str, now: float) -> bool:
    """Whether this worker may send the one call that tries a paused provider; then it is noted."""
    state.paused_until, state.probe_until = (
        min(state.paused_until, now + state.wait),
        min(state.probe_until, now + PROBE),
    )
    if not state.paused or now < state.paused_until or (state.probe and now < state.probe_until):
        return False
    state.probe, state.probe_until = worker, now + PROBE
    return True


def resume(state: ProviderState) -> list[str]:
    """An answer, whenever it was asked for: the provider is there."""
    was, state.paused_for, state.barred = state.paused_for, None, False
    state.failures = state.pauses = 0
    state.paused_since = state.paused_until = state.probe_until = 0.0
    state.probe = ""
    state.version += 1
    state.resumed = state.version
    state.held_until = 0.0
    state.limit, state.threshold, state.learned = FIRST_LIMIT / 2, None, False
    return [f"responds again (was paused: {words(was)}); calls continue"]


def until_quiet(state: ProviderState, now: float) -> float:
    """Seconds until nobody has had a good answer for QUIET; negative: for longer."""
    return state.admitted[-1][0] / 2 + QUIET - now if state.admitted else -QUIET


def failed(state: ProviderState, report: Report, now: float, pauses: Pauses, jitter: float) -> list[str]:
    state.failures = report.failed if report.admitted else state.failures + report.failed
    quiet = until_quiet(state, now) < 0
    if not (report.barred or report.probed or (quiet and state.failures >= FAILURES)):
        return []
    first = not state.paused
    state.pauses += 1
    state.version += 1
    wait = min(pauses.first * 2.0 ** (min(state.pauses, 30) - 1), pauses.most)
    state.paused_since = state.paused_since or now
    state.wait = max(wait * (1 + jitter / 4), min(report.hold, pauses.most))
    state.paused_until = now + state.wait
    state.paused_for, state.barred = report.failed_for, report.barred or (state.barred and report.probed)
    state.probe, state.probe_until = "", 0.0
    return [f"calls are paused: {words(report.failed_for)}; retried periodically"] if first else []
