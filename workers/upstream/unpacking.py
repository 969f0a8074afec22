"""Answers that come compressed: gzip and deflate, unpacked piece by piece as they come."""

import zlib
from typing import Final

import httpx

#: The most that is unpacked at once: a kilobyte may hold a megabyte.
PIECE_BYTES: Final = 1024 * 1024
_GZIP, _EITHER, _RAW = 31, 47, -15
#: zlib's method in the low half of the first byte of its format; without it "deflate" is meant as it is named.
_ZLIB_METHOD, _LOW_HALF = 8, 0x0F
_MEMBER: Final = b"\x1f\x8b"


class Unpacking:
    """One body. `give` what comes, `take` until nothing is left; `end` when no more comes. httpx.DecodingError."""

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._packed = b""
        self._more = False
        self._unpack: zlib._Decompress | None = None

    def give(self, packed: bytes) -> None:
        """Some more has come."""
        self._packed += packed

    def take(self) -> bytes:
        """The next piece; empty: more has to come first."""
        while self._packed or self._more:
            if self._unpack is None:
                self._unpack = zlib.decompressobj(self._bits())
            try:
                piece = self._unpack.decompress(self._packed, PIECE_BYTES)
            except zlib.error as error:
                raise httpx.DecodingError("the provider's answer cannot be unpacked") from error
            self._more = len(piece) == PIECE_BYTES
            self._packed = self._unpack.unconsumed_tail
            if self._unpack.eof:
                self._next_member(self._unpack.unused_data)
            if piece:
                return piece
        return b""

    def end(self) -> None:
        """No more comes."""
        if self._unpack is not None and not self._unpack.eof:
            raise httpx.DecodingError("the provider's answer ends before what is packed in it does")

    def _next_member(self, rest: bytes) -> None:
        """Of a body of several members the next one; anything else behind the end is passed over."""
        self._more = False
        if rest.startswith(_MEMBER):
            self._packed, self._unpack = rest, zlib.decompressobj(_GZIP)
        else:
            self._packed = b""

    def _bits(self) -> int:
        if self._coding != "deflate":
            return _GZIP
        return _EITHER if self._packed[0] & _LOW_HALF == _ZLIB_METHOD else _RAW


def unpacking(codings: str) -> Unpacking | None:
    """For a body of these codings, as its head names them; None: nothing was done to it. httpx.DecodingError."""
    match [coding for one in codings.lower().split(",") if (coding := one.strip()) not in ("", "identity")]:
        case []:
            return None
        case ["gzip" | "x-gzip" | "deflate" as coding]:
            return Unpacking(coding)
    raise httpx.DecodingError("the provider's answer is packed in a way that it was not asked for")
