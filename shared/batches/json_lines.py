"""Writes JSON as one line, so that every reader of lines finds the same lines in a file.

JSON escapes LF and CR in texts, but many readers (Python's `splitlines`, JavaScript's) end a line at U+0085, U+2028 and
U+2029 too, which JSON lets stand as they are. So they are escaped. \\x0b, \\x0c and \\x1c to \\x1e always are.
"""

import re
from typing import Any, Final

_ENDS: Final = re.compile(rb"\xc2\x85|\xe2\x80[\xa8\xa9]")
_ESCAPED: Final = {b"\xc2\x85": rb"\u0085", b"\xe2\x80\xa8": rb"\u2028", b"\xe2\x80\xa9": rb"\u2029"}
_ENDS_IN_TEXT: Final = {0x85: r"\u0085", 0x2028: r"\u2028", 0x2029: r"\u2029"}


def line(value: Any) -> bytes:
    """A value as one line, with its end."""
    import orjson  # not where the command alone is installed, which needs `safe_text`

    return safe(orjson.dumps(value)) + b"\n"


def safe(json: bytes) -> bytes:
    """The same JSON, as one line for every reader; it stands in texts alone, where escapes mean the same."""
    if b"\xe2\x80" not in json and b"\xc2\x85" not in json:
        return json
    return _ENDS.sub(lambda found: _ESCAPED[found[0]], json)


def safe_text(json: str) -> str:
    """The same of JSON as text.

    >>> safe_text('"a\\u2028b"')
    '"a\\\\u2028b"'
    """
    return json.translate(_ENDS_IN_TEXT)
