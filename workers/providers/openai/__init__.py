"""The OpenAI wire protocol: chat completions (whole or streamed), embeddings, images; spoken by most.

Source: OpenAI's API reference; Anthropic's, Google's and DeepInfra's pages on their OpenAI-compatible endpoints. What
is sent is in `request`, what comes back in `answers` and `stream`.
"""

from collections.abc import Mapping
from typing import Any

from shared.errors import ProviderError
from shared.providers.limits import RateLimits
from shared.submissions.catalogue import Endpoint, Provider, key_headers
from workers.answers.reading import loads
from workers.answers.shape import lacking, wrong
from workers.providers import ProviderAnswer, ProviderCall
from workers.providers.openai import answers
from workers.providers.openai.request import ignored, payload
from workers.providers.openai.stream import StreamedAnswer, of_events, stream
from workers.upstream import event_stream, retry_after
from workers.upstream.error_codes import code_of, message_for_customer, message_of, param_of
from workers.upstream.event_stream import EVENT_STREAM, NotStreamed
from workers.upstream.exchange import Exchange
from workers.upstream.http import HttpClient
from workers.upstream.post import post

_PATHS = {"chat.completion": "/chat/completions", "embedding": "/embeddings", "image": "/images/generations"}


def connect(provider: Provider, endpoint: Endpoint, client: HttpClient) -> "OpenAI":
    """A provider of this protocol at its endpoint."""
    return OpenAI(endpoint, key_headers(provider, endpoint.key), client)


class OpenAI:
    """One OpenAI-like provider."""

    def __init__(self, endpoint: Endpoint, headers: Mapping[str, str], client: HttpClient) -> None:
        self._client = client
        self._endpoint = endpoint
        self._headers = {**headers, "content-type": "application/json"}
        #: The addresses that were called, by the type of the call and the name of the model there.
        self._urls: dict[tuple[str, str], str] = {}

    async def call(self, call: ProviderCall) -> ProviderAnswer:
        """One POST; see Upstream."""
        exchange = Exchange(call.limits)
        try:
            answer = await (self._whole if call.sink is None else self._stream)(call, exchange)
        except ProviderError as error:
            raise exchange.mark(error) from None
        answer.request_ids = exchange.request_ids
        return answer

    async def _whole(self, call: ProviderCall, exchange: Exchange) -> ProviderAnswer:
        with exchange:
            status, content = await post(self._client, self._url(call), self._headers, payload(call), exchange)
        return read(call, status, content, exchange.limits)

    async def _stream(self, call: ProviderCall, exchange: Exchange) -> ProviderAnswer:
        headers = {**self._headers, "accept": EVENT_STREAM}
        try:
            found = await stream(self._client, self._url(call), headers, payload(call), call, exchange)
        except NotStreamed as whole:
            return read(call, whole.status, whole.content, exchange.limits)
        return judge(call, 200, found, exchange.limits)

    def _url(self, call: ProviderCall) -> str:
        at = call.type, call.offer.upstream
        if (url := self._urls.get(at)) is None:
            url = self._urls[at] = self._endpoint.address(_PATHS[call.type], call.offer.upstream)
        return url


def read(call: ProviderCall, status: int, content: bytes, limits: RateLimits | None = None) -> ProviderAnswer:
    """A good answer in canonical shape; ProviderError when a 200 is not one.

    A chat completion may have come as the events of a stream, also where none was asked for.
    """
    if call.type == "chat.completion" and event_stream.are_events(content):
        return judge(call, status, of_events(call, event_stream.all_of(content)), limits)
    try:
        body = loads(content)
    except ValueError:
        raise ProviderError(
            "the provider's response is not valid JSON", upstream_status=status, code="protocol"
        ) from None
    if isinstance(body, list) and body:  # so does Google wrap its errors
        body = body[0]
    if not isinstance(body, dict):
        raise wrong("it", "is not an object")
    return judge(call, status, body, limits)


def judge(
    call: ProviderCall, status: int, found: Mapping[str, Any] | StreamedAnswer, limits: RateLimits | None = None
) -> ProviderAnswer:
    """The same of a body that has been read, or of a stream that has been put together."""
    try:
        if isinstance(found, StreamedAnswer):
            result, usage = answers.chat(call, found.choices, found.usage, found.created)
        elif found.get("error"):
            raise failure(status, found)
        else:
            result, usage = answers.read(call, found)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise lacking(error) from None
    left_out = ignored(call)
    if answers.given(result) < answers.wanted(call):
        left_out.append("n")
    return ProviderAnswer(result, usage, status, left_out, limits)


def failure(status: int, body: Mapping[str, Any]) -> ProviderError:
    """The error object in a 200: `{"error": {"message", "type", "code"}}`, with its many variations."""
    error = body.get("error")
    if isinstance(error, list):
        error = error[0] if error else {}
    if not isinstance(error, dict):
        return ProviderError(message_for_customer(None, None, ""), upstream_status=status)
    number = error.get("code")
    shown = number if isinstance(number, int) and 400 <= number < 600 else None
    code = code_of(error, shown) or ("protocol" if shown is None else None)
    return ProviderError(
        message_for_customer(shown, code, message_of(error)),
        upstream_status=shown,
        code=code,
        param=param_of(error),
        retry_after_seconds=retry_after.in_body(error),
    )
