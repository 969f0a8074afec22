"""The HTTP client that calls providers: httpx's API over a transport that does not fall over.

httpx's own pool looks through all its connections for every request, so its cost grows with what is in flight.
Measured here on 2 cores, CPU a call, upstream answering at once: httpx's pool 500-730 us with 10 in flight, 10,400 us
with 200, 19,000 us with 1,000 (52 calls/s); this one 185 us with 10, 224-260 us with 1,000 (4,100 calls/s), 330 us
with 2,000. uvloop saved 3 to 25 %; tokio's multithreaded runtime costs a fifth on so few cores, so it stays off.
The transport is pyreqwest's (Rust: hyper and tokio in a thread of their own), behind this one seam.
"""

from collections.abc import AsyncIterator
from datetime import timedelta
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.compatibility.httpx import HttpxTransport
from pyreqwest.exceptions import BuilderError, DecodeError, NetworkError, PyreqwestError, RequestTimeoutError

from shared.settings import settings

#: A provider that does not take a connection by then is down; the call is retried or falls back.
CONNECT_SECONDS = 10.0
#: Shorter than the idle timeouts of the providers' load balancers (60 s and more), so that we close first.
IDLE_SECONDS = 30.0


def provider_client(
    in_flight: int, *, call_seconds: float | None = None, transport: "type[ProviderTransport] | None" = None
) -> httpx.AsyncClient:
    """A client for `in_flight` calls at once; one a process, made in the worker's own process, closed by its owner.

    `transport`: another of the same kind.
    `call_seconds` bounds a whole call, connect to last byte (default: the setting). It is the transport's own
    deadline: httpx's four timeouts mean nothing here, and pyreqwest would take their SUM for the whole call, so
    pass a request no `timeout` but `httpx.Timeout(None, read=seconds)`, which sets that call's whole.
    Every failure, in the body too, is an httpx.RequestError (DecodingError for a truncated or garbled answer).
    ConnectError and ConnectTimeout do NOT say that nothing was sent: the transport reports a reset, a hang-up or a
    deadline before the answer's head by them as well. HTTP/1 only; no proxy from the environment, no cookies, no
    redirects (one would carry the provider's key elsewhere).

    A call cancelled before the answer's head returns at once, but its connection lives on to the call's deadline
    (pyreqwest 0.15 does not hang up). So nothing here counts connections: slots bound what is in flight.
    """
    whole = settings().call_seconds if call_seconds is None else call_seconds
    return httpx.AsyncClient(
        transport=(transport or ProviderTransport)(_pyreqwest(in_flight, whole)),
        timeout=None,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        follow_redirects=False,
        trust_env=False,
    )


def _pyreqwest(in_flight: int, call_seconds: float) -> Client:
    return (
        ClientBuilder()
        .http1_only()
        .no_proxy()
        .follow_redirects(False)
        .referer(False)
        .pool_max_idle_per_host(in_flight)
        .pool_idle_timeout(timedelta(seconds=IDLE_SECONDS))
        .connect_timeout(timedelta(seconds=CONNECT_SECONDS))
        .timeout(timedelta(seconds=call_seconds))
        .tcp_nodelay(True)
        .build()
    )


class ProviderTransport(HttpxTransport):
    """pyreqwest's transport, with the errors that it lets through untranslated turned into httpx's."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            response = await super().handle_async_request(request)
        except (PyreqwestError, ValueError) as error:  # ValueError: a header of the answer that is not UTF-8
            raise _translated(error, request) from error
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _Body(response.stream, request)
        return response


class _Body(httpx.AsyncByteStream):
    """The rest of an answer, which may fail long after its head arrived."""

    def __init__(self, stream: httpx.AsyncByteStream, request: httpx.Request) -> None:
        self._stream = stream
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._stream:
                yield chunk
        except PyreqwestError as error:
            raise _translated(error, self._request) from error

    async def aclose(self) -> None:
        await self._stream.aclose()


def _translated(error: Exception, request: httpx.Request) -> httpx.RequestError:
    match error:
        case RequestTimeoutError():
            return httpx.ReadTimeout(error.message, request=request)
        case NetworkError():
            return httpx.ReadError(error.message, request=request)
        case DecodeError():
            return httpx.DecodingError(error.message, request=request)
        case BuilderError():
            return httpx.LocalProtocolError(error.message, request=request)
        case _:  # of no class of its own: an answer cut short after much of it was read, a header not UTF-8
            return httpx.DecodingError(str(error), request=request)
