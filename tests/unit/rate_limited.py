"""A provider with a limit, and a worker that calls it by the law of paces, in virtual time."""

import heapq
import random
from dataclasses import dataclass, field

from shared.providers.states import ProviderState
from workers.pacing.law import step
from workers.pacing.outages import Pauses
from workers.pacing.reports import Report

REPORT_SECONDS = 0.25


@dataclass
class Provider:
    """Admits so many calls a second (a bucket of `burst`), or so many at once; says how long to wait, or not.

    `overload`: what it does not admit it has no room for (503), rather than that it was too much (429). `fails`: the
    share of calls that meet a 503 whatever the pace.
    """

    a_second: float = 10.0
    burst: float = 20.0
    at_once: int = 0
    latency: float = 0.05
    retry_after: float = 0.0
    overload: bool = False
    fails: float = 0.0
    _left: float = field(init=False)
    _at: float = 0.0

    def __post_init__(self) -> None:
        self._left = self.burst

    def admits(self, now: float, in_flight: int, chance: random.Random) -> bool:
        if chance.random() < self.fails:
            return False
        if self.at_once:
            return in_flight <= self.at_once
        self._left = min(self.burst, self._left + (now - self._at) * self.a_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


@dataclass
class Run:
    """What came of so many calls."""

    seconds: float
    admitted: int
    refused: int
    state: ProviderState

    @property
    def refused_share(self) -> float:
        return self.refused / (self.admitted + self.refused)


def drain(provider: Provider, calls: int, *, seed: int = 1, state: ProviderState | None = None) -> Run:
    """Send calls as fast as the law lets them go, refused ones again, until all have been admitted."""
    chance, state = random.Random(seed), state or ProviderState()
    begun = now = 1000.0
    provider._at = now
    left, in_flight, admitted, refused = calls, 0, 0, 0
    ends: list[tuple[float, bool, int]] = []
    next_at, report_at = now, now + REPORT_SECONDS
    report = Report("w", state.version)
    while admitted < calls:
        rate, may = state.ceiling, now >= state.held_until
        while left and may and in_flight < state.limit and (rate is None or next_at <= now):
            if rate is not None:
                next_at = max(next_at, now - 0.1) + 1 / rate
            left, in_flight = left - 1, in_flight + 1
            good = provider.admits(now, in_flight, chance)
            heapq.heappush(ends, (now + (provider.latency if good else 0.01), good, state.version))
        if left and may:
            report.limit_used |= in_flight >= state.limit
            report.rate_used |= in_flight < state.limit and rate is not None and next_at > now
        looks = [report_at, *([ends[0][0]] if ends else [])]
        looks += [next_at] if left and may and rate is not None and in_flight < state.limit else []
        looks += [state.held_until] if not may else []
        now = max(now, min(looks)) + 1e-9
        urgent = False
        while ends and ends[0][0] <= now:
            _, good, version = heapq.heappop(ends)
            in_flight -= 1
            if good:
                admitted += 1
                report.admitted += 1
                continue
            refused, left = refused + 1, left + 1
            if version == state.version and (provider.overload or not report.refused):
                report.refused, report.rated = report.refused + 1, not provider.overload
                report.hold, report.in_flight, urgent = provider.retry_after, in_flight + 1, True
        if urgent or now >= report_at:
            report.wanted, report.in_flight = left + in_flight, max(report.in_flight, in_flight)
            step(state, report, now, pauses=Pauses(), jitter=chance.random())
            report, report_at = Report("w", state.version), now + REPORT_SECONDS
    return Run(now - begun, admitted, refused, state)
