"""One POST to a provider: the whole answer, or a ProviderError with a status or a code."""

import asyncio
from collections.abc import Mapping

import httpx

from shared import clock
from shared.errors import ProviderError
from shared.providers.limits import RateLimits
from workers.upstream import retry_after
from workers.upstream.error_codes import code_of, error_of, message_for_customer, message_of, param_of
from workers.upstream.exchange import Exchange
from workers.upstream.faults import REFUSED_FROM
from workers.upstream.http import HttpAnswer, HttpClient

#: How long the body of an error is waited for, and how much of it is read; its head says the most of it.
REFUSAL_SECONDS = 10.0
MOST_REFUSAL_BYTES = 1024 * 1024
#: Of a length that is believed.
_DIGITS = 12


async def post(
    client: HttpClient, url: str, headers: Mapping[str, str], body: bytes, exchange: Exchange
) -> tuple[int, bytes]:
    """POST and read the whole answer: its status and its body; an error status is a ProviderError.

    What breaks is left to `exchange`, in which the caller is.
    """
    answer = await client.post(url, headers, body, exchange.silence_seconds)
    try:
        exchange.answered(answer, url, headers)
        if answer.status_code >= REFUSED_FROM:
            raise await refusal(answer, exchange)
        whole = await content(answer, exchange)
    except BaseException:
        await answer.aclose()
        raise
    return answer.status_code, whole  # of an answer that was read to its end nothing is left to close


async def content(answer: HttpAnswer, exchange: Exchange) -> bytes:
    """The rest of an answer whose head has come.

    One that has as many bytes as its head said is whole: its end is not asked for, which through a proxy would be one
    more way to the transport's thread and back, a tenth of the CPU of a call.
    """
    exchange.begin()
    pieces, left = [], _length(answer.headers)
    while left != 0 and (piece := await answer.piece()) is not None:
        exchange.alive(len(piece))
        pieces.append(piece)
        left = None if left is None else left - len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _length(headers: Mapping[str, str]) -> int | None:
    """How many bytes the body has, where the head says so of what is read; None: its end is."""
    said = headers.get("content-length", "")
    plain = (
        said.isascii() and said.isdigit() and "content-encoding" not in headers and "transfer-encoding" not in headers
    )
    return int(said) if plain and len(said) <= _DIGITS else None


async def refusal(answer: HttpAnswer, exchange: Exchange) -> ProviderError:
    """What an error status says; if its body does not come whole, or is no message, by its head alone."""
    body = b""
    try:
        async with asyncio.timeout(REFUSAL_SECONDS):
            while (piece := await answer.piece()) is not None:
                body += piece
                if len(body) > MOST_REFUSAL_BYTES:
                    body = b""
                    break
    except (httpx.RequestError, TimeoutError):
        body = b""
    return refused(answer.status_code, answer.headers, body, exchange.limits)


def refused(status: int, headers: Mapping[str, str], content: bytes, limits: RateLimits | None = None) -> ProviderError:
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
