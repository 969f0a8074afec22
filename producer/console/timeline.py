"""What became of a job and when: a line for each wait, call and pause, from the job object. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["wait", "call", "failed", "pause"]


@dataclass(frozen=True, slots=True)
class TimelineSpan:
    """From `begin` to `end`, in seconds since the job was accepted; `open`: it has not ended yet."""

    kind: Kind
    name: str
    note: str
    begin: int
    end: int
    open: bool = False

    @property
    def seconds(self) -> int:
        return self.end - self.begin

    def place(self, whole: int) -> tuple[float, float]:
        """Where its bar begins, and its width, of 100: one that is too short to see is shown all the same."""
        width = max(1.5, 100 * self.seconds / max(whole, 1))
        return min(100 * self.begin / max(whole, 1), 100 - width), width


def spans(job: Mapping[str, Any], now: int) -> list[TimelineSpan]:
    """The lines of a job's timeline, in their order; `now` in seconds, as the job's times."""
    return list(_spans(job, now))


def whole(lines: list[TimelineSpan]) -> int:
    """How many seconds a timeline covers."""
    return max((line.end for line in lines), default=0)


def _spans(job: Mapping[str, Any], now: int) -> Iterator[TimelineSpan]:
    came, ended = job["created_at"], job["finished_at"]
    at, before = came, None
    for attempt in job["attempts"]:
        begin = max(at, attempt["started_at"] or at)
        yield _gap(before, attempt, at - came, begin - came)
        end = max(begin, attempt["finished_at"] or ended or now)
        yield _call(attempt, begin - came, end - came, open=attempt["finished_at"] is None and ended is None)
        at, before = end, attempt
    if ended is None and job["status"] == "running":
        begin = max(at, job["started_at"] or at)
        if begin > at or before is None:
            yield TimelineSpan("wait", "Queued", "", at - came, begin - came)
        yield TimelineSpan("call", "Running", job["model"], begin - came, max(now, begin) - came, open=True)
    elif ended is None:
        yield TimelineSpan("wait", _waiting(job, before), "", at - came, max(now, at) - came, open=True)
    elif before is None or ended - at > _ROUNDING or (ended > at and job["status"] != "failed"):
        yield TimelineSpan(
            "wait", f"Waited until it was {_ENDS.get(job['status'], 'over')}", "", at - came, ended - came
        )


_ENDS = {"cancelled": "cancelled", "expired": "expired", "failed": "given up"}
#: Seconds between a call's end and the failure of its job that are no wait: times are whole seconds.
_ROUNDING = 1


def _gap(before: Mapping[str, Any] | None, attempt: Mapping[str, Any], begin: int, end: int) -> TimelineSpan:
    if before is None:
        return TimelineSpan("wait", "Queued", "", begin, end)
    if (before["provider"], before["model"]) != (attempt["provider"], attempt["model"]):
        return TimelineSpan(
            "pause", "Fallback", f"to {attempt['model']} at {attempt['provider'] or 'another provider'}", begin, end
        )
    return TimelineSpan("pause", "Pause before the retry", "", begin, end)


def _call(attempt: Mapping[str, Any], begin: int, end: int, *, open: bool) -> TimelineSpan:
    name = f"{attempt['provider'] or 'lost with its worker'} · {attempt['model']}" if attempt["model"] else "Call"
    said = " ".join(str(one) for one in (attempt["status_code"], attempt["error"]) if one is not None)
    return TimelineSpan("failed" if attempt["error"] else "call", name, said, begin, end, open)


def _waiting(job: Mapping[str, Any], before: Mapping[str, Any] | None) -> str:
    if job.get("waiting_for") == "credits":
        return "Waits for credit"
    return "Queued" if before is None else "Waits for its next try"
