"""What is sold, as the providers' pages have it: windows, longest answers, and what a model can do.

Sources: platform.claude.com/docs/en/models/*/overview; developers.openai.com/api/docs/models/* and
…/guides/latest-model (tools in Chat Completions); Amazon Bedrock's model card of GPT-6.1 Terra;
ai.google.dev/gemini-api/docs/models; docs.mistral.ai/models; api-docs.deepseek.com; github.com/anomalyco/models.dev.
"""

from typing import Any

import pytest

from shared.errors import InvalidRequest
from shared.submissions import quote
from shared.submissions.catalogue import catalogue
from shared.submissions.schemas import read_submission

ALL = {"vision", "tools", "json_schema", "reasoning"}
M = 1_000_000

#: Model: its window, its longest answer, what it can do.
SOLD: dict[str, tuple[int, int, set[str]]] = {
    "claude-fable-5-1": (M, 128_000, ALL),
    "claude-opus-5-5": (M, 128_000, ALL),
    "claude-opus-5": (M, 128_000, ALL),
    "claude-opus-4-8": (M, 128_000, ALL),
    "claude-sonnet-5-5": (M, 128_000, ALL),
    "claude-sonnet-4-6": (M, 128_000, ALL),
    "claude-haiku-5-5": (M, 128_000, ALL),
    "claude-haiku-4-5": (200_000, 64_000, ALL),
    "gpt-6-astra": (1_050_000, 128_000, ALL - {"tools"}),
    "gpt-6.1-sol": (1_050_000, 128_000, ALL - {"tools"}),
    "gpt-6.1-terra": (1_050_000, 128_000, ALL),
    "gpt-6-sol": (1_050_000, 128_000, ALL),
    "gpt-6-luna": (1_050_000, 128_000, ALL),
    "gpt-5.5": (1_050_000, 128_000, ALL),
    "gpt-5.4-mini": (400_000, 128_000, ALL),
    "gpt-5.2": (400_000, 128_000, ALL),
    "gpt-4.1": (1_047_576, 32_768, ALL - {"reasoning"}),
    "gemini-4-argon": (1_048_576, 65_536, ALL),
    "gemini-3.8-flash": (1_048_576, 65_536, ALL),
    "gemini-3.5-flash": (1_048_576, 65_536, ALL),
    "gemini-3.1-pro-preview": (1_048_576, 65_536, ALL),
    "gemini-2.5-flash-lite": (1_048_576, 65_536, ALL),
    "deepseek-v4-pro": (M, 384_000, ALL - {"vision"}),
    "deepseek-flash": (M, 384_000, ALL),
    "mistral-medium-3-5": (262_144, 32_768, ALL),
    "codestral-2508": (256_000, 32_768, {"tools", "json_schema"}),
}


@pytest.mark.parametrize("id", SOLD)
def test_a_model_is_sold_as_its_provider_has_it(id: str) -> None:
    model = catalogue().models[id]
    assert (model.context, model.max_output, set(model.capabilities or ())) == SOLD[id]


def asked(model: str) -> Any:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}], "tools": [tool], "max_tokens": 1}
    return quote.offers(read_submission("chat.completion", body), catalogue(), test=False)


def test_models_that_take_no_tools_in_chat_completions_say_so() -> None:
    for model in ("gpt-6-astra", "gpt-6.1-sol"):
        with pytest.raises(InvalidRequest, match=f"tools are not supported by {model}"):
            asked(model)
    assert asked("gpt-4")[0].upstream == "gpt-6-sol"


def test_models_that_take_tools_only_without_reasoning_are_asked_so() -> None:
    fixed = {id for id, one in catalogue().sendings.items() if one.with_tools == {"reasoning_effort": "none"}}
    assert {"gpt-4", "gpt-3.5-turbo", "fusion-one", "fluence-chat", "gpt-6.1-terra", "gpt-5.6-sol", "gpt-5.4"} <= fixed
    assert not {"gpt-5.2", "gpt-4.1", "gpt-6-astra", "claude-opus-5-5"} & fixed
