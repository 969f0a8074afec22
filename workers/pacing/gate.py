"""Admission to one provider's model in this process: what is sent now, what waits a moment, what is put off for later.

A call that may go is let go at once. One that would have to wait a moment waits here, with its slot; one that would
have to wait longer is put back (`Wait`). Realtime calls go before batch ones and are held to neither rate nor limit, so
that a batch never takes their share: what they use is taken off what batches may send. Of them the provider itself says
what is too much.
"""

import asyncio
import math
from collections import deque
from dataclasses import dataclass, field

from shared import clock
from shared.providers.limits import ProviderLimit, RateLimits
from shared.providers.states import ProviderState
from shared.queues import Lane
from workers.pacing import law, outages
from workers.pacing.reports import Report

_Turn = asyncio.Future["Go | None"]

#: How long a call may wait here for its turn, with its slot held, in seconds.
PATIENCE = 2.0
#: Calls that may wait here, however slow the provider is.
LEAST_WAITING = 8
#: The part of the limit that batches leave to realtime calls.
RESERVE = 0.1
#: How far the rate may run ahead of an even pace, in seconds.
AHEAD = 0.5
#: What calls had to wait for is in use for so long, in seconds: longer than from one report to the next.
USED = 0.5
#: After so long any call may try a paused provider, in seconds.
OVERDUE = 1.0
#: Answers in a row that must state the same limit before it is believed.
HEARD = 2
#: By how much the numbers of a stated limit may differ from those of one a minute.
FITS = 1.6
#: For the tokens of one answer, and of all of them, batches wait no longer than this, in seconds: limits of tokens are
#: those of a minute, and a count of what was used may be wrong by any factor.
MOST_OWED = 60.0
MOST_OWED_IN_ALL = 600.0
#: The longest that a call is put off for before it asks again, in seconds.
MOST_WAIT = 5.0


@dataclass(slots=True)
class Go:
    """The call may be made now; its end is reported to the gate. `probe`: it tries a paused provider. Not frozen, as
    one is made for each call, and freezing doubles what that costs.
    """

    version: int
    probe: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """The call may not be made for so long; why: `429`, `503`, `connect` …; `paused`: the provider is deemed down."""

    seconds: float
    reason: str
    paused: bool = False
    #: It refuses our key, or has no quota left for us: no waiting helps before somebody mends that.
    barred: bool = False
    #: For how long it has been paused.
    lasted: float = 0.0


@dataclass(slots=True)
class Gate:
    """One provider and model, as this process sees it. All calls are from the event loop."""

    name: str
    worker: str
    state: ProviderState = field(default_factory=ProviderState)
    #: Redis's time less the monotonic clock.
    ahead: float = 0.0
    in_flight: int = 0
    #: When it was last asked, by the monotonic clock.
    used_at: float = 0.0
    #: What the catalogue says that is admitted a second, in calls and in tokens.
    requests: float | None = None
    tokens: float | None = None
    #: What has been seen since the last report.
    report: Report = field(init=False)
    #: The gate of the provider as a whole, which may be paused when this one is not; and those of its models.
    whole: "Gate | None" = None
    models: "list[Gate]" = field(default_factory=list)
    #: Something that matters to all has been seen and is being reported: nothing is sent before all know of it.
    reporting: bool = False
    #: A call asks whether it may try the paused provider.
    claiming: bool = False
    _put_off: int = 0
    _realtime: deque[_Turn] = field(default_factory=deque)
    _batch: deque[_Turn] = field(default_factory=deque)
    #: When the next batch call may be sent by the rate of calls, and by the tokens that were used.
    _next_at: float = 0.0
    _tokens_at: float = 0.0
    #: When a call last had to wait for the limit, and for the rate.
    _limit_used_at: float = -math.inf
    _rate_used_at: float = -math.inf
    #: A limit that was stated, and how many answers in a row have stated it again.
    _stated: int = 0
    _repeated: int = 0
    _promised: float = 0.0
    _timer: asyncio.TimerHandle | None = None

    def __post_init__(self) -> None:
        self.state.told = self.requests
        self.report = Report(self.worker, 0, told=self.requests)

    def now(self) -> float:
        """Redis's time, as far as it is known here."""
        return clock.monotonic() + self.ahead

    def paused(self) -> Wait | None:
        """Why nothing may be sent because the provider is deemed down, and until when nobody tries it again."""
        if not self.state.paused:
            return None
        wait = min(max(self.state.tried_again_at - self.now(), 0.0), MOST_WAIT)
        lasted = max(self.now() - self.state.paused_since, 0.0)
        return Wait(wait, self.state.paused_for or "paused", paused=True, barred=self.state.barred, lasted=lasted)

    def is_overdue(self) -> bool:
        """Whether a paused provider might have been tried again for a while, and nobody did."""
        return self.now() - max(self.state.paused_until, self.state.probe_until) > OVERDUE

    def serves(self, *, since: float) -> bool:
        """Whether anybody has had a good answer of late, and after `since`, in Redis's time."""
        if not self.state.admitted or self.now() - self.state.admitted[-1][0] / 2 >= law.WINDOW:
            return False
        answered_at = max(self.state.answered_at, self.report.answered_at)
        return not answered_at or answered_at > since  # a worker of an earlier version has not said when

    async def enter(self, lane: Lane, patience: float) -> Go | Wait:
        """A turn, at once or within `patience` seconds; or for how long to stay away. A turn must be released."""
        self.used_at = clock.monotonic()
        if (held := self.state.held_until - self.now()) > patience:
            return self._away(lane, held)
        if not self._before(lane) and self._may_go(lane):
            return self._go()
        if lane == "batch" and self._crowded(patience):
            return self._away(lane, patience)
        return await self._queue(lane, patience)

    def let_pass(self) -> Go:
        """A turn out of turn: the call that tries a paused provider."""
        self.in_flight += 1
        return Go(self.state.version, probe=True)

    def release(self) -> None:
        """A call has ended."""
        self.in_flight -= 1
        if self._realtime or self._batch:
            self.pump()

    def learn(self, limits: RateLimits | None, tokens: int) -> None:
        """What an answer said of the provider's limits, and how many tokens its call used, for which batches wait."""
        if limits is None and self.requests is None and self.tokens is None:  # nothing bounds it, as of most
            self._stated = self._repeated = 0
            self.report.told = None
            return
        stated = limits and limits.requests and limits.requests.limit
        self._repeated = self._repeated + 1 if stated and stated == self._stated else 0
        self._stated = stated or 0
        rates = [self.requests, limits and self._repeated + 1 >= HEARD and _a_second(limits.requests)]
        self.report.told = min((rate for rate in rates if rate), default=None)
        by_tokens = [self.tokens, limits and _a_second(limits.tokens)]
        if tokens and (rate := min((rate for rate in by_tokens if rate), default=None)):
            share = max(rate * law.share(self.state, self.worker), law.LEAST_RATE)
            now = clock.monotonic()
            owed = max(self._tokens_at, now - AHEAD) + min(tokens / share, MOST_OWED)
            self._tokens_at = min(owed, now + MOST_OWED_IN_ALL)

    def take_report(self) -> Report:
        """What has been seen since the last report; a new one is begun."""
        made, self.report = self.report, Report(self.worker, self.state.version, told=self.requests)
        made.wanted = self.in_flight + len(self._realtime) + len(self._batch) + self._put_off
        made.in_flight = max(made.in_flight, self.in_flight)
        since = clock.monotonic() - USED
        made.limit_used, made.rate_used = self._limit_used_at > since, self._rate_used_at > since
        self._put_off = 0
        return made

    def adopt(self, state: ProviderState, ahead: float) -> None:
        """What all workers know now; what was seen of an earlier version is no evidence any more."""
        if state.version != self.state.version:
            self.report.forget(failures=not outages.still_tells(state, self.report.version))
        self.state, self.ahead, self.report.version = state, ahead, state.version
        self.reporting = False
        for gate in (self, *self.models):
            gate.pump()

    def pump(self) -> None:
        """Let those go whose turn it is; send those away who would have to wait too long now."""
        paused = self.state.paused or (self.whole is not None and self.whole.state.paused)
        dismissed = paused or self.state.held_until - self.now() > PATIENCE
        for lane, queue in self._lanes():
            while queue and (dismissed or self._may_go(lane)):
                turn = queue.popleft()
                if not turn.done():
                    turn.set_result(None if dismissed else self._go())
        if self._realtime or self._batch:
            self._look_again()

    async def _queue(self, lane: Lane, patience: float) -> Go | Wait:
        turn: _Turn = asyncio.get_running_loop().create_future()
        (self._realtime if lane == "realtime" else self._batch).append(turn)
        self._look_again()
        try:
            async with asyncio.timeout(patience if lane == "realtime" else None):
                went = await turn
        except (asyncio.CancelledError, TimeoutError) as error:
            if turn.done() and not turn.cancelled() and turn.result() is not None:
                self.release()  # its turn had come all the same
            if isinstance(error, TimeoutError):
                return self._away(lane, 0.0)
            raise
        paused = self.whole.paused() if self.whole is not None else None
        return went or paused or self.paused() or self._away(lane, self.state.held_until - self.now())

    def _lanes(self) -> tuple[tuple[Lane, "deque[_Turn]"], ...]:
        return ("realtime", self._realtime), ("batch", self._batch)

    def _go(self) -> Go:
        self.in_flight += 1
        if (rate := self._rate()) is not None:
            self._next_at = max(self._next_at, clock.monotonic() - AHEAD) + 1 / rate
        return Go(self.state.version)

    def _may_go(self, lane: Lane) -> bool:
        if self.reporting or (self.whole is not None and self.whole.reporting) or self.now() < self.state.held_until:
            return False
        limit = self.state.limit * law.share(self.state, self.worker)
        if self.in_flight >= max(limit - max(limit * RESERVE, 1.0), 1.0):
            self._limit_used_at = clock.monotonic()
            return lane == "realtime"
        if lane == "batch" and clock.monotonic() < max(self._next_at, self._tokens_at):
            self._rate_used_at = clock.monotonic()
            return False
        return True

    def _before(self, lane: Lane) -> bool:
        """Whether others wait that come first."""
        return bool(self._realtime or (lane == "batch" and self._batch))

    def _rate(self) -> float | None:
        ceiling = self.state.ceiling
        return None if ceiling is None else max(ceiling * law.share(self.state, self.worker), law.LEAST_RATE)

    def _throughput(self) -> float | None:
        """Calls a second that go through here, as far as something slows them down."""
        rates = [] if (rate := self._rate()) is None else [rate]
        growing = self.state.threshold is None or self.state.limit < self.state.threshold
        if (owed := self._tokens_at - clock.monotonic()) > PATIENCE:
            rates.append(1 / owed)
        if self.state.learned and not growing and (seen := law.measured(self.state, 0, self.now())):
            rates.append(seen * law.share(self.state, self.worker))
        return min(rates, default=None)

    def _crowded(self, patience: float) -> bool:
        through = self._throughput()
        return through is not None and len(self._batch) >= max(LEAST_WAITING, patience * through)

    def _away(self, lane: Lane, least: float) -> Wait:
        """Away: in the batch lane until its place in the row of those put off comes, as far as can be said."""
        reason = self.state.held_for or "429"
        if lane == "realtime":
            return Wait(max(least, 0.0), reason)
        self._put_off += 1
        begin = clock.monotonic() + max(least, 0.0)
        self._promised = min(max(self._promised, begin) + 1 / (self._throughput() or 1.0), begin + MOST_WAIT)
        return Wait(self._promised - clock.monotonic(), reason)

    def _look_again(self) -> None:
        """When the next turn may have come."""
        if self._timer is None:
            now = clock.monotonic()
            wait = max(self.state.held_until - self.now(), self._next_at - now, self._tokens_at - now, 0.001)
            self._timer = asyncio.get_running_loop().call_later(min(wait, 1.0), self._due)

    def _due(self) -> None:
        self._timer = None
        self.pump()


def _a_second(limit: ProviderLimit | None) -> float | None:
    """What a stated limit admits a second, if it is one a minute that fills up evenly, as its own numbers must show.

    Over which time a limit counts is not stated. 600 of which 580 are left, whole again in 2 s, are 10 a second either
    way; numbers that do not fit together so are another kind of limit, and are not believed.
    """
    if limit is None or not limit.limit or limit.remaining is None or not limit.reset_seconds:
        return None
    a_second = limit.limit / 60
    fills = (limit.limit - limit.remaining) / limit.reset_seconds
    return a_second if a_second / FITS <= fills <= a_second * FITS else None
