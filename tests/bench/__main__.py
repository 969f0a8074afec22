"""`make bench`: the product beside its ceiling and beside the obvious program, in one run; a table of ratios.

    python -m tests.bench [--quick]

Absolute rates drift with the machine; runs alternate and the ratio of their medians is what counts.
"""

import argparse
import os
import platform
import statistics
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from shared import clock
from shared.models import job_payloads, jobs
from tests.bench import ceiling, drain, obvious
from tests.bench.upstream import raise_open_files, upstream

IN_FLIGHT = 2000
SLOW_EVERY = 100
MARKER = "slow-30s"


def machine() -> str:
    """What it was measured on."""
    model = "unknown processor"
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"{os.cpu_count()} cores ({model}), Python {platform.python_version()}, {platform.system()}"


def medians(runs: int, *measures: Callable[[], float]) -> list[float]:
    """Each measure `runs` times, in turn, so that a drifting machine meets all alike."""
    seen = [[measure() for measure in measures] for _ in range(runs)]
    return [statistics.median(column) for column in zip(*seen, strict=True)]


def row(what: str, value: str, bar: str) -> None:
    print(f"  {what:<74} {value:>22}   bar {bar}", flush=True)


def drain_rows(base: str, jobs_count: int, runs: int) -> None:
    """0 s upstream: the product with one and two workers, the ceiling, the obvious program."""
    deepest = 0

    def product(workers: int) -> float:
        nonlocal deepest
        rate, deep, _ = drain.drain(base, jobs_count, workers=workers)
        deepest = max(deepest, deep)
        return rate

    one, two, bare, plain = medians(
        runs,
        lambda: product(1),
        lambda: product(2),
        lambda: ceiling.ceiling(base, jobs_count, 1000)[0],
        lambda: obvious.obvious(base, jobs_count // 5, 4),
    )
    row(f"drain {jobs_count:,} jobs, SQLite, ledger on: one worker process", f"{one:,.0f}/s", "1,500/s")
    row("the same, two worker processes", f"{two:,.0f}/s", "1,500/s")
    row("ceiling: the same calls by a bare loop over the same client", f"{bare:,.0f}/s", "")
    row(f"obvious: one Celery task a job, 4 threads, {jobs_count // 5:,} jobs", f"{plain:,.0f}/s", "")
    row("two workers : ceiling", f"{two / bare:.2f}", "0.5")
    row("one worker : ceiling", f"{one / bare:.2f}", "")
    row("two workers : obvious", f"{two / plain:.1f}", "6")
    row("one worker : obvious", f"{one / plain:.1f}", "")
    row("messages in the broker, at most", f"{deepest}", "tens")


def waiting_rows(base: str, jobs_count: int) -> None:
    """0.5 s upstream: one worker process at 2,000 in flight, and 5,000 in flight for its memory."""
    rate, _, _ = drain.drain(base, jobs_count, "/slow/v1", warm=IN_FLIGHT)
    ideal = IN_FLIGHT / 0.5
    row("0.5 s upstream, one worker, 2,000 in flight: rate : (in flight / 0.5 s)", f"{rate / ideal:.2f}", "0.5")
    _, _, memory = drain.drain(base, 15_000, "/slow/v1", warm=5000, FUSIONAI_SLOTS_BATCH="5000")
    row("0.5 s upstream, one worker, 5,000 in flight: peak memory", f"{memory / 1024:,.0f} MB", "400 MB")


def slow_job_row(base: str, jobs_count: int) -> None:
    """One job in a hundred takes 30 s, the rest 0.5 s: what it does to the rest, but for the slots they hold."""
    fast_alone, _, _ = drain.drain(base, jobs_count, "/mixed/v1", warm=IN_FLIGHT)
    with drain.bench(base, "/mixed/v1") as running:
        running.accept(IN_FLIGHT)
        running.go()
        running.await_done()
        running.accept(jobs_count, marker=MARKER, every=SLOW_EVERY)
        start = running.go()
        running.await_done()
        fast, last = running.database.read_sync(_fast_ones, start)
    rate = fast / ((last - start) / clock.MICROS)
    slots_left = 1 - min(jobs_count // SLOW_EVERY, IN_FLIGHT) / IN_FLIGHT
    row(f"1 job in {SLOW_EVERY} takes 30 s, the rest 0.5 s, 2,000 slots: the rest's rate", f"{rate:,.0f}/s", "")
    row("that : the rate without slow ones, less their slots", f"{rate / fast_alone / slots_left:.2f}", "0.9")


def _fast_ones(connection: Any, start: int) -> tuple[int, int]:
    """How many of the last run's jobs were not slow, and when the last of them ended."""
    statement = (
        select(func.count(), func.max(jobs.c.finished_at))
        .join(job_payloads, job_payloads.c.job_id == jobs.c.id)
        .where(jobs.c.run_at == start, ~job_payloads.c.request.contains(MARKER))
    )
    count, last = connection.execute(statement).one()
    return int(count), int(last)


def main() -> None:
    parser = argparse.ArgumentParser(description="The benchmarks.")
    parser.add_argument("--quick", action="store_true", help="one run of each, smaller")
    quick = parser.parse_args().quick
    raise_open_files()
    print(f"\n{machine()}\nupstream: one local server; durable SQLite (WAL, synchronous FULL), real Redis\n")
    with upstream() as base:
        drain_rows(base, 5000 if quick else 10_000, 1 if quick else 3)
        waiting_rows(base, 8000 if quick else 20_000)
        slow_job_row(base, 5000 if quick else 20_000)


if __name__ == "__main__":
    main()
