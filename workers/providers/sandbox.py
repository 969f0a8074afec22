"""The sandbox that test keys run on: deterministic answers, no network, nothing to pay."""

import base64
import hashlib
import struct
from collections.abc import Iterator
from typing import Any

import httpx
import orjson

from shared import clock
from shared.catalogue import Endpoint, Provider
from shared.schemas import Usage
from workers.providers import Answer, Ask

#: A whole PNG of one transparent pixel.
_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
_DIMENSIONS = 256


def connect(provider: Provider, endpoint: Endpoint, client: httpx.AsyncClient) -> "Sandbox":
    """The sandbox; it needs neither endpoint nor client."""
    return Sandbox()


class Sandbox:
    """Answers from a hash of the request."""

    async def call(self, ask: Ask) -> Answer:
        """See Upstream; never fails."""
        digest = hashlib.sha256(orjson.dumps(ask.request, option=orjson.OPT_SORT_KEYS)).digest()
        body, usage = _ANSWERS[ask.type](ask, digest)
        return Answer(body, usage)


def _chat(ask: Ask, digest: bytes) -> tuple[dict[str, Any], Usage]:
    limit = ask.request.get("max_tokens") or ask.offer.max_output
    words = f"This is a test answer, number {digest.hex()[:8]}.".split()
    said = " ".join(words[:limit])
    choice = {"role": "assistant", "content": said, "refusal": None}
    reason = "length" if limit < len(words) else "stop"
    result = {
        "id": f"chatcmpl-{ask.job_id.removeprefix('job_')}",
        "object": "chat.completion",
        "created": clock.now_seconds(),
        "model": ask.offer.model,
        "choices": [
            {"index": index, "message": choice, "logprobs": None, "finish_reason": reason}
            for index in range(ask.request.get("n", 1))
        ],
    }
    prompt = len(orjson.dumps(ask.request["messages"])) // 4 + 1
    return result, Usage(prompt_tokens=prompt, completion_tokens=min(limit, len(words)) * ask.request.get("n", 1))


def _embedding(ask: Ask, digest: bytes) -> tuple[dict[str, Any], Usage]:
    given = ask.request["input"]
    inputs = given if isinstance(given, list) and not isinstance(given[0], int) else [given]
    dimensions = ask.request.get("dimensions") or _DIMENSIONS
    vectors = [list(_vector(orjson.dumps(one), dimensions)) for one in inputs]
    if ask.request.get("encoding_format") == "base64":
        encoded: list[Any] = [base64.b64encode(struct.pack(f"<{dimensions}f", *vector)).decode() for vector in vectors]
    else:
        encoded = vectors
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(encoded)]
    tokens = sum(len(orjson.dumps(one)) // 4 + 1 for one in inputs)
    return {"object": "list", "data": data, "model": ask.offer.model}, Usage(prompt_tokens=tokens)


def _image(ask: Ask, digest: bytes) -> tuple[dict[str, Any], Usage]:
    count = ask.request["n"]
    pictures = [{"b64_json": _PIXEL} for _ in range(count)]
    return {"created": clock.now_seconds(), "data": pictures}, Usage(images=count, size=ask.request["size"])


_ANSWERS = {"chat.completion": _chat, "embedding": _embedding, "image": _image}


def _vector(seed: bytes, dimensions: int) -> Iterator[float]:
    """Numbers in [-1, 1) from a hash, rounded so that they print shortly."""
    noise = hashlib.shake_256(seed).digest(dimensions * 2)
    for (value,) in struct.iter_unpack("<h", noise):
        yield round(value / 32768, 4)
