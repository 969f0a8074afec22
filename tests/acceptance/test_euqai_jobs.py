"""Jobs of euqai-fusion-v1: what they are charged, lines of batches, the native API, test keys, a killed worker."""

import json
from typing import Any

import httpx
import pytest

from tests import contract, pictures
from tests.acceptance import sse
from tests.acceptance.euqai import BODY, JSON, TEXT_MODEL, charged, good, job_of, post, saying, shown
from tests.acceptance.stack import Account, Stack
from tests.conditions import await_condition

MODEL = "euqai-fusion-v1"
DRAWING = "Draw a picture of a cat."
DRAW: list[dict[str, Any]] = [{"role": "user", "content": DRAWING}]


def test_the_money_is_that_of_the_steps(account: Account) -> None:
    answer = post(account)
    job = job_of(account, answer)
    assert job["model"] == "euqai-fusion-v1" and job["served_by"]["model"] == "euqai-fusion-v1"
    assert [one["model"] for one in job["attempts"]] == ["mistral-small-2603", "deepinfra.deepseek-r1"]
    charged(account, job)
    usage = account.live.get("/usage").json()
    assert usage["credits_used"] == job["usage"]["credits_used"] and len(usage["data"]) == 1
    assert [event["type"] for event in account.live.get("/events").json()["data"]] == ["job.completed"]
    assert [one["id"] for one in account.live.get("/jobs").json()["data"]] == [job["id"]]


def test_pictures_and_repairs_are_charged_to_the_micro_credit(account: Account) -> None:
    seen = post(account, messages=shown(pictures.data_url(pictures.png(64, 64))))
    with account.stack.script(saying("Here it is: {", 1)):
        repaired = post(account, **JSON)
    for answer in (seen, repaired, post(account, messages=DRAW)):
        charged(account, job_of(account, answer))
    assert [one["model"] for one in job_of(account, seen)["attempts"]] == ["mistral-large-4"]


def test_lines_of_a_batch_take_their_steps(account: Account) -> None:
    bodies = {"text": BODY, "image": {**BODY, "messages": DRAW}, "json": {**BODY, **JSON}}
    lines = [
        {"custom_id": name, "url": "/v1/chat/completions", "method": "POST", "body": body}
        for name, body in bodies.items()
    ]
    made = account.live.post("/batches", json={"requests": lines, "completion_window": "24h"})
    assert made.status_code == 200, made.text
    batch = finished(account, made.json()["id"])
    assert batch["request_counts"] == {"total": 3, "completed": 3, "failed": 0}
    output = account.live.get(f"/files/{batch['output_file_id']}/content").text
    found = {line["custom_id"]: line["response"]["body"] for line in map(json.loads, output.splitlines())}
    assert found["image"]["usage_details"]["output_image_tokens"] == 10486
    assert isinstance(json.loads(found["json"]["choices"][0]["message"]["content"]), dict)
    assert account.stack.violations() == []


def finished(account: Account, id: str) -> dict[str, Any]:
    """A batch when it has ended."""

    def over() -> dict[str, Any] | None:
        batch = dict(account.live.get(f"/batches/{id}").json())
        return batch if batch["status"] in ("completed", "failed") else None

    return await_condition(over, what=f"the end of {id}") or {}


def test_natively_it_is_a_model_like_any_other(account: Account) -> None:
    """Its images are in the message, streamed or not, and JSON is streamed when it is known to be valid."""
    made = account.live.post("/chat/completions", json={**BODY, "messages": DRAW}).json()
    assert made["choices"][0]["message"]["images"][0]["revised_prompt"]
    chunks = streamed(account, messages=DRAW)
    (images,) = [choice["delta"]["images"] for choice in choices(chunks) if "images" in choice["delta"]]
    assert images[0]["image_url"]["url"].startswith("data:image/png;base64,")
    text = "".join(choice["delta"].get("content") or "" for choice in choices(streamed(account, **JSON)))
    assert isinstance(json.loads(text), dict)


def streamed(account: Account, **changes: Any) -> list[Any]:
    with account.live.stream("POST", "/chat/completions", json={**BODY, **changes, "stream": True}) as answer:
        return [one.json for one in list(sse.events(answer))[:-1]]


def choices(chunks: list[Any]) -> list[Any]:
    return [choice for chunk in chunks for choice in chunk["choices"]]


@pytest.mark.parametrize(
    "path, body, headers",
    [
        ("/v1/responses", {"model": MODEL, "input": DRAWING}, {}),
        ("/v1/messages", {"model": MODEL, "messages": DRAW, "max_tokens": 100}, {"anthropic-version": "2023-06-01"}),
        ("/infuzu/v1/chat/completions", {"model": MODEL, "messages": DRAW}, {}),
        ("/fluence/v1/chat/completions", {"model": MODEL, "messages": DRAW, "temperature": 0}, {}),
        ("/api/v2/chat/completions", {"model": MODEL, "messages": DRAW}, {"x-api-key": "{key}"}),
    ],
)
def test_every_other_dialect_has_the_model_too(account: Account, path: str, body: Any, headers: dict[str, str]) -> None:
    """What it answers with for a picture is good by its own part of the document, and the same again."""
    key = {"authorization": "Bearer {key}"} if "x-api-key" not in headers else {}
    given = {name: value.format(key=account.live_key) for name, value in (headers | key).items()}
    for _ in range(2):
        answer = httpx.post(account.stack.url + path, json=body, headers=given, timeout=60, trust_env=False)
        assert answer.status_code == 200, answer.text[:300]
        contract.check("POST", path, answer)
        charged(account, job_of(account, answer))


def test_a_test_key_walks_the_same_way(account: Account) -> None:
    body = good(post(account, key=account.test_key, messages=DRAW), "EuqaiImages")
    assert body["usage"]["test"] is True and body["usage"]["credits_used"] == 0


@pytest.mark.chaos
def test_a_killed_worker_repeats_no_finished_step_and_charges_once(stack: Stack) -> None:
    """The conductor has spoken when the worker dies in the midst of the specialist's call; its lease runs for 30 s."""
    account = stack.account()
    with stack.script({"model": TEXT_MODEL, "times": 1, "fault": {"latency_seconds": 60}}):
        job = account.submit({"type": "chat.completion", **BODY})
        await_condition(lambda: stack.seen("deepinfra"), what="the specialist's call")
        stack.replace("workers.app")
        done = account.finished(job["id"])
        conducted = stack.seen("mistral")
    assert done["status"] == "succeeded" and len(conducted) == 1
    charged(account, done)
    account.close()


def test_a_stream_that_is_cancelled_is_charged_with_the_steps_before_it(account: Account) -> None:
    slow = {"model": TEXT_MODEL, "fault": {"kind": "stall", "tokens": 3}}
    with account.stack.script(slow):
        with account.live.stream("POST", "/chat/completions", json={**BODY, "stream": True}) as answer:
            id = answer.headers["fusionai-job-id"]
            next(sse.events(answer))
            assert account.live.post(f"/jobs/{id}/cancel").status_code == 200
            done = account.finished(id)
    conductor = done["usage"]["prompt_tokens"] - 1
    assert done["status"] == "cancelled" and done["usage"]["estimated"] is True and conductor > 0
    micros = done["usage"]["prompt_tokens"] * 100 + done["usage"]["completion_tokens"] * 1200
    assert round(done["usage"]["credits_used"] * 1_000_000) == micros
    assert account.stack.violations() == []
