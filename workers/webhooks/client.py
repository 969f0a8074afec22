"""The guarded HTTP client that webhooks leave by: it judges every address at the moment of connecting.

A name may resolve to a public address when the webhook is made and to 127.0.0.1 when it is called (DNS
rebinding), and getaddrinfo reads 2130706433, 0x7f.1 and 0177.0.0.1 as addresses too. So the connection itself
is guarded: the host is resolved here, all its addresses are judged (one bad one refuses the host), and the
very addresses that were judged are connected to. The Host header and TLS's server name stay the URL's.

No redirects, no proxies, no cookies, nothing from the environment, no unix sockets, no decompression.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Literal

import httpcore
import httpx

from shared import clock, durations, network
from shared.network.addresses import Allowed, RefusedAddress
from shared.network.permissions import Permissions
from shared.settings_values import NOTHING, AllowList
from workers.webhooks.name_resolver import NameResolver

CONNECT_SECONDS = 5.0
#: One delivery, from resolving to the last byte that is read of the answer; and the most that may be set for it.
WHOLE_SECONDS = 15.0
MOST_SECONDS = 30.0
#: What is read of an answer, and for how long: the status is what counts, the rest is dropped with its connection.
BODY_BYTES = 64 * 1024
BODY_SECONDS = 2.0
#: Deliveries in flight over one client. httpx's own pool costs time that grows with the square of this.
CONNECTIONS = 100
#: Connections kept for the next delivery: httpcore looks at each of them at each request, so only a few.
IDLE_CONNECTIONS = 32
#: Of a name with many addresses the first few are tried, so that each gets a fair part of CONNECT_SECONDS.
ADDRESSES_TRIED = 4

#: (host, port) to the addresses it resolves to, as text; OSError when it does not.
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]


class AddressRefused(httpx.ConnectError):
    """The host is, or resolves to, an address that webhooks may not be sent to. No connection was made."""


@dataclass(frozen=True, slots=True)
class SendResult:
    """What came of one delivery: a status, or else why there is none.

    `body` is at most BODY_BYTES, as sent. `failure` is a code and `detail` a sentence for the delivery log,
    which the customer may read; both are None when there is a status, whatever it is. `location` is the header as it
    was sent; `retry_seconds` what Retry-After says, None when that says nothing that can be meant.
    """

    status: int | None
    body: bytes
    seconds: float
    failure: Literal["address_refused", "timeout", "connect", "protocol", "url", "internal"] | None = None
    detail: str | None = None
    location: str | None = None
    retry_seconds: float | None = None


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """httpcore's way to the network, with the judgement between resolving and connecting."""

    def __init__(self, resolver: Resolver, allowed: Permissions) -> None:
        self._resolver = resolver
        self._allowed = allowed
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first of the host's addresses that answers, if they are all allowed."""
        deadline = clock.monotonic() + (CONNECT_SECONDS if timeout is None else timeout)
        addresses = await self._judged(host, port, deadline)
        for position, address in enumerate(addresses):
            share = max(0.0, deadline - clock.monotonic()) / (len(addresses) - position)
            try:
                return await self._network.connect_tcp(address, port, share, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if position == len(addresses) - 1:
                    raise
        raise httpcore.ConnectError(f"{host} has no address")

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        raise AddressRefused("unix sockets are not allowed")

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)

    async def _judged(self, host: str, port: int, deadline: float) -> Sequence[str]:
        """The addresses to try, all judged; AddressRefused when the host's name or any address of it is refused."""
        self._check(host, self._allowed.of_name(host))
        for address in (addresses := await self._resolved(host, port, deadline)):
            self._check(host, self._allowed.of_address(address, host))
        return addresses[:ADDRESSES_TRIED]

    def _check(self, host: str, verdict: Allowed | RefusedAddress) -> None:
        if isinstance(verdict, RefusedAddress):
            # Not the address itself: the name may be one that only our own network knows.
            raise AddressRefused(f"{host} is not allowed as a webhook host: {verdict.reason}")

    async def _resolved(self, host: str, port: int, deadline: float) -> Sequence[str]:
        try:
            async with asyncio.timeout(max(0.0, deadline - clock.monotonic())):
                return await self._resolver(host, port)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(f"{host} did not resolve in time") from error
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"{host} does not resolve") from error


class GuardedTransport(httpx.AsyncHTTPTransport):
    """httpx's own transport over a pool that knows no way to the network but the guarded one."""

    def __init__(self, backend: GuardedBackend, context: ssl.SSLContext, connections: int) -> None:
        super().__init__(verify=context, trust_env=False)
        if not isinstance(getattr(self, "_pool", None), httpcore.AsyncConnectionPool):
            raise RuntimeError("this httpx keeps its pool elsewhere: the guard would be bypassed")
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=context,
            max_connections=connections,
            max_keepalive_connections=IDLE_CONNECTIONS,
            keepalive_expiry=30.0,
            network_backend=backend,
        )


def client(
    *,
    allow_loopback: bool = False,
    allow_private: bool = False,
    listed: AllowList = NOTHING,
    resolver: Resolver | None = None,
    connections: int = CONNECTIONS,
) -> httpx.AsyncClient:
    """The client for webhooks; one a process, closed by its owner. Send with `post`, which adds more limits.

    The permissions are those of `shared.settings`; `resolver` is the seam that tests rebind names through.
    Have no more than `connections` deliveries in flight: waiting for one is part of a delivery's time.
    """
    backend = GuardedBackend(resolver or NameResolver(), Permissions(allow_loopback, allow_private, listed))
    context = httpx.create_ssl_context(trust_env=False)
    if authorities := network.authorities():
        context.load_verify_locations(cadata=authorities.decode())
    return httpx.AsyncClient(
        transport=GuardedTransport(backend, context, connections),
        timeout=httpx.Timeout(MOST_SECONDS, connect=CONNECT_SECONDS),
        headers={"Accept-Encoding": "identity", "User-Agent": "FusionAI-Webhooks/1"},
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        follow_redirects=False,
        trust_env=False,
    )


async def post(
    client: httpx.AsyncClient,
    url: str,
    *,
    body: bytes,
    headers: Mapping[str, str],
    seconds: float = WHOLE_SECONDS,
) -> SendResult:
    """Deliver once, in at most `seconds`. Whatever goes wrong, the outcome is a SendResult; a redirect is a 3xx."""
    began = clock.monotonic()
    try:
        async with asyncio.timeout(seconds):
            async with client.stream("POST", url, content=body, headers=headers) as response:
                read = await _head(response, min(BODY_SECONDS, (seconds - clock.monotonic() + began) / 2))
    except Exception as error:  # what escapes would be recorded by nobody, and so be tried for ever
        return _failed(error, clock.monotonic() - began)
    return SendResult(
        response.status_code,
        read,
        clock.monotonic() - began,
        location=response.headers.get("location"),
        retry_seconds=_retry_seconds(response.headers),
    )


def _retry_seconds(headers: Mapping[str, str]) -> float | None:
    value = headers.get("retry-after")
    if value is None:
        return None
    wait = durations.seconds(value)
    return durations.until(value, headers, clock.now_seconds()) if wait is None else wait


async def _head(response: httpx.Response, seconds: float) -> bytes:
    """The first BODY_BYTES as they come; leaving the stream unread makes httpx close the connection.

    The status has been heard: a body that breaks off, or drips, is no reason to send the event again.
    """
    read = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in response.aiter_raw():
                read += chunk
                if len(read) >= BODY_BYTES:
                    break
    except (httpx.HTTPError, TimeoutError):
        pass
    return bytes(read[:BODY_BYTES])


def _failed(error: Exception, seconds: float) -> SendResult:
    match error:
        case AddressRefused():
            return SendResult(None, b"", seconds, "address_refused", str(error))
        case TimeoutError() | httpx.TimeoutException():
            return SendResult(None, b"", seconds, "timeout", f"no response within {seconds:.1f} seconds")
        case httpx.ConnectError():
            return SendResult(None, b"", seconds, "connect", str(error) or "could not connect")
        case httpx.InvalidURL() | httpx.UnsupportedProtocol() | UnicodeError():
            return SendResult(None, b"", seconds, "url", f"invalid URL: {error}")
        case httpx.HTTPError():
            return SendResult(None, b"", seconds, "protocol", str(error) or type(error).__name__)
        case _:  # its words are nobody's but ours
            return SendResult(None, b"", seconds, "internal", f"sending failed ({type(error).__name__})")
