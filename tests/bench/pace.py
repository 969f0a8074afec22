"""A batch against an upstream that admits 600 requests a minute: whether what is admitted is used, and what is refused.

The upstream is the simulator, which limits as real providers do: by requests with and without Retry-After, by tokens.
"""

from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Connection, func, select

from shared.db.models import job_results, jobs
from tests.bench.lines import file_of
from tests.bench.stack import bench
from tests.bench.table import note, row
from workers.simulator.server import SimulatorProcess

MODEL = "gpt-4"
LINES, PER_MINUTE, BURST = 1_319, 600, 20
#: A line's question and the 400 tokens that its answer may have, about.
LINE_TOKENS, ANSWER_TOKENS = 480, 400
LEAST_USED, MOST_REFUSED = 0.9, 0.05
REQUESTS = {"requests_per_minute": PER_MINUTE, "request_burst": BURST}
TOKENS = {"tokens_per_minute": PER_MINUTE * LINE_TOKENS, "token_burst": BURST * LINE_TOKENS}
SILENT = {"retry_after": "none", "headers": False}
LIMITS: dict[str, dict[str, Any]] = {
    "requests, Retry-After": REQUESTS,
    "requests, nothing told": REQUESTS | SILENT,
    "tokens, Retry-After": TOKENS,
    "tokens, nothing told": TOKENS | SILENT,
}


def measure(limit: dict[str, Any], count: int, source: Path | None) -> tuple[int, dict[str, int], float]:
    """Lines that succeeded, the calls by outcome, and the share of what was admitted that was used."""
    with (
        SimulatorProcess() as simulator,
        bench(simulator.url, "/openai/v1", workers=2, beside=("web", "batches", "sweeper")) as running,
        file_of(count, source, model=MODEL) as file,
        running.client() as client,
    ):
        order = {"limits": [{"provider": "openai", **limit}]}
        httpx.post(f"{simulator.url}/_simulator/script", json=order).raise_for_status()
        batch = running.await_batch(client.create_batch(client.upload(file)["id"])["id"])
        counts, log = (httpx.get(f"{simulator.url}/_simulator/{what}").json() for what in ("seconds", "log"))
        tokens = running.database.read_sync(_line_tokens, batch["id"])
    calls = [call["at"] for call in log["calls"] if call["outcome"] == "admitted"]
    took = max(calls) - log["calls"][0]["at"]
    size, rate, cost = (BURST, PER_MINUTE, 1.0)
    if "tokens_per_minute" in limit:
        size, rate, cost = BURST * LINE_TOKENS, PER_MINUTE * LINE_TOKENS, tokens
    return batch["succeeded"], counts, (len(calls) * cost - size) / (rate * took / 60)


def _line_tokens(connection: Connection, id: str) -> float:
    """What the upstream counts of a line, on average: its prompt, and the answer that it may have."""
    statement = select(func.avg(job_results.c.prompt_tokens)).join(jobs, jobs.c.id == job_results.c.job_id)
    return float(connection.execute(statement.where(jobs.c.batch_id == id)).scalar_one()) + ANSWER_TOKENS


def pace_rows(count: int, source: Path | None) -> None:
    """A row for each way of limiting."""
    for name, limit in LIMITS.items():
        succeeded, counts, used = measure(limit, count, source)
        refused = counts["refused"] / counts["total"]
        what = f"batch of {count:,} lines, {PER_MINUTE} a minute admitted, by {name}"
        row(f"{what}: lines", f"{succeeded:,}", f"{count:,}", succeeded == count)
        row("the rate, of what it admits", f"{used:.2f}", f"{LEAST_USED:g}", used >= LEAST_USED)
        row("429s, of its calls", f"{refused:.1%}", f"{MOST_REFUSED:.0%}", refused < MOST_REFUSED)
        note(f"{counts['total']:,} calls: {counts['admitted']:,} admitted, {counts['refused']:,} refused")
