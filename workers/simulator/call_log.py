"""A log of all calls with their time and outcome, and their numbers by the second."""

from collections import Counter, deque
from dataclasses import dataclass
from typing import Any, Literal

from shared import clock
from workers.simulator.call import SimulatedCall

#: admitted: the provider took it on; refused: 429; faulty: an outage of another kind.
CallOutcome = Literal["admitted", "refused", "faulty"]
OUTCOMES: tuple[CallOutcome, ...] = ("admitted", "refused", "faulty")
#: The log keeps this many calls, the counts by second this many numbers; the oldest are dropped.
MAX_LOGGED = 100_000
MAX_COUNTED = 200_000


@dataclass(frozen=True, slots=True)
class LoggedCall:
    """One call: when it arrived, in seconds since the script was set, and what it met."""

    at: float
    provider: str
    model: str
    path: str
    stream: bool
    outcome: CallOutcome
    fault: str


class CallLog:
    """The log and the counts since the script was set."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self._began, self._began_at = clock.monotonic(), clock.now_micros()
        self._log: deque[LoggedCall] = deque(maxlen=MAX_LOGGED)
        self._counts: Counter[tuple[int, str, str, CallOutcome]] = Counter()

    @property
    def age(self) -> float:
        """Seconds since the beginning."""
        return clock.monotonic() - self._began

    def note(self, call: SimulatedCall, outcome: CallOutcome, fault: str = "") -> None:
        """Write a call down."""
        at, provider = self.age, call.route.provider
        self._log.append(LoggedCall(at, provider, call.model, call.request.path, call.streaming, outcome, fault))
        self._counts[int(at), provider, call.model, outcome] += 1
        if len(self._counts) > MAX_COUNTED:
            del self._counts[next(iter(self._counts))]

    def log(self, provider: str = "", model: str = "") -> dict[str, Any]:
        """The calls in the order of their arrival."""
        rows = [
            {name: getattr(row, name) for name in LoggedCall.__slots__}
            for row in self._log
            if provider in ("", row.provider) and model in ("", row.model)
        ]
        return {"began_at": self._began_at / clock.MICROS, "calls": rows}

    def seconds(self, provider: str = "", model: str = "") -> dict[str, Any]:
        """How many calls came, and what became of them, in all and by the second; seconds without any are left out."""
        found: dict[int, Counter[str]] = {}
        for (second, by, of, outcome), count in sorted(self._counts.items()):
            if provider in ("", by) and model in ("", of):
                found.setdefault(second, Counter())[outcome] += count
        whole = sum(found.values(), Counter())
        rows = [{"second": second, **_row(counts)} for second, counts in found.items()]
        return {"began_at": self._began_at / clock.MICROS, **_row(whole), "seconds": rows}


def _row(counts: Counter[str]) -> dict[str, int]:
    return {"total": counts.total(), **{outcome: counts[outcome] for outcome in OUTCOMES}}
