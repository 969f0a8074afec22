"""Euqai's document, statement by statement; of its examples only base URL and key are replaced."""

import base64
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests

from shared.db import models as m
from tests import contract, pictures
from tests.acceptance import sse
from tests.acceptance.euqai_examples import (
    ANALYSIS,
    CURL,
    CURL_JSON,
    DOCUMENTED,
    NODE,
    NODE_MODULES,
    PYTHON,
    PYTHON_STREAM,
)
from tests.acceptance.stack import Account, Stack
from tests.conditions import await_condition
from tests.integration.world import rows

BODY: dict[str, Any] = {
    "model": "euqai-fusion-v1",
    "messages": [{"role": "user", "content": "What is the capital of France?"}],
}
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


def documented(text: str, account: Account) -> str:
    return text.replace(DOCUMENTED, url(account))


def job_of(account: Account, answer: Any) -> dict[str, Any]:
    return dict(account.live.get(f"/jobs/{answer.headers['fusionai-job-id']}").json())


def run_curl(account: Account, example: str) -> dict[str, Any]:
    command = documented(example, account).replace("$EUQAI_API_KEY", account.live_key).replace("\\\n", " ")
    ran = subprocess.run([*shlex.split(command), "-sS", "--noproxy", "*"], capture_output=True, timeout=60, check=True)
    return dict(json.loads(ran.stdout))


def run_python(account: Account, example: str, monkeypatch: pytest.MonkeyPatch, **names: Any) -> None:
    monkeypatch.setenv("EUQAI_API_KEY", account.live_key)
    exec(documented(example, account), {**names})


def test_the_curl_example_gets_the_standard_text_response(account: Account) -> None:
    answer = run_curl(account, CURL)
    assert answer["id"].startswith("chatcmpl-") and answer["object"] == "chat.completion"
    assert answer["model"] == "euqai-fusion-v1" and isinstance(answer["created"], int)
    (choice,) = answer["choices"]
    assert choice["index"] == 0 and choice["finish_reason"] == "stop" and choice["message"]["role"] == "assistant"
    assert "What is the capital of France?" in choice["message"]["content"]
    assert answer["usage_details"].keys() == {"text_prompt_tokens", "text_completion_tokens"}


def test_the_python_example_prints_the_response(
    account: Account, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_python(account, PYTHON, monkeypatch)
    assert "Explain quantum computing" in capsys.readouterr().out


def test_the_node_example_prints_the_response(account: Account, tmp_path: Path) -> None:
    for name, source in NODE_MODULES.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.js").write_text(source)
    node = shutil.which("node")
    assert node, "node is needed, as for the SDK"
    environment = {"NODE_PATH": str(tmp_path), "EUQAI_API_KEY": account.live_key}
    command = [node, "-e", documented(NODE, account)]
    ran = subprocess.run(command, capture_output=True, timeout=60, check=True, env=environment)
    assert "Write a short poem about Eindhoven." in json.loads(ran.stdout)["choices"][0]["message"]["content"]


def test_the_streaming_example_prints_the_story_as_it_comes(
    account: Account, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_python(account, PYTHON_STREAM, monkeypatch)
    out = capsys.readouterr().out
    assert "Tell me a short story about a robot who discovers music." in out and out.endswith("\n\nStream finished.\n")


def test_a_stream_is_what_its_job_has(account: Account) -> None:
    """The conductor's word is no part of it; every chunk names the model; the usage is that of all calls."""
    headers = {"Authorization": f"Bearer {account.live_key}"}
    body = {**BODY, "stream": True, "stream_options": {"include_usage": True}}
    with httpx.stream("POST", url(account) + "/chat/completions", json=body, headers=headers, timeout=60) as answer:
        found = list(sse.events(answer))
        job = job_of(account, answer)
    *chunks, usage = [one.json for one in found[:-1]]
    assert found[-1].data == "[DONE]" and {chunk["model"] for chunk in chunks} == {"euqai-fusion-v1"}
    text = "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
    assert text == job["result"]["choices"][0]["message"]["content"] and "TEXT" not in text
    assert usage["usage"] == job["result"]["usage"] and usage["usage_details"] == job["result"]["usage_details"]
    assert job["usage"]["prompt_tokens"] == usage["usage"]["prompt_tokens"]


def test_the_json_example_gets_a_valid_object(account: Account) -> None:
    answer = run_curl(account, CURL_JSON)
    assert isinstance(json.loads(answer["choices"][0]["message"]["content"]), dict)


JSON: dict[str, Any] = {"response_format": {"type": "json_object"}}
TEXT_MODEL = "deepseek-ai/DeepSeek-R1-0528"


def saying(text: str, times: int) -> dict[str, Any]:
    """A rule by which the specialist for text says just this, so many times."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 30, "completion_tokens": 5, "total_tokens": 35}
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    return {"model": TEXT_MODEL, "times": times, "fault": {"kind": "answer", "body": json.dumps(body)}}


def test_json_mode_is_answered_whole_although_a_stream_is_asked_for(account: Account) -> None:
    answer = post(account, stream=True, **JSON)
    assert answer.headers["content-type"] == "application/json"
    assert isinstance(json.loads(good(answer)["choices"][0]["message"]["content"]), dict)


def test_json_that_is_invalid_is_repaired_by_one_more_call(account: Account) -> None:
    with account.stack.script(saying("Here it is: {", 1)):
        answer = post(account, **JSON)
    body = good(answer)
    assert isinstance(json.loads(body["choices"][0]["message"]["content"]), dict)
    job = job_of(account, answer)
    assert len(job["attempts"]) == 2 and {one["error"] for one in job["attempts"]} == {None}
    assert body["usage"]["prompt_tokens"] > 60
    charged(account, job)


def test_json_that_stays_invalid_is_an_error_that_costs_nothing(account: Account) -> None:
    with account.stack.script(saying("Here it is: {", 2)):
        answer: Any = post(account, **JSON)
    assert "valid JSON" in fault(answer, 502, "BAD_GATEWAY") and answer.headers["x-should-retry"] == "false"
    assert job_of(account, answer)["usage"]["credits_used"] == 0


def test_the_image_analysis_example_gets_an_answer(
    account: Account, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    picture = tmp_path / "image.jpg"
    picture.write_bytes(pictures.jpeg(1024, 1024))
    run_python(account, ANALYSIS.replace("path/to/your/image.jpg", str(picture)), monkeypatch)
    answer = eval(capsys.readouterr().out)
    assert answer["usage_details"]["input_image_tokens"] == 1049
    assert answer["usage"]["prompt_tokens"] == 1049 + answer["usage_details"]["text_prompt_tokens"]


def shown(*images: str) -> list[dict[str, Any]]:
    parts = [{"type": "image_url", "image_url": {"url": one}} for one in images]
    return [{"role": "user", "content": [{"type": "text", "text": "What is in this image?"}, *parts]}]


def test_each_image_is_rounded_up_and_charged_by_its_pixels(account: Account) -> None:
    answer = post(account, messages=shown(*(pictures.data_url(pictures.png(10, 1)) for _ in range(3))))
    assert good(answer)["usage_details"]["input_image_tokens"] == 3
    job = job_of(account, answer)
    assert [one["model"] for one in job["attempts"]] == ["mistral-large-4"]
    charged(account, job)


def test_an_image_must_be_base64_and_not_too_large(account: Account) -> None:
    said = fault(post(account, messages=shown("https://example.com/cat.png")), 400, "BAD_REQUEST")
    assert "messages[0].content[1].image_url.url" in said and "base64" in said
    huge = pictures.data_url(pictures.png(10_000, 10_000))
    assert "50 megapixels" in fault(post(account, messages=shown(huge)), 413, "PAYLOAD_TOO_LARGE")


def test_an_image_is_made_when_it_is_asked_for(account: Account) -> None:
    """Its response object: 10,486 tokens of output for a megapixel, and no tokens of text."""
    answer = post(account, messages=[{"role": "user", "content": "Generate an image of a vintage typewriter."}])
    body = good(answer, "EuqaiImages")
    assert body.keys() == {"created", "data", "usage", "usage_details"} and isinstance(body["created"], int)
    (made,) = body["data"]
    assert base64.b64decode(made["b64_json"]).startswith(b"\x89PNG") and "vintage typewriter" in made["revised_prompt"]
    assert body["usage"]["completion_tokens"] == 10486
    assert body["usage_details"] == {
        "text_prompt_tokens": body["usage"]["prompt_tokens"],
        "text_completion_tokens": 0,
        "output_image_tokens": 10486,
    }
    job = job_of(account, answer)
    assert job["result"]["choices"][0]["message"]["images"][0]["image_url"]["url"].startswith("data:image/png;base64,")
    charged(account, job)


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


def test_the_money_is_that_of_the_steps(account: Account) -> None:
    answer = post(account)
    job = job_of(account, answer)
    assert job["model"] == "euqai-fusion-v1" and job["served_by"]["model"] == "euqai-fusion-v1"
    assert [one["model"] for one in job["attempts"]] == ["mistral-small-2603", "deepinfra.deepseek-r1"]
    charged(account, job)
    usage = account.live.get("/usage").json()
    assert usage["credits_used"] == job["usage"]["credits_used"] and len(usage["data"]) == 1
    assert [event["type"] for event in account.live.get("/events").json()["data"]] == ["job.completed"]


def test_the_limit_on_tokens_is_kept(account: Account) -> None:
    limited = good(post(account, max_tokens=7))
    assert limited["choices"][0]["finish_reason"] == "length" and limited["usage"]["completion_tokens"] <= 7


@pytest.mark.parametrize(
    "change, param",
    [
        ({"messages": ...}, "messages"),
        ({"model": ...}, "model"),
        ({"model": "gpt-4"}, "model"),
        ({"temperature": 2.1}, "temperature"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"stream": "yes"}, "stream"),
        ({"stream": "yes", **JSON}, "stream"),
        ({"n": 2}, "n"),
        ({"grounding": "yes"}, "grounding"),
        ({"language": "Dutch"}, "language"),
        ({"routing": {"fallbacks": ["gpt-4"]}}, "routing.fallbacks[0]"),
    ],
)
def test_a_malformed_request_is_a_400_that_names_the_field(
    account: Account, change: dict[str, Any], param: str
) -> None:
    answer = post(account, **change)
    assert param in fault(answer, 400, "BAD_REQUEST") and answer.json()["error"]["param"] == param


def test_the_other_codes(account: Account) -> None:
    fault(post(account, key="wrong"), 401, "UNAUTHORIZED")
    poor = account.stack.account(credits=0)
    said = fault(post(poor), 402, "PAYMENT_REQUIRED")
    assert "insufficient credits" in said
    poor.close()
    with account.stack.script({"contains": "capital", "fault": {"status": 500}}):
        fault(post(account), 502, "BAD_GATEWAY")
    other = requests.get(url(account) + "/jobs", headers={"Authorization": f"Bearer {account.live_key}"}, timeout=40)
    fault(other, 404, "NOT_FOUND")


def test_grounding_that_is_not_wanted_is_no_fault(account: Account) -> None:
    good(post(account, grounding=False))


def test_lines_of_a_batch_take_their_steps(account: Account) -> None:
    image = [{"role": "user", "content": "Draw a picture of a cat."}]
    requests = [
        {"custom_id": "text", "url": "/v1/chat/completions", "method": "POST", "body": BODY},
        {"custom_id": "image", "url": "/v1/chat/completions", "method": "POST", "body": {**BODY, "messages": image}},
        {"custom_id": "json", "url": "/v1/chat/completions", "method": "POST", "body": {**BODY, **JSON}},
    ]
    made = account.live.post("/batches", json={"requests": requests, "completion_window": "24h"})
    assert made.status_code == 200, made.text
    batch = finished(account, made.json()["id"])
    assert batch["request_counts"] == {"total": 3, "completed": 3, "failed": 0}
    output = account.live.get(f"/files/{batch['output_file_id']}/content").text
    lines = {line["custom_id"]: line["response"]["body"] for line in map(json.loads, output.splitlines())}
    assert lines["image"]["usage_details"]["output_image_tokens"] == 10486
    assert isinstance(json.loads(lines["json"]["choices"][0]["message"]["content"]), dict)
    assert account.stack.violations() == []


def finished(account: Account, id: str) -> dict[str, Any]:
    def over() -> dict[str, Any] | None:
        batch = dict(account.live.get(f"/batches/{id}").json())
        return batch if batch["status"] in ("completed", "failed") else None

    return await_condition(over, what=f"the end of {id}") or {}


def test_natively_it_is_a_model_like_any_other(account: Account) -> None:
    """Its images are in the message, and JSON is streamed when it is known to be valid."""
    made = account.live.post(
        "/chat/completions", json={**BODY, "messages": [{"role": "user", "content": "Draw a picture of a cat."}]}
    ).json()
    assert made["choices"][0]["message"]["images"][0]["revised_prompt"]
    with account.live.stream("POST", "/chat/completions", json={**BODY, **JSON, "stream": True}) as answer:
        found = [one.json for one in list(sse.events(answer))[:-1]]
    text = "".join(choice["delta"].get("content") or "" for chunk in found for choice in chunk["choices"])
    assert isinstance(json.loads(text), dict)


def test_a_test_key_walks_the_same_way(account: Account) -> None:
    asked = [{"role": "user", "content": "Draw a picture of a cat."}]
    body = good(post(account, key=account.test_key, messages=asked), "EuqaiImages")
    assert body["usage"]["test"] is True and body["usage"]["credits_used"] == 0


def test_a_killed_worker_repeats_no_finished_step_and_charges_once(stack: Stack) -> None:
    """The conductor has spoken when the worker dies in the midst of the specialist's call: one call of each is left."""
    account = stack.account()
    slow = {"model": TEXT_MODEL, "times": 1, "fault": {"latency_seconds": 60}}
    with stack.script(slow):
        job = account.submit({"type": "chat.completion", **BODY})
        until_called(stack, "deepinfra")
        stack.replace("workers.app")
        done = account.finished(job["id"])
        conductor = stack.seen("mistral")
    assert done["status"] == "succeeded" and len(conductor) == 1
    charged(account, done)
    account.close()


def until_called(stack: Stack, provider: str) -> None:
    await_condition(lambda: stack.seen(provider), what=f"a call of {provider}")


def test_the_document_s_example_of_pixels() -> None:
    """1MP is 1,048,576 pixels: about 1,049 tokens shown, about 10,486 made."""
    assert [re.sub(r"\D", "", str(-(-1024 * 1024 // by))) for by in (1000, 100)] == ["1049", "10486"]
