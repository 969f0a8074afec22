"""JSON from strangers: what Python's parser lets through and nothing behind it would survive is a 400."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InvalidRequest, PayloadTooLarge
from shared.strict_json import (
    MAX_DEPTH,
    MOST_COMMAS,
    MOST_KEYS,
    MOST_STRUCTURES,
    canonical,
    check_structure,
    dumps,
    loads,
)

BAD: dict[str, bytes] = {
    "empty": b"",
    "space": b" \n",
    "word": b"hello",
    "cut off": b'{"a": 1',
    "two values": b"{} {}",
    "comma at the end": b'{"a": 1,}',
    "single quotes": b"{'a': 1}",
    "comment": b'{"a": 1 /* b */}',
    "NaN": b'{"a": NaN}',
    "Infinity": b'{"a": Infinity}',
    "-Infinity": b'{"a": -Infinity}',
    "1e999": b'{"a": 1e999}',
    "-1e999": b'{"a": [-1e999]}',
    "5,000 digits": b'{"a": ' + b"9" * 5000 + b"}",
    "2**63": b'{"a": 9223372036854775808}',
    "below -2**63": b'{"a": -9223372036854775809}',
    "leading zero": b'{"a": 01}',
    "plus": b'{"a": +1}',
    "hex": b'{"a": 0x10}',
    "duplicate": b'{"a": 1, "a": 1}',
    "duplicate deep": b'{"a": [{"b": {"c": 1, "c": 2}}]}',
    "duplicate escaped": b'{"a": 1, "\\u0061": 2}',
    "NUL escaped": b'{"a": "x\\u0000"}',
    "NUL in a key": b'{"\\u0000": 1}',
    "NUL deep": b'{"a": [[{"b": "\\u0000"}]]}',
    "NUL raw": b'{"a": "x\x00"}',
    "NUL outside": b'{"a": 1}\x00',
    "control": b'{"a": "\x01"}',
    "newline in a string": b'{"a": "\n"}',
    "lone high surrogate": b'{"a": "\\ud800"}',
    "lone low surrogate": b'{"a": "\\udc00"}',
    "surrogates swapped": b'{"a": "\\udc00\\ud800"}',
    "surrogate upper case": b'{"a": "\\uDBFF"}',
    "surrogate in a key": b'{"\\ud800": 1}',
    "surrogate encoded": b'{"a": "\xed\xa0\x80"}',
    "not UTF-8": b'{"a": "\xff"}',
    "latin-1": '{"a": "é"}'.encode("latin-1"),
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "byte order mark": b'\xef\xbb\xbf{"a": 1}',
    "overlong": b'{"a": "\xc0\x80"}',
    "deep lists": b"[" * 5000 + b"]" * 5000,
    "deep objects": b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "too deep by one": b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
    "deep unclosed": b"[" * 200_000,
    "bad escape": b'{"a": "\\x41"}',
    "bad unicode escape": b'{"a": "\\u12g4"}',
}


@pytest.mark.parametrize("name", BAD)
def test_it_is_a_400_with_a_short_reason(name: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        loads(BAD[name], what="line 7")
    assert refused.value.message.startswith("line 7") and len(refused.value.message) < 300


GOOD: dict[str, tuple[bytes, Any]] = {
    "pair": (b'"\\ud83d\\ude00"', "😀"),
    "backslash u0000": (b'"\\\\u0000"', "\\u0000"),
    "backslash ud800": (b'"\\\\ud800 and \\\\udc00"', "\\ud800 and \\udc00"),
    "most": (b"9223372036854775807", 2**63 - 1),
    "least": (b"-9223372036854775808", -(2**63)),
    "tiny": (b"1e-999", 0.0),
    "same key in two objects": (b'[{"a": 1}, {"a": 1}]', [{"a": 1}, {"a": 1}]),
    "brackets in strings": (b'["' + b"[{" * 500 + b'"]', ["[{" * 500]),
    "quotes in strings": (b'["' + b'\\"[' * 500 + b'"]', ['"[' * 500]),
    "wide": (b"[" + b",".join([b"[]"] * 500) + b"]", [[]] * 500),
    "as deep as may be": (b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, ...),
    "non-characters": ('"\ufffe\uffff"'.encode(), "\ufffe\uffff"),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_only_looks_odd_is_read(name: str) -> None:
    body, value = GOOD[name]
    assert value is ... or loads(body) == value
    loads(body)


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"))
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=25,
)


@given(VALUES)
def test_round_trip(value: Any) -> None:
    assert loads(json.dumps(value).encode()) == value
    assert loads(json.dumps(value, ensure_ascii=False).encode()) == value
    assert loads(dumps(value).encode()) == value


@given(st.dictionaries(TEXT, VALUES, max_size=6), st.randoms())
def test_canonical_bytes_know_no_order(value: dict[str, Any], random: Any) -> None:
    items = list(value.items())
    random.shuffle(items)
    assert canonical(dict(items)) == canonical(value)


@given(VALUES, VALUES)
def test_other_values_have_other_canonical_bytes(one: Any, other: Any) -> None:
    if canonical(one) == canonical(other):
        assert one == other


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_and_what_is_read_can_be_stored(body: bytes) -> None:
    try:
        value = loads(body)
    except InvalidRequest:
        return
    orjson.dumps(value).decode()


@given(VALUES, st.data())
def test_a_changed_byte_never_breaks_the_reader(value: Any, data: st.DataObject) -> None:
    body = bytearray(json.dumps(value).encode())
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        orjson.dumps(loads(bytes(body)))
    except InvalidRequest:
        return


@pytest.mark.parametrize(
    "body",
    [
        b'{"jobs":[' + b"[]," * MOST_STRUCTURES + b"0]}",
        b"[" + b'{"a":0},' * MOST_STRUCTURES + b"0]",
        b"[" + b"0," * (MOST_COMMAS + 1) + b"0]",
        b"[" + b'"\\\\",' * (MOST_COMMAS + 1) + b"0]",
        b'"' * 10_000_000 + b"," * (MOST_COMMAS + 1),
    ],
    ids=["lists", "objects", "numbers", "escaped strings", "quotes"],
)
def test_too_many_values_are_refused_unparsed(body: bytes) -> None:
    with pytest.raises(PayloadTooLarge, match="several requests"):
        check_structure(body)


@pytest.mark.parametrize(
    "value",
    [['[{,"\\' * MOST_COMMAS], [list(range(900)) for _ in range(1000)], [{"a": [1]}] * (MOST_STRUCTURES // 2 - 1)],
    ids=["text that looks like JSON", "token arrays", "as many as may be"],
)
def test_large_bodies_of_few_values_are_read(value: Any) -> None:
    body = json.dumps(value).encode()
    check_structure(body)
    assert loads(body) == value


def test_an_object_of_more_keys_than_anybody_reads_is_refused() -> None:
    body = "{" + ",".join(f'"k{n}":1' for n in range(MOST_KEYS)) + "}"
    assert len(loads(body.encode())) == MOST_KEYS
    with pytest.raises(InvalidRequest, match="more than 5,000 keys"):
        loads(body[:-1].encode() + b',"one":1}')
