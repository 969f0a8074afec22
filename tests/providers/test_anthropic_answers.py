"""Whole answers of the Messages API through the adapter over a real socket, and what is no answer."""

import asyncio
from typing import Any

import orjson
import pytest

from shared.errors import ProviderError
from tests.providers.claude import answer, call, user
from tests.providers.heard import Heard
from tests.providers.scripted import serving
from tests.providers.test_anthropic_stream import HELLO, USAGE, events
from tests.providers.test_call_limits import HEAD, STREAM
from workers.providers import ProviderAnswer
from workers.upstream.faults import classify

TEXT = {"type": "text", "text": "Hello!"}
MESSAGE: dict[str, Any] = {
    "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
    "type": "message",
    "role": "assistant",
    "model": "claude-opus-5",
    "content": [TEXT],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {**USAGE, "output_tokens": 6},
}


def whole(body: Any) -> bytes:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    return HEAD % (b"", len(content)) + content


def answered(content: bytes, sink: Heard | None = None, **given: Any) -> ProviderAnswer:
    async def main() -> ProviderAnswer:
        async with serving([content]) as upstream:
            asked = call({"messages": [user("Hello, Claude")], **given}, sink=sink)
            return await asyncio.to_thread(answer, upstream.url, asked)

    return asyncio.run(main())


def message(**given: Any) -> dict[str, Any]:
    found: dict[str, Any] = answered(whole({**MESSAGE, **given})).body["choices"][0]["message"]
    return found


def failed(content: bytes) -> ProviderError:
    with pytest.raises(ProviderError) as error:
        answered(content)
    return error.value


def test_a_text() -> None:
    found = answered(whole(MESSAGE))
    assert found.body["object"] == "chat.completion" and found.body["model"] == "claude-3-opus"
    said = {"role": "assistant", "content": "Hello!", "refusal": None}
    assert found.body["choices"] == [{"index": 0, "message": said, "logprobs": None, "finish_reason": "stop"}]
    assert (found.usage.prompt_tokens, found.usage.completion_tokens, found.usage.cached_tokens) == (25, 6, 0)


def test_texts_thoughts_and_calls_side_by_side() -> None:
    content = [
        {"type": "thinking", "thinking": "Two ", "signature": "EqQB"},
        {"type": "redacted_thinking", "data": "EmwK"},
        {"type": "thinking", "thinking": "calls.", "signature": "EqQC"},
        {"type": "text", "text": "I ", "citations": None},
        {"type": "text", "text": "look."},
        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": [1]}},
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}},
        {"type": "tool_use", "id": "toolu_2", "name": "g", "input": {}},
    ]
    said = message(content=content, stop_reason="tool_use")
    assert (said["reasoning_content"], said["content"]) == ("Two calls.", "I look.")
    assert said["thinking_blocks"] == content[:3]
    assert [(one["id"], one["function"]["name"], one["function"]["arguments"]) for one in said["tool_calls"]] == [
        ("toolu_1", "f", '{"a":[1]}'),
        ("toolu_2", "g", "{}"),
    ]


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("pause_turn", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
    ],
)
def test_why_it_ended(reason: str, finish: str) -> None:
    choice = answered(whole({**MESSAGE, "stop_reason": reason})).body["choices"][0]
    assert choice["finish_reason"] == finish
    assert choice.get("native_finish_reason") == (reason if reason.startswith("model_") else None)


def test_why_it_was_declined() -> None:
    details = {"type": "refusal", "category": None, "explanation": "It may not."}
    said = message(content=[], stop_reason="refusal", stop_details=details)
    assert (said["content"], said["refusal"]) == (None, "It may not.")


def test_a_turn_without_a_word_is_an_empty_text() -> None:
    assert message(content=[])["content"] == ""


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"content": None}, "content is missing"),
        ({"content": "Hello"}, "content is not an array"),
        ({"content": ["Hello"]}, r"content\[0\] is not an object"),
        ({"content": [{"type": "text", "text": 7}]}, r"content\[\]\.text is not a string"),
        ({"content": [{"type": "tool_use", "id": "toolu_1", "input": {}}]}, "tool_calls"),
        ({"stop_reason": None}, "stop_reason is missing"),
        ({"stop_reason": 7}, "finish_reason is not a string"),
    ],
)
def test_a_wrong_shape_is_named(given: dict[str, Any], named: str) -> None:
    error = failed(whole({**MESSAGE, **given}))
    assert classify(error) == "shape"
    with pytest.raises(ProviderError, match=named):
        raise error


@pytest.mark.parametrize("content", [b"<html>", b"[]", b'"Hello"'])
def test_what_is_no_message_at_all(content: bytes) -> None:
    assert classify(failed(whole(content))) in ("broken", "shape")


def test_an_error_in_a_200() -> None:
    body = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    assert classify(failed(whole(body))) == "overload"


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, {"type": "invalid_request_error", "message": "Your credit balance is too low"}, "quota"),
        (413, {"type": "request_too_large", "message": "Request exceeds the maximum size"}, "too_long"),
        (529, {"type": "overloaded_error", "message": "Overloaded"}, "overload"),
    ],
)
def test_an_error_status(status: int, error: dict[str, Any], kind: str) -> None:
    body = orjson.dumps({"type": "error", "error": error, "request_id": "req_1"})
    reset = b"anthropic-ratelimit-requests-limit: 50\r\nanthropic-ratelimit-requests-remaining: 0\r\n"
    head = b"HTTP/1.1 %d No\r\nretry-after: 3\r\n%scontent-length: %d\r\n\r\n" % (status, reset, len(body))
    found = failed(head + body)
    assert (classify(found), found.upstream_status, found.wait_seconds) == (kind, status, 3)
    assert found.limits is not None and found.limits.requests is not None and found.limits.requests.limit == 50


def test_a_stream_where_a_whole_answer_was_asked_for_and_the_other_way_round() -> None:
    assert answered(STREAM % b"" + events(*HELLO)).body["choices"][0]["message"]["content"] == "Hello!"
    sink = Heard()
    assert answered(whole(MESSAGE), sink).body["choices"][0]["message"]["content"] == "Hello!"
    assert not sink.began, "what has come whole is streamed at its end"


def test_it_serves_chat_completions_alone() -> None:
    one = call({"messages": [user("hi")]})
    object.__setattr__(one, "type", "embedding")
    with pytest.raises(ProviderError) as error:
        answer("http://127.0.0.1:9/v1", one)
    assert classify(error.value) == "missing"
