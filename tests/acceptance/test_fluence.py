"""Fluence's document, statement by statement; only base URL and key are replaced."""

import json
import shlex
import subprocess
from typing import Any

import httpx
import pytest
import requests

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


def test_the_example_request_gets_the_example_response(account: Account) -> None:
    command = EXAMPLE.replace("https://api.fluence.ai/v1", account.stack.url + "/fluence/v1")
    command = command.replace("YOUR_API_KEY", account.live_key).replace("\\\n", " ")
    ran = subprocess.run([*shlex.split(command), "-sS", "--noproxy", "*"], capture_output=True, timeout=40, check=True)
    answer = json.loads(ran.stdout)
    assert answer["id"] and answer["object"] == "chat.completion" and answer["model"] == "fluence-chat"
    assert isinstance(answer["created"], int)
    (choice,) = answer["choices"]
    assert choice["index"] == 0 and choice["finish_reason"] == "stop" and choice["message"]["role"] == "assistant"
    assert choice["message"]["content"]
    usage = answer["usage"]
    assert usage["prompt_tokens"] > 0 and usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_it_streams_and_limits_tokens(account: Account) -> None:
    with post(account, {**BODY, "stream": True, "max_tokens": 5}, stream=True) as answer:
        assert answer.status_code == 200
        data = [line.decode().removeprefix("data: ") for line in answer.iter_lines() if line.startswith(b"data: ")]
    assert data[-1] == "[DONE]" and json.loads(data[0])["object"] == "chat.completion.chunk"


@pytest.mark.parametrize(
    "change, param",
    [
        ({"model": None}, "model"),
        ({"model": {"llms": ["gpt-4"]}}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [{"content": "hello"}]}, "messages[0].role"),
        ({"temperature": 2.1}, "temperature"),
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
