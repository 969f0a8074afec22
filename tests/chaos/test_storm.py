"""The crash storm, small and whole, in `make chaos`; `make chaos-short` has one in a rough world."""

import random
from collections.abc import Mapping

import pytest

from tests.chaos.conftest import Stacks
from tests.chaos.storm import NAMES, storm

SMALL = {"worker": 10, "web": 3, "batches": 3, "sweeper": 2, "broker": 2}
WHOLE = {"worker": 100, "web": 10, "batches": 20, "sweeper": 5, "broker": 5}
_WHOLE = [pytest.mark.chaos, pytest.mark.timeout(1200)]


@pytest.mark.parametrize(
    ("kind", "jobs", "kills"),
    [
        pytest.param("sqlite", 1_000, SMALL, id="sqlite-1000", marks=pytest.mark.chaos),
        pytest.param("sqlite", 10_000, WHOLE, id="sqlite-10000", marks=_WHOLE),
        pytest.param("postgresql", 10_000, WHOLE, id="postgresql-10000", marks=_WHOLE),
    ],
)
def test_a_crash_storm_breaks_no_promise(stacks: Stacks, kind: str, jobs: int, kills: Mapping[str, int]) -> None:
    seed = random.randrange(2**32)
    with stacks.own(kind, names=NAMES, latency=0.3) as stack:
        report = storm(stack, jobs=jobs, kills=kills, seed=seed, seconds=80 if kills is SMALL else 240)
        print(f"\n{kind}, seed {seed}: {report}")
        assert report.violations == []
        assert sum(report.statuses.values()) == jobs
