"""Lines of a batch that name no model: each gets its candidates, and is sent again with what it said of the model."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from openai import OpenAI

from tests.acceptance.stack import Account, Stack, chat
from tests.acceptance.test_batches import ended, jsonl, submitted

LLMS = {"llms": ["gemini-3.8-flash", "claude-haiku-5-5", "gpt-6-luna"], "weights": {"price": 1}}
MODELS: tuple[dict[str, Any], ...] = ({}, {"model": LLMS}, {"model": {"exclude_llms": ["ministral-8b-2512"]}})


@pytest.fixture
def client(account: Account) -> Iterator[OpenAI]:
    with OpenAI(base_url=account.stack.url + "/v1", api_key=account.live_key, max_retries=0) as made:
        yield made


def line(number: int, model: dict[str, Any]) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"hello {number}"}]
    body = {"messages": messages, "max_tokens": 40, **model}
    return {"custom_id": f"q-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}


def jobs_of(account: Account, batch_id: str) -> dict[str, dict[str, Any]]:
    found = account.live.get("/jobs", params={"batch_id": batch_id, "limit": 100}).json()["data"]
    return {job["custom_id"]: job for job in found}


def test_lines_without_a_model_are_served_and_retried_as_they_were_asked(client: OpenAI, account: Account) -> None:
    lines = [line(number, MODELS[number % 3]) for number in range(30)]
    with account.stack.script({"contains": "hello 13", "fault": {"status": 400, "code": "invalid_value"}}):
        made = submitted(client, jsonl(*lines))
        done = ended(lambda: client.batches.retrieve(made.id))
    assert done.request_counts.model_dump() == {"total": 30, "completed": 29, "failed": 1}
    jobs = jobs_of(account, made.id)
    for number in range(30):
        job = jobs[f"q-{number}"]
        names = [one["model"] for one in job["routing"]["candidates"]]
        assert 1 <= len(names) <= 4 and job["model"] == names[0] and job["routing"]["weights"]["price"] == 1
        if number % 3 == 1:
            assert set(names) <= set(LLMS["llms"])
        if number % 3 == 2:
            assert "ministral-8b-2512" not in names
        if number != 13:
            assert job["served_by"]["model"] == names[0] and job["charge"]["credits"] > 0
    again = account.live.post(f"/batches/{made.id}/retry").json()
    assert ended(lambda: client.batches.retrieve(again["id"])).request_counts.completed == 1
    (retried,) = jobs_of(account, again["id"]).values()
    assert retried["routing"]["candidates"] == jobs["q-13"]["routing"]["candidates"]
    output = client.files.content(client.batches.retrieve(again["id"]).output_file_id or "").iter_lines()
    assert len([json.loads(text) for text in output]) == 30 and account.stack.violations() == []


def test_a_provider_that_a_test_left_paused_is_well_before_the_next(account: Account, stack: Stack) -> None:
    with account.stack.script({"provider": "openai", "fault": {"status": 401}}):
        failed = account.run(chat())
    assert failed["status"] == "failed" and [one.provider for one in stack.in_trouble()] == ["openai"]
    stack.settle_providers()
    assert stack.in_trouble() == [] and account.run(chat())["status"] == "succeeded"
