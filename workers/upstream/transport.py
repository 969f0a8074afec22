"""The HTTP client that calls providers: httpx's API over a transport that does not fall over.

httpx's own pool looks through all its connections for every request, so its cost grows with what is in flight.
Measured here on 2 cores, CPU a call, upstream answering at once: httpx's pool 500-730 us with 10 in flight, 10,400 us
with 200, 19,000 us with 1,000 (52 calls/s); this one 185 us with 10, 224-260 us with 1,000 (4,100 calls/s), 330 us
with 2,000. uvloop saved 3 to 25 %; tokio's multithreaded runtime costs a fifth on so few cores, so it stays off.
The transport is pyreqwest's (Rust: hyper and tokio in a thread of their own), behind this one seam.
"""

from bisect import bisect_right
from collections.abc import AsyncIterator
from datetime import timedelta
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import cast

import httpx
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.compatibility.httpx import HttpxTransport
from pyreqwest.exceptions import BuilderError, DecodeError, NetworkError, PyreqwestError, RequestTimeoutError

from shared import network
from shared.network.proxies import Proxy
from shared.settings import settings

#: A provider that does not take a connection by then is down; the call is retried or falls back.
CONNECT_SECONDS = 10.0
#: Shorter than the idle timeouts of the providers' load balancers (60 s and more), so that we close first.
IDLE_SECONDS = 30.0
#: By so much the transport's deadline is later than a call's own whole limit, which is to be the one that ends it.
SPARE_SECONDS = 5.0
#: How long a connection may be silent before the transport hangs up, by classes: each is a pool of connections of its
#: own. What a call's own limits bear is rounded up to one of them, which from 15 s on is at most four times as long.
SILENCES = (15.0, 61.0, 125.0, 245.0, 605.0, 1_800.0, 3_605.0)
#: The proxy wants other credentials.
PROXY_REFUSES = 407
UNREACHED = "could not connect to the provider"
_REFUSED = "the proxy refused its credentials (407)"
_UNTRUSTED = "its certificate is not trusted"


def provider_client(
    in_flight: int, *, call_seconds: float | None = None, transport: "type[ProviderTransport] | None" = None
) -> httpx.AsyncClient:
    """A client for `in_flight` calls at once; one a process, made in the worker's own process, closed by its owner.

    `transport`: another of the same kind.
    `call_seconds` bounds a whole call, connect to last byte (default: the longest of the settings; a worker's calls
    have limits of their own, see `deadlines`). It is the transport's own deadline: httpx's four timeouts mean
    nothing here, and their sum is taken for the whole call, so pass a request no `timeout` but
    `httpx.Timeout(None, read=seconds)`, which sets that call's whole.
    Every failure, in the body too, is an httpx.RequestError (DecodingError for a truncated or garbled answer).
    ConnectError and ConnectTimeout do NOT say that nothing was sent: the transport reports a reset, a hang-up or a
    deadline before the answer's head by them as well. HTTP/1 only; no cookies, no redirects (one would carry the
    provider's key elsewhere). Proxies and authorities are those of shared.network; what fails on the way to or in a
    proxy is a ProxyError that names it.

    A call cancelled after the answer's head hangs up. One cancelled before it returns at once, but its connection lives
    on (pyreqwest 0.15 does not hang up) until the transport's own limit of silence, so that a silent provider cannot
    pile up connections: the request's extension `silence_seconds` says how long a silence it has to bear (default: the
    whole call), and the next longer of SILENCES is that limit. Measured: 20 calls
    a second given up after 1 s, with the class of 15 s: 300 connections at most. Nothing here counts connections: slots
    bound what is in flight.
    """
    longest = max(settings().call_seconds, settings().stream_seconds)
    whole = longest + SPARE_SECONDS if call_seconds is None else call_seconds
    return httpx.AsyncClient(
        transport=(transport or ProviderTransport)(in_flight, whole),
        timeout=None,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        follow_redirects=False,
        trust_env=False,
    )


def _pyreqwest(in_flight: int, call_seconds: float, silence_seconds: float | None, proxy: Proxy | None) -> Client:
    builder = (
        network.reach(ClientBuilder(), proxy)
        .http1_only()
        .follow_redirects(False)
        .referer(False)
        .pool_max_idle_per_host(in_flight)
        .pool_idle_timeout(timedelta(seconds=IDLE_SECONDS))
        .connect_timeout(timedelta(seconds=CONNECT_SECONDS))
        .timeout(timedelta(seconds=call_seconds))
        .tcp_nodelay(True)
    )
    if silence_seconds is not None:
        builder = builder.read_timeout(timedelta(seconds=silence_seconds))
    return cast(Client, builder.build())


class ProviderTransport(HttpxTransport):
    """pyreqwest's transport, with the errors that it lets through untranslated turned into httpx's."""

    def __init__(self, in_flight: int, call_seconds: float) -> None:
        super().__init__(_pyreqwest(in_flight, call_seconds, None, None))
        self._in_flight = in_flight
        self._call_seconds = call_seconds
        #: Pools of connections, by the silence they bear and the proxy they go through.
        self._pools: dict[tuple[float | None, Proxy | None], Client] = {(None, None): self._client}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = str(request.url)
        proxy = network.routes().proxy(url)
        client = self._pool(request.extensions.get("silence_seconds"), proxy)
        builder = client.request(request.method, url).headers(request.headers.multi_items())
        builder = self._map_body(builder, request)
        if whole := sum(filter(None, request.extensions.get("timeout", {}).values())):
            builder = builder.timeout(timedelta(seconds=whole))
        try:
            response = await self._map_response(builder, request)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise unreached(error, proxy, request) from error
        except (PyreqwestError, ValueError) as error:  # ValueError: a header of the answer that is not UTF-8
            raise _translated(error, request) from error
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _Body(response.stream, request)
        if proxy is not None and response.status_code == PROXY_REFUSES:
            await response.aclose()
            raise httpx.ProxyError(_said(proxy, _REFUSED), request=request)
        return response

    async def aclose(self) -> None:
        for client in self._pools.values():
            await client.close()

    def _pool(self, silence_seconds: float | None, proxy: Proxy | None) -> Client:
        """The connections that go this way and are hung up after the least silence that is no shorter."""
        limit = None
        if silence_seconds is not None and silence_seconds < SILENCES[-1]:
            limit = SILENCES[bisect_right(SILENCES, silence_seconds)]
        if (client := self._pools.get((limit, proxy))) is None:
            client = self._pools[limit, proxy] = _pyreqwest(self._in_flight, self._call_seconds, limit, proxy)
        return client


def unreached(error: httpx.TransportError, proxy: Proxy | None, request: httpx.Request) -> httpx.TransportError:
    """The error of a connection that did not come about, with what an operator has to know of it."""
    causes = getattr(error.__cause__, "details", None) or {}
    words = " ".join(str(cause.get("message")) for cause in causes.get("causes", ()))
    why = _REFUSED if "proxy authorization required" in words else _UNTRUSTED if "peer certificate" in words else ""
    if proxy is not None:
        return httpx.ProxyError(_said(proxy, why), request=request)
    return httpx.ConnectError(f"{UNREACHED}: {why}", request=request) if why else error


def _said(proxy: Proxy, why: str) -> str:
    return f"{UNREACHED} through the proxy {proxy.place}" + (f": {why}" if why else "")


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
