"""Euqai's document beside test_euqai.py: its programs in processes of their own, its objects name by name, defaults."""

import ast
import base64
import json
from pathlib import Path
from typing import Any

import openai
import pytest
import requests

from shared import accounts, clock
from tests.acceptance.documented import by_curl, by_python, check_like, replaced, to
from tests.acceptance.euqai_examples import ANALYSIS, CURL, DOCUMENTED, PYTHON, PYTHON_STREAM
from tests.acceptance.stack import Account
from tests.acceptance.test_sdk_requests import calls
from tests.conditions import await_condition
from tests.pictures import jpeg

TEXT = """{
  "id": "chatcmpl-a1b2c3d4...",
  "object": "chat.completion",
  "created": 1715880000,
  "model": "euqai-fusion-v1",
  "choices": [
    {
      "index": 0,
      "message": {
        "role": "assistant",
        "content": "The capital of France is Paris."
      },
      "finish_reason": "stop"
    }
  ],
  "usage": {
    "prompt_tokens": 1200,
    "completion_tokens": 10,
    "total_tokens": 1210
  },
  "usage_details": {
    "text_prompt_tokens": 151,
    "text_completion_tokens": 10,
    "input_image_tokens": 1049
  }
}"""

IMAGE = """{
  "created": 1715881000,
  "data": [
    {
      "b64_json": "iVBORw0KGgo...",
      "revised_prompt": "A highly detailed, photorealistic image of a vintage typewriter..."
    }
  ],
  "usage": {
    "prompt_tokens": 125,
    "completion_tokens": 10486,
    "total_tokens": 10611
  },
  "usage_details": {
    "text_prompt_tokens": 125,
    "text_completion_tokens": 0,
    "output_image_tokens": 10486
  }
}"""


def here(account: Account, example: str) -> str:
    """The example with this system's base URL; its key comes by the environment."""
    return replaced(example, {DOCUMENTED: account.stack.url + "/euqai/v1"})


def post(account: Account, body: Any, **headers: str) -> requests.Response:
    """A call as its examples make it."""
    sent = {"Authorization": f"Bearer {account.live_key}", **headers}
    return requests.post(account.stack.url + "/euqai/v1/chat/completions", json=body, headers=sent, timeout=40)


def ask(text: Any, **more: Any) -> dict[str, Any]:
    return {"model": "euqai-fusion-v1", "messages": [{"role": "user", "content": text}], **more}


def printed(text: str) -> dict[str, Any]:
    """A dictionary as `print` writes it."""
    return dict(ast.literal_eval(text))


def check_text(answer: dict[str, Any], *, pictures: bool = False) -> None:
    """The documented object of a text; `pictures`: of one about an image that was shown, as there."""
    shown = json.loads(TEXT)
    if not pictures:
        del shown["usage_details"]["input_image_tokens"]
    check_like(answer, shown)
    assert answer["object"] == "chat.completion" and answer["model"] == "euqai-fusion-v1"
    (choice,) = answer["choices"]
    assert (choice["index"], choice["finish_reason"], choice["message"]["role"]) == (0, "stop", "assistant")
    check_usage(answer)


def check_usage(answer: dict[str, Any]) -> None:
    """The total is the sum, and the details itemise both sides of it."""
    usage, details = answer["usage"], answer["usage_details"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    into = ("text_prompt_tokens", "input_image_tokens", "grounding_tokens")
    out = ("text_completion_tokens", "output_image_tokens")
    assert sum(details.get(name, 0) for name in into) == usage["prompt_tokens"]
    assert sum(details.get(name, 0) for name in out) == usage["completion_tokens"]


def fault(answer: requests.Response, status: int, code: str) -> str:
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["code"] == code and error["message"], error
    return str(error["message"])


def test_the_first_curl_just_as_it_stands(account: Account) -> None:
    """Where its host leads here."""
    command = CURL.replace("https://", "http://")
    check_text(by_curl(command, *to(account.stack), EUQAI_API_KEY=account.live_key).json)


def test_the_python_example_says_what_went_wrong(account: Account) -> None:
    said = by_python(here(account, PYTHON), EUQAI_API_KEY="q-wrong")
    assert said.startswith("Error: 401\n") and json.loads(said.partition("\n")[2])["error"]["code"] == "UNAUTHORIZED"


def test_the_streaming_example_prints_the_very_text(account: Account) -> None:
    """It prints the very text that the job has."""
    said = by_python(here(account, PYTHON_STREAM), EUQAI_API_KEY=account.live_key)
    (job,) = account.live.get("/jobs").json()["data"]
    assert said == job["result"]["choices"][0]["message"]["content"] + "\n\nStream finished.\n"


def test_the_example_of_an_image_has_the_documented_object(account: Account, tmp_path: Path) -> None:
    """A picture of a megapixel: ceil(1024 * 1024 / 1000) tokens, as the document reckons it."""
    place = tmp_path / "path" / "to" / "your"
    place.mkdir(parents=True)
    (place / "image.jpg").write_bytes(jpeg(1024, 1024))
    answer = printed(by_python(here(account, ANALYSIS), directory=tmp_path, EUQAI_API_KEY=account.live_key))
    check_text(answer, pictures=True)
    assert answer["usage_details"]["input_image_tokens"] == 1049


def test_an_image_that_is_made_has_the_documented_object(account: Account) -> None:
    """The documented object: the picture, the prompt that it was made by, and a megapixel's 10,486 tokens."""
    answer = post(account, ask("Generate an image of a vintage typewriter.")).json()
    check_like(answer, json.loads(IMAGE))
    (made,) = answer["data"]
    assert base64.b64decode(made["b64_json"]).startswith(b"\x89PNG")
    check_usage(answer)
    assert answer["usage_details"]["output_image_tokens"] == 10486
    assert answer["usage_details"]["text_completion_tokens"] == 0


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"model": None}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": -0.1}, "temperature"),
        ({"top_p": 1.1}, "top_p"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"repetition_penalty": "much"}, "repetition_penalty"),
        ({"response_format": {"type": "yaml"}}, "response_format"),
    ],
    ids=str,
)
def test_a_malformed_request_is_a_400(account: Account, change: dict[str, Any], param: str) -> None:
    answer = post(account, ask("hello", **change))
    assert fault(answer, 400, "BAD_REQUEST") and answer.json()["error"]["param"].startswith(param)


def test_a_key_that_is_missing_invalid_or_expired_is_a_401(account: Account) -> None:
    for value in ("", "Bearer q-wrong"):
        fault(post(account, ask("hello"), Authorization=value), 401, "UNAUTHORIZED")
    soon = clock.now_micros() + 300_000
    _, key = account.stack.write(lambda c: accounts.create_key(c, account.id, "live", expires_at=soon))
    ended = {"Authorization": f"Bearer {key}"}
    await_condition(lambda: post(account, {}, **ended).status_code == 401, what="the key's end")
    fault(post(account, ask("hello"), **ended), 401, "UNAUTHORIZED")


DEFAULTS = {"max_tokens": 6144, "temperature": 0.7, "top_p": 0.8, "repetition_penalty": 1.1}


@pytest.mark.parametrize("given", [{}, {"max_tokens": 50, "temperature": 0.2, "top_p": 0.5, "repetition_penalty": 1.3}])
def test_what_is_absent_has_its_documented_default(account: Account, given: dict[str, Any]) -> None:
    """As the specialist's provider is sent it."""
    with account.stack.script():
        assert post(account, ask("Name a colour.", **given)).status_code == 200
        for name, value in (DEFAULTS | given).items():
            assert calls(account.stack, f'"{name}":{json.dumps(value)}') >= 1, name


@pytest.mark.parametrize("stop", ["\n\n", ["a stop", "b stop", "c stop", "d stop"]])
def test_stop_sequences_reach_the_specialist(account: Account, stop: str | list[str]) -> None:
    with account.stack.script():
        assert post(account, ask("Name a colour.", stop=stop)).status_code == 200
        assert calls(account.stack, json.dumps(stop[-1] if isinstance(stop, list) else stop)) >= 1


def test_the_whole_prompt_is_counted_and_billed(account: Account) -> None:
    """The conductor's call too: more than the message alone has, itemised, and paid for at the model's price."""
    answer = post(account, ask("Name a colour.")).json()
    alone = account.live.post("/chat/completions", json=ask("Name a colour.") | {"model": "deepinfra.deepseek-r1"})
    assert answer["usage"]["prompt_tokens"] > alone.json()["usage"]["prompt_tokens"]
    assert answer["usage"]["prompt_tokens"] == answer["usage_details"]["text_prompt_tokens"]
    price, usage = account.live.get("/models/euqai-fusion-v1").json()["price"], answer["usage"]
    micros = usage["prompt_tokens"] * price["input"] + usage["completion_tokens"] * price["output"]
    assert usage["credits_used"] == pytest.approx(micros / 1e12, abs=1e-6)


def test_openais_sdk_reads_it(account: Account) -> None:
    with openai.OpenAI(base_url=account.stack.url + "/euqai/v1", api_key=account.live_key) as client:
        made = client.chat.completions.create(model="euqai-fusion-v1", messages=[{"role": "user", "content": "Hello"}])
    assert made.choices[0].message.content and made.usage and made.usage.total_tokens > 0
