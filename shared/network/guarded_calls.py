"""Calls of one outside service whose address an operator has set, from threads, within one deadline each.

Addresses are judged when they are connected to, redirects are not followed, no proxy is used, no more is read than an
answer may have, and for no longer than a call may take, however slowly it comes.
"""

import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import certifi
import httpcore

from shared import authorities
from shared.network.deadlines import DeadlineBackend
from shared.network.guarded import GuardedBackend, Lookup


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of a call; the body of a 200 alone is read."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class GuardedCalls:
    """One process's way to a service: so many calls at once, each of so many seconds, of so large an answer."""

    def __init__(
        self,
        connections: int,
        seconds: float,
        most_bytes: int,
        *,
        allow_loopback: bool,
        allow_private: bool,
        lookup: Lookup,
    ) -> None:
        self._seconds, self._most_bytes = seconds, most_bytes
        guarded = GuardedBackend(allow_loopback=allow_loopback, allow_private=allow_private, lookup=lookup)
        self._deadlines = DeadlineBackend(guarded)
        self._connections = connections
        self._made: httpcore.ConnectionPool | None = None
        self._making = threading.Lock()

    def call(self, method: str, url: str, headers: Mapping[Any, Any], content: bytes | None = None) -> Answered:
        """Call on this thread; ValueError for an answer that is too large, httpcore's errors and AddressRefused."""
        timeout = dict.fromkeys(("connect", "read", "write", "pool"), self._seconds)
        extensions = {"timeout": timeout}
        with (
            self._deadlines.within(self._seconds),
            self._pool().stream(method, url, headers=headers, content=content, extensions=extensions) as response,
        ):
            body = self._read(response) if response.status == 200 else b""
            return Answered(response.status, response.headers, body)

    def close(self) -> None:
        """Hang up."""
        if self._made is not None:
            self._made.close()

    def _pool(self) -> httpcore.ConnectionPool:
        """Its connections: made at the first call, since to read the certificate authorities takes 20 ms."""
        with self._making:
            if self._made is None:
                self._made = httpcore.ConnectionPool(
                    _trust(),
                    max_connections=self._connections,
                    max_keepalive_connections=self._connections,
                    keepalive_expiry=30.0,
                    network_backend=self._deadlines,
                )
            return self._made

    def _read(self, response: httpcore.Response) -> bytes:
        body = bytearray()
        for part in response.iter_stream():
            body += part
            if len(body) > self._most_bytes:
                raise ValueError("the answer is too large")
        return bytes(body)


def _trust() -> ssl.SSLContext:
    return authorities.trust(ssl.create_default_context(cafile=certifi.where()), authorities.more())
