"""Prints what a demand takes; with --write makes the tables of capacity.md and cluster.md, and the picture, anew.

python -m deploy.capacity --synchronous 500 --jobs 200 --batch 5000 [--provider-seconds 2] [--kept-days 30]
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploy.capacity import sizing
from deploy.capacity.model import PROCESSES, Cost, Costs, Demand, Limits, Plan, most, plan
from deploy.capacity.plot import picture
from deploy.capacity.simulation import on_this_machine, servers_of, simulate
from shared import db
from shared.db import engines

HERE: Final = Path(__file__).parent
PAGE, PICTURE, COSTS = HERE.parent / "capacity.md", HERE / "limits.svg", HERE / "costs.toml"
#: The page that says what to begin with.
SIZES_PAGE: Final = HERE.parent / "cluster.md"
BEGIN, END = "<!-- python -m deploy.capacity --write -->\n", "<!-- end -->\n"
#: A day of a billion jobs has this many a second in the mean.
BILLION: Final = 1e9 / 86_400
#: Of ten jobs: one is waited for, one comes by itself and is polled or reported, eight are lines of batches.
MIX: Final = {"synchronous": 0.1, "jobs": 0.1, "batch": 0.8}
MEAN_OF_PEAK: Final = 0.4
WAYS: Final = {"synchronous": "waited for", "jobs": "single, 202", "batch": "a batch's line"}


def demands() -> dict[str, Demand]:
    """Those that the page shows."""
    return {
        "1,000 jobs/s": _mixed(1_000),
        "10,000 jobs/s": _mixed(10_000),
        "10,000 jobs/s, all waited for": Demand({"synchronous": 10_000.0}),
        "a billion jobs a day": _mixed(BILLION / MEAN_OF_PEAK),
    }


def _mixed(rate: float) -> Demand:
    return Demand({way: share * rate for way, share in MIX.items()}, mean_of_peak=MEAN_OF_PEAK)


def page(costs: Costs) -> str:
    """The tables, in Markdown."""
    return "\n".join([_costs(costs), "", _plans(costs), "", _simulated(costs), ""])


def _costs(costs: Costs) -> str:
    rows = [
        (WAYS[way], *(f"{cost.cpu_micros[role]:,.0f}" for role in _ROLES), *_bytes(cost))
        for way, cost in costs.ways.items()
    ]
    return _table(("a job that is", *(f"{role}, µs" for role in _ROLES), "log, kB", "kept, kB"), rows)


_ROLES: Final = (*PROCESSES, "redis", "postgresql")


def _bytes(cost: Cost) -> tuple[str, str]:
    return f"{cost.wal_bytes / 1000:.1f}", f"{cost.stored_bytes / 1000:.1f}"


def _plans(costs: Costs) -> str:
    head = (
        "demand at its peak",
        *PROCESSES,
        "Redis cores",
        "PostgreSQL cores",
        "log, MB/s",
        "kept, GB a day",
        "nearest limit",
    )
    return _table(head, [(name, *cells(plan(costs, demand))) for name, demand in demands().items()])


def cells(found: Plan) -> tuple[str, ...]:
    """A plan as a row."""
    return (
        *(f"{found.processes[role]:,}" for role in PROCESSES),
        f"{found.redis_cores:.2f}",
        f"{found.postgresql_cores:.1f}",
        f"{found.wal_bytes_per_second / 1e6:,.0f}",
        f"{found.stored_bytes_per_day / 1e9:,.0f}",
        f"{found.breaks_first}: {found.of_limits[found.breaks_first]:.0%}",
    )


def _simulated(costs: Costs) -> str:
    cost = costs.ways["synchronous"]
    rows: list[tuple[str, ...]] = []
    for rate in (500, 2_000):
        servers = servers_of(planned := plan(costs, Demand({"synchronous": float(rate)})), _cores_for(costs, rate))
        for times in (1.0, 1.5, 3.0):
            found = simulate(cost, servers, rate * times, 20_000)
            cores = _counted(servers["postgresql"])
            names = f"{planned.processes['web']} web, {planned.processes['worker']} workers, {cores}"
            busiest = max(found.busy.values())
            late = f"{found.p50 * 1000:,.0f} ms, {found.p99 * 1000:,.0f} ms"
            rows.append((f"{rate:,}/s: {names}", f"{rate * times:,.0f}/s", f"{busiest:.0%}", late))
    rows.append(_here(cost))
    return _table(("planned for", "came", "the busiest role", "added, p50 and p99"), rows)


def _counted(count: int) -> str:
    return "1 core" if count == 1 else f"{count} cores"


def _here(cost: Cost) -> tuple[str, ...]:
    found = on_this_machine(cost, 2, 16, 20_000)
    return ("2 cores for everything, 16 clients", f"simulated {found:,.0f}/s", f"measured {cost.per_second:,.0f}/s", "")


def _cores_for(costs: Costs, rate: float) -> int:
    """Of PostgreSQL, planned as everything else is."""
    planned = plan(costs, Demand({"synchronous": rate}), Limits(postgresql_cores=1.0))
    return max(1, -int(-planned.of_limits["PostgreSQL (cores)"] // 1))


def sizes(costs: Costs) -> str:
    """The table of the other page: what to begin with."""
    most = db.THREADS + engines.SPARE + engines.MORE
    return _table(sizing.HEAD, sizing.rows(costs, MIX, MEAN_OF_PEAK, most)) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write(costs: Costs) -> None:
    """The pages' tables and the picture."""
    for path, tables in ((PAGE, page(costs)), (SIZES_PAGE, sizes(costs))):
        before, rest = path.read_text().split(BEGIN)
        path.write_text(before + BEGIN + tables + END + rest.split(END)[1])
    PICTURE.write_text(picture(costs, _mixed(1_000)))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m deploy.capacity", description="What a demand takes.")
    for way, what in WAYS.items():
        parser.add_argument(
            f"--{way}", type=float, default=0.0, metavar="RATE", help=f"{what}: jobs a second at the peak"
        )
    parser.add_argument("--provider-seconds", type=float, default=2.0, help="what a provider's answer takes; default 2")
    parser.add_argument(
        "--mean-of-peak", type=float, default=MEAN_OF_PEAK, help="a day's mean, of its peak; default 0.4"
    )
    parser.add_argument("--kept-days", type=float, default=30.0, help="for how many days jobs are kept; default 30")
    parser.add_argument("--more-bytes", type=float, default=0.0, help="of request and answer, beyond a few words")
    parser.add_argument("--write", action="store_true", help="make the tables and the picture of the page anew")
    given = parser.parse_args()
    costs = Costs.read(COSTS.read_text())
    if given.write:
        return write(costs)
    rates = {way: getattr(given, way) for way in WAYS if getattr(given, way) > 0}
    if not rates:
        parser.error("a rate is needed: --synchronous, --jobs or --batch")
    _print(costs, Demand(rates, given.provider_seconds, given.mean_of_peak, given.kept_days, given.more_bytes))


def _print(costs: Costs, demand: Demand) -> None:
    found = plan(costs, demand)
    for role in PROCESSES:
        print(f"{role:<12} {found.processes[role]:>6,} processes")
    print(f"{'redis':<12} {found.redis_cores:>6.2f} cores busy")
    print(f"{'postgresql':<12} {found.postgresql_cores:>6.1f} cores busy")
    print(f"{'log':<12} {found.wal_bytes_per_second / 1e6:>6,.0f} MB/s")
    print(f"{'kept':<12} {found.stored_bytes_per_day / 1e9:>6,.0f} GB a day")
    for name, share in found.of_limits.items():
        print(f"{name}: {share:.0%} of what may be planned for")
    print(f"breaks first at {most(costs, demand):,.0f} jobs/s: {found.breaks_first}")


if __name__ == "__main__":
    main()
