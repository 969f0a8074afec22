"""How far a batch is, as pages show it: the parts of its bar, its rate, the time left, what it costs at most. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from shared.objects.batches import BATCH_OVER

#: Lines that ended unanswered, which the API counts among the failed.
_UNANSWERED: Final = ("cancelled", "expired")
#: A rate is told once a batch has worked for so many seconds.
_LEAST_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class BarPart:
    """Lines in one state: the kind of its colour, its word, and where it stands in a bar 100 wide."""

    kind: str
    word: str
    count: int
    start: float
    width: float


@dataclass(frozen=True, slots=True)
class Progress:
    """A batch that is looked at. `rate`: lines a second since it began; None where there is none to tell."""

    parts: Sequence[BarPart]
    total: int
    ended: int
    active: bool
    rate: float | None
    seconds_left: float | None
    seconds_taken: float | None
    credits_most: float | None

    @property
    def percent(self) -> int:
        """Ended lines of all; rounded down, so that 100 means all."""
        return self.ended * 100 // self.total if self.total else 0


def of(batch: Mapping[str, Any], now: float, progress: Mapping[str, Any] | None = None) -> Progress:
    """The progress of a batch object at an instant; with its `batch.progress`, which also tells what runs."""
    counts = batch["request_counts"]
    total, ended = counts["total"], counts["completed"] + counts["failed"]
    active = batch["status"] not in BATCH_OVER
    began, over_at = batch["in_progress_at"], _over_at(batch)
    taken = (over_at or now) - began if began is not None else None
    rate = ended / taken if ended and taken is not None and taken >= _LEAST_SECONDS else None
    runs = batch["status"] == "in_progress" and not batch["waiting_for"]
    left = round((total - ended) / rate) if rate and runs else None
    used, held = batch["credits_used"], batch["credits_held"]
    return Progress(
        parts=_parts(_numbers(counts, progress, active=active), total),
        total=total,
        ended=ended,
        active=active,
        rate=rate,
        seconds_left=left,
        seconds_taken=taken,
        credits_most=None if active and not _is_held(batch) else used + held,
    )


def _is_held(batch: Mapping[str, Any]) -> bool:
    """Whether the credits of all its lines are held, or what they cost at most is not known yet."""
    return batch["hold"] == "all" and batch["status"] != "validating" and not batch["waiting_for"]


def _over_at(batch: Mapping[str, Any]) -> int | None:
    ends = (batch[f"{status}_at"] for status in ("completed", "failed", "expired", "cancelled"))
    return next((at for at in ends if at is not None), None)


def _numbers(
    counts: Mapping[str, int], progress: Mapping[str, Any] | None, *, active: bool
) -> list[tuple[str, str, int]]:
    """Kind, word and number of the lines in each state."""
    total, failed = counts["total"], counts["failed"]
    groups = progress["reasons"] if progress else ()
    unanswered = {word: sum(one["count"] for one in groups if one["reason"] == word) for word in _UNANSWERED}
    running = sum(one["running"] for one in progress["providers"]) if progress else 0
    rest = total - counts["completed"] - failed
    running = min(running, rest)
    return [
        ("done", "succeeded", counts["completed"]),
        ("failed", "failed", max(0, failed - sum(unanswered.values()))),
        *(("amber", word, min(number, failed)) for word, number in unanswered.items()),
        ("running", "running", running),
        ("queued", "waiting" if active else "never started", rest - running),
    ]


def _parts(numbers: Sequence[tuple[str, str, int]], total: int) -> list[BarPart]:
    parts, start = [], 0.0
    for kind, word, number in numbers:
        if number:
            width = round(number * 100 / total, 3)
            parts.append(BarPart(kind, word, number, round(start, 3), width))
            start += width
    return parts


def failures(groups: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Groups of a `batch.errors` put together by reason, the largest first, with the words of the largest of each."""
    found: dict[str, dict[str, Any]] = {}
    for group in groups:
        one = found.setdefault(
            group["reason"], {"reason": group["reason"], "count": 0, "message": group["message"], "may_help": False}
        )
        one["count"] += group["count"]
        one["may_help"] |= group["retry_may_help"]
    return sorted(found.values(), key=lambda one: -one["count"])
