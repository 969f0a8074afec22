"""The pace of this process's calls: one gate for each provider and model, kept in step with all other workers'."""

import asyncio
import logging
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from shared import clock, logs
from shared.errors import ProviderError
from shared.providers.limits import RateLimits
from shared.providers.states import ANY, ProviderState, name_of
from shared.queues import Lane
from shared.stopping import stop
from workers.pacing import law, outages
from workers.pacing.gate import Gate, Go, Wait
from workers.pacing.outages import Pauses
from workers.pacing.reports import Report
from workers.pacing.store import PaceStore
from workers.upstream.faults import ACCOUNT, NOT_CONFIGURED, Kind, classify, label

log = logging.getLogger(__name__)

#: How often a gate in use reports what it has seen, in seconds; what matters at once is reported at once.
REPORT_SECONDS = 0.25
#: A gate is in use for so long after its last call, in seconds.
USED_SECONDS = 5.0
#: How often what goes wrong is logged, in seconds: one line a provider.
LOG_SECONDS = 10.0
#: A provider that refuses our key or our quota is left alone longer than one that is down, by this factor.
BARRED = 5.0

#: May be about the model alone.
FORBIDDEN = 403

#: Kinds of fault by what they say: too fast, or down, or both (`ACCOUNT`: barred). Of all others the provider is well.
_REFUSED: frozenset[Kind] = frozenset({"rate", "overload"})
_DOWN: frozenset[Kind] = frozenset({"overload", "unreachable", "broken", "missing"})


@dataclass(slots=True)
class Permit:
    """One call that may be made; report its end exactly once, by one of the three."""

    pace: "Pace"
    gate: Gate
    go: Go
    #: The version of the provider's own gate when the call was let go.
    whole_version: int
    #: When its job failed here, in Redis's time; 0: nobody knows when, or more than once; None: it has not.
    failed_at: float | None = None
    #: Of a probe: the gate whose pause it tries.
    tried: Gate | None = None

    @property
    def provider(self) -> str:
        """Whose call it is."""
        return self.gate.name.partition("/")[0]

    def answered(self, limits: RateLimits | None = None, tokens: int = 0) -> None:
        """A good answer, or one that says that the request itself is wrong."""
        self.pace.answered(self, limits, tokens)

    def failed(self, error: ProviderError) -> None:
        """No good answer; what kind of fault it was decides what follows."""
        self.pace.failed(self, error)

    def dropped(self) -> None:
        """It was not made, or cancelled; nothing is learned of it."""
        self.pace.dropped(self)

    def broken(self, error: BaseException, *, harmless: bool) -> None:
        """The call has come to no answer: it failed, or was cancelled. `harmless`: nothing is to be learned of that."""
        if isinstance(error, ProviderError) and not harmless:
            self.failed(error)
        else:
            self.dropped()


@dataclass(slots=True)
class Pace:
    """All gates of one process. `requests`, `tokens`: what the catalogue says that a model admits a second, by name."""

    store: PaceStore
    worker: str
    requests: Mapping[str, float] = field(default_factory=dict)
    tokens: Mapping[str, float] = field(default_factory=dict)
    pauses: Pauses = field(default_factory=Pauses)
    _gates: dict[str, Gate] = field(default_factory=dict)
    #: The gates of a provider and of one of its models, once what all know of them has been asked for.
    _both: dict[tuple[str, str], tuple[Gate, Gate]] = field(default_factory=dict)
    _ready: dict[str, "asyncio.Task[None]"] = field(default_factory=dict)
    _urgent: dict[str, Gate] = field(default_factory=dict)
    _kick: asyncio.Event = field(default_factory=asyncio.Event)
    _wrong: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    _tasks: list["asyncio.Task[None]"] = field(default_factory=list)

    async def close(self) -> None:
        """Report what has been seen last, and stop."""
        await stop(*self._tasks, *self._ready.values())
        with suppress(Exception):
            await asyncio.wait_for(self._exchange_all(self._gates.values()), 1.0)
        await self.store.close()

    async def enter(
        self, provider: str, upstream: str, lane: Lane, patience: float, *, failed_at: float | None = None
    ) -> Permit | Wait:
        """A permit to call, at once or within `patience` seconds; or how long to leave that model alone, and why.

        `failed_at`: when the job failed here (see Permit). One that has does not try whether a provider that is down is
        up again, and is no evidence of that once others have been served, or if it fails again and again: it may be the
        job's own fault.
        """
        both = self._both.get((provider, upstream)) or await self._gates_of(provider, upstream)
        whole, gate = both
        whole.used_at = clock.monotonic()
        for one in both:
            if one.state.paused and (wait := one.paused()) is not None:
                gate.used_at = whole.used_at
                if wait.seconds > 0 or not (failed_at is None or one.is_overdue()) or not await self._claimed(one):
                    return self._stay_away(one)
                return Permit(self, gate, gate.let_pass(), whole.state.version, failed_at, tried=one)
        turn = await gate.enter(lane, patience)
        return turn if isinstance(turn, Wait) else Permit(self, gate, turn, whole.state.version, failed_at)

    def answered(self, permit: Permit, limits: RateLimits | None, tokens: int) -> None:
        """See Permit."""
        for gate in (permit.gate, permit.tried):
            if gate is not None:
                gate.report.admitted += 1
                gate.report.answered_at = gate.now()
                gate.report.failed = 0
        permit.gate.learn(limits, tokens)
        self._over(permit)

    def failed(self, permit: Permit, error: ProviderError) -> None:
        """See Permit."""
        kind, why = classify(error), label(error)
        if error.code == NOT_CONFIGURED:
            return self._over(permit)
        if kind not in _REFUSED | _DOWN | ACCOUNT:
            return self.answered(permit, error.limits, 0)
        self._wrong[permit.provider][why] += 1
        gate, version = permit.gate, permit.go.version
        if kind in ACCOUNT and error.upstream_status != FORBIDDEN:
            gate, version = self._gates[name_of(permit.provider, ANY)], permit.whole_version
        if permit.tried is not None:
            _note(permit.tried.report, kind, why, error, permit.gate.in_flight)
        if gate is not permit.tried and self._is_evidence(permit, kind, error):
            if version == gate.state.version:
                _note(gate.report, kind, why, error, permit.gate.in_flight)
            elif kind in _DOWN and outages.still_tells(gate.state, version):
                gate.report.failed, gate.report.failed_for = gate.report.failed + 1, why
            if gate.report.refused or gate.report.barred or gate.report.failed >= outages.FAILURES:
                self._report_now(gate)
        self._over(permit)

    def _is_evidence(self, permit: Permit, kind: Kind, error: ProviderError) -> bool:
        """Whether a fault says anything of the provider: not when it may well be its request's, which was answered, if
        not well, or has failed before others were served.
        """
        if error.head:
            return False
        first = permit.failed_at is None
        return first or kind in ACCOUNT or kind == "rate" or not permit.gate.serves(since=permit.failed_at or 0.0)

    def dropped(self, permit: Permit) -> None:
        """See Permit."""
        self._over(permit)

    def _over(self, permit: Permit) -> None:
        if permit.tried is not None:
            permit.tried.report.probed = True
            self._report_now(permit.tried)
        permit.gate.release()

    def _stay_away(self, gate: Gate) -> Wait:
        wait = gate.paused()
        if wait is None:
            return Wait(0.1, "paused", paused=True)
        return replace(wait, seconds=max(wait.seconds, 0.1) * (1 + random.random() / 4))

    async def _claimed(self, gate: Gate) -> bool:
        """Whether this call may try the paused provider now; one of a process asks for that at a time."""
        if gate.claiming:
            return False
        gate.claiming = True
        try:
            state, mine = await self.store.update(
                gate.name, gate.state, lambda state, now: outages.claim(state, self.worker, now)
            )
        finally:
            gate.claiming = False
        gate.adopt(state, self.store.ahead)
        return mine

    async def _gates_of(self, provider: str, upstream: str) -> tuple[Gate, Gate]:
        """Both gates of a call; known from then on."""
        both = await self._gate(provider, ANY), await self._gate(provider, upstream)
        self._both[provider, upstream] = both
        return both

    async def _gate(self, provider: str, upstream: str) -> Gate:
        name = name_of(provider, upstream)
        if not self._tasks:  # with the first call, on the loop that makes it
            self._tasks = [asyncio.create_task(self._report_on()), asyncio.create_task(self._log_on())]
        if (gate := self._gates.get(name)) is None:
            requests, tokens = self.requests.get(name), self.tokens.get(name)
            whole = self._gates.get(name_of(provider, ANY))
            gate = self._gates[name] = Gate(name, self.worker, requests=requests, tokens=tokens, whole=whole)
            if whole is not None:
                whole.models.append(gate)
            self._ready[name] = asyncio.create_task(self._exchange(gate))
        if (ready := self._ready.get(name)) is not None:
            await asyncio.wait([ready])
            self._ready.pop(name, None)
        return gate

    def _report_now(self, gate: Gate) -> None:
        gate.reporting = True
        self._urgent[gate.name] = gate
        self._kick.set()

    async def _report_on(self) -> None:
        """Report at once what is urgent, and four times a second what every gate in use has seen."""
        regular = clock.monotonic()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(max(regular - clock.monotonic(), 0.0)):
                    await self._kick.wait()
            self._kick.clear()
            gates, self._urgent = self._urgent, {}
            now = clock.monotonic()
            if now >= regular:
                regular = now + REPORT_SECONDS
                gates |= {
                    name: gate
                    for name, gate in self._gates.items()
                    if gate.in_flight or gate.used_at > now - USED_SECONDS
                }
            await self._exchange_all(gates.values())

    async def _exchange_all(self, gates: Iterable[Gate]) -> None:
        await asyncio.gather(*(self._exchange(gate) for gate in list(gates)))

    async def _exchange(self, gate: Gate) -> None:
        """Report what was seen here, and learn what all know."""
        made = gate.take_report()
        try:
            state, said = await self.store.update(
                gate.name, gate.state, lambda state, now: self._apply(gate.name, state, made, now)
            )
        except Exception as error:
            log.error("could not update the rate of %s, it stays unchanged: %s", gate.name, logs.trace(error))
            gate.adopt(gate.state, gate.ahead)
            return
        gate.adopt(state, self.store.ahead)
        for line in said:
            log.warning("%s: %s", gate.name.removesuffix(f"/{ANY}").replace("/", " "), line)

    def _apply(self, name: str, state: ProviderState, report: Report, now: float) -> list[str]:
        pauses = Pauses(self.pauses.first * BARRED, self.pauses.most * 2) if name.endswith(f"/{ANY}") else self.pauses
        return law.step(state, report, now, pauses=pauses, jitter=random.random())

    async def _log_on(self) -> None:
        while True:
            await asyncio.sleep(LOG_SECONDS)
            wrong, self._wrong = self._wrong, defaultdict(Counter)
            for provider, counts in sorted(wrong.items()):
                counted = ", ".join(f"{count} × {why}" for why, count in counts.most_common())
                log.warning("%s: %s in %d s", provider, counted, LOG_SECONDS)


def _note(report: Report, kind: Kind, why: str, error: ProviderError, in_flight: int) -> None:
    report.hold = max(report.hold, error.wait_seconds or 0.0)
    barred = kind in ACCOUNT and error.upstream_status != FORBIDDEN
    if kind in _REFUSED:
        report.refused, report.refused_for = report.refused + 1, why
        report.rated = report.rated or kind == "rate"
        report.in_flight = max(report.in_flight, in_flight)
    if kind in _DOWN | ACCOUNT:
        report.failed, report.failed_for = report.failed + 1, why
        report.barred = report.barred or barred
