"""A data hub that is slow, or hostile: its calls have a deadline, accounts take turns, nothing is asked for nobody."""

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from producer.admission import linking
from producer.admission.linking import Linking
from shared.batches.lines import Wanted
from shared.db import Database
from shared.entities import resolving
from shared.entities.hub import CONNECTIONS, Hub, HubAway
from shared.entities.resolving import Resolver
from shared.errors import PayloadTooLarge
from shared.settings import Settings
from shared.submissions import linked_context
from shared.submissions.linked_context import Entity
from tests.conditions import await_condition
from tests.integration import world
from tests.slow_hub import SlowHub


@pytest.fixture
def slow() -> Iterator[SlowHub]:
    made = SlowHub()
    yield made
    made.close()


def hub(slow: SlowHub, seconds: float = 20) -> Hub:
    return Hub(Settings(data_hub_url=slow.url, data_hub_seconds=seconds, data_hub_allow_loopback=True))


def asked(one: Hub, account: str, *ids: str) -> list[Future[Entity | None]]:
    return list(one.ask(account, [("T", id) for id in ids]).values())


@pytest.mark.parametrize("id", ["drip", "informed"])
def test_a_call_is_over_when_its_time_is_however_the_answer_comes(slow: SlowHub, id: str) -> None:
    one = hub(slow, seconds=0.3)
    (future,) = asked(one, "acct_1", id)
    with pytest.raises(HubAway):
        future.result(10)
    one.close()


def test_an_account_that_asks_for_much_holds_no_other_up(slow: SlowHub) -> None:
    one = hub(slow)
    held = asked(one, "acct_1", *(f"held-{number}" for number in range(50)))
    await_condition(lambda: slow.asked, what="the first calls")
    (mine,) = asked(one, "acct_2", "quick")
    assert mine.result(10) and not any(future.done() for future in held)
    slow.release.set()
    assert all(future.result(10) for future in held)
    one.close()


def test_what_nobody_waits_for_any_more_is_not_asked_for(slow: SlowHub) -> None:
    one = hub(slow)
    keys = [("T", f"held-{number}") for number in range(50)]
    one.ask("acct_1", keys)
    also = one.ask("acct_2", keys[-1:])[keys[-1]]
    await_condition(lambda: slow.asked, what="the first calls")
    one.leave("acct_1", keys)
    slow.release.set()
    assert also.result(10), "another still waits for it"
    (later,) = asked(one, "acct_1", "quick")
    assert later.result(10) and len(slow.asked) <= CONNECTIONS + 2
    one.close()


def test_who_waits_no_longer_leaves_nothing_behind(
    slow: SlowHub, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolver = _resolver(slow, database, monkeypatch)
    monkeypatch.setattr(resolving, "MOST_SECONDS", 0.2)
    for number in range(2):
        with pytest.raises(HubAway):
            asyncio.run(resolver.find(f"acct_{number}", [("T", f"held-{one}") for one in range(50)]))
        with pytest.raises(HubAway):
            resolver.find_sync(f"acct_{number}", [("T", f"held-s{one}") for one in range(50)])
    monkeypatch.setattr(resolving, "MOST_SECONDS", 10)
    slow.release.set()
    assert asyncio.run(resolver.find("acct_1", [("T", "quick")])) and len(slow.asked) <= 2 * CONNECTIONS + 1
    resolver.close()


def test_a_list_that_is_too_large_is_refused_before_all_of_it_is_there(
    slow: SlowHub, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolver = _resolver(slow, database, monkeypatch)
    monkeypatch.setattr(linked_context, "MOST_LIST_BYTES", 300_000)
    with pytest.raises(PayloadTooLarge):
        asyncio.run(resolver.find("acct_1", [("T", str(number)) for number in range(2_000)]))
    assert len(slow.asked) <= 2 * resolving.TOGETHER
    resolver.close()


def test_the_lines_of_a_file_that_a_caller_waits_for_have_one_deadline(
    slow: SlowHub, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolver = _resolver(slow, database, monkeypatch)
    monkeypatch.setattr(linking, "MOST_FILE_SECONDS", 0.3)
    lines = Linking(database, resolver).lines(world.open_account(database))
    named = [{"body": {"linked_context": [{"type": "T", "id": f"held-{number}"}]}} for number in range(300)]
    with pytest.raises(HubAway):
        lines([json.dumps(one).encode() for one in named], Wanted(None, test=False, may_link=True))
    assert len(slow.asked) < CONNECTIONS
    resolver.close()


def _resolver(slow: SlowHub, database: Database, monkeypatch: pytest.MonkeyPatch) -> Resolver:
    given: dict[str, Any] = {"data_hub_url": slow.url, "data_hub_seconds": 20, "data_hub_allow_loopback": True}
    monkeypatch.setattr(resolving, "settings", lambda: Settings(**given))
    return Resolver(database)
