"""Gemini's `usageMetadata` in canonical terms.

Source: https://ai.google.dev/api/generate-content#UsageMetadata: the total is the sum of promptTokenCount (which has
cachedContentTokenCount in it), candidatesTokenCount, thoughtsTokenCount and toolUsePromptTokenCount. So thoughts are
added to the answer's tokens, what its own tools gave the model to the prompt's. The tier that served a request is in
the header `x-gemini-service-tier` (https://ai.google.dev/gemini-api/docs/priority-inference), and may be here.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from shared.submissions.schemas import Usage
from workers.answers import reported

TIER_HEADER: Final = "x-gemini-service-tier"


def of(body: Mapping[str, Any], headers: Mapping[str, str]) -> Usage | None:
    """The usage that an answer or a chunk of a stream reports; None if it reports none, or none that is valid."""
    given = body.get("usageMetadata")
    if not isinstance(given, Mapping):
        return None
    usage = reported.of({"usage": _renamed(given)})
    if usage is None:
        return None
    tier = str(headers.get(TIER_HEADER) or given.get("serviceTier") or "").lower().removeprefix("service_tier_")
    return replace(usage, service_tier=reported.served_tier(tier))


def _renamed(given: Mapping[str, Any]) -> dict[str, Any]:
    """The counts under OpenAI's names; parts are in their wholes. What is missing is zero."""
    prompt, used_by_tools = _count(given, "promptTokenCount"), _count(given, "toolUsePromptTokenCount")
    said, thought = _count(given, "candidatesTokenCount"), _count(given, "thoughtsTokenCount")
    if prompt is None and said is None and thought is None:
        return {}
    return {
        "prompt_tokens": (prompt or 0) + (used_by_tools or 0),
        "completion_tokens": (said or 0) + (thought or 0),
        "prompt_tokens_details": {
            "cached_tokens": given.get("cachedContentTokenCount"),
            "audio_tokens": _heard(given.get("promptTokensDetails")),
        },
        "completion_tokens_details": {
            "reasoning_tokens": thought,
            "audio_tokens": _heard(given.get("candidatesTokensDetails")),
        },
    }


def _heard(details: Any) -> int | None:
    """The tokens of sound among `[{"modality": "AUDIO", "tokenCount": 7}, …]`."""
    for one in details if isinstance(details, list) else ():
        if isinstance(one, Mapping) and one.get("modality") == "AUDIO":
            return reported.count(one.get("tokenCount"))
    return None


def _count(given: Mapping[str, Any], name: str) -> int | None:
    return reported.count(given.get(name))
