"""Responses: the events of a stream add up to the answer that is not streamed, however the chunks came."""

import json
from typing import Any, cast

import orjson
from hypothesis import given
from hypothesis import strategies as st

from producer.dialects.responses.framing import ResponseEvents
from producer.dialects.responses.pieces import Pieces
from shared.answers import streams
from shared.dialects.responses import items, sealing
from shared.dialects.responses.objects import Response

TEXT = st.text(st.sampled_from("ab é\n中文, \u2028🦄-"), max_size=40)
ARGUMENTS = st.dictionaries(st.sampled_from(["a", "b"]), TEXT, max_size=2).map(
    lambda value: orjson.dumps(value).decode()
)
MESSAGES = st.builds(
    lambda thoughts, content, refusal, calls: {
        "role": "assistant",
        "reasoning_content": thoughts,
        "content": content,
        "refusal": refusal,
        "tool_calls": [
            {"id": f"call_{number}", "type": "function", "function": {"name": "f", "arguments": arguments}}
            for number, arguments in enumerate(calls)
        ],
    },
    TEXT,
    st.none() | TEXT,
    st.none() | TEXT,
    st.lists(ARGUMENTS, max_size=3),
)
FINISHES = st.sampled_from(["stop", "length", "tool_calls", "content_filter"])
HEAD = {"id": "chatcmpl-1", "created": 1, "model": "m"}


def begun(summary: str | None = None) -> Response:
    """As much of a response as its events read."""
    return cast(Response, {"id": "resp_1", "status": "in_progress", "output": [], "reasoning": {"summary": summary}})


def cut(data: st.DataObject, text: str) -> list[str]:
    """A text in pieces of any sizes."""
    places = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=6)))
    return [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]


def chunks(message: dict[str, Any], finish: str, data: st.DataObject) -> list[bytes]:
    """A message as a provider may stream it."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    for name in ("reasoning_content", "content", "refusal"):
        deltas += [{name: piece} for piece in cut(data, message[name] or "")]
    for number, call in enumerate(message["tool_calls"]):
        named = {"index": number, "id": call["id"], "type": "function", "function": {"name": "f", "arguments": ""}}
        deltas.append({"tool_calls": [named]})
        for piece in cut(data, call["function"]["arguments"]):
            deltas.append({"tool_calls": [{"index": number, "function": {"arguments": piece}}]})
    choices = [streams.part(0, delta) for delta in deltas] + [streams.part(0, {}, finish)]
    return [orjson.dumps(streams.chunk(HEAD, [choice])) for choice in choices]


def events(frames: bytes) -> list[dict[str, Any]]:
    """The data of the events; each is named by its type."""
    found = []
    for frame in frames.decode().split("\n\n")[:-1]:
        name, data = frame.split("\n", 1)
        found.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    return found


def streamed(given: list[bytes], whole: Response, *, summary: str | None = None, after: int = -1) -> bytes:
    framing = ResponseEvents(begun(summary), starting_after=after)
    return b"".join(framing.chunk(chunk, None) for chunk in given) + framing.end() + framing.last(whole)


@given(MESSAGES, FINISHES, st.sampled_from([None, "auto"]), st.data())
def test_events_add_up_to_the_answer(message: dict[str, Any], finish: str, summary: str | None, data: Any) -> None:
    status: Any = "incomplete" if finish in ("length", "content_filter") else "completed"
    output = items.output(message, "1", status=status, summary=summary is not None)
    whole = cast(Response, {**begun(summary), "status": status, "output": output})
    told = streamed(chunks(message, finish, data), whole, summary=summary)
    found = events(told)
    assert [one["sequence_number"] for one in found] == list(range(len(found)))
    assert [one["type"] for one in found[:2]] == ["response.created", "response.in_progress"]
    assert found[-1]["type"] == f"response.{status}" and found[-1]["response"]["output"] == output
    done = [one for one in found if one["type"] == "response.output_item.done"]
    assert [one["item"] for one in done] == output and [one["output_index"] for one in done] == [*range(len(output))]
    texts = {"".join(one["delta"] for one in found if one["type"] == kind) for kind in TEXTS}
    assert texts >= {message["content"] or "", message["refusal"] or "", message["reasoning_content"]}
    calls = "".join(one["delta"] for one in found if one["type"] == "response.function_call_arguments.delta")
    assert calls == "".join(call["function"]["arguments"] for call in message["tool_calls"])
    # the same events of the stored result, and the rest of them after any that was read
    choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
    stored = [orjson.dumps(streams.chunk(HEAD, left)) for left in streams.rest([choice], streams.StreamProgress())]
    assert streamed(stored, whole, summary=summary) == told
    after = data.draw(st.integers(0, len(found)))
    assert events(streamed(stored, whole, summary=summary, after=after)) == found[after + 1 :]


@given(MESSAGES, st.booleans(), st.lists(st.booleans(), min_size=3, max_size=3))
def test_sealed_items_have_the_same_places(message: dict[str, Any], thought: bool, signs: list[bool]) -> None:
    """With `encrypted_content` there are the same items in the stream as in the answer, also of unseen thoughts."""
    if thought:
        block = {"type": "thinking", "thinking": message["reasoning_content"], "signature": "EqsB"}
        message = {**message, "thinking_blocks": [block]}
    calls = [
        {**call, **({"extra_content": {"google": {"thought_signature": "x"}}} if signed else {})}
        for call, signed in zip(message["tool_calls"], signs, strict=False)
    ]
    if calls and not signs[0]:  # a call after the first is signed alone by no provider
        calls = message["tool_calls"]
    message = {**message, "tool_calls": calls}
    output = items.output(message, "1", status="completed", summary=False, seals=True)
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    given = [orjson.dumps(streams.chunk(HEAD, left)) for left in streams.rest([choice], streams.StreamProgress())]
    whole = cast(Response, {**begun(), "status": "completed", "output": output})
    framing = ResponseEvents(begun(), seals=True)
    frames = b"".join(framing.chunk(chunk, None) for chunk in given) + framing.end() + framing.last(whole)
    done = [one for one in events(frames) if one["type"] == "response.output_item.done"]
    for one, item in zip(done, output, strict=True):
        told = one["item"].pop("encrypted_content", None)
        stored = cast(dict[str, Any], item).pop("encrypted_content", None)
        assert one["item"] == item and sealing.unsealed(told)[:2] == sealing.unsealed(stored)[:2]
        assert (told is None) == (stored is None)
    assert [one["output_index"] for one in done] == [*range(len(output))]


TEXTS = (
    "response.output_text.delta",
    "response.refusal.delta",
    "response.reasoning_text.delta",
    "response.reasoning_summary_text.delta",
)


@given(TEXT, st.data())
def test_pieces_do_not_depend_on_how_a_text_came(text: str, data: Any) -> None:
    one, other = Pieces(), Pieces()
    whole = one.add(text) + one.end()
    parts = [piece for part in cut(data, text) for piece in other.add(part)] + other.end()
    assert parts == whole and "".join(whole) == text and all(whole)


def test_calls_whose_pieces_alternate_are_whole() -> None:
    def call(number: int, arguments: str, **more: Any) -> bytes:
        delta = {"index": number, "function": {"arguments": arguments, **more}, "id": f"call_{number}"}
        return orjson.dumps(streams.chunk(HEAD, [streams.part(0, {"tool_calls": [delta]})]))

    given = [call(0, '{"a":', name="f"), call(1, '{"b":', name="g"), call(0, "1}"), call(1, "2}")]
    found = events(streamed(given, cast(Response, {**begun(), "status": "completed"})))
    done = [one["arguments"] for one in found if one["type"] == "response.function_call_arguments.done"]
    assert done == ['{"a":1}', '{"b":2}']


def test_a_stream_that_begins_with_silence_begins_with_its_first_events() -> None:
    framing = ResponseEvents(begun())
    assert [one["type"] for one in events(framing.comment())] == ["response.created", "response.in_progress"]
    assert framing.comment() == b": keep-alive\n" and framing.head() == b""


@given(
    st.data(), st.lists(st.tuples(st.sampled_from([" ", "\n", "a", "\u1680", "中"]), st.integers(1, 60)), max_size=6)
)
def test_long_runs_are_cut_the_same_however_they_came(data: st.DataObject, runs: list[tuple[str, int]]) -> None:
    text = "".join(one * length for one, length in runs)
    whole, parts = Pieces(), Pieces()
    at_once = [*whole.add(text), *whole.end()]
    came = [piece for part in cut(data, text) for piece in parts.add(part)] + parts.end()
    assert at_once == came and "".join(came) == text


def test_an_answer_that_ends_in_line_breaks_alone_is_cut_as_it_comes() -> None:
    pieces = Pieces()
    cut_so_far = sum(len(piece) for _ in range(1_000) for piece in pieces.add("\n\n"))
    assert cut_so_far > 1_900 and len(pieces.end()[0]) < 50
