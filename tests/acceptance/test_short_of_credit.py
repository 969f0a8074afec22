"""An account with too little credit, over real HTTP and by the command: what is said, what waits, what goes on."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from shared import accounts, key_limits
from shared.key_limits import Change
from shared.money import ledger
from tests.acceptance.command import Command
from tests.acceptance.stack import Account, Stack, chat
from tests.conditions import await_condition

#: Costs about a credit at most.
DEAR = {"max_tokens": 1000}
WAIT = {"on_insufficient_credits": "wait"}


@pytest.fixture
def poor(stack: Stack) -> Iterator[Account]:
    """A customer with half a credit."""
    stack.settle_providers()
    made = stack.account(credits=1)
    yield made
    made.close()


def lines(count: int, **body: Any) -> list[dict[str, Any]]:
    asked = {name: value for name, value in chat(**{**DEAR, **body}).items() if name != "type"}
    return [
        {"custom_id": f"l{n}", "method": "POST", "url": "/v1/chat/completions", "body": asked} for n in range(count)
    ]


def grant(stack: Stack, account: Account, credits: int) -> None:
    stack.write(ledger.grant, account.id, credits * 1_000_000)


def ended(account: Account, id: str) -> dict[str, Any]:
    def over() -> dict[str, Any] | None:
        batch: dict[str, Any] = account.live.get(f"/batches/{id}").json()
        return batch if batch["status"] in ("completed", "failed", "expired", "cancelled") else None

    return await_condition(over, seconds=60)


def test_a_job_waits_and_runs_once_there_is_credit(stack: Stack, poor: Account) -> None:
    answer = poor.live.post("/jobs", json=chat(max_tokens=4000, **WAIT))
    job = answer.json()
    assert answer.status_code == 202 and job["waiting_for"] == "credits" and job["status"] == "queued"
    assert poor.live.get("/credits").json()["held"] == 0
    grant(stack, poor, 100)
    done = poor.finished(job["id"])
    assert done["status"] == "succeeded" and "waiting_for" not in done


def test_a_waiting_job_is_cancelled_at_once(poor: Account) -> None:
    job = poor.live.post("/jobs", json=chat(max_tokens=4000, **WAIT)).json()
    assert poor.live.post(f"/jobs/{job['id']}/cancel").json()["status"] == "cancelled"


def test_a_call_that_waits_for_its_answer_cannot_wait_for_credit(poor: Account) -> None:
    body = {name: value for name, value in chat(max_tokens=4000, **WAIT).items() if name != "type"}
    for more in ({}, {"stream": True}):
        refused = poor.live.post("/chat/completions", json={**body, **more})
        assert refused.status_code == 400 and refused.json()["error"]["param"] == "on_insufficient_credits"
    taken = poor.live.post("/chat/completions", json=body, headers={"Prefer": "respond-async"})
    assert taken.status_code == 202 and taken.json()["waiting_for"] == "credits"


def test_a_job_s_dry_run_creates_nothing_and_says_what_is_lacking(poor: Account) -> None:
    said = poor.live.post("/jobs", json={**chat(max_tokens=4000), "dry_run": True})
    dry = said.json()
    assert said.status_code == 200 and dry["object"] == "job.dry_run" and dry["jobs"] == 1
    assert dry["credits_available"] == 1 < dry["credits_worst_case"] == dry["shortage"]["required_credits"]
    assert dry["shortage"]["max_tokens"] >= 1 and "estimate" not in dry
    listed = poor.live.post("/jobs", json={"jobs": [chat(max_tokens=1), chat(max_tokens=2)], "dry_run": True}).json()
    assert listed["jobs"] == 2 and listed["shortage"] is None
    assert poor.live.get("/jobs").json()["data"] == []
    tested = poor.test.post("/jobs", json={**chat(), "dry_run": True}).json()
    assert tested["credits_worst_case"] == 0 and tested["credits_available"] is None
    assert poor.live.post("/jobs", json={**chat(), "dry_run": "yes"}).status_code == 400
    poor.run(chat(max_tokens=5))
    dry = poor.live.post("/jobs", json={**chat(max_tokens=4000), "dry_run": True}).json()
    assert dry["estimate"]["based_on"] == {"jobs": 1, "days": 1}
    assert 0 < dry["estimate"]["likely"] < dry["estimate"]["bound"] == dry["credits_worst_case"]


MESSAGES = [{"role": "user", "content": "hi"}]
CHAT: dict[str, Any] = {"model": "gpt-4", "messages": MESSAGES, "max_tokens": 4000}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", CHAT),
        ("/v1/responses", {"model": "gpt-4", "input": "hi", "max_output_tokens": 4000}),
        ("/v1/messages", CHAT),
        ("/fluence/v1/chat/completions", CHAT),
        ("/infuzu/v1/chat/completions", CHAT),
        ("/euqai/v1/chat/completions", {"model": "euqai-fusion-v1", "messages": MESSAGES}),
    ],
)
def test_every_door_says_what_is_needed_and_there_and_would_do(
    stack: Stack, poor: Account, path: str, body: dict[str, Any], stream: bool
) -> None:
    headers = {"anthropic-version": "2023-06-01"} if path == "/v1/messages" else {}
    refused = poor.live.post(f"{stack.url}{path}", json={**body, "stream": stream}, headers=headers)
    assert refused.status_code == 402, refused.text
    assert "1 are available" in refused.text and "may cost up to" in refused.text
    if "euqai" not in path:  # its bound is that of several calls
        assert "or less to fit" in refused.text


def test_a_batch_in_slices_pauses_says_so_and_goes_on(stack: Stack, poor: Account) -> None:
    made = poor.live.post("/batches", json={"requests": lines(6, max_tokens=4000), "hold": "slices"}).json()
    assert made["status"] == "validating" and made["hold"] == "slices"

    def waits() -> bool:
        return bool(poor.live.get(f"/batches/{made['id']}").json()["waiting_for"] == "credits")

    await_condition(waits, seconds=30)
    assert poor.live.get(f"/batches/{made['id']}/progress").json()["waiting_for"] == "credits"
    grant(stack, poor, 5)
    batch = ended(poor, made["id"])
    assert batch["status"] == "completed" and batch["request_counts"]["completed"] == 6
    assert batch["waiting_for"] is None and batch["credits_held"] == 0


def budget(stack: Stack, account: Account, credits: float | None) -> None:
    """Give the account's live key a budget of a month, or take it away."""
    micros = None if credits is None else round(credits * 1_000_000)

    def change(connection: Connection) -> None:
        id = next(row["id"] for row in accounts.list_keys(connection, account.id) if row["mode"] == "live")
        key_limits.change(connection, id, Change(budgets={"month": micros}))

    stack.write(change)


def test_a_batch_in_slices_waits_for_its_key_s_budget_and_says_so(stack: Stack, poor: Account) -> None:
    grant(stack, poor, 100)
    budget(stack, poor, 0.01)
    made = poor.live.post("/batches", json={"requests": lines(3), "hold": "slices"}).json()

    def waiting() -> dict[str, Any] | None:
        batch: dict[str, Any] = poor.live.get(f"/batches/{made['id']}").json()
        return batch if batch["waiting_for"] == "budget" else None

    batch = await_condition(waiting, seconds=60)
    assert batch["status"] == "in_progress" and batch["waiting_until"] > batch["created_at"]
    progress = poor.live.get(f"/batches/{made['id']}/progress").json()
    assert (progress["waiting_for"], progress["waiting_until"]) == ("budget", batch["waiting_until"])
    shown = Command(stack, poor)("batch", made["id"]).output
    assert "waiting for  the budget of the API key, which renews " in shown
    budget(stack, poor, None)
    batch = ended(poor, made["id"])
    assert batch["status"] == "completed" and batch["waiting_for"] is batch["waiting_until"] is None


def test_a_batch_that_may_not_wait_fails_and_names_the_ways(poor: Account) -> None:
    made = poor.live.post("/batches", json={"requests": lines(6, max_tokens=900)}).json()
    batch = ended(poor, made["id"])
    (fault,) = batch["errors"]["data"]
    assert fault["fits_in_slices"] is True and 'set hold to "slices"' in fault["message"] and fault["max_tokens"] >= 1


def test_the_command_submits_in_slices_and_shows_what_it_waits_for(stack: Stack, poor: Account, tmp_path: Path) -> None:
    fusionai, file = Command(stack, poor), tmp_path / "lines.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines(3, max_tokens=4000)))
    made = fusionai.json("submit", str(file), "--hold", "slices", "--wait-for-credits")

    def shown() -> str:
        return str(fusionai("batch", made["id"]).output)

    await_condition(lambda: "waiting for  credits" in shown(), seconds=30)
    assert "hold         in slices" in shown()
    grant(stack, poor, 50)
    assert ended(poor, made["id"])["status"] == "completed"
    dry = fusionai("submit", str(file), "--dry-run").output
    assert "likely" in dry and "by your 3 jobs on 1 day" in dry
