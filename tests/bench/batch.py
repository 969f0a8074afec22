"""A batch end to end: its file and itself posted by HTTP, one worker process, an upstream that answers at once."""

import statistics
from pathlib import Path

from sqlalchemy import func, select

from shared import clock
from shared.db.models import jobs
from tests.bench.lines import file_of
from tests.bench.stack import Bench, bench
from tests.bench.table import note, row

#: All lines ask for it: what is measured is one provider's queue.
MODEL = "gpt-4"
#: The worker's connections, and every process's statements, are made by a batch before.
WARM = 2000
PARTS = ("upload", "reading", "storing", "running", "rendering", "whole")


def run(running: Bench, file: Path, count: int) -> dict[str, float]:
    """Seconds of each part of a batch; its jobs begin to run while others are still stored."""
    with running.client() as client:
        start = clock.now_micros()
        uploaded = client.upload(file)
        posted = clock.now_micros()
        id = client.create_batch(uploaded["id"])["id"]
        batch = running.await_batch(id)
        counts = client.batch(id)["request_counts"]
    assert counts == {"total": count, "completed": count, "failed": 0}, counts
    stored = running.database.read_sync(
        lambda c: c.execute(select(func.max(jobs.c.created_at)).where(jobs.c.batch_id == id)).scalar_one()
    )
    micros = {
        "upload": posted - start,
        "reading": batch["in_progress_at"] - batch["created_at"],
        "storing": stored - batch["in_progress_at"],
        "running": batch["finalizing_at"] - batch["in_progress_at"],
        "rendering": batch["completed_at"] - batch["finalizing_at"],
        "whole": batch["completed_at"] - start,
    }
    return {part: value / clock.MICROS for part, value in micros.items()}


def end_to_end(base: str, count: int, source: Path | None) -> dict[str, float]:
    """The seconds of each part, in a stack of its own."""
    with bench(base, beside=("web", "batches", "sweeper")) as running:
        with file_of(WARM, source, model=MODEL) as small, file_of(count, source, model=MODEL) as file:
            run(running, small, WARM)
            return run(running, file, count)


def batch_rows(base: str, count: int, runs: int, source: Path | None) -> None:
    """The whole, and its parts."""
    seen = [end_to_end(base, count, source) for _ in range(runs)]
    parts = {part: statistics.median(seconds[part] for seconds in seen) for part in PARTS}
    what = f"batch of {count:,} lines by HTTP, one worker process: from POST of its file to completed"
    row(what, f"{parts['whole']:.1f} s")
    row("the same, a second", f"{count / parts['whole']:,.0f} lines/s")
    note(", ".join(f"{part} {parts[part]:.1f} s" for part in PARTS[:-1]) + " (storing is part of running)")
