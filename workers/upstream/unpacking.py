"""Answers that come compressed: gzip and deflate, unpacked piece by piece as they come."""

import zlib
from typing import Final

import httpx

#: The most that is unpacked at once: a kilobyte may hold a megabyte.
PIECE_BYTES: Final = 1024 * 1024
#: Members of one body: each costs a copy of what follows it.
MOST_MEMBERS: Final = 100
_GZIP, _EITHER, _RAW = 31, 47, -15
#: zlib's method in the low half of the first byte of its format; without it "deflate" is meant as it is named.
_ZLIB_METHOD, _LOW_HALF = 8, 0x0F
_MEMBER: Final = b"\x1f\x8b"


class Unpacking:
    """One body. `give` what comes, `take` until nothing is left; `end` when no more comes. httpx.DecodingError."""

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._packed = b""
        self._more = self._over = False
        self._members = 1
        self._unpack: zlib._Decompress | None = None

    def give(self, packed: bytes) -> None:
        """Some more has come."""
        if not self._over:
            self._packed += packed

    def take(self) -> bytes:
        """The next piece; empty: more has to come first."""
        while (self._packed or self._more) and not self._over:
            if self._unpack is None:
                self._unpack = zlib.decompressobj(self._bits())
            elif self._unpack.eof and not self._is_next_member():
                break
            try:
                piece = self._unpack.decompress(self._packed, PIECE_BYTES)
            except zlib.error as error:
                raise httpx.DecodingError("the provider's answer cannot be unpacked") from error
            self._more = len(piece) == PIECE_BYTES and not self._unpack.eof
            self._packed = self._unpack.unused_data if self._unpack.eof else self._unpack.unconsumed_tail
            if piece:
                return piece
        return b""

    def end(self) -> None:
        """No more comes."""
        if self._unpack is not None and not self._unpack.eof:
            raise httpx.DecodingError("the provider's answer ends before what is packed in it does")

    def _is_next_member(self) -> bool:
        """Whether one more of several members begins here; anything else behind the end is passed over."""
        if len(self._packed) < len(_MEMBER) and _MEMBER.startswith(self._packed):
            return False
        if not self._packed.startswith(_MEMBER):
            self._packed, self._over = b"", True
            return False
        self._members += 1
        if self._members > MOST_MEMBERS:
            raise httpx.DecodingError("the provider's answer is packed in too many parts")
        self._unpack = zlib.decompressobj(_GZIP)
        return True

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
