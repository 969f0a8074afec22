"""What Euqai's document says beside its examples (test_euqai.py): defaults at the provider, keys, OpenAI's SDK."""

import json
from typing import Any

import openai
import pytest

from shared import accounts, clock
from tests.acceptance import euqai_examples as examples
from tests.acceptance.documented import by_python, replaced
from tests.acceptance.euqai import BODY, fault, post, url
from tests.acceptance.stack import Account
from tests.acceptance.test_sdk_requests import calls
from tests.conditions import await_condition

DEFAULTS = {"max_tokens": 6144, "temperature": 0.7, "top_p": 0.8, "repetition_penalty": 1.1}


@pytest.mark.parametrize("given", [{}, {"max_tokens": 50, "temperature": 0.2, "top_p": 0.5, "repetition_penalty": 1.3}])
def test_what_is_absent_has_its_documented_default(account: Account, given: dict[str, Any]) -> None:
    """As the specialist's provider is sent it."""
    with account.stack.script():
        assert post(account, **given).status_code == 200
        for name, value in (DEFAULTS | given).items():
            assert calls(account.stack, f'"{name}":{json.dumps(value)}') == 1, name


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": []}, "messages"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"top_p": 1.1}, "top_p"),
        ({"repetition_penalty": "much"}, "repetition_penalty"),
        ({"response_format": {"type": "yaml"}}, "response_format"),
        ({"include_thinking": "yes"}, "include_thinking"),
    ],
)
def test_a_value_that_is_none_is_a_400(account: Account, change: dict[str, Any], param: str) -> None:
    answer = post(account, **change)
    assert fault(answer, 400, "BAD_REQUEST") and answer.json()["error"]["param"].startswith(param)


def test_a_key_that_has_expired_is_a_401(account: Account) -> None:
    soon = clock.now_micros() + 300_000
    _, key = account.stack.write(lambda c: accounts.create_key(c, account.id, "live", expires_at=soon))
    await_condition(lambda: post(account, key=key, model=...).status_code == 401, what="the key's end")
    fault(post(account, key=key), 401, "UNAUTHORIZED")


def test_the_streaming_example_prints_the_very_text_that_the_job_has(account: Account) -> None:
    program = replaced(examples.PYTHON_STREAM, {examples.BASE: url(account)})
    said = by_python(program, EUQAI_API_KEY=account.live_key)
    (job,) = account.live.get("/jobs").json()["data"]
    assert said == job["result"]["choices"][0]["message"]["content"] + "\n\nStream finished.\n"


def test_openais_sdk_reads_whole_and_streamed_answers(account: Account) -> None:
    asked: Any = {"model": BODY["model"], "messages": BODY["messages"]}
    with openai.OpenAI(base_url=url(account), api_key=account.live_key) as client:
        made = client.chat.completions.create(**asked)
        chunks = list(client.chat.completions.create(**asked, stream=True))
    assert made.choices[0].message.content and made.usage and made.usage.total_tokens > 0
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == made.choices[0].message.content
