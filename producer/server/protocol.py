"""HTTP by uvicorn, with limits for the size of requests and for slow clients.

uvicorn's protocol for httptools (`uvicorn/protocols/http/httptools_impl.py`, class HttpToolsProtocol of 0.54) has no
limit on the bytes of a head (its `h11_max_incomplete_event_size` is for h11 alone), none on the seconds until a request
is whole (`timeout_keep_alive` begins when an answer has been sent, and ends with the first byte after it), none on an
answer that nobody reads (`FlowControl.drain` waits for ever), and `on_header` adds what comes after a chunked body, its
trailers, to the headers that the application already has. This is that class with those four mended; whatever else it
does, it goes on doing.
"""

import asyncio
import http
import socket
import struct
from typing import Any

import httptools
import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from producer.server.connections import Connections, address_of, unread_bytes, unsent_bytes
from producer.server.corked import CorkedTransport
from shared import clock
from shared.errors import FusionError, InvalidRequest, Timeout, Unavailable

#: How long the other side may take to read why it is refused, before what it still sends is answered by a reset.
LINGER_SECONDS = 2.0
#: How long a connection without a whole request's head may take to send it once the server stops.
LAST_SECONDS = 1.0


class RequestTimeout(Timeout):
    """The request did not come in time."""

    status = 408


class HeadTooLarge(InvalidRequest):
    """The request's head or trailers are larger than any request needs."""

    status = 431


class BoundedProtocol(HttpToolsProtocol):
    """One connection; `look` is called once a second."""

    def __init__(self, *args: Any, connections: Connections, **more: Any) -> None:
        super().__init__(*args, **more)
        self._all = connections
        self._bounds = connections.bounds
        self.address = ""
        #: Reading a head (or waiting for one to begin), or the body after it; neither: the request is whole.
        self._in_head, self._in_body = True, False
        #: A head began in the bytes just fed: what of them was its own is not known.
        self._began = False
        #: The head being read has said its host.
        self._has_host = False
        #: Bytes since the last that were of any use: of a head, of chunks' sizes and extensions, of trailers.
        self._idle_bytes = 0
        #: Since when this head, or this body, is waited for, and when the last of the body came.
        self._since = self._moved_at = clock.monotonic()
        #: Bytes of an answer that were not taken, when that last changed, and how long it was waited for in all.
        self._unsent, self._behind_seconds = 0, 0.0
        self._sent_at = self._looked_at = self._since
        self._over = False
        self._descriptor: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take it, or say that there is no room."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self.transport = CorkedTransport(self.transport, self.loop)  # type: ignore[assignment]
        self.address = address_of(self.client)
        peer = transport.get_extra_info("socket")
        self._descriptor = peer.fileno() if peer is not None and peer.family in _INTERNET else None
        if not self._all.admit(self):
            self._refuse(Unavailable("too many open connections; retry later", retry_after_seconds=1))

    def connection_lost(self, exc: Exception | None) -> None:
        self._all.release(self)
        self._over = True
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, a head in pieces as large as it may still be."""
        self._unset_keepalive_if_required()
        while data and not self._over:
            if self._in_head and not self._partial:
                self._all.wake(self)
                self._since = clock.monotonic()
            room = self._bounds.head_bytes - self._idle_bytes
            piece, data = (data[:room], data[room:]) if self._in_head else (data, b"")
            self._idle_bytes += len(piece)
            self._feed(piece)
            if self._idle_bytes >= self._bounds.head_bytes and not self._over:
                said = f"request headers are larger than {self._bounds.head_bytes:,} bytes"
                self._refuse(
                    HeadTooLarge(said if self._in_head else "request trailers or chunk extensions are too large")
                )

    def _feed(self, piece: bytes) -> None:
        self._began = False
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            pass  # to what we do not speak: it is served as the request that it is
        except httptools.HttpParserError:
            self._refuse(InvalidRequest("malformed HTTP request"))
            self._all.note("malformed HTTP requests", self.address)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = self._began = True
        self._has_host = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Of the head; a trailer is none, whatever it is called (RFC 9110, 6.5.1). Two hosts are malformed."""
        if not self._in_head:
            return
        if name.lower() == b"host":
            if self._has_host:
                raise ValueError("more than one Host header")
            self._has_host = True
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head, self._in_body, self._began, self._idle_bytes = False, True, False, 0
        self._since = self._moved_at = clock.monotonic()
        super().on_headers_complete()
        if self._all.closing:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._idle_bytes, self._moved_at = 0, clock.monotonic()
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_head, self._in_body, self._idle_bytes = True, False, 0
        self._since = clock.monotonic()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._behind_seconds = 0.0
        if self.timeout_keep_alive_task is None:
            return
        if self._in_head and self._partial:  # the next request has begun to come
            self._unset_keepalive_if_required()
            self._since = clock.monotonic()
        elif self._in_head:
            self._all.rest(self)

    def shutdown(self) -> None:
        """The server stops: end after the request under way, or after one whose bytes are on their way.

        uvicorn's closes every connection without a request, which resets one whose client has just sent it.
        """
        coming = self._partial or self.cycle is None or unread_bytes(self._descriptor) > 0
        if self._answering or self._over or not coming:
            super().shutdown()
        else:
            self.loop.call_later(LAST_SECONDS, self._end_unless_asked)

    def _end_unless_asked(self) -> None:
        """One who has sent a part of a head alone would keep the server for the whole drain."""
        if not self._in_head or self._answering or self._over or self.transport.is_closing():
            return
        if self._partial:
            self._refuse(Unavailable("the server is shutting down; retry the request", retry_after_seconds=2))
        else:
            self.transport.close()

    @property
    def _partial(self) -> bool:
        """Whether some of a head has come."""
        return bool(self._idle_bytes) or self._began

    @property
    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def look(self, now: float) -> None:
        """Whether what is waited for has come in time."""
        if self._over:
            return
        self._look_at_answer(now)
        if self.transport.is_closing():
            return
        if self._in_body:
            self._look_at_body(now)
        elif self._in_head and not self._answering and self.timeout_keep_alive_task is None:
            self._look_at_head(now)

    def _look_at_head(self, now: float) -> None:
        if now - self._since > self._bounds.head_seconds:
            self._all.note("requests whose headers were not received in time", self.address)
            if self._partial:
                self._refuse(
                    RequestTimeout(f"request headers were not received within {self._bounds.head_seconds:g} seconds")
                )
            else:
                self.transport.close()

    def _look_at_body(self, now: float) -> None:
        if self.flow.read_paused or self.cycle.waiting_for_100_continue:  # it is our turn
            self._moved_at = now
        silent = now - self._moved_at > self._bounds.body_idle_seconds
        if silent or now - self._since > self._bounds.body_seconds:
            self._all.note("requests whose body was not received in time", self.address)
            limit = self._bounds.body_idle_seconds if silent else self._bounds.body_seconds
            said = f"no data of the request body was received for {limit:g} seconds" if silent else ""
            self._refuse(RequestTimeout(said or f"request body was not received within {limit:g} seconds"))

    def _look_at_answer(self, now: float) -> None:
        unsent = unsent_bytes(self.transport, self._descriptor)
        if not unsent or unsent != self._unsent:
            self._unsent, self._sent_at = unsent, now
        elif now - self._sent_at > self._bounds.send_idle_seconds:
            return self._give_up()
        if unsent:
            self._behind_seconds += now - self._looked_at
            if self._behind_seconds > self._bounds.send_seconds:
                return self._give_up()
        self._looked_at = now

    def _give_up(self) -> None:
        """Reset, so that the system drops what it holds for the other side as well."""
        self._over = True
        connection = self.transport.get_extra_info("socket")
        if self._descriptor is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._all.note("connections closed because the client does not read the response", self.address)
        self.transport.abort()

    def _refuse(self, refusal: FusionError) -> None:
        """Answer instead of the application, and close when the other side has had time to read that."""
        self._over = True
        self._all.release(self)
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.abort()  # no answer fits into the midst of another
            return
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.write(_answer(refusal))
        if not self._all.linger(self):
            self.transport.close()
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()
        self.loop.call_later(LINGER_SECONDS, self.transport.abort)


_INTERNET = (socket.AF_INET, socket.AF_INET6)


def _answer(refusal: FusionError) -> bytes:
    request_id = clock.new_id("req")
    body = orjson.dumps({"error": refusal.as_json(request_id)})
    lines = [
        f"HTTP/1.1 {refusal.status} {http.HTTPStatus(refusal.status).phrase}",
        "content-type: application/json",
        f"content-length: {len(body)}",
        f"x-request-id: {request_id}",
        "fusionai-version: v1",
        *([f"retry-after: {wait}"] if (wait := refusal.retry_after_seconds) is not None else []),
        "connection: close",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
