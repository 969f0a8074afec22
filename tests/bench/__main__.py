"""`make bench`: the product beside its ceiling and beside the obvious program, in one run; a table beside the bars.

    python -m tests.bench [--quick] [--lines FILE] [--chart FILE] [ROW…]      # all rows, or drain, waiting, slow, …

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
from typing import Final

from tests.bench import ceiling, drain, obvious
from tests.bench.backlog import backlog_rows
from tests.bench.batch import batch_rows
from tests.bench.costs import cost_rows
from tests.bench.fairness import fairness_rows
from tests.bench.frontier import frontier_rows
from tests.bench.history import history_rows
from tests.bench.hooks import hooks_rows
from tests.bench.hot import hot_rows
from tests.bench.ingestion import ingestion_rows
from tests.bench.lists import lists_rows
from tests.bench.pace import LINES as PACE_LINES
from tests.bench.pace import pace_rows
from tests.bench.profile import profile_rows
from tests.bench.streams import streams_rows
from tests.bench.sync import accept_rows, chat_rows
from tests.bench.table import medians, note, row
from tests.bench.upstream import raise_open_files, upstream
from tests.bench.waiting import crowd_rows, slow_rows, waiting_rows

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

    one, two, bare, library, plain = medians(
        runs,
        lambda: product(1),
        lambda: product(2),
        lambda: ceiling.ceiling(base, jobs_count, 1000)[0],
        lambda: ceiling.ceiling(base, jobs_count, 1000, client="library")[0],
        lambda: obvious.obvious(base, jobs_count // 5, 4),
    )
    row(f"drain {jobs_count:,} jobs, SQLite, ledger on: one worker process", f"{one:,.0f}/s")
    row("the same, two worker processes", f"{two:,.0f}/s")
    row("ceiling: the same calls by a bare loop over the same client", f"{bare:,.0f}/s")
    row("the same over pyreqwest, the quickest library", f"{library:,.0f}/s")
    row(f"obvious: one Celery task a job, 4 threads, {jobs_count // 5:,} jobs", f"{plain:,.0f}/s")
    row("two workers : ceiling", f"{two / bare:.2f}", "0.5", two / bare >= 0.5)
    row("one worker : ceiling", f"{one / bare:.2f}")
    row("two workers, one worker : pyreqwest's", f"{two / library:.2f}, {one / library:.2f}")
    row("two workers : obvious", f"{two / plain:.1f}", "6", two / plain >= 6)
    row("one worker : obvious", f"{one / plain:.1f}")
    row("messages in the broker, at most", f"{deepest}", "tens", deepest < 100)


#: What each name measures, of the upstream's address, whether it is to be quick, and a file: batch lines that are read,
#: and of the frontier the picture that is written.
ROWS: Final[dict[str, Callable[[str, bool, Path | None], None]]] = {
    "drain": lambda base, quick, _: drain_rows(base, 5000 if quick else 10_000, 1 if quick else 3),
    "waiting": lambda base, quick, _: waiting_rows(base, 5000 if quick else 60_000, 1 if quick else 3),
    "crowd": lambda base, *_: crowd_rows(base),
    "slow": lambda base, quick, _: slow_rows(base, 5000 if quick else 20_000, 1 if quick else 3),
    "ingestion": lambda base, quick, file: ingestion_rows(
        base, LINES // 5 if quick else LINES, 1 if quick else 3, file
    ),
    "batch": lambda base, quick, file: batch_rows(base, LINES // 5 if quick else LINES, 1 if quick else 3, file),
    "fairness": lambda base, quick, file: fairness_rows(base, LINES // 5 if quick else LINES, 1 if quick else 2, file),
    "backlog": lambda base, quick, _: backlog_rows(base, 100_000 if quick else 1_000_000, 10_000, 1 if quick else 3),
    "history": lambda base, quick, _: history_rows(
        base, 200_000 if quick else 10_000_000, 5000 if quick else 10_000, 4 if quick else 8, 1 if quick else 3
    ),
    "lists": lambda base, quick, _: lists_rows(100_000 if quick else 1_000_000),
    "chat": lambda base, quick, _: chat_rows(base, 3 if quick else 8, 1 if quick else 3),
    "frontier": lambda base, quick, file: frontier_rows(base, 2 if quick else 5, 1 if quick else 3, file),
    "profile": lambda base, quick, _: profile_rows(base, 5 if quick else 20),
    "accept": lambda base, quick, _: accept_rows(base, 3 if quick else 8, 1 if quick else 3),
    "pace": lambda base, quick, file: pace_rows(PACE_LINES // 5 if quick else PACE_LINES, file),
    "hot": lambda base, quick, _: hot_rows(base, 5000 if quick else 10_000, 1 if quick else 3),
    "costs": lambda base, quick, _: cost_rows(base, 4 if quick else 10, LINES // (10 if quick else 2)),
    "streams": lambda base, quick, _: streams_rows((100,) if quick else (100, 300, 1000), 5 if quick else 15),
    "hooks": lambda base, quick, _: hooks_rows(base, 4 if quick else 10, 1 if quick else 3),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="The benchmarks.")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"{', '.join(ROWS)}; without any: all of them")
    parser.add_argument("--quick", action="store_true", help="one run of each, smaller")
    parser.add_argument("--lines", type=Path, metavar="FILE", help="batch lines to use instead of made ones")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="where the frontier's picture is written, as SVG")
    given = parser.parse_args()
    if unknown := [name for name in given.rows if name not in ROWS]:
        parser.error(f"there is no row {unknown[0]!r}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what it started ends too
    raise_open_files()
    print(f"\n{machine()}\nupstream: one local server; durable SQLite (WAL, FULL) or PostgreSQL; real Redis\n")
    failed = False
    with upstream() as base:
        for name in given.rows or ROWS:
            try:
                ROWS[name](base, given.quick, given.chart if name == "frontier" else given.lines)
            except AssertionError as error:
                failed = True
                note(f"{name} could not be measured: {error}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
