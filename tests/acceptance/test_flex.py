"""Flex over real HTTP: lines that a cheap tier has no room for are put off, served there later, and cost its price."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from tests.acceptance.stack import Account, Stack, own_stack
from tests.acceptance.test_batches import ended, jsonl, submitted
from tests.catalogues import written

ROW = """
[models.thrifty]
type = "chat.completion"
provider = "openai"
upstream = "thrifty-1"
purpose = ""
input = 2_000_000
output = 8_000_000
max_output = 200
service_tiers.flex = { input = 1_000_000, output = 4_000_000 }
"""
FLEX = '"service_tier":"flex"'
NO_ROOM = {"status": 429, "code": "resource_unavailable", "message": "Resource Unavailable"}
REFUSALS = 2


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that sells a model of the simulator's with a price for flex, and retries soon."""
    directory: Path = tmp_path_factory.mktemp("flex")
    with own_stack(directory, CATALOGUE=written(directory, ROW), RETRY_BASE_SECONDS="0.02") as running:
        yield running


@pytest.fixture
def client(account: Account) -> Iterator[OpenAI]:
    with OpenAI(base_url=account.stack.url + "/v1", api_key=account.live_key, max_retries=0) as made:
        yield made


def line(id: str) -> dict[str, Any]:
    body = {"model": "thrifty", "messages": [{"role": "user", "content": f"hello {id}"}], "service_tier": "flex"}
    return {"custom_id": id, "method": "POST", "url": "/v1/chat/completions", "body": body}


def check(job: dict[str, Any], tier: str) -> None:
    """The job's charge is that of its tier, and its lines add up."""
    charge, usage = job["charge"], job["usage"]
    at = {"flex": (1, 4), "default": (2, 8)}[tier]
    micros = usage["prompt_tokens"] * at[0] + usage["completion_tokens"] * at[1]
    assert charge["service_tier"] == tier and charge["credits"] == usage["credits_used"] == micros / 1_000_000
    assert sum(Decimal(one["credits"]) for one in charge["lines"]) == Decimal(micros) / 1_000_000


def test_lines_without_room_wait_and_cost_the_tier_s_price(client: OpenAI, account: Account) -> None:
    rule = {"contains": FLEX, "each": True, "times": REFUSALS, "fault": NO_ROOM}
    with account.stack.script(rule):
        made = submitted(client, jsonl(*[line(str(number)) for number in range(20)]))
        done = ended(lambda: client.batches.retrieve(made.id))
    assert done.request_counts.model_dump() == {"total": 20, "completed": 20, "failed": 0}
    jobs = account.live.get("/jobs", params={"batch_id": made.id, "limit": 100}).json()["data"]
    assert len(jobs) == 20
    for job in jobs:
        check(job, "flex")
        assert [one["error"] for one in job["attempts"]] == ["resource_unavailable"] * REFUSALS + [None]
    output = [json.loads(text) for text in client.files.content(done.output_file_id).iter_lines()]
    assert len(output) == 20 and account.stack.violations() == []


def test_a_caller_without_time_left_is_served_by_the_usual_tier(client: OpenAI, account: Account) -> None:
    with account.stack.script({"contains": FLEX, "fault": NO_ROOM}):
        body = line("late")["body"]
        answer = account.live.post("/chat/completions", json=body, headers={"Prefer": "wait=6"})
        assert answer.status_code == 200, answer.text
    (job,) = account.live.get("/jobs", params={"limit": 1}).json()["data"]
    check(job, "default")
    assert {one["error"] for one in job["attempts"][:-1]} == {"resource_unavailable"}
    assert account.stack.violations() == []


def test_google_s_models_are_sold_at_half_price_too(account: Account) -> None:
    asked = {**line("google")["body"], "model": "gemini-3.8-flash"}
    for changes, tier in (({}, "flex"), ({"service_tier": "default"}, "default")):
        answer = account.live.post("/chat/completions", json=asked | changes)
        assert answer.status_code == 200, answer.text
        (job,) = account.live.get("/jobs", params={"limit": 1}).json()["data"]
        price = account.live.get("/models/gemini-3.8-flash").json()["price"]
        at = price["service_tiers"]["flex"] if tier == "flex" else price
        assert 2 * price["service_tiers"]["flex"]["input"] == price["input"]
        used = job["usage"]
        micros = used["prompt_tokens"] * at["input"] + used["completion_tokens"] * at["output"]
        assert job["charge"]["service_tier"] == tier
        assert used["credits_used"] == -(-micros // 1_000_000) / 1_000_000
    assert account.stack.violations() == []
