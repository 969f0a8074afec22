"""The crash storm with all that is about money in it: at its end the books are exact and the providers' bills agree."""

import random
from collections.abc import Mapping

import pytest

from tests.chaos.conftest import Stacks
from tests.chaos.money_parts import PARTS
from tests.chaos.storm import NAMES, storm

SMALL = {"worker": 8, "web": 3, "batches": 3, "sweeper": 2, "broker": 2}
WHOLE = {"worker": 50, "web": 10, "batches": 10, "sweeper": 5, "broker": 5}
_SMALL = [pytest.mark.chaos, pytest.mark.timeout(400)]
_WHOLE = [pytest.mark.chaos, pytest.mark.timeout(1200)]


@pytest.mark.parametrize(
    ("kind", "jobs", "kills"),
    [
        pytest.param("sqlite", 600, SMALL, id="sqlite-600", marks=_SMALL),
        pytest.param("postgresql", 600, SMALL, id="postgresql-600", marks=_SMALL),
        pytest.param("sqlite", 5_000, WHOLE, id="sqlite-5000", marks=_WHOLE),
        pytest.param("postgresql", 5_000, WHOLE, id="postgresql-5000", marks=_WHOLE),
    ],
)
def test_a_storm_leaves_exact_books(stacks: Stacks, kind: str, jobs: int, kills: Mapping[str, int]) -> None:
    seed = random.randrange(2**32)
    with stacks.own(kind, names=NAMES, latency=0.3) as stack:
        parts = [part() for part in PARTS]
        report = storm(stack, jobs=jobs, kills=kills, seed=seed, seconds=120 if kills is SMALL else 300, parts=parts)
        print(f"\n{kind}, seed {seed}: {report}")
        assert report.violations == []
        more = sum(part.accepted for part in parts)
        assert sum(report.statuses.values()) == jobs + more
