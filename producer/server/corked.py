"""A connection's transport that sends the head of a response together with the beginning of its body.

uvicorn writes them one after the other, and each is a packet by which the other side is woken.
"""

import asyncio
from typing import Any


class CorkedTransport:
    """A transport of the event loop, of which all else is as it was.

    A head waits for what is written next, until the event loop's next turn at most: of a stream it is sent by itself.
    """

    __slots__ = ("_head", "_loop", "_transport", "get_extra_info", "get_write_buffer_size", "is_closing")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""
        self.get_extra_info = transport.get_extra_info
        self.get_write_buffer_size = transport.get_write_buffer_size
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        """Send some bytes, in the order in which they are written."""
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head + data)
        elif data[:5] == b"HTTP/" and data[-4:] == b"\r\n\r\n":
            self._head = data
            self._loop.call_soon(self._send_head)
        else:
            self._transport.write(data)

    def close(self) -> None:
        """Close when all has been sent."""
        self._send_head()
        self._transport.close()

    def write_eof(self) -> None:
        """Send all, and that nothing more comes."""
        self._send_head()
        self._transport.write_eof()

    def abort(self) -> None:
        """Close at once, whatever has been sent."""
        self._head = b""
        self._transport.abort()

    def _send_head(self) -> None:
        head, self._head = self._head, b""
        if head and not self.is_closing():
            self._transport.write(head)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
