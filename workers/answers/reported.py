"""Reads the usage that a provider reports, in any of its forms; implausible counts are ignored.

Where: `usage` of the body or of any chunk (OpenAI's own comes in a chunk without choices; vLLM's may come in each);
`usage` of a choice (Moonshot's streams); `x_groq.usage`; `usageMetadata` (Google's own).

How, beside OpenAI's names: `prompt_cache_hit_tokens` (DeepSeek), `cached_tokens` at the top (Moonshot),
`cache_read_input_tokens` and `cache_creation_input_tokens` (Anthropic, whose `input_tokens` has neither in it),
`cache_write_tokens` (OpenRouter), `cachedContentTokenCount` and `thoughtsTokenCount` (Google, whose
`candidatesTokenCount` has no thoughts in it, nor `promptTokenCount` what its tools put into the prompt,
`toolUsePromptTokenCount`), `num_cached_tokens` (Mistral). xAI's `completion_tokens` has no reasoning in it either: its
`total_tokens` is prompt + completion + reasoning (UKGovernmentBEIS/inspect_ai#5528).
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from shared.submissions.schemas import Usage

#: No request uses more; a provider that says so is not believed.
MOST_TOKENS = 2**40


def _roles(**names: str) -> dict[str, str]:
    return {name: role for role, given in names.items() for name in given.split()}


#: What a count is, by its name in the object of usage itself; `read` and `written` are Anthropic's, of the cache.
_COUNTS = _roles(
    prompt="prompt_tokens input_tokens promptTokenCount prompt_token_count prompt_eval_count",
    completion="completion_tokens output_tokens candidatesTokenCount candidates_token_count eval_count",
    total="total_tokens totalTokenCount total_token_count",
    read="cache_read_input_tokens",
    written="cache_creation_input_tokens cache_write_input_tokens",
    cached="cached_tokens num_cached_tokens prompt_cache_hit_tokens cachedContentTokenCount cached_content_token_count",
    by_tools="toolUsePromptTokenCount tool_use_prompt_token_count",
    reasoning="reasoning_tokens thoughtsTokenCount thoughts_token_count thinking_tokens",
)
#: The same in the objects of details.
_OF_PROMPT = _roles(
    cached="cached_tokens cache_read_tokens cache_read cached_input_tokens",
    created="cache_creation_tokens cache_write_tokens cache_creation_input_tokens cache_creation",
    heard="audio_tokens",
)
_OF_COMPLETION = _roles(reasoning="reasoning_tokens thinking_tokens", said="audio_tokens")
_DETAILS = {
    **dict.fromkeys("prompt_tokens_details input_tokens_details".split(), _OF_PROMPT),
    **dict.fromkeys("prompt_token_details input_token_details".split(), _OF_PROMPT),
    **dict.fromkeys("completion_tokens_details output_tokens_details".split(), _OF_COMPLETION),
    **dict.fromkeys("completion_token_details output_token_details".split(), _OF_COMPLETION),
}


def of(body: Mapping[str, Any]) -> Usage | None:
    """What a whole answer or one chunk of a stream reports; None: nothing that makes sense."""
    found: Usage | None = None
    for given in _places(body):
        found = both(found, _read(given))
    if found is not None and not found.service_tier and (tier := served_tier(body.get("service_tier"))):
        found = replace(found, service_tier=tier)
    return found


def served_tier(told: Any) -> str:
    """A provider's word for the service tier that served, in canonical terms; empty: none that says anything.

    OpenAI's `default` is Anthropic's `standard` and Groq's `on_demand`; `auto` says what was asked, not what served.

    >>> served_tier("standard"), served_tier("flex"), served_tier("auto"), served_tier(7)
    ('default', 'flex', '', '')
    """
    if not isinstance(told, str) or not _TIER.fullmatch(word := told.lower()):
        return ""
    return _TIERS.get(word, word)


_TIER: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_TIERS: Final[Mapping[str, str]] = {
    "standard": "default",
    "on_demand": "default",
    "scale": "default",
    "auto": "",
    "unspecified": "",
}


def both(one: Usage | None, other: Usage | None) -> Usage | None:
    """What two chunks of one stream reported: counts grow; some providers report a part at the beginning alone."""
    if one is None or other is None:
        return one or other
    most: dict[str, Any] = {name: _most(getattr(one, name), getattr(other, name)) for name in _FIELDS}
    return Usage(**most, service_tier=other.service_tier or one.service_tier)


_FIELDS = (
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "cache_creation_tokens",
    "cache_creation_1h_tokens",
    "reasoning_tokens",
    "prompt_audio_tokens",
    "completion_audio_tokens",
)


def _places(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for name in ("usage", "usageMetadata", "usage_metadata"):
        if isinstance(given := body.get(name), dict):
            yield given
    if isinstance(groq := body.get("x_groq"), dict) and isinstance(groq.get("usage"), dict):
        yield groq["usage"]
    choices = body.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and isinstance(given := choice.get("usage"), dict):
            yield given


def _read(given: Mapping[str, Any]) -> Usage | None:
    """One object of usage. Parts that are more than their whole are not known."""
    told = _counted(given).get
    prompt, completion, total = told("prompt"), told("completion"), told("total")
    if prompt is None and total is not None and total >= (completion or 0):
        prompt = total - (completion or 0)
    if prompt is None and completion is None:
        return None
    prompt, completion = prompt or 0, completion or 0
    read, written, thoughts = told("read"), told("written"), told("reasoning")
    apart = (read or 0) + (written or 0)
    if apart and (_excludes_cache(given) or total == prompt + completion + apart):
        prompt += apart
    prompt += told("by_tools", 0)
    if thoughts and (total == prompt + completion + thoughts or "candidatesTokenCount" in given):
        completion += thoughts
    if prompt > MOST_TOKENS or completion > MOST_TOKENS:
        return None
    cached, written = _most(read, told("cached")), _most(written, told("created"))
    if (cached or 0) + (written or 0) > prompt:
        cached = written = None
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=cached,
        cache_creation_tokens=written,
        cache_creation_1h_tokens=_within(written or 0, told("hour")),
        reasoning_tokens=_within(completion, thoughts),
        service_tier=served_tier(given["service_tier"]) if "service_tier" in given else "",
        prompt_audio_tokens=_within(prompt, told("heard")),
        completion_audio_tokens=_within(completion, told("said")),
    )


def _counted(given: Mapping[str, Any]) -> dict[str, int]:
    """The counts by what they are; of several names for the same the largest."""
    counts: dict[str, int] = {}
    for name, value in given.items():
        if role := _COUNTS.get(name):
            _note(counts, role, value)
        elif isinstance(value, dict) and (names := _DETAILS.get(name)):
            for part, number in value.items():
                if role := names.get(part):
                    _note(counts, role, number)
        elif name == "cache_creation" and isinstance(value, dict):
            _note(counts, "hour", value.get("ephemeral_1h_input_tokens"))
            parts = [number for one in value.values() if (number := count(one)) is not None]
            if parts:
                _note(counts, "written", sum(parts))
    return counts


def _note(counts: dict[str, int], role: str, value: Any) -> None:
    if (number := count(value)) is not None and number >= counts.get(role, 0):
        counts[role] = number


def _excludes_cache(given: Mapping[str, Any]) -> bool:
    """Anthropic's own usage, whose input has neither what was read from the cache in it nor what was written."""
    return "input_tokens" in given and "prompt_tokens" not in given and not given.get("input_tokens_details")


def _within(whole: int, part: int | None) -> int | None:
    return part if part is not None and part <= whole else None


def count(value: Any) -> int | None:
    """A number of tokens: whole or broken, as a number or as text; None when it is none."""
    if type(value) is int:
        return value if 0 <= value <= MOST_TOKENS else None
    if isinstance(value, str) and len(value) <= 24:
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, float) and 0 <= value <= MOST_TOKENS:
        return math.ceil(value)
    return None


def _most(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)
