"""Anthropic's Messages to canonical requests, and canonical answers back, without a server."""

from collections.abc import Iterable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.dialects.messages.stream import MessageEvents
from producer.waiting.framing import BrokenStream
from shared.answers.beside import REDACTED, SIGNATURE
from shared.answers.streams import StreamProgress, chunk, part, rest
from shared.dialects.messages import answers
from shared.dialects.messages.requests import to_counted, to_native
from shared.errors import InvalidRequest, UpstreamError
from shared.submissions.schemas import read_submission
from tests.providers.claude import SENDING, call
from workers.providers.anthropic.request import composed

HEAD = {"id": "chatcmpl-1", "created": 1, "model": "claude"}
EPHEMERAL = {"type": "ephemeral", "ttl": "1h"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
TEXT: dict[str, Any] = {"type": "text", "text": "Hi."}
LINKED: dict[str, Any] = {"type": "image", "source": {"type": "url", "url": "https://pictures.example/b.png"}}
WHOLE: dict[str, Any] = {
    "model": "claude",
    "max_tokens": 2000,
    "system": [{"type": "text", "text": "Be brief.", "cache_control": EPHEMERAL}],
    "messages": [
        {"role": "user", "content": "What is the weather?"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "EqQB"},
                {"type": "redacted_thinking", "data": "EmwK"},
                {"type": "text", "text": "Let me see."},
                {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Oslo"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "none", "is_error": True},
                {"type": "text", "text": "And there?", "cache_control": {"type": "ephemeral"}},
                {"type": "image", "source": {"type": "url", "url": "https://pictures.example/a.png"}},
            ],
        },
    ],
    "tools": [{"name": "get_weather", "description": "d", "input_schema": SCHEMA, "cache_control": EPHEMERAL}],
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "stop_sequences": ["END"],
    "metadata": {"user_id": "u1"},
    "service_tier": "standard_only",
    "stream": True,
}


def test_what_anthropic_is_sent_is_what_was_asked_for() -> None:
    """There and back: Messages to the canonical request, and that to Messages."""
    made = to_native(WHOLE)
    assert made.unsent == []
    sent = composed(call(made.body, upstream="claude-haiku-4-5"), SENDING)
    expected = {**WHOLE, "model": "claude-haiku-4-5"}
    expected["messages"] = [{"role": "user", "content": [{"type": "text", "text": "What is the weather?"}]}]
    expected["messages"] += WHOLE["messages"][1:]
    del expected["stream"]  # what the sink decides
    assert sent.body == expected and sent.ignored == []


def test_thoughts_between_texts_and_calls_keep_their_places() -> None:
    """In both directions: Messages to the canonical turn and to the provider, and a canonical answer to Messages."""
    tool = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Oslo"}}
    thoughts = [{"type": "thinking", "thinking": name, "signature": name * 4} for name in "abc"]
    texts = [{"type": "text", "text": text} for text in ("First.", "Then.")]
    blocks = [thoughts[0], texts[0], thoughts[1], texts[1], tool, thoughts[2]]
    turns = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": blocks}]
    made = to_native({**WHOLE, "messages": [*turns, *WHOLE["messages"][2:]]})
    (answered,) = [turn for turn in made.body["messages"] if turn["role"] == "assistant"]
    sent = composed(call(made.body, upstream="claude-haiku-4-5"), SENDING)
    assert sent.body["messages"][1]["content"] == blocks
    choice = {"index": 0, "message": {"refusal": None, **answered}, "logprobs": None, "finish_reason": "tool_calls"}
    assert answers.message({**HEAD, "choices": [choice]})["content"] == blocks


def test_what_gemini_wants_back_goes_through_clients_that_know_nothing_of_it() -> None:
    """Sealed into blocks that they give back unread; what is broken, or is another's, is left as it is."""
    choice = {"index": 0, "message": {**MESSAGE, **WANTED_BACK}, "logprobs": None, "finish_reason": "tool_calls"}
    blocks = answers.message({**HEAD, "choices": [choice]})["content"]
    kinds = ["thinking", "text", "redacted_thinking", "tool_use", "tool_use"]
    assert [block["type"] for block in blocks] == kinds
    made = to_native({**WHOLE, "messages": [WHOLE["messages"][0], {"role": "assistant", "content": blocks}]})
    answered = made.body["messages"][-1]
    assert answered["tool_calls"] == WANTED_BACK["tool_calls"]
    assert "thinking_blocks" not in answered and answered["reasoning_content"] == "One."
    spoilt: list[Any] = [{"type": "redacted_thinking", "data": "fusionai.x"}, {"type": "text", "text": "Yes."}]
    made = to_native({**WHOLE, "messages": [WHOLE["messages"][0], {"role": "assistant", "content": spoilt}]})
    assert made.body["messages"][-1] == {"role": "assistant", "content": [{"type": "text", "text": "Yes."}]}


def test_documents_are_texts_and_other_sources_are_refused() -> None:
    source = {"type": "text", "media_type": "text/plain", "data": "Long ago."}
    document = {"type": "document", "source": source, "title": "A tale", "citations": {"enabled": True}}
    made = to_native({**WHOLE, "messages": [{"role": "user", "content": [document]}]})
    assert made.body["messages"][-1]["content"] == [{"type": "text", "text": "A tale\n\nLong ago."}]
    assert made.unsent == ["messages[0].content[0].citations"]
    found = {"type": "search_result", "title": "A tale", "source": "https://a.example", "content": [TEXT]}
    parts = {**document, "source": {"type": "content", "content": [TEXT, LINKED]}, "cache_control": EPHEMERAL}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [found]}
    made = to_native({**WHOLE, "messages": [*WHOLE["messages"][:2], {"role": "user", "content": [result, parts]}]})
    tool, user = made.body["messages"][-2:]
    assert tool["content"] == [{"type": "text", "text": "A tale\n\nhttps://a.example\n\nHi."}]
    said, shown = (
        {"type": "text", "text": "A tale"},
        {"type": "image_url", "image_url": {"url": LINKED["source"]["url"]}},
    )
    assert user["content"] == [said, TEXT, {**shown, "cache_control": EPHEMERAL}]
    assert made.places == {"messages[4].content[2].image_url.url": "messages[2].content[1].source.content[1].source"}
    pdf = {**document, "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}}
    with pytest.raises(InvalidRequest):
        to_native({**WHOLE, "messages": [{"role": "user", "content": [pdf]}]})


def test_effort_format_and_labels() -> None:
    config = {"effort": "high", "format": {"type": "json_schema", "schema": SCHEMA}}
    asked = {**WHOLE, "output_config": config, "metadata": {"team": "a"}, "routing": {"fallbacks": ["gpt-4"]}}
    made = read_submission("chat.completion", to_native(asked).body)
    assert made.request["reasoning_effort"] == "high"
    assert made.request["response_format"]["json_schema"] == {"name": "response", "schema": SCHEMA}
    closed = {**SCHEMA, "required": ["city"], "additionalProperties": False}
    for schema, is_closed in (
        (closed, True),
        ({**closed, "properties": {"city": closed}}, True),
        ({**closed, "properties": {"city": SCHEMA}}, False),
        ({**closed, "$defs": {"a": {"anyOf": [{"type": "object"}]}}}, False),
        ({"type": "array", "items": closed}, True),
        ({**closed, "required": [[]]}, False),
    ):
        form = to_native({**WHOLE, "output_config": {"format": {"type": "json_schema", "schema": schema}}})
        assert form.body["response_format"]["json_schema"].get("strict", False) is is_closed, schema
    assert made.labels == {"team": "a"} and made.routing.fallbacks == ["gpt-4"]


def test_fields_beside_are_refused_or_listed_and_hints_always_are() -> None:
    asked = {**WHOLE, "speed": "fast", "cache_control": {**EPHEMERAL, "scope": "global"}, "unheard_of": 1}
    made = to_native(asked)
    assert made.unsent == ["cache_control.scope", "speed"] and made.body["cache_control"] == EPHEMERAL
    with pytest.raises(InvalidRequest, match="unheard_of: unknown field"):
        read_submission("chat.completion", made.body, unsent=made.unsent)
    listed = read_submission("chat.completion", made.body, unsent=made.unsent, ignore_unknown=True).request["extras"]
    assert {"cache_control.scope", "speed", "unheard_of"} <= listed.keys()


def test_what_is_only_of_a_message_is_not_counted() -> None:
    counted = {name: WHOLE[name] for name in ("model", "messages", "system", "tools", "thinking")}
    assert to_counted(counted).body["messages"] == to_native(WHOLE).body["messages"]
    for name in ("max_tokens", "stream", "metadata"):
        with pytest.raises(InvalidRequest, match=name):
            to_counted({**counted, name: WHOLE[name]})


def events(chunks: Iterable[Any], usage: Any = None) -> list[dict[str, Any]]:
    """The data of the events of a stream; the name of each is its type."""
    framing = MessageEvents()
    frames = [framing.chunk(orjson.dumps(one), None) for one in chunks]
    frames += [framing.chunk(orjson.dumps({**chunk(HEAD, []), "usage": usage}), None), framing.end()]
    found = []
    for event in b"".join(frames).split(b"\n\n")[:-1]:
        name, data = event.split(b"\n")
        made = orjson.loads(data.removeprefix(b"data: "))
        assert name == b"event: " + made["type"].encode()
        found.append(made)
    return found


def built(found: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The blocks that events add up to; each event stands where it may."""
    blocks: list[dict[str, Any]] = []
    pieces: list[str] = []
    open = False
    for event in found:
        if event["type"] == "content_block_start":
            assert not open and event["index"] == len(blocks)
            open, pieces = True, []
            blocks.append(dict(event["content_block"]))
        elif event["type"] == "content_block_delta":
            assert open and event["index"] == len(blocks) - 1
            delta = event["delta"]
            name = delta["type"].removesuffix("_delta")
            if name == "input_json":
                pieces.append(delta["partial_json"])
            else:
                blocks[-1][name] += delta[name]
        elif event["type"] == "content_block_stop":
            if pieces:
                blocks[-1]["input"] = orjson.loads("".join(pieces))
            open = False
    assert not open
    return blocks


TOOLS = [
    {"id": f"call_{at}", "type": "function", "function": {"name": "f", "arguments": f'{{"a":{at}}}'}} for at in (0, 1)
]
SIGNED = [
    {"type": "thinking", "thinking": "One.", "signature": "AA"},
    {"type": "redacted_thinking", "data": "secret"},
    {"type": "thinking", "thinking": "", "signature": "BB"},
]
MESSAGE = {"role": "assistant", "content": "Yes.", "refusal": None, "reasoning_content": "One.", "tool_calls": TOOLS}


#: What Gemini wants back with a call, and would have back with the message.
OF_CALL, OF_MESSAGE = ({"google": {"thought_signature": name}} for name in ("call", "message"))
WANTED_BACK: dict[str, Any] = {
    "tool_calls": [TOOLS[0] | {"extra_content": OF_CALL}, TOOLS[1]],
    "extra_content": OF_MESSAGE,
}


def test_a_full_context_window_is_told_from_a_limit() -> None:
    said = {"role": "assistant", "content": "Yes.", "refusal": None}
    choice = {"index": 0, "message": said, "logprobs": None, "finish_reason": "length"}
    full = {**choice, "native_finish_reason": "model_context_window_exceeded"}
    for one, reason in ((choice, "max_tokens"), (full, "model_context_window_exceeded")):
        assert answers.message({**HEAD, "choices": [one]})["stop_reason"] == reason
        told = events(chunk(HEAD, pieces) for pieces in rest([one], StreamProgress()))
        assert told[-2]["delta"]["stop_reason"] == reason


@pytest.mark.parametrize("more", [{}, {"thinking_blocks": SIGNED}, WANTED_BACK])
@given(cut=st.integers(0, 20))
def test_a_stream_adds_up_to_the_whole_wherever_it_was_completed(more: dict[str, Any], cut: int) -> None:
    """The first chunks as they came, the rest made of the result, as after a loss."""
    message = {**MESSAGE, **more}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "tool_calls"}
    usage = {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 6}}
    whole = answers.message({**HEAD, "choices": [choice], "usage": usage})
    came = [piece for [piece] in rest([choice], StreamProgress())]
    progress = StreamProgress()
    for piece in came[:cut]:
        progress.advance([piece])
    left = [piece for [piece] in rest([choice], progress)]
    found = events([chunk(HEAD, [piece]) for piece in [*came[:cut], *left]], usage)
    assert built(found) == whole["content"]
    assert found[0]["type"] == "message_start" and found[0]["message"]["id"] == whole["id"] == "msg_1"
    assert found[-2] == {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use", "stop_sequence": None, "stop_details": None},
        "usage": whole["usage"],
    }
    assert whole["usage"]["input_tokens"] == 3 and found[-1] == {"type": "message_stop"}


def test_a_signature_that_came_twice_is_told_once_and_a_late_one_at_all() -> None:
    begun = [part(0, {"role": "assistant", "content": None}), part(0, {"reasoning_content": "Hm."})]
    twice = [
        *begun,
        part(0, {SIGNATURE: "AA"}),
        part(0, {SIGNATURE: "AA"}),
        part(0, {REDACTED: "x"}),
        part(0, {}, "stop"),
    ]
    signed = {"type": "thinking", "thinking": "Hm.", "signature": "AA"}
    secret = {"type": "redacted_thinking", "data": "x"}
    assert built(events(chunk(HEAD, [one]) for one in twice)) == [signed, secret]
    late = [*begun, part(0, {"thinking_blocks": [signed]}, "stop")]  # as earlier workers send it
    assert built(events(chunk(HEAD, [one]) for one in late)) == [signed]


def test_the_end_of_an_answer_and_of_a_stream_that_breaks() -> None:
    assert answers.end("stop", None, "END")["stop_reason"] == "stop_sequence"
    assert answers.end("content_filter", None)["stop_details"]["explanation"] is None
    assert answers.end("stop", "I must not.")["stop_reason"] == "refusal"
    framing = MessageEvents()
    told = framing.error(BrokenStream(UpstreamError("x"), "job job_1: x", "req_1", "job_1", "job_1-1-1/"))
    assert told.startswith(b'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"job job_1: x"')
    assert framing.comment() == b'event: ping\ndata: {"type":"ping"}\n\n'
    partial = {"role": "assistant", "content": None, "refusal": None}
    choice = {"index": 0, "message": partial, "logprobs": None, "finish_reason": None}
    assert answers.message({**HEAD, "choices": [choice]})["stop_reason"] is None
