"""The usage of a period as a chart and a table: read from the API's CSV of groups, summed exactly. Pure."""

import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

#: Series of a chart with a colour of their own; what is left is the last one.
MOST_SERIES: Final = 7
_MICROS: Final = 1_000_000
#: What a CSV's cell begins with that the API has made harmless for spreadsheets.
_GUARDED: Final = re.compile(r"'(?=\s*[=+\-@])")


@dataclass(frozen=True, slots=True)
class DayUsage:
    """A day's usage of one model, key or label."""

    day: str
    name: str
    jobs: int
    prompt_tokens: int
    completion_tokens: int
    images: int
    micros: int


@dataclass(frozen=True, slots=True)
class UsageLine:
    """A line of the table: the sums of one model, key, label or day; `series`: its colour; `share` of 100."""

    name: str
    jobs: int
    prompt_tokens: int
    completion_tokens: int
    images: int
    micros: int
    share: float
    series: int | None = None

    @property
    def credits(self) -> float:
        return self.micros / _MICROS


def read(text: str) -> list[DayUsage]:
    """The groups of a CSV by day and one more dimension."""
    rows = csv.reader(io.StringIO(text, newline=""))
    next(rows, None)
    return [_group(row) for row in rows]


def by_name(groups: Sequence[DayUsage]) -> list[UsageLine]:
    """A line for each model, key or label, the dearest first."""
    found = list(_summed(groups, lambda one: one.name))
    found.sort(key=lambda line: (-line.micros, -line.jobs, line.name))
    return [_coloured(line, min(place, MOST_SERIES)) for place, line in enumerate(found)]


def by_day(groups: Sequence[DayUsage]) -> list[UsageLine]:
    """A line for each day on which something was charged, the newest first."""
    return sorted(_summed(groups, lambda one: one.day), key=lambda line: line.name, reverse=True)


def chart(
    groups: Sequence[DayUsage], lines: Sequence[UsageLine], first: str, last: str, names: Mapping[str, str]
) -> dict[str, Any]:
    """The data of a stacked chart: each day of the period, and for each series its credits."""
    days = list(_days(first, last))
    places = {line.name: line.series or 0 for line in lines}
    sums: defaultdict[tuple[int, str], int] = defaultdict(int)
    for group in groups:
        sums[places[group.name], group.day] += group.micros
    titles = [names.get(line.name, line.name) or "without it" for line in lines[:MOST_SERIES]]
    if len(lines) > MOST_SERIES:
        titles.append(f"{len(lines) - MOST_SERIES} more")
    return {
        "x": [_seconds(day) for day in days],
        "lines": [
            {"name": title, "values": [sums[place, day] / _MICROS for day in days]}
            for place, title in enumerate(titles)
        ],
        "unit": "credits",
        "by": "day",
    }


def total(groups: Sequence[DayUsage]) -> UsageLine:
    """All of it."""
    return next(_summed(groups, lambda one: ""), UsageLine("", 0, 0, 0, 0, 0, 0.0))


def _group(row: Sequence[str]) -> DayUsage:
    day, name, jobs, prompt, completion, _, images, credits = row
    micros = int(Decimal(credits) * _MICROS)
    return DayUsage(day, _GUARDED.sub("", name), int(jobs), int(prompt), int(completion), int(images), micros)


def _summed(groups: Sequence[DayUsage], key: Any) -> Iterator[UsageLine]:
    whole = sum(one.micros for one in groups)
    found: defaultdict[str, list[DayUsage]] = defaultdict(list)
    for one in groups:
        found[key(one)].append(one)
    for name, some in found.items():
        micros = sum(one.micros for one in some)
        yield UsageLine(
            name,
            sum(one.jobs for one in some),
            sum(one.prompt_tokens for one in some),
            sum(one.completion_tokens for one in some),
            sum(one.images for one in some),
            micros,
            round(100 * micros / whole, 1) if whole else 0.0,
        )


def _coloured(line: UsageLine, series: int) -> UsageLine:
    return UsageLine(
        line.name, line.jobs, line.prompt_tokens, line.completion_tokens, line.images, line.micros, line.share, series
    )


def _seconds(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp())


def _days(first: str, last: str) -> Iterator[str]:
    day, until = date.fromisoformat(first), date.fromisoformat(last)
    while day <= until:
        yield str(day)
        day += timedelta(days=1)
