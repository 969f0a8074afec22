"""Calls of providers that go through a proxy: by pyreqwest (Rust: hyper, and tokio in threads of its own).

It knows all the kinds of proxies. For whole answers tokio has two threads. Whichever hands an answer over waits for the
interpreter; while it waits, the other one sends. With a single thread a worker's requests left up to 0.4 s late when
answers came in crowds. Streams have a single thread of their own, which takes a fifth less CPU for a token.
"""

from bisect import bisect_right
from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache
from typing import Any, cast

import httpx
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import (
    BuilderError,
    ConnectError,
    ConnectTimeoutError,
    NetworkError,
    PyreqwestError,
    RequestTimeoutError,
)
from pyreqwest.http import HeaderMap, Url

from shared import network
from shared.environment import suggest
from shared.network.proxies import Proxy
from workers.upstream.connecting import CONNECT_SECONDS, IDLE_SECONDS, UNREACHED, UNTRUSTED, USER_AGENT

#: Addresses with their headers that are kept as they were read.
KEPT_READ = 256
#: Threads for whole answers, and the variable by which tokio is told (by itself it takes one for each core).
THREADS = "2"
_THREADS_NAME = "TOKIO_WORKER_THREADS"
#: How long a connection may be silent before the transport hangs up, by classes: each is a pool of connections of its
#: own. What a call's own limits bear is rounded up to one of them, which from 15 s on is at most four times as long.
SILENCES = (15.0, 61.0, 125.0, 245.0, 605.0, 1_800.0, 3_605.0)
#: The proxy wants other credentials.
PROXY_REFUSES = 407
_REFUSED = "the proxy refused its credentials (407)"


class ProxiedClient:
    """Calls through proxies; what is asked of it is what is asked of `transport.ProviderClient`, which has one.

    `in_flight` calls at once, each bounded by `call_seconds`. ConnectError and ConnectTimeout do NOT say that nothing
    was sent: pyreqwest reports a reset, a hang-up or a deadline before the answer's head by them as well.

    A call cancelled after the answer's head hangs up. One cancelled before it returns at once, but its connection lives
    on (pyreqwest 0.15 does not hang up) until its own limit of silence, so that a silent provider cannot pile up
    connections: the next longer of SILENCES than the silence that the call bears. Measured: 20 calls a second given up
    after 1 s, with the class of 15 s: 300 connections at most.
    """

    def __init__(self, in_flight: int, call_seconds: float) -> None:
        self._in_flight, self._call_seconds = in_flight, call_seconds
        #: Pools of connections, by the silence they bear, the proxy they go through, and whether they stream.
        self._pools: dict[tuple[float | None, Proxy, bool], Client] = {}

    async def aclose(self) -> None:
        """Hang up."""
        for client in self._pools.values():
            await client.close()

    async def post(
        self,
        proxy: Proxy,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        silence_seconds: float | None,
        *,
        streamed: bool,
    ) -> "ProxiedAnswer":
        """POST, and the answer once its head has come; its receiver closes it."""
        try:
            pool, (at, head) = self._pool(silence_seconds, proxy, streamed), _read(url, tuple(headers.items()))
            request = pool.request("POST", at).headers(head).body_bytes(body)
            # With nothing read ahead: pyreqwest would wait for 64 KB of an answer before it gave out its head.
            sent = request.streamed_read_buffer_limit(0).build_streamed()
            answer = ProxiedAnswer(sent, await sent.__aenter__())
        except (PyreqwestError, ValueError) as error:  # ValueError: a header of the answer that is not UTF-8
            raise unreached(translated(error), proxy) from error
        if answer.status_code == PROXY_REFUSES:
            await answer.aclose()
            raise httpx.ProxyError(_said(proxy, _REFUSED))
        return answer

    def _pool(self, silence_seconds: float | None, proxy: Proxy, streamed: bool) -> Client:
        """The connections that go this way and are hung up after the least silence that is no shorter."""
        limit = None
        if silence_seconds is not None and silence_seconds < SILENCES[-1]:
            limit = SILENCES[bisect_right(SILENCES, silence_seconds)]
        if (client := self._pools.get((limit, proxy, streamed))) is None:
            client = _pyreqwest(self._in_flight, self._call_seconds, limit, proxy, streamed)
            self._pools[limit, proxy, streamed] = client
        return client


class ProxiedAnswer:
    """An answer whose head has come: its status, its headers by their names in small letters, and the rest in pieces.

    A header that is there more than once has its values with commas between them.
    """

    __slots__ = ("_reader", "_sent", "headers", "status_code")

    def __init__(self, sent: Any, response: Any) -> None:
        self._sent = sent
        self._reader = response.body_reader
        self.status_code: int = response.status
        self.headers: dict[str, str] = {}
        for name, value in response.headers.items():
            self.headers[name] = f"{self.headers[name]}, {value}" if name in self.headers else value

    async def piece(self) -> bytes | None:
        """The next piece, as the network brings it; None: there is no more."""
        try:
            found = await self._reader.read_chunk()
        except PyreqwestError as error:
            raise translated(error) from error
        return None if found is None else bytes(found)

    async def aclose(self) -> None:
        """Let its connection serve another call, or hang up when there is more of it."""
        await self._sent.__aexit__(None, None, None)


@lru_cache(maxsize=KEPT_READ)
def _read(url: str, headers: tuple[tuple[str, str], ...]) -> tuple[Url, HeaderMap]:
    """An address and headers as the transport reads them, which the calls of one model have in common; ValueError."""
    return Url(url), HeaderMap(headers)


def _pyreqwest(
    in_flight: int, call_seconds: float, silence_seconds: float | None, proxy: Proxy, streamed: bool
) -> Client:
    suggest(_THREADS_NAME, THREADS)
    builder = (
        network.reach(ClientBuilder(), proxy)
        .runtime_multithreaded(not streamed)
        .http1_only()
        .user_agent(USER_AGENT)
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


def unreached(error: httpx.RequestError, proxy: Proxy) -> httpx.RequestError:
    """The same error; of a connection that did not come about, with what an operator has to know of it."""
    if not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return error
    causes = getattr(error.__cause__, "details", None) or {}
    words = " ".join(str(cause.get("message")) for cause in causes.get("causes", ()))
    why = _REFUSED if "proxy authorization required" in words else UNTRUSTED if "peer certificate" in words else ""
    return httpx.ProxyError(_said(proxy, why))


def _said(proxy: Proxy, why: str) -> str:
    return f"{UNREACHED} through the proxy {proxy.place}" + (f": {why}" if why else "")


def translated(error: Exception) -> httpx.RequestError:
    """The transport's error in httpx's words, with the first as its cause."""
    made = _translated(error)
    made.__cause__ = error
    return made


def _translated(error: Exception) -> httpx.RequestError:
    match error:
        case ConnectTimeoutError():
            return httpx.ConnectTimeout(error.message)
        case RequestTimeoutError():
            return httpx.ReadTimeout(error.message)
        case ConnectError():
            return httpx.ConnectError(error.message)
        case NetworkError():
            return httpx.ReadError(error.message)
        case BuilderError():
            return httpx.LocalProtocolError(error.message)
        case _:  # garbled: cut short, unpacked in vain, a header not UTF-8
            return httpx.DecodingError(str(error))
