"""Ingestion: lines of a batch's file validated, priced and stored as jobs a second, by the real batches process.

The clock runs from the batch row, `validating`, to the commit of its last job; nothing else runs meanwhile.
"""

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared import clock
from tests.bench.lines import file_of
from tests.bench.stack import Bench, batch_row, bench
from tests.bench.table import in_turn, note, row

BAR_PER_SECOND = 20_000
#: Between two looks at the batch: the error of the end, in seconds.
LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Taken:
    """Seconds that a batch took."""

    lines: int
    reading: float
    storing: float

    @property
    def rate(self) -> float:
        return self.lines / (self.reading + self.storing)


def take(running: Bench, file: Path, count: int) -> Taken:
    """Have a file taken by a stack's batches process."""
    with running.client() as client:
        id = client.create_batch(client.upload(file)["id"])["id"]

    def stored(connection: Any) -> dict[str, Any] | None:
        batch = batch_row(connection, id)
        assert batch["status"] in ("validating", "in_progress"), batch["errors"]
        return batch if batch["released"] == count else None

    batch = running.until(stored, look=LOOK_SECONDS)
    end = clock.now_micros()
    begun = batch["in_progress_at"]
    return Taken(count, (begun - batch["created_at"]) / clock.MICROS, (end - begun) / clock.MICROS)


def ingest(base: str, count: int, source: Path | None, *, postgresql: bool) -> Taken:
    """Have `count` lines taken by a stack of its own, warmed up by as many: the first file starts the readers."""
    with bench(base, workers=0, beside=("web", "batches"), postgresql=postgresql) as running:
        with file_of(count, source) as file:
            take(running, file, count)
            return take(running, file, count)


def ingestion_rows(base: str, count: int, runs: int, source: Path | None) -> None:
    """Durable SQLite and PostgreSQL, in turn."""
    seen = in_turn(runs, *(lambda on=on: ingest(base, count, source, postgresql=on) for on in (False, True)))
    for name, takes in zip(("SQLite", "PostgreSQL"), seen, strict=True):
        rate = statistics.median(taken.rate for taken in takes)
        reading, storing = (
            statistics.median(getattr(taken, part) / count * clock.MICROS for taken in takes)
            for part in ("reading", "storing")
        )
        what = f"ingestion, {name}: {count:,} lines read, priced and stored"
        row(what, f"{rate:,.0f}/s", f"{BAR_PER_SECOND:,}/s", rate >= BAR_PER_SECOND)
        note(f"a line: {reading:.0f} µs of reading, {storing:.0f} µs of storing")
