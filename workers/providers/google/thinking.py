"""How much a model is to think: OpenAI's words for it as Gemini's `thinkingConfig`.

Source: https://ai.google.dev/gemini-api/docs/thinking (levels from Gemini 3 on, budgets of tokens before), and the
table of https://ai.google.dev/gemini-api/docs/openai for what an effort is as a budget. Thoughts are asked for
(`includeThoughts`) with whatever the caller says of them, but `reasoning.exclude`: they cost the same unseen.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from workers.providers.google.generations import Generation

Config = dict[str, Any]

_BUDGETS: Final = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 24576}
_LEVELS: Final = {"minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH", "xhigh": "HIGH"}
#: Models that always think, if only so much.
_ALWAYS: Final = re.compile(r"(?:models/)?gemini-[0-9.]+-pro")
#: Those that know a level below low.
_MINIMAL: Final = re.compile(r"(?:models/)?gemini-3(?:\.[0-6])?-flash")
_LEAST_BUDGET: Final = 128


def config(wanted: Mapping[str, Any], upstream: str, generation: Generation) -> Config | None:
    """The config of what a request says: `reasoning_effort`, OpenRouter's `reasoning`, Anthropic's `thinking`.

    None: nothing that this can express; the model decides.
    """
    reasoning, thinking = wanted.get("reasoning") or {}, wanted.get("thinking") or {}
    effort = wanted.get("reasoning_effort") or reasoning.get("effort")
    budget = _budget(reasoning, thinking)
    if thinking.get("type") == "disabled" or reasoning.get("enabled") is False:
        effort, budget = "none", None
    found: Config = {}
    if budget is not None:
        found = _of_budget(budget, upstream, generation)
    elif isinstance(effort, str):
        found = _of_effort(effort, upstream, generation)
    if not found and not reasoning and not thinking:
        return None
    if effort != "none" and not reasoning.get("exclude"):
        found["includeThoughts"] = True
    return found


def _budget(reasoning: Mapping[str, Any], thinking: Mapping[str, Any]) -> int | None:
    for given in (reasoning.get("max_tokens"), thinking.get("budget_tokens")):
        if isinstance(given, int) and not isinstance(given, bool):
            return given
    return None


def _of_budget(budget: int, upstream: str, generation: Generation) -> Config:
    """A budget of tokens; of a model that takes none, the least level that has so much by the table of efforts."""
    if generation.budgets:
        return {"thinkingBudget": budget}
    if budget < 0:
        return {}
    effort = next((word for word in ("none", "low", "medium") if budget <= _BUDGETS[word]), "high")
    return _of_effort(effort, upstream, generation)


def _of_effort(effort: str, upstream: str, generation: Generation) -> Config:
    """An unknown word is passed on as a level, for the provider to refuse."""
    if not generation.levels:
        budget = _BUDGETS.get(effort, -1)
        return {"thinkingBudget": _LEAST_BUDGET if not budget and _ALWAYS.match(upstream) else budget}
    if effort in ("none", "minimal"):
        return {"thinkingLevel": "MINIMAL" if _MINIMAL.match(upstream) else "LOW"}
    return {"thinkingLevel": _LEVELS.get(effort, effort.upper())}
