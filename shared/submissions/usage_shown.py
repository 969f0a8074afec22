"""How usage is shown, everywhere alike: OpenAI's fields in OpenAI's order; a detail that is not known is left out.

A wrong 0 would be worse than nothing: clients reckon with it (BerriAI/litellm#36882).
"""

from collections.abc import Mapping
from typing import Any

from shared.submissions.schemas import Usage

#: Details that are kept with a result, by the columns of their rows.
KEPT = ("cached_tokens", "cache_creation_tokens", "reasoning_tokens")

_OF_PROMPT = (
    ("cached_tokens", "cached_tokens"),
    ("cache_creation_tokens", "cache_creation_tokens"),
    ("audio_tokens", "prompt_audio_tokens"),
)
_OF_COMPLETION = (("reasoning_tokens", "reasoning_tokens"), ("audio_tokens", "completion_audio_tokens"))


def tokens(used: Usage, *, completion: bool = True) -> dict[str, Any]:
    """The counts of a call with their details; `completion`: it has an answer in tokens, as an embedding has not."""
    shown = {"prompt_tokens": used.prompt_tokens}
    if completion:
        shown["completion_tokens"] = used.completion_tokens
    shown["total_tokens"] = used.prompt_tokens + used.completion_tokens
    return shown | details(used, "prompt_tokens_details", "completion_tokens_details")


def of_row(row: Mapping[str, Any]) -> Usage:
    """What a result's row, or a batch's, keeps of usage."""
    return Usage(row["prompt_tokens"], row["completion_tokens"], **{name: row[name] for name in KEPT})


def details(used: Usage, of_prompt: str, of_completion: str) -> dict[str, dict[str, int]]:
    """What is known of parts of the counts, under these two names."""
    shown = {}
    for name, parts in ((of_prompt, _OF_PROMPT), (of_completion, _OF_COMPLETION)):
        if known := {part: count for part, field in parts if (count := getattr(used, field)) is not None}:
            shown[name] = known
    return shown
