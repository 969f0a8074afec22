"""How a figure is taken and printed: in turn with what it is compared to, the median, a line beside its bar."""

import statistics
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def in_turn(runs: int, *measures: Callable[[], T]) -> list[Sequence[T]]:
    """What each measure came to, `runs` times, in turn, so that a drifting machine meets all alike."""
    seen = [[measure() for measure in measures] for _ in range(runs)]
    return list(zip(*seen, strict=True))


def medians(runs: int, *measures: Callable[[], float]) -> list[float]:
    """The median of each measure, taken in turn."""
    return [statistics.median(column) for column in in_turn(runs, *measures)]


def row(what: str, value: str, bar: str = "", met: bool | None = None) -> None:
    """Print one line. `met`: whether it reached the bar; None: it has none of its own."""
    verdict = "" if met is None else "met" if met else "NOT met"
    print(f"  {what:<78} {value:>16}   {f'bar {bar}' if bar else '':<16} {verdict}".rstrip(), flush=True)


def note(text: str) -> None:
    """Print what belongs to the lines above it."""
    print(f"      {text}", flush=True)
