"""The simulator's rate limits: what is admitted, how refusals say when to come again, what is counted."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import anthropic
import httpx
import openai
import pytest
from google import genai
from google.genai import errors, types

from tests.conditions import await_condition
from workers.simulator.error_messages import spelled
from workers.simulator.rate_limits import Bucket
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


def limit(http: httpx.Client, *rules: dict[str, Any], **row: Any) -> None:
    http.post("/_simulator/script", json={"limits": [row], "rules": rules}).raise_for_status()


def body(text: str = "hi", **more: Any) -> dict[str, Any]:
    return {"model": "m", "max_tokens": 99, "messages": [{"role": "user", "content": text}], **more}


def statuses(http: httpx.Client, count: int, path: str = CHAT, **more: Any) -> list[int]:
    return [http.post(path, json=body(**more)).status_code for _ in range(count)]


# The bucket


def test_a_bucket_fills_at_its_rate_up_to_its_size() -> None:
    bucket = Bucket(per_minute=60, size=3, level=3, at=100)
    bucket.level -= 3
    assert bucket.wait(1) == 1.0 and bucket.remaining == 0 and bucket.reset_seconds == 3.0
    bucket.fill(101.5)
    assert bucket.wait(1) == 0 and bucket.wait(2) == 0.5
    bucket.fill(1000)
    assert bucket.level == 3


def test_what_costs_more_than_a_full_bucket_is_admitted_and_leaves_a_debt() -> None:
    bucket = Bucket(per_minute=60, size=3, level=3, at=0)
    assert bucket.wait(10) == 0
    bucket.level -= 10
    assert bucket.wait(1) == 8.0 and bucket.remaining == 0


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.12, "120ms"), (1.5, "1.5s"), (59, "59s"), (360, "6m0s"), (61.25, "1m1.25s")]
)
def test_times_are_written_as_openai_writes_them(seconds: float, text: str) -> None:
    assert spelled(seconds) == text


# Over HTTP


def test_more_than_the_burst_is_refused_until_the_bucket_fills(http: httpx.Client) -> None:
    limit(http, requests_per_minute=60, request_burst=3)
    began = time.monotonic()
    assert statuses(http, 5) == [200, 200, 200, 429, 429]
    await_condition(lambda: statuses(http, 1) == [200], seconds=5, what="the next call that is admitted")
    assert time.monotonic() - began >= 0.9 and statuses(http, 2) == [429, 429]


def test_limits_hold_for_each_provider_and_model_alone(http: httpx.Client) -> None:
    limit(http, requests_per_minute=1, request_burst=1)
    assert statuses(http, 2) == [200, 429] and statuses(http, 2, "/anthropic/v1/messages") == [200, 429]
    limit(http, provider="openai", requests_per_minute=1, request_burst=1)
    assert statuses(http, 2) == [200, 429] and statuses(http, 2, "/anthropic/v1/messages") == [200, 200]
    assert statuses(http, 1, model="other") == [429]
    limit(http, each_model=True, requests_per_minute=1, request_burst=1)
    assert statuses(http, 2) == [200, 429] and statuses(http, 2, model="other") == [200, 429]
    limit(http, model="other", requests_per_minute=1, request_burst=1)
    assert statuses(http, 2) == [200, 200] and statuses(http, 2, model="other") == [200, 429]


def test_the_strictest_of_several_limits_decides_and_a_refused_call_uses_none_up(http: httpx.Client) -> None:
    rows = [
        {"requests_per_minute": 1, "request_burst": 3},
        {"model": "m", "requests_per_minute": 1, "request_burst": 1},
    ]
    http.post("/_simulator/script", json={"limits": rows})
    assert statuses(http, 2) == [200, 429] and statuses(http, 3, model="other") == [200, 200, 429]


def test_tokens_are_the_prompt_and_the_longest_answer_allowed(http: httpx.Client) -> None:
    limit(http, tokens_per_minute=60, token_burst=1000)
    assert statuses(http, 3, max_tokens=450) == [200, 200, 429]
    refused = http.post(CHAT, json=body(max_tokens=450))
    assert refused.json()["error"]["type"] == "tokens"
    limit(http, tokens_per_minute=60, token_burst=100)
    assert statuses(http, 2, max_tokens=450) == [200, 429], "one that is larger than the bucket is admitted alone"


def test_calls_at_one_time_are_limited(http: httpx.Client) -> None:
    limit(http, {"fault": {"latency_seconds": 0.3}}, concurrent=3)
    with ThreadPoolExecutor(5) as pool:
        found = list(pool.map(lambda _: statuses(http, 1)[0], range(5)))
    assert sorted(found) == [200, 200, 200, 429, 429]
    assert statuses(http, 2) == [200, 200], "what has ended has left its place"


def test_a_call_whose_client_left_leaves_its_place(http: httpx.Client) -> None:
    limit(http, {"fault": {"kind": "slow_start", "seconds": 60}, "times": 1}, concurrent=1)
    with pytest.raises(httpx.ReadTimeout):
        http.post(CHAT, json=body(), timeout=0.2)
    deadline = time.monotonic() + 5
    while statuses(http, 1) == [429]:
        assert time.monotonic() < deadline
        threading.Event().wait(0.05)


def test_retry_after_in_each_form(http: httpx.Client) -> None:
    for form in ("seconds", "milliseconds", "date", "none"):
        limit(http, requests_per_minute=40, request_burst=1, retry_after=form)
        assert statuses(http, 1) == [200]
        headers = http.post(CHAT, json=body()).headers
        if form == "none":
            assert "retry-after" not in headers and "retry-after-ms" not in headers
        elif form == "date":
            assert 0 < parsedate_to_datetime(headers["retry-after"]).timestamp() - time.time() <= 3
        else:
            assert headers["retry-after"] == "2"
            assert (1000 < int(headers["retry-after-ms"]) <= 1500) if form == "milliseconds" else True


def test_an_outage_comes_before_the_limits_and_a_slow_answer_behind(http: httpx.Client) -> None:
    limit(http, {"fault": {"status": 401}, "times": 3}, requests_per_minute=1, request_burst=1)
    assert statuses(http, 5) == [401, 401, 401, 200, 429]


# As the official clients see it


def test_openai_is_told_by_headers(http: httpx.Client, url: str) -> None:
    limit(http, requests_per_minute=600, request_burst=20, tokens_per_minute=6000, token_burst=2000)
    client = openai.OpenAI(base_url=f"{url}/openai/v1", api_key="k", max_retries=0)
    raw = client.chat.completions.with_raw_response.create(
        model="gpt-4", messages=[{"role": "user", "content": "hi"}], max_tokens=100
    )
    headers = {name: value for name, value in raw.headers.items() if name.startswith("x-ratelimit")}
    assert headers["x-ratelimit-limit-requests"] == "600" and headers["x-ratelimit-limit-tokens"] == "6000"
    assert headers["x-ratelimit-remaining-requests"] == "19"
    assert 1850 < int(headers["x-ratelimit-remaining-tokens"]) < 1900
    assert headers["x-ratelimit-reset-requests"] == "100ms" and headers["x-ratelimit-reset-tokens"].endswith("s")
    limit(http, requests_per_minute=30, request_burst=1)
    statuses(http, 1)
    with pytest.raises(openai.RateLimitError) as refused:
        client.chat.completions.create(model="gpt-4", messages=[{"role": "user", "content": "hi"}])
    assert (refused.value.code, refused.value.type) == ("rate_limit_exceeded", "requests")
    assert refused.value.response.headers["retry-after"] == "2"
    assert refused.value.response.headers["x-ratelimit-remaining-requests"] == "0"


def test_openais_client_gets_through_by_waiting_as_it_is_told(http: httpx.Client, url: str) -> None:
    limit(http, requests_per_minute=60, request_burst=1, retry_after="milliseconds")
    client = openai.OpenAI(base_url=f"{url}/openai/v1", api_key="k", max_retries=2)
    for _ in range(2):
        client.chat.completions.create(model="gpt-4", messages=[{"role": "user", "content": "hi"}])


def test_anthropic_is_told_by_headers(http: httpx.Client, url: str) -> None:
    limit(http, requests_per_minute=60, request_burst=2, tokens_per_minute=6000)
    client = anthropic.Anthropic(base_url=f"{url}/anthropic", api_key="k", max_retries=0)
    asked: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    headers = client.messages.with_raw_response.create(**asked).headers
    assert headers["anthropic-ratelimit-requests-limit"] == "60"
    assert headers["anthropic-ratelimit-requests-remaining"] == "1"
    reset = datetime.fromisoformat(headers["anthropic-ratelimit-requests-reset"])
    assert abs(reset.timestamp() - time.time()) < 5
    assert headers["anthropic-ratelimit-tokens-limit"] == "6000"
    client.messages.create(**asked)
    with pytest.raises(anthropic.RateLimitError) as refused:
        client.messages.create(**asked)
    assert refused.value.response.headers["retry-after"] == "1"
    assert refused.value.response.json()["error"]["type"] == "rate_limit_error"


def test_google_is_told_in_the_body_alone(http: httpx.Client, url: str) -> None:
    limit(http, requests_per_minute=30, request_burst=1)
    client = genai.Client(api_key="k", http_options=types.HttpOptions(base_url=f"{url}/google"))
    client.models.generate_content(model="gemini-2.5-pro", contents="hi")
    with pytest.raises(errors.ClientError) as refused:
        client.models.generate_content(model="gemini-2.5-pro", contents="hi")
    assert (refused.value.code, refused.value.status) == (429, "RESOURCE_EXHAUSTED")
    raw = http.post("/google/v1beta/openai/chat/completions", json=body())
    quota, detail = raw.json()[0]["error"]["details"]
    assert quota["@type"].endswith("QuotaFailure") and "PerMinute" in quota["violations"][0]["quotaId"]
    assert detail["@type"].endswith("RetryInfo") and 1 < float(detail["retryDelay"].removesuffix("s")) <= 2
    assert not [name for name in raw.headers if "retry" in name or "ratelimit" in name]


# What is counted


def test_calls_are_counted_by_outcome_and_second_and_logged_in_order(http: httpx.Client) -> None:
    limit(http, {"fault": {"status": 503}, "contains": "down"}, requests_per_minute=60, request_burst=2)
    statuses(http, 3)
    statuses(http, 1, text="down")
    statuses(http, 1, "/anthropic/v1/messages")
    found = http.get("/_simulator/seconds", params={"provider": "openai"}).json()
    assert [found[name] for name in ("total", "admitted", "refused", "faulty")] == [4, 2, 1, 1]
    assert sum(row["admitted"] for row in found["seconds"]) == 2 and found["seconds"][0]["second"] == 0
    assert http.get("/_simulator/seconds").json()["total"] == 5
    assert http.get("/_simulator/seconds", params={"model": "none"}).json() == found | {
        "total": 0,
        "admitted": 0,
        "refused": 0,
        "faulty": 0,
        "seconds": [],
    }
    log = http.get("/_simulator/log").json()["calls"]
    assert [row["fault"] for row in log] == ["", "", "limit", "503", ""]
    assert [row["provider"] for row in log] == ["openai"] * 4 + ["anthropic"]
    assert log == sorted(log, key=lambda row: row["at"]) and {row["model"] for row in log} == {"m"}


def test_a_new_script_begins_with_full_buckets_and_no_counts(http: httpx.Client) -> None:
    for _ in range(2):
        limit(http, requests_per_minute=1, request_burst=1)
        assert http.get("/_simulator/seconds").json()["total"] == 0
        assert statuses(http, 2) == [200, 429]
    http.delete("/_simulator/script")
    assert statuses(http, 3) == [200, 200, 200]


@pytest.mark.parametrize("row", [{"requests_per_minute": 0}, {"concurrent": 0}, {"retry_after": "soon"}, {"rpm": 5}])
def test_limits_that_make_no_sense_are_refused(http: httpx.Client, row: dict[str, Any]) -> None:
    answer = http.post("/_simulator/script", json={"limits": [row]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_script")
