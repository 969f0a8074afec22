"""Reads JSON strictly: refuses what Python's parser accepts and a database or provider would not."""

import json
import re
from itertools import chain
from typing import Any, NoReturn

import orjson

from shared.errors import InvalidRequest, PayloadTooLarge

#: Deeper than any request of the documented shapes.
MAX_DEPTH = 100
#: Values cost far more than bytes: so many objects and lists, and so many commas between values, are the most.
MOST_STRUCTURES = 100_000
MOST_COMMAS = 1_000_000
#: Keys of one object: as many as OpenAI allows properties in a schema. Each unknown one is a fault to be told.
MOST_KEYS = 5_000
_SUSPECT = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")


def loads(body: bytes, *, what: str = "request body") -> Any:
    """Parse UTF-8 JSON; 400 for syntax, NaN, duplicate keys, lone surrogates, \\u0000, huge integers, deep nesting."""
    try:
        value = _DECODER.decode(body.decode("utf-8"))
    except InvalidRequest as error:
        raise InvalidRequest(f"{what}: {error.message}") from None
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{what} is not valid UTF-8: invalid byte at offset {error.start}") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise InvalidRequest(f"{what} is not valid JSON: {error.msg} at {place}") from None
    except RecursionError:
        raise InvalidRequest(f"{what} is nested too deeply") from None
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH:
        _check_depth(value, what)
    if _SUSPECT.search(body):
        _check_text(value, what)
    elif b"\x00" in body:
        raise InvalidRequest(f"{what} contains a NUL character")
    return value


def check_structure(body: bytes) -> None:
    """Refuse, before it is parsed, a body of so many values that parsing and checking them would take long: 413.

    What stands in strings is text, however much it looks like JSON; the strings are only cut out when that matters.
    """
    if len(body) <= MOST_STRUCTURES or _is_simple(body):
        return
    bare = body.replace(rb"\\", b"").replace(rb"\"", b"")
    most_quotes = 4 * (MOST_COMMAS + MOST_STRUCTURES)
    if bare.count(b'"') <= most_quotes and _is_simple(b"".join(bare.split(b'"')[::2])):
        return
    raise PayloadTooLarge(
        f"request body has more than {MOST_STRUCTURES:,} objects and arrays, or {MOST_COMMAS:,} values; "
        "split it into several requests"
    )


def _is_simple(body: bytes) -> bool:
    return body.count(b"{") + body.count(b"[") <= MOST_STRUCTURES and body.count(b",") <= MOST_COMMAS


def within(text: str | bytes) -> Any:
    """The value of JSON that stands in a string of a body, which nobody has looked at; None where it is none.

    None, too, for what would be no body: nested so deeply that it cannot be written any more, or of too many values.

    >>> within('{"a": 1}'), within("{"), within("[" * 300 + "]" * 300)
    ({'a': 1}, None, None)
    """
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    try:
        check_structure(raw)
        value = orjson.loads(raw)
    except (orjson.JSONDecodeError, PayloadTooLarge):
        return None
    return None if is_deep(value) else value


def is_deep(value: Any) -> bool:
    """Whether a value is nested deeper than that of any body."""
    try:
        _check_depth(value, "")
    except InvalidRequest:
        return True
    return False


def dumps(value: Any) -> str:
    """Compact JSON as text, for a column."""
    return orjson.dumps(value).decode()


def canonical(value: Any) -> bytes:
    """The same bytes for the same value whatever the order of its keys."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(pairs) > MOST_KEYS:
        raise InvalidRequest(f"a JSON object has more than {MOST_KEYS:,} keys")
    if len(value) != len(pairs):
        seen: set[str] = set()
        double = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise InvalidRequest(f"duplicate key {double[:100]!r} in JSON object")
    return value


def _integer(digits: str) -> int:
    if len(digits) > 20 or not -(2**63) <= (value := int(digits)) < 2**63:
        raise InvalidRequest(f"integer {digits[:24]}… does not fit in 64 bits")
    return value


def _float(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise InvalidRequest(f"number {digits[:24]} is out of range")
    return value


def _constant(name: str) -> NoReturn:
    raise InvalidRequest(f"{name} is not a valid JSON number")


#: Made once: making one costs as much as reading a small body with it.
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer, parse_float=_float)


def _check_depth(value: Any, what: str) -> None:
    level = [value] if isinstance(value, dict | list) else []
    depth = 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise InvalidRequest(f"{what} is nested deeper than {MAX_DEPTH} levels")
        inner = chain.from_iterable(one.values() if isinstance(one, dict) else one for one in level)
        level = [one for one in inner if isinstance(one, (dict, list))]


def _check_text(value: Any, what: str) -> None:
    if isinstance(value, str):
        if "\x00" in value:
            raise InvalidRequest(f"{what} contains a NUL character (\\u0000)")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidRequest(f"{what} contains an unpaired surrogate") from None
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_text(key, what)
            _check_text(item, what)
    elif isinstance(value, list):
        for item in value:
            _check_text(item, what)
