"""Batches of 1,319 lines against providers as they are: 600 requests a minute, away for a minute; workers killed."""

import pytest

from tests.upstreams import Outcome, Sizes, stack_of

LINES = 1_319
SIZES = Sizes(LINES, requests_per_minute=600, burst=20, outage_seconds=60)
#: Two workers share one pace.
NAMES = ("web", "worker", "worker2", "batches", "sweeper")
#: The product's own times, but for a silent provider's, which would make this test last for ten minutes more.
USUAL = {
    "RETRY_BASE_SECONDS": "1",
    "PAUSE_SECONDS": "1",
    "PAUSE_MOST_SECONDS": "30",
    "CALL_FIRST_SECONDS": "20",
    "CALL_TURN_SECONDS": "20",
}
#: What a provider admits is used, and few calls are refused (BENCHMARKS.md).
LEAST_USED, MOST_REFUSED = 0.9, 0.05
#: Of the calls that a provider sees while it is away: what was under way, and a handful that try whether it is back.
MOST_IN_VAIN = 200
SECONDS = 600.0


def wrong(outcome: Outcome, *, killed: bool) -> list[str]:
    """What is not as it must be. A killed worker's calls are made again, and its pace is found again."""
    batch, found = outcome.batch, []
    if (batch.status, batch.succeeded, batch.error_file_id) != ("completed", LINES, None):
        found.append("a line did not succeed")
    if outcome.refused_share >= MOST_REFUSED:
        found.append("too many calls were refused")
    if outcome.upstream.limit and not killed and outcome.used_share < LEAST_USED:
        found.append("what was admitted was not used")
    if outcome.upstream.fault and not outcome.counts["faulty"]:
        found.append("the outage was missed")
    if outcome.counts["faulty"] > MOST_IN_VAIN:
        found.append("too many calls were made in vain")
    return [f"{one}: {outcome}" for one in found]


@pytest.mark.chaos
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kill", [(), ("worker", "worker2")], ids=["undisturbed", "workers-killed"])
def test_every_line_succeeds(tmp_path_factory: pytest.TempPathFactory, kill: tuple[str, ...]) -> None:
    with stack_of(tmp_path_factory.mktemp("upstreams"), SIZES, names=NAMES, **USUAL) as upstreams:
        outcomes = upstreams.run(kill=kill, seconds=SECONDS)
        assert [line for one in outcomes.values() for line in wrong(one, killed=bool(kill))] == []
        upstreams.stack.end_claims()
        upstreams.stack.quiet()
        upstreams.stack.check()
