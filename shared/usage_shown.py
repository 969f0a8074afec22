"""How usage is shown, everywhere alike: OpenAI's fields in OpenAI's order; a detail that is not known is left out.

A wrong 0 would be worse than nothing: clients reckon with it (BerriAI/litellm#36882).
"""

from collections.abc import Mapping
from typing import Any

#: Details that are kept with a result, by the columns of their rows.
KEPT = ("cached_tokens", "cache_creation_tokens", "reasoning_tokens")

_OF_PROMPT = {
    "cached_tokens": "cached_tokens",
    "cache_creation_tokens": "cache_creation_tokens",
    "audio_tokens": "prompt_audio_tokens",
}
_OF_COMPLETION = {"reasoning_tokens": "reasoning_tokens", "audio_tokens": "completion_audio_tokens"}


def tokens(used: Mapping[str, Any], *, completion: bool = True) -> dict[str, Any]:
    """The counts of a call with their details; `completion`: it has an answer in tokens, as an embedding has not."""
    prompt, said = used["prompt_tokens"], used["completion_tokens"]
    shown = {"prompt_tokens": prompt}
    if completion:
        shown["completion_tokens"] = said
    shown["total_tokens"] = prompt + said
    return shown | details(used, "prompt_tokens_details", "completion_tokens_details")


def details(used: Mapping[str, Any], of_prompt: str, of_completion: str) -> dict[str, dict[str, int]]:
    """What is known of parts of the counts, under these two names."""
    parts = {of_prompt: _known(used, _OF_PROMPT), of_completion: _known(used, _OF_COMPLETION)}
    return {name: part for name, part in parts.items() if part}


def _known(used: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, int]:
    return {shown: used[name] for shown, name in names.items() if used.get(name) is not None}
