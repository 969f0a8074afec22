"""Pure: one picture of where an installation breaks first: of each limit, how much a rate takes, as SVG."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from deploy.capacity.model import Costs, Demand, plan

#: Jobs a second, from left to right.
LEAST, MOST = 100, 100_000
WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 760, 380, 60, 20, 180, 50
#: Shares of a limit, from bottom to top.
LOWEST, HIGHEST = 0.01, 10.0
COLOURS: Final = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd")
TEXT: Final = 'font-family="sans-serif" font-size="12" fill="#444"'


def picture(costs: Costs, demand: Demand) -> str:
    """An SVG document: jobs a second of the demand's kind to the right, shares of limits upwards; both logarithmic."""
    rates = [LEAST * (MOST / LEAST) ** (step / 60) for step in range(61)]
    plans = [plan(costs, scaled(demand, rate)).of_limits for rate in rates]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        "<title>How much of each limit a number of jobs a second takes</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        *_grid(),
    ]
    names = list(plans[0])
    ends = apart([_y(plans[-1][name]) for name in names])
    for name, colour, at in zip(names, COLOURS, ends, strict=True):
        points = [(rate, one[name]) for rate, one in zip(rates, plans, strict=True)]
        parts.append(_line(points, colour))
        parts.append(f'<text x="{WIDTH - RIGHT + 8}" y="{at:.0f}" {TEXT.replace("#444", colour)}>{name}</text>')
    return "\n".join([*parts, "</svg>", ""])


def scaled(demand: Demand, rate: float) -> Demand:
    """The same kind of demand at another rate."""
    return replace(demand, per_second={way: of * rate / demand.rate for way, of in demand.per_second.items()})


def _grid() -> Iterator[str]:
    for power in range(2, 6):
        x = _x(10**power)
        yield f'<path d="M{x:.0f} {TOP}V{HEIGHT - BOTTOM}" stroke="#ddd"/>'
        yield f'<text x="{x:.0f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle" {TEXT}>{10**power:,}</text>'
    for share, label in ((0.01, "1 %"), (0.1, "10 %"), (1.0, "100 %"), (10.0, "1,000 %")):
        y, width = _y(share), 2 if share == 1 else 1
        stroke = "#444" if share == 1 else "#ddd"
        yield f'<path d="M{LEFT} {y:.0f}H{WIDTH - RIGHT}" stroke="{stroke}" stroke-width="{width}"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4:.0f}" text-anchor="end" {TEXT}>{label}</text>'
    middle = (LEFT + WIDTH - RIGHT) / 2
    yield f'<text x="{middle:.0f}" y="{HEIGHT - 10}" text-anchor="middle" {TEXT}>jobs a second at the peak</text>'


def _line(points: Sequence[tuple[float, float]], colour: str) -> str:
    path = " ".join(f"{_x(rate):.1f},{_y(share):.1f}" for rate, share in points if LOWEST <= share <= HIGHEST)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'


def apart(heights: Sequence[float], least: float = 15.0) -> list[float]:
    """The same heights, each so far from the next that two labels can be read."""
    placed: dict[int, float] = {}
    lowest = -math.inf
    for at in sorted(range(len(heights)), key=lambda one: heights[one]):
        lowest = placed[at] = max(heights[at], lowest + least)
    return [placed[at] + 4 for at in range(len(heights))]


def _x(rate: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * math.log10(rate / LEAST) / math.log10(MOST / LEAST)


def _y(share: float) -> float:
    bounded = min(max(share, LOWEST), HIGHEST)
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - math.log10(bounded / LOWEST) / math.log10(HIGHEST / LOWEST))
