"""One deadline for all that a call of httpcore does on its thread; its own timeouts are for each read and write alone.

So an answer that comes a byte at a time, or never comes to its point, ends when its time is over.
"""

import ssl
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpcore

from shared import clock


class DeadlineBackend(httpcore.NetworkBackend):
    """Another way to the network, whose steps are over at the deadline of the thread that takes them."""

    def __init__(self, network: httpcore.NetworkBackend) -> None:
        self._network = network
        self._thread = threading.local()

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """What this thread does in the block may take so long, all together."""
        self._thread.until = clock.monotonic() + seconds
        try:
            yield
        finally:
            del self._thread.until

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        left = self.left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._network.connect_tcp(host, port, left, local_address, socket_options), self)

    def left(self, timeout: float | None, over: type[Exception]) -> float | None:
        """The seconds that a step may take; raises `over` when there are none."""
        until: float | None = getattr(self._thread, "until", None)
        if until is None:
            return timeout
        if (left := until - clock.monotonic()) <= 0:
            raise over("the deadline is over")
        return left if timeout is None else min(timeout, left)


class _Stream(httpcore.NetworkStream):
    """A connection, used by one thread after the other."""

    def __init__(self, stream: httpcore.NetworkStream, deadlines: DeadlineBackend) -> None:
        self._stream, self._deadlines = stream, deadlines

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadlines.left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadlines.left(timeout, httpcore.WriteTimeout))

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = self._deadlines.left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left), self._deadlines)

    def close(self) -> None:
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
