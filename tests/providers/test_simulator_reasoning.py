"""What OpenAI's reasoning models refuse, as the simulator has it; and that no row of the catalogue sends them that."""

from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest

from shared.submissions.catalogue import catalogue
from shared.submissions.quote import offers
from shared.submissions.schemas import read_submission
from tests.providers.heard import Heard
from tests.providers.zoo_cells import PROTOCOLS, Caller, call_of
from workers.providers import ProviderAnswer
from workers.simulator import openai_rules
from workers.simulator.server import simulator

HI: Final = [{"role": "user", "content": "hi"}]
TOOLS: Final = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
#: One of everything that a caller can say of sampling, and of what else some models refuse.
EVERYTHING: Final[dict[str, Any]] = {
    "messages": HI, "max_tokens": 50, "temperature": 0.3, "top_p": 0.5, "presence_penalty": 0.1,
    "frequency_penalty": 0.1, "logprobs": True, "top_logprobs": 2, "logit_bias": {"50256": -100}, "stop": ["\n"],
    "seed": 7, "user": "u", "prediction": {"type": "content", "content": "x"}, "n": 2,
}  # fmt: skip
SOLD: Final = sorted(
    name for name, model in catalogue().models.items() if model.provider == "openai" and model.type == "chat.completion"
)


@pytest.fixture(scope="module")
def caller() -> Iterator[Caller]:
    with simulator() as url:
        made = Caller(url)
        yield made
        made.close()


@pytest.mark.parametrize(
    ("model", "body", "param", "code"),
    [
        ("gpt-6-sol", {"max_tokens": 5}, "max_tokens", "unsupported_parameter"),
        ("o3", {"max_tokens": 5}, "max_tokens", "unsupported_parameter"),
        ("gpt-6-sol", {"temperature": 0}, "temperature", "unsupported_value"),
        ("gpt-6.1-terra", {"top_p": 0.9}, "top_p", "unsupported_value"),
        ("gpt-5.6-luna", {"logprobs": True}, "logprobs", "unsupported_parameter"),
        ("o4-mini", {"logit_bias": {"1": 1}}, "logit_bias", "unsupported_parameter"),
        ("gpt-6-astra", {"stop": ["User:"]}, "stop", "unsupported_parameter"),
        ("gpt-6-astra", {"reasoning_effort": "none"}, "reasoning_effort", "unsupported_value"),
        ("gpt-6.1-sol", {"reasoning_effort": "minimal"}, "reasoning_effort", "unsupported_value"),
        ("gpt-5-mini", {"reasoning_effort": "xhigh"}, "reasoning_effort", "unsupported_value"),
        ("gpt-6-sol", {"tools": TOOLS}, "reasoning_effort", None),
        ("gpt-5.6", {"tools": TOOLS, "reasoning_effort": "low"}, "reasoning_effort", None),
        ("gpt-6.1-sol", {"tools": TOOLS}, "reasoning_effort", None),
    ],
)
def test_what_they_refuse(caller: Caller, model: str, body: dict[str, Any], param: str, code: str | None) -> None:
    error = _asked(caller, model, body, status=400)["error"]
    assert (error["param"], error["code"], error["type"]) == (param, code, "invalid_request_error")


@pytest.mark.parametrize(
    ("model", "body"),
    [
        ("gpt-6-sol", {"tools": TOOLS, "reasoning_effort": "none"}),
        ("gpt-6-sol", {"temperature": 0.2, "reasoning_effort": "none"}),
        ("gpt-5.4", {"tools": TOOLS, "temperature": 0.2}),
        ("gpt-5.1", {"tools": TOOLS, "reasoning_effort": "high"}),
        ("gpt-6-astra", {"temperature": 1, "top_p": 1, "reasoning_effort": "xhigh"}),
        ("o3-mini", {"tools": TOOLS, "reasoning_effort": "high"}),
        ("gpt-4o", {"max_tokens": 5, "temperature": 0, "stop": ["x"]}),
        ("gpt-5-chat-latest", {"temperature": 0}),
    ],
)
def test_what_they_take(caller: Caller, model: str, body: dict[str, Any]) -> None:
    assert _asked(caller, model, body, status=200)["choices"]


def _asked(caller: Caller, model: str, body: dict[str, Any], *, status: int) -> dict[str, Any]:
    answer = httpx.post(
        f"{caller.url}/openai/v1/chat/completions",
        json={"model": model, "messages": HI, **body},
        headers={"authorization": "Bearer k"},
    )
    assert answer.status_code == status, answer.text
    return dict(answer.json())


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("effort", [None, "low", "high"])
@pytest.mark.parametrize("model", SOLD)
def test_no_row_sends_what_its_model_refuses(caller: Caller, model: str, effort: str | None, streamed: bool) -> None:
    row = catalogue().models[model]
    body = {**EVERYTHING, "model": model, **({"reasoning_effort": effort} if effort else {})}
    if "tools" in row.capabilities:
        body |= {"tools": TOOLS, "tool_choice": "auto"}
    offer = offers(read_submission("chat.completion", body), catalogue(), test=False)[0]
    call = call_of(PROTOCOLS["openai"], body, offer=offer, sink=Heard() if streamed else None)
    made = caller.try_call(PROTOCOLS["openai"], call)
    assert isinstance(made, ProviderAnswer), repr(made)
    kept = openai_rules.generation(row.upstream) is None
    assert ("temperature" in made.ignored) is not kept
    fixed = catalogue().sending(model).with_tools if "tools" in body else {}
    told_otherwise = effort is not None and fixed.get("reasoning_effort", effort) != effort
    assert ("reasoning_effort" in made.ignored) is (told_otherwise or (kept and effort is not None))
