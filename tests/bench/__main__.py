"""`make bench`: the product beside its ceiling and beside the obvious program, in one run; a table beside the bars.

    python -m tests.bench [--quick] [--lines FILE] [ROW…]      # all rows, or drain, waiting, slow, ingestion, …

Absolute rates drift with the machine; runs alternate and the ratio of their medians is what counts.
"""

import argparse
import os
import platform
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from sqlalchemy import func, select

from shared import clock
from shared.db.models import job_payloads, jobs
from tests.bench import ceiling, drain, obvious
from tests.bench.backlog import backlog_rows
from tests.bench.batch import batch_rows
from tests.bench.fairness import fairness_rows
from tests.bench.hooks import hooks_rows
from tests.bench.ingestion import ingestion_rows
from tests.bench.pace import LINES as PACE_LINES
from tests.bench.pace import pace_rows
from tests.bench.stack import bench
from tests.bench.sync import accept_rows, chat_rows
from tests.bench.table import medians, note, row
from tests.bench.upstream import raise_open_files, upstream

IN_FLIGHT = 2000
SLOW_EVERY = 100
MARKER = "slow-30s"
LINES = 50_000


def machine() -> str:
    """What it was measured on."""
    model = "unknown processor"
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"{os.cpu_count()} cores ({model}), Python {platform.python_version()}, {platform.system()}"


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
    row(f"drain {jobs_count:,} jobs, SQLite, ledger on: one worker process", f"{one:,.0f}/s")
    row("the same, two worker processes", f"{two:,.0f}/s")
    row("ceiling: the same calls by a bare loop over the same client", f"{bare:,.0f}/s")
    row(f"obvious: one Celery task a job, 4 threads, {jobs_count // 5:,} jobs", f"{plain:,.0f}/s")
    row("two workers : ceiling", f"{two / bare:.2f}", "0.5", two / bare >= 0.5)
    row("one worker : ceiling", f"{one / bare:.2f}")
    row("two workers : obvious", f"{two / plain:.1f}", "6", two / plain >= 6)
    row("one worker : obvious", f"{one / plain:.1f}")
    row("messages in the broker, at most", f"{deepest}", "tens", deepest < 100)


def waiting_rows(base: str, jobs_count: int) -> None:
    """0.5 s upstream: one worker process at 2,000 in flight, and 5,000 in flight for its memory."""
    rate, _, _ = drain.drain(base, jobs_count, "/slow/v1", warm=IN_FLIGHT)
    part = rate / (IN_FLIGHT / 0.5)
    row("0.5 s upstream, one worker, 2,000 in flight: rate : (in flight / 0.5 s)", f"{part:.2f}", "0.5", part >= 0.5)
    _, _, memory_kb = drain.drain(base, 15_000, "/slow/v1", warm=5000, FUSIONAI_SLOTS_BATCH="5000")
    memory = memory_kb / 1024
    row("0.5 s upstream, one worker, 5,000 in flight: peak memory", f"{memory:,.0f} MB", "400 MB", memory < 400)


def slow_job_row(base: str, jobs_count: int) -> None:
    """One job in a hundred takes 30 s, the rest 0.5 s: what it does to the rest, but for the slots they hold."""
    fast_alone, _, _ = drain.drain(base, jobs_count, "/mixed/v1", warm=IN_FLIGHT)
    with bench(base, "/mixed/v1") as running:
        running.accept(IN_FLIGHT)
        running.go()
        running.await_done()
        running.accept(jobs_count, marker=MARKER, every=SLOW_EVERY)
        start = running.go()
        running.await_done()
        fast, last = running.database.read_sync(_fast_ones, start)
    rate = fast / ((last - start) / clock.MICROS)
    slots_left = 1 - min(jobs_count // SLOW_EVERY, IN_FLIGHT) / IN_FLIGHT
    part = rate / fast_alone / slots_left
    row(f"1 job in {SLOW_EVERY} takes 30 s, the rest 0.5 s, 2,000 slots: the rest's rate", f"{rate:,.0f}/s")
    row("that : the rate without slow ones, less their slots", f"{part:.2f}", "0.9", part >= 0.9)


def _fast_ones(connection: Any, start: int) -> tuple[int, int]:
    """How many of the last run's jobs were not slow, and when the last of them ended."""
    statement = (
        select(func.count(), func.max(jobs.c.finished_at))
        .join(job_payloads, job_payloads.c.job_id == jobs.c.id)
        .where(jobs.c.run_at == start, ~job_payloads.c.request.contains(MARKER))
    )
    count, last = connection.execute(statement).one()
    return int(count), int(last)


#: What each name measures, of the upstream's address, whether it is to be quick, and a file of batch lines.
ROWS: Final[dict[str, Callable[[str, bool, Path | None], None]]] = {
    "drain": lambda base, quick, _: drain_rows(base, 5000 if quick else 10_000, 1 if quick else 3),
    "waiting": lambda base, quick, _: waiting_rows(base, 8000 if quick else 20_000),
    "slow": lambda base, quick, _: slow_job_row(base, 5000 if quick else 20_000),
    "ingestion": lambda base, quick, file: ingestion_rows(
        base, LINES // 5 if quick else LINES, 1 if quick else 3, file
    ),
    "batch": lambda base, quick, file: batch_rows(base, LINES // 5 if quick else LINES, 1 if quick else 3, file),
    "fairness": lambda base, quick, file: fairness_rows(base, LINES // 5 if quick else LINES, 1 if quick else 2, file),
    "backlog": lambda base, quick, _: backlog_rows(base, 100_000 if quick else 1_000_000, 10_000, 1 if quick else 3),
    "chat": lambda base, quick, _: chat_rows(base, 3 if quick else 8, 1 if quick else 3),
    "accept": lambda base, quick, _: accept_rows(base, 3 if quick else 8, 1 if quick else 3),
    "pace": lambda base, quick, file: pace_rows(PACE_LINES // 5 if quick else PACE_LINES, file),
    "hooks": lambda base, quick, _: hooks_rows(base, 4 if quick else 10, 1 if quick else 3),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="The benchmarks.")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"{', '.join(ROWS)}; without any: all of them")
    parser.add_argument("--quick", action="store_true", help="one run of each, smaller")
    parser.add_argument("--lines", type=Path, metavar="FILE", help="batch lines to use instead of made ones")
    given = parser.parse_args()
    if unknown := [name for name in given.rows if name not in ROWS]:
        parser.error(f"there is no row {unknown[0]!r}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what it started ends too
    raise_open_files()
    print(f"\n{machine()}\nupstream: one local server; durable SQLite (WAL, synchronous FULL), real Redis\n")
    failed = False
    with upstream() as base:
        for name in given.rows or ROWS:
            try:
                ROWS[name](base, given.quick, given.lines)
            except AssertionError as error:
                failed = True
                note(f"{name} could not be measured: {error}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
