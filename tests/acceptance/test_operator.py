"""The operator's routes on a running stack: who may call them, and a provider that is paused amid a batch."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import contract
from tests.acceptance.route_table import LINE, OPERATORS
from tests.acceptance.stack import Account, Stack, own_stack
from tests.conditions import await_condition

PASSWORD = "correct-horse-battery"
BEARER = {"Authorization": f"Bearer {PASSWORD}"}


@pytest.fixture(scope="module")
def operated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    directory: Path = tmp_path_factory.mktemp("operated")
    with own_stack(directory, OPERATOR_PASSWORD=PASSWORD) as stack:
        yield stack


@pytest.fixture(scope="module")
def customer(operated: Stack) -> Iterator[Account]:
    made = operated.account(credits=1_000)
    yield made
    made.close()


def call(stack: Stack, method: str, path: str, headers: dict[str, str] | None = None, **given: Any) -> httpx.Response:
    return httpx.request(method, f"{stack.url}/v1{path}", headers=BEARER if headers is None else headers, **given)


@pytest.mark.parametrize(("method", "path"), OPERATORS)
def test_each_needs_the_operators_password(operated: Stack, customer: Account, method: str, path: str) -> None:
    path = path.format(provider="openai")
    for headers in ({}, {"Authorization": f"Bearer {customer.live_key}"}, {"Authorization": f"Bearer {PASSWORD}x"}):
        answer = call(operated, method, path, headers, json={"reason": "a"} if method == "POST" else None)
        assert answer.status_code == 401, answer.text
    assert PASSWORD not in operated.log.read_text()


def test_what_is_shown_has_the_documented_fields(operated: Stack) -> None:
    shown = call(operated, "GET", "/operator/queues")
    contract.check("GET", "/v1/operator/queues", shown)
    assert {"openai", "anthropic", "sandbox"} <= {one["id"] for one in shown.json()["data"]}


def test_workers_are_shown_as_documented(operated: Stack) -> None:
    """Once it has taken its lease: the web process is ready before it."""

    def registered() -> httpx.Response | None:
        found = call(operated, "GET", "/operator/workers")
        return found if found.json()["data"] else None

    answer = await_condition(registered, what="the worker")
    assert answer is not None
    contract.check("GET", "/v1/operator/workers", answer)
    assert len(answer.json()["data"]) == 1


def test_pausing_an_unknown_provider_is_a_404(operated: Stack) -> None:
    answer = call(operated, "POST", "/operator/queues/nobody/pause", json={"reason": "a"})
    assert answer.status_code == 404 and "openai" in answer.json()["error"]["message"]
    assert call(operated, "POST", "/operator/queues/openai/pause", json={}).status_code == 400


def test_a_batch_goes_through_a_pause_and_a_new_worker_whole(operated: Stack, customer: Account) -> None:
    """Nothing is lost, nothing is charged twice."""
    count = 300
    lines = [{**LINE, "custom_id": f"line-{number}"} for number in range(count)]
    with operated.script({"fault": {"latency_seconds": 0.3}}):
        id = customer.live.post("/batches", json={"requests": lines}).json()["id"]

        def done() -> int:
            return int(customer.live.get(f"/batches/{id}").json()["request_counts"]["completed"])

        await_condition(lambda: done() > 0, what="the first lines")
        paused = call(operated, "POST", "/operator/queues/openai/pause", json={"reason": "a test", "operator": "ada"})
        contract.check("POST", "/v1/operator/queues/{provider}/pause", paused)
        assert paused.json()["paused"]["operator"] == "ada"
        await_condition(lambda: not _running(operated), what="the end of the calls under way")
    refused = customer.live.post("/embeddings", json=LINE["body"])
    assert refused.status_code == 503 and int(refused.headers["retry-after"]) == 10
    assert "provider openai is paused by the operator" in refused.json()["error"]["message"]
    before = done()
    operated.replace("workers.app")
    accepted = customer.live.post("/jobs", json={"type": "embedding", **LINE["body"]})
    assert accepted.status_code == 202
    resumed = call(operated, "POST", "/operator/queues/openai/resume")
    contract.check("POST", "/v1/operator/queues/{provider}/resume", resumed)
    assert resumed.json()["paused"] is None
    await_condition(lambda: customer.live.get(f"/batches/{id}").json()["status"] == "completed", what="the batch")
    batch = customer.live.get(f"/batches/{id}").json()
    assert before <= batch["request_counts"]["completed"] == count
    job = customer.live.get(f"/jobs/{accepted.json()['id']}", params={"wait": 20}).json()
    assert job["status"] == "succeeded"
    assert operated.violations() == []


def _running(stack: Stack) -> int:
    (openai,) = [one for one in call(stack, "GET", "/operator/queues").json()["data"] if one["id"] == "openai"]
    return sum(int(lane["running"]) for lane in openai["lanes"])
