"""What OpenAI's reasoning models refuse in a chat completion, by generation.

Sources: developers.openai.com/api/docs/guides/reasoning and …/guides/latest-model (parameters that only work with the
effort `none`, efforts by model); the refusals word for word as reported in livekit/agents#7169 and #3966 (efforts),
BerriAI/litellm#34569, openai/openai-openapi#541 and bolna-ai/bolna#1019 (tools beside reasoning, `stop`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from workers.simulator.messages import SimulatedRefusal

_O_SERIES: Final = re.compile(r"o[1-9](?![0-9a-z])")
_GPT: Final = re.compile(r"gpt-([0-9]{1,3})(?:\.([0-9]{1,3}))?(?![0-9a-z])(?!.*chat-latest)")
#: Generations of GPT, as (major, minor).
_FIRST, _NONE, _XHIGH, _THINKS = (5, 0), (5, 1), (5, 2), (5, 5)
#: The first that take tools only with the effort `none`.
_TOOLLESS: Final = (5, 4)
#: Those that always reason.
_ALWAYS: Final = ("gpt-6-astra", "gpt-6.1-sol")

#: Of these only the usual value is taken; those after them not at all.
_USUAL: Final[Mapping[str, Any]] = {"temperature": 1, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0}
_SAMPLING: Final = ("logprobs", "top_logprobs", "logit_bias")
_NEVER: Final = ("stop", "prediction", "web_search_options")
_NOTHING: Final[tuple[Any, ...]] = (None, False, {}, [])


@dataclass(frozen=True, slots=True)
class ReasoningRules:
    """What one model takes: its efforts, the one it has unless it is told, and whether tools may stand beside it."""

    efforts: tuple[str, ...]
    usual_effort: str
    tools_beside_reasoning: bool


def generation(model: str) -> ReasoningRules | None:
    """That of a model; None: it does not reason, and refuses nothing of this.

    >>> generation("gpt-6-sol").efforts
    ('none', 'low', 'medium', 'high', 'xhigh')
    >>> generation("gpt-4o"), generation("o3-mini").usual_effort
    (None, 'medium')
    """
    if _O_SERIES.match(model):
        return ReasoningRules(("low", "medium", "high"), "medium", tools_beside_reasoning=True)
    found = _GPT.match(model)
    number = (int(found[1]), int(found[2] or 0)) if found else (0, 0)
    if number < _FIRST:
        return None
    lowest = ("minimal",) if number < _NONE else () if model.startswith(_ALWAYS) else ("none",)
    highest = ("xhigh",) if number >= _XHIGH else ()
    usual = "none" if _NONE <= number < _THINKS else "medium"
    return ReasoningRules((*lowest, "low", "medium", "high", *highest), usual, number < _TOOLLESS)


def check(model: str, body: Mapping[str, Any]) -> None:
    """SimulatedRefusal, a 400, for what the model does not take."""
    if (found := generation(model)) is None:
        return
    if body.get("max_tokens") is not None:
        raise _unsupported("max_tokens", ". Use 'max_completion_tokens' instead.")
    effort = _effort(body, found)
    for name in _NEVER:
        if body.get(name) not in _NOTHING:
            raise _unsupported(name)
    if effort != "none":
        _check_sampling(body)
    if body.get("tools") and effort != "none" and not found.tools_beside_reasoning:
        message = (
            f"Function tools with reasoning_effort are not supported for {model} in /v1/chat/completions. "
            "To use function tools, use /v1/responses or set reasoning_effort to 'none'."
        )
        raise SimulatedRefusal(400, message, param="reasoning_effort")


def _effort(body: Mapping[str, Any], found: ReasoningRules) -> str:
    asked = body.get("reasoning_effort")
    if asked is None:
        return found.usual_effort
    if asked not in found.efforts:
        known = ", ".join(f"'{effort}'" for effort in found.efforts)
        message = f"Unsupported value: 'reasoning_effort' does not support '{asked}' with this model."
        raise SimulatedRefusal(
            400, f"{message} Supported values are: {known}.", code="unsupported_value", param="reasoning_effort"
        )
    return str(asked)


def _check_sampling(body: Mapping[str, Any]) -> None:
    for name, usual in _USUAL.items():
        if body.get(name, usual) not in (usual, None):
            message = f"Unsupported value: '{name}' does not support {body[name]} with this model. Only the default"
            raise SimulatedRefusal(
                400, f"{message} ({usual}) value is supported.", code="unsupported_value", param=name
            )
    for name in _SAMPLING:
        if body.get(name) not in _NOTHING:
            raise _unsupported(name)


def _unsupported(name: str, more: str = ".") -> SimulatedRefusal:
    message = f"Unsupported parameter: '{name}' is not supported with this model{more}"
    return SimulatedRefusal(400, message, code="unsupported_parameter", param=name)
