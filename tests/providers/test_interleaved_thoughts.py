"""Thoughts between texts and calls: what Claude answers goes back to it in the order in which it came."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.providers.claude import call, composed_of, user
from tests.providers.test_anthropic_answers import MESSAGE, message
from tests.providers.test_anthropic_stream import Step, block, end, events, start, streamed
from workers.providers.anthropic import answers
from workers.providers.anthropic.thoughts import position

Blocks = list[dict[str, Any]]


def thought(number: int) -> dict[str, Any]:
    return {"type": "thinking", "thinking": f"Thought {number}.", "signature": f"EqQ{number}"}


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def called(number: int) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_{number}", "name": "f", "input": {"a": number}}


HIDDEN = {"type": "redacted_thinking", "data": "EmwK"}
ORDERS: dict[str, Blocks] = {
    "at the front": [thought(1), HIDDEN, text("So."), called(1)],
    "between a text and a call": [thought(1), text("I look."), thought(2), called(1)],
    "between two texts": [text("Grüße 👋."), thought(1), text("And so."), HIDDEN, called(1)],
    "between two calls": [thought(1), called(1), thought(2), called(2)],
    "after all else": [text("So."), called(1), called(2), thought(1)],
}


def goes_back(said: dict[str, Any]) -> Any:
    """The blocks of an assistant's message that a caller gives back as it came."""
    results = [{"role": "tool", "tool_call_id": one["id"], "content": "22"} for one in said.get("tool_calls") or ()]
    asked = {"messages": [user("Hello"), said, *(results or [user("And?")])], "reasoning_effort": "low"}
    made = composed_of(asked, upstream="claude-opus-5")
    assert made.ignored == []
    return made.body["messages"][1]["content"]


def streamed_blocks(blocks: Blocks) -> list[Step]:
    found: list[Any] = [start()]
    for index, one in enumerate(blocks):
        match one["type"]:
            case "thinking":
                empty = {"type": "thinking", "thinking": "", "signature": ""}
                deltas = [
                    {"type": "thinking_delta", "thinking": one["thinking"]},
                    {"type": "signature_delta", "signature": one["signature"]},
                ]
                found += block(index, empty, *deltas)
            case "text":
                halves = one["text"][:2], one["text"][2:]
                deltas = [{"type": "text_delta", "text": half} for half in halves]
                found += block(index, text(""), *deltas)
            case "tool_use":
                arguments = {"type": "input_json_delta", "partial_json": f'{{"a":{one["input"]["a"]}}}'}
                found += block(index, {**one, "input": {}}, arguments)
            case _:
                found += block(index, one)
    return [events(*found, *end("tool_use" if any(one["type"] == "tool_use" for one in blocks) else "end_turn"))]


@pytest.mark.parametrize("blocks", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("way", ["whole", "streamed"])
def test_what_came_goes_back_in_its_order(blocks: Blocks, way: str) -> None:
    if way == "whole":
        reason = "tool_use" if blocks[-1]["type"] == "tool_use" else "end_turn"
        said = message(content=blocks, stop_reason=reason)
    else:
        found, sink = streamed(*streamed_blocks(blocks), tools=True)
        said = found.body["choices"][0]["message"]
        assert sink.sent.choices()[0]["message"].get("content") == said["content"]
    assert goes_back(said) == blocks


def test_thoughts_at_the_front_look_as_ever() -> None:
    said = message(content=ORDERS["at the front"], stop_reason="tool_use")
    assert said["thinking_blocks"] == [thought(1), HIDDEN]


BLOCKS = st.lists(
    st.one_of(
        st.integers(1, 9).map(thought),
        st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1, max_size=9).map(text),
        st.just(HIDDEN),
    ),
    min_size=1,
    max_size=6,
)


@given(first=BLOCKS, calls=st.integers(0, 2), last=st.lists(st.integers(1, 9).map(thought), max_size=2))
def test_any_order_of_texts_and_thoughts_and_then_calls(first: Blocks, calls: int, last: Blocks) -> None:
    blocks = [*first, *map(called, range(calls)), *last]
    merged: Blocks = []
    for one in blocks:  # two texts side by side are one
        if merged and one["type"] == merged[-1]["type"] == "text":
            merged[-1] = text(merged[-1]["text"] + one["text"])
        else:
            merged.append(dict(one))
    reason = "tool_use" if calls else "end_turn"
    body, _ = answers.read(call({"messages": [user("Hello")]}), {**MESSAGE, "content": blocks, "stop_reason": reason})
    assert goes_back(body["choices"][0]["message"]) == merged


@pytest.mark.parametrize(
    "after", [None, 7, [], "x", {}, {"characters": -1, "tool_calls": True}, {"characters": "9", "tool_calls": 1.5}]
)
def test_a_place_of_no_sense_is_the_front(after: Any) -> None:
    assert position({**thought(1), "after": after}) == (0, 0)
    said = {"role": "assistant", "content": "So.", "thinking_blocks": [{**thought(1), "after": after}]}
    assert goes_back(said) == [thought(1), text("So.")]


def test_a_place_beyond_the_text_is_its_end() -> None:
    far = {**thought(1), "after": {"characters": 10**9, "tool_calls": 10**9}}
    assert goes_back({"role": "assistant", "content": "So.", "thinking_blocks": [far]}) == [text("So."), thought(1)]
