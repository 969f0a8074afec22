"""Hostile bodies by hand: every route refuses every one of them in the documented shape, none is a 5xx."""

import json
from typing import Any

import httpx
import pytest

from shared import clock
from tests.acceptance.hostile_bodies import ROUTES, raw
from tests.acceptance.stack import Account, chat

JSON = {"content-type": "application/json"}
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


def refused(answer: httpx.Response) -> None:
    assert 400 <= answer.status_code < 500, (answer.status_code, answer.text[:300])
    error = answer.json()["error"]
    assert error["code"] == answer.status_code and len(error["message"]) < 2000


def test_there_are_enough_of_them() -> None:
    by_hand = {
        body for *_, good, wrong in ROUTES for body in [*raw(good), *(json.dumps(one).encode() for one in wrong)]
    }
    assert len(by_hand) >= 300


@pytest.mark.parametrize(("method", "path", "good", "wrong"), ROUTES, ids=[row[1] for row in ROUTES])
def test_every_route_refuses_them(account: Account, method: str, path: str, good: Any, wrong: list[Any]) -> None:
    for body in [*raw(good), *(json.dumps(one).encode() for one in wrong)]:
        refused(account.live.request(method, path, content=body, headers=JSON))
    assert account.live.get("/jobs").json()["data"] == [] and account.live.get("/batches").json()["data"] == []
    assert account.live.get("/credits").json()["held"] == 0


@pytest.mark.parametrize(
    ("kind", "status"),
    [("text/plain", 415), ("application/x-www-form-urlencoded", 415), ("multipart/form-data; boundary=x", 415),
     ("", 415), ("application/json; charset=utf-16", 400), ("json", 415), ("application/vnd.api+json", 400)],
)  # fmt: skip
def test_other_media_types(account: Account, kind: str, status: int) -> None:
    for method, path, *_ in ROUTES:
        answer = account.live.request(method, path, content=b"{", headers={"content-type": kind})
        assert answer.status_code == status, (path, answer.text)
        refused(answer)


@pytest.mark.parametrize("text", ODD_TEXT, ids=range(len(ODD_TEXT)))
def test_odd_text_is_only_text(account: Account, text: str) -> None:
    job = account.test.post("/jobs", json=chat(text, metadata={"k": text[:500]}, user=text[:500])).json()
    done = account.finished(job["id"], test=True)
    assert done["status"] == "succeeded" and done["metadata"] == {"k": text[:500]}
    for body in ({"url": text}, {"url": "http://127.0.0.1:9/", "events": [text]}):
        refused(account.live.post("/webhooks", json=body))


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


def test_a_body_of_millions_of_values_is_refused_at_once(account: Account) -> None:
    since = clock.monotonic()
    for body in (b'{"jobs":[' + b"[[]]," * 4_000_000 + b"0]}", b'{"jobs":[' + b"{}," * 5_000_000 + b"{}]}"):
        answer = account.live.post("/jobs", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 413 and answer.json()["error"]["type"] == "payload_too_large"
    assert clock.monotonic() - since < 5
