"""How fast the product drains waiting jobs: durable, ledger on, one worker process, from wake to settled.

    python -m tests.bench.drain [--jobs 10000] [--path /v1] [--workers 1] [--postgresql]

The jobs are accepted with a start time a moment ahead; the clock is that time, and the last `finished_at` in the rows.
"""

import argparse
from typing import Any

from tests.bench.stack import bench
from tests.bench.upstream import raise_open_files, upstream


def drain(base: str, count: int, path: str = "/v1", *, warm: int = 2000, **how: Any) -> tuple[float, int, int]:
    """Jobs a second, the deepest broker queue in messages, the worker's peak memory in kB."""
    with bench(base, path, **how) as running:
        if warm:
            running.accept(warm)
            running.go()
            running.await_done()
        running.accept(count)
        start = running.go()
        deepest, memory = running.await_done()
        return running.rate(start, count), deepest, memory


def main() -> None:
    parser = argparse.ArgumentParser(description="What the product reaches.")
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--path", default="/v1", help="/v1, /slow/v1, /delay/<ms>/v1, /mixed/v1")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--postgresql", action="store_true")
    given = parser.parse_args()
    raise_open_files()
    with upstream() as base:
        rate, deepest, memory = drain(base, given.jobs, given.path, workers=given.workers, postgresql=given.postgresql)
    print(f"drain: {rate:,.0f} jobs/s; broker at most {deepest} messages; worker at most {memory / 1024:,.0f} MB")


if __name__ == "__main__":
    main()
