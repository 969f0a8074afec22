"""JSON as providers write it: also with a byte order mark, with NaN and Infinity (logprobs), with half a character."""

import json
import re
from typing import Any

import orjson

_BOM = b"\xef\xbb\xbf"
#: What Python's own reader takes and the strict one does not.
_LENIENT = re.compile(rb"NaN|Infinity|\\u[dD][89a-fA-F]")


def loads(data: bytes) -> Any:
    """The value; numbers that are none become null, half a character becomes U+FFFD. ValueError when it is no JSON."""
    data = data.removeprefix(_BOM)
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        if not _LENIENT.search(data):
            raise
    try:
        value = json.loads(data.decode(), parse_constant=lambda name: None)
        text = json.dumps(value, ensure_ascii=False)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return orjson.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
