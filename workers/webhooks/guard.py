"""The only way of webhooks to the network: it judges every address at the moment of connecting.

A name may resolve to a public address when the webhook is made and to 127.0.0.1 when it is called (DNS
rebinding), and getaddrinfo reads 2130706433, 0x7f.1 and 0177.0.0.1 as addresses too. So the connection itself
is guarded: the host is resolved here, all its addresses are judged (one bad one refuses the host), and the
very addresses that were judged are connected to, as numbers. TLS's server name stays the URL's.
"""

import asyncio
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from shared import clock
from shared.network.addresses import Allowed, RefusedAddress
from shared.network.permissions import Permissions

P = TypeVar("P", bound=asyncio.BaseProtocol)

#: Resolving and connecting, all addresses together; then TLS's handshake again as long.
CONNECT_SECONDS = 5.0
#: Of a name with many addresses the first few are tried, so that each gets a fair part of CONNECT_SECONDS.
ADDRESSES_TRIED = 4

#: (host, port) to the addresses it resolves to, as text; OSError when it does not.
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]


class ConnectFailed(Exception):
    """No connection came about; the words may be shown to the customer, and name no address."""


class WebhookAddressRefused(ConnectFailed):
    """The host is, or resolves to, an address that webhooks may not be sent to. No connection was made."""


class GuardedConnector:
    """The way to the network, with the judgement between resolving and connecting."""

    def __init__(self, resolver: Resolver, allowed: Permissions) -> None:
        self._resolver = resolver
        self._allowed = allowed

    async def connect_tcp(
        self,
        host: str,
        port: int,
        protocol: Callable[[], P] = asyncio.Protocol,  # type: ignore[assignment]
        tls: ssl.SSLContext | None = None,
    ) -> P:
        """Connect to the first of the host's addresses that answers, if they are all allowed, and speak TLS there.

        ConnectFailed, TimeoutError.
        """
        loop = asyncio.get_running_loop()
        connected = await self._socket(host, port, loop)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                name = host if tls else None
                _, made = await loop.create_connection(protocol, sock=connected, ssl=tls, server_hostname=name)
                return made
        except ssl.SSLError as error:
            raise ConnectFailed(str(error)) from error
        except TimeoutError:
            raise
        except OSError as error:
            raise ConnectFailed(_said(error)) from error

    async def _socket(self, host: str, port: int, loop: asyncio.AbstractEventLoop) -> socket.socket:
        """A socket that is connected to one of the host's addresses."""
        deadline = clock.monotonic() + CONNECT_SECONDS
        addresses = await self._judged(host, port, deadline)
        for position, address in enumerate(addresses):
            share = max(0.0, deadline - clock.monotonic()) / (len(addresses) - position)
            try:
                async with asyncio.timeout(share):
                    return await _connected(loop, address, port)
            except TimeoutError:
                if position == len(addresses) - 1:
                    raise
            except OSError as error:
                if position == len(addresses) - 1:
                    raise ConnectFailed(_said(error)) from error
        raise ConnectFailed(f"{host} has no address")

    async def _judged(self, host: str, port: int, deadline: float) -> Sequence[str]:
        """Addresses to try, all judged; WebhookAddressRefused when the name or an address of the host is refused."""
        self._check(host, self._allowed.of_name(host))
        for address in (addresses := await self._resolved(host, port, deadline)):
            self._check(host, self._allowed.of_address(address, host))
        return addresses[:ADDRESSES_TRIED]

    def _check(self, host: str, verdict: Allowed | RefusedAddress) -> None:
        if isinstance(verdict, RefusedAddress):
            # Not the address itself: the name may be one that only our own network knows.
            raise WebhookAddressRefused(f"{host} is not allowed as a webhook host: {verdict.reason}")

    async def _resolved(self, host: str, port: int, deadline: float) -> Sequence[str]:
        try:
            async with asyncio.timeout(max(0.0, deadline - clock.monotonic())):
                return await self._resolver(host, port)
        except TimeoutError:
            raise
        except (OSError, UnicodeError) as error:
            raise ConnectFailed(f"{host} does not resolve") from error


async def _connected(loop: asyncio.AbstractEventLoop, address: str, port: int) -> socket.socket:
    """A socket connected to an address in numbers: nothing is looked up any more."""
    numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    family, kind, protocol, _, place = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=numeric)[0]
    made = socket.socket(family, kind, protocol)
    try:
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.sock_connect(made, place)
    except BaseException:
        made.close()
        raise
    return made


def _said(error: OSError) -> str:
    """What went wrong, without the address, which only our own network may know."""
    why = os.strerror(error.errno) if error.errno else ""
    return f"could not connect: {why.lower()}" if why else "could not connect"
