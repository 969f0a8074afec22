"""An answer of a provider as it comes: read by httptools (llhttp), unpacked, and given out piece by piece.

Bounded are its head and what waits to be read; how much of a body is wanted its reader decides (`exchange.alive`).
"""

import asyncio
from typing import Final, Protocol

import httptools
import httpx

from workers.connections.waiter import Waiter
from workers.upstream.unpacking import PIECE_BYTES, Unpacking, unpacking

#: The most that comes without any of the body: a head with informational ones before it, trailers, chunks' extensions.
HEAD_BYTES: Final = 256 * 1024
#: When so much waits to be read, the provider has to wait.
UNREAD_BYTES: Final = 1024 * 1024
#: Statuses below are informational: the answer follows.
_FINAL_FROM: Final = 200
#: Answers without a body.
_BODILESS: Final = frozenset({204, 304})


class HungUpUnheard(httpx.ReadError):
    """The connection ended before anything came over it."""


class AskedConnection(Protocol):
    """What an answer does with the connection over which it comes."""

    def abort(self) -> None: ...
    def release(self, *, reusable: bool) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...


class IncomingAnswer:
    """Use: `await head()`, then `await piece()` until None, or `aclose()`. What breaks is an httpx.RequestError.

    Its connection is let go in the moment in which the last of it comes, whether it has been read by then or not.
    """

    def __init__(self, connection: AskedConnection, seconds: float) -> None:
        """All of it has to come within `seconds`."""
        self.status_code = 0
        #: By their names in small letters; one that is there more than once has its values with commas between them.
        self.headers: dict[str, str] = {}
        self._connection = connection
        #: What has come of the body and is not read yet.
        self._pieces: list[bytes] = []
        self._unread = 0
        self._unpacking: Unpacking | None = None
        self._headed = self._whole = self._paused = False
        #: It may be followed by another on its connection; only the connection's end ends it.
        self._keep_alive = self._until_closed = False
        self._framing_bytes = 0
        self._failed: httpx.RequestError | None = None
        self._waiter = Waiter()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._expire)
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        # What other clients read as well: bare line feeds, a length beside chunks, more behind the last answer.
        self._parser.set_dangerous_leniencies(
            lenient_optional_cr_before_lf=True, lenient_chunked_length=True, lenient_data_after_close=True
        )

    async def head(self) -> None:
        """Return when its status and its headers have come."""
        while not self._headed:
            if self._failed is not None:
                raise self._failed
            await self._waiter.wait()

    async def piece(self) -> bytes | None:
        """The next piece of the body, all that has come meanwhile; None: there is no more."""
        while True:
            if self._unpacking is not None and (unpacked := self._unpacking.take()):
                if len(unpacked) == PIECE_BYTES:
                    await asyncio.sleep(0)  # there may be hundreds of them, and others wait
                return unpacked
            if self._pieces:
                piece = self._taken()
                if self._unpacking is None:
                    return piece
                self._unpacking.give(piece)
            elif self._failed is not None:
                raise self._failed
            elif self._whole:
                if self._unpacking is not None:
                    self._unpacking.end()
                return None
            else:
                await self._waiter.wait()

    async def aclose(self) -> None:
        """Hang up when there is more of it."""
        if self._parser is not None:
            self._over()
            self._connection.abort()

    def feed(self, data: bytes) -> None:
        """Some more has come over the connection."""
        if (parser := self._parser) is None:
            return
        self._framing_bytes += len(data)
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._keep_alive = False
            if not self._whole:
                return self._break(httpx.DecodingError("the provider's answer is no HTTP"))
        if self._whole:
            self._over()
            self._connection.release(reusable=self._keep_alive)
        elif self._framing_bytes > HEAD_BYTES:
            self._break(httpx.DecodingError("the head of the provider's answer, or what frames its body, is too long"))
        elif self._unread > UNREAD_BYTES and not self._paused:
            self._paused = True
            self._connection.pause()
        self._waiter.wake()

    def lost(self, error: Exception | None) -> None:
        """The connection has ended, by a fault or not."""
        if self._parser is None:
            return
        self._over()
        if self._headed and self._until_closed and error is None:
            self._whole = True
        elif self._headed and error is None:
            self._failed = httpx.DecodingError("the provider closed the connection within its answer")
        else:
            kind = httpx.ReadError if self._framing_bytes else HungUpUnheard
            self._failed = kind("the connection to the provider broke")
            self._failed.__cause__ = error
        self._waiter.wake()

    def _taken(self) -> bytes:
        pieces, self._pieces, self._unread = self._pieces, [], 0
        if self._paused:
            self._paused = False
            self._connection.resume()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _over(self) -> None:
        """Nothing more is read."""
        self._timer.cancel()
        self._parser = None

    def _break(self, failed: httpx.RequestError) -> None:
        self._failed = failed
        self._over()
        self._connection.abort()
        self._waiter.wake()

    def _expire(self) -> None:
        self._break(httpx.ReadTimeout("the provider did not end its answer in time"))

    # What httptools calls.

    def on_message_begin(self) -> None:
        if self._whole:  # a second answer to one request: what comes next would be taken for that of another
            raise ValueError("nobody asked")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._headed:  # trailers, which say nothing of it
            return
        key, text = name.decode("latin-1").lower(), value.decode("utf-8", "replace")
        self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        status = self._parser.get_status_code()
        if status < _FINAL_FROM:
            self.headers = {}
            return
        self.status_code = status
        if status not in _BODILESS and "content-length" not in self.headers:
            self._until_closed = "chunked" not in self.headers.get("transfer-encoding", "").lower()
        if (codings := self.headers.get("content-encoding")) is not None:
            self._unpacking = unpacking(codings)
        self._headed = True

    def on_body(self, data: bytes) -> None:
        if not self._whole:
            self._framing_bytes = 0
            self._pieces.append(data)
            self._unread += len(data)

    def on_message_complete(self) -> None:
        if self._headed and not self._whole:
            assert self._parser is not None
            self._keep_alive = self._parser.should_keep_alive()
            self._whole = True
