"""Usage that a provider did not report, counted here: texts as texts, an image as the catalogue counts one.

About four bytes of text are a token. A count of 0 is none where there was something to count: a prompt is never empty,
and a text that was sent was paid for. Never more than what a job's bound was made of.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from shared.money.pricing import Overheads
from shared.submissions.schemas import Usage, image_urls

#: Bytes of UTF-8 in one token, about, of English and of most programs.
BYTES_PER_TOKEN = 4
#: What a message has around its text: its role, its marks.
MESSAGE_TOKENS = 4


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
        used = replace(used, prompt_tokens=max(_asked(request, overheads), 1), estimated=True)
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


def tokens(texts: Iterable[str]) -> int:
    """About how many tokens these texts have."""
    return -(-sum(len(one.encode("utf-8", "surrogatepass")) for one in texts) // BYTES_PER_TOKEN)


def _asked(request: Mapping[str, Any], overheads: Overheads) -> int:
    texts = [text for message in request["messages"] for text in _texts(message)]
    for name in ("tools", "response_format"):
        if request.get(name):
            texts.append(orjson.dumps(request[name]).decode())
    of_images = overheads.image * len(image_urls(request))
    return tokens(texts) + MESSAGE_TOKENS * len(request["messages"]) + of_images


def said(choices: Sequence[Mapping[str, Any]]) -> int:
    """About how many tokens the messages of these choices have."""
    return tokens(text for choice in choices for text in _texts(choice["message"]))


def _texts(message: Mapping[str, Any]) -> Iterable[str]:
    """Every text of a message."""
    content = message.get("content")
    parts = content if isinstance(content, list) else ()
    texts = [content, message.get("refusal"), message.get("reasoning_content")]
    texts += [text for part in parts for text in (part.get("text"), part.get("refusal"))]
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        texts += [function.get("name"), function.get("arguments")]
    return (text for text in texts if isinstance(text, str))
