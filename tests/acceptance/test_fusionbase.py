"""Fusionbase's document, statement by statement; only base URL and key are replaced."""

import json
import re
from typing import Any

import pytest
import requests

from tests.acceptance.stack import Account

BODY: dict[str, Any] = {
    "model": "fusion-one",
    "messages": [
        {"role": "system", "content": "You answer in one sentence."},
        {"role": "user", "content": "What is a commercial register?"},
    ],
}


def post(account: Account, body: Any, headers: dict[str, str] | None = None) -> requests.Response:
    """A call with the headers of its document."""
    sent = {"X-API-KEY": account.live_key} if headers is None else headers
    return requests.post(account.stack.url + "/api/v2/chat/completions", json=body, headers=sent, timeout=40)


def fault(answer: requests.Response, status: int, type: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    error = dict(answer.json())
    assert (error["status"], error["type"]) == (status, type) and error["message"], error
    return error


def test_the_answer_has_the_documented_structure(account: Account) -> None:
    answer = post(account, BODY)
    assert answer.status_code == 200, answer.text
    made = answer.json()
    assert re.fullmatch("[0-9a-f]{32}", made["id"])
    assert made["object"] == "chat.completion" and isinstance(made["created"], int) and made["model"] == "fusion-one"
    usage = made["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0
    (choice,) = made["choices"]
    assert choice["message"]["role"] == "assistant" and choice["message"]["content"]
    assert (choice["logprobs"], choice["finish_reason"], choice["index"]) == (None, "stop", 0)


def test_a_stream_has_one_id_of_the_same_form(account: Account) -> None:
    answer = post(account, {**BODY, "stream": True})
    data = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    ids = {json.loads(one)["id"] for one in data[:-1]}
    assert data[-1] == "[DONE]" and len(ids) == 1 and re.fullmatch("[0-9a-f]{32}", ids.pop())


@pytest.mark.parametrize("change, param", [({"model": None}, "model"), ({"messages": []}, "messages")])
def test_an_error_says_what_is_wrong(account: Account, change: dict[str, Any], param: str) -> None:
    assert fault(post(account, {**BODY, **change}), 400, "invalid_request")["param"] == param


def test_its_key_header_and_no_other(account: Account) -> None:
    fault(post(account, BODY, {}), 401, "unauthorized")
    fault(post(account, BODY, {"X-API-KEY": "wrong"}), 401, "unauthorized")
    fault(post(account, BODY, {"Authorization": f"Bearer {account.live_key}"}), 401, "unauthorized")
    both = {"X-API-KEY": account.live_key, "Authorization": f"Bearer {account.live_key}"}
    fault(post(account, BODY, both), 400, "invalid_request")


def test_a_provider_that_fails_is_a_5xx(account: Account) -> None:
    with account.stack.script({"contains": "break here", "fault": {"status": 500}}):
        broken = {**BODY, "messages": [{"role": "user", "content": "break here"}]}
        fault(post(account, broken), 502, "upstream_error")
