"""How usage is shown, everywhere alike: OpenAI's fields in its order; details that are not known are left out. Pure.

A wrong 0 would be worse than nothing: clients reckon with it (BerriAI/litellm#36882).
"""

from collections.abc import Mapping
from typing import Any, NotRequired, cast

from typing_extensions import TypedDict

from shared.objects.fields import Count
from shared.submissions.schemas import Usage

#: Details that are kept with a result and added up in its batch, by the columns of their rows.
KEPT = ("cached_tokens", "cache_creation_tokens", "reasoning_tokens")
#: All that are kept with a result.
KEPT_OF_RESULTS = (*KEPT, "cache_creation_1h_tokens")


class PromptDetails(TypedDict):
    """Breakdown of the prompt tokens: cache reads and writes, audio. A field is absent if the number is unknown."""

    cached_tokens: NotRequired[Count]
    cache_creation_tokens: NotRequired[Count]
    cache_creation_1h_tokens: NotRequired[Count]
    audio_tokens: NotRequired[Count]


class CompletionDetails(TypedDict):
    """Breakdown of the completion tokens: reasoning, audio. A field is absent if the number is unknown."""

    reasoning_tokens: NotRequired[Count]
    audio_tokens: NotRequired[Count]


class TokenCounts(TypedDict):
    """The tokens of a call."""

    prompt_tokens: Count
    completion_tokens: Count
    total_tokens: Count
    prompt_tokens_details: NotRequired[PromptDetails]
    completion_tokens_details: NotRequired[CompletionDetails]


def tokens(used: Usage) -> TokenCounts:
    """The counts of a call with their details."""
    shown: TokenCounts = {
        "prompt_tokens": used.prompt_tokens,
        "completion_tokens": used.completion_tokens,
        "total_tokens": used.prompt_tokens + used.completion_tokens,
    }
    if of_prompt := prompt_details(used):
        shown["prompt_tokens_details"] = of_prompt
    if of_completion := completion_details(used):
        shown["completion_tokens_details"] = of_completion
    return shown


def of_row(row: Mapping[str, Any]) -> Usage:
    """What a result's row, or a batch's, keeps of usage."""
    details: dict[str, Any] = {name: row.get(name) for name in KEPT_OF_RESULTS}
    return Usage(row["prompt_tokens"], row["completion_tokens"], **details)


def prompt_details(used: Usage) -> PromptDetails:
    """What is known of parts of the prompt tokens."""
    parts = {
        "cached_tokens": used.cached_tokens,
        "cache_creation_tokens": used.cache_creation_tokens,
        "cache_creation_1h_tokens": used.cache_creation_1h_tokens,
        "audio_tokens": used.prompt_audio_tokens,
    }
    return cast(PromptDetails, _known(parts))


def completion_details(used: Usage) -> CompletionDetails:
    """What is known of parts of the completion tokens."""
    parts = {"reasoning_tokens": used.reasoning_tokens, "audio_tokens": used.completion_audio_tokens}
    return cast(CompletionDetails, _known(parts))


def _known(parts: Mapping[str, int | None]) -> dict[str, int]:
    return {name: count for name, count in parts.items() if count is not None}
