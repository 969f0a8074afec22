"""The OpenAI wire protocol: chat completions (openai_stream.py when streamed), embeddings, images; spoken by most.

Source: OpenAI's API reference; Anthropic's, Google's and DeepInfra's pages on their OpenAI-compatible endpoints. What
is sent is in openai_request.py.
"""

from collections.abc import Mapping
from typing import Any

import httpx
import orjson

from shared.catalogue import Endpoint, Provider
from shared.errors import ProviderError
from shared.provider_limits import RateLimits
from shared.schemas import Usage, picture_kind
from workers import retry_after
from workers.event_stream import EVENT_STREAM, NotStreamed
from workers.exchange import Exchange
from workers.providers import Answer, Ask
from workers.providers.openai_request import ignored, payload
from workers.providers.openai_stream import stream
from workers.upstream_codes import code_of, message_of, told
from workers.wire import post

_PATHS = {"chat.completion": "/chat/completions", "embedding": "/embeddings", "image": "/images/generations"}

#: No request uses more; a provider that says so is not believed.
MOST_TOKENS = 2**40


def connect(provider: Provider, endpoint: Endpoint, client: httpx.AsyncClient) -> "OpenAI":
    """A provider of this protocol at its endpoint."""
    return OpenAI(endpoint, client)


class OpenAI:
    """One OpenAI-like provider."""

    def __init__(self, endpoint: Endpoint, client: httpx.AsyncClient) -> None:
        self._client = client
        self._urls = {type: httpx.URL(endpoint.base_url.rstrip("/") + path) for type, path in _PATHS.items()}
        self._headers = {"authorization": f"Bearer {endpoint.key}", "content-type": "application/json"}

    async def call(self, ask: Ask) -> Answer:
        """One POST; see Upstream."""
        exchange = Exchange(ask.limits)
        try:
            if ask.sink is not None:
                return await self._stream(ask, exchange)
            with exchange:
                status, content = await post(self._client, self._urls[ask.type], self._headers, payload(ask), exchange)
            return read(ask, status, content, exchange.limits)
        except ProviderError as error:
            raise exchange.mark(error) from None

    async def _stream(self, ask: Ask, exchange: Exchange) -> Answer:
        headers = {**self._headers, "accept": EVENT_STREAM}
        try:
            body = await stream(self._client, self._urls[ask.type], headers, payload(ask), ask, exchange)
        except NotStreamed as whole:
            return read(ask, whole.status, whole.content, exchange.limits)
        return judge(ask, 200, body, exchange.limits)


def read(ask: Ask, status: int, content: bytes, limits: RateLimits | None = None) -> Answer:
    """A good answer in canonical shape; ProviderError when a 200 is not one."""
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError:
        raise ProviderError("the provider's answer is not JSON", upstream_status=status, code="protocol") from None
    if isinstance(body, list) and body:  # so does Google wrap its errors
        body = body[0]
    if not isinstance(body, dict):
        raise ProviderError("the provider's answer is not an object", upstream_status=status, code="protocol")
    return judge(ask, status, body, limits)


def judge(ask: Ask, status: int, body: Mapping[str, Any], limits: RateLimits | None = None) -> Answer:
    """The same of a body that has been read."""
    if body.get("error"):
        raise failure(status, body)
    try:
        result, usage = _READERS[ask.type](ask, body)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"the provider's answer lacks what its protocol promises ({type(error).__name__})"
        raise ProviderError(what, upstream_status=status, code="protocol") from None
    return Answer(result, usage, status, ignored(ask), limits)


def failure(status: int, body: Mapping[str, Any]) -> ProviderError:
    """The error object in a 200: `{"error": {"message", "type", "code"}}`, with its many variations."""
    error = body.get("error")
    if isinstance(error, list):
        error = error[0] if error else {}
    if not isinstance(error, dict):
        return ProviderError(told(None, None, ""), upstream_status=status)
    number = error.get("code")
    shown = number if isinstance(number, int) and 400 <= number < 600 else None
    code = code_of(error, shown) or ("protocol" if shown is None else None)
    return ProviderError(
        told(shown, code, message_of(error)),
        upstream_status=shown,
        code=code,
        retry_after_seconds=retry_after.in_body(error),
    )


def _chat(ask: Ask, body: Mapping[str, Any]) -> tuple[dict[str, Any], Usage]:
    choices = [_choice(ask, choice) for choice in body["choices"]]
    if not choices:
        raise ProviderError("the provider's answer has no choices", upstream_status=200, code="empty")
    reported = body.get("usage")
    usage = _usage(reported) if reported else _counted(ask, orjson.dumps(choices))
    result = {
        "id": f"chatcmpl-{ask.job_id.removeprefix('job_')}",
        "object": "chat.completion",
        "created": int(body.get("created") or 0),
        "model": ask.offer.model,
        "choices": choices,
    }
    return result, usage


def _choice(ask: Ask, choice: Mapping[str, Any]) -> dict[str, Any]:
    message, index = choice["message"], int(choice.get("index") or 0)
    kept: dict[str, Any] = {"role": "assistant"}
    kept.update((name, _text(message.get(name))) for name in ("content", "refusal"))
    if calls := message.get("tool_calls"):
        stem = f"call_{ask.job_id.removeprefix('job_')}_{index}"
        kept["tool_calls"] = [_call(call, f"{stem}_{number}") for number, call in enumerate(calls)]
    return {
        "index": index,
        "message": kept,
        "logprobs": choice.get("logprobs") or None,
        "finish_reason": _text(choice.get("finish_reason")) or "stop",
    }


def _call(call: Mapping[str, Any], id: str) -> dict[str, Any]:
    """A tool call as it can be sent back as a turn; `id` for a provider that gives none, as Google's endpoint may."""
    function = call["function"]
    called = {"name": _text(function["name"]), "arguments": _text(function.get("arguments")) or ""}
    return {"id": _text(call.get("id")) or id, "type": "function", "function": called}


def _text(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _embedding(ask: Ask, body: Mapping[str, Any]) -> tuple[dict[str, Any], Usage]:
    data = [{"object": "embedding", "index": int(row["index"]), "embedding": row["embedding"]} for row in body["data"]]
    if not data:
        raise ProviderError("the provider's answer has no embeddings", upstream_status=200, code="empty")
    if not all(row["embedding"] and isinstance(row["embedding"], list | str) for row in data):
        raise TypeError("not a vector")
    if sorted(row["index"] for row in data) != list(range(_inputs(ask.request["input"]))):
        raise ValueError("not one embedding for each input")
    reported = body.get("usage")
    usage = _usage(reported) if reported else _counted(ask, b"")
    return {"object": "list", "data": data, "model": ask.offer.model}, usage


def _inputs(given: Any) -> int:
    """How many things are to be embedded; a list of numbers is one, in tokens."""
    return len(given) if isinstance(given, list) and not isinstance(given[0], int) else 1


def _image(ask: Ask, body: Mapping[str, Any]) -> tuple[dict[str, Any], Usage]:
    kept = ("url", "b64_json", "revised_prompt")
    data = [{name: row[name] for name in kept if row.get(name) is not None} for row in body["data"]]
    if not data:
        raise ProviderError("the provider's answer has no images", upstream_status=200, code="empty")
    if not all(row.get("url") or row.get("b64_json") for row in data):
        raise ValueError("neither a link nor a picture")
    usage = Usage(images=len(data), size=picture_kind(ask.request, ask.offer.images))
    return {"created": int(body.get("created") or 0), "data": data}, usage


_READERS = {"chat.completion": _chat, "embedding": _embedding, "image": _image}


def _usage(reported: Mapping[str, Any]) -> Usage:
    prompt, completion = reported.get("prompt_tokens"), reported.get("completion_tokens")
    if prompt is None:
        prompt = int(reported["total_tokens"]) - int(completion or 0)
    prompt, completion = int(prompt), int(completion or 0)
    if not (0 <= prompt <= MOST_TOKENS and 0 <= completion <= MOST_TOKENS):
        raise ValueError("usage out of range")
    return Usage(prompt_tokens=prompt, completion_tokens=completion)


def _counted(ask: Ask, answer: bytes) -> Usage:
    """Usage that the provider did not report: about four bytes of text a token."""
    asked = len(orjson.dumps(ask.request))
    return Usage(prompt_tokens=-(-asked // 4), completion_tokens=-(-len(answer) // 4), estimated=True)
