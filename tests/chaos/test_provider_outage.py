"""A provider that goes down for good in the midst of a batch whose lines have another offer."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import httpx
import pytest

from tests.catalogues import served, written
from tests.chaos.conftest import Stacks
from tests.harness import Stack, line

LINES = 2_000
#: The provider goes down when so many lines have succeeded.
BEFORE = 500
#: Calls of a batch that may be under way at once, and so are lost when a provider goes down; each line of them may
#: be tried there once or twice more, as long as nobody knows that it is down.
SLOTS = 100
#: What the dead provider sees of the other lines: a handful that try whether it is back.
MOST_IN_VAIN = 2 * SLOTS + 20
#: The longest time in which no line is answered; so long after the first failure so many are.
MOST_SILENT_SECONDS = 5.0
BACK = 20
#: How often the dead provider is tried once others serve: after 2, 4, 8, 16, 30 seconds and each 30 after that.
MOST_PROBES = 8
#: How long a good answer takes.
LATENCY_SECONDS = 0.2
#: The product's own times; of leases as well, since nothing is to die here, however slow the machine is.
USUAL = {
    "LEASE_SECONDS": "30",
    "BEAT_SECONDS": "10",
    "RETRY_BASE_SECONDS": "1",
    "PAUSE_SECONDS": "1",
    "PAUSE_MOST_SECONDS": "30",
    "SLOTS_BATCH": str(SLOTS),
}


def log(stack: Stack, provider: str) -> Sequence[dict[str, Any]]:
    """The calls of a provider since the outage began."""
    found = httpx.get(f"{stack.simulator.url}/_simulator/log", params={"provider": provider})
    return list(found.json()["calls"])


@pytest.mark.chaos
def test_the_rate_is_back_within_seconds_and_only_answers_are_charged(
    stacks: Stacks, tmp_path_factory: pytest.TempPathFactory
) -> None:
    catalogue = written(tmp_path_factory.mktemp("outage"), served("dying"), served("spare", price=300_000_000))
    with stacks.own(CATALOGUE=catalogue, **USUAL) as stack:
        account = stack.open_account(10_000_000)
        slow = {"fault": {"latency_seconds": LATENCY_SECONDS}}
        stack.script(slow)
        routing = {"fallbacks": ["spare"]}
        lines = [line(f"line {n:04}", model="dying", max_tokens=16, routing=routing) for n in range(LINES)]
        id = stack.submit_batch(account, lines, upload=True)
        stack.until(lambda: stack.batch(id).succeeded >= BEFORE, what="the lines before")
        stack.script({"provider": "dying", "fault": {"status": 503}}, slow)
        ended = stack.await_batch(id, seconds=120)
        assert (ended.status, ended.succeeded, ended.error_file_id) == ("completed", LINES, None)

        in_vain, asked = ([call["at"] for call in log(stack, name)] for name in ("dying", "spare"))
        assert 0 < len(in_vain) <= MOST_IN_VAIN
        answered = [at + LATENCY_SECONDS for at in asked]
        assert answered[BACK - 1] - in_vain[0] <= MOST_SILENT_SECONDS, "the rate is back"
        silences = [later - before for before, later in pairwise([in_vain[0], *answered])]
        assert max(silences) <= MOST_SILENT_SECONDS, "and stays"
        assert sum(at > asked[0] for at in in_vain) <= MOST_PROBES

        by = check_charges(stack, id)
        assert by["dying"] >= BEFORE and by["dying"] + by["spare"] == LINES and by["spare"] == len(answered)
        stack.end_claims()
        stack.quiet()
        stack.check()


def check_charges(stack: Stack, id: str) -> Counter[str]:
    """Each line is charged what its one answer used, at the price of the provider that gave it; how many each gave."""
    query = (
        "SELECT r.provider, r.charged_micros, r.prompt_tokens + r.completion_tokens FROM jobs j"
        " JOIN job_results r ON r.job_id = j.id WHERE j.batch_id = :id"
    )
    prices = {"dying": 100, "spare": 300}
    rows = stack.rows(query, id=id)
    assert len(rows) == LINES and all(charge == prices[name] * tokens for name, charge, tokens in rows)
    assert sum(charge for _, charge, _ in rows) == stack.batch(id).charged_micros
    return Counter(name for name, _, _ in rows)
