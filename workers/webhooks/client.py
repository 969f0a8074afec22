"""The HTTP client that webhooks leave by: guarded connections (`workers.webhooks.guard`), bounded in time and bytes.

No redirects, no proxies, no cookies, nothing from the environment, no unix sockets, no decompression. HTTP/1.1 over
asyncio itself: of httpx, whose pool polls every idle connection at each request, a delivered event cost 2.5 ms of CPU
with one receiver and 4.3 with twenty; now 0.4, all that a sender does for it.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Literal, Self

import httpx

from shared import clock, durations
from shared.network.permissions import Permissions
from shared.settings_values import NOTHING, AllowList
from workers.connections import requests
from workers.connections.idle import IdleConnections
from workers.connections.name_resolver import NameResolver
from workers.connections.requests import Origin, UnusableURL
from workers.connections.trust import Trust
from workers.webhooks.connection import BODY_BYTES, ExchangeFailed, ReceiverConnection
from workers.webhooks.guard import ConnectFailed, GuardedConnector, Resolver, WebhookAddressRefused

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
#: Connections kept for the next request: in all, of one origin, and for how long, in seconds.
IDLE_CONNECTIONS, IDLE_EACH, IDLE_SECONDS = 256, 32, 30.0
#: What stands in every request.
_ALWAYS: Final = (
    b"Accept: */*\r\nAccept-Encoding: identity\r\nConnection: keep-alive\r\nUser-Agent: FusionAI-Webhooks/1\r\n"
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


class WebhookClient:
    """A process's connections to receivers; one a process, closed by its owner. Send with `post`, which bounds it."""

    def __init__(self, backend: GuardedConnector) -> None:
        self.backend = backend
        self._trust = Trust()
        self._idle: IdleConnections[ReceiverConnection] = IdleConnections(
            most=IDLE_CONNECTIONS, each=IDLE_EACH, seconds=IDLE_SECONDS
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Hang up."""
        self._idle.close()

    async def exchange(self, url: str, body: bytes, headers: Mapping[str, str]) -> tuple[Origin, ReceiverConnection]:
        """POST; the connection once the answer's head has come, which the caller gives to `done`.

        A receiver may have hung up a connection that was kept at the moment that it is used: where nothing came at all,
        a new one is asked.
        """
        origin, request = _request(url, body, headers)
        if (kept := self._idle.take(origin)) is not None:
            try:
                return origin, await _asked(kept, request)
            except ExchangeFailed as error:
                if not error.silent:
                    raise
        return origin, await _asked(await self._connect(origin), request)

    def done(self, origin: Origin, connection: ReceiverConnection) -> None:
        """Nothing more is read: it waits for the next request, or is hung up."""
        if connection.reusable:
            self._idle.put(origin, connection)
        else:
            connection.abort()

    async def _connect(self, origin: Origin) -> ReceiverConnection:
        if self._idle.closed:
            raise RuntimeError("the client is closed")
        scheme, host, port = origin
        return await self.backend.connect_tcp(
            host, port, ReceiverConnection, await self._trust() if scheme == "https" else None
        )


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


def _request(url: str, body: bytes, headers: Mapping[str, str]) -> tuple[Origin, bytes]:
    """Where to, and what is sent there. ValueError, UnusableURL, httpx.InvalidURL, UnicodeError."""
    to = requests.target(url)
    return to.origin, b"%b%b%bContent-Length: %d\r\n\r\n%b" % (
        to.head,
        _ALWAYS,
        requests.lines(headers),
        len(body),
        body,
    )


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
