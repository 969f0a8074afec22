"""Embeddings: batchEmbedContents, of one text as of many.

Source: https://ai.google.dev/api/embeddings#method:-models.batchembedcontents: at most 100 requests in one, each with
its model; vectors come in the order of the requests. Gemini embeds texts, so an array of tokens is refused here.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import orjson

from shared.errors import ProviderError
from shared.submissions import extras
from shared.submissions.schemas import Usage
from workers.answers import estimates, results, vectors
from workers.answers.shape import wrong
from workers.providers import ProviderCall
from workers.providers.google import usage
from workers.providers.google.generations import resource
from workers.providers.openai.request import sending_of

METHOD: Final = "batchEmbedContents"
#: Requests in one.
MOST: Final = 100

_SENT: Final = frozenset({"input", "dimensions"})
#: What is done here of an answer, or told.
_OURS: Final = frozenset({"encoding_format", extras.KEY})


def payloads(call: ProviderCall) -> Iterator[bytes]:
    """The bodies to send, each with as many texts as one may have."""
    texts = _texts(call.request["input"])
    model = resource(call.offer.upstream)
    dimensions = call.request.get("dimensions") if "dimensions" not in _omitted(call) else None
    size = {"outputDimensionality": dimensions} if dimensions else {}
    for at in range(0, len(texts), MOST):
        asked = [
            {"model": model, "content": {"role": "user", "parts": [{"text": text}]}, **size}
            for text in texts[at : at + MOST]
        ]
        yield orjson.dumps({"requests": asked})


def left_out(call: ProviderCall) -> list[str]:
    """What of a request is not passed on."""
    sent = _SENT - _omitted(call)
    beside = extras.left(call.request.get(extras.KEY) or {}, frozenset())
    return [*(name for name in call.request if name not in sent | _OURS), *beside]


def read(
    call: ProviderCall, bodies: Sequence[Mapping[str, Any]], headers: Mapping[str, str]
) -> tuple[dict[str, Any], Usage]:
    """The embeddings of all the answers, and what was used."""
    found: list[Any] = []
    for body in bodies:
        rows = body.get("embeddings")
        if not isinstance(rows, list):
            raise wrong("embeddings", "is missing" if rows is None else "is not an array")
        for row in rows:
            path = f"embeddings[{len(found)}].values"
            values = row.get("values") if isinstance(row, Mapping) else None
            found.append(vectors.encoded(values, call.request.get("encoding_format"), path))
    if not found:
        raise ProviderError("the provider's response contains no embeddings", upstream_status=200, code="empty")
    if len(found) != len(_texts(call.request["input"])):
        raise wrong("embeddings", "does not have one embedding per input")
    return results.embeddings(call.offer.model, found), estimates.of_embedding(_used(bodies, headers), call.request)


def _used(bodies: Sequence[Mapping[str, Any]], headers: Mapping[str, str]) -> Usage | None:
    """The sum, where each of them says."""
    parts = [usage.of(body, headers) for body in bodies]
    known = [part for part in parts if part is not None]
    return Usage(prompt_tokens=sum(part.prompt_tokens for part in known)) if len(known) == len(parts) else None


def _texts(given: Any) -> list[str]:
    """The texts to embed."""
    texts = given if isinstance(given, list) else [given]
    if not all(isinstance(text, str) for text in texts):
        why = "input: this model takes texts, not arrays of tokens"
        raise ProviderError(why, upstream_status=400, code="INVALID_ARGUMENT", param="input")
    return texts


def _omitted(call: ProviderCall) -> frozenset[str]:
    return sending_of(call).omit.union(call.offer.omit)
