"""An upstream that answers after 0.5 s, one worker process: the rate and memory with thousands of calls in flight.

And what a few jobs of 30 s do to the others, beside the slots that they hold themselves.
"""

import statistics
from typing import Any

import httpx
from sqlalchemy import func, select

from shared import clock
from shared.db.models import job_payloads, jobs
from tests.bench import ceiling, drain
from tests.bench.stack import bench
from tests.bench.table import in_turn, medians, note, row
from tests.bench.upstream import MARKER, SLOW_SECONDS

IN_FLIGHT = 2000
MOST_IN_FLIGHT = 5000
MOST_MB = 400
#: The most that one worker is to bear, and in how much memory.
CROWD, CROWD_MB = 10_000, 600
SLOW_EVERY = 100
SLOW = MARKER.decode()


def waiting_rows(base: str, jobs_count: int, runs: int) -> None:
    """2,000 in flight, bare loops with as many, and 5,000 in flight for its memory, in turn."""

    def loop(client: str) -> tuple[float, int, int]:
        return ceiling.ceiling(base, jobs_count, IN_FLIGHT, path="/slow/v1", client=client)[0], 0, 0

    seen = in_turn(
        runs,
        lambda: _waiting(base, jobs_count),
        lambda: loop("own"),
        lambda: _held(base, jobs_count),
        lambda: loop("library"),
    )
    rate, bare, many, library = (statistics.median(one[0] for one in column) for column in seen)
    part, part_of_many = rate * SLOW_SECONDS / IN_FLIGHT, many * SLOW_SECONDS / MOST_IN_FLIGHT
    row("0.5 s upstream, one worker, 2,000 in flight: rate : (in flight / 0.5 s)", f"{part:.2f}", "0.5", part >= 0.5)
    note(f"{rate:,.0f}/s; a bare loop over the same client, 2,000 in flight: {bare:,.0f}/s, of which {rate / bare:.2f}")
    note(f"over pyreqwest, the quickest library: {library:,.0f}/s, of which {rate / library:.2f}")
    note(f"CPU of the worker a job: {statistics.median(one[1] for one in seen[0]):,.0f} us")
    row("the same, 5,000 slots", f"{part_of_many:.2f}")
    note(f"{many:,.0f}/s")
    memory = max(one[2] for one in seen[2]) / 1024
    row("one worker, 5,000 calls in flight: peak memory", f"{memory:,.0f} MB", f"{MOST_MB} MB", memory < MOST_MB)
    open_at_once = min(one[1] for one in seen[2])
    note(f"calls that waited at the upstream at once: {open_at_once:,}")
    assert open_at_once >= MOST_IN_FLIGHT, f"only {open_at_once:,} calls were in flight at once"


def crowd_rows(base: str) -> None:
    """10,000 calls of one worker, each answered after 30 s: its memory."""
    with bench(base, "/mixed/v1", FUSIONAI_SLOTS_BATCH=str(CROWD)) as running:
        _most_due(base)
        running.accept(CROWD, marker=SLOW, every=1)
        running.go()
        _, peak = running.await_done()
    memory, open_at_once = peak / 1024, _most_due(base)
    row(f"one worker, {CROWD:,} calls in flight: peak memory", f"{memory:,.0f} MB", f"{CROWD_MB} MB", memory < CROWD_MB)
    note(f"calls that waited at the upstream at once: {open_at_once:,}")
    assert open_at_once >= CROWD, f"only {open_at_once:,} calls were in flight at once"


def _waiting(base: str, jobs_count: int) -> tuple[float, float, int]:
    """The rate with 2,000 slots, and the worker's CPU a job in microseconds, which other programs disturb less."""
    with bench(base, "/slow/v1") as running:
        running.accept(IN_FLIGHT)
        running.go()
        running.await_done()
        running.accept(jobs_count)
        before = running.cpu_seconds("worker0")
        start = running.go()
        running.await_done()
        used = running.cpu_seconds("worker0") - before
        return running.rate(start, jobs_count), used / jobs_count * clock.MICROS, 0


def _held(base: str, jobs_count: int) -> tuple[float, int, int]:
    """The rate with 5,000 slots; then as many calls, each answered after 30 s: how many were open, the memory in kB."""
    with bench(base, "/mixed/v1", FUSIONAI_SLOTS_BATCH=str(MOST_IN_FLIGHT)) as running:
        running.accept(MOST_IN_FLIGHT)
        running.go()
        running.await_done()
        running.accept(jobs_count)
        start = running.go()
        running.await_done()
        rate = running.rate(start, jobs_count)
        _most_due(base)
        running.accept(MOST_IN_FLIGHT, marker=SLOW, every=1)
        running.go()
        _, memory = running.await_done()
        return rate, _most_due(base), memory


def _most_due(base: str) -> int:
    """How many calls waited at the upstream at once, at most, since this was asked last."""
    return int(httpx.get(f"{base}/most", trust_env=False).text)


def slow_rows(base: str, jobs_count: int, runs: int) -> None:
    """One job in a hundred takes 30 s, the rest 0.5 s: what it does to the rest, but for the slots they hold."""
    without, with_slow = medians(
        runs,
        lambda: drain.drain(base, jobs_count, "/mixed/v1", warm=IN_FLIGHT)[0],
        lambda: _beside_slow(base, jobs_count),
    )
    part = with_slow / without
    row(f"1 job in {SLOW_EVERY} takes 30 s, the rest 0.5 s, 2,000 slots: the rest's rate", f"{with_slow:,.0f}/s")
    note("a second of all slots that the slow ones did not hold")
    row("that : the rate without slow ones", f"{part:.2f}", "0.9", part >= 0.9)


def _beside_slow(base: str, jobs_count: int) -> float:
    """The rate of those that are not slow, for as many slots as the slow ones left them on average."""
    with bench(base, "/mixed/v1") as running:
        running.accept(IN_FLIGHT)
        running.go()
        running.await_done()
        running.accept(jobs_count, marker=SLOW, every=SLOW_EVERY)
        start = running.go()
        running.await_done()
        fast, last = running.database.read_sync(_fast_ones, start)
        held = running.database.read_sync(_held_by_slow, start, last)
    slots_left = 1 - held / (IN_FLIGHT * (last - start))
    return float(fast / ((last - start) / clock.MICROS) / slots_left)


_SLOW_ONE = job_payloads.c.request.contains(SLOW)


def _fast_ones(connection: Any, start: int) -> tuple[int, int]:
    """How many of the last run's jobs were not slow, and when the last of them ended."""
    count, last = connection.execute(_of_run(func.count(), func.max(jobs.c.finished_at), start, ~_SLOW_ONE)).one()
    return int(count), int(last)


def _held_by_slow(connection: Any, start: int, until: int) -> int:
    """How long the slow ones held slots, in microseconds of all of them."""
    slow = connection.execute(_of_run(jobs.c.started_at, jobs.c.finished_at, start, _SLOW_ONE))
    return sum(max(min(finished, until) - started, 0) for started, finished in slow)


def _of_run(first: Any, second: Any, start: int, which: Any) -> Any:
    join = job_payloads.c.job_id == jobs.c.id
    return select(first, second).join_from(jobs, job_payloads, join).where(jobs.c.run_at == start, which)
