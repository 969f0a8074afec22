"""Backlog: whether a million waiting jobs slow the drain, beside ten thousand; as many jobs drained of each.

They wait as lines of batches, whose rows are made as the batches process makes them. The large database is filled
once and drained from in every run; the small one is new each time. At the end of every run that many still wait.
"""

import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import func, insert, select

from shared import clock
from shared.batches import transitions
from shared.batches.transitions import Plan
from shared.db import models as m
from shared.submissions import rows
from shared.submissions.rows import Owner
from tests.bench.stack import Bench, bench, priced, temporary_directory
from tests.bench.table import in_turn, note, row

BAR = 0.9
FEW = 10_000
LINES_OF_A_BATCH = 50_000
CHUNK = 500
#: Jobs that end before the clock starts; and those a worker may have taken when it stops.
WARM, TAKEN = 2000, 4000
LOOK_SECONDS = 0.01


def fill(running: Bench, count: int) -> None:
    """Have `count` jobs wait, each batch's one hold taken and its jobs released as ever."""
    holder, one = running.customer.holder, priced()
    for begun in range(0, count, LINES_OF_A_BATCH):
        total = min(LINES_OF_A_BATCH, count - begun)
        owner = Owner(holder.account_id, holder.key_id, False, batch_id=running.database.write_sync(_new, holder))
        plan = Plan("none", total, total * one.bound_micros, one.model)
        running.database.write_sync(transitions.begin, owner.batch_id, plan)  # type: ignore[arg-type]
        for start in range(0, total, CHUNK):
            numbers = range(start, min(start + CHUNK, total))
            made = [rows.rows(owner, replace(one, custom_id=f"line-{number}")) for number in numbers]
            lines = (start, start + len(made))
            assert running.database.write_sync(transitions.release, owner.batch_id, lines, made)  # type: ignore[arg-type]


def _new(connection: Any, holder: Any) -> str:
    now = clock.now_micros()
    values = {
        "id": clock.new_id("batch"),
        "account_id": holder.account_id,
        "key_id": holder.key_id,
        "test": False,
        "status": "validating",
        "input_file_id": "none",
        "completion_window": "24h",
        "created_at": now,
        "expires_at": now + 86_400 * clock.MICROS,
    }
    connection.execute(insert(m.batches), [values])
    return str(values["id"])


def drain(running: Bench, count: int) -> float:
    """Jobs a second, over `count` jobs after those that warm the worker up; then nothing is leased any more."""
    before, began = _reached(running, running.database.read_sync(_ended) + WARM)
    after, ended = _reached(running, before + count)
    running.stop("worker0")
    return (after - before) / (ended - began)


def _reached(running: Bench, wanted: int) -> tuple[int, float]:
    """How many jobs have ended once it is as many as wanted, and when."""

    def ended(connection: Any) -> int | None:
        there = _ended(connection)
        return there if there >= wanted else None

    return running.until(ended, look=LOOK_SECONDS) or 0, clock.monotonic()


def _ended(connection: Any) -> int:
    return int(connection.execute(select(func.coalesce(func.sum(m.batches.c.succeeded), 0))).scalar_one())


def _size_mb(place: Path) -> float:
    return sum(file.stat().st_size for file in place.glob("bench.sqlite3*")) / 1e6


def backlog_rows(base: str, many: int, count: int, runs: int) -> None:
    """Both rates, in turn, and their ratio."""
    each = WARM + count + TAKEN
    with temporary_directory() as name:
        place, began = Path(name), clock.monotonic()
        with bench(base, workers=0, beside=(), directory=place, check=False) as running:
            fill(running, many + runs * each)
        filled = clock.monotonic() - began

        def deep() -> float:
            with bench(base, directory=place, check=False) as running:
                return drain(running, count)

        rates = in_turn(runs, lambda: shallow(base, count), deep)
        size = _size_mb(place)
    few, lots = (statistics.median(column) for column in rates)
    row(f"drain of {count:,} jobs, {FEW:,} more waiting", f"{few:,.0f}/s")
    row(f"the same, {many:,} more waiting", f"{lots:,.0f}/s")
    row("that : the rate with few", f"{lots / few:.2f}", f"{BAR:g}", lots / few >= BAR)
    note(f"{many:,} jobs waiting: {size:,.0f} MB of database, made in {filled:.0f} s")


def shallow(base: str, count: int) -> float:
    """The rate with few jobs waiting, in a stack of its own, verified."""
    with temporary_directory() as name:
        with bench(base, workers=0, beside=(), directory=Path(name), check=False) as running:
            fill(running, FEW + WARM + count + TAKEN)
        with bench(base, directory=Path(name)) as running:
            return drain(running, count)
