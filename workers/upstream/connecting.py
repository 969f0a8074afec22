"""How a provider is connected to: its name looked up, all its addresses tried, its certificate judged."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Final, TypeVar

import aiohappyeyeballs
import httpx

from workers.connections.name_resolver import NameResolver
from workers.connections.requests import Origin
from workers.connections.trust import Trust

P = TypeVar("P", bound=asyncio.Protocol)

#: A provider that does not take a connection by then is down; the call is retried or falls back.
CONNECT_SECONDS: Final = 10.0
#: For how long a connection is kept without a call: shorter than the idle timeouts of the providers' load balancers
#: (60 s and more), so that we close first.
IDLE_SECONDS: Final = 30.0
#: As whom we call.
USER_AGENT: Final = "FusionAI/1"
#: After so long without a connection the next address is tried beside (RFC 8305, 5).
NEXT_ADDRESS_SECONDS: Final = 0.25
#: A connection that is silent is asked after so long whether it lives, so often, before it counts as broken: a call may
#: be silent for minutes, and what stands between forgets it. The SDKs of providers do the same.
_KEEPALIVE: Final = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 60), ("TCP_KEEPCNT", 5))
#: Of a connection that did not come about, whatever the reason.
UNREACHED: Final = "could not connect to the provider"
UNTRUSTED: Final = "its certificate is not trusted"


class ProviderConnector:
    """The way of one process to its providers."""

    def __init__(self) -> None:
        self._resolver, self._trust = NameResolver(), Trust()

    async def connect(self, origin: Origin, protocol: Callable[[socket.socket], P]) -> P:
        """A connection, over TLS where its scheme says so. httpx.ConnectError, httpx.ConnectTimeout."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await self._connected(*origin, protocol)
        except TimeoutError as error:
            raise httpx.ConnectTimeout(UNREACHED) from error
        except ssl.SSLCertVerificationError as error:
            raise httpx.ConnectError(f"{UNREACHED}: {UNTRUSTED}") from error
        except (OSError, ValueError, OverflowError) as error:  # ValueError: a name, OverflowError: a port, that is none
            raise httpx.ConnectError(UNREACHED) from error

    async def _connected(self, scheme: str, host: str, port: int, protocol: Callable[[socket.socket], P]) -> P:
        loop = asyncio.get_running_loop()
        context = await self._trust() if scheme == "https" else None
        places = [_place(address, port) for address in await self._resolver(host, port)]
        made = await aiohappyeyeballs.start_connection(places, happy_eyeballs_delay=NEXT_ADDRESS_SECONDS, interleave=1)
        try:
            _keep_alive(made)
            name = host.rstrip(".") if context else None
            _, connection = await loop.create_connection(
                lambda: protocol(made), sock=made, ssl=context, server_hostname=name
            )
        except BaseException:
            made.close()
            raise
        return connection


def _place(address: str, port: int) -> aiohappyeyeballs.AddrInfoType:
    """An address in numbers as a socket takes it: nothing is looked up any more."""
    numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=numeric)[0]


def _keep_alive(made: socket.socket) -> None:
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        if (option := getattr(socket, name, None)) is not None:  # not every system has each
            made.setsockopt(socket.IPPROTO_TCP, option, value)
