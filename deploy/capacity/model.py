"""Pure: from what a job costs to how many processes, cores and bytes a demand takes, and what it meets first.

Costs are CPU by process, measured on one machine (`costs.toml`); a demand's need is their product with its rate. What
can be had several times (web, worker, batches processes) only needs more of them. What there is one of has a limit, and
the demand that reaches it first is where an installation breaks.
"""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

#: Of a core, a process's or a server's, planned to be busy: what is above takes bursts, and keeps lines short.
UTILISATION: Final = 0.6
#: Each such process has one core to use: Python's lock.
PROCESSES: Final = ("web", "worker", "batches", "sweeper")
DAY_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one job: microseconds of CPU by role, bytes written to the log of the database, bytes that stay in it."""

    cpu_micros: Mapping[str, float]
    #: CPU of what was on the machine beside them: the clients, the provider, the system.
    beside_micros: float
    wal_bytes: float
    stored_bytes: float
    transactions: float
    redis_commands: float
    #: What the machine did on which it was measured, with all roles on it.
    per_second: float


@dataclass(frozen=True, slots=True)
class Costs:
    """Of each way of submitting: `synchronous`, `jobs` (single ones by POST /v1/jobs), `batch` (its lines)."""

    measured_on: str
    idle_cores: Mapping[str, float]
    ways: Mapping[str, Cost]

    @classmethod
    def read(cls, source: str) -> Self:
        """From the text of costs.toml."""
        table = tomllib.loads(source)
        on, idle = table.pop("measured_on"), table.pop("idle_cores")
        return cls(on, idle, {name: Cost(**fields) for name, fields in table.items()})


@dataclass(frozen=True, slots=True)
class Demand:
    """Jobs a second at the peak, by way of submitting; what a provider's answer takes, in seconds."""

    per_second: Mapping[str, float]
    provider_seconds: float = 2.0
    #: What of the peak a day's mean is, and for how many days jobs are kept (`FUSIONAI_KEEP_JOBS_DAYS`).
    mean_of_peak: float = 0.4
    kept_days: float = 30.0
    #: Bytes of a job's request and answer beyond those of the measured jobs, which are of a few words.
    more_bytes: float = 0.0

    @property
    def rate(self) -> float:
        """Jobs a second, of all ways."""
        return sum(self.per_second.values())


@dataclass(frozen=True, slots=True)
class Limits:
    """What there is one of, in an installation of one database and one Redis: assumptions about machines."""

    #: Cores of the largest machine for PostgreSQL, and what its disks write in a second, in bytes.
    postgresql_cores: float = 64.0
    wal_bytes_per_second: float = 500e6
    #: Redis does all on one core.
    redis_cores: float = 1.0
    #: Bytes that one database holds and can still vacuum and restore in a night.
    stored_bytes: float = 20e12
    #: Calls that a worker process has open at most (`FUSIONAI_SLOTS_BATCH`), with 5,000 in 400 MB.
    slots: int = 2000


@dataclass(frozen=True, slots=True)
class Plan:
    """What a demand takes: processes by role; cores of the servers; bytes; and how much of each limit it is."""

    processes: Mapping[str, int]
    redis_cores: float
    postgresql_cores: float
    wal_bytes_per_second: float
    stored_bytes_per_day: float
    #: 1 is all that may be planned for: of a core, UTILISATION of it.
    of_limits: Mapping[str, float]

    @property
    def breaks_first(self) -> str:
        """The limit that this demand is nearest to."""
        return max(self.of_limits, key=self.of_limits.__getitem__)


def cores(costs: Costs, demand: Demand, role: str) -> float:
    """Of a role, busy at the peak."""
    return sum(rate * costs.ways[way].cpu_micros[role] for way, rate in demand.per_second.items()) / 1e6


def plan(costs: Costs, demand: Demand, limits: Limits | None = None) -> Plan:
    """How many of everything."""
    limits = limits or Limits()
    redis, postgresql = cores(costs, demand, "redis"), cores(costs, demand, "postgresql")
    wal = _total(costs, demand, "wal_bytes") + demand.rate * demand.more_bytes
    stored = (_total(costs, demand, "stored_bytes") + demand.rate * demand.more_bytes) * demand.mean_of_peak
    return Plan(
        processes={role: _processes(costs, demand, role, limits) for role in PROCESSES},
        redis_cores=redis,
        postgresql_cores=postgresql,
        wal_bytes_per_second=wal,
        stored_bytes_per_day=stored * DAY_SECONDS,
        of_limits={
            "Redis (one core)": redis / (limits.redis_cores * UTILISATION),
            "PostgreSQL (cores)": postgresql / (limits.postgresql_cores * UTILISATION),
            "PostgreSQL (log)": wal / (limits.wal_bytes_per_second * UTILISATION),
            "PostgreSQL (size)": stored * DAY_SECONDS * demand.kept_days / limits.stored_bytes,
        },
    )


def most(costs: Costs, demand: Demand, limits: Limits | None = None) -> float:
    """The rate, of a demand of this kind, at which the first limit is reached, in jobs a second."""
    return demand.rate / max(plan(costs, demand, limits).of_limits.values())


def _processes(costs: Costs, demand: Demand, role: str, limits: Limits) -> int:
    busy = cores(costs, demand, role) / UTILISATION
    held = demand.rate * demand.provider_seconds / (limits.slots * UTILISATION) if role == "worker" else 0.0
    return max(1, math.ceil(busy), math.ceil(held))


def _total(costs: Costs, demand: Demand, name: str) -> float:
    return sum(rate * float(getattr(costs.ways[way], name)) for way, rate in demand.per_second.items())
