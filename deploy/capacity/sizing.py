"""Pure: what an installation of a size begins with, as a table: one more of each process than the model plans."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from deploy.capacity.model import PROCESSES, UTILISATION, Costs, Demand, Plan, plan

#: Of each kind beside those that are planned, so that one may die, or be replaced.
SPARE: Final = 1
#: Connections for commands, backups and whoever looks, beside those of processes.
OTHERS: Final = 20


@dataclass(frozen=True, slots=True)
class Size:
    """Jobs a second at the peak, of the page's mix, and for how many days they are kept."""

    name: str
    rate: float
    kept_days: float


SIZES: Final = (Size("small", 50, 30), Size("medium", 500, 30), Size("large", 5_000, 7))
HEAD: Final = (
    "size",
    "jobs/s at the peak",
    *PROCESSES,
    "PostgreSQL: cores",
    "`max_connections`",
    "log, MB/s",
    "disk, GB",
    "Redis: of a core",
)


def counts(found: Plan) -> Mapping[str, int]:
    """Processes by role."""
    return {role: found.processes[role] + SPARE for role in PROCESSES}


def connections(processes: Mapping[str, int], each: int) -> int:
    """The most to PostgreSQL: a sweeper has a second process while jobs need one, and a rolling restart one more."""
    return (sum(processes.values()) + processes["sweeper"] + 1) * each + OTHERS


def rows(costs: Costs, mix: Mapping[str, float], mean_of_peak: float, each: int) -> Sequence[Sequence[str]]:
    """The table's rows; `each`: the most connections of a process."""
    return [_row(costs, size, mix, mean_of_peak, each) for size in SIZES]


def _row(costs: Costs, size: Size, mix: Mapping[str, float], mean_of_peak: float, each: int) -> Sequence[str]:
    rates = {way: share * size.rate for way, share in mix.items()}
    found = plan(costs, Demand(rates, mean_of_peak=mean_of_peak, kept_days=size.kept_days))
    processes = counts(found)
    return (
        size.name,
        f"{size.rate:,.0f}",
        *(f"{processes[role]:,}" for role in PROCESSES),
        f"{math.ceil(found.postgresql_cores / UTILISATION):,}",
        f"{connections(processes, each):,}",
        f"{found.wal_bytes_per_second / 1e6:,.1f}",
        f"{found.stored_bytes_per_day * size.kept_days / 1e9:,.0f} ({size.kept_days:.0f} days)",
        f"{found.redis_cores:.1%}",
    )
