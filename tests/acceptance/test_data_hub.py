"""linked_context from an outside data hub: asked for what was not imported, kept for a while, and away now and then."""

from collections.abc import Iterator
from typing import Any

import pytest

from shared.entities import store
from shared.submissions.linked_context import Entity
from tests.acceptance.stack import Account, Stack, chat, own_stack
from tests.acceptance.test_linked_context import allow, ended, line, sent
from workers.simulator.server import SimulatorProcess

HUB_KEY = "hub-key-canary-77"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, simulated_hub: SimulatorProcess) -> Iterator[Stack]:
    settings = {
        "DATA_HUB_URL": f"{simulated_hub.url}/datahub/entities/{{type}}/{{id}}",
        "DATA_HUB_KEY": HUB_KEY,
        "DATA_HUB_SECONDS": "2",
        "DATA_HUB_ALLOW_LOOPBACK": "true",
    }
    with own_stack(tmp_path_factory.mktemp("hub"), **settings) as running:
        running.simulator = simulated_hub.url
        yield running
        assert HUB_KEY not in running.log.read_text()


@pytest.fixture(scope="module")
def simulated_hub() -> Iterator[SimulatorProcess]:
    with SimulatorProcess() as running:
        yield running


@pytest.fixture
def account(stack: Stack) -> Iterator[Account]:
    made = stack.account()
    made.stack.write(store.save, made.id, [Entity("ORGANIZATION", "own", "Imported")])
    allow(made)
    yield made
    made.close()


def linked(*ids: str, **changes: Any) -> dict[str, Any]:
    return chat(linked_context=[{"type": "ORGANIZATION", "id": id} for id in ids], **changes)


def test_only_what_was_not_imported_is_asked_for_and_once(account: Account) -> None:
    with account.stack.script():
        first = account.submit(linked("own", "Müller & Co/1 %2e?#"))
        account.submit(linked("Müller & Co/1 %2e?#"))
        calls = account.stack.seen("datahub")
    assert len(calls) == 1 and calls[0]["outcome"] == "admitted"
    told = sent(account, first["id"])[0]["content"]
    assert "ORGANIZATION own: Imported" in told and "Hub Müller & Co/1 %2e?#" in told


def test_what_the_hub_does_not_have_is_unknown(account: Account) -> None:
    answer = account.live.post("/jobs", json=linked("own", "absent-1"))
    assert answer.status_code == 400 and answer.json()["error"]["param"] == "linked_context[1].id"
    for climbing in ("../x", "..", "a/../../b", "..\\x"):
        with account.stack.script():
            assert account.live.post("/jobs", json=linked(climbing)).status_code == 400
            assert account.stack.seen("datahub") == []


@pytest.mark.parametrize(
    "fault",
    [{"status": 500}, {"status": 401}, {"kind": "reset"}, {"kind": "html"}],
    ids=lambda fault: str(next(iter(fault.values()))),
)
def test_a_hub_that_is_away_is_a_503(account: Account, fault: dict[str, Any]) -> None:
    id = f"away-{next(iter(fault.values()))}"
    with account.stack.script({"provider": "datahub", "fault": fault}):
        answer = account.live.post("/jobs", json=linked(id))
    error = answer.json()["error"]
    assert answer.status_code == 503 and int(answer.headers["Retry-After"]) >= 1 and error["param"] == "linked_context"
    assert HUB_KEY not in answer.text and "127.0.0.1" not in answer.text
    assert account.live.post("/jobs", json=linked(id)).status_code == 202, "it is asked again"


def test_a_request_that_is_sent_again_asks_nobody(account: Account) -> None:
    headers = {"Idempotency-Key": "hub"}
    first = account.submit(linked("replayed"), headers=headers)
    with account.stack.script({"provider": "datahub", "fault": {"status": 500}}):
        again = account.live.post("/jobs", json=linked("replayed"), headers=headers)
        assert again.json()["id"] == first["id"] and account.stack.seen("datahub") == []


def test_a_batch_asks_once_for_each_and_waits_for_a_hub_that_is_away(account: Account) -> None:
    lines = []
    for number in range(12):
        body = linked(f"batch-{number % 3}")
        lines.append(line(str(number), linked_context=body["linked_context"]))
    rule = {"provider": "datahub", "fault": {"status": 500}, "times": 3}
    with account.stack.script(rule):
        batch = ended(account, account.live.post("/batches", json={"requests": lines}).json())
        calls = account.stack.seen("datahub")
    assert batch["request_counts"] == {"total": 12, "completed": 12, "failed": 0}, batch
    assert len([call for call in calls if call["outcome"] == "admitted"]) == 3
