"""Batches while what serves them is killed: each line in one file, once, charged once, on one statement."""

import random
import signal
from collections.abc import Mapping

import pytest

from tests.chaos.batch_storm import batch_storm, custom_id
from tests.chaos.conftest import Stacks
from tests.harness import line

#: A small batch behind a large one may take so much longer than alone (BENCHMARKS.md).
BEHIND_SECONDS = 3.0
NAMES = ("web", "web2", "worker", "worker2", "batches", "sweeper")
WHOLE = {"worker": 20, "web": 5, "batches": 5, "sweeper": 5, "broker": 3}
SMALL = {"worker": 8, "web": 3, "batches": 4, "sweeper": 2, "broker": 1}


def test_each_process_is_killed_once(stacks: Stacks) -> None:
    with stacks.own() as stack:
        account = stack.open_account()
        stack.script({"fault": {"latency_seconds": 0.5}, "contains": "line"})
        id = stack.submit_batch(account, [line(f"line {n}") for n in range(300)], upload=True)
        stack.until(lambda: stack.batch(id).status == "in_progress", what="the hold")
        stack.kill("batches")
        stack.kill("web")
        stack.until(lambda: stack.calls("line"), what="a call")
        stack.kill("worker")
        stack.kill("sweeper")
        ended = stack.await_batch(id)
        assert (ended.status, ended.succeeded, ended.error_file_id) == ("completed", 300, None)
        assert [stack.kills(kind) for kind in ("batches", "web", "worker", "sweeper")] == [1, 1, 1, 1]
        stack.end_claims()
        stack.quiet()
        stack.check()


@pytest.mark.chaos
def test_a_stopped_process_comes_back_to_a_batch_that_another_has_made(stacks: Stacks) -> None:
    """What it was about to write is refused. On SQLite, where it can be stopped outside of a transaction."""
    with stacks.own() as stack:
        account = stack.open_account()
        id = stack.submit_batch(account, [line(f"{n}") for n in range(8_000)], upload=True)
        stack.until(lambda: stack.batch(id).released, what="the first lines")
        stack.pause("batches")
        assert stack.batch(id).released < 8_000, "it was stopped too late"
        stack.start("batches2")
        stack.until(lambda: stack.batch(id).released == 8_000, what="the last lines")
        stack.send("batches", signal.SIGCONT)
        assert stack.await_batch(id, seconds=120).succeeded == 8_000
        assert "tried again" not in stack.log("batches").read_text(), "only the database refused it"
        stack.quiet()
        stack.check()


@pytest.mark.chaos
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("kind", "lines", "kills", "slots"),
    [
        pytest.param("sqlite", 50_000, WHOLE, 150, id="sqlite-50000"),
        pytest.param("postgresql", 15_000, SMALL, 100, id="postgresql-15000"),
    ],
)
def test_a_large_batch_completes(stacks: Stacks, kind: str, lines: int, kills: Mapping[str, int], slots: int) -> None:
    """And the 2-line batches of another account are hardly kept waiting.

    `slots` a worker make it last long enough, at 600 calls a second or more: the broker has at least 1,000 jobs
    before them, whatever the rate.
    """
    seed = random.randrange(2**32)
    with stacks.own(kind, names=NAMES, latency=0.3, SLOTS_BATCH=str(slots)) as stack:
        report = batch_storm(stack, lines=lines, kills=kills, seed=seed)
        print(f"\n{kind}, seed {seed}: {report}")
        assert report.violations == []
        assert report.batch.status == "completed" and report.batch.request_counts.completed == lines
        assert {row["custom_id"] for row in report.output} == {custom_id(n) for n in range(lines)}
        assert report.left[1] > 0, "the small batches were not behind anything"
        assert max(report.behind) < sorted(report.alone)[len(report.alone) // 2] + BEHIND_SECONDS
