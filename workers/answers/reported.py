"""What a provider says it used, wherever and however it says so; what makes no sense counts as not said.

Where: `usage` of the body or of any chunk (OpenAI's own comes in a chunk without choices; vLLM's may come in each);
`usage` of a choice (Moonshot's streams); `x_groq.usage`; `usageMetadata` (Google's own).

How, beside OpenAI's names: `prompt_cache_hit_tokens` (DeepSeek), `cached_tokens` at the top (Moonshot),
`cache_read_input_tokens` and `cache_creation_input_tokens` (Anthropic, whose `input_tokens` has neither in it),
`cache_write_tokens` (OpenRouter), `cachedContentTokenCount` and `thoughtsTokenCount` (Google, whose
`candidatesTokenCount` has no thoughts in it). xAI's `completion_tokens` has no reasoning in it either: its
`total_tokens` is prompt + completion + reasoning (UKGovernmentBEIS/inspect_ai#5528).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shared.schemas import Usage

#: No request uses more; a provider that says so is not believed.
MOST_TOKENS = 2**40

_PROMPT = ("prompt_tokens", "input_tokens", "promptTokenCount", "prompt_token_count", "prompt_eval_count")
_COMPLETION = ("completion_tokens", "output_tokens", "candidatesTokenCount", "candidates_token_count", "eval_count")
_TOTAL = ("total_tokens", "totalTokenCount", "total_token_count")
_PROMPT_DETAILS = ("prompt_tokens_details", "input_tokens_details", "prompt_token_details", "input_token_details")
_COMPLETION_DETAILS = (
    "completion_tokens_details", "output_tokens_details", "completion_token_details", "output_token_details"
)  # fmt: skip
_READ_APART = ("cache_read_input_tokens",)
_WRITTEN_APART = ("cache_creation_input_tokens", "cache_write_input_tokens")
_CACHED = ("cached_tokens", "prompt_cache_hit_tokens", "cachedContentTokenCount", "cached_content_token_count")
_CACHED_WITHIN = ("cached_tokens", "cache_read_tokens", "cache_read", "cached_input_tokens")
_WRITTEN_WITHIN = ("cache_creation_tokens", "cache_write_tokens", "cache_creation_input_tokens", "cache_creation")
_REASONING = ("reasoning_tokens", "thoughtsTokenCount", "thoughts_token_count", "thinking_tokens")


def of(body: Mapping[str, Any]) -> Usage | None:
    """What a whole answer or one chunk of a stream tells; None: nothing that makes sense."""
    found: Usage | None = None
    for given in _places(body):
        found = both(found, _read(given))
    return found


def both(one: Usage | None, other: Usage | None) -> Usage | None:
    """What two chunks of one stream told: counts grow, and some tell a part of them at its beginning alone."""
    if one is None or other is None:
        return one or other
    most: dict[str, Any] = {name: _most([getattr(one, name), getattr(other, name)]) for name in _COUNTS}
    return Usage(**most)


_COUNTS = (
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "cache_creation_tokens",
    "reasoning_tokens",
    "prompt_audio_tokens",
    "completion_audio_tokens",
)


def _places(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    groq = body.get("x_groq")
    choices = body.get("choices")
    candidates = [body.get("usage"), body.get("usageMetadata"), body.get("usage_metadata")]
    candidates.append(groq.get("usage") if isinstance(groq, dict) else None)
    candidates += [one.get("usage") for one in choices if isinstance(one, dict)] if isinstance(choices, list) else []
    return (one for one in candidates if isinstance(one, dict))


def _read(given: Mapping[str, Any]) -> Usage | None:
    prompt, completion = _first(given, _PROMPT), _first(given, _COMPLETION)
    total = _first(given, _TOTAL)
    if prompt is None and total is not None and total >= (completion or 0):
        prompt = total - (completion or 0)
    if prompt is None and completion is None:
        return None
    within, beside = _object(given, _PROMPT_DETAILS), _object(given, _COMPLETION_DETAILS)
    apart = [_first(given, _READ_APART), _first(given, _WRITTEN_APART) or _sum(given.get("cache_creation"))]
    cached = _most([apart[0], _first(given, _CACHED), _first(within, _CACHED_WITHIN)])
    written = _most([apart[1], _first(within, _WRITTEN_WITHIN)])
    reasoning = _most([_first(given, _REASONING), _first(beside, _REASONING)])
    prompt, completion = prompt or 0, completion or 0
    if _is_apart(given, [prompt, completion], sum(filter(None, apart)), total, exclusive=not within):
        prompt += sum(filter(None, apart))
    if reasoning and (total == prompt + completion + reasoning or "candidatesTokenCount" in given):
        completion += reasoning
    if max(prompt, completion) > MOST_TOKENS:
        return None
    cached, written = _parts_of(prompt, cached, written)
    (reasoning,) = _parts_of(completion, reasoning)
    (heard,), (said,) = (
        _parts_of(whole, _first(part, ("audio_tokens",))) for whole, part in ((prompt, within), (completion, beside))
    )
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=cached,
        cache_creation_tokens=written,
        reasoning_tokens=reasoning,
        prompt_audio_tokens=heard,
        completion_audio_tokens=said,
    )


def _is_apart(
    given: Mapping[str, Any], counts: Sequence[int], cache: int, total: int | None, *, exclusive: bool
) -> bool:
    """Whether the prompt's count has the cache's reads and writes not in it: Anthropic's own, or the total says so."""
    if not cache:
        return False
    if "input_tokens" in given and "prompt_tokens" not in given and exclusive:
        return True
    return total == sum(counts) + cache


def _parts_of(whole: int, *parts: int | None) -> tuple[int | None, ...]:
    """The parts of a count as they were told; unknown, all of them, when they are more than it."""
    return parts if sum(filter(None, parts)) <= whole else (None,) * len(parts)


def _count(value: Any) -> int | None:
    """A number of tokens: whole or broken, as a number or as text; None when it is none."""
    if isinstance(value, str) and len(value) <= 24:
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, float) and math.isfinite(value):
        value = math.ceil(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS:
        return value
    return None


def _first(given: Mapping[str, Any], names: Sequence[str]) -> int | None:
    """The largest of what is told under these names, which mean the same."""
    return _most([_count(given.get(name)) for name in names])


def _most(counts: Sequence[int | None]) -> int | None:
    return max((one for one in counts if one is not None), default=None)


def _sum(given: Any) -> int | None:
    """Anthropic's cache writes, by how long they live."""
    counts = [_count(one) for one in given.values()] if isinstance(given, dict) else [_count(given)]
    return sum(filter(None, counts)) if any(one is not None for one in counts) else None


def _object(given: Mapping[str, Any], names: Sequence[str]) -> Mapping[str, Any]:
    return next((given[name] for name in names if isinstance(given.get(name), dict)), {})
