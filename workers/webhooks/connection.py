"""A connection to a receiver, which carries one request after the other.

What a receiver answers is read by httptools (llhttp) as it comes, and bounded in bytes: its head, and its body.
"""

import asyncio
from collections.abc import Callable
from typing import Final, cast

import httptools

from workers.connections.waiter import Waiter

#: What is read of an answer's body: the status is what counts, the rest is dropped with its connection.
BODY_BYTES: Final = 64 * 1024
#: The longest head of an answer, with informational ones before it.
HEAD_BYTES: Final = 100 * 1024
#: The longest answer in all, as it comes, with what frames its body: chunks' sizes and extensions, and trailers.
MOST_BYTES: Final = HEAD_BYTES + 4 * BODY_BYTES
#: The headers of an answer that anybody asks for.
_HEADERS: Final = frozenset({"location", "retry-after", "date"})


class ExchangeFailed(Exception):
    """What came is no answer. `silent`: nothing came at all before the receiver hung up."""

    def __init__(self, why: str, *, silent: bool = False) -> None:
        super().__init__(why)
        self.silent = silent


class ReceiverConnection(asyncio.Protocol):
    """Use: `await head(request)`, then `await body()`; if then `reusable`, again. Else `abort`."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.read = bytearray()
        #: Whatever it waits for while it is not used; called when the receiver hangs up or says something unasked.
        self.when_lost: Callable[[], None] | None = None
        self.idle_since = 0.0
        self._alive = False
        self._whole = False
        self._came = 0
        self._waiter = Waiter()
        self._failed: ExchangeFailed | None = None
        self._parser: httptools.HttpResponseParser | None = None

    async def head(self, request: bytes) -> None:
        """Send a request; returns when the head of its answer has come. ExchangeFailed."""
        self.status, self.headers, self.read = None, {}, bytearray()
        self._whole, self._came = False, 0
        if not self._alive:
            raise self._failed or ExchangeFailed("the receiver closed the connection", silent=True)
        self._parser = httptools.HttpResponseParser(self)
        # What Python's own h11 reads as well: bare line feeds, and a length beside chunks.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_optional_cr_before_lf=True,
            lenient_chunked_length=True,
            lenient_data_after_close=True,
        )
        self._transport.write(request)
        if self.status is None and self._failed is None:
            await self._waiter.wait()
        if self.status is None:
            raise self._failed or ExchangeFailed("the receiver closed the connection")

    async def body(self) -> None:
        """Return when the body is over, or as much of it has come as is wanted, or it broke off."""
        if not self._over:
            await self._waiter.wait()

    @property
    def reusable(self) -> bool:
        """The answer is whole, and another request may follow."""
        return self._whole and self._alive and self._failed is None

    @property
    def alive(self) -> bool:
        """Nobody has hung up."""
        return self._alive and self._failed is None

    def abort(self) -> None:
        """Hang up, whatever is under way."""
        self._alive = False
        self._parser = None
        self._transport.abort()

    @property
    def _over(self) -> bool:
        return self._whole or not self._alive or self._failed is not None or len(self.read) >= BODY_BYTES

    def _fail(self, why: str, *, silent: bool = False) -> None:
        if self._failed is None:
            self._failed = ExchangeFailed(why, silent=silent)
        self._alive = False
        self._transport.abort()
        self._waiter.wake()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it
        self._alive = True

    def data_received(self, data: bytes) -> None:
        if self._parser is None or self._whole:
            self._fail("the receiver sent more than its answer")
            if self.when_lost is not None:
                self.when_lost()
            return
        self._came += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):  # after a head it only ends the body
            self._fail("the receiver's answer is no HTTP")
            return
        if self.status is None and self._came > HEAD_BYTES:
            self._fail("the head of the receiver's answer is too long")
        elif self._came > MOST_BYTES:  # it frames without end: what came of its body is enough
            self._fail("the receiver's answer is too long")
        elif self._over:
            self._waiter.wake()

    def connection_lost(self, error: Exception | None) -> None:
        self._alive = False
        if self._failed is None:
            self._failed = ExchangeFailed("the receiver closed the connection without an answer", silent=not self._came)
        self._waiter.wake()
        if self.when_lost is not None:
            self.when_lost()

    # What httptools calls.

    def on_message_begin(self) -> None:
        if self._whole:  # a second answer to one request: what comes next would be taken for that of another
            self._alive = False

    def on_header(self, name: bytes, value: bytes) -> None:
        key = name.decode("latin-1").lower()
        if key in _HEADERS and self.status is None:  # after its head come trailers, which say nothing of it
            text = value.decode("latin-1")
            self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text

    def on_headers_complete(self) -> None:
        status = cast(httptools.HttpResponseParser, self._parser).get_status_code()
        if self._whole:
            return
        if status < 200:  # informational: the answer follows
            self.headers = {}
            return
        self.status = status
        self._waiter.wake()

    def on_body(self, data: bytes) -> None:
        if not self._whole and len(self.read) < BODY_BYTES:
            self.read += data[: BODY_BYTES - len(self.read)]

    def on_message_complete(self) -> None:
        if self.status is not None and not self._whole:
            parser = cast(httptools.HttpResponseParser, self._parser)
            self._alive = self._alive and parser.should_keep_alive()
            self._whole = True
