"""Hostile bodies, by hand and mutated: every one is refused in the documented shape, none is a 5xx."""

import json
import random
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from shared import clock
from tests.acceptance.stack import Account, chat, embedding, image

DEEP = 5000
HELLO = [{"role": "user", "content": "hello"}]
SCALARS = [b"null", b"true", b"0", b"-1", b"1e999", b"NaN", b"[]", b'""', b'"\\u0000"', b'"\\ud800"', b"[[]]", b"{}"]
ODD_TEXT = [
    "\ufffe",
    "\u202e",
    "a" * 100_000,
    "💥" * 1000,
    "';DROP TABLE jobs;--",
    "${jndi:x}",
    "{{7*7}}",
    "%s%n",
    "\x7f",
]


def deep(open: bytes, close: bytes, inside: bytes = b"1") -> bytes:
    return open * DEEP + inside + close * DEEP


def raw() -> Iterator[bytes]:
    """Bodies that are not JSON, or not what anybody should send."""
    yield from (b"", b" ", b"\x00", b"\xff\xfe", b"hello", b"{", b'{"a"', b"}{", b"[1,]", b"{'a':1}", b"\xef\xbb\xbf{}")
    yield from (deep(b"[", b"]"), deep(b'{"a":', b"}"), b"[" * 100_000, b'{"a":' * 50_000)
    yield from (b"null", b"[]", b"[{}]", b'"jobs"', b"1", b"1e400", b"9" * 5000, b"-" * 1000, b"NaN", b"{}")
    good = json.dumps(chat()).encode()
    yield from (
        good[:-1],
        good + good,
        good + b"\x00",
        good.decode().encode("utf-16"),
        good.replace(b"hello", b"\xc0\x80"),
    )
    yield good.replace(b"{", b'{"type": "image", ', 1)
    yield good.replace(b'"hello"', b'"\\ud83d"')
    yield good.replace(b'"hello"', deep(b"[", b"]"))
    for name in (b"max_tokens", b"messages", b"model", b"type", b"metadata"):
        yield good[:-1] + b', "' + name + b'": 1, "' + name + b'": 2}'
    for field in (b"metadata", b"routing", b"stop", b"tools", b"tool_choice", b"response_format", b"seed", b"user"):
        for value in (b"NaN", b"1e999", b'"\\u0000"', b'["\\ud800"]', b"9" * 5000, deep(b"[", b"]")):
            yield good[:-1] + b', "' + field + b'": ' + value + b"}"


def shaped() -> Iterator[dict[str, Any]]:
    """JSON objects with something wrong in them."""
    for field in (
        "type",
        "model",
        "messages",
        "temperature",
        "max_tokens",
        "n",
        "stop",
        "tools",
        "metadata",
        "routing",
    ):
        for value in (5.5, -(2**63), 2**63 - 1, [], {}, [None], "", [[]], {"a": {"a": []}}, True):
            body = chat(**{field: value})
            if (field, value) not in (("metadata", {}), ("routing", {}), ("stop", []), ("stop", "")):
                yield body
    for jobs in ({}, "", 5, None, [], [None], [[]], [5], [chat(), 5], [{"jobs": [chat()]}], [chat(), chat(type="x")]):
        yield {"jobs": jobs}
    yield {"jobs": [chat()], "model": "gpt-4"}
    yield {"jobs": [chat()], "x" * 10_000: 1}
    for content in (5, [5], [{"type": "image_url", "image_url": "x"}], [{"type": "text", "text": None}], {}):
        yield chat(messages=[{"role": "user", "content": content}])
    for url in ("", 5, None):
        yield chat(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}])
    for size in ("0x0", "-1x1", "1e3x1e3", "99999x99999", "１０２４x１０２４", "1024x1024\n", 5, None):
        yield image(size=size)
    for given in ([], [[]], [None], [1.5], [-(2**63), "a"], {"a": 1}, [["a"]], None, "", [True]):
        yield embedding(input=given)
    yield chat(metadata={"k": "v" * 100_000})
    yield chat(metadata={"": 5})
    yield chat(routing={"fallbacks": ["gpt-4"] * 1000})
    yield chat(model="gpt-4" * 100_000)


def refused(answer: httpx.Response) -> None:
    assert 400 <= answer.status_code < 500, (answer.status_code, answer.text[:300])
    error = answer.json()["error"]
    assert error["code"] == answer.status_code and len(error["message"]) < 2000


def test_there_are_enough_of_them() -> None:
    assert len(list(raw())) + len(list(shaped())) >= 200


def test_bodies_that_are_no_requests(account: Account) -> None:
    for path in ("/jobs", "/webhooks"):
        for body in raw():
            refused(account.live.post(path, content=body, headers={"content-type": "application/json"}))
    for body in raw():
        refused(account.live.put("/credits/thresholds", content=body, headers={"content-type": "application/json"}))


def test_requests_with_something_wrong_in_them(account: Account) -> None:
    for body in shaped():
        refused(account.live.post("/jobs", json=body))
        refused(account.test.post("/jobs", json=body))
    assert account.live.get("/jobs").json()["data"] == []


@pytest.mark.parametrize("text", ODD_TEXT, ids=range(len(ODD_TEXT)))
def test_odd_text_is_only_text(account: Account, text: str) -> None:
    job = account.test.post("/jobs", json=chat(text, metadata={"k": text[:500]}, user=text[:500])).json()
    done = account.finished(job["id"])
    assert done["status"] == "succeeded" and done["metadata"] == {"k": text[:500]}
    for body in ({"url": text}, {"url": "http://127.0.0.1:9/", "events": [text]}):
        refused(account.live.post("/webhooks", json=body))


@pytest.mark.parametrize(
    "thresholds",
    [None, {}, "x", [5], [{}], [{"kind": "all", "credits": 1}], [{"kind": "spent"}],
     [{"kind": "spent", "credits": -1}], [{"kind": "spent", "credits": "1"}], [{"kind": "spent", "credits": 2e9}],
     [{"kind": "spent", "credits": True}], [{"kind": "spent", "credits": 1}] * 21],
)  # fmt: skip
def test_bad_thresholds(account: Account, thresholds: Any) -> None:
    refused(account.live.put("/credits/thresholds", json={"thresholds": thresholds}))


@pytest.mark.parametrize(
    "url",
    ["ftp://127.0.0.1/", "http://", "http:///x", "//127.0.0.1", "http://10.0.0.1/", "http://169.254.169.254/",
     "http://[::ffff:10.0.0.1]/", "http://user:pass@10.1.1.1/", "http://127.0.0.1:99999/", "javascript:alert(1)",
     "http://a b/", "http://127.0.0.1\r\nX: y/", "http://" + "a" * 3000, "http://[::1", "file:///etc/passwd"],
)  # fmt: skip
def test_bad_webhook_addresses(account: Account, url: str) -> None:
    answer = account.live.post("/webhooks", json={"url": url})
    refused(answer)
    assert answer.json()["error"]["param"] == "url"


def test_a_thousand_mutations_of_good_bodies(account: Account) -> None:
    chance = random.Random(7)
    goods = [json.dumps(body).encode() for body in (chat(), embedding(), image(), {"jobs": [chat(), image()]})]
    for n in range(1000):
        body = bytearray(goods[n % len(goods)])
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(body))
            kind = chance.randrange(4)
            if kind == 0:
                body[at] = chance.randrange(256)
            elif kind == 1:
                del body[at : at + chance.randint(1, 9)]
            elif kind == 2:
                body[at:at] = chance.choice(SCALARS)
            else:
                body[at:at] = body[at : at + 20]
            body = body or bytearray(b"x")
        answer = account.test.post("/jobs", content=bytes(body), headers={"content-type": "application/json"})
        assert answer.status_code < 500, bytes(body)
        if answer.status_code != 202:
            refused(answer)


def test_a_body_of_millions_of_values_is_refused_at_once(account: Account) -> None:
    since = clock.monotonic()
    for body in (b'{"jobs":[' + b"[[]]," * 4_000_000 + b"0]}", b'{"jobs":[' + b"{}," * 5_000_000 + b"{}]}"):
        answer = account.live.post("/jobs", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 413 and answer.json()["error"]["type"] == "payload_too_large"
    assert clock.monotonic() - since < 5
