"""Pictures for tests: a whole small PNG, and the headers of pictures of any size in each format."""

import base64
import struct
import zlib


def png(width: int = 2, height: int = 2) -> bytes:
    """A PNG that says it is of this size; its pixels are those of one line."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    lines = zlib.compress(b"\0" * (1 + width) * height) if width * height <= 10_000 else b""
    chunks = ((b"IHDR", header), (b"IDAT", lines), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def jpeg(width: int = 2, height: int = 2, *, before: bytes = b"", marker: int = 0xC0) -> bytes:
    """The header of a JPEG; `before`: segments that stand before its size."""
    start = struct.pack(">BBHBHHB", 0xFF, marker, 11, 8, height, width, 1) + b"\x01\x11\x00"
    return b"\xff\xd8" + b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00" + before + start + b"\xff\xd9"


def segment(marker: int, content: bytes) -> bytes:
    """A segment of a JPEG."""
    return struct.pack(">BBH", 0xFF, marker, 2 + len(content)) + content


def gif(width: int = 2, height: int = 2) -> bytes:
    """The header of a GIF."""
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\x00\x00\x00;"


def webp(width: int = 2, height: int = 2, *, kind: bytes = b"VP8X") -> bytes:
    """The header of a WebP of one of its three kinds."""
    if kind == b"VP8X":
        data = b"\x00" * 4 + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    elif kind == b"VP8L":
        data = b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14)
    else:
        data = b"\x30\x01\x00\x9d\x01\x2a" + struct.pack("<HH", width | 1 << 14, height | 2 << 14)
    whole = b"WEBP" + kind + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(whole)) + whole


def data_url(content: bytes, media_type: str = "image/png") -> str:
    """A data: URL."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"
