"""The HTTP client that calls providers: connections of our own (`workers.upstream.connection`), behind one seam.

Through a proxy calls go by `workers.upstream.proxied`. What other clients cost, and why this is none of them: ADR 4.
"""

from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Final, Self

import httpx

from shared import clock, network
from shared.settings import settings
from workers.connections import requests
from workers.connections.idle import IdleConnections
from workers.connections.requests import Origin
from workers.upstream.connecting import IDLE_SECONDS, USER_AGENT, ProviderConnector
from workers.upstream.connection import ProviderConnection
from workers.upstream.http import HttpAnswer
from workers.upstream.incoming import HungUpUnheard
from workers.upstream.proxied import ProxiedClient

#: By so much the transport's deadline is later than a call's own whole limit, which is to be the one that ends it.
SPARE_SECONDS: Final = 5.0
#: So long nothing is kept of a provider that hung up a kept connection without a word.
UNKEPT_SECONDS: Final = 10.0
#: Addresses with their headers that are kept as they are sent.
KEPT_HEADS: Final = 256
#: What stands in every request that does not say otherwise.
_USUAL: Final = {"accept": "*/*", "accept-encoding": "gzip, deflate", "user-agent": USER_AGENT}
#: What nobody else says.
_OURS: Final = frozenset({"host", "content-length", "transfer-encoding"})


class ProviderClient:
    """A client for `in_flight` calls at once; one a process, made in the worker's own process, closed by its owner.

    `call_seconds` bounds a whole call, once there is a connection (default: the longest of the settings; a worker's
    calls have limits of their own, see `exchange`).
    Every failure, in the body too, is an httpx.RequestError, the words for them that are known: ConnectError,
    ConnectTimeout and ProxyError where nothing was sent; ReadError for a connection that broke, DecodingError for a
    truncated or garbled answer. (Through a proxy ConnectError and ConnectTimeout do NOT say that nothing was sent.)
    HTTP/1 only; no cookies, no redirects (one would carry the provider's key elsewhere). Proxies and authorities are
    those of shared.network; what fails on the way to or in a proxy is a ProxyError that names it.

    A provider may hang up a kept connection in the very moment of its use. The call fails, since it may have been
    served (the attempt is written down, and `workers.running.retry` decides); and for a while no connection to there is
    kept, so that a server that hangs up after each answer costs one attempt and not every second one. A call that is
    cancelled hangs up. Nothing here counts connections: slots bound what is in flight.
    """

    def __init__(self, in_flight: int, *, call_seconds: float | None = None) -> None:
        longest = max(settings().call_seconds, settings().stream_seconds)
        self._call_seconds = longest + SPARE_SECONDS if call_seconds is None else call_seconds
        self._connector = ProviderConnector()
        self._idle: IdleConnections[ProviderConnection] = IdleConnections(
            most=2 * in_flight, each=in_flight, seconds=IDLE_SECONDS
        )
        self._proxied = ProxiedClient(in_flight, self._call_seconds)
        #: Of those that hung up a kept connection without a word, until when nothing is kept.
        self._unkept: dict[Origin, float] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Hang up what is not in use."""
        self._idle.close()
        await self._proxied.aclose()

    async def post(
        self,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        silence_seconds: float | None = None,
        *,
        streamed: bool = False,
    ) -> HttpAnswer:
        """POST, and the answer once its head has come; its receiver closes it, or reads it to its end.

        `silence_seconds`: how long a silence the call bears; None: as long as the whole call. `streamed`: the answer
        comes in many pieces, over a time. Both are for calls through a proxy alone.
        """
        if self._idle.closed:
            raise RuntimeError("the client is closed")
        if (proxy := network.routes().proxy(url)) is not None:
            return await self._proxied.post(proxy, url, headers, body, silence_seconds, streamed=streamed)
        origin, begin = _read(url, tuple(headers.items()))
        head = b"%bContent-Length: %d\r\n\r\n" % (begin, len(body))
        if (kept := self._idle.take(origin)) is None:
            return await (await self._connected(origin)).ask(head, body, self._call_seconds)
        try:
            return await kept.ask(head, body, self._call_seconds)
        except HungUpUnheard:
            self._unkept[origin] = clock.monotonic() + UNKEPT_SECONDS
            raise

    async def _connected(self, origin: Origin) -> ProviderConnection:
        keep = partial(self._keep, origin)
        return await self._connector.connect(origin, lambda made: ProviderConnection(made, keep))

    def _keep(self, origin: Origin, connection: ProviderConnection) -> None:
        if self._unkept and clock.monotonic() < self._unkept.get(origin, 0.0):
            connection.abort()
        else:
            self._idle.put(origin, connection)


@lru_cache(maxsize=KEPT_HEADS)
def _read(url: str, headers: tuple[tuple[str, str], ...]) -> tuple[Origin, bytes]:
    """Where a request goes and how it begins, which the calls of one model have in common. httpx.LocalProtocolError."""
    try:
        to, given = requests.target(url), {name.lower(): value for name, value in headers}
        if given.keys() & _OURS:
            raise ValueError("a header that frames the request is given")
        return to.origin, to.head + requests.lines(_USUAL | given)
    except (ValueError, httpx.InvalidURL) as error:  # without its words, which may have the provider's key
        raise httpx.LocalProtocolError("the request's address or a header of it cannot be sent") from error
