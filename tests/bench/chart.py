"""Pure: the frontiers of some contenders as one SVG, for light and for dark pages."""

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Final

from deploy.capacity.plot import apart
from tests.bench.points import BOUNDS, Point, frontier

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 760, 400, 64, 52, 150, 56
TITLE: Final = "Synchronous chat: the highest rate within a bound of p99"
#: Of each contender in turn: its colour on a light page and on a dark one; the shape of its marks.
STYLES: Final = (
    ("#0969da", "#58a6ff", "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z"),
    ("#bc4c00", "#f0883e", "M-4-4H4V4H-4z"),
    ("#1a7f37", "#3fb950", "M0-5L5 4H-5z"),
    ("#8250df", "#bc8cff", "M0-5.5L5.5 0L0 5.5L-5.5 0z"),
)
#: Steps between two rates that are labelled: these, and ten, a hundred … times as much.
STEPS: Final = (1, 2, 5)
MOST_STEPS: Final = 6
#: Beside a horizontal line, what is left free above the highest rate.
HEADROOM: Final = 1.05


class Axes:
    """Where p99 in milliseconds (to the right, logarithmic) and a rate (upwards, from zero) stand in the picture."""

    def __init__(self, curves: Mapping[str, Sequence[Point]]) -> None:
        edges = [one.p99 * 1000 for points in curves.values() for one in frontier(points)] + [1000 * BOUNDS[-1]]
        rates = [one.per_second for points in curves.values() for one in frontier(points)] + [1.0]
        self.least = 10.0 ** math.floor(math.log10(max(min(edges), 0.1)))
        self.most = 10.0 ** math.ceil(math.log10(1000 * BOUNDS[-1]))
        self.step = step(max(rates) * HEADROOM)
        self.top = self.step * math.ceil(max(rates) * HEADROOM / self.step)

    def x(self, millis: float) -> float:
        """To the right; what is beyond an edge stands on it."""
        bounded = min(max(millis, self.least), self.most)
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log10(bounded / self.least) / math.log10(self.most / self.least)

    def y(self, rate: float) -> float:
        """Upwards, from zero."""
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - rate / self.top)

    def shown(self, points: Sequence[Point]) -> list[Point]:
        """Those without an error and not beyond the right edge."""
        return [point for point in points if point.clean and point.p99 * 1000 <= self.most]


def picture(curves: Mapping[str, Sequence[Point]]) -> str:
    """An SVG document: of each contender its frontier as steps, full marks on it, hollow ones for what it beats."""
    axes = Axes(curves)
    ends = [max((one.per_second for one in axes.shown(points)), default=0.0) for points in curves.values()]
    heights = apart([axes.y(rate) for rate in ends], 32.0)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{TITLE}</title>",
        f"<style>{''.join(_rules())}</style>",
        f'<rect class="page" width="{WIDTH}" height="{HEIGHT}"/>',
        f'<text class="head" x="{LEFT}" y="22">{TITLE}</text>',
        *_grid(axes),
    ]
    for (name, points), end, height, number in zip(curves.items(), ends, heights, range(len(STYLES)), strict=False):
        parts += [f'<g class="c{number}">', *_curve(axes, points, number), *_label(name, end, height), "</g>"]
    return "\n".join([*parts, "</svg>", ""])


def step(most: float) -> float:
    """1, 2 or 5 times a power of ten, so that it takes at most MOST_STEPS of them to reach `most`."""
    power = 10.0 ** math.floor(math.log10(most / MOST_STEPS))
    return next(power * times for times in (*STEPS, 10) if power * times * MOST_STEPS >= most)


def _rules() -> Iterator[str]:
    """Light unless the reader's page is dark: an image in a page is told that too."""
    yield "text{font:12px sans-serif;fill:#59636e}.head,.name{font-weight:bold}.head{fill:#1f2328}.page{fill:#fff}"
    yield ".grid{stroke:#d1d9e0}.axis,.bound{stroke:#59636e}.bound{stroke-dasharray:3 3}"
    yield ".line{fill:none;stroke-width:2}.c0 .line{stroke-width:3}"
    yield from _colours(0)
    yield "@media(prefers-color-scheme:dark){text{fill:#9198a1}.head{fill:#f0f6fc}.page{fill:#0d1117}"
    yield ".grid{stroke:#2a313c}.axis,.bound{stroke:#9198a1}"
    yield from _colours(1)
    yield "}"


def _colours(page: int) -> Iterator[str]:
    background = ("#fff", "#0d1117")[page]
    for number, style in enumerate(STYLES):
        mine = f".c{number}"
        yield f"{mine} .line,{mine} .mark{{stroke:{style[page]}}}{mine} .mark,{mine} text{{fill:{style[page]}}}"
        yield f"{mine} .beaten{{fill:{background}}}"


def _grid(axes: Axes) -> Iterator[str]:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    for number in range(round(axes.top / axes.step) + 1):
        rate = number * axes.step
        yield f'<path class="{"grid" if number else "axis"}" d="M{LEFT} {axes.y(rate):.1f}H{right}"/>'
        yield f'<text x="{LEFT - 8}" y="{axes.y(rate) + 4:.1f}" text-anchor="end">{rate:,g}</text>'
    for power in range(round(math.log10(axes.least)), round(math.log10(axes.most)) + 1):
        yield f'<path class="grid" d="M{axes.x(10.0**power):.1f} {TOP}V{bottom}"/>'
        yield f'<text x="{axes.x(10.0**power):.1f}" y="{bottom + 18}" text-anchor="middle">{10.0**power:,g}</text>'
    for bound in (1000 * one for one in BOUNDS):
        yield f'<path class="bound" d="M{axes.x(bound):.1f} {TOP}V{bottom}"/>'
        if math.log10(bound) % 1:
            yield f'<text x="{axes.x(bound):.1f}" y="{bottom + 18}" text-anchor="middle">{bound:g}</text>'
    middle = (LEFT + right) / 2
    yield f'<text x="{middle:.0f}" y="{HEIGHT - 14}" text-anchor="middle">p99 latency, ms (logarithmic)</text>'
    yield f'<text x="{LEFT}" y="{TOP - 12}" text-anchor="middle">requests/s</text>'


def _curve(axes: Axes, points: Sequence[Point], number: int) -> Iterator[str]:
    best = frontier(axes.shown(points))
    if best:
        rises = "".join(f"H{axes.x(one.p99 * 1000):.1f}V{axes.y(one.per_second):.1f}" for one in best)
        start = f"M{axes.x(best[0].p99 * 1000):.1f} {axes.y(0):.1f}"
        yield f'<path class="line" d="{start}{rises}H{WIDTH - RIGHT}"/>'
    for point in axes.shown(points):
        kind = "mark" if point in best else "mark beaten"
        place = f"translate({axes.x(point.p99 * 1000):.1f} {axes.y(point.per_second):.1f})"
        said = f"{point.clients} clients: {point.per_second:,.0f}/s, p99 {point.p99 * 1000:.1f} ms"
        yield f'<path class="{kind}" transform="{place}" d="{STYLES[number][2]}"><title>{said}</title></path>'


def _label(name: str, rate: float, height: float) -> Iterator[str]:
    yield f'<text x="{WIDTH - RIGHT + 10}" y="{height:.1f}" class="name">{escape(name)}</text>'
    yield f'<text x="{WIDTH - RIGHT + 10}" y="{height + 14:.1f}">{rate:,.0f}/s at most</text>'
