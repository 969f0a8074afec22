"""Tool calls of providers that number, name or encode them wrongly: whole or an error, the same streamed and not."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ProviderError
from tests.acceptance.sse import added_up
from tests.unit.test_stream_gathering import Kept, call, delta, failed, wire

TOOLS = [{"type": "function", "function": {"name": name}} for name in ("f", "g", "get", "get_weather")]

Told = list[tuple[str | None, str, str]]


def piece(index: Any = None, id: Any = None, name: Any = None, arguments: Any = None, **more: Any) -> dict[str, Any]:
    function = {key: value for key, value in {"name": name, "arguments": arguments}.items() if value is not None}
    given = {"index": index, "id": id, **more}
    return {key: value for key, value in given.items() if value is not None} | {"function": function}


def streamed(*deltas: Any, finish: Any = "tool_calls", tools: Any = TOOLS) -> dict[str, Any]:
    """The one choice; what was passed on adds up to it."""
    sink = Kept()
    chunks = [delta(role="assistant", content=None), *(delta(**one) for one in deltas), delta(finish=finish)]
    answer = call(wire(*chunks, "[DONE]"), sink=sink, tools=tools)
    (choice,) = answer.body["choices"]
    assert added_up(sink.chunks) == [choice]
    for chunk in sink.chunks:
        assert all(one["index"] >= 0 for part in chunk["choices"] for one in part["delta"].get("tool_calls", ()))
    return dict(choice)


def whole(message: Any, finish: Any = "tool_calls") -> dict[str, Any]:
    body = {"choices": [{"index": 0, "message": message, "finish_reason": finish}]}
    answer = call(orjson.dumps(body), kind="application/json", sink=Kept(), tools=TOOLS)
    return dict(answer.body["choices"][0])


def told(choice: dict[str, Any]) -> Told:
    calls = choice["message"]["tool_calls"]
    assert len({one["id"] for one in calls}) == len(calls) and all(one["type"] == "function" for one in calls)
    return [(one["id"], one["function"]["name"], one["function"]["arguments"]) for one in calls]


MADE = "call_1_0_{}".format
#: How providers send them: (the pieces, one a delta; the calls that they are)
STREAMED: dict[str, tuple[list[dict[str, Any]], Told]] = {
    "an object": ([piece(0, "a", "f", {"path": "a.rs"})], [("a", "f", '{"path":"a.rs"}')]),
    "a list": ([piece(0, "a", "f", ["x"])], [("a", "f", '["x"]')]),
    "nothing": ([piece(0, "a", "f")], [("a", "f", "{}")]),
    "null": ([piece(0, "a", "f", "null")], [("a", "f", "{}")]),
    "blanks": ([piece(0, "a", "f", ""), piece(0, None, None, " \n")], [("a", "f", "{}")]),
    "json in json": ([piece(0, "a", "f", '"{\\"x\\"'), piece(0, None, None, ': 1}"')], [("a", "f", '{"x": 1}')]),
    "an empty object before": ([piece(0, "a", "f", "{}"), piece(0, None, None, '{"x":1}')], [("a", "f", '{"x":1}')]),
    "an empty object, then it": ([piece(0, "a", "f", {}), piece(0, "a", "f", {"x": 1})], [("a", "f", '{"x":1}')]),
    "all 0, ids": (
        [piece(0, "a", "f", '{"x"'), piece(0, None, None, ":1}"), piece(0, "b", "g", ""), piece(0, None, None, "{}")],
        [("a", "f", '{"x":1}'), ("b", "g", "{}")],
    ),
    "all 0, ids, the same tool": (
        [piece(0, "a", "f", '{"x":1}'), piece(0, "b", "f", '{"x":1}'), piece(0, "c", "f", "{}")],
        [("a", "f", '{"x":1}'), ("b", "f", '{"x":1}'), ("c", "f", "{}")],
    ),
    "all 0, no ids": (
        [piece(0, None, "f", '{"x":1}'), piece(0, "", "f", '{"x":2}'), piece(0, None, "g", "{}")],
        [(MADE(0), "f", '{"x":1}'), (MADE(1), "f", '{"x":2}'), (MADE(2), "g", "{}")],
    ),
    "all 0, interleaved by id": (
        [piece(0, "a", "f", "["), piece(0, "b", "g", "["), piece(0, "a", None, "1]"), piece(0, "b", None, "2]")],
        [("a", "f", "[1]"), ("b", "g", "[2]")],
    ),
    "interleaved by index": (
        [piece(0, "a", "f", "{"), piece(1, "b", "g", "{"), piece(0, None, None, "}"), piece(1, None, None, "}")],
        [("a", "f", "{}"), ("b", "g", "{}")],
    ),
    "text as an index": ([piece("0", "a", "f", "{"), piece("0", None, None, "}")], [("a", "f", "{}")]),
    "a float as an index": ([piece(0.0, "a", "f", "{"), piece(1.0, "b", "g", "{}"), piece(0, None, None, "}")],
                            [("a", "f", "{}"), ("b", "g", "{}")]),
    "no index, ids": (
        [piece(None, "a", "f", "{"), piece(None, "a", None, "}"), piece(None, "b", "f", "{}")],
        [("a", "f", "{}"), ("b", "f", "{}")],
    ),
    "no index, no ids": (
        [piece(name="f", arguments="{"), piece(arguments="}"), piece(name="f", arguments="{}"), piece(name="g")],
        [(MADE(0), "f", "{}"), (MADE(1), "f", "{}"), (MADE(2), "g", "{}")],
    ),
    "one id for two": (
        [piece(0, "a", "f", "{}"), piece(1, "a", "g", '{"x"'), piece(1, "a", None, ":1}")],
        [("a", "f", "{}"), (MADE(1), "g", '{"x":1}')],
    ),
    "one id and one index for two": ([piece(0, "a", "f", "{}"), piece(0, "a", "g", "{}")],
                                     [("a", "f", "{}"), (MADE(1), "g", "{}")]),
    "another id in each piece": (
        [piece(0, "a", "f", ""), piece(0, "b", None, '{"x":'), piece(0, "c", None, '{"y":1}}')],
        [("a", "f", '{"x":{"y":1}}')],
    ),
    "another id and the name in each piece": (
        [piece(0, "a", "f", '{"x":'), piece(0, "b", "f", '{"y":'), piece(0, "c", "f", "1}}")],
        [("a", "f", '{"x":{"y":1}}')],
    ),
    "numbers as ids": ([piece(0, 7, "f", "{}"), piece(1, 8, "g", "{}")], [("7", "f", "{}"), ("8", "g", "{}")]),
    "the id late": ([piece(0, None, "f", "{"), piece(0, "late", None, "}")], [(MADE(0), "f", "{}")]),
    "the name repeated": ([piece(0, "a", "f", "{"), piece(0, "a", "f", "}"), piece(0, "a", "f")], [("a", "f", "{}")]),
    "the name late": ([piece(0, "a", None, "{"), piece(0, None, "f", "}")], [("a", "f", "{}")]),
    "the name split": ([piece(0, "a", "get_wea"), piece(0, None, "ther"), piece(0, None, None, "{}")],
                       [("a", "get_weather", "{}")]),
    "the name growing": ([piece(0, "a", "get"), piece(0, "a", "get_weather"), piece(0, None, None, "{}")],
                         [("a", "get_weather", "{}")]),
    "cumulative": (
        [piece(0, "a", "f", '{"x"'), piece(0, "a", "f", '{"x":"{'), piece(0, "a", "f", '{"x":"{"}')],
        [("a", "f", '{"x":"{"}')],
    ),
    "told once more at the end": (
        [piece(0, "a", "f", '{"x"'), piece(0, None, None, ":1}"), piece(0, "a", "f", '{"x":1}')],
        [("a", "f", '{"x":1}')],
    ),
    "without a function around": ([{"index": 0, "id": "a", "name": "f", "arguments": "{}"}], [("a", "f", "{}")]),
}  # fmt: skip


@pytest.mark.parametrize("pieces, calls", STREAMED.values(), ids=STREAMED)
def test_pieces_are_put_together(pieces: list[dict[str, Any]], calls: Told) -> None:
    for finish in ("tool_calls", "stop", "STOP", "tool_use", "end_turn"):
        choice = streamed(*({"tool_calls": [one]} for one in pieces), finish=finish)
        assert told(choice) == calls and choice["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("indexes", [(None, None), (0, 0), (0, 1), ("0", "1")])
@pytest.mark.parametrize("ids", [("a", "b"), (None, None), ("", ""), ("a", "a")])
@pytest.mark.parametrize("arguments", [('{"x":1}', "{}"), ({"x": 1}, {}), ('{"x":1}', None)])
def test_whole_calls_in_one_delta_are_the_same_as_unstreamed(indexes: Any, ids: Any, arguments: Any) -> None:
    calls = [piece(*one) for one in zip(indexes, ids, ("f", "g"), arguments, strict=True)]
    choice = streamed({"tool_calls": calls})
    assert [one[1:] for one in told(choice)] == [("f", '{"x":1}'), ("g", "{}")]
    assert whole({"role": "assistant", "content": None, "tool_calls": calls}) == choice


def test_the_older_way_of_calling_a_function_is_a_tool_call() -> None:
    calls = [(MADE(0), "f", '{"x":1}')]
    choice = whole({"content": None, "function_call": {"name": "f", "arguments": '{"x":1}'}}, "function_call")
    assert told(choice) == calls and choice["finish_reason"] == "tool_calls" and choice["message"]["content"] is None
    pieces = [{"name": "f", "arguments": ""}, {"arguments": '{"x"'}, {"arguments": ":1}"}]
    assert streamed(*({"function_call": one} for one in pieces), finish="function_call") == choice


#: Calls that are none: (the message, what the error names)
BROKEN: list[tuple[Any, str]] = [
    ([piece(0, "a", "f", '{"x":')], "tool_calls[0].function.arguments is not valid JSON"),
    ([piece(0, "a", "f", "hello")], "tool_calls[0].function.arguments is not valid JSON"),
    ([piece(0, "a", "f", "{'x': 1}")], "tool_calls[0].function.arguments is not valid JSON"),
    ([piece(0, "a", "f", '{"x": NaN}')], "tool_calls[0].function.arguments is not valid JSON"),
    ([piece(0, "a", "f", 7)], "tool_calls[0].function.arguments is neither a string nor an object"),
    ([piece(0, "a", "g", "{}"), piece(1, "b", None, "{}")], "tool_calls[1].function.name is missing"),
    ([piece(0, "a", 7, "{}")], "tool_calls[0].function.name is not a string"),
    ([{"id": "a", "function": "f"}], "tool_calls[0].function is not an object"),
    (["f"], "tool_calls[0] is not an object"),
    ("f", "tool_calls is not an array"),
]


@pytest.mark.parametrize(("calls", "what"), BROKEN)
def test_what_cannot_be_put_right_is_an_error_that_names_it(calls: Any, what: str) -> None:
    for body, kind in (
        (wire(delta(tool_calls=calls), delta(finish="tool_calls"), "[DONE]"), "text/event-stream"),
        (orjson.dumps({"choices": [{"message": {"tool_calls": calls}, "finish_reason": "stop"}]}), "application/json"),
    ):
        error = failed(body, kind=kind, tools=TOOLS)
        assert error.code == "shape" and error.message.endswith(what), error.message


@pytest.mark.parametrize("finish", ["length", "MAX_TOKENS", "max_tokens", "content_filter"])
def test_a_call_that_was_cut_is_as_far_as_it_came(finish: str) -> None:
    cut = [piece(0, "a", "f", "{}"), piece(1, "b", "g", '{"x": "y')]
    choice = streamed({"tool_calls": cut}, finish=finish)
    assert told(choice) == [("a", "f", "{}"), ("b", "g", '{"x": "y')]
    assert choice["finish_reason"] == ("content_filter" if finish == "content_filter" else "length")
    assert whole({"tool_calls": cut}, finish) == choice
    nameless = streamed({"content": "x", "tool_calls": [piece(0, "a", None, "{")]}, finish="length")
    assert "tool_calls" not in nameless["message"] and nameless["finish_reason"] == "length"


#: Ends as providers word them.
ENDS = {
    **dict.fromkeys(("stop", "STOP", "eos", "eos_token", "end_turn", "stop_sequence", "COMPLETE", "what?"), "stop"),
    **dict.fromkeys(("length", "MAX_TOKENS", "FINISH_REASON_MAX_TOKENS", "model_length"), "length"),
    **dict.fromkeys(("content_filter", "SAFETY", "RECITATION", "refusal"), "content_filter"),
    "tool_calls": "stop",
}


@pytest.mark.parametrize(("given", "reason"), ENDS.items())
def test_the_words_of_an_end_are_openais(given: str, reason: str) -> None:
    assert streamed({"content": "x"}, finish=given)["finish_reason"] == reason
    assert whole({"content": "x"}, given)["finish_reason"] == reason


def test_an_end_without_a_word_is_one() -> None:
    assert whole({"content": "x"}, None)["finish_reason"] == "stop"
    assert whole({"tool_calls": [piece(0, "a", "f")]}, None)["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    ("word", "code"), [("error", "protocol"), ("ABORT", "protocol"), ("MALFORMED_FUNCTION_CALL", "shape")]
)
def test_an_end_that_is_a_failure_is_no_answer(word: str, code: str) -> None:
    assert failed(wire(delta(content="x"), delta(finish=word), "[DONE]")).code == code
    with pytest.raises(ProviderError):
        whole({"content": "x"}, word)


def test_calls_that_were_promised_and_are_not_there() -> None:
    assert failed(wire(delta(content=""), delta(finish="tool_calls"), "[DONE]")).code == "shape"


def test_a_call_that_comes_after_the_end_is_in_time() -> None:
    chunks = (delta(content="x"), delta(finish="stop"), delta(tool_calls=[piece(0, "a", "f", "{}")]))
    sink = Kept()
    (choice,) = call(wire(*chunks, "[DONE]"), sink=sink).body["choices"]
    assert choice["finish_reason"] == "tool_calls" and added_up(sink.chunks) == [choice]


def test_arguments_are_passed_on_as_they_come() -> None:
    sink = Kept()
    pieces = [piece(0, "a", "f"), piece(0, None, None, '{"x"'), piece(0, None, None, ":1"), piece(0, None, None, "}")]
    call(wire(*(delta(tool_calls=[one]) for one in pieces), delta(finish="stop"), "[DONE]"), sink=sink, tools=TOOLS)
    said = [
        one["function"]
        for chunk in sink.chunks
        for part in chunk["choices"]
        for one in part["delta"].get("tool_calls", ())
    ]
    assert said == [{"name": "f", "arguments": ""}, {"arguments": '{"x"'}, {"arguments": ":1"}, {"arguments": "}"}]


values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text('a{}[]"\\:, ', max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('a{"', max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.data(), st.lists(st.dictionaries(st.text('a{"', max_size=3), values, max_size=3), min_size=1, max_size=3))
def test_however_arguments_are_cut_and_numbered_they_arrive(data: st.DataObject, objects: list[Any]) -> None:
    style = data.draw(st.sampled_from(["right", "all 0", "no index", "ids always", "names always", "cumulative"]))
    deltas, wanted = [], []
    for number, one in enumerate(objects):
        text = orjson.dumps(one).decode()
        cuts = sorted(data.draw(st.sets(st.integers(1, max(len(text) - 1, 1)), max_size=4)))
        parts = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        if style == "cumulative":
            parts = [text[:b] for b in [*cuts, len(text)]]
        index = {"all 0": 0, "no index": None}.get(style, number)
        for at, part in enumerate(parts):
            id = f"id{number}" if at == 0 or style == "ids always" else None
            name = "f" if at == 0 or style == "names always" else None
            deltas.append({"tool_calls": [piece(index, id, name, part)]})
        wanted.append((f"id{number}", "f", text))
    assert told(streamed(*deltas)) == wanted
