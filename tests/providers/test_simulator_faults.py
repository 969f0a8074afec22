"""Each fault that a script can order is seen by a client."""

import contextlib
import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from workers.simulator import broken_http, odd_replies, odd_streams
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
    # By another connection: the client's may have been hung up on.
    httpx.delete(f"{url}/_simulator/script").raise_for_status()


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


def sees_no_done(http: httpx.Client) -> None:
    found = [json.loads(one) for one in events(chat(http, stream=True))]
    assert found[-1]["choices"][0]["finish_reason"] == "stop"


def sees_a_head_and_a_late_body(http: httpx.Client) -> None:
    for stream in (False, True):
        with http.stream("POST", CHAT, json=body(stream=stream)) as answer:
            begun = time.monotonic()
            assert b"".join(answer.iter_raw()).endswith(b"[DONE]\n\n" if stream else b"}")
            assert time.monotonic() - begun >= 0.4


def sees_silence_in_the_midst(http: httpx.Client) -> None:
    for stream in (False, True):
        got = b""
        with (
            pytest.raises(httpx.ReadTimeout),
            http.stream("POST", CHAT, json=body(stream=stream), timeout=0.2) as answer,
        ):
            for part in answer.iter_raw():
                got += part
        assert got and not got.endswith((b"[DONE]\n\n", b"}"))


def sees_a_short_window(http: httpx.Client) -> None:
    assert chat(http).status_code == 200
    error = chat(http, "word " * 50).json()["error"]
    assert (error["code"], error["param"]) == ("context_length_exceeded", "messages")


def sees_an_odd_answer(http: httpx.Client) -> None:
    """What each is, and what comes of it: see tests/acceptance/test_provider_answers.py."""
    tools = [
        {"type": "function", "function": {"name": "find", "parameters": {"properties": {"x": {"type": "string"}}}}}
    ]
    asked = [{"text": "hi"}, {"text": "find it", "tools": tools}]
    given = [chat(http, stream=stream, **one).text for stream in (False, True) for one in asked]
    http.delete("/_simulator/script")
    plain = [chat(http, stream=stream, **one).text for stream in (False, True) for one in asked]
    assert any(_undated(one) != _undated(other) for one, other in zip(given, plain, strict=True))


def _undated(text: str) -> str:
    return re.sub(r'"created":\d+', "", text)


def sees_what_the_script_says(http: httpx.Client) -> None:
    answer = chat(http)
    assert (answer.status_code, answer.text, answer.headers["x-said"]) == (418, "<p>", "so")


def sees_an_error_after_the_end(http: httpx.Client) -> None:
    *_, error, done = events(chat(http, stream=True))
    assert "error" in json.loads(error) and done == "[DONE]" and chat(http).json()["choices"]


def sees_another_stream(http: httpx.Client) -> None:
    given = chat(http, stream=True).text
    assert chat(http).json()["choices"]
    http.delete("/_simulator/script")
    assert _undated(given) != _undated(chat(http, stream=True).text)


def sees_no_sound_http(http: httpx.Client) -> None:
    """What comes of each: see tests/providers/zoo.py."""
    with pytest.raises((httpx.TransportError, httpx.DecodingError, json.JSONDecodeError)):
        http.post(CHAT, json=body(), timeout=0.5).json()


def sees_a_head_without_an_end(http: httpx.Client) -> None:
    with socket.create_connection((http.base_url.host, http.base_url.port or 0), timeout=5) as raw:
        raw.sendall(f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{{}}".encode())
        got = b""
        while not got.endswith(b"xxx"):
            got += raw.recv(100)
        assert got.startswith(b"HTTP/1.1 401 ") and b"\r\n\r\n" not in got


def sees_an_answer_of_old(http: httpx.Client) -> None:
    answer = chat(http)
    assert answer.json()["choices"] and not answer.headers.keys() & {"content-length", "transfer-encoding"}


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
    "no_done": sees_no_done,
    "slow_start": sees_a_head_and_a_late_body,
    "stall": sees_silence_in_the_midst,
    "context_length": sees_a_short_window,
    "answer": sees_what_the_script_says,
    "error_at_end": sees_an_error_after_the_end,
    **dict.fromkeys(odd_streams.CHANGES, sees_another_stream),
    **dict.fromkeys(broken_http.DELIVERIES, sees_no_sound_http),
    "unframed": sees_an_answer_of_old,
    "slow_head": sees_a_head_without_an_end,
    **dict.fromkeys([*odd_replies.CHANGES, "odd_lines", "other_form"], sees_an_odd_answer),
}
#: What some kinds cannot be ordered without.
WITH: dict[str, dict[str, Any]] = {
    "slow_body": {"seconds": 0.2},
    "slow_start": {"seconds": 0.5},
    "context_length": {"window": 50},
    "answer": {"status": 418, "body": "<p>", "headers": {"x-said": "so", "content-type": "text/html"}},
}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_fault_is_seen(http: httpx.Client, kind: str) -> None:
    order(http, {"kind": kind} | WITH.get(kind, {}))
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


@pytest.mark.parametrize("kind", ["reset_mid_body", "truncated_stream", "stall", "error_mid_stream", "malformed_json"])
def test_it_goes_wrong_after_so_many_tokens(http: httpx.Client, kind: str) -> None:
    order(http, {"kind": kind, "tokens": 40, "answer_tokens": 60})
    texts, whole = 0, ""
    with (
        contextlib.suppress(httpx.TransportError),
        http.stream("POST", CHAT, json=body(stream=True), timeout=0.5) as answer,
    ):
        for part in answer.iter_text():
            whole += part
    for one in whole.split("\n\n"):
        with contextlib.suppress(json.JSONDecodeError):
            data = json.loads(one.removeprefix("data: "))
            texts += bool(data.get("choices") and data["choices"][0]["delta"].get("content"))
    assert texts == (59 if kind == "malformed_json" else 40)


def test_a_stall_ends_when_it_is_to(http: httpx.Client) -> None:
    order(http, {"kind": "stall", "seconds": 0.3, "tokens": 2})
    whole = chat(http, stream=True)
    assert whole.elapsed.total_seconds() >= 0.3 and len(events(whole)) > 5 and whole.text.endswith("[DONE]\n\n")


def test_an_answer_can_be_made_longer_and_shorter(http: httpx.Client) -> None:
    for length in (3, 200):
        order(http, {"answer_tokens": length})
        text = chat(http, max_tokens=4000).json()["choices"][0]["message"]["content"]
        streamed = [json.loads(one) for one in events(chat(http, stream=True, max_tokens=4000))[:-1]]
        said = [one["choices"][0]["delta"].get("content") for one in streamed]
        assert len(text.split()) == len([one for one in said if one]) == length and "".join(filter(None, said)) == text


def test_latency_may_be_any_of_a_range(http: httpx.Client) -> None:
    order(http, {"latency_seconds": 0.1, "latency_up_to": 0.2})
    took = [chat(http).elapsed.total_seconds() for _ in range(8)]
    assert min(took) >= 0.1 and max(took) < 0.5 and max(took) - min(took) > 0.005


@pytest.mark.parametrize(
    "wrong", [{"kind": "context_length"}, {"window": 5}, {"latency_seconds": 2, "latency_up_to": 1}, {"tokens": -1}]
)
def test_a_fault_that_makes_no_sense_is_refused(http: httpx.Client, wrong: dict[str, Any]) -> None:
    assert http.post("/_simulator/script", json={"rules": [{"fault": wrong}]}).status_code == 400


def test_a_prompt_that_is_too_long_is_refused_in_each_providers_words(http: httpx.Client) -> None:
    order(http, {"kind": "context_length", "window": 50})
    long = "word " * 50
    own = http.post("/anthropic/v1/messages", json=body(long)).json()["error"]
    assert own["type"] == "invalid_request_error" and own["message"].startswith("prompt is too long: ")
    like_openai = http.post("/anthropic/v1/chat/completions", json=body(long)).json()["error"]
    assert like_openai["code"] == "invalid_request_error" and like_openai["message"] == own["message"]
    gemini = {"contents": [{"parts": [{"text": long}]}]}
    google = http.post("/google/v1beta/models/g:generateContent", json=gemini).json()["error"]
    assert google["status"] == "INVALID_ARGUMENT" and "maximum number of tokens allowed (50)" in google["message"]
    (wrapped,) = http.post("/google/v1beta/openai/chat/completions", json=body(long)).json()
    assert wrapped["error"]["status"] == "INVALID_ARGUMENT"
    other = http.post("/deepinfra/v1/openai/chat/completions", json=body(long)).json()["error"]
    assert other["code"] is None and other["message"].startswith("This model's maximum context length is 50 tokens")
