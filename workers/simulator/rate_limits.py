"""Rate limits as the providers have them: requests and tokens a minute by token bucket, and calls at one time."""

import math
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from shared import clock
from workers.simulator.call import SimulatedCall
from workers.simulator.error_messages import limited, spelled
from workers.simulator.errors import SHAPES
from workers.simulator.messages import Protocol, SimulatedReply, json_reply

#: How much may be used at once when nothing is said: what two seconds admit, of requests this many at least.
BURST_SECONDS = 2.0
LEAST_BURST = 1.0

Unit = Literal["requests", "tokens", "concurrent"]
Headers = list[tuple[bytes, bytes]]


class LimitRule(BaseModel):
    """One row of limits: whom it holds for, and what is admitted.

    Without `model` all models of a provider share it; `each_model`: each has one of its own. Bursts are the buckets'
    sizes; absent: two seconds' worth. `retry_after`: how a refusal says when to come again. `headers`: whether answers
    tell the state of the buckets (Google's never do).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    provider: str | None = None
    model: str | None = None
    each_model: bool = False
    requests_per_minute: float | None = Field(default=None, gt=0)
    request_burst: float | None = Field(default=None, ge=1)
    tokens_per_minute: float | None = Field(default=None, gt=0)
    token_burst: float | None = Field(default=None, ge=1)
    concurrent: int | None = Field(default=None, ge=1)
    retry_after: Literal["seconds", "milliseconds", "date", "none"] = "seconds"
    headers: bool = True

    def holds(self, call: SimulatedCall) -> bool:
        """Whether this call counts against it."""
        mine = self.provider is None or self.provider == call.route.provider
        return mine and (self.model is None or self.model == call.model)


@dataclass(slots=True)
class Bucket:
    """Fills at a rate up to its size. What costs more than the size is admitted when it is full, and leaves a debt."""

    per_minute: float
    size: float
    level: float = 0.0
    at: float = 0.0

    def fill(self, now: float) -> None:
        """Add what has come since."""
        self.level = min(self.size, self.level + (now - self.at) * self.per_minute / 60)
        self.at = now

    def wait(self, cost: float) -> float:
        """Seconds until so much can be taken."""
        return max(min(cost, self.size) - self.level, 0.0) * 60 / self.per_minute

    @property
    def remaining(self) -> int:
        return max(math.floor(self.level), 0)

    @property
    def reset_seconds(self) -> float:
        """Until it is full."""
        return (self.size - self.level) * 60 / self.per_minute


@dataclass(slots=True)
class LimitState:
    """One limit as it stands for one provider, or one model of it."""

    limit: LimitRule
    buckets: dict[Unit, Bucket] = field(default_factory=dict)
    running: int = 0

    def refuses(self, costs: dict[Unit, float], now: float) -> tuple[Unit, float] | None:
        """What is exhausted, and for how many seconds; None: nothing is."""
        if self.limit.concurrent is not None and self.running >= self.limit.concurrent:
            return "concurrent", LEAST_BURST
        for bucket in self.buckets.values():
            bucket.fill(now)
        waits = [(bucket.wait(costs[unit]), unit) for unit, bucket in self.buckets.items()]
        wait, unit = max(waits, default=(0.0, "requests"))
        return (unit, wait) if wait > 1e-9 else None


@dataclass(slots=True)
class Admission:
    """What became of a call: `refusal` when it was over a limit; else `headers` for its answer, and a `release`."""

    states: list[LimitState]
    headers: Headers
    refusal: SimulatedReply | None = None

    def release(self) -> None:
        """The call is over."""
        for state in self.states if self.refusal is None else ():
            state.running -= 1


class RateLimiter:
    """All limits in force. `usual` are those of the command line, which hold while a script has none."""

    def __init__(self, usual: tuple[LimitRule, ...] = ()) -> None:
        self._usual = usual
        self.replace(())

    def replace(self, rows: "tuple[LimitRule, ...] | list[LimitRule]") -> None:
        """Put other limits in force; their buckets are full."""
        self._rows = tuple(rows) or self._usual
        self._states: dict[tuple[int, str, str], LimitState] = {}

    def admit(self, call: SimulatedCall) -> Admission:
        """Let a call in, or refuse it; a refused one uses nothing up."""
        now = clock.monotonic()
        states = [self._state(at, row, call, now) for at, row in enumerate(self._rows) if row.holds(call)]
        if not states:
            return Admission([], [])
        costs: dict[Unit, float] = {"requests": 1.0, "tokens": float(call.tokens)}
        found = [(state, refused) for state in states if (refused := state.refuses(costs, now))]
        protocol = call.route.protocol
        if found:
            state, (unit, wait) = max(found, key=lambda one: one[1][1])
            return Admission(states, [], _refusal(state, call, unit, wait))
        for state in states:
            state.running += 1
            for unit, bucket in state.buckets.items():
                bucket.level -= costs[unit]
        return Admission(states, [one for state in states for one in _told(state, protocol)])

    def _state(self, at: int, row: LimitRule, call: SimulatedCall, now: float) -> LimitState:
        model = call.model if row.model is not None or row.each_model else ""
        key = at, call.route.provider, model
        if key not in self._states:
            self._states[key] = _fresh(row, now)
        return self._states[key]


def _fresh(row: LimitRule, now: float) -> LimitState:
    state = LimitState(row)
    rates: tuple[tuple[Unit, float | None, float | None], ...] = (
        ("requests", row.requests_per_minute, row.request_burst),
        ("tokens", row.tokens_per_minute, row.token_burst),
    )
    for unit, rate, burst in rates:
        if rate is not None:
            size = burst or max(rate * BURST_SECONDS / 60, LEAST_BURST)
            state.buckets[unit] = Bucket(rate, size, size, now)
    return state


def _refusal(state: LimitState, call: SimulatedCall, unit: Unit, wait: float) -> SimulatedReply:
    row, protocol = state.limit, call.route.protocol
    limit = {"requests": row.requests_per_minute, "tokens": row.tokens_per_minute, "concurrent": row.concurrent}[unit]
    refused = limited(protocol, call.model, unit, limit or 0, wait)
    if row.retry_after == "none":
        refused.retry_after = None
    reply = json_reply(SHAPES[protocol](refused), 429)
    reply.headers += _told(state, protocol) + ([] if protocol.startswith("google") else _when(row, wait))
    return reply


def _when(row: LimitRule, wait: float) -> Headers:
    """Retry-After in the form of the row; whole seconds are rounded up."""
    seconds = max(math.ceil(wait), 1)
    if row.retry_after == "none":
        return []
    if row.retry_after == "date":
        then = clock.utc(clock.now_micros()) + timedelta(seconds=seconds)
        return [(b"retry-after", format_datetime(then, usegmt=True).encode())]
    found = [(b"retry-after", b"%d" % seconds)]
    return found if row.retry_after == "seconds" else [*found, (b"retry-after-ms", b"%d" % math.ceil(wait * 1000))]


def _told(state: LimitState, protocol: Protocol) -> Headers:
    """The buckets' state, in the headers of the protocol."""
    if not state.limit.headers or protocol.startswith("google"):
        return []
    found: list[tuple[str, str]] = []
    for unit, bucket in state.buckets.items():
        limit, left = f"{bucket.per_minute:.0f}", str(bucket.remaining)
        if protocol == "anthropic":
            then = clock.utc(clock.now_micros()) + timedelta(seconds=bucket.reset_seconds)
            reset = then.strftime("%Y-%m-%dT%H:%M:%SZ")
            found += [
                (f"anthropic-ratelimit-{unit}-{name}", value)
                for name, value in (("limit", limit), ("remaining", left), ("reset", reset))
            ]
        else:
            found += [
                (f"x-ratelimit-{name}-{unit}", value)
                for name, value in (("limit", limit), ("remaining", left), ("reset", spelled(bucket.reset_seconds)))
            ]
    return [(name.encode(), value.encode()) for name, value in found]
