"""A guarded way to the network for threads: every address is judged at the moment of connecting, as webhooks' are.

A name may resolve to another address each time, so the host is resolved here, all its addresses are judged (one bad one
refuses the host), and the very addresses that were judged are connected to. No unix sockets.
"""

import socket
from collections.abc import Callable, Iterable, Sequence

import httpcore

from shared import clock
from shared.network.addresses import RefusedAddress, judge, judge_name

#: Of a name with many addresses the first few are tried.
ADDRESSES_TRIED = 4
#: How long connecting may take where nothing else is said, in seconds.
CONNECT_SECONDS = 5.0

#: (host, port) to the addresses it resolves to, as text; OSError when it does not.
Lookup = Callable[[str, int], Sequence[str]]


class AddressRefused(httpcore.ConnectError):
    """The host is, or resolves to, an address that may not be connected to. No connection was made."""


def look_up(host: str, port: int) -> Sequence[str]:
    """The addresses of a name, by the system."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class GuardedBackend(httpcore.NetworkBackend):
    """httpcore's way to the network, with the judgement between resolving and connecting."""

    def __init__(self, *, allow_loopback: bool, allow_private: bool, lookup: Lookup = look_up) -> None:
        self._loopback, self._private, self._lookup = allow_loopback, allow_private, lookup
        self._network = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first of the host's addresses that answers, if they are all allowed."""
        deadline = clock.monotonic() + (CONNECT_SECONDS if timeout is None else timeout)
        addresses = self._judged(host, port)
        for position, address in enumerate(addresses):
            share = max(0.001, deadline - clock.monotonic()) / (len(addresses) - position)
            try:
                return self._network.connect_tcp(address, port, share, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if position == len(addresses) - 1:
                    raise
        raise httpcore.ConnectError("the host has no address")

    def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        raise AddressRefused("unix sockets are not allowed")

    def _judged(self, host: str, port: int) -> Sequence[str]:
        """The addresses to try, all judged; AddressRefused when the host's name or any address of it is refused."""
        allowed = {"allow_loopback": self._loopback, "allow_private": self._private}
        verdicts = [judge_name(host, **allowed)]
        try:
            addresses = list(dict.fromkeys(self._lookup(host, port)))
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError("the host does not resolve") from error
        verdicts += [judge(address, **allowed) for address in addresses]
        for verdict in verdicts:
            if isinstance(verdict, RefusedAddress):
                raise AddressRefused(f"the host is not allowed: {verdict.reason}")
        return addresses[:ADDRESSES_TRIED]
