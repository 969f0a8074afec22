"""A rolling upgrade from what was released last, under load: there, back again, and there once more.

Nothing is lost, done twice or charged twice; no request fails but with an answer that a client can go on from
(`tests/upgrade/load.py:outcome`), and the objects of each version are the other's.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Account
from tests.upgrade.balancer import Balancer
from tests.upgrade.cut_short import CutShort
from tests.upgrade.load import Load
from tests.upgrade.stack import Upgrade, Version, upgrading

pytestmark = [pytest.mark.chaos, pytest.mark.history, pytest.mark.timeout(1200)]

#: The order that deploy/cluster.md names; the same backwards; and one in which web processes are ahead of workers.
FORTH = ("worker", "worker2", "batches", "sweeper", "web", "web2")
BACK = tuple(reversed(FORTH))
FORTH_AGAIN = ("web2", "worker", "sweeper", "web", "batches", "worker2")
LINES, FEW = 2_400, 60
#: What of an object changes from one look to the next: how fast a model answered of late.
CHANGING = {"health"}
#: What the older version does not know.
ONLY_NEWER = "jobs/summary"
RULES = (
    {"contains": "at length", "fault": {"kind": "slow_body", "seconds": 8.0}},
    {"contains": "slowly", "fault": {"kind": "slow_body", "seconds": 1.0}},
    {"contains": "of the batch", "fault": {"latency_seconds": 0.4}},
)


@pytest.fixture
def system(tmp_path: Path) -> Iterator[tuple[Upgrade, Balancer]]:
    """All of it in the released version, with a balancer before it."""
    with upgrading(tmp_path) as both:
        yield both


def test_there_and_back_and_there(system: tuple[Upgrade, Balancer]) -> None:
    stack, balancer = system
    stack.script(*RULES)
    account = stack.open_account(counted=True)
    with Load(stack, balancer.url, account) as load:
        load.batch("large", LINES, upload=True, notify_each=True)
        load.batch("sliced", FEW, hold="slices")
        load.goes_on()
        stack.command("newer", "migrate")
        load.goes_on()
        roll(stack, load, account, FORTH, "newer", read_at="web2")
        assert "Can't locate revision" in stack.command("older", "migrate", good=False), "as deploy/cluster.md says"
        roll(stack, load, account, BACK, "older", read_at="web")
        roll(stack, load, account, FORTH_AGAIN, "newer")
        load.stop()
    stack.quiet(seconds=120)
    print(f"\n{sorted(load.outcomes.items())}, connections {balancer.served}")
    assert load.failures == [] and balancer.unserved == 0
    assert ended_badly(stack) == []
    stack.check()
    stack.command("newer", "verify", "--at-rest")
    for process in stack.processes.values():
        assert set(process.ends) <= {0, -15}, f"{process.name} ended with {process.ends}"


def roll(
    stack: Upgrade, load: Load, account: Account, order: Sequence[str], version: Version, read_at: str = ""
) -> None:
    """Replace each process; before the one named `read_at`, both versions are compared in what they show."""
    for at, name in enumerate(order):
        if name == read_at:
            alike(stack, load)
        batch = load.batch(f"{version}-{at}", FEW, upload=at % 2 == 0, **({"hold": "slices"} if at % 3 else {}))
        if at == 0:
            load.cancel_batch(batch)
        cut = CutShort(stack, load, account, name) if name.startswith("web") else None
        stack.replace(name, version)
        if cut is not None:
            cut.check()
        load.goes_on()
    assert set(stack.versions.values()) == {version}


def ended_badly(stack: Upgrade) -> Sequence[Any]:
    """Nothing that the callers asked for can fail, and none lets a deadline pass."""
    return stack.rows(
        "SELECT j.id, j.status, r.error FROM jobs j LEFT JOIN job_results r ON r.job_id = j.id"
        " WHERE j.status NOT IN ('succeeded', 'cancelled')"
    )


def alike(stack: Upgrade, load: Load) -> None:
    """Each object that the older web process shows is shown by the newer one, which may only add to it."""
    at = {version: stack.url(name) for name, version in stack.versions.items() if name.startswith("web")}
    known = [load.asked(at[version], ONLY_NEWER).status_code for version in ("older", "newer")]
    assert known == [404, 200], "two versions are beside each other"
    for path in objects(stack):
        before, after = (load.asked(at[version], path) for version in ("older", "newer"))
        assert (before.status_code, after.status_code) == (200, 200), (path, before.text, after.text)
        assert (lost := list(missing(before.json(), after.json()))) == [], (path, lost)


def objects(stack: Upgrade) -> Iterator[str]:
    """Paths of objects that nothing changes any more: some of each kind, the newest, which both versions have made."""
    ended = "SELECT id FROM jobs WHERE status = :status AND (batch_id IS NULL) = :alone ORDER BY id DESC LIMIT 8"
    for status in ("succeeded", "cancelled"):
        for alone in (True, False):
            for row in stack.rows(ended, status=status, alone=alone):
                yield from (f"jobs/{row.id}", f"jobs/{row.id}/input")
    yield from (f"batches/{row.id}" for row in stack.rows("SELECT id FROM batches WHERE status = 'completed'"))
    yield from (f"invoices/{row.id}" for row in stack.rows("SELECT id FROM invoices WHERE status = 'paid' LIMIT 8"))
    yield from (f"files/{row.id}" for row in stack.rows("SELECT id FROM files LIMIT 4"))
    yield from (f"webhooks/{row.id}" for row in stack.rows("SELECT id FROM webhooks"))
    yield from ("models", "events?limit=100&order=asc")


def missing(before: Any, after: Any, place: str = "") -> Iterator[str]:
    """What of a JSON value another one lacks or has otherwise."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name, value in before.items():
            if name in CHANGING:
                continue
            if name in after:
                yield from missing(value, after[name], f"{place}.{name}")
            else:
                yield f"{place}.{name}: {value!r} is gone"
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from missing(one, other, f"{place}[{number}]")
    elif before != after:
        yield f"{place}: {before!r} became {after!r}"
