"""Reads JSON that strangers wrote, refusing what Python's parser lets through and a database or provider would not."""

import json
import re
from typing import Any, NoReturn

import orjson

from shared.errors import InvalidRequest

#: Deeper than any request of the documented shapes.
MAX_DEPTH = 100
_SUSPECT = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")


def loads(body: bytes, *, what: str = "the body") -> Any:
    """Parse UTF-8 JSON; 400 for syntax, NaN, duplicate keys, lone surrogates, \\u0000, huge integers, deep nesting."""
    try:
        value = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_int=_integer,
            parse_float=_float,
        )
    except InvalidRequest as error:
        raise InvalidRequest(f"{what}: {error.message}") from None
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{what} is not UTF-8: byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise InvalidRequest(f"{what} is not JSON: {error.msg} at line {error.lineno} column {error.colno}") from None
    except RecursionError:
        raise InvalidRequest(f"{what} is nested too deeply") from None
    _check_depth(body, what)
    if _SUSPECT.search(body):
        _check_text(value, what)
    elif b"\x00" in body:
        raise InvalidRequest(f"{what} has a NUL character")
    return value


def dumps(value: Any) -> str:
    """Compact JSON as text, for a column."""
    return orjson.dumps(value).decode()


def canonical(value: Any) -> bytes:
    """The same bytes for the same value whatever the order of its keys."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        double = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise InvalidRequest(f"the key {double[:100]!r} stands twice in one object")
    return value


def _integer(digits: str) -> int:
    if len(digits) > 20 or not -(2**63) <= (value := int(digits)) < 2**63:
        raise InvalidRequest(f"the integer {digits[:24]}… does not fit in 64 bits")
    return value


def _float(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise InvalidRequest(f"the number {digits[:24]} is out of range")
    return value


def _constant(name: str) -> NoReturn:
    raise InvalidRequest(f"{name} is not a JSON number")


def _check_depth(body: bytes, what: str) -> None:
    if body.count(b"{") + body.count(b"[") <= MAX_DEPTH:
        return
    depth = 0
    for mark in re.finditer(rb'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', body):
        first = mark.group()[:1]
        depth += 1 if first in b"[{" else -1 if first in b"]}" else 0
        if depth > MAX_DEPTH:
            raise InvalidRequest(f"{what} is nested deeper than {MAX_DEPTH} levels")


def _check_text(value: Any, what: str) -> None:
    if isinstance(value, str):
        if "\x00" in value:
            raise InvalidRequest(f"{what} has a NUL character (\\u0000)")
        if any("\ud800" <= char <= "\udfff" for char in value):
            raise InvalidRequest(f"{what} has a lone surrogate")
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_text(key, what)
            _check_text(item, what)
    elif isinstance(value, list):
        for item in value:
            _check_text(item, what)
