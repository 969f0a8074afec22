"""Formats rates and the remaining time, as far as a line has space for them. Pure: no clock, no terminal."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

#: The rate is over the last ten seconds, or over a few steps of a slow batch, two minutes at most.
_LEAST_SECONDS, _MOST_SECONDS, _STEPS = 10.0, 120.0, 3.0
#: A look is the present for as long as it takes until the next; later, nothing is known to have been done since.
_FRESH_SECONDS = 3.0
#: No rate is shown before this many seconds.
_FIRST_SECONDS = 1.0
#: Below this many a second the rate is shown by the minute.
_SLOW = 0.1
#: A bar that is shorter says nothing.
_LEAST_BAR = 6
_GAP = 2

UNKNOWN = "--:--"


class Rate:
    """The current rate per second, from samples of how many are done."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, int]] = deque()
        self._changes: deque[float] = deque(maxlen=5)

    def look(self, at: float, done: int) -> None:
        """So many were done at a moment; looks come in the order of time."""
        if self._looks and done > self._looks[-1][1]:
            self._changes.append(at)
        self._looks.append((at, done))
        while len(self._looks) > 2 and self._looks[1][0] < at - _MOST_SECONDS:
            self._looks.popleft()

    def at(self, now: float) -> float | None:
        """Lines a second now; None while it is too early to say. What stands still comes down to 0."""
        if not self._looks:
            return None
        last, done = self._looks[-1]
        end = last if now - last <= _FRESH_SECONDS else now
        begin = max(end - self._window(), self._looks[0][0])
        if end - begin < _FIRST_SECONDS:
            return None
        return max(0.0, done - self._done_at(begin)) / (end - begin)

    def _window(self) -> float:
        gaps = len(self._changes) - 1
        gap = (self._changes[-1] - self._changes[0]) / gaps if gaps > 0 else 0.0
        return min(max(_STEPS * gap, _LEAST_SECONDS), _MOST_SECONDS)

    def _done_at(self, at: float) -> float:
        """Between two looks, in proportion."""
        before = self._looks[0]
        for look in self._looks:
            if look[0] > at:
                share = (at - before[0]) / (look[0] - before[0])
                return before[1] + share * (look[1] - before[1])
            before = look
        return float(before[1])


def rate_text(rate: float | None) -> str:
    """`1,506/s`, `3.4/s`, `2.0/min`; `0/s` for what stands still. Seven characters at most."""
    if rate is None:
        return "-/s"
    if rate >= 9_999.5:
        return f"{rate / 1000:,.0f}k/s"
    if rate >= 9.95:
        return f"{rate:,.0f}/s"
    if rate >= _SLOW:
        return f"{rate:.1f}/s"
    return f"{rate * 60:.1f}/min" if rate * 60 >= 0.05 else "0/s"


def shown_rate(rate: float | None) -> float:
    """The number that `rate_text` shows, by the second."""
    if rate is None:
        return 0.0
    if rate >= 9_999.5:
        return round(rate, -3)
    if rate >= 9.95:
        return float(round(rate))
    return round(rate, 1) if rate >= _SLOW else round(rate * 60, 1) / 60


def seconds_left(left: int, rate: float | None) -> float | None:
    """How long the rest takes at the rate that is shown; None while nothing moves."""
    speed = shown_rate(rate)
    return 0.0 if left <= 0 else left / speed if speed else None


def time_text(seconds: float | None) -> str:
    """`01:22`, `12h03`, `4d07h`: five characters; `--:--` for what is not known."""
    if seconds is None:
        return UNKNOWN
    whole = round(seconds)
    if whole < 6_000:
        return f"{whole // 60:02}:{whole % 60:02}"
    if whole < 360_000:
        return f"{whole // 3600:02}h{whole % 3600 // 60:02}"
    return f"{whole // 86_400}d{whole % 86_400 // 3600:02}h" if whole < 864_000 else UNKNOWN


@dataclass(frozen=True)
class Cell:
    """A column of a line: its text, the longest form first, each of a width that does not change while it runs.

    `rank`: where there is no room for all, those with the highest go first.
    """

    rank: int
    forms: tuple[str, ...]


def fit(width: int, cells: Sequence[Cell], *, bar: bool = True) -> tuple[int, list[str | None]]:
    """The width of the bar, 0 for none, and the text of each cell, None for one that has no room; never all None."""
    room = width - (_LEAST_BAR if bar else -_GAP)
    taken: dict[int, str] = {}
    by_rank = sorted(range(len(cells)), key=lambda index: cells[index].rank)
    for index in by_rank:
        short = cells[index].forms[-1]
        if len(short) + _GAP <= room:
            taken[index] = short
            room -= len(short) + _GAP
    if by_rank[0] not in taken:
        if bar:
            return fit(width, cells, bar=False)
        return 0, [cell.forms[-1] if index == by_rank[0] else None for index, cell in enumerate(cells)]
    for index in (i for i in by_rank if i in taken):
        for form in cells[index].forms[:-1]:
            if len(form) - len(taken[index]) <= room:
                room -= len(form) - len(taken[index])
                taken[index] = form
                break
    return (_LEAST_BAR + room if bar else 0), [taken.get(index) for index in range(len(cells))]
