"""One account that many workers settle for, PostgreSQL: the rate at which its jobs end, with one process and with two.

    python -m tests.bench.hot [--jobs 8000] [--runs 3] [--not-durable]     # `settle` alone

Every settlement of an account takes its row's lock, so two processes can be slower than one. Measured twice over: whole
worker processes that drain waiting jobs, and `settle` alone, by processes that have their outcomes ready.
"""

import argparse
import contextlib
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from shared import clock
from shared.db import Database
from shared.db.migrations import migrate
from shared.jobs import leases
from shared.slices import slices
from tests.bench import drain
from tests.bench.settling import Figures, Settling
from tests.bench.stack import accepted, open_customer
from tests.bench.table import in_turn, note, row
from tests.servers import PostgresServer
from workers.running import lease
from workers.running.settler import MOST

#: What two processes are to settle of one account's jobs, in jobs a second.
BAR = 1500
JOBS = 8000


@dataclass(frozen=True, slots=True)
class Run:
    """What a run of `settled` came to: jobs a second, and what each process measured of itself."""

    rate: float
    figures: Sequence[Figures]

    def __str__(self) -> str:
        of = Figures.mean(self.figures)
        return (
            f"{self.rate:,.0f}/s; {of.cpu_micros:.0f} us of CPU a job, {of.statements:.0f} statements a transaction, "
            f"the account's row locked for {of.locked_millis:.1f} ms of {of.millis:.1f}"
        )


def hot_rows(base: str, jobs_count: int, runs: int) -> None:
    """Workers, and `settle` alone, with one process and with two."""
    seen = in_turn(
        runs,
        lambda: drain.drain(base, jobs_count, postgresql=True)[0],
        lambda: drain.drain(base, jobs_count, postgresql=True, workers=2)[0],
    )
    one, two = map(statistics.median, seen)
    row(f"one account, {jobs_count:,} jobs, PostgreSQL: one worker process", f"{one:,.0f}/s")
    row("the same, two worker processes", f"{two:,.0f}/s", f"{BAR:,}", two >= BAR)
    row("two : one", f"{two / one:.2f}", "1", two >= one)
    settling_rows(jobs_count, runs)


def settling_rows(jobs_count: int, runs: int, *, durable: bool = True) -> None:
    """`settle` alone."""
    for count, column in zip((1, 2), in_turn(runs, *(_run(jobs_count, n, durable) for n in (1, 2))), strict=True):
        middle = sorted(column, key=lambda one: one.rate)[len(column) // 2]
        row(f"its outcomes settled by {count} process{'es' * (count > 1)}, {MOST} at once", f"{middle.rate:,.0f}/s")
        note(str(middle))


def _run(jobs_count: int, processes: int, durable: bool) -> Callable[[], Run]:
    return lambda: settled(jobs_count, processes, durable=durable)


def settled(count: int, processes: int, *, durable: bool = True) -> Run:
    """The jobs of one account, settled by processes that have the outcomes ready, MOST at a time."""
    with _database(durable) as url, contextlib.closing(Database(url)) as database, contextlib.ExitStack() as stack:
        names = [f"wrk_{number}" for number in range(processes)]
        _hand_out(database, count // processes, names)
        settlers = [stack.enter_context(Settling.started(url, name)) for name in names]
        began = clock.monotonic()
        for one in settlers:
            one.go()
        figures = [one.figures() for one in settlers]
        return Run(count / (clock.monotonic() - began), figures)


def _hand_out(database: Database, each: int, names: Sequence[str]) -> None:
    """Accept as many jobs for each worker, of one account, and lease them to it."""
    owner = database.write_sync(open_customer)
    for name in names:
        rows = accepted(database, owner.holder, each)
        database.write_sync(lease.register, name, False)
        for some in slices([one["id"] for one in rows], MOST):
            assert len(database.write_sync(leases.lease, name, {rows[0]["queue"]: some})) == len(some)


@contextlib.contextmanager
def _database(durable: bool) -> Iterator[str]:
    postgres = PostgresServer(durable=durable)
    try:
        url = postgres.database()
        migrate(url)
        yield url
    finally:
        postgres.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description="What `settle` reaches for one account.")
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--not-durable", action="store_true", help="as the tests have PostgreSQL: no fsync")
    given = parser.parse_args()
    settling_rows(given.jobs, given.runs, durable=not given.not_durable)


if __name__ == "__main__":
    main()
