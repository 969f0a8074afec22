"""Usage that a provider did not report, counted here: texts as texts, an image as the catalogue counts one.

About four bytes of text are a token. A count of 0 is none where there was something to count: a prompt is never empty,
and a text that was sent was paid for. Never more than what a job's bound was made of.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from shared.money.pricing import Overheads
from shared.submissions import token_estimates
from shared.submissions.schemas import Usage
from shared.submissions.token_estimates import texts_of, tokens


def of_chat(
    reported: Usage | None,
    request: Mapping[str, Any],
    choices: Sequence[Mapping[str, Any]],
    overheads: Overheads,
    most: int,
) -> Usage:
    """The usage of a chat completion: as reported, else counted; `most`: tokens of all the choices together."""
    if reported is not None and reported.prompt_tokens and reported.completion_tokens:
        return reported
    used = reported or Usage()
    if not used.prompt_tokens:
        used = replace(used, prompt_tokens=max(token_estimates.asked(request, overheads), 1), estimated=True)
    if not used.completion_tokens and (counted := said(choices)):
        used = replace(used, completion_tokens=min(counted, most), estimated=True)
    return used if reported or used.estimated else replace(used, estimated=True)


def of_embedding(reported: Usage | None, request: Mapping[str, Any]) -> Usage:
    """The same of an embedding, of which tokens may have been given."""
    if reported is not None and reported.prompt_tokens:
        return replace(reported, completion_tokens=0, reasoning_tokens=None, completion_audio_tokens=None)
    given = request["input"]
    inputs = given if isinstance(given, list) and not isinstance(given[0], int) else [given]
    counted = sum(tokens([one]) if isinstance(one, str) else len(one) for one in inputs)
    return Usage(prompt_tokens=max(counted, 1), estimated=True)


def said(choices: Sequence[Mapping[str, Any]]) -> int:
    """About how many tokens the messages of these choices have."""
    return tokens(text for choice in choices for text in texts_of(choice["message"]))
