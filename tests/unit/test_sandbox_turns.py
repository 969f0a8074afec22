"""What the sandbox says: sentences, JSON and tool calls of the shapes that a provider gives, whatever the schema is."""

import asyncio
from typing import Any

import orjson
import pytest

from shared.answers.streams import StreamProgress
from shared.submissions.offers import Offer
from workers.providers import ProviderCall
from workers.providers.sandbox import Sandbox, replies
from workers.simulator.invent import MOST_VALUES, invent

FIND = {
    "type": "function",
    "function": {"name": "find", "parameters": {"type": "object", "properties": {"q": {"type": "string"}}}},
}
LOSE = {"type": "function", "function": {"name": "lose"}}
ASKED = [{"role": "user", "content": "hello"}]
HUGE: list[Any] = [
    {"type": "array", "minItems": 10**12},
    {"type": "array", "minItems": 900, "items": {"type": "array", "minItems": 900}},
    {"type": "string", "minLength": 10**12},
    {"type": "object", "properties": {str(n): {"$ref": "#"} for n in range(50)}},
    {"$ref": "#"}, {"anyOf": [5]}, {"type": [5]}, {"properties": 5}, {"enum": 5}, {"type": "number", "multipleOf": "a"},
]  # fmt: skip


def said(**request: Any) -> replies.SandboxReply:
    return replies.answer({"messages": ASKED, **request}, 1_000_000, "abcdef0123456789")


def called(**request: Any) -> list[str]:
    return [call["function"]["name"] for call in said(**request).message.get("tool_calls", ())]


def test_which_tool_is_called() -> None:
    tools = [LOSE, FIND]
    assert (
        called(tools=tools) == called(tools=tools, tool_choice="none") == called(tools=tools, tool_choice="auto") == []
    )
    assert called(tools=tools, tool_choice="required") == ["lose"]
    assert called(tools=tools, tool_choice={"type": "function", "function": {"name": "find"}}) == ["find"]
    assert called(tools=tools, messages=[{"role": "user", "content": "please find it"}]) == ["find"]
    answered = [*ASKED, {"role": "tool", "tool_call_id": "c", "content": "1"}]
    assert called(tools=tools, tool_choice="required", messages=answered) == []


def test_json_of_a_schema_and_of_none() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 7}}}
    given = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    assert orjson.loads(said(response_format=given).message["content"]) == {"n": 7}
    assert isinstance(orjson.loads(said(response_format={"type": "json_object"}).message["content"]), dict)
    assert said(response_format={"type": "text"}).message == said().message


@pytest.mark.parametrize("schema", HUGE, ids=range(len(HUGE)))
def test_no_schema_makes_it_fail_or_grow(schema: Any) -> None:
    given = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    content = said(response_format=given).message["content"]
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    (call,) = said(tools=[tool], tool_choice="required").message["tool_calls"]
    for text in (content, call["function"]["arguments"]):
        orjson.loads(text)
        assert len(text) < 20 * MOST_VALUES


def test_a_schema_that_wants_too_much_is_refused() -> None:
    with pytest.raises(ValueError, match="more than"):
        invent({"type": "array", "minItems": MOST_VALUES + 1})


def test_a_streamed_call_adds_up_to_the_whole() -> None:
    class Kept:
        began = False

        def __init__(self) -> None:
            self.progress, self.calls = StreamProgress(), []

        def send(self, head: Any, choices: Any) -> None:
            self.calls += [call for choice in choices for call in choice["delta"].get("tool_calls", ())]

    sink = Kept()
    offer = Offer(
        provider="sandbox", model="gpt-4", upstream="u", input=1, output=1, version="v", max_output=99, bound_micros=0
    )
    request = {"messages": ASKED, "n": 1, "tools": [FIND], "tool_choice": "required"}
    answer = asyncio.run(Sandbox().call(ProviderCall("job_1", "chat.completion", request, offer, sink)))
    (whole,) = answer.body["choices"][0]["message"]["tool_calls"]
    assert [call["function"] for call in sink.calls] == [whole["function"]]
    assert answer.body["choices"][0]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(("top", "shown"), [({}, 0), ({"top_logprobs": 0}, 0), ({"top_logprobs": 5}, 1)])
def test_logprobs_are_there_when_asked_for_and_only_then(top: dict[str, int], shown: int) -> None:
    offer = Offer(
        provider="sandbox", model="m", upstream="u", input=0, output=0, version="v", max_output=9, bound_micros=0
    )
    for asked, wanted in ({}, False), ({"logprobs": False}, False), ({"logprobs": True, **top}, True):
        request = {"messages": ASKED, "n": 1, **asked}
        (choice,) = asyncio.run(Sandbox().call(ProviderCall("job_1", "chat.completion", request, offer))).body[
            "choices"
        ]
        assert bool(choice["logprobs"]) is wanted
    tokens = choice["logprobs"]["content"]
    assert "".join(token["token"] for token in tokens) == choice["message"]["content"]
    assert all(bytes(token["bytes"]).decode() == token["token"] for token in tokens)
    assert {len(token["top_logprobs"]) for token in tokens} == {shown}
