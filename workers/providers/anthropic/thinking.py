"""How much a model is to think, in the provider's words: `thinking` and `output_config.effort`. Pure.

Sources: platform.claude.com/docs/en/build-with-claude/thinking, …/effort, …/extended-thinking. Thinking counts among
the tokens of the answer, so that it never costs more than `max_tokens` allows. The shares of a budget are OpenRouter's
(openrouter.ai/docs/use-cases/reasoning-tokens), since OpenAI's words have no numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from workers.providers.anthropic.models import Traits

#: The least budget that the provider takes.
LEAST_BUDGET: Final = 1024
#: OpenAI's efforts in the provider's words, and in hundredths of the longest answer.
_EFFORTS: Final = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
_SHARES: Final = {"minimal": 10, "low": 20, "medium": 50, "high": 80, "xhigh": 95, "max": 95}
#: What is asked for by `reasoning: {"enabled": true}` alone.
_USUAL_EFFORT: Final = "medium"
#: The text of thoughts is wanted, which newer models keep to themselves unless they are asked; or it is not.
_SHOWN: Final = {"display": "summarized"}
_HIDDEN: Final = {"display": "omitted"}


@dataclass(slots=True)
class SentThinking:
    """What is sent of it: fields of the body, an effort, and the names of the request's fields that are in them."""

    fields: dict[str, Any] = field(default_factory=dict)
    effort: str | None = None
    sent: frozenset[str] = frozenset()

    @property
    def on(self) -> bool:
        """The model has been asked to think, which rules other fields out."""
        return self.fields.get("thinking", {}).get("type") in ("enabled", "adaptive")


def thinking(given: Mapping[str, Any], traits: Traits, limit: int, *, may_begin: bool) -> SentThinking:
    """What a request's `thinking`, `reasoning_effort` and `reasoning` are in a body of at most `limit` tokens.

    `thinking` is the provider's own and goes first. Without `may_begin` the model cannot be asked to think now: a tool
    is forced upon it, or it has to go on with calls whose thoughts are lost.
    """
    word, budget, name = _asked(given)
    if own := given.get("thinking"):
        effort = _EFFORTS.get(word or "") if traits.style == "effort" else None
        return SentThinking(
            {"thinking": own}, effort, frozenset({"thinking", name} if effort and name else {"thinking"})
        )
    if name is None or traits.style == "none":
        return SentThinking()
    sent, hidden = frozenset({name}), (given.get("reasoning") or {}).get("exclude") is True
    if word == "none":
        return _off(traits, sent)
    if word not in _EFFORTS and budget is None:
        return SentThinking()
    if traits.style == "effort":
        effort = _EFFORTS.get(word or "")
        fields = {"thinking": {"type": "adaptive", **(_HIDDEN if hidden else _SHOWN)}} if may_begin else {}
        return SentThinking(fields, effort, sent) if fields or effort else SentThinking()
    tokens = min(max(budget or limit * _SHARES[word or _USUAL_EFFORT] // 100, LEAST_BUDGET), limit - 1)
    if tokens < LEAST_BUDGET or not may_begin:
        return SentThinking()
    budgeted = {"type": "enabled", "budget_tokens": tokens, **(_HIDDEN if hidden else {})}
    return SentThinking({"thinking": budgeted}, None, sent)


def _off(traits: Traits, sent: frozenset[str]) -> SentThinking:
    """No thoughts, or as few as the model can have; one with a budget has none unless it is asked."""
    if traits.style == "budget":
        return SentThinking(sent=sent)
    if traits.off is None:
        return SentThinking({}, "low", sent)
    return SentThinking({"thinking": {"type": traits.off}}, None, sent)


def _asked(given: Mapping[str, Any]) -> tuple[str | None, int | None, str | None]:
    """The effort, the budget, and the field that says so: OpenAI's, or OpenRouter's `reasoning`."""
    if (word := given.get("reasoning_effort")) is not None:
        return word, None, "reasoning_effort"
    options = given.get("reasoning") or {}
    word, budget = options.get("effort"), options.get("max_tokens")
    budget = budget if type(budget) is int and budget > 0 else None
    if isinstance(word, str) or budget is not None:
        return word if isinstance(word, str) else None, budget, "reasoning"
    if isinstance(enabled := options.get("enabled"), bool):
        return _USUAL_EFFORT if enabled else "none", None, "reasoning"
    return None, None, None
