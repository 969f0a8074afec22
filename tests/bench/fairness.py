"""Fairness: how long a batch of two lines takes alone, and behind another account's 50,000 that are under way.

The large one is in all of its stages meanwhile: read, stored, run, rendered. The upstream answers after 0.2 s.
"""

import statistics
import threading
from pathlib import Path

from shared import clock
from tests.bench.lines import file_of
from tests.bench.stack import BODY, Bench, Customer, batch_row, bench
from tests.bench.table import note, row

BAR_SECONDS = 3.0
PATH = "/delay/200/v1"
MODEL = "gpt-4"
#: Submissions of the small batch alone, and the pause between two, in seconds: while the large one is under way it is
#: submitted over and over.
ALONE, PAUSE_SECONDS = 5, 1.0
SMALL = [{"custom_id": name, "url": "/v1/chat/completions", "body": BODY} for name in ("first", "second")]


def small(running: Bench, customer: Customer) -> float:
    """Seconds from the request to the end of a batch of two lines."""
    with running.client(customer) as client:
        start = clock.now_micros()
        id = client.create_batch(requests=SMALL)["id"]
    batch = running.await_batch(id, look=0.02)
    return float(batch["completed_at"] - start) / clock.MICROS


def compare(base: str, count: int, source: Path | None) -> tuple[list[float], list[float]]:
    """Seconds of each small batch alone, and of each that was submitted before the large one was over."""
    with bench(base, PATH, beside=("web", "batches", "sweeper")) as running, running.client() as client:
        other, pause = running.open_account(), threading.Event()
        small(running, other)
        alone = []
        for _ in range(ALONE):
            alone.append(small(running, other))
            pause.wait(PAUSE_SECONDS / 4)
        with file_of(count, source, model=MODEL) as file:
            large = client.create_batch(client.upload(file)["id"])["id"]
        behind = []
        while running.database.read_sync(batch_row, large)["completed_at"] is None:
            behind.append(small(running, other))
            pause.wait(PAUSE_SECONDS)
        assert running.await_batch(large)["succeeded"] == count
    return alone, behind


def fairness_rows(base: str, count: int, runs: int, source: Path | None) -> None:
    """Alone, behind, and the difference of the medians."""
    seen = [compare(base, count, source) for _ in range(runs)]
    alone, behind = ([seconds for columns in seen for seconds in columns[side]] for side in (0, 1))
    usual, waited = statistics.median(alone), statistics.median(behind)
    row("a batch of 2 lines, 0.2 s upstream, alone", f"{usual:.2f} s")
    row(f"the same behind another account's {count:,}", f"{waited:.2f} s")
    row("what it waits longer", f"{waited - usual:.2f} s", f"{BAR_SECONDS:g} s", waited - usual <= BAR_SECONDS)
    note(f"alone at most {max(alone):.2f} s; behind at most {max(behind):.2f} s of {len(behind)} submissions")
