"""Each fault that a script can order is seen by a client."""

import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from workers.simulator.faults import KINDS
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


def events(answer: httpx.Response) -> list[str]:
    return [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]


# Each row: a kind, and what a client sees of it.


def sees_error(http: httpx.Client) -> None:
    assert chat(http).json()["error"]["type"] == "server_error"


def sees_connection_lost(http: httpx.Client) -> None:
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        chat(http)
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        chat(http, stream=True)


def sees_half_a_body(http: httpx.Client) -> None:
    for stream in (False, True):
        got = b""
        with (
            pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)),
            http.stream("POST", CHAT, json=body(stream=stream)) as answer,
        ):
            assert answer.status_code == 200
            for part in answer.iter_raw():
                got += part
        assert got and b"[DONE]" not in got


def sees_truncated_stream(http: httpx.Client) -> None:
    found = events(chat(http, stream=True))
    assert found and "[DONE]" not in found and all(json.loads(one)["choices"] for one in found)
    assert chat(http).json()["choices"]


def sees_malformed_json(http: httpx.Client) -> None:
    with pytest.raises(json.JSONDecodeError):
        chat(http).json()
    found = events(chat(http, stream=True))
    assert found[-1] == "[DONE]"
    with pytest.raises(json.JSONDecodeError):
        [json.loads(one) for one in found[:-1]]


def sees_error_in_200(http: httpx.Client) -> None:
    answer = chat(http)
    assert answer.status_code == 200 and "error" in answer.json()
    assert "error" in json.loads(events(chat(http, stream=True))[0])


def sees_error_mid_stream(http: httpx.Client) -> None:
    found = [json.loads(one) for one in events(chat(http, stream=True))]
    assert "choices" in found[0] and "error" in found[-1]


def sees_no_usage(http: httpx.Client) -> None:
    assert "usage" not in chat(http).json()
    streamed = events(chat(http, stream=True, stream_options={"include_usage": True}))
    assert all(json.loads(one)["usage"] is None for one in streamed[:-1])
    assert "usage" not in http.post("/anthropic/v1/messages", json=body()).json()
    gemini = {"contents": [{"parts": [{"text": "x"}]}]}
    assert "usageMetadata" not in http.post("/google/v1beta/models/g:generateContent", json=gemini).json()


def sees_absurd_usage(http: httpx.Client) -> None:
    usage = chat(http).json()["usage"]
    assert usage["completion_tokens"] == 1_000_000_000
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def sees_no_choices(http: httpx.Client) -> None:
    assert chat(http).json()["choices"] == []
    assert http.post("/anthropic/v1/messages", json=body()).json()["content"] == []
    assert http.post("/openai/v1/embeddings", json={"model": "m", "input": "x"}).json()["data"] == []


def sees_nothing_until_it_leaves(http: httpx.Client) -> None:
    with pytest.raises(httpx.ReadTimeout):
        http.post(CHAT, json=body(), timeout=0.2)


def sees_a_dripping_body(http: httpx.Client) -> None:
    for stream in (False, True):
        answer = chat(http, stream=stream)
        assert 0.1 < answer.elapsed.total_seconds() < 2
        assert answer.text.endswith("[DONE]\n\n" if stream else "}")


def sees_too_few_bytes(http: httpx.Client) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        chat(http)


def sees_a_refusal(http: httpx.Client) -> None:
    message = chat(http).json()["choices"][0]["message"]
    assert message["refusal"] and message["content"] is None
    assert '"refusal":' in chat(http, stream=True).text
    assert http.post("/anthropic/v1/messages", json=body()).json()["stop_reason"] == "refusal"


def sees_a_gateway_page(http: httpx.Client) -> None:
    answer = chat(http)
    assert answer.status_code == 502 and answer.headers["content-type"].startswith("text/html")


def sees_a_content_filter(http: httpx.Client) -> None:
    assert chat(http).json()["choices"][0]["finish_reason"] == "content_filter"
    image = http.post("/openai/v1/images/generations", json={"model": "gpt-image-1", "prompt": "x"})
    assert (image.status_code, image.json()["error"]["code"]) == (400, "moderation_blocked")
    gemini = http.post("/google/v1beta/models/g:generateContent", json={"contents": [{"parts": [{"text": "x"}]}]})
    assert gemini.json()["promptFeedback"]["blockReason"] == "SAFETY"


def sees_nothing_odd(http: httpx.Client) -> None:
    assert chat(http).status_code == 200


SEEN: dict[str, Callable[[httpx.Client], None]] = {
    "none": sees_nothing_odd,
    "error": sees_error,
    "reset": sees_connection_lost,
    "reset_mid_body": sees_half_a_body,
    "truncated_stream": sees_truncated_stream,
    "malformed_json": sees_malformed_json,
    "error_in_200": sees_error_in_200,
    "error_mid_stream": sees_error_mid_stream,
    "missing_usage": sees_no_usage,
    "excess_usage": sees_absurd_usage,
    "empty_choices": sees_no_choices,
    "hang": sees_nothing_until_it_leaves,
    "slow_body": sees_a_dripping_body,
    "wrong_content_length": sees_too_few_bytes,
    "refusal": sees_a_refusal,
    "html": sees_a_gateway_page,
    "content_filter": sees_a_content_filter,
}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_fault_is_seen(http: httpx.Client, kind: str) -> None:
    order(http, {"kind": kind} | ({"seconds": 0.2} if kind == "slow_body" else {}))
    SEEN[kind](http)


def test_a_reset_is_a_tcp_reset_before_any_byte(http: httpx.Client, url: str) -> None:
    order(http, {"kind": "reset"})
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=5) as raw:
        raw.sendall(b"POST /openai/v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}")
        with pytest.raises(ConnectionResetError):
            raw.recv(100)


def test_latency_is_added_and_combines_with_a_status(http: httpx.Client) -> None:
    order(http, {"latency_seconds": 0.15, "status": 429, "retry_after": 1.5})
    answer = chat(http)
    assert answer.elapsed.total_seconds() >= 0.15
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1.5")


def test_an_error_in_200_can_say_its_code(http: httpx.Client) -> None:
    order(http, {"kind": "error_in_200", "status": 529, "code": "overloaded_error", "message": "busy"})
    answer = http.post("/anthropic/v1/messages", json=body())
    assert answer.status_code == 200
    assert answer.json()["error"] == {"type": "overloaded_error", "message": "busy"}
