"""Which fault meets which request, and a count of what arrived. All of it lives in memory, and is bounded."""

import random
from collections import Counter
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from shared import clock
from workers.simulator.call import SimulatedCall
from workers.simulator.faults import BUSY, FIRST_FAILURES, ScriptedFault
from workers.simulator.rate_limits import LimitRule
from workers.simulator.record import Record, fingerprint, spellings

#: How many distinct request bodies a rule's `each` and `--fail-first` remember; the oldest are forgotten.
MAX_REMEMBERED = 500_000


class Rule(BaseModel):
    """One line of a script. Conditions that are absent hold; `times` absent is for ever.

    Of the calls that the conditions choose, `every` takes each so-manieth and `probability` some at random; `times`
    bounds how often the rule fires. `after_seconds` and `for_seconds` are the window in which it is in force, from
    the moment at which the script was set, or with `from_first_call` from the first call that the conditions choose.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    fault: ScriptedFault
    provider: str | None = None
    model: str | None = None
    path: str | None = None
    contains: str | None = None
    times: int | None = Field(default=None, ge=0)
    each: bool = False
    every: int = Field(default=1, ge=1)
    probability: float = Field(default=1.0, ge=0, le=1)
    after_seconds: float = Field(default=0.0, ge=0)
    for_seconds: float | None = Field(default=None, ge=0)
    from_first_call: bool = False


class ScriptBody(BaseModel):
    """A whole script."""

    model_config = ConfigDict(extra="forbid")

    rules: list[Rule] = []
    limits: list[LimitRule] = []
    record: bool = False


class _Armed:
    """A rule with how often it has fired."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.fired: dict[bytes, int] = {}
        self.chosen = 0
        self.spellings = spellings(rule.contains) if rule.contains else ()
        self.since = None if rule.from_first_call else clock.monotonic()

    def fires(self, call: SimulatedCall, key: bytes) -> bool:
        if not self._chooses(call):
            return False
        self.chosen += 1
        if self.chosen % self.rule.every or random.random() >= self.rule.probability:
            return False
        if self.rule.times is None:
            return True
        key = key if self.rule.each else b""
        count = self.fired.get(key, 0)
        if count < self.rule.times:
            _remember(self.fired, key, count + 1)
        return count < self.rule.times

    def _chooses(self, call: SimulatedCall) -> bool:
        rule, body = self.rule, call.request.raw
        if rule.provider not in (None, call.route.provider) or rule.model not in (None, call.model):
            return False
        if (rule.path or "") not in call.request.path:
            return False
        if self.spellings and not any(text in body for text in self.spellings):
            return False
        if rule.fault.window is not None and call.prompt_tokens <= rule.fault.window:
            return False
        return self._in_force(clock.monotonic())

    def _in_force(self, now: float) -> bool:
        self.since = now if self.since is None else self.since
        begins = self.since + self.rule.after_seconds
        return begins <= now and (self.rule.for_seconds is None or now < begins + self.rule.for_seconds)


class Script:
    """The rules in force, the fractions that fail first or at random, and the counts."""

    def __init__(self, fail_first: float = 0.0, fail: float = 0.0) -> None:
        self.fail_first_below = int(fail_first * 2**32)
        self.fail = fail
        self.calls: Counter[tuple[str, str]] = Counter()
        self.faults: Counter[tuple[str, str]] = Counter()
        self.failed_first: dict[bytes, int] = {}
        self.record = Record()
        self.replace(ScriptBody())

    def replace(self, order: ScriptBody) -> None:
        """Put new rules in force; the counts start again, the record too."""
        self.rules = [_Armed(rule) for rule in order.rules]
        self.calls.clear()
        self.faults.clear()
        self.record.replace(on=order.record)

    def fault(self, call: SimulatedCall) -> ScriptedFault | None:
        """Decide what goes wrong with this request, and count it. The first rule that fires wins."""
        found = self._find(call) if self.rules or self.fail_first_below or self.fail else None
        provider, path = call.route.provider, call.request.path
        self.calls[provider, path] += 1
        if found is not None:
            self.faults[provider, path] += 1
        if self.record.on:
            self.record.keep(provider, path, call.request.raw, found is not None)
        return found

    def _find(self, call: SimulatedCall) -> ScriptedFault | None:
        key = fingerprint(call.request.raw)
        for armed in self.rules:
            if armed.fires(call, key):
                return armed.rule.fault
        if int.from_bytes(key[:4], "big") < self.fail_first_below and key not in self.failed_first:
            _remember(self.failed_first, key, 1)
            return FIRST_FAILURES[key[4] % len(FIRST_FAILURES)]
        return random.choice(BUSY) if self.fail and random.random() < self.fail else None

    def report(self) -> dict[str, Any]:
        """What arrived since the script was set, by provider and path."""
        rows = [
            {"provider": provider, "path": path, "total": total, "faults": self.faults[provider, path]}
            for (provider, path), total in sorted(self.calls.items())
        ]
        total, faults = self.calls.total(), self.faults.total()
        return {"total": total, "faults": faults, "calls": rows, "recording": self.record.on}


def _remember(memory: dict[bytes, int], key: bytes, value: int) -> None:
    memory[key] = value
    if len(memory) > MAX_REMEMBERED:
        del memory[next(iter(memory))]
