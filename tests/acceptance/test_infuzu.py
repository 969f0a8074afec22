"""Infuzu's document, statement by statement, and what its own Python client sends and reads."""

import json
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from tests.acceptance.documented import by_curl, replaced, to
from tests.acceptance.stack import Account

#: As its client writes a message: every field, those that were not given as null.
MESSAGES = [{"content": "What is the capital of France?", "role": "user", "name": None}]
CURL = r"""curl https://<base_url>/chat/completions \
-H "Content-Type: application/json" -H "Infuzu-API-Key: your_api_key_here" \
-d '{"messages": [{"role": "user", "content": "Hello!"}], "model": "deepinfra.deepseek-r1"}'"""


class Completion(BaseModel):
    """How its client reads an answer: usage is whole numbers by name."""

    id: str
    choices: list[dict[str, Any]]
    created: int
    model: str
    object: str
    usage: dict[str, int]


class Fault(BaseModel):
    """How its client reads an error of the list."""

    code: str
    message: str
    type: str


def post(account: Account, body: dict[str, Any], headers: dict[str, str] | None = None) -> httpx.Response:
    """A call as its client makes it."""
    sent = {"Infuzu-API-Key": account.live_key} if headers is None else headers
    url = account.stack.url + "/infuzu/v1/chat/completions"
    return httpx.post(url, json=body, headers=sent, timeout=40, trust_env=False)


def completion(answer: httpx.Response) -> Completion:
    assert answer.status_code == 200, answer.text
    return Completion.model_validate(answer.json(), strict=True)


def fault(answer: httpx.Response, status: int) -> Fault:
    assert answer.status_code == status, answer.text
    (one,) = answer.json()["errors"]
    return Fault.model_validate(one, strict=True)


@pytest.mark.parametrize("base", ["/infuzu/v1", ""], ids=["prefix", "host"])
def test_curl_with_its_key_header(account: Account, base: str) -> None:
    """At its prefix here; and at the address that its client calls."""
    url = account.stack.url + base if base else "http://chat.infuzu.com/api/v1"
    here = {"https://<base_url>": url, "your_api_key_here": account.live_key}
    answer = Completion.model_validate(by_curl(replaced(CURL, here), *([] if base else to(account.stack))).json)
    assert answer.model == "deepinfra.deepseek-r1" and answer.choices[0]["message"]["content"]


def test_the_model_may_be_left_out(account: Account) -> None:
    answer = completion(post(account, {"messages": MESSAGES}))
    assert answer.usage["total_tokens"] == answer.usage["prompt_tokens"] + answer.usage["completion_tokens"]
    (job,) = account.live.get("/jobs").json()["data"]
    assert job["model"] == answer.model and job["usage"]["credits_used"] > 0
    weights = account.live.get(f"/jobs/{job['id']}").json()["routing"]["weights"]
    assert weights == {"price": 1, "error": 1, "start_latency": 1, "end_latency": 1}


def test_messages_are_a_conversation_of_three_roles(account: Account) -> None:
    turns = [("system", "Be brief."), ("user", "Hello!"), ("assistant", "Hello."), ("user", "And now?")]
    messages = [{"role": role, "content": content, "name": None} for role, content in turns]
    answer = completion(post(account, {"messages": messages, "model": "gpt-4"}))
    assert "And now?" in answer.choices[0]["message"]["content"]


def test_choices_stand_in_their_order(account: Account) -> None:
    answer = completion(post(account, {"messages": MESSAGES, "model": "gpt-4", "n": 2}))
    assert [choice["index"] for choice in answer.choices] == [0, 1]


def test_the_key_is_judged_before_the_payload(account: Account) -> None:
    assert fault(post(account, {"messages": 7}, {"Infuzu-API-Key": "wrong"}), 401).type == "unauthorized"
    assert fault(post(account, {"messages": 7}), 400).type == "invalid_request"


def test_a_bearer_key_is_as_good_and_two_keys_are_refused(account: Account) -> None:
    bearer = {"Authorization": f"Bearer {account.live_key}"}
    completion(post(account, {"messages": MESSAGES}, bearer))
    both = fault(post(account, {"messages": MESSAGES}, {**bearer, "Infuzu-API-Key": account.live_key}), 400)
    assert "more than one authentication header" in both.message
    for headers in ({}, {"Infuzu-API-Key": "wrong"}, {"X-API-Key": account.live_key}):
        assert fault(post(account, {"messages": MESSAGES}, headers), 401).type == "unauthorized"


def test_the_model_object_selects(account: Account) -> None:
    """As its client dumps `InfuzuModelParams`: `imsn`, which no document explains, is null."""
    model = {
        "llms": ["claude-3-sonnet", "gpt-4"],
        "exclude_llms": ["gpt-4"],
        "weights": {"price": 2.0, "error": None, "start_latency": 0.0, "end_latency": None},
        "imsn": None,
        "max_input_cost": None,
        "max_output_cost": None,
    }
    assert completion(post(account, {"messages": MESSAGES, "model": model})).model == "claude-3-sonnet"
    (job,) = account.live.get("/jobs").json()["data"]
    weights = account.live.get(f"/jobs/{job['id']}").json()["routing"]["weights"]
    assert weights == {"price": 2, "error": 1, "end_latency": 1}


def test_costs_are_by_character_and_a_filter_that_leaves_nothing_is_named(account: Account) -> None:
    """The costs of a character, from the price of a million tokens, of four characters each."""
    rows = {row["id"]: row for row in account.live.get("/models").json()["data"]}
    names = ["claude-3-opus", "gpt-3.5-turbo"]
    cheap, dear = sorted(float(rows[name]["price"]["output"]) / 4_000_000 / 1_000_000 for name in names)
    model: dict[str, Any] = {"llms": names, "max_output_cost": (cheap + dear) / 2}
    assert completion(post(account, {"messages": MESSAGES, "model": model})).model == "gpt-3.5-turbo"
    none = fault(post(account, {"messages": MESSAGES, "model": {**model, "max_output_cost": cheap / 2}}), 400)
    assert "max_output_cost" in none.message
    none = fault(post(account, {"messages": MESSAGES, "model": {**model, "max_input_cost": 0}}), 400)
    assert "max_input_cost" in none.message


@pytest.mark.parametrize(
    "body, param",
    [
        ({}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]},
         "messages[0].content[0].type"),
        ({"messages": MESSAGES, "model": 7}, "model"),
        ({"messages": MESSAGES, "model": {"llms": ["no-such-model"]}}, "model.llms[0]"),
        ({"messages": MESSAGES, "model": {"weights": {"price": -1}}}, "model.weights.price"),
        ({"messages": MESSAGES, "model": {"imsn": 3}}, "model.imsn"),
    ],
)  # fmt: skip
def test_a_bad_request_is_a_400_that_names_the_field(account: Account, body: dict[str, Any], param: str) -> None:
    answer = post(account, body)
    found = fault(answer, 400)
    assert (found.type, found.code) == ("invalid_request", "invalid_request")
    assert answer.json()["errors"][0]["param"] == param


def test_it_streams(account: Account) -> None:
    body = {"messages": MESSAGES, "model": "gpt-4", "stream": True, "stream_options": {"include_usage": True}}
    answer = post(account, body)
    data = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    assert answer.headers["content-type"].startswith("text/event-stream") and data[-1] == "[DONE]"
    chunks = [json.loads(one) for one in data[:-1]]
    said = "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
    assert "capital of France" in said
    usage = chunks[-1]["usage"]
    assert set(usage) == {"prompt_tokens", "completion_tokens", "total_tokens"}


def test_the_native_routes_are_not_under_it(account: Account) -> None:
    url = account.stack.url + "/infuzu/v1/jobs"
    answer = httpx.get(url, headers={"Infuzu-API-Key": account.live_key}, trust_env=False)
    assert fault(answer, 404).type == "not_found"
