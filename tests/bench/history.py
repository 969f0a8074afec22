"""History: whether ten million jobs that have ended slow the drain, or synchronous calls.

    python -m tests.bench.history [--rows 10000000] [--jobs 10000] [--seconds 8] [--runs 3]

The history is some jobs that were run, copied: rows, payloads, results and transfers, of the account that is measured,
with ids as of long ago, which the copies' numbers begin. Beside it a database without one is measured, in turn.
"""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import Connection, Table, func, select, text

from shared import clock
from shared.accounts import set_requests_per_minute
from shared.db import models as m
from shared.money.plans import MOST_REQUESTS_PER_MINUTE
from tests.bench.load import load
from tests.bench.peers import CHAT
from tests.bench.stack import Bench, Customer, bench, temporary_directory
from tests.bench.table import in_turn, note, row
from tests.bench.upstream import raise_open_files, upstream

#: Of the rate without a history, as much is to be left.
BAR = 0.95
#: Jobs that are run to be copied, and how often all of them are, in one transaction.
SEEDS, COPIES = 500, 100
CLIENTS = 16
WARM, WARM_SECONDS = 2000, 2
#: What is copied, each with the columns that have the id of a row of it, or of its job.
COPIED: tuple[tuple[Table, str, Sequence[str]], ...] = (
    (m.jobs, "id", ("id",)),
    (m.job_payloads, "job_id", ("job_id",)),
    (m.job_results, "job_id", ("job_id",)),
    (m.transfers, "subject_id", ("id", "subject_id")),
)


@dataclass(frozen=True, slots=True)
class Place:
    """A database and whose jobs are in it."""

    directory: Path
    customer: Customer


@contextmanager
def place(base: str, rows: int) -> Iterator[Place]:
    """A database with that many jobs that have ended."""
    with temporary_directory() as name:
        directory = Path(name)
        with bench(base, directory=directory, check=False) as running:
            running.database.write_sync(
                set_requests_per_minute, running.customer.holder.account_id, MOST_REQUESTS_PER_MINUTE
            )
            _drain(running, running.customer, SEEDS)
            customer = running.customer
        with bench(base, workers=0, beside=(), directory=directory, check=False) as running:
            fill(running, rows)
        yield Place(directory, customer)


def fill(running: Bench, rows: int) -> None:
    """Copy what has ended until there are so many jobs."""
    for begun in range(1, rows // SEEDS, COPIES):
        last = min(begun + COPIES, rows // SEEDS)
        running.database.write_sync(_copy, begun, last)


def _copy(connection: Connection, begun: int, last: int) -> None:
    for table, of_job, ids in COPIED:
        columns = [column.name for column in table.columns]
        # An id begins with its time; that of a copy begins with its number, so that it is older than any.
        new = [_copied(name) if name in ids else f"seed.{name}" for name in columns]
        connection.execute(
            text(
                "WITH RECURSIVE copy(number) AS"
                " (SELECT :begun UNION ALL SELECT number + 1 FROM copy WHERE number + 1 < :last)"
                f" INSERT INTO {table.name} ({', '.join(columns)}) SELECT {', '.join(new)} FROM copy"
                f" CROSS JOIN (SELECT * FROM {table.name} WHERE {of_job} >= 'job_01' AND {of_job} < 'job_1') AS seed"
            ),
            {"begun": begun, "last": last},
        )


def _copied(name: str) -> str:
    """An id with the number in the place of its first eight digits."""
    start = f"instr(seed.{name}, '_')"
    return f"substr(seed.{name}, 1, {start}) || printf('%08x', copy.number) || substr(seed.{name}, {start} + 9)"


def _drain(running: Bench, customer: Customer, count: int) -> float:
    """Jobs a second, from the common start to the last end."""
    running.accept(count, customer=customer)
    start = running.go()
    running.await_done()
    own = m.jobs.c.account_id == customer.holder.account_id, ~m.jobs.c.test, m.jobs.c.finished_at >= start
    last: int = running.database.read_sync(
        lambda c: c.execute(select(func.max(m.jobs.c.finished_at)).where(*own)).scalar_one()
    )
    return count / ((last - start) / clock.MICROS)


def rates(base: str, at: Place, count: int, seconds: int) -> tuple[float, float]:
    """Jobs drained a second, and synchronous chats a second."""
    with bench(base, beside=("web", "sweeper"), directory=at.directory, check=False) as running:
        _drain(running, at.customer, WARM)
        drained = _drain(running, at.customer, count)
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {at.customer.key}"}
        url = f"{running.web}/v1/chat/completions"
        load(url, headers, CHAT, CLIENTS, WARM_SECONDS)
        answered = load(url, headers, CHAT, CLIENTS, seconds)
        return drained, answered.per_second


def history_rows(base: str, rows: int, count: int, seconds: int, runs: int) -> None:
    """Both rates without a history and with one, in turn."""
    with place(base, SEEDS) as without:
        began = clock.monotonic()
        with place(base, rows) as old:
            made, size = clock.monotonic() - began, _size_gb(old.directory)
            found = in_turn(
                runs, lambda: rates(base, without, count, seconds), lambda: rates(base, old, count, seconds)
            )
    for at, what in enumerate(("drain", f"synchronous chat, {CLIENTS} clients")):
        plain, with_history = (median(pair[at] for pair in column) for column in found)
        row(f"{what}, no history; {rows:,} jobs of history", f"{plain:,.0f}/s; {with_history:,.0f}/s")
        row("that : the rate without", f"{with_history / plain:.2f}", f"{BAR:g}", with_history / plain >= BAR)
    note(f"{rows:,} jobs that have ended: {size:.1f} GB of database, made in {made:.0f} s")


def _size_gb(directory: Path) -> float:
    return sum(file.stat().st_size for file in directory.glob("bench.sqlite3*")) / 1e9


def main() -> None:
    parser: Any = argparse.ArgumentParser(description="Rates beside a long history.")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    raise_open_files()
    with upstream() as base:
        history_rows(base, given.rows, given.jobs, given.seconds, given.runs)


if __name__ == "__main__":
    main()
