"""The HTTP client that webhooks leave by: guarded connections (`workers.webhooks.guard`), bounded in time and bytes.

No redirects, no proxies, no cookies, nothing from the environment, no unix sockets, no decompression. HTTP/1.1 over
asyncio itself: of httpx, whose pool polls every idle connection at each request, a delivered event cost 2.5 ms of CPU
with one receiver and 4.3 with twenty; now 0.4, all that a sender does for it.
"""

import asyncio
import base64
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import Final, Literal, Self
from urllib.parse import unquote

import httpx

from shared import authorities, clock, durations
from shared.network.permissions import Permissions
from shared.settings_values import NOTHING, AllowList
from workers.webhooks.connection import BODY_BYTES, ExchangeFailed, Origin, Pool, ReceiverConnection
from workers.webhooks.guard import ConnectFailed, GuardedConnector, Resolver, WebhookAddressRefused
from workers.webhooks.name_resolver import NameResolver

__all__ = [
    "BODY_BYTES",
    "GuardedConnector",
    "Resolver",
    "SendResult",
    "WebhookAddressRefused",
    "WebhookClient",
    "client",
    "post",
]

#: One delivery, from resolving to the last byte that is read of the answer, where nothing else is said.
WHOLE_SECONDS: Final = 15.0
#: For how long a body is read.
BODY_SECONDS: Final = 2.0
#: Addresses whose reading is remembered.
REMEMBERED: Final = 4096
_PORTS: Final = {"http": 80, "https": 443}
#: What stands in every request.
_ALWAYS: Final = (
    "Accept: */*\r\nAccept-Encoding: identity\r\nConnection: keep-alive\r\nUser-Agent: FusionAI-Webhooks/1\r\n"
)


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

    @property
    def good(self) -> bool:
        """Whether the receiver has taken it: any 2xx."""
        return self.status is not None and 200 <= self.status < 300


class UnusableURL(ValueError):
    """Nothing can be sent to this URL."""


@dataclass(frozen=True, slots=True)
class _Target:
    """A URL as it is connected to and asked for: the beginning of each request."""

    origin: Origin
    head: bytes


class WebhookClient:
    """A process's connections to receivers; one a process, closed by its owner. Send with `post`, which bounds it."""

    def __init__(self, backend: GuardedConnector) -> None:
        self.backend = backend
        #: What receivers over TLS are trusted by, once there is one.
        self._context: ssl.SSLContext | None = None
        self._pool = Pool(self._connect)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Hang up."""
        self._pool.close()

    async def exchange(self, url: str, body: bytes, headers: Mapping[str, str]) -> tuple[Origin, ReceiverConnection]:
        """POST; the connection once the answer's head has come, which the caller gives to `done`.

        A receiver may have hung up a connection that was kept at the moment that it is used: where nothing came at all,
        a new one is asked.
        """
        target = _target(url)
        request = _request(target, body, headers)
        if (kept := self._pool.idle(target.origin)) is not None:
            try:
                return target.origin, await _asked(kept, request)
            except ExchangeFailed as error:
                if not error.silent:
                    raise
        return target.origin, await _asked(await self._pool.connected(target.origin), request)

    def done(self, origin: Origin, connection: ReceiverConnection) -> None:
        """Nothing more is read: it waits for the next request, or is hung up."""
        if connection.reusable:
            self._pool.put(origin, connection)
        else:
            connection.abort()

    async def _connect(self, origin: Origin) -> ReceiverConnection:
        scheme, host, port = origin
        return await self.backend.connect_tcp(
            host, port, ReceiverConnection, await self._tls() if scheme == "https" else None
        )

    async def _tls(self) -> ssl.SSLContext:
        """What receivers are trusted by: read when the first is connected to, on a thread, since it takes 20 ms."""
        if self._context is None:
            self._context = await asyncio.to_thread(_trust)
        return self._context


async def _asked(connection: ReceiverConnection, request: bytes) -> ReceiverConnection:
    try:
        await connection.head(request)
    except BaseException:
        connection.abort()
        raise
    return connection


def client(
    *,
    allow_loopback: bool = False,
    allow_private: bool = False,
    listed: AllowList = NOTHING,
    resolver: Resolver | None = None,
) -> WebhookClient:
    """The client for webhooks. The permissions are those of `shared.settings`.

    `resolver` is the seam that tests rebind names through. Nothing here counts connections: there are as many as sends
    at once (`workers.webhooks.send_slots`), and some that are kept.
    """
    backend = GuardedConnector(resolver or NameResolver(), Permissions(allow_loopback, allow_private, listed))
    return WebhookClient(backend)


def _trust() -> ssl.SSLContext:
    context = authorities.trust(httpx.create_ssl_context(trust_env=False), authorities.more())
    context.set_alpn_protocols(["http/1.1"])
    return context


async def post(
    client: WebhookClient,
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
            return await attempt(client, url, body, headers, seconds)
    except TimeoutError:
        return timed_out(clock.monotonic() - began)


async def attempt(
    client: WebhookClient, url: str, body: bytes, headers: Mapping[str, str], seconds: float
) -> SendResult:
    """The same, within a limit of the caller's, which is so long."""
    began = clock.monotonic()
    try:
        origin, connection = await client.exchange(url, body, headers)
        try:
            await _read(connection, min(BODY_SECONDS, (seconds - clock.monotonic() + began) / 2))
        finally:
            client.done(origin, connection)
    except Exception as error:  # what escapes would be recorded by nobody, and so be tried for ever
        return _failed(error, clock.monotonic() - began)
    return SendResult(
        connection.status,
        bytes(connection.read),
        clock.monotonic() - began,
        location=connection.headers.get("location"),
        retry_seconds=_retry_seconds(connection.headers),
    )


def timed_out(seconds: float) -> SendResult:
    """What is recorded of a send that was given up after so long."""
    return SendResult(None, b"", seconds, "timeout", f"no response within {seconds:.1f} seconds")


async def _read(connection: ReceiverConnection, seconds: float) -> None:
    """Have the first BODY_BYTES come, for a while.

    The status has been heard: a body that breaks off, or drips, is no reason to send the event again.
    """
    if connection.reusable:
        return
    try:
        async with asyncio.timeout(seconds):
            await connection.body()
    except TimeoutError:
        pass


def _retry_seconds(headers: Mapping[str, str]) -> float | None:
    value = headers.get("retry-after")
    if value is None:
        return None
    wait = durations.seconds(value)
    return durations.until(value, headers, clock.now_seconds()) if wait is None else wait


@lru_cache(maxsize=REMEMBERED)
def _target(url: str) -> _Target:
    """How a URL is asked for. UnusableURL, httpx.InvalidURL, UnicodeError."""
    read = httpx.URL(url)
    if read.scheme not in _PORTS or not read.raw_host:
        raise UnusableURL("it has to begin with http:// or https:// and a host")
    path, host = read.raw_path.decode("ascii"), read.netloc.decode("ascii")
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\n{_ALWAYS}"
    if not all(" " < c < "\x7f" for c in path + host):
        raise UnusableURL("it has characters that no address has")
    if read.userinfo:
        name, _, password = (unquote(part) for part in read.userinfo.decode("ascii").partition(":"))
        head += f"Authorization: Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}\r\n"
    return _Target((read.scheme, read.raw_host.decode("ascii"), read.port or _PORTS[read.scheme]), head.encode())


def _request(target: _Target, body: bytes, headers: Mapping[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    if lines.count("\r") != len(headers) or lines.count("\n") != len(headers) or "\0" in lines:
        raise ValueError("a header has more than one line")
    return b"%b%bContent-Length: %d\r\n\r\n%b" % (target.head, lines.encode("latin-1"), len(body), body)


def _failed(error: Exception, seconds: float) -> SendResult:
    match error:
        case WebhookAddressRefused():
            return SendResult(None, b"", seconds, "address_refused", str(error))
        case TimeoutError():
            return timed_out(seconds)
        case ConnectFailed():
            return SendResult(None, b"", seconds, "connect", str(error))
        case UnusableURL() | httpx.InvalidURL() | UnicodeError():
            return SendResult(None, b"", seconds, "url", f"invalid URL: {error}")
        case ExchangeFailed():
            return SendResult(None, b"", seconds, "protocol", str(error))
        case _:  # its words are nobody's but ours
            return SendResult(None, b"", seconds, "internal", f"sending failed ({type(error).__name__})")
