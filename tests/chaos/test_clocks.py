"""Producer, worker and sweeper on hosts whose clocks differ: nothing waits for it, and nothing is lost by it."""

import statistics
from pathlib import Path
from typing import Any

import pytest

from shared import clock
from shared.environment import inherited
from tests import starting
from tests.chaos.conftest import Stacks
from tests.harness import chat, line
from tests.marks import SHORT

MILLI, HOUR = 1000, 3600 * clock.MICROS
#: A call that misses its doorbell takes 3 s or more; without that it takes some 20 ms on an idle machine.
SOON_SECONDS = 1.5


@pytest.mark.parametrize(
    ("kind", "skews"),
    [
        # SQLite is one machine, with one clock: what is tried there is that of its processes being read a little apart.
        pytest.param("sqlite", {"web": 100 * MILLI, "worker": -100 * MILLI, "sweeper": 1000 * MILLI}, marks=SHORT),
        pytest.param("postgresql", {"web": 100 * MILLI, "sweeper": -100 * MILLI}, marks=SHORT),
        ("postgresql", {"web": -HOUR, "worker": HOUR, "worker2": 100 * MILLI, "batches": -HOUR}),
        pytest.param("postgresql", {"web": HOUR, "worker": -HOUR, "sweeper": HOUR}, marks=SHORT),
    ],
)
def test_clocks_that_differ_cost_nothing(stacks: Stacks, kind: str, skews: dict[str, int]) -> None:
    names = ("web", "worker", "worker2", "batches", "sweeper")
    with stacks.own(kind, names=names, skews=skews) as stack:
        account = stack.open_account()
        body = {name: value for name, value in chat("hello").items() if name != "type"}
        took = []
        for _ in range(9):
            began = clock.monotonic()
            stack.call(account.live_key, "POST", "/v1/chat/completions", body)
            took.append(clock.monotonic() - began)
        assert statistics.median(took) < SOON_SECONDS, took
        stack.accepted += [id for (id,) in stack.rows("SELECT id FROM jobs")]
        ids = stack.submit(account, [chat(f"job {number}") for number in range(20)])
        began = clock.monotonic()
        batch = stack.submit_batch(account, [line(f"line {number}") for number in range(20)])
        stack.kill("worker2")
        stack.quiet()
        assert clock.monotonic() - began < 45
        stack.check()
        assert len(ids) == 20 and batch
        lags = sorted(_lags(stack))
        assert lags and lags[len(lags) // 2] < 2, "webhooks are delivered at once as well"


def test_a_forked_process_has_the_clock_of_its_host(tmp_path: Path) -> None:
    env = {**inherited(), "HOST_SKEW_MICROS": str(HOUR)}
    env["PYTHONPATH"] = starting.with_host(env.get("PYTHONPATH", ""))
    assert starting.can_fork(env) == starting.can_fork(inherited())
    tell = "from shared import clock, crash; print(clock.wall_micros(), crash.point.__name__)"
    with (tmp_path / "told").open("w+b") as told:
        assert starting.start("timeit", env, told, "-n", "1", "-r", "1", "-s", tell).wait(30) == 0
        told.seek(0)
        at, point, *_ = told.read().decode().split()
    assert abs(int(at) - clock.wall_micros() - HOUR) < 60 * clock.MICROS and point == "_point"


def _lags(stack: Any) -> list[float]:
    delivered = "SELECT d.delivered_at - e.created_at FROM deliveries d JOIN events e ON e.id = d.event_id"
    return [row[0] / clock.MICROS for row in stack.rows(delivered)]
