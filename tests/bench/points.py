"""Pure: throughput as a frontier: of points, each with so many clients, the best rate whose p99 stays in a bound."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

#: What p99 may be at most, in seconds.
BOUNDS: Final = (0.025, 0.05, 0.1, 0.25)


@dataclass(frozen=True, slots=True)
class Point:
    """So many clients had so many answers a second, 99 of 100 within `p99` seconds; `clean`: some, and no error."""

    clients: int
    per_second: float
    p99: float
    clean: bool = True


def best(points: Sequence[Point], bound: float) -> Point | None:
    """The point of the highest rate whose p99 is within the bound; None: there is none. Nothing is interpolated."""
    within = [point for point in points if point.clean and point.p99 <= bound]
    return max(within, key=lambda point: (point.per_second, -point.p99), default=None)


def frontier(points: Sequence[Point]) -> list[Point]:
    """The points that none with a lower p99 beats, by p99: rates rise with it."""
    found: list[Point] = []
    for point in sorted((one for one in points if one.clean), key=lambda one: (one.p99, -one.per_second)):
        if not found or point.per_second > found[-1].per_second:
            found.append(point)
    return found


def table(curves: Mapping[str, Sequence[Point]]) -> Iterator[str]:
    """Of each contender the best rate at each bound, and its clients in parentheses; lines of Markdown, 80 columns."""
    yield _line("p99 within", [f"{bound * 1000:g} ms" for bound in BOUNDS])
    yield f"|{'-' * 17}|" + f"{'-' * 13}:|" * len(BOUNDS)
    for name, points in curves.items():
        yield _line(name, [_cell(best(points, bound)) for bound in BOUNDS])


def measured(curves: Mapping[str, Sequence[Point]]) -> Iterator[str]:
    """Every point, a line for each number of clients; the same width."""
    yield _line("clients", list(curves))
    for points in zip(*curves.values(), strict=True):
        yield _line(f"{points[0].clients}", [_both(point) for point in points])


def _line(first: str, cells: Sequence[str]) -> str:
    return f"| {first:<15} |" + "".join(f" {cell:>12} |" for cell in cells)


def _cell(point: Point | None) -> str:
    return f"{point.per_second:,.0f}/s ({point.clients})" if point else "none"


def _both(point: Point) -> str:
    if not point.clean:
        return "errors" if point.per_second else "no answer"
    millis = point.p99 * 1000
    p99 = f"{point.p99:.1f} s" if millis >= 1000 else f"{millis:.0f} ms" if millis >= 10 else f"{millis:.1f} ms"
    return f"{point.per_second:,.0f} {p99}"
