"""Fluence's document, statement by statement; only base URL and key are replaced."""

import json
from typing import Any

import httpx
import pytest
import requests

from tests.acceptance.documented import by_curl, check_like, replaced, to
from tests.acceptance.stack import Account

EXAMPLE = r"""curl https://api.fluence.ai/v1/chat/completions \
-H "Authorization: Bearer YOUR_API_KEY" \
-H "Content-Type: application/json" \
-d '{
"model": "fluence-chat",
"messages": [
{
"role": "user",
"content": "Hello, how are you?"
}
],
"temperature": 0.7
}'"""
ANSWER = """{
"id": "chatcmpl-123",
"object": "chat.completion",
"created": 1677652288,
"model": "fluence-chat",
"choices": [
{
"index": 0,
"message": {
"role": "assistant",
"content": "I'm doing well, thank you for asking! How can I help you today?"
},
"finish_reason": "stop"
}
],
"usage": {
"prompt_tokens": 9,
"completion_tokens": 12,
"total_tokens": 21
}
}"""
BODY: dict[str, Any] = {"model": "fluence-chat", "messages": [{"role": "user", "content": "Hello, how are you?"}]}


def post(account: Account, body: Any, key: str | None = None, **more: Any) -> requests.Response:
    """A call with the key that its document shows."""
    headers = {"Authorization": f"Bearer {account.live_key if key is None else key}"}
    url = account.stack.url + "/fluence/v1/chat/completions"
    return requests.post(url, json=body, headers=headers, timeout=40, **more)


def fault(answer: requests.Response, status: int, code: str) -> str:
    """The message of an error of its form."""
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["code"] == code, error
    return str(error["message"])


@pytest.mark.parametrize("base", ["/fluence/v1", ""], ids=["prefix", "host"])
def test_the_example_request_gets_the_example_response(account: Account, base: str) -> None:
    """At its prefix here; and, where its host leads here, just as it stands."""
    url = account.stack.url + base if base else "http://api.fluence.ai/v1"
    here = {"https://api.fluence.ai/v1": url, "YOUR_API_KEY": account.live_key}
    answer = by_curl(replaced(EXAMPLE, here), *([] if base else to(account.stack))).json
    check_like(answer, json.loads(ANSWER))
    assert answer["object"] == "chat.completion" and answer["model"] == "fluence-chat"
    (choice,) = answer["choices"]
    assert (choice["index"], choice["finish_reason"], choice["message"]["role"]) == (0, "stop", "assistant")
    usage = answer["usage"]
    assert usage["prompt_tokens"] > 0 and usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_it_streams_and_limits_tokens(account: Account) -> None:
    with post(account, {**BODY, "stream": True, "max_tokens": 5}, stream=True) as answer:
        assert answer.status_code == 200
        data = [line.decode().removeprefix("data: ") for line in answer.iter_lines() if line.startswith(b"data: ")]
    assert data[-1] == "[DONE]" and json.loads(data[0])["object"] == "chat.completion.chunk"


def test_functions_are_called(account: Account) -> None:
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
    answer = post(account, {**BODY, "tools": [tool], "tool_choice": "required"})
    (choice,) = answer.json()["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["tool_calls"][0]["function"]["name"] == "get_weather"


@pytest.mark.parametrize("temperature", [0, 0.5, 2])
def test_temperatures_from_0_to_2_are_taken(account: Account, temperature: float) -> None:
    assert post(account, {**BODY, "temperature": temperature}).status_code == 200


def test_max_tokens_bounds_the_answer(account: Account) -> None:
    answer = post(account, {**BODY, "max_tokens": 2}).json()
    assert answer["choices"][0]["finish_reason"] == "length" and answer["usage"]["completion_tokens"] <= 2


@pytest.mark.parametrize(
    "change, param",
    [
        ({"model": None}, "model"),
        ({"model": 5}, "model"),
        ({"model": {"llms": [5]}}, "model.llms[0]"),
        ({"messages": None}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [{"content": "hello"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0]"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": -0.1}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stream": "yes"}, "stream"),
    ],
)
def test_an_invalid_request_is_one_of_its_codes(account: Account, change: dict[str, Any], param: str) -> None:
    answer = post(account, {**BODY, **change})
    assert fault(answer, 400, "invalid_request") and answer.json()["error"]["param"] == param


def test_the_other_codes(account: Account) -> None:
    fault(post(account, BODY, key="wrong"), 401, "authentication_error")
    poor = account.stack.account(credits=0)
    fault(post(poor, BODY), 402, "insufficient_credits")
    with account.stack.script({"contains": "break now", "fault": {"status": 500}}):
        broken = {**BODY, "messages": [{"role": "user", "content": "break now"}]}
        fault(post(account, broken), 502, "server_error")


def test_a_key_has_a_hundred_requests_a_minute_and_a_thousand_an_hour(account: Account) -> None:
    """Bad requests count too, and cost nothing; another key, and the native API, have limits of their own."""
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {account.live_key}"
        url = account.stack.url + "/fluence/v1/chat/completions"
        answers = [session.post(url, json={}, timeout=40) for _ in range(101)]
    assert [answer.status_code for answer in answers[:100]] == [400] * 100
    assert answers[0].headers["x-ratelimit-limit-requests"] == "100"
    assert "100 requests per minute" in fault(answers[100], 429, "rate_limit_exceeded")
    assert int(answers[100].headers["retry-after"]) > 0
    assert post(account, BODY, key=account.test_key).status_code == 200
    assert account.live.post("/jobs", json={"type": "chat.completion", **BODY}).status_code == 202


def test_a_call_is_a_job_of_the_account(account: Account) -> None:
    answer: Any = post(account, BODY)
    (job,) = account.live.get("/jobs").json()["data"]
    assert job["id"] == answer.headers["fusionai-job-id"] and job["usage"]["credits_used"] > 0
    other = httpx.get(f"{account.stack.url}/fluence/v1/jobs/{job['id']}", trust_env=False)
    assert other.status_code == 404 and other.json()["error"]["code"] == "invalid_request"


def same(account: Account, key: str | None = None, **changes: Any) -> Any:
    """The answer to a request at temperature 0 that is the same each time, but for the changes."""
    headers = changes.pop("headers", {})
    answer = requests.post(
        account.stack.url + "/fluence/v1/chat/completions",
        json={**BODY, "temperature": 0, **changes},
        headers={"Authorization": f"Bearer {key or account.live_key}", **headers},
        timeout=40,
    )
    assert answer.status_code == 200, answer.text
    return answer


def test_a_deterministic_request_is_answered_from_the_cache(account: Account) -> None:
    """Once it has been answered: as a job of its own, which says so, costs nothing and asks no provider."""
    first = same(account)
    asked = len(account.stack.seen("openai"))
    second = same(account, metadata={"mine": "1"})
    assert len(account.stack.seen("openai")) == asked
    paid = first.json()["usage"]["credits_used"]
    assert "cached" not in first.json() and paid > 0
    assert second.json() == {
        **first.json(),
        "usage": {**first.json()["usage"], "credits_used": 0},
        "cached": True,
    }
    assert second.headers["fusionai-credits-used"] == "0"
    job = account.live.get(f"/jobs/{second.headers['fusionai-job-id']}").json()
    assert job["id"] != first.headers["fusionai-job-id"] and job["cached"] is True and job["status"] == "succeeded"
    assert job["result"] == second.json() and job["charge"]["reason"] == "cached" and job["metadata"] == {"mine": "1"}
    assert account.live.get("/usage").json()["credits_used"] == paid
    events = account.live.get("/events").json()["data"]
    assert [event["type"] for event in events] == ["job.completed"] * 2


def test_a_cached_answer_is_streamed_when_a_stream_is_asked_for(account: Account) -> None:
    text = same(account).json()["choices"][0]["message"]["content"]
    streamed = same(account, stream=True, stream_options={"include_usage": True})
    data = [line.removeprefix("data: ") for line in streamed.text.splitlines() if line.startswith("data: ")]
    *chunks, usage = [json.loads(one) for one in data[:-1]]
    assert data[-1] == "[DONE]" and all(chunk["cached"] is True for chunk in (*chunks, usage))
    assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks) == text
    assert usage["usage"]["credits_used"] == 0


def test_what_is_not_answered_from_the_cache(account: Account) -> None:
    """Another question, account or mode, and whoever says so; `/v1` has no cache."""
    same(account)
    assert "cached" not in same(account, max_tokens=100).json()
    assert "cached" not in same(account, key=account.test_key).json()
    assert (
        same(account, key=account.test_key).json()["cached"]
        and same(account, key=account.test_key).json()["usage"]["test"]
    )
    for said in ("no-cache", "no-store", "max-age=0"):
        assert "cached" not in same(account, headers={"Cache-Control": said}).json()
    other = account.stack.account()
    assert "cached" not in same(other).json()
    other.close()
    assert "cached" not in account.live.post("/chat/completions", json={**BODY, "temperature": 0}).json()
    warm = {**BODY, "temperature": 0.7}
    assert "cached" not in post(account, warm).json() and "cached" not in post(account, warm).json()


def test_an_idempotency_key_repeats_a_cached_answer(account: Account) -> None:
    same(account)
    first, again = (same(account, headers={"Idempotency-Key": "k"}) for _ in range(2))
    assert first.headers["fusionai-job-id"] == again.headers["fusionai-job-id"]
    assert again.headers["idempotent-replayed"] == "true" and again.json() == first.json() and first.json()["cached"]


def test_a_failure_is_not_cached(account: Account) -> None:
    question = [{"role": "user", "content": "fail this once"}]
    with account.stack.script({"contains": "fail this once", "fault": {"status": 400}}):
        assert post(account, {**BODY, "temperature": 0, "messages": question}).status_code == 400
    assert "cached" not in same(account, messages=question).json()
    assert same(account, messages=question).json()["cached"] is True


def test_a_caller_who_does_not_wait_gets_the_job_that_has_ended(account: Account) -> None:
    same(account)
    url = account.stack.url + "/fluence/v1/chat/completions"
    headers = {"Authorization": f"Bearer {account.live_key}", "Prefer": "respond-async"}
    answer = requests.post(url, json={**BODY, "temperature": 0}, headers=headers, timeout=40)
    assert answer.status_code == 202
    job = account.live.get(f"/jobs/{answer.json()['id']}").json()
    assert job["status"] == "succeeded" and job["cached"] is True
