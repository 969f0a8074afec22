"""Euqai's document, statement by statement; of its examples only base URL and key are replaced."""

import ast
import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests

from producer.dialects.euqai import DIALECT
from shared.errors import InternalError
from tests import pictures
from tests.acceptance import euqai_examples as examples
from tests.acceptance import sse
from tests.acceptance.documented import by_curl, by_python, check_like, replaced, to
from tests.acceptance.euqai import BODY, JSON, fault, good, job_of, post, saying, shown, url
from tests.acceptance.stack import Account


def here(example: str, account: Account) -> str:
    """An example that is sent to this stack."""
    return replaced(example, {examples.BASE: url(account)})


@pytest.mark.parametrize("base", ["/euqai/v1", ""], ids=["prefix", "host"])
def test_the_curl_example_gets_the_standard_text_response(account: Account, base: str) -> None:
    """At its prefix here; and, where its host leads here, just as it stands."""
    there = account.stack.url + base if base else "http://api.euqai.eu/v1"
    options = [] if base else to(account.stack)
    answer = by_curl(replaced(examples.CURL, {examples.BASE: there}), *options, EUQAI_API_KEY=account.live_key).json
    check_like(answer, examples.TEXT_RESPONSE)
    assert answer["model"] == "euqai-fusion-v1" and answer["choices"][0]["finish_reason"] == "stop"
    assert "What is the capital of France?" in answer["choices"][0]["message"]["content"]
    assert answer["usage_details"].keys() == {"text_prompt_tokens", "text_completion_tokens"}


def test_the_python_example_prints_the_response(account: Account) -> None:
    out = by_python(here(examples.PYTHON, account), EUQAI_API_KEY=account.live_key)
    assert "Explain quantum computing" in ast.literal_eval(out)["choices"][0]["message"]["content"]
    refused = by_python(here(examples.PYTHON, account), EUQAI_API_KEY="wrong")
    assert refused.startswith("Error: 401\n") and '"UNAUTHORIZED"' in refused


def test_the_node_example_prints_the_response(account: Account, tmp_path: Path) -> None:
    for name, source in examples.NODE_MODULES.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.js").write_text(source)
    node = shutil.which("node")
    assert node, "the document shows a program of Node's"
    environment = {"NODE_PATH": str(tmp_path), "EUQAI_API_KEY": account.live_key}
    command = [node, "-e", here(examples.NODE, account)]
    ran = subprocess.run(command, capture_output=True, timeout=60, check=True, env=environment)
    assert "Write a short poem about Eindhoven." in json.loads(ran.stdout)["choices"][0]["message"]["content"]


def test_the_streaming_example_prints_the_story_as_it_comes(account: Account) -> None:
    out = by_python(here(examples.PYTHON_STREAM, account), EUQAI_API_KEY=account.live_key)
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
    answer = by_curl(here(examples.CURL_JSON, account), EUQAI_API_KEY=account.live_key).json
    assert isinstance(json.loads(answer["choices"][0]["message"]["content"]), dict)


def test_json_mode_is_answered_whole_although_a_stream_is_asked_for(account: Account) -> None:
    answer = post(account, stream=True, **JSON)
    assert answer.headers["content-type"] == "application/json"
    assert isinstance(json.loads(good(answer)["choices"][0]["message"]["content"]), dict)


def test_json_that_is_invalid_is_repaired_by_one_more_call(account: Account) -> None:
    with account.stack.script(saying("Here it is: {", 1)):
        answer = post(account, **JSON)
    body = good(answer)
    assert isinstance(json.loads(body["choices"][0]["message"]["content"]), dict)
    attempts = job_of(account, answer)["attempts"]
    assert len(attempts) == 2 and {one["error"] for one in attempts} == {None}
    assert body["usage"]["prompt_tokens"] > 60


def test_json_that_stays_invalid_is_an_error_that_costs_nothing(account: Account) -> None:
    with account.stack.script(saying("Here it is: {", 2)):
        answer: Any = post(account, **JSON)
    assert "valid JSON" in fault(answer, 502, "BAD_GATEWAY") and answer.headers["x-should-retry"] == "false"
    assert job_of(account, answer)["usage"]["credits_used"] == 0


def test_json_that_the_limit_cuts_off_is_the_caller_s_to_change(account: Account) -> None:
    answer = post(account, max_tokens=2, **JSON)
    assert (
        "cut off at 2 tokens" in fault(answer, 400, "BAD_REQUEST") and answer.json()["error"]["param"] == "max_tokens"
    )


def test_the_image_analysis_example_gets_an_answer(account: Account, tmp_path: Path) -> None:
    picture = tmp_path / "image.jpg"
    picture.write_bytes(pictures.jpeg(1024, 1024))
    program = replaced(here(examples.ANALYSIS, account), {"path/to/your/image.jpg": str(picture)})
    answer = ast.literal_eval(by_python(program, EUQAI_API_KEY=account.live_key))
    check_like(answer["usage_details"], examples.TEXT_RESPONSE["usage_details"] | {"input_image_tokens": 1049})
    assert answer["usage_details"]["input_image_tokens"] == 1049
    assert answer["usage"]["prompt_tokens"] == 1049 + answer["usage_details"]["text_prompt_tokens"]


def test_each_image_is_rounded_up_to_a_token(account: Account) -> None:
    answer = post(account, messages=shown(*(pictures.data_url(pictures.png(10, 1)) for _ in range(3))))
    assert good(answer)["usage_details"]["input_image_tokens"] == 3


def test_an_image_must_be_base64(account: Account) -> None:
    said = fault(post(account, messages=shown("https://example.com/cat.png")), 400, "BAD_REQUEST")
    assert "messages[0].content[1].image_url.url" in said and "base64" in said


def test_an_image_that_is_too_large_is_a_413(account: Account) -> None:
    huge = pictures.data_url(pictures.png(10_000, 10_000))
    assert "50 megapixels" in fault(post(account, messages=shown(huge)), 413, "PAYLOAD_TOO_LARGE")


def test_an_image_is_made_when_it_is_asked_for(account: Account) -> None:
    """Its response object: 10,486 tokens of output for a megapixel, and no tokens of text."""
    answer = post(account, messages=[{"role": "user", "content": "Generate an image of a vintage typewriter."}])
    body = good(answer, "EuqaiImages")
    check_like(body, examples.IMAGE_RESPONSE)
    assert body.keys() == examples.IMAGE_RESPONSE.keys()
    (made,) = body["data"]
    assert base64.b64decode(made["b64_json"]).startswith(b"\x89PNG") and "vintage typewriter" in made["revised_prompt"]
    assert body["usage"]["completion_tokens"] == 10486
    assert body["usage_details"] == {
        "text_prompt_tokens": body["usage"]["prompt_tokens"],
        "text_completion_tokens": 0,
        "output_image_tokens": 10486,
    }


def test_the_prompt_that_is_billed_is_more_than_the_input(account: Account) -> None:
    """The conductor's part is in it."""
    native = account.live.post("/chat/completions", json={**BODY, "model": "deepinfra.deepseek-r1"}).json()
    assert good(post(account))["usage"]["prompt_tokens"] > native["usage"]["prompt_tokens"]


def test_the_limit_on_tokens_is_kept(account: Account) -> None:
    limited = good(post(account, max_tokens=7))
    assert limited["choices"][0]["finish_reason"] == "length" and limited["usage"]["completion_tokens"] <= 7


@pytest.mark.parametrize("stop", ["capital", ["never", "capital", "of", "France"]])
def test_it_stops_at_one_or_several_sequences(account: Account, stop: Any) -> None:
    text = good(post(account, stop=stop))["choices"][0]["message"]["content"]
    assert "is the" in text and "capital" not in text


@pytest.mark.parametrize(
    "change", [{"temperature": 0}, {"temperature": 2}, {"top_p": 0.1}, {"repetition_penalty": 1.5}]
)
def test_what_may_be_set_is_taken(account: Account, change: dict[str, Any]) -> None:
    answer = post(account, **change)
    assert good(answer) and job_of(account, answer)["ignored"] == []


@pytest.mark.parametrize(
    "change, param",
    [
        ({"messages": ...}, "messages"),
        ({"model": ...}, "model"),
        ({"model": "gpt-4"}, "model"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": -0.1}, "temperature"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"stream": "yes"}, "stream"),
        ({"stream": "yes", **JSON}, "stream"),
        ({"n": 2}, "n"),
        ({"grounding": "yes"}, "grounding"),
        ({"language": "Dutch"}, "language"),
        ({"routing": {"fallbacks": ["gpt-4"]}}, "routing.fallbacks[0]"),
    ],
)
def test_a_malformed_request_is_a_400_with_its_field(account: Account, change: dict[str, Any], param: str) -> None:
    answer = post(account, **change)
    assert param in fault(answer, 400, "BAD_REQUEST") and answer.json()["error"]["param"] == param


def test_without_a_valid_key_it_is_a_401(account: Account) -> None:
    for key in ("", "wrong"):
        fault(post(account, key=key), 401, "UNAUTHORIZED")


def test_the_other_codes(account: Account) -> None:
    poor = account.stack.account(credits=0)
    assert "insufficient credits" in fault(post(poor), 402, "PAYMENT_REQUIRED")
    poor.close()
    with account.stack.script({"contains": "capital", "fault": {"status": 500}}):
        fault(post(account), 502, "BAD_GATEWAY")
    other = requests.get(url(account) + "/jobs", headers={"Authorization": f"Bearer {account.live_key}"}, timeout=40)
    fault(other, 404, "NOT_FOUND")


def test_an_unexpected_error_has_the_documented_body() -> None:
    body = DIALECT.refuse(InternalError("internal server error"), "req_1").content
    check_like(body, examples.ERROR)
    assert body["error"]["code"] == examples.ERROR["error"]["code"]


def test_grounding_that_is_not_wanted_is_no_fault(account: Account) -> None:
    good(post(account, grounding=False))


def test_reasoning_is_put_before_the_answer_where_it_is_wanted(account: Account) -> None:
    with account.stack.script(saying("Paris.", 2, reasoning_content="France is a country.")):
        usual = good(post(account))["choices"][0]["message"]["content"]
        with_it = good(post(account, include_thinking=True))["choices"][0]["message"]["content"]
    assert usual == "Paris." and with_it == "<thinking>France is a country.</thinking>\n\nParis."
