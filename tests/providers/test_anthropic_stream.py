"""Streams of the Messages API as its page of documentation shows them, through the adapter over a real socket.

Source of the events' shapes: platform.claude.com/docs/en/build-with-claude/streaming (basic, tool use, thinking, error
events, other events) and …/build-with-claude/prompt-caching.
"""

import asyncio
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ProviderError
from tests.providers.claude import answer, call, user
from tests.providers.heard import Heard
from tests.providers.scripted import Step, serving
from tests.providers.test_call_limits import STREAM
from workers.providers import ProviderAnswer
from workers.providers.anthropic.stream import StreamedMessage
from workers.upstream.event_stream import ServerSentEvent
from workers.upstream.faults import classify

#: What stands in events, and which there are.
NAMES = "type index delta content_block message usage text thinking signature data name id input partial_json".split()
NAMES += ["stop_reason", "stop_details", "explanation", "error", "output_tokens", "cache_creation", "service_tier"]
TYPES = "message_start content_block_start content_block_delta content_block_stop message_delta message_stop".split()
TYPES += ["error", "ping", "text_delta"]

TOOL = {"type": "function", "function": {"name": "get_weather"}}
USAGE = {"input_tokens": 25, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 1}


def events(*told: dict[str, Any]) -> bytes:
    """Events as they stand on the wire, each with its name."""
    return b"".join(b"event: %s\ndata: %s\n\n" % (one["type"].encode(), orjson.dumps(one)) for one in told)


def start(**usage: Any) -> dict[str, Any]:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "model": "claude-opus-5"}
    return {"type": "message_start", "message": {**message, "stop_reason": None, "usage": {**USAGE, **usage}}}


def block(index: int, content: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    """A block from its start to its stop."""
    return [
        {"type": "content_block_start", "index": index, "content_block": content},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def text(index: int, *pieces: str) -> list[dict[str, Any]]:
    return block(index, {"type": "text", "text": ""}, *({"type": "text_delta", "text": piece} for piece in pieces))


def end(reason: str, output: int = 15, **more: Any) -> list[dict[str, Any]]:
    delta = {"stop_reason": reason, "stop_sequence": None, **more}
    usage = {"output_tokens": output}
    return [{"type": "message_delta", "delta": delta, "usage": usage}, {"type": "message_stop"}]


PING = {"type": "ping"}
HELLO = [start(), *text(0, "Hello", "!"), PING, *end("end_turn")]
TOOL_USE = block(
    1,
    {"type": "tool_use", "id": "toolu_01T1x", "name": "get_weather", "input": {}},
    {"type": "input_json_delta", "partial_json": ""},
    {"type": "input_json_delta", "partial_json": '{"location":'},
    {"type": "input_json_delta", "partial_json": ' "San Francisco"}'},
)
THINKING = block(
    0,
    {"type": "thinking", "thinking": "", "signature": ""},
    {"type": "thinking_delta", "thinking": "27 has the divisors"},
    {"type": "thinking_delta", "thinking": " 3 and 9."},
    {"type": "signature_delta", "signature": "EqQBCgIYAhIM1gbcDa9GJwZA2b3h"},
)


def streamed(*steps: Step, tools: bool = False) -> tuple[ProviderAnswer, Heard]:
    """The answer to a stream, and what was passed on of it."""
    body = {"messages": [user("Weather?")], **({"tools": [TOOL]} if tools else {})}
    sink = Heard()

    async def main() -> ProviderAnswer:
        async with serving([STREAM % b"", *steps]) as upstream:
            return await asyncio.to_thread(answer, upstream.url, call(body, sink=sink))

    return asyncio.run(main()), sink


def broken(*steps: Step) -> ProviderError:
    with pytest.raises(ProviderError) as error:
        streamed(*steps)
    return error.value


def test_a_text() -> None:
    found, sink = streamed(events(*HELLO))
    assert found.body["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello!", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    assert sink.parts[0]["delta"] == {"role": "assistant", "content": ""}
    assert sink.all_of("content") == ["Hello", "!"]
    assert sink.parts[-1]["finish_reason"] == "stop"
    assert (found.usage.prompt_tokens, found.usage.completion_tokens) == (25, 15)


def test_a_call_of_a_tool_after_a_text() -> None:
    found, sink = streamed(events(start(), *text(0, "Okay."), *TOOL_USE, *end("tool_use", 89)), tools=True)
    message = found.body["choices"][0]["message"]
    assert message["content"] == "Okay." and found.body["choices"][0]["finish_reason"] == "tool_calls"
    function = {"name": "get_weather", "arguments": '{"location": "San Francisco"}'}
    assert message["tool_calls"] == [{"id": "toolu_01T1x", "type": "function", "function": function}]
    assert sink.sent.choices()[0]["message"]["tool_calls"] == message["tool_calls"]
    assert sink.all_of("tool_calls")[0][0]["index"] == 0, "the block's index is none of a call"


def test_a_call_without_arguments_has_an_empty_object() -> None:
    bare = block(0, {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {}})
    found, sink = streamed(events(start(), *bare, *end("tool_use")), tools=True)
    assert found.body["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] == "{}"
    assert sink.sent.choices()[0]["message"]["tool_calls"][0]["function"]["arguments"] == "{}"


def test_a_thought_with_its_signature() -> None:
    secret = block(1, {"type": "redacted_thinking", "data": "EmwKAhgB"})
    found, sink = streamed(events(start(), *THINKING, *secret, *text(2, "Yes."), *end("end_turn")))
    message = found.body["choices"][0]["message"]
    thought = "27 has the divisors 3 and 9."
    assert message["reasoning_content"] == thought == "".join(sink.all_of("reasoning_content"))
    assert message["content"] == "Yes."
    assert message["thinking_blocks"] == [
        {"type": "thinking", "thinking": thought, "signature": "EqQBCgIYAhIM1gbcDa9GJwZA2b3h"},
        {"type": "redacted_thinking", "data": "EmwKAhgB"},
    ]
    assert sink.parts[-1]["delta"] == {"thinking_blocks": message["thinking_blocks"]}, "whole, with the end"
    assert sink.parts[-1]["finish_reason"] == "stop"


def test_a_thought_that_was_cut_off_has_no_signature_to_give_back() -> None:
    found, _ = streamed(events(start(), *THINKING[:3], *end("max_tokens")))
    assert found.body["choices"][0]["finish_reason"] == "length"
    assert "thinking_blocks" not in found.body["choices"][0]["message"]


def test_usage_is_cumulative_and_the_cache_is_part_of_the_prompt() -> None:
    creation = {"ephemeral_5m_input_tokens": 148, "ephemeral_1h_input_tokens": 100}
    first = start(
        input_tokens=2048, cache_read_input_tokens=1800, cache_creation_input_tokens=248, cache_creation=creation,
        service_tier="priority",
    )  # fmt: skip
    closing = end("end_turn")
    closing[0]["usage"] = {"output_tokens": 503, "output_tokens_details": {"thinking_tokens": 400}}
    used = streamed(events(first, *text(0, "Hi"), *closing))[0].usage
    assert (used.prompt_tokens, used.completion_tokens, used.cached_tokens) == (4096, 503, 1800)
    assert (used.cache_creation_tokens, used.cache_creation_1h_tokens) == (248, 100)
    assert (used.reasoning_tokens, used.service_tier, used.estimated) == (400, "priority", False)


def test_usage_that_is_not_told_is_counted_here() -> None:
    silent = start()
    del silent["message"]["usage"]
    closing = end("end_turn")
    del closing[0]["usage"]
    used = streamed(events(silent, *text(0, "Hello there"), *closing))[0].usage
    assert used.estimated and used.prompt_tokens and used.completion_tokens


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("pause_turn", "length"),
        ("refusal", "content_filter"),
        ("a reason of tomorrow", "stop"),
    ],
)
def test_why_it_ended(reason: str, finish: str) -> None:
    found, sink = streamed(events(start(), *text(0, "Hello"), *end(reason)))
    choice, last = found.body["choices"][0], sink.parts[-1]
    assert choice["finish_reason"] == last["finish_reason"] == finish
    native = reason if reason.startswith("model_") else None
    assert choice.get("native_finish_reason") == last.get("native_finish_reason") == native


def test_why_it_was_declined() -> None:
    details = {"type": "refusal", "category": "bio", "explanation": "It may not."}
    found, sink = streamed(events(start(), *end("refusal", stop_details=details)))
    assert found.body["choices"][0]["message"]["refusal"] == "It may not." == "".join(sink.all_of("refusal"))
    assert found.body["choices"][0]["message"]["content"] is None


def test_what_is_not_known_is_passed_over() -> None:
    cited = {"type": "citations_delta", "citation": {"type": "char_location", "cited_text": "x"}}
    odd = block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": "Hi"}, cited, {"type": "glow_delta"})
    server = block(1, {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}},
                   {"type": "input_json_delta", "partial_json": "{}"})  # fmt: skip
    found, _ = streamed(events(start(), {"type": "event_of_tomorrow", "x": 1}, *odd, *server, *end("end_turn")))
    assert found.body["choices"][0]["message"] == {"role": "assistant", "content": "Hi", "refusal": None}


def failing(type: str, message: str = "Overloaded") -> dict[str, Any]:
    return {"type": "error", "error": {"type": type, "message": message}, "request_id": "req_1"}


@pytest.mark.parametrize(
    ("type", "kind"),
    [
        ("overloaded_error", "overload"),
        ("rate_limit_error", "rate"),
        ("api_error", "broken"),
        ("timeout_error", "unreachable"),
        ("invalid_request_error", "callers"),
        ("authentication_error", "key"),
    ],
)
@pytest.mark.parametrize("begun", [False, True])
def test_an_error_in_the_stream(type: str, kind: str, begun: bool) -> None:
    said = [start(), PING, *(text(0, "Hel")[:2] if begun else [])]
    error = broken(events(*said, failing(type)))
    assert classify(error) == kind and error.code == type
    assert error.head is begun, "a 200 whose stream has begun"


def test_a_stream_that_breaks_off_is_no_answer() -> None:
    whole = events(*HELLO)
    error = broken(whole[: whole.index(b"event: message_delta")])
    assert classify(error) == "broken" and "before the response was complete" in str(error)
    assert classify(broken(whole[: whole.index(b"event: message_delta")], "reset")) == "broken"


def test_one_that_has_said_why_it_ended_is_whole() -> None:
    whole = events(*HELLO)
    cut = whole[: whole.index(b"event: message_stop")]
    for ending in ([cut], [cut, "reset"]):
        found, sink = streamed(*ending)
        assert found.body["choices"][0]["message"]["content"] == "Hello!"
        assert sink.parts[-1]["finish_reason"] == "stop"


def test_what_is_no_event_of_the_protocol_is_named() -> None:
    error = broken(events(start()) + b"event: content_block_delta\ndata: {nonsense}\n\n")
    assert classify(error) == "broken"
    wrong = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": 7}}
    error = broken(events(start(), text(0)[0], wrong))
    assert classify(error) == "shape"
    unopened = {"type": "content_block_delta", "index": 4, "delta": {"type": "thinking_delta", "thinking": "a"}}
    assert classify(broken(events(start(), unopened))) == "shape"


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.sampled_from(["", "text", "thinking", "tool_use", "end_turn"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=8,
)


@given(st.lists(st.fixed_dictionaries({"type": st.sampled_from(TYPES)}, optional=dict.fromkeys(NAMES[1:], ANYTHING))))
def test_no_stream_whatever_is_more_than_an_error(told: list[dict[str, Any]]) -> None:
    message = StreamedMessage(call({"messages": [user("Weather?")]}, sink=Heard()))
    try:
        for one in told:
            message.take(ServerSentEvent(orjson.dumps(one)))
        message.whole()
    except ProviderError:
        pass
