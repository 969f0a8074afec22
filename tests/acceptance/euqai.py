"""What tests of Euqai's API share: calls, what holds of good answers and of errors, and what a job was charged."""

import json
from typing import Any

import requests

from shared.db import models as m
from tests import contract
from tests.acceptance.stack import Account
from tests.integration.world import rows

BODY: dict[str, Any] = {
    "model": "euqai-fusion-v1",
    "messages": [{"role": "user", "content": "What is the capital of France?"}],
}
JSON: dict[str, Any] = {"response_format": {"type": "json_object"}}
#: The upstream of the specialist for text.
TEXT_MODEL = "deepseek-ai/DeepSeek-R1-0528"
#: Micro-credits a token, as the catalogue's row says.
INPUT, OUTPUT = 100, 1200


def url(account: Account) -> str:
    return account.stack.url + "/euqai/v1"


def post(account: Account, key: str | None = None, **changes: Any) -> requests.Response:
    """A call with the key that its document shows."""
    headers = {"Authorization": f"Bearer {account.live_key if key is None else key}"}
    body = {name: value for name, value in {**BODY, **changes}.items() if value is not ...}
    return requests.post(url(account) + "/chat/completions", json=body, headers=headers, timeout=60)


def good(answer: requests.Response, object: str = "ChatCompletion") -> dict[str, Any]:
    """A good answer, with what the document says of all of them."""
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    contract.check_object(object, body)
    usage, details = body["usage"], body["usage_details"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    of_prompt = ("text_prompt_tokens", "input_image_tokens", "grounding_tokens")
    assert usage["prompt_tokens"] == sum(details.get(name, 0) for name in of_prompt)
    assert usage["completion_tokens"] == details["text_completion_tokens"] + details.get("output_image_tokens", 0)
    return body


def fault(answer: requests.Response, status: int, code: str) -> str:
    """The message of an error of its form."""
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["code"] == code, answer.text
    return str(answer.json()["error"]["message"])


def job_of(account: Account, answer: Any) -> dict[str, Any]:
    return dict(account.live.get(f"/jobs/{answer.headers['fusionai-job-id']}").json())


def saying(text: str, times: int, **beside: str) -> dict[str, Any]:
    """A rule by which the specialist for text says just this, so many times; `beside`: fields of its message."""
    message = {"role": "assistant", "content": text, **beside}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 30, "completion_tokens": 5, "total_tokens": 35}
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    return {"model": TEXT_MODEL, "times": times, "fault": {"kind": "answer", "body": json.dumps(body)}}


def shown(*images: str) -> list[dict[str, Any]]:
    parts = [{"type": "image_url", "image_url": {"url": one}} for one in images]
    return [{"role": "user", "content": [{"type": "text", "text": "What is in this image?"}, *parts]}]


def charged(account: Account, job: dict[str, Any]) -> None:
    """The charge is the price of the steps' rows, to the micro-credit, and one transfer."""
    steps = rows(account.stack.database, m.job_steps, job_id=job["id"])
    sums = [sum(one[name] for one in steps) for name in ("prompt_tokens", "completion_tokens")]
    assert sums == [job["usage"]["prompt_tokens"], job["usage"]["completion_tokens"]]
    micros = sums[0] * INPUT + sums[1] * OUTPUT
    (charge,) = rows(account.stack.database, m.transfers, subject_id=job["id"], kind="charge")
    assert charge["amount_micros"] == micros == round(job["usage"]["credits_used"] * 1_000_000)
    assert [line["item"] for line in job["charge"]["lines"]][:1] == ["input"]
    assert account.stack.violations() == []
