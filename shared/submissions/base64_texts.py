"""Decodes base64 in its usual variants, and returns its canonical text. Source: RFC 4648, RFC 2045.

Line breaks and blanks, the URL-safe alphabet, percent-encoding and missing padding are put right; anything else is
refused by its position and character.
"""

import binascii
import re
from typing import Final
from urllib.parse import unquote

from pydantic_core import PydanticCustomError

from shared.submissions.shapes import TOO_LARGE

#: Bytes of what is encoded.
MOST_BYTES: Final = 20 * 1024 * 1024
#: Taken out: blanks, tabs, line ends; put otherwise: the URL-safe alphabet.
_PUT_RIGHT: Final = str.maketrans("-_", "+/", " \t\r\n\v\f")
_WRONG: Final = re.compile(r"[^A-Za-z0-9+/]")
_WRONG_AS_SENT: Final = re.compile(r"[^A-Za-z0-9+/=_ \t\r\n\v\f-]|=(?=[^= \t\r\n\v\f])")


def read(text: str) -> tuple[bytes, str]:
    """The bytes, and the text that every decoder reads. ValueError names the place; more than 20 MB are a 413."""
    if len(text) // 4 * 3 - text[-2:].count("=") <= MOST_BYTES:
        try:
            return binascii.a2b_base64(text, strict_mode=True), text
        except ValueError:
            pass
    data = (unquote(text) if "%" in text else text).translate(_PUT_RIGHT).rstrip("=")
    if len(data) * 3 // 4 > MOST_BYTES:
        raise PydanticCustomError(TOO_LARGE, "image is larger than 20 MB")
    if _WRONG.search(data):
        raise ValueError(_fault(text))
    if len(data) % 4 == 1:
        raise ValueError(
            f"invalid base64: {len(data):,} characters is not a possible length (the data may be truncated)"
        )
    content = binascii.a2b_base64(data + "=" * (-len(data) % 4))
    return content, binascii.b2a_base64(content, newline=False).decode()


def _fault(text: str) -> str:
    """Which character is none of base64's, and where; its first one has the position 1."""
    wrong = _WRONG_AS_SENT.search(unquote(text) if "%" in text else text)
    if wrong is None:
        return "invalid base64"
    character = wrong.group()[0]
    said = "padding '=' before the end" if character == "=" else f"character {character!r} is not allowed"
    return f"invalid base64: {said} (position {wrong.start() + 1:,})"
