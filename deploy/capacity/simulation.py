"""Pure: a queueing simulation of an installation: does what the model plans hold, and what happens when it does not?

Each process, and each core of a server, does one thing at a time, in order. A job visits them as it does in the
product: web, PostgreSQL (accepted), Redis, worker, PostgreSQL (leased), worker, the provider, worker, PostgreSQL
(settled), Redis, web. Arrivals are random (Poisson), service times exponential with the measured means: harsher than
real ones. `on_this_machine` puts all of them on a few cores, as the machine was on which the costs were measured: what
it did there is known.
"""

import heapq
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from deploy.capacity.model import Cost, Plan

#: The visits of a synchronous job, and which part of its role's CPU each of them takes.
VISITS: Final[Sequence[tuple[str, float]]] = (
    ("web", 0.7),
    ("postgresql", 0.4),
    ("redis", 0.5),
    ("worker", 0.3),
    ("postgresql", 0.2),
    ("worker", 0.3),
    ("provider", 1.0),
    ("worker", 0.4),
    ("postgresql", 0.4),
    ("redis", 0.5),
    ("web", 0.3),
)


@dataclass(slots=True)
class Station:
    """A role: `servers` that each do one thing at a time; a job goes to the one that is free first."""

    servers: int
    free_at: list[float] = field(default_factory=list)
    busy: float = 0.0

    def __post_init__(self) -> None:
        self.free_at = [0.0] * self.servers

    def serve(self, at: float, seconds: float) -> float:
        """When a visit that begins to wait at `at` is over."""
        begun = max(at, heapq.heappop(self.free_at))
        heapq.heappush(self.free_at, begun + seconds)
        self.busy += seconds
        return begun + seconds


@dataclass(frozen=True, slots=True)
class Found:
    """What came of it: seconds that jobs took beyond the provider's time; of each role, how busy while jobs came."""

    p50: float
    p99: float
    busy: Mapping[str, float]


def servers_of(plan: Plan, postgresql_cores: int) -> dict[str, int]:
    """The stations of a plan, on one Redis and a PostgreSQL of so many cores."""
    return {
        "web": plan.processes["web"],
        "worker": plan.processes["worker"],
        "redis": 1,
        "postgresql": postgresql_cores,
    }


def simulate(
    cost: Cost, servers: Mapping[str, int], rate: float, jobs: int, *, provider_seconds: float = 0.5, seed: int = 1
) -> Found:
    """So many synchronous jobs that arrive at a rate, until the last has ended."""
    chance = random.Random(seed)
    stations = {role: Station(count) for role, count in servers.items()}
    arrivals = list(_arrivals(chance, rate, jobs))
    added = sorted(_added(chance, cost, stations, arrivals, provider_seconds))
    busy = {role: station.busy / (arrivals[-1] * station.servers) for role, station in stations.items()}
    return Found(added[jobs // 2], added[jobs * 99 // 100], busy)


def _arrivals(chance: random.Random, rate: float, jobs: int) -> Iterator[float]:
    at = 0.0
    for _ in range(jobs):
        at += chance.expovariate(rate)
        yield at


def _added(
    chance: random.Random,
    cost: Cost,
    stations: Mapping[str, Station],
    arrivals: Sequence[float],
    provider_seconds: float,
) -> Iterator[float]:
    """What each job took beyond its provider's time. Events are taken in the order of time."""
    #: When, which job, its next visit, and since when it is in our hands, its provider's time taken away.
    events = [(came, number, 0, came) for number, came in enumerate(arrivals)]
    heapq.heapify(events)
    while events:
        at, number, visit, since = heapq.heappop(events)
        if visit == len(VISITS):
            yield at - since
            continue
        role, part = VISITS[visit]
        if role == "provider":
            waited = provider_seconds * chance.uniform(0.5, 1.5)
            over, since = at + waited, since + waited
        else:
            over = stations[role].serve(at, chance.expovariate(1e6 / (cost.cpu_micros[role] * part)))
        heapq.heappush(events, (over, number, visit + 1, since))


def on_this_machine(cost: Cost, cores: int, clients: int, jobs: int, *, seed: int = 1) -> float:
    """Jobs a second, of clients that each ask again when answered, where all roles share the cores.

    A web process and a worker do one thing at a time; what is beside them (the clients, the provider) has its cost too.
    """
    chance = random.Random(seed)
    machine = _Machine(cores)
    for client in range(clients):
        machine.wait(client, 0)
    left = jobs
    while left:
        client, visit = machine.next_over()
        if visit == len(VISITS):
            left, visit = left - 1, 0
        machine.wait(client, visit)
        machine.begin(chance, cost)
    return jobs / machine.now


class _Machine:
    """Cores that take what waits, in order, of roles that are not at their limit."""

    #: What does one thing at a time; the others have a process for each that asks.
    ALONE: Final = ("web", "worker", "redis")

    def __init__(self, cores: int) -> None:
        self.now = 0.0
        self._cores = cores
        self._waiting: list[tuple[int, int]] = []
        self._running: list[tuple[float, int, int]] = []

    def wait(self, client: int, visit: int) -> None:
        """This client's job waits for its next visit."""
        self._waiting.append((client, visit))

    def begin(self, chance: random.Random, cost: Cost) -> None:
        """Whatever can."""
        for client, visit in list(self._waiting):
            role, part = VISITS[visit]
            busy = [VISITS[one][0] for _, _, one in self._running]
            if len(busy) == self._cores:
                return
            if role in self.ALONE and role in busy:
                continue
            self._waiting.remove((client, visit))
            micros = cost.beside_micros if role == "provider" else cost.cpu_micros[role] * part
            heapq.heappush(self._running, (self.now + chance.expovariate(1e6 / micros), client, visit))

    def next_over(self) -> tuple[int, int]:
        """The client whose visit is over next, and which visit it has now."""
        if not self._running:
            client, visit = self._waiting.pop(0)
            return client, visit
        self.now, client, visit = heapq.heappop(self._running)
        return client, visit + 1
