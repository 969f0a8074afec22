"""One POST to a provider: the whole answer, or a ProviderError with a status or a code."""

import asyncio

import httpx

from shared import clock
from shared.errors import ProviderError
from shared.providers.limits import RateLimits
from workers.upstream import retry_after
from workers.upstream.error_codes import code_of, error_of, message_for_customer, message_of, param_of
from workers.upstream.exchange import Exchange
from workers.upstream.faults import REFUSED_FROM

#: How long the body of an error is waited for, and how much of it is read; its head says the most of it.
REFUSAL_SECONDS = 10.0
MOST_REFUSAL_BYTES = 1024 * 1024


async def post(
    client: httpx.AsyncClient, url: httpx.URL, headers: dict[str, str], body: bytes, exchange: Exchange
) -> tuple[int, bytes]:
    """POST and read the whole answer: its status and its body; an error status is a ProviderError.

    What breaks is left to `exchange`, in which the caller is.
    """
    request = client.build_request("POST", url, content=body, headers=headers, extensions=exchange.extensions())
    response = await client.send(request, stream=True)
    try:
        exchange.answered(response)
        if response.status_code >= REFUSED_FROM:
            raise await refusal(response, exchange)
        return response.status_code, await content(response, exchange)
    finally:
        await response.aclose()


async def content(response: httpx.Response, exchange: Exchange) -> bytes:
    """The rest of an answer whose head has come."""
    exchange.begin()
    pieces = []
    async for piece in response.aiter_bytes():
        exchange.alive(len(piece))
        pieces.append(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


async def refusal(response: httpx.Response, exchange: Exchange) -> ProviderError:
    """What an error status says; if its body does not come whole, or is no message, by its head alone."""
    body = b""
    try:
        async with asyncio.timeout(REFUSAL_SECONDS):
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > MOST_REFUSAL_BYTES:
                    body = b""
                    break
    except (httpx.RequestError, TimeoutError):
        body = b""
    return refused(response.status_code, response.headers, body, exchange.limits)


def refused(status: int, headers: httpx.Headers, content: bytes, limits: RateLimits | None = None) -> ProviderError:
    """An error status: the provider's code where the body has one, and how long to wait."""
    error = error_of(content)
    code = code_of(error, status)
    now_seconds = clock.now_micros() / clock.MICROS
    return ProviderError(
        message_for_customer(status, code, message_of(error)),
        upstream_status=status,
        code=code,
        param=param_of(error),
        retry_after_seconds=retry_after.seconds(status, headers, error, limits, now_seconds=now_seconds),
        limits=limits,
    )
