"""The short way of reading an answer that is a text and nothing else comes to the same as the long one."""

from typing import Any

import orjson
import pytest

from shared.errors import ProviderError
from tests.unit.test_openai_protocol import ask
from workers.answers.choice import MORE_CHARACTERS
from workers.providers import openai
from workers.providers.openai import answers

TEXT = {"role": "assistant", "content": "yes"}
LONG = "x" * (MORE_CHARACTERS + 1)
#: Choices that the short way takes, or has to leave to the long one.
CHOICES: list[dict[str, Any]] = [
    *({"message": TEXT | more} for more in ({}, {"refusal": None}, {"annotations": [], "tool_calls": None})),
    *({"message": TEXT | {"content": content}} for content in ("", None, 5, [{"type": "text", "text": "a"}], LONG)),
    *({"message": TEXT | {"refusal": said}} for said in ("no", "", {})),
    *({"message": TEXT | {name: "hm"}} for name in ("reasoning_content", "reasoning", "thinking")),
    {"message": TEXT | {"reasoning_details": [{"text": "hm"}]}},
    {"message": TEXT | {"extra_content": {"google": {"thought_signature": "s"}}}},
    {"message": TEXT | {"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}]}},
    {"message": TEXT | {"function_call": {"name": "f", "arguments": "{}"}}},
    {"message": {"content": "yes"}},
    *({"message": message} for message in (None, "yes", [])),
    *({"message": TEXT, "finish_reason": word} for word in ("length", "STOP", "", None, "error", "tool_calls", 7)),
    *({"message": TEXT, "logprobs": given} for given in ({}, [], {"content": [{"token": "yes", "logprob": -1.0}]})),
    *({"message": TEXT, "index": at} for at in (0, 3, "0", "x")),
]


def read(choice: dict[str, Any]) -> Any:
    """What is made of it: its choice, or the error."""
    body = {"choices": [{"finish_reason": "stop", **choice}], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
    try:
        return openai.read(ask(), 200, orjson.dumps(body)).body["choices"]
    except ProviderError as error:
        return error.code, error.message


@pytest.mark.parametrize("choice", CHOICES, ids=range(len(CHOICES)))
def test_the_short_way_comes_to_the_same(monkeypatch: pytest.MonkeyPatch, choice: dict[str, Any]) -> None:
    short = read(choice)
    monkeypatch.setattr(answers, "_plain", lambda *_: None)
    assert short == read(choice)


@pytest.mark.parametrize("choice", CHOICES[:3], ids=range(3))
def test_what_most_providers_send_is_read_the_short_way(
    monkeypatch: pytest.MonkeyPatch, choice: dict[str, Any]
) -> None:
    monkeypatch.delattr(answers, "ChoiceBuilder")
    assert read(choice)[0]["message"] == {**TEXT, "refusal": None}
