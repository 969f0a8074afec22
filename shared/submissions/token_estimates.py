"""About how many tokens a text or a chat request has; never of what has been reported, only where nobody counted.

About four bytes of text are a token; an image has as many as the catalogue says.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from shared.money.pricing import Overheads
from shared.submissions.schemas import Submission, image_urls

#: Bytes of UTF-8 in one token, about, of English and of most programs.
BYTES_PER_TOKEN = 4
#: What a message has around its text: its role, its marks.
MESSAGE_TOKENS = 4
#: What an answer is taken for that has no limit.
USUAL_OUTPUT = 500


def tokens(texts: Iterable[str]) -> int:
    """About how many tokens these texts have."""
    return -(-sum(map(_bytes, texts)) // BYTES_PER_TOKEN)


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def asked(request: Mapping[str, Any], overheads: Overheads) -> int:
    """About how many tokens the input of a chat completion has: messages, tools, a schema, images."""
    texts = [text for message in request["messages"] for text in texts_of(message)]
    for name in ("tools", "response_format"):
        if request.get(name):
            texts.append(orjson.dumps(request[name]).decode())
    of_images = overheads.image * len(image_urls(request))
    return tokens(texts) + MESSAGE_TOKENS * len(request["messages"]) + of_images


def reserved(submission: Submission, overheads: Overheads) -> int:
    """About how many tokens a submission may come to: its input, and its answers as long as it lets them be.

    Of a chat without a limit USUAL_OUTPUT an answer; an image has none.
    """
    request = submission.request
    if submission.type == "chat.completion":
        limit = request.get("max_tokens") or USUAL_OUTPUT
        return asked(request, overheads) + limit * (request.get("n") or 1)
    return _of_inputs(request["input"]) if submission.type == "embedding" else 0


def _of_inputs(given: Any) -> int:
    """Of the inputs of an embedding: a text, or texts or tokens in a list."""
    inputs = given if isinstance(given, list) else [given]
    texts = tokens(one for one in inputs if isinstance(one, str))
    return texts + sum(len(one) if isinstance(one, list) else 1 for one in inputs if not isinstance(one, str))


def texts_of(message: Mapping[str, Any]) -> Iterable[str]:
    """Every text of a message."""
    content = message.get("content")
    if isinstance(content, str) and len(message) == 2:  # beside its role: as most are
        return (content,)
    parts = content if isinstance(content, list) else ()
    texts = [content, message.get("refusal"), message.get("reasoning_content")]
    texts += [text for part in parts for text in (part.get("text"), part.get("refusal"))]
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        texts += [function.get("name"), function.get("arguments")]
    return (text for text in texts if isinstance(text, str))
