"""Batches against providers as they are: a line ends by its own fault or its window, and by nothing of a provider's.

Small, with limits and outages to match; tests/chaos/test_batch_providers.py has the whole of it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest

from tests import marks
from tests.upstreams import Outcome, Sizes, Upstreams, stack_of

LINES = 120
#: 20 lines a second for what is limited; outages of four seconds.
SIZES = Sizes(LINES, requests_per_minute=1200, burst=20, outage_seconds=4)
#: So that what takes minutes outside takes seconds here.
SHORT = {
    "CALL_FIRST_SECONDS": "2",
    "CALL_TURN_SECONDS": "2",
    "PAUSE_SECONDS": "0.2",
    "PAUSE_MOST_SECONDS": "2",
    "LEASE_SECONDS": "6",
    "BEAT_SECONDS": "1",
}
#: A small batch is nearly over when a pace has been found: half of its calls may be refused, not ten for each line.
MOST_REFUSED = 0.5
#: What a provider that is down may see of a batch: what was under way, and a few that try whether it is back.
MOST_IN_VAIN = 100
SECONDS = 75.0
#: Of each way there is one run, whose outcomes all tests look at.
pytestmark = pytest.mark.xdist_group("batches of each provider")


@dataclass(frozen=True)
class Played:
    """The stack after all batches are over, and what came of each."""

    upstreams: Upstreams
    outcomes: Mapping[str, Outcome]


WAYS = [
    pytest.param((), id="undisturbed"),
    pytest.param(("worker",), id="worker-killed", marks=marks.SHORT),
]


@pytest.fixture(scope="module", params=WAYS)
def played(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """All batches at once, in a stack of their own for either way."""
    names = ("web", "worker", "batches", "sweeper")
    with stack_of(tmp_path_factory.mktemp("upstreams"), SIZES, names=names, **SHORT) as made:
        yield Played(made, made.run(kill=request.param, seconds=SECONDS))


@pytest.mark.parametrize("name", [upstream.name for upstream in SIZES.upstreams()])
def test_every_line_succeeds(played: Played, name: str) -> None:
    outcome = played.outcomes[name]
    batch = outcome.batch
    assert (batch.status, batch.succeeded, batch.error_file_id) == ("completed", LINES, None), str(outcome)
    assert outcome.refused_share <= MOST_REFUSED, str(outcome)
    assert bool(outcome.upstream.fault) <= outcome.counts["faulty"] <= MOST_IN_VAIN, str(outcome)


def test_each_line_is_charged_once(played: Played) -> None:
    stack = played.upstreams.stack
    stack.end_claims()
    stack.quiet()
    stack.check()
