"""Which fault meets which request, and a count of what arrived. All of it lives in memory, and is bounded."""

from collections import Counter, deque
from hashlib import blake2b
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field

from workers.simulator.faults import FIRST_FAILURES, Fault

#: How many distinct request bodies a rule's `each` and `--fail-first` remember; the oldest are forgotten.
MAX_REMEMBERED = 500_000
#: The record of bodies keeps this many calls and bytes; the oldest are dropped, and the answer says so.
MAX_RECORDED = 200_000
MAX_RECORDED_BYTES = 256 * 1024 * 1024


class Rule(BaseModel):
    """One line of a script. Conditions that are absent hold; `times` absent is for ever."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fault: Fault
    provider: str | None = None
    path: str | None = None
    contains: str | None = None
    times: int | None = Field(default=None, ge=0)
    each: bool = False


class Order(BaseModel):
    """A whole script."""

    model_config = ConfigDict(extra="forbid")

    rules: list[Rule] = []
    record: bool = False


class _Armed:
    """A rule with how often it has fired."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.fired: dict[bytes, int] = {}
        self.spellings = spellings(rule.contains) if rule.contains else ()

    def fires(self, provider: str, path: str, body: bytes, key: bytes) -> bool:
        rule = self.rule
        if (rule.provider is not None and rule.provider != provider) or (rule.path or "") not in path:
            return False
        if self.spellings and not any(text in body for text in self.spellings):
            return False
        if rule.times is None:
            return True
        key = key if rule.each else b""
        count = self.fired.get(key, 0)
        if count < rule.times:
            _remember(self.fired, key, count + 1)
        return count < rule.times


class Script:
    """The rules in force, the fraction that fails first, and the counts."""

    def __init__(self, fail_first: float = 0.0) -> None:
        self.fail_first_below = int(fail_first * 2**32)
        self.calls: Counter[tuple[str, str]] = Counter()
        self.faults: Counter[tuple[str, str]] = Counter()
        self.failed_first: dict[bytes, int] = {}
        self.replace(Order())

    def replace(self, order: Order) -> None:
        """Put new rules in force; the counts start again, the record too."""
        self.rules = [_Armed(rule) for rule in order.rules]
        self.recording = order.record
        self.calls.clear()
        self.faults.clear()
        self.record: deque[tuple[str, str, bytes, bool]] = deque()
        self.recorded_bytes = 0
        self.dropped = 0

    def fault(self, provider: str, path: str, body: bytes) -> Fault | None:
        """Decide what goes wrong with this request, and count it. The first rule that fires wins."""
        found = self._find(provider, path, body) if self.rules or self.fail_first_below else None
        self.calls[provider, path] += 1
        if found is not None:
            self.faults[provider, path] += 1
        if self.recording:
            self._keep(provider, path, body, found is not None)
        return found

    def _find(self, provider: str, path: str, body: bytes) -> Fault | None:
        key = fingerprint(body)
        for armed in self.rules:
            if armed.fires(provider, path, body, key):
                return armed.rule.fault
        chosen = int.from_bytes(key[:4], "big") < self.fail_first_below
        if not chosen or key in self.failed_first:
            return None
        _remember(self.failed_first, key, 1)
        return FIRST_FAILURES[key[4] % len(FIRST_FAILURES)]

    def _keep(self, provider: str, path: str, body: bytes, faulty: bool) -> None:
        self.record.append((provider, path, body, faulty))
        self.recorded_bytes += len(body)
        while len(self.record) > MAX_RECORDED or self.recorded_bytes > MAX_RECORDED_BYTES:
            self.recorded_bytes -= len(self.record.popleft()[2])
            self.dropped += 1

    def report(self) -> dict[str, Any]:
        """What arrived since the script was set, by provider and path."""
        rows = [
            {"provider": provider, "path": path, "total": total, "faults": self.faults[provider, path]}
            for (provider, path), total in sorted(self.calls.items())
        ]
        total, faults = self.calls.total(), self.faults.total()
        return {"total": total, "faults": faults, "calls": rows, "recording": self.recording}

    def search(self, text: str) -> dict[str, Any]:
        """How many recorded requests have this text in their body."""
        forms = spellings(text)
        found = [row for row in self.record if any(form in row[2] for form in forms)]
        return self._answer(found) | {"contains": text}

    def fingerprints(self) -> dict[str, Any]:
        """How often each recorded body arrived, and how often it met a fault."""
        total: Counter[str] = Counter()
        faults: Counter[str] = Counter()
        for _, _, body, faulty in self.record:
            key = fingerprint(body).hex()
            total[key] += 1
            faults[key] += faulty
        rows = {key: {"total": count, "faults": faults[key]} for key, count in total.items()}
        return self._answer(list(self.record)) | {"fingerprints": rows}

    def _answer(self, rows: list[tuple[str, str, bytes, bool]]) -> dict[str, Any]:
        faults, distinct = sum(row[3] for row in rows), len({row[2] for row in rows})
        state = {"recording": self.recording, "dropped": self.dropped}
        return {"count": len(rows), "distinct": distinct, "faults": faults} | state


def fingerprint(body: bytes) -> bytes:
    """Eight bytes that stand for a body."""
    return blake2b(body, digest_size=8).digest()


def spellings(text: str) -> tuple[bytes, ...]:
    """The ways in which a text can stand in a body: as it is, and as JSON escapes it."""
    plain = text.encode()
    inside = orjson.dumps(text)[1:-1]
    escaped = "".join(one if one.isascii() else _escape(one) for one in inside.decode()).encode()
    return tuple(dict.fromkeys((plain, inside, escaped)))


def _escape(one: str) -> str:
    units = one.encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def _remember(memory: dict[bytes, int], key: bytes, value: int) -> None:
    memory[key] = value
    if len(memory) > MAX_REMEMBERED:
        del memory[next(iter(memory))]
