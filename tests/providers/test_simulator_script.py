"""A script's rules fire as often as they say, and what arrived can be counted."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from workers.simulator.script import spellings
from workers.simulator.server import simulator

CHAT = "/openai/v1/chat/completions"
KEY = {"authorization": "Bearer k", "x-api-key": "k", "anthropic-version": "2023-06-01", "x-goog-api-key": "k"}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with simulator() as base:
        yield base


@pytest.fixture
def http(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, headers=KEY, timeout=5) as client:
        yield client
        client.delete("/_simulator/script")


def order(http: httpx.Client, fault: dict[str, Any], **rule: Any) -> None:
    http.post("/_simulator/script", json={"rules": [{"fault": fault, **rule}]}).raise_for_status()


def body(text: str = "hi", **more: Any) -> dict[str, Any]:
    return {"model": "m", "max_tokens": 99, "messages": [{"role": "user", "content": text}], **more}


def chat(http: httpx.Client, text: str = "hi", **more: Any) -> httpx.Response:
    return http.post(CHAT, json=body(text, **more))


def statuses(http: httpx.Client, *texts: str) -> list[int]:
    return [chat(http, text).status_code for text in texts]


def test_times_counts_globally(http: httpx.Client) -> None:
    order(http, {"status": 500}, times=2)
    assert statuses(http, "a", "b", "a", "b") == [500, 500, 200, 200]


def test_each_counts_by_body(http: httpx.Client) -> None:
    order(http, {"status": 500}, times=1, each=True)
    assert statuses(http, "a", "b", "a", "b") == [500, 500, 200, 200]
    order(http, {"status": 500}, times=2, each=True)
    assert statuses(http, "a", "a", "a", "b") == [500, 500, 200, 500]


def test_contains_provider_and_path_are_conditions(http: httpx.Client) -> None:
    order(http, {"status": 500}, contains="münze ☃ 😀")
    assert statuses(http, "a münze ☃ 😀 b", "munze") == [500, 200]
    order(http, {"status": 500}, provider="anthropic")
    assert statuses(http, "a") == [200]
    assert http.post("/anthropic/v1/chat/completions", json=body()).status_code == 500
    order(http, {"status": 500}, path="embeddings")
    assert statuses(http, "a") == [200]
    assert http.post("/openai/v1/embeddings", json={"model": "m", "input": "x"}).status_code == 500


def test_the_first_rule_that_fires_wins(http: httpx.Client) -> None:
    rules = [{"times": 1, "fault": {"status": 500}}, {"fault": {"status": 503}}]
    http.post("/_simulator/script", json={"rules": rules})
    assert statuses(http, "a", "a", "a") == [500, 503, 503]
    assert http.delete("/_simulator/script").json()["rules"] == 0
    assert statuses(http, "a") == [200]


@pytest.mark.parametrize(
    "bad", [{"fault": {"kind": "explode"}}, {"fault": {}, "time": 3}, {"fault": {"status": 12}}, {"times": 1}]
)
def test_a_script_that_says_nothing_known_is_refused(http: httpx.Client, bad: dict[str, Any]) -> None:
    answer = http.post("/_simulator/script", json={"rules": [bad]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_script")


def test_calls_are_counted_and_bodies_found_when_recorded(http: httpx.Client) -> None:
    rules = [{"times": 1, "fault": {"status": 500}}]
    http.post("/_simulator/script", json={"rules": rules, "record": True})
    statuses(http, "one", "one", "two")
    report = http.get("/_simulator/calls").json()
    assert (report["total"], report["faults"]) == (3, 1)
    assert report["calls"] == [{"provider": "openai", "path": CHAT, "total": 3, "faults": 1}]
    found = http.get("/_simulator/calls", params={"contains": "one"}).json()
    assert (found["count"], found["distinct"], found["faults"], found["dropped"]) == (2, 1, 1, 0)
    prints = http.get("/_simulator/calls", params={"fingerprints": "true"}).json()["fingerprints"]
    assert sorted(prints.values(), key=lambda row: row["total"]) == [
        {"total": 1, "faults": 0},
        {"total": 2, "faults": 1},
    ]


def test_spellings_are_those_of_json() -> None:
    assert json.dumps('ü😀"').encode()[1:-1] in spellings('ü😀"')
