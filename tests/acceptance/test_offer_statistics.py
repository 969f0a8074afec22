"""Two real workers' calls add up in Redis to what providers saw; a restart keeps that, a wiped Redis begins anew."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis

from shared import clock
from shared.providers.statistics import HALF_LIFE_SECONDS, OfferStatistics
from shared.providers.statistics_watch import read_all
from tests.harness import Account, Stack, chat
from tests.servers import RedisServer, migrated_sqlite

WORKERS = ("worker", "worker2")
#: Until the last calls are in the statistics.
SECONDS = 30.0


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """A stack whose Redis a test may wipe."""
    server, url = RedisServer().start(), migrated_sqlite(tmp_path / "stack.sqlite3")
    with Stack(tmp_path, url, server, names=("web", *WORKERS, "sweeper")) as made:
        yield made
    server.stop()


def shown(stack: Stack) -> OfferStatistics | None:
    """What is known of the one model that is called."""
    with redis.from_url(stack.redis.url) as connection:
        return next(iter(read_all(connection).values()), None)


def counted(stack: Stack, calls: int, failures: int, since: float) -> OfferStatistics:
    """The statistics once all of so many calls, made since then, have been counted, each by the weight it has left."""
    rate = pytest.approx(failures / calls, rel=0.05)

    def found() -> OfferStatistics | None:
        least = calls * 0.5 ** ((clock.monotonic() - since) / HALF_LIFE_SECONDS)
        one = shown(stack)
        return one if one is not None and least <= one.calls <= calls and one.error_rate == rate else None

    return stack.until(found, seconds=SECONDS, what=f"{calls} calls in the statistics")


def run(stack: Stack, account: Account, count: int) -> None:
    """Jobs of both lanes, to their end: most as a list, some alone."""
    jobs = [chat(f"{number}") for number in range(count)]
    stack.submit(account, jobs[5:])
    for job in jobs[:5]:
        stack.submit(account, [job])
    stack.await_all_terminal()


def test_workers_add_up_a_restart_keeps_it_and_a_wiped_redis_begins_anew(stack: Stack) -> None:
    account, began = stack.open_account(), clock.monotonic()
    stack.script({"fault": {"status": 500}, "times": 5})
    run(stack, account, 40)
    calls = stack.calls()
    found = counted(stack, calls, 5, began)
    assert found.total_seconds is not None and 0 < found.total_seconds < 10

    stack.restart("worker")
    stack.script()
    run(stack, account, 20)
    counted(stack, calls + stack.calls(), 5, began)

    stack.redis.flush()
    stack.script()
    began = clock.monotonic()
    run(stack, account, 10)
    counted(stack, stack.calls(), 0, began)
    assert "fusionai_provider_answer_seconds{" in httpx.get(f"{stack.url('web')}/metrics").text
    stack.quiet()
    stack.check()
