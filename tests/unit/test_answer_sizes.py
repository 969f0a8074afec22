"""Answers of any size, in any number of pieces: reading them costs in proportion, and too much is not read at all."""

import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from shared.errors import ProviderError
from tests.unit.test_stream_gathering import PLAIN, delta, failed, wire
from workers.answers import texts
from workers.answers.tool_calls import ToolCalls
from workers.upstream import exchange
from workers.upstream.event_stream import Parser, ServerSentEvent

#: What takes a tenth of a second when it is linear took a minute and more when it was not.
MOST_CPU_SECONDS = 8.0


def soon(work: Callable[[], Any]) -> Any:
    began = time.process_time()
    made = work()
    assert time.process_time() - began < MOST_CPU_SECONDS
    return made


def read(parts: Iterable[bytes]) -> list[ServerSentEvent]:
    parser = Parser()
    return [event for part in parts for event in parser.feed(part)] + list(parser.end())


@pytest.mark.parametrize(
    ("parts", "found"),
    [
        ([b"data: 1"] + [b"1" * 512] * 32_000 + [b"\n\n"], 1),
        ([b"data: 1,\n" * 1000] * 100, 0),
        ([b'data: {"a": [\n', *[b"data: {},\n" * 1000] * 100, b"data: {}]}\n\n"], 1),
        ([b"data: {}\n" * 1000] * 30, 30_000),
    ],
)
def test_lines_and_events_of_any_length_are_read_in_proportion(parts: list[bytes], found: int) -> None:
    assert len(soon(lambda: read(parts))) == found


def test_an_event_of_empty_lines_only_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.upstream.event_stream.MOST_BYTES", 1000)
    with pytest.raises(ProviderError):
        read([b"data:\n"] * 1000)


def _piece(arguments: str, name: str = "", id: str = "a") -> list[dict[str, Any]]:
    return [{"index": 0, "id": id, "function": {"name": name, "arguments": arguments}}]


@pytest.mark.parametrize(
    ("begin", "go_on", "end", "whole"),
    [
        # A model that has lost its way writes blanks until its limit of tokens.
        (_piece("", "f"), _piece(" " * 50), _piece('{"a":1}'), " " * 50 * 20_000 + '{"a":1}'),
        (_piece("{", "f"), _piece("\n" * 50), _piece('"a":1}'), "{" + "\n" * 50 * 20_000 + '"a":1}'),
        (_piece('{"a":[', "f"), _piece("[1],[1],", "f", "b"), _piece("[]]}"), '{"a":[' + "[1],[1]," * 20_000 + "[]]}"),
        (_piece('{"a":"', "f"), _piece("{xxxxxxx", "f", "b"), _piece('"}'), '{"a":"' + "{xxxxxxx" * 20_000 + '"}'),
    ],
)
def test_arguments_of_any_number_of_pieces_are_put_together_in_proportion(
    begin: Any, go_on: Any, end: Any, whole: str
) -> None:
    calls = ToolCalls("call", frozenset("f"), "tool_calls")

    def put_together() -> None:
        for piece in [begin, *[go_on] * 20_000, end]:
            calls.take(piece)
        calls.close(cut=False)

    soon(put_together)
    assert [call["function"]["arguments"] for call in calls.shown()] == [whole]


def test_a_content_of_any_number_of_parts_is_put_together_in_proportion() -> None:
    parts = [{"type": "text", "text": "a good many words"}] * 200_000
    assert soon(lambda: texts.read({"content": parts}, "message")) == {"content": "a good many words" * 200_000}


@pytest.mark.parametrize("kind", ["text/event-stream", "application/json"])
def test_an_answer_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(exchange, "MOST_ANSWER_BYTES", 100_000)
    error = failed(wire(*PLAIN[:2], *[delta(content="more")] * 2000), kind=kind)
    assert error.code == "protocol" and "too large" in error.message
