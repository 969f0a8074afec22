"""Pictures shown to a model: https addresses, which are never fetched here, and base64, which is checked.

A provider that fetches addresses from a network of ours is given none of a private host (`unreachable`).

Base64 is read in every way that clients write it (line breaks, no padding, the URL-safe alphabet, percent-encoded, with
another media type or none, without `data:`), and goes on in the one way that every provider reads. A picture's format
and size are read from its header; its pixels are not decoded. Sources: W3C PNG, ITU-T T.81, GIF89a, RFC 9649 (WebP),
RFC 2397.
"""

import binascii
import struct
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from pydantic_core import PydanticCustomError

from shared.network import urls
from shared.network.addresses import RefusedAddress
from shared.submissions import base64_texts
from shared.submissions.shapes import TOO_LARGE

MOST_BYTES: Final = base64_texts.MOST_BYTES
MOST_PIXELS: Final = 50_000_000
#: Characters of an https address.
MOST_ADDRESS: Final = 8192
MEDIA_TYPES: Final = ("image/png", "image/jpeg", "image/webp", "image/gif")
#: What some programs write for one of them.
_ALIASES: Final = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "image/x-png": "image/png"}
#: What says nothing of the kind of picture.
_UNSAID: Final = ("", "application/octet-stream", "binary/octet-stream", "image/*", "image")
#: How the base64 of a picture begins that is sent without `data:`: PNG, JPEG, GIF, WebP.
_BARE: Final = ("iVBORw0KGgo", "/9j/", "R0lGODdh", "R0lGODlh", "UklGR")
#: Characters before the comma of a data URL.
_MOST_HEADER: Final = 400
#: Steps from one segment of a JPEG to the next: more than any camera writes before the picture's size.
_MOST_SEGMENTS: Final = 5000

Size = tuple[int, int]


def checked(url: str) -> str:
    """The address as it is handed on: an https one as it came, a data URL in its canonical form.

    ValueError says what is wrong, and where, without repeating any of it but one character; a picture that is too large
    is a 413.
    """
    if url[:5].lower() == "data:":
        return _checked_data(url)
    if url[:8].lower() != "https://":
        return _checked_other(url)
    if len(url) > MOST_ADDRESS:
        raise ValueError(f"URL is longer than {MOST_ADDRESS:,} characters")
    if any(character.isspace() or not character.isprintable() for character in url) or not _has_host(url):
        raise ValueError("invalid URL")
    if "@" in urlsplit(url).netloc:
        raise ValueError("URL must not contain a user name or password, because it is sent to the provider")
    return url


def unreachable(url: str) -> str:
    """Why a provider in a private network may not fetch from this address, which was `checked`; empty: it may.

    A name is not resolved: what it resolves to is for that network's own way out to refuse. One without a dot is of
    that network whatever it is.
    """
    if url[:5].lower() == "data:":
        return ""
    verdict = urls.judge_host(urlsplit(url))
    if isinstance(verdict, RefusedAddress):
        return verdict.reason
    return "" if "." in verdict.address or ":" in verdict.address else "private network name"


def _checked_other(url: str) -> str:
    """What is neither an https address nor, as it stands, a data URL."""
    bare = url[:200].lstrip()
    if bare[:5].lower() == "data:":
        return _checked_data(url.lstrip())
    if bare[:7].lower() == "data%3a":
        return _checked_data(unquote(url.strip()))
    if bare.replace("-", "+").replace("_", "/").startswith(_BARE):
        return _checked_data(f"data:;base64,{url}")
    if bare[:7].lower() == "http://":
        raise ValueError("http:// URLs are not supported; use an https:// URL or a data: URL with base64")
    raise ValueError("must be an https:// URL or a data: URL with base64")


def _has_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _checked_data(url: str) -> str:
    header, comma, _ = url[:_MOST_HEADER].partition(",")
    media_type, *parameters = "".join(header[5:].lower().split()).split(";")
    if not comma:
        raise ValueError("data: URL must have the form data:<media type>;base64,<data>")
    if media_type == "base64":
        media_type, parameters = "", ["base64"]
    if _ALIASES.get(media_type, media_type) not in (*MEDIA_TYPES, *_UNSAID):
        raise ValueError(f"media type must be one of {', '.join(MEDIA_TYPES)}")
    start = len(header) + 1
    content, text = base64_texts.read(url[start:]) if "base64" in parameters else _written_out(url[start:])
    return f"data:{_inspect(content)};base64,{text}"


def _written_out(text: str) -> tuple[bytes, str]:
    """The data of a URL that is not base64 but bytes, percent-encoded."""
    content = unquote_to_bytes(text)
    if len(content) > MOST_BYTES:
        raise PydanticCustomError(TOO_LARGE, "image is larger than 20 MB")
    if not measure(content)[0]:
        raise ValueError("data: URL must have the form data:<media type>;base64,<data>")
    return content, binascii.b2a_base64(content, newline=False).decode()


def _inspect(content: bytes) -> str:
    """The media type of a picture that is not too large."""
    media_type, size = measure(content)
    if size is None or 0 in size:
        raise ValueError("invalid image: must be a PNG, JPEG, WebP or GIF whose dimensions can be read")
    if size[0] * size[1] > MOST_PIXELS:
        raise PydanticCustomError(TOO_LARGE, "image is larger than 50 megapixels")
    return media_type


def measure(content: bytes) -> tuple[str, Size | None]:
    """The media type that a picture's first bytes tell, and its width and height; None when they cannot be read.

    >>> measure(b"GIF89a" + bytes([3, 0, 2, 0]))
    ('image/gif', (3, 2))
    """
    for magic, media_type, read in _FORMATS:
        if content.startswith(magic):
            try:
                return media_type, read(content)
            except (struct.error, IndexError):
                return media_type, None
    return "", None


def _png(content: bytes) -> Size | None:
    name, width, height = struct.unpack_from(">4sII", content, 12)
    return (width, height) if name == b"IHDR" else None


def _gif(content: bytes) -> Size | None:
    width, height = struct.unpack_from("<HH", content, 6)
    return width, height


def _jpeg(content: bytes) -> Size | None:
    at = 2
    for _ in range(_MOST_SEGMENTS):
        at = content.find(b"\xff", at)
        marker = content[at + 1] if at >= 0 else 0xD9
        if marker in (0xD9, 0xDA):  # the end, or the pixels, before any size
            return None
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", content, at + 5)
            return width, height
        if marker == 0xFF:
            at += 1
        elif marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD8:
            at += 2
        else:
            at += 2 + max(2, struct.unpack_from(">H", content, at + 2)[0])
    return None


def _webp(content: bytes) -> Size | None:
    kind = content[12:16]
    if content[8:12] != b"WEBP":
        return None
    if kind == b"VP8X" and len(content) >= 30:
        return 1 + int.from_bytes(content[24:27], "little"), 1 + int.from_bytes(content[27:30], "little")
    if kind == b"VP8L" and content[20] == 0x2F:
        (bits,) = struct.unpack_from("<I", content, 21)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 " and content[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", content, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


_FORMATS: tuple[tuple[bytes, str, Callable[[bytes], Size | None]], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png", _png),
    (b"\xff\xd8\xff", "image/jpeg", _jpeg),
    (b"GIF87a", "image/gif", _gif),
    (b"GIF89a", "image/gif", _gif),
    (b"RIFF", "image/webp", _webp),
)
