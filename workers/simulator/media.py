"""OpenAI's embeddings, images and models, which other providers speak too."""

import base64
import re
import struct
import zlib
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from shared import clock
from workers.simulator.answers import dimensions_of, tokens, vector
from workers.simulator.messages import SimulatedRefusal, SimulatedReply, SimulatedRequest, Twist, json_reply, may, need

MAX_INPUTS = 2048
MAX_DIMENSIONS = 4096
MAX_IMAGES = 10
SIZES = {"256x256", "512x512", "1024x1024", "1792x1024", "1024x1792", "1536x1024", "1024x1536", "auto"}
LISTED = {
    "openai": ["gpt-4", "gpt-4o", "gpt-4o-mini", "gpt-3.5-turbo", "text-embedding-3-large", "gpt-image-1"],
    "anthropic": ["claude-3-opus-20240229", "claude-3-sonnet-20240229"],
    "google": ["gemini-2.5-pro", "gemini-2.5-flash", "gemini-embedding-001"],
    "deepinfra": ["deepseek-ai/DeepSeek-R1"],
}


def embeddings(request: SimulatedRequest, twist: Twist) -> SimulatedReply:
    """POST embeddings."""
    body = request.body
    model = need(body, "model", str)
    inputs = _inputs(body)
    length = dimensions_of(model, _dimensions(body))
    form = may(body, "encoding_format", str, "float")
    if form not in ("float", "base64"):
        raise SimulatedRefusal(400, "Invalid 'encoding_format'.", code="invalid_value", param="encoding_format")
    data = [] if twist.empty else [_embedding(at, one, model, length, form) for at, one in enumerate(inputs)]
    answer: dict[str, Any] = {"object": "list", "data": data, "model": model}
    counts = twist.count(sum(map(_input_tokens, inputs)), 0)
    if counts is not None:
        answer["usage"] = {"prompt_tokens": counts[0], "total_tokens": counts[0]}
    return json_reply(answer)


def _dimensions(body: dict[str, Any]) -> int | None:
    asked = may(body, "dimensions", int, 0)
    if body.get("dimensions") is not None and not 1 <= asked <= MAX_DIMENSIONS:
        raise SimulatedRefusal(400, "Invalid 'dimensions'.", code="invalid_value", param="dimensions")
    return asked or None


def _inputs(body: dict[str, Any]) -> list[Any]:
    """The input as a list, each a string or a list of tokens."""
    value = need(body, "input", object)
    if isinstance(value, list) and value and all(type(one) is int for one in value):
        value = [value]
    inputs = value if isinstance(value, list) else [value]
    if not 1 <= len(inputs) <= MAX_INPUTS or not all(map(_is_input, inputs)):
        raise SimulatedRefusal(400, "'input' must be a string, a list of strings or of tokens.", param="input")
    return inputs


def _is_input(one: Any) -> bool:
    if isinstance(one, str):
        return one != ""
    return isinstance(one, list) and bool(one) and all(type(token) is int for token in one)


def _input_tokens(one: Any) -> int:
    return tokens(one) if isinstance(one, str) else len(one)


def _embedding(at: int, one: Any, model: str, length: int, form: str) -> dict[str, Any]:
    values: Any = vector(one if isinstance(one, str) else repr(one), model, length)
    if form == "base64":
        values = base64.b64encode(struct.pack(f"<{length}f", *values)).decode()
    return {"object": "embedding", "index": at, "embedding": values}


def images(request: SimulatedRequest, twist: Twist) -> SimulatedReply:
    """POST images/generations. GPT image models answer in base64 and report usage; the others say where it is."""
    body = request.body
    prompt, model = need(body, "prompt", str), may(body, "model", str, "dall-e-2")
    count, size = may(body, "n", int, 1), _size(body, request.provider)
    if not 1 <= count <= MAX_IMAGES:
        raise SimulatedRefusal(400, f"'n' must be between 1 and {MAX_IMAGES}.", code="invalid_value", param="n")
    if twist.ending:
        message = "Your request was rejected by the safety system."
        raise SimulatedRefusal(400, message, code="moderation_blocked")
    form = _form(body, model)
    data = [] if twist.empty else [_image(request, prompt, at, size, form) for at in range(count)]
    answer: dict[str, Any] = {"created": clock.now_seconds(), "data": data}
    counts = twist.count(tokens(prompt), len(data) * _image_tokens(size))
    if counts is not None and model.startswith("gpt-image"):
        details = {"text_tokens": counts[0], "image_tokens": 0}
        usage = {"input_tokens": counts[0], "output_tokens": counts[1], "total_tokens": sum(counts)}
        answer["usage"] = usage | {"input_tokens_details": details}
    return json_reply(answer)


def _form(body: dict[str, Any], model: str) -> str:
    if model.startswith("gpt-image"):
        if "response_format" in body:
            message = "Unknown parameter: 'response_format'."
            raise SimulatedRefusal(400, message, code="unknown_parameter", param="response_format")
        return "b64_json"
    return may(body, "response_format", str, "url")


def _size(body: dict[str, Any], provider: str) -> tuple[int, int]:
    size = may(body, "size", str, "auto")
    known = size in SIZES if provider == "openai" else size == "auto" or re.fullmatch(r"[0-9]{2,4}x[0-9]{2,4}", size)
    if not known:
        raise SimulatedRefusal(400, f"Invalid value: '{size}'.", code="invalid_value", param="size")
    width, _, height = size.partition("x")
    return (1024, 1024) if size == "auto" else (int(width), int(height))


def _image_tokens(size: tuple[int, int]) -> int:
    return -(-size[0] * size[1] // 1000)


def _image(request: SimulatedRequest, prompt: str, at: int, size: tuple[int, int], form: str) -> dict[str, Any]:
    colour = blake2b(f"{prompt}\0{at}".encode("utf-8", "surrogatepass"), digest_size=3).hexdigest()
    if form == "b64_json":
        return {"b64_json": base64.b64encode(png(*size, colour)).decode()}
    host = request.headers.get(b"host", b"127.0.0.1").decode("latin-1")
    return {"url": f"http://{host}/_simulator/images/{size[0]}x{size[1]}-{colour}.png", "revised_prompt": prompt}


def image(name: str) -> SimulatedReply:
    """GET _simulator/images/{width}x{height}-{colour}.png: the name says what is in it."""
    found = re.fullmatch(r"([0-9]{1,4})x([0-9]{1,4})-([0-9a-f]{6})\.png", name)
    if found is None:
        raise SimulatedRefusal(404, "No such image.", code="not_found")
    return SimulatedReply(200, png(int(found[1]), int(found[2]), found[3]), b"image/png")


def png(width: int, height: int, colour: str) -> bytes:
    """A valid image of one colour, a few hundred bytes whatever its size."""
    header = struct.pack(">IIBBBBB", width, height, 1, 3, 0, 0, 0)
    parts = (b"IHDR", header), (b"PLTE", bytes.fromhex(colour)), (b"IDAT", _pixels(width, height)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(kind, data) for kind, data in parts)


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@lru_cache(maxsize=64)
def _pixels(width: int, height: int) -> bytes:
    return zlib.compress(bytes(-(-width // 8) + 1) * height, 9)


def models(request: SimulatedRequest, twist: Twist) -> SimulatedReply:
    """GET models, in the provider's own form."""
    ids = LISTED.get(request.provider, ["simulated-model"])
    if request.provider == "google" and "/openai/" not in request.path:
        return json_reply({"models": [{"name": f"models/{id}", "displayName": id} for id in ids]})
    if b"anthropic-version" in request.headers:
        data = [{"type": "model", "id": id, "display_name": id, "created_at": "2024-01-01T00:00:00Z"} for id in ids]
        return json_reply({"data": data, "has_more": False, "first_id": ids[0], "last_id": ids[-1]})
    return json_reply({"object": "list", "data": [_model(request.provider, id) for id in ids]})


def model(request: SimulatedRequest, twist: Twist) -> SimulatedReply:
    """GET models/{id}, OpenAI's form."""
    if request.name not in LISTED.get(request.provider, [request.name]):
        raise SimulatedRefusal(404, f"The model '{request.name}' does not exist.")
    return json_reply(_model(request.provider, request.name))


def _model(provider: str, id: str) -> dict[str, Any]:
    return {"id": id, "object": "model", "created": 1_700_000_000, "owned_by": provider}
