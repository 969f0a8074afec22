"""What FusionAI's own documentation says beside its examples: keys, parameters, routing, retries, webhooks, limits."""

import hashlib
import hmac
import json
from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from tests import contract
from tests.acceptance.stack import Account, Stack, embedding, image
from tests.acceptance.test_sdk_requests import calls
from tests.acceptance.test_seed import EMBEDDINGS, IMAGES, QUICK_START, ROUTING, STREAM, TOOLS, WEBHOOKS, post, send
from tests.pictures import data_url, png
from tests.receiver import Receiver

CHAT = post("/chat/completions", QUICK_START.partition("-d '")[2].removesuffix("'"))


def asked(**changes: Any) -> str:
    """The quick start's request, changed."""
    body = json.loads(CHAT.partition("json\n")[2]) | changes
    return post("/chat/completions", json.dumps(body))


@pytest.mark.parametrize("example", [CHAT, EMBEDDINGS, IMAGES, post("/chat/completions", TOOLS)])
def test_a_test_key_is_never_billed_and_its_usage_says_so(account: Account, example: str) -> None:
    tested, billed = (
        send(example, account, "", key=key).json()["usage"] for key in (account.test_key, account.live_key)
    )
    assert tested["test"] is True and tested["credits_used"] == 0
    assert "test" not in billed and billed["credits_used"] > 0
    kept = account.live.get("/credits").json()
    assert Decimal(str(kept["remaining"])) == 10_000 - Decimal(str(billed["credits_used"]))


def test_a_stream_of_a_test_key_says_so_too(account: Account) -> None:
    streamed = STREAM.replace('"stream": true', '"stream": true, "stream_options": {"include_usage": true}')
    answer = send(streamed, account, "", key=account.test_key)
    *_, last, done = [line for line in answer.text.splitlines() if line.startswith("data: ")]
    assert done == "data: [DONE]" and json.loads(last.removeprefix("data: "))["usage"]["test"] is True


def test_a_model_is_named_and_messages_have_role_and_content(account: Account) -> None:
    turns = [
        {"role": "system", "content": "You are brief."},
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "One."},
        {"role": "user", "content": "And the last?"},
    ]
    with account.stack.script():
        assert send(asked(messages=turns), account, "").json()["choices"][0]["message"]["content"]
        assert len(account.stack.seen("anthropic")) == 1
    for wrong, param in (
        ({"model": "no-such-model"}, "model"),
        ({"messages": [{"content": "hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0]"),
        ({"messages": []}, "messages"),
    ):
        answer = send(asked(**wrong), account, "")
        assert answer.status_code == 400 and answer.json()["error"]["param"] == param


@pytest.mark.parametrize(("model", "sent"), [("deepinfra.deepseek-r1", 1), ("claude-3-opus", 0), ("gpt-4", 0)])
def test_temperature_is_07_where_a_model_takes_one(account: Account, model: str, sent: int) -> None:
    """Models that reason take none, and are sent none; one that is given reaches the others as it is."""
    with account.stack.script():
        for given, seen in (({}, "0.7"), ({"temperature": 0.3}, "0.3")):
            body = {"model": model, "messages": [{"role": "user", "content": f"{model} at {seen}"}], **given}
            assert send(post("/chat/completions", json.dumps(body)), account, "").status_code == 200
            assert calls(account.stack, f'"temperature":{seen}') == sent
            assert calls(account.stack, f"{model} at {seen}") == 1


def test_max_tokens_caps_the_answer(account: Account) -> None:
    question = [{"role": "user", "content": "Explain quantum computing in simple terms, at length. " * 5}]
    answer = send(asked(max_tokens=3, messages=question), account, "").json()
    assert answer["choices"][0]["finish_reason"] == "length" and answer["usage"]["completion_tokens"] <= 3


def test_a_multimodal_model_is_shown_a_picture(account: Account) -> None:
    content = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": data_url(png(8, 8))}},
    ]
    answer = send(asked(model="gemini-pro", messages=[{"role": "user", "content": content}]), account, "")
    assert answer.status_code == 200 and answer.json()["model"] == "gemini-pro", answer.text


@pytest.mark.parametrize(
    ("down", "serves"),
    [((), "claude-3-opus"), (("anthropic",), "gpt-4"), (("anthropic", "openai"), "gemini-pro")],
)
def test_fallbacks_serve_in_their_order(account: Account, down: tuple[str, ...], serves: str) -> None:
    """The example's routing; its budget lets the model that was asked for be the first."""
    rules = [{"provider": name, "contains": "in their order", "fault": {"status": 401}} for name in down]
    body = {**json.loads(ROUTING), "messages": [{"role": "user", "content": "in their order"}]}
    with account.stack.script(*rules):
        answer = send(post("/chat/completions", json.dumps(body)), account, "")
    assert answer.status_code == 200 and answer.json()["model"] == serves, answer.text
    (job,) = account.live.get("/jobs").json()["data"]
    assert job["model"] == "claude-3-opus" and job["served_by"]["model"] == serves
    assert job["routing"]["budget"] == "balanced"


def test_what_a_provider_fails_at_is_retried_three_times(account: Account) -> None:
    """By the system itself, before the caller hears of it; each time it waits longer."""
    rule = {"contains": "Summarize this", "provider": "anthropic", "fault": {"status": 500}, "times": 3}
    with account.stack.script(rule):
        assert send(CHAT, account, "").status_code == 200
        begun = [call["at"] for call in account.stack.seen("anthropic")]
    pauses = [later - earlier for earlier, later in pairwise(begun)]
    assert len(begun) == 4 and min(pauses) > 0
    (job,) = account.live.get("/jobs").json()["data"]
    assert [attempt["status_code"] for attempt in job["attempts"]] == [500, 500, 500, 200]
    assert account.live.get("/usage").json()["credits_used"] == job["usage"]["credits_used"]


def test_a_client_that_retries_as_documented_buys_once(account: Account) -> None:
    """On 429 and 5xx, three times, longer each time, with its key: here until a slow answer is there."""
    policy = Retry(3, backoff_factor=0.1, status_forcelist=(429, 500, 502, 503, 504), allowed_methods=None)
    headers = {"Authorization": f"Bearer {account.live_key}", "Idempotency-Key": "retried", "Prefer": "wait=1"}
    body = json.loads(CHAT.partition("json\n")[2])
    slow = {"contains": "Summarize this", "fault": {"latency_seconds": 1.5}}
    with requests.Session() as session, account.stack.script(slow):
        session.mount("http://", HTTPAdapter(max_retries=policy))
        answer = session.post(account.stack.url + "/chat/completions", json=body, headers=headers, timeout=30)
    assert answer.status_code == 200 and answer.headers["idempotent-replayed"] == "true"
    (job,) = account.live.get("/jobs").json()["data"]
    assert account.live.get("/usage").json()["credits_used"] == job["usage"]["credits_used"]


PAGED: dict[str, Callable[[Account], Any]] = {
    "/jobs": lambda it: it.submit(embedding()),
    "/usage": lambda it: it.run(embedding()),
    "/credits/transfers": lambda it: it.run(embedding()),
    "/events": lambda it: it.run(embedding()),
    "/webhooks": lambda it: it.live.post("/webhooks", json={"url": "http://127.0.0.1:9/hook"}),
    "/batches": lambda it: it.live.post("/batches", json={"requests": [LINE]}),
    "/models": lambda it: None,
    "/files": lambda it: it.live.post("/files", files={"file": ("a.jsonl", b"{}\n")}, data={"purpose": "batch"}),
}
LINE = {"custom_id": "a", "url": "/v1/embeddings", "body": {"model": "text-embedding-3-large", "input": "hi"}}


def test_each_list_is_documented_as_paged() -> None:
    """But for Anthropic's, which have names of their own for it."""
    document = contract.document()
    lists = 0
    for path, operations in document["paths"].items():
        shown = operations.get("get", {}).get("responses", {}).get("200", {}).get("content", {})
        name = shown.get("application/json", {}).get("schema", {}).get("$ref", "").rpartition("/")[2]
        answered = document["components"]["schemas"].get(name, {}).get("properties", {})
        if "has_more" in answered and not path.startswith("/v1/messages/"):
            named = {one.get("name") or one["$ref"].rpartition("/")[2] for one in operations["get"]["parameters"]}
            assert {"limit", "after"} <= named, path
            lists += 1
    assert lists > len(PAGED)


@pytest.mark.parametrize("path", PAGED)
def test_every_list_is_paged_by_limit_and_after(account: Account, path: str) -> None:
    for _ in range(3):
        PAGED[path](account)
    whole = [row["id"] for row in account.live.get(path, params={"limit": 100}).json()["data"]]
    seen: list[str] = []
    more: dict[str, str] = {}
    while page := account.live.get(path, params={"limit": 2, **more}).json():
        assert len(page["data"]) <= 2
        seen += [row["id"] for row in page["data"]]
        if not page["has_more"]:
            break
        more = {"after": seen[-1]}
    assert set(whole) <= set(seen) and len(seen) == len(set(seen)) >= 3
    assert account.live.get(path, params={"limit": 0}).json()["error"]["param"] == "limit"


def test_the_documented_webhook_hears_of_thresholds_and_bills(account: Account) -> None:
    """Registered as in the example, but for its address; every delivery verifies as a reader would do it by hand."""
    with Receiver() as receiver:
        example = WEBHOOKS.replace("https://example.com/webhooks/fusionai", receiver.url)
        secret = send(example, account, "").json()["secret"]
        account.live.put("/credits/thresholds", json={"thresholds": [{"kind": "spent", "credits": 5}]})
        account.run(image())
        account.live.post("/batches", json={"requests": [LINE]})
        found = receiver.wait_for(lambda seen: len(seen) >= 2, timeout=40)
    events = {}
    for delivery in found:
        signature = dict(part.split("=", 1) for part in delivery.headers["fusionai-signature"].split(","))
        signed = signature["t"].encode() + b"." + delivery.body
        assert signature["v1"] == hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
        event = json.loads(delivery.body)
        events[event["type"]] = event["data"]
    assert set(events) == {"credit.threshold", "invoice.paid"}
    assert events["credit.threshold"]["credits_spent"] == 10
    assert events["invoice.paid"]["invoice"]["status"] == "paid"


@pytest.mark.parametrize(("plan", "limit"), [("starter", 100), ("professional", 600), ("business", 2500)])
def test_a_plan_has_its_requests_a_minute(stack: Stack, plan: str, limit: int) -> None:
    customer = stack.account(plan=plan)
    answer = customer.live.post("/chat/completions", json={})
    assert answer.headers["x-ratelimit-limit-requests"] == str(limit)
    assert answer.headers["x-ratelimit-remaining-requests"] == str(limit - 1)
    customer.close()


def test_the_hundred_and_first_of_a_starter_is_refused(stack: Stack) -> None:
    customer = stack.account(plan="starter")
    answers = [customer.live.post("/embeddings", json={}) for _ in range(101)]
    assert [answer.status_code for answer in answers] == [400] * 100 + [429]
    error = answers[-1].json()["error"]
    assert (error["type"], error["code"]) == ("rate_limit_exceeded", 429) and error["message"]
    assert int(answers[-1].headers["retry-after"]) > 0
    customer.close()
