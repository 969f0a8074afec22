"""Streams as servers write them, texts as models give them, and answers in another form than was asked for."""

import base64
import struct
from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from shared.errors import ProviderError
from tests.acceptance.sse import added_up
from tests.unit.test_openai_protocol import GOOD, ask
from tests.unit.test_stream_gathering import PLAIN, USAGE, Kept, call, delta, failed, wire
from workers.answers.arguments import Arguments
from workers.providers import openai
from workers.upstream.event_stream import Parser, ServerSentEvent


def parsed(parts: Sequence[bytes]) -> list[ServerSentEvent]:
    parser = Parser()
    found = [event for part in parts for event in parser.feed(part)]
    return [*found, *parser.end()]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
def test_events_are_read_as_the_standard_has_them(end: str, size: int) -> None:
    lines = [
        "\ufeff: hello", "", "data:one", "", "event: error", "data: two", "id: 7", "", ":", "data: {", "data: }", "",
        "", "retry: 9", "data", "", "event: lone", "", 'data: {"last": 1}',
    ]  # fmt: skip
    whole = end.join(lines).encode()
    events = parsed([whole[at : at + size] for at in range(0, len(whole), size)])
    assert events == [
        ServerSentEvent(b"one"),
        ServerSentEvent(b"two", "error"),
        ServerSentEvent(b"{\n}"),
        ServerSentEvent(b""),
        ServerSentEvent(b'{"last": 1}'),
    ]


@pytest.mark.parametrize(
    "part",
    [
        b'data: {"a": 1}\n\ndata: {"b": 2}\n\n',
        b'data: {"a": 1}\n\n\ndata: {"b": 2}\n\n',
        b'data: {"a": 1}\n\ndata:{"b": 2}\n\n',
        b'data: {"a": 1}\ndata: {"b": 2}\n\n',
        b'data: {"a": 1}\n\n: a comment\n\ndata: {"b": 2}\n\n',
        b'data: {"a":\ndata: 1}\n\ndata: \n\n',
        b'data: {"a": 1}\n\nevent: named\ndata: {"b": 2}\n\n',
        b'data: {"a": 1}\r\n\r\ndata: {"b": 2}\r\n\r\n',
        b"data: \n\ndata:  two blanks\n\n",
    ],
)
def test_a_part_that_is_whole_events_is_read_as_if_it_came_byte_by_byte(part: bytes) -> None:
    """After a first event, with which the quick way begins; and again after it."""
    first = b"data: 0\n\n"
    slowly = parsed([bytes([byte]) for byte in first + part + part])
    assert parsed([first, part, part]) == slowly


def test_what_is_cut_is_no_event_and_json_without_a_field_is_one() -> None:
    assert parsed([b"data: one\n\ndata: {cut"]) == [ServerSentEvent(b"one")]
    assert parsed([b'{"error": {"message": "m"}}\n']) == [ServerSentEvent(b'{"error": {"message": "m"}}')]
    assert [orjson.loads(one.data) for one in parsed([b'{\n "error":\n  {"message": "m"}\n}'])] == [
        {"error": {"message": "m"}}
    ]
    assert parsed([b"<html>\n\n" * 100_000]) == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"event: error\ndata: something\n\n", "protocol"),
        (b'event: error\ndata: {"type": "overloaded_error", "message": "m"}\n\n', "overloaded_error"),
        (b'event: error\ndata: {"error": {"type": "overloaded_error"}}\n\n', "overloaded_error"),
        (b'{"error": {"message": "m", "code": "insufficient_quota"}}', "insufficient_quota"),
        (wire(*PLAIN[:2]) + b'{"error": {"message": "m", "code": "insufficient_quota"}}\n', "insufficient_quota"),
        (wire(*PLAIN[:2]) + b"event: error\ndata: gone\n\n", "protocol"),
    ],
)
def test_an_error_in_a_stream_is_one_however_it_is_written(body: bytes, code: str) -> None:
    assert failed(body).code == code


def test_chunks_without_blank_lines_between_them_are_chunks() -> None:
    body = b"".join(b"data: " + orjson.dumps(chunk) + b"\n" for chunk in PLAIN) + b"data: [DONE]\n"
    assert call(body, sink=Kept()).body["choices"][0]["message"]["content"] == "Hello"


@pytest.mark.parametrize("kind", ["text/event-stream", "application/json", "text/plain"])
def test_a_stream_under_any_name_is_read(kind: str) -> None:
    sink = Kept()
    answer = call(b": hi\n\n" + wire(*PLAIN, {"choices": [], "usage": USAGE}, "[DONE]"), kind=kind, sink=sink)
    assert answer.body["choices"] == added_up(sink.chunks) and not answer.usage.estimated


def test_a_stream_that_nobody_asked_for_is_read_whole() -> None:
    body = b"\xef\xbb\xbf" + wire(*PLAIN, {"choices": [], "usage": USAGE}, "[DONE]")
    answer = openai.read(ask(n=1), 200, body)
    assert answer.body["choices"][0]["message"]["content"] == "Hello" and answer.usage.completion_tokens == 3
    assert set(answer.body) == set(openai.read(ask(), 200, orjson.dumps(GOOD["chat.completion"])).body)


#: How thoughts and contents are given: (the message, its thoughts, its content)
TEXTS: list[tuple[dict[str, Any], str, str]] = [
    ({"content": "42", "reasoning_content": "hm"}, "hm", "42"),
    ({"content": "42", "reasoning": "hm"}, "hm", "42"),
    ({"content": "42", "reasoning": "hm", "reasoning_content": "hm"}, "hm", "42"),
    ({"content": "42", "thinking": "hm"}, "hm", "42"),
    ({"content": "42", "reasoning_details": [{"type": "reasoning.text", "text": "h"}, {"summary": "m"}]}, "hm", "42"),
    ({"content": "42", "reasoning": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]}, "hm", "42"),
    ({"content": "42", "reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]}, "", "42"),
    ({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "42"}]},
     "hm", "42"),
    ({"content": [{"type": "text", "text": "4"}, {"type": "image_url"}, {"type": "text", "text": "2"}]}, "", "42"),
    ({"content": {"type": "text", "text": "42"}}, "", "42"),
    ({"content": "42", "reasoning": {"effort": "low"}, "reasoning_content": None, "thinking": 7}, "", "42"),
    ({"content": None, "reasoning_content": "hm"}, "hm", ""),
    ({"reasoning": "hm"}, "hm", ""),
    ({"content": "<think>hm</think>42"}, "", "<think>hm</think>42"),
]  # fmt: skip


@pytest.mark.parametrize(("message", "thoughts", "content"), TEXTS)
def test_thoughts_and_contents_under_any_name(message: dict[str, Any], thoughts: str, content: str) -> None:
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    (one,) = openai.read(ask(n=1), 200, orjson.dumps(body)).body["choices"]
    sink = Kept()
    (other,) = call(wire(delta(**message), delta(finish="stop"), "[DONE]"), sink=sink).body["choices"]
    assert one == other and one["message"]["content"] == content
    assert one["message"].get("reasoning_content", "") == thoughts
    (passed,) = added_up(sink.chunks)
    assert {**passed["message"], "content": passed["message"]["content"] or ""} == one["message"]


def test_choices_are_in_order_and_as_many_as_were_asked_for() -> None:
    def given(*indexes: Any) -> list[str]:
        choices = [
            {"index": index, "message": {"content": str(at)}, "finish_reason": "stop"}
            for at, index in enumerate(indexes)
        ]
        found = openai.read(ask(n=2), 200, orjson.dumps({"choices": choices})).body["choices"]
        assert [one["index"] for one in found] == list(range(len(found)))
        return [one["message"]["content"] for one in found]

    assert given(1, 0) == ["1", "0"] and given("1", "0") == ["1", "0"] and given(2, 1) == ["1", "0"]
    assert given(0, 0) == ["0", "1"] and given(None, None) == ["0", "1"]
    assert given(0, 1, 2) == ["0", "1"] and given(0) == ["0"]


def test_a_stream_whose_one_choice_has_another_number_is_that_choice() -> None:
    sink = Kept()
    chunks = (delta(3, content="x"), delta(3, finish="stop"))
    answer = call(wire(*chunks, "[DONE]"), sink=sink)
    assert answer.body["choices"] == added_up(sink.chunks) and answer.body["choices"][0]["index"] == 0


def test_json_that_is_nearly_strict_is_read() -> None:
    likely = b'"logprobs": {"content": [{"logprob": -Infinity}]}'
    body = b'\xef\xbb\xbf{"choices": [{"message": {"content": "a\\ud83d"}, ' + likely + b"}]}"
    (choice,) = openai.read(ask(n=1), 200, body).body["choices"]
    assert choice["message"]["content"] == "a\ufffd" and choice["logprobs"]["content"] == [{"logprob": None}]
    chunk = b'data: {"choices": [{"delta": {"content": "\\ud83d\\ude00 \\ude00"}, "finish_reason": "stop"}]}\n\n'
    sink = Kept()
    assert call(chunk, sink=sink).body["choices"] == added_up(sink.chunks)
    assert sink.chunks[0]["choices"][1]["delta"]["content"] == "\U0001f600 \ufffd"
    assert failed(b"data: {NaN\n\n").code == "protocol"


def test_pictures_are_as_many_as_were_asked_for() -> None:
    three = orjson.dumps({"data": [{"url": f"https://x/{n}"} for n in range(3)]})
    answer = openai.read(ask("image", n=2), 200, three)
    assert len(answer.body["data"]) == 2 and answer.usage.images == 2 and answer.ignored == []
    assert openai.read(ask("image", n=4), 200, three).ignored == ["n"]


def test_nothing_is_told_of_an_end_before_all_of_it_is_known_to_be_sound() -> None:
    sink = Kept()
    with pytest.raises(Exception, match="is not valid JSON"):
        broken = {"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x"'}}
        call(wire(delta(content="a"), delta(tool_calls=[broken]), delta(finish="stop"), "[DONE]"), sink=sink)
    assert not [part for chunk in sink.chunks for part in chunk["choices"] if part["finish_reason"]]


def test_an_embedding_is_in_the_encoding_that_was_asked_for() -> None:
    packed = base64.b64encode(struct.pack("<2f", 0.5, -1.0)).decode()
    for wanted, given, meant in (
        *(("float", vector, [0.5, -1.0]) for vector in ([0.5, -1.0], packed)),
        *(("base64", vector, packed) for vector in ([0.5, -1.0], packed)),
    ):
        body = {"data": [{"index": 0, "embedding": given}], "usage": {"prompt_tokens": 4}}
        answer = openai.read(ask("embedding", encoding_format=wanted), 200, orjson.dumps(body))
        assert answer.body["data"][0]["embedding"] == meant
    for wanted, bad in (("float", "no vector"), ("float", "AAA="), ("base64", ["x"]), ("base64", [1e300])):
        with pytest.raises(ProviderError, match="embedding is not a valid vector"):
            body = {"data": [{"index": 0, "embedding": bad}]}
            openai.read(ask("embedding", encoding_format=wanted), 200, orjson.dumps(body))


def test_reading_is_linear_in_what_is_read() -> None:
    """Were it quadratic, each of these would take minutes."""
    for text in ("{" + " " * 300_000 + "x", '"' + '\\"' * 150_000, "{}" + " " * 300_000 + "x", '{"' + "\\" * 300_001):
        made = Arguments()
        made.take(text, "")
        made.take_new()
        made.may_hold()
        with pytest.raises(ProviderError):
            made.close("", cut=False)
