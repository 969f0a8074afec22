"""The crash storm in a rough world: two of each process, hosts whose clocks differ, a Redis that stands still now and
then, and a worker of the version before beside the new ones.
"""

import random
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chaos.conftest import Stacks
from tests.chaos.older import older_source
from tests.chaos.storm import storm
from tests.marks import SHORT
from tests.servers import RedisServer

NAMES = ("web", "web2", "worker", "worker2", "worker3", "batches", "batches2", "sweeper", "sweeper2")
#: Up to 100 ms apart, in microseconds.
SKEWS = {"web": 50_000, "web2": -50_000, "worker": -50_000, "worker2": 50_000, "batches": 50_000, "sweeper": -50_000}
SMALL = {"worker": 8, "web": 2, "batches": 3, "sweeper": 2, "broker": 1}
WHOLE = {"worker": 60, "web": 10, "batches": 20, "sweeper": 10, "broker": 5}
#: What a worker of the version before can be asked for by a web process of this one. The successors of OpenAI's retired
#: models take words that it does not know: where those are sold, workers are replaced first (CHANGELOG, Upgrading).
MODELS = ("deepinfra.deepseek-r1", "claude-3-sonnet", "gemini-pro")
#: For how long Redis stands still each time, and how long it goes on between, in seconds.
STILL, BETWEEN = (0.02, 0.6), (0.2, 2.0)
pytestmark = pytest.mark.history
_WHOLE = [pytest.mark.chaos, pytest.mark.timeout(1200)]
_SHORT = [*SHORT, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source of the version before."""
    return older_source(tmp_path_factory.mktemp("older"))


@pytest.mark.parametrize(
    ("kind", "jobs", "kills"),
    [
        pytest.param("postgresql", 600, SMALL, id="postgresql-600", marks=_SHORT),
        pytest.param("sqlite", 5_000, WHOLE, id="sqlite-5000", marks=_WHOLE),
        pytest.param("postgresql", 5_000, WHOLE, id="postgresql-5000", marks=_WHOLE),
    ],
)
def test_a_rough_world_breaks_no_promise(
    stacks: Stacks, older: Path, kind: str, jobs: int, kills: Mapping[str, int]
) -> None:
    seed = random.randrange(2**32)
    skews = SKEWS if kind == "postgresql" else {}  # SQLite is one machine, with one clock
    with stacks.own(kind, names=NAMES, latency=0.3, skews=skews, sources={"worker3": older}) as stack:
        with standing_still(stack.redis, seed):
            report = storm(
                stack, jobs=jobs, kills=kills, seed=seed, seconds=120 if kills is SMALL else 300, models=MODELS
            )
        print(f"\n{kind}, seed {seed}: {report}")
        assert report.violations == []
        assert sum(report.statuses.values()) == jobs


@contextmanager
def standing_still(server: RedisServer, seed: int) -> Iterator[None]:
    """Stop the Redis process for moments, again and again, while the block lasts."""
    over, chance = threading.Event(), random.Random(seed)

    def work() -> None:
        while not over.wait(chance.uniform(*BETWEEN)):
            server.send(signal.SIGSTOP)
            over.wait(chance.uniform(*STILL))
            server.send(signal.SIGCONT)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
