"""What a job costs: CPU of each process, bytes and statements of the database, commands of Redis; PostgreSQL, durable.

    python -m tests.bench.costs [--seconds 10] [--lines 20000]      # deploy/capacity/costs.toml, anew

CPU by process is what scales: rates of one machine say little about another number of machines.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import redis
from sqlalchemy import func, select, text

from deploy.capacity.model import Cost
from shared import clock
from shared.accounts import set_requests_per_minute
from shared.db.models import jobs
from shared.money.plans import MOST_REQUESTS_PER_MINUTE
from tests.bench import batch, cpu
from tests.bench.contenders import JSON
from tests.bench.lines import file_of
from tests.bench.load import load
from tests.bench.peers import CHAT
from tests.bench.stack import Bench, bench
from tests.bench.sync import JOB
from tests.bench.table import note, row
from tests.bench.upstream import raise_open_files, upstream

ROLES = ("web", "worker", "batches", "sweeper", "redis", "postgresql")
CLIENTS = 16
#: Of each way of submitting, before it is measured: connections and statements are made by then.
WARM_SECONDS, WARM_LINES = 3, 2000


@dataclass(frozen=True, slots=True)
class Reading:
    """What has been used so far."""

    cpu_seconds: Mapping[str, float]
    wal_bytes: int
    stored_bytes: int
    transactions: int
    redis_commands: int
    jobs: int
    at: float
    #: CPU of everything that runs here.
    machine_seconds: float

    def cores_since(self, before: "Reading") -> dict[str, float]:
        """How many cores each role has used since then."""
        seconds = self.at - before.at
        return {role: (self.cpu_seconds[role] - before.cpu_seconds[role]) / seconds for role in ROLES}

    def costs_since(self, before: "Reading", idle: Mapping[str, float], per_second: float) -> Cost:
        """Of each job that came between two readings, beside what the processes use in any case (`idle`, in cores)."""
        count, seconds = self.jobs - before.jobs, self.at - before.at
        assert count, "there was no job"
        cores = self.cores_since(before)
        cpu = {role: max(0.0, cores[role] - idle[role]) * seconds / count * 1e6 for role in ROLES}
        each = (
            (getattr(self, name) - getattr(before, name)) / count
            for name in ("wal_bytes", "stored_bytes", "transactions", "redis_commands")
        )
        beside = (self.machine_seconds - before.machine_seconds - sum(cores.values()) * seconds) / count * 1e6
        return Cost(cpu, max(0.0, beside), *each, per_second)


def said(cost: Cost) -> str:
    """A cost in a line."""
    cpu = ", ".join(f"{role} {micros:.0f}" for role, micros in cost.cpu_micros.items())
    return (
        f"CPU in µs: {cpu}, beside them {cost.beside_micros:.0f}; {cost.wal_bytes / 1000:.1f} kB of log, "
        f"{cost.stored_bytes / 1000:.1f} kB stored, "
        f"{cost.transactions:.2f} transactions, {cost.redis_commands:.1f} Redis commands; {cost.per_second:,.0f}/s"
    )


def toml(name: str, cost: Cost) -> str:
    """A cost as a table of costs.toml."""
    cpu = ", ".join(f"{role} = {micros:.0f}" for role, micros in cost.cpu_micros.items())
    return (
        f"[{name}]\ncpu_micros = {{ {cpu} }}\nbeside_micros = {cost.beside_micros:.0f}\n"
        f"wal_bytes = {cost.wal_bytes:.0f}\nstored_bytes = {cost.stored_bytes:.0f}\n"
        f"transactions = {cost.transactions:.2f}\nredis_commands = {cost.redis_commands:.2f}\n"
        f"per_second = {cost.per_second:.0f}\n"
    )


def cost_rows(base: str, seconds: int, lines: int) -> None:
    """Synchronous calls, single jobs, and the lines of a batch."""
    idle, costs = measured(base, seconds, lines)
    row("CPU of all processes that have nothing to do", f"{sum(idle.values()):.3f} cores")
    note(", ".join(f"{role} {cores:.3f}" for role, cores in idle.items()))
    for name, found in costs.items():
        row(f"what a job costs, {name}: CPU of all processes", f"{sum(found.cpu_micros.values()):,.0f} us")
        note(said(found))


def measured(base: str, seconds: int, lines: int) -> tuple[dict[str, float], dict[str, Cost]]:
    """What each role uses when there is nothing to do, in cores; the costs by way of submitting."""
    found = {}
    with bench(base, beside=("web", "batches", "sweeper"), postgresql=True) as running:
        ways = _ways(running, seconds, lines)
        for submit in ways.values():
            submit(True)
        before = _reading(running)
        Event().wait(seconds)  # how long is what is measured
        idle = _reading(running).cores_since(before)
        for name, submit in ways.items():
            before = _reading(running)
            rate = submit(False)
            found[name] = _reading(running).costs_since(before, idle, rate)
    return idle, found


def _ways(running: Bench, seconds: int, lines: int) -> dict[str, Callable[[bool], float]]:
    """Of each way what submits by it, until all is done, and how many a second; True: a little, to warm up."""
    customer = running.customer
    running.database.write_sync(set_requests_per_minute, customer.holder.account_id, MOST_REQUESTS_PER_MINUTE)
    headers = {**JSON, "Authorization": f"Bearer {customer.key}"}

    def post(path: str, body: bytes, status: int, warm: bool) -> float:
        taken = WARM_SECONDS if warm else seconds
        done = load(f"{running.web}{path}", headers, body, CLIENTS, taken, status=status)
        assert done.good and not done.refused and not done.broken, done
        running.await_done()
        return done.per_second

    def submit_batch(warm: bool) -> float:
        count = WARM_LINES if warm else lines
        with file_of(count, None, model=batch.MODEL) as file:
            return count / batch.run(running, file, count)["whole"]

    return {
        "synchronous": lambda warm: post("/v1/chat/completions", CHAT, 200, warm),
        "jobs": lambda warm: post("/v1/jobs", JOB, 202, warm),
        "batch": submit_batch,
    }


def _reading(running: Bench) -> Reading:
    with redis.Redis(port=running.redis.port) as broker:
        info: dict[str, Any] = broker.info()

    def read(connection: Any) -> tuple[str, int, int, int, int]:
        connection.execute(text("SELECT pg_stat_force_next_flush()"))
        return (
            connection.execute(text("SHOW data_directory")).scalar_one(),
            int(connection.execute(text("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')")).scalar_one()),
            connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one(),
            connection.execute(
                text("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")
            ).scalar_one(),
            connection.execute(select(func.count()).select_from(jobs)).scalar_one(),
        )

    directory, *counts, count = running.database.read_sync(read)
    postmaster = int(Path(directory, "postmaster.pid").read_text().splitlines()[0])
    of_role = {
        "web": running.cpu_seconds("web"),
        "worker": running.cpu_seconds("worker0"),
        "batches": running.cpu_seconds("batches"),
        "sweeper": running.cpu_seconds("sweeper"),
        "redis": info["used_cpu_user"] + info["used_cpu_sys"],
    } | cpu.families({"postgresql": postmaster})
    return Reading(of_role, *counts, info["total_commands_processed"], count, clock.monotonic(), cpu.machine_seconds())


def main() -> None:
    parser = argparse.ArgumentParser(description="What a job costs.")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--lines", type=int, default=20_000)
    given = parser.parse_args()
    raise_open_files()
    with upstream() as base:
        idle, costs = measured(base, given.seconds, given.lines)
    print("[idle_cores]\n" + "".join(f"{role} = {cores:.3f}\n" for role, cores in idle.items()))
    print("\n".join(toml(name, found) for name, found in costs.items()), end="")


if __name__ == "__main__":
    main()
