"""`fusionai job` on jobs that had trouble, and the client's shapes of what the server sends."""

import re
from typing import Any

import pytest

from tests import contract
from tests.acceptance.command import Command
from tests.acceptance.stack import Account, Stack, chat, embedding
from tests.conditions import await_condition


@pytest.fixture
def fusionai(stack: Stack, account: Account) -> Command:
    return Command(stack, account)


def test_a_job_with_failed_attempts_is_shown_line_by_line(fusionai: Command, account: Account, stack: Stack) -> None:
    rules = [
        {"contains": "hopeless", "times": 1, "fault": {"kind": "reset"}},
        {"contains": "hopeless", "fault": {"status": 500}},
    ]
    with stack.script(*rules):
        job = account.run(chat("hopeless"))
    assert job["status"] == "failed" and isinstance(job["attempts"][0]["error"], str)
    shown = fusionai("job", job["id"], status=3).output.splitlines()
    attempts = [line for line in shown if line.startswith("attempt")]
    assert len(attempts) == len(job["attempts"]) == 4
    for number, (line, attempt) in enumerate(zip(attempts, job["attempts"], strict=True), start=1):
        ended = " ".join(str(part) for part in (attempt["status_code"], attempt["error"]) if part)
        assert re.fullmatch(
            rf"attempt {number}  openai  {re.escape(ended)} *  gpt-4  \d\d:\d\d:\d\d  \d+ s", line
        ), (line, attempt)  # fmt: skip
    assert any(re.fullmatch(rf"reason +{job['error']['reason']}", line) for line in shown)
    assert fusionai.json("job", job["id"], status=3) == job


@pytest.mark.parametrize("body", [chat("fine"), embedding()])
def test_a_job_that_went_well_is_shown_with_its_result(
    fusionai: Command, account: Account, body: dict[str, Any]
) -> None:
    job = account.run(body)
    shown = fusionai("job", job["id"]).output
    assert "attempt 1  openai  200  " in shown and '"object"' in shown


def test_the_clients_shapes_are_what_the_server_sends(account: Account, stack: Stack) -> None:
    with stack.script({"contains": "refused", "fault": {"status": 400}}):
        failed, good = account.run(chat("refused")), account.run(chat("fine", metadata={"a": "b"}))
    line = {"custom_id": "a", "url": "/v1/embeddings", "body": {"model": "text-embedding-3-large", "input": "x"}}
    batch = account.live.post("/batches", json={"requests": [line], "metadata": {"a": "b"}}).json()
    refused = account.live.post("/batches", json={"requests": [{**line, "body": {}}], "dry_run": True}).json()
    doomed = {**line, "body": {**line["body"], "input": "refused"}}
    with stack.script({"contains": "refused", "fault": {"status": 400}}):
        made = account.live.post("/batches", json={"requests": [doomed]})
        await_condition(lambda: account.live.get(f"/batches/{made.json()['id']}").json()["status"] == "completed")
    progress = account.live.get(f"/batches/{made.json()['id']}/progress").json()
    assert progress["providers"] and progress["reasons"]
    file = account.live.get(f"/files/{batch['input_file_id']}").json()
    for shape, value in (
        ("Job", failed),
        ("Job", good),
        ("Batch", batch),
        ("DryRun", refused),
        ("File", file),
        ("BatchProgress", progress),
        ("JobPage", account.live.get("/jobs").json()),
    ):
        contract.check_object(shape, value)
