"""The sandbox that test keys run on: deterministic answers, no network, nothing to pay."""

import base64
import hashlib
import struct
from collections.abc import Iterator
from typing import Any

import orjson

from shared import clock
from shared.answers.streams import StreamProgress, part, rest
from shared.submissions import extras
from shared.submissions.catalogue import Endpoint, Provider
from shared.submissions.schemas import NULLS, UNASKED, Usage, picture_kind
from shared.submissions.steps.grounding import SEARCH
from workers.answers import results
from workers.providers import ProviderAnswer, ProviderCall, Sink
from workers.providers.openai.request import ignored
from workers.providers.sandbox import replies
from workers.upstream.http import HttpClient

#: A whole PNG of one transparent pixel.
_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
_DIMENSIONS = 256


def connect(provider: Provider, endpoint: Endpoint, client: HttpClient) -> "Sandbox":
    """The sandbox; it needs neither endpoint nor client."""
    return Sandbox()


class Sandbox:
    """Answers from a hash of the request."""

    async def call(self, call: ProviderCall) -> ProviderAnswer:
        """See Upstream; never fails."""
        asked = {name: value for name, value in call.request.items() if name not in (extras.KEY, UNASKED, NULLS)}
        digest = hashlib.sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).digest()
        body, usage = _ANSWERS[call.type](call, digest)
        if call.sink is not None:
            _say(call.sink, body)
        return ProviderAnswer(body, usage, ignored=[] if call.type == SEARCH else ignored(call))


def _say(sink: Sink, body: dict[str, Any]) -> None:
    """Word by word, one choice after the other."""
    for choice in body["choices"]:
        index, content = choice["index"], choice["message"]["content"]
        if content is None:
            for choices in rest([choice], StreamProgress()):
                sink.send(body, choices)
            continue
        sink.send(body, [part(index, {"role": "assistant", "content": ""})])
        likely = (choice["logprobs"] or {}).get("content")
        for number, piece in enumerate(replies.pieces(content)):
            logprobs = {"content": [likely[number]]} if likely else None
            sink.send(body, [part(index, {"content": piece}, logprobs=logprobs)])
        sink.send(body, [part(index, {}, choice["finish_reason"])])


def _chat(call: ProviderCall, digest: bytes) -> tuple[dict[str, Any], Usage]:
    limit = call.request.get("max_tokens") or call.offer.max_output
    count = call.request.get("n", 1)
    turn = replies.answer(call.request, limit, digest.hex())
    content, likely = turn.message["content"], None
    if call.request.get("logprobs") and content is not None:
        likely = replies.likelihoods(content, call.request.get("top_logprobs") or 0)
    choices = [
        {"index": index, "message": turn.message, "logprobs": likely, "finish_reason": turn.finish}
        for index in range(count)
    ]
    result = results.chat(call.job_id, call.offer.model, choices, clock.now_seconds())
    prompt = len(orjson.dumps(call.request["messages"])) // 4 + 1
    return result, Usage(prompt_tokens=prompt, completion_tokens=turn.tokens * count)


def _embedding(call: ProviderCall, digest: bytes) -> tuple[dict[str, Any], Usage]:
    given = call.request["input"]
    inputs = given if isinstance(given, list) and not isinstance(given[0], int) else [given]
    dimensions = call.request.get("dimensions") or _DIMENSIONS
    vectors = [list(_vector(orjson.dumps(one), dimensions)) for one in inputs]
    if call.request.get("encoding_format") == "base64":
        encoded: list[Any] = [base64.b64encode(struct.pack(f"<{dimensions}f", *vector)).decode() for vector in vectors]
    else:
        encoded = vectors
    tokens = sum(len(orjson.dumps(one)) // 4 + 1 for one in inputs)
    return results.embeddings(call.offer.model, encoded), Usage(prompt_tokens=tokens)


def _image(call: ProviderCall, digest: bytes) -> tuple[dict[str, Any], Usage]:
    count = call.request["n"]
    data = [{"b64_json": _PIXEL} for _ in range(count)]
    used = Usage(images=count, size=picture_kind(call.request, call.offer.images))
    return results.images(clock.now_seconds(), data), used


def _search(call: ProviderCall, digest: bytes) -> tuple[dict[str, Any], Usage]:
    """One page for each query."""
    results = [{"query": query, "items": [_page(query)], "error": None} for query in call.request["queries"]]
    return {"object": SEARCH, "results": results}, Usage(prompt_tokens=len(results))


def _page(query: str) -> dict[str, str]:
    return {"title": "Sandbox", "url": "https://example.com/", "text": f"A test result for: {query}"}


_ANSWERS = {SEARCH: _search, "chat.completion": _chat, "embedding": _embedding, "image": _image}


def _vector(seed: bytes, dimensions: int) -> Iterator[float]:
    """Numbers in [-1, 1) from a hash, rounded so that they print shortly."""
    noise = hashlib.shake_256(seed).digest(dimensions * 2)
    for (value,) in struct.iter_unpack("<h", noise):
        yield round(value / 32768, 4)
