"""What Google wants back with a message or a tool call comes through answers of any protocol, whole and streamed."""

import json
from typing import Any

import orjson
import pytest

from shared.answers.streams import part
from shared.errors import ProviderError
from shared.submissions.schemas import read_submission
from shared.submissions.sending import Sending
from tests.acceptance.sse import added_up
from tests.unit.test_openai_protocol import GOOD, TOOL, ask
from tests.unit.test_stream_gathering import USAGE, Kept, call, delta, wire
from workers.providers import ProviderCall, openai
from workers.providers.openai.request import composed
from workers.running.partial_answer import SentAnswer


def signed(signature: str) -> dict[str, Any]:
    return {"extra_content": {"google": {"thought_signature": signature}}}


CALL = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"a":1}'}, **signed("one")}
OTHER = {"id": "c2", "type": "function", "function": {"name": "find", "arguments": "{}"}}
MESSAGE = {"role": "assistant", "content": "Hi", "refusal": None, "tool_calls": [CALL, OTHER], **signed("two")}


def test_they_come_with_a_whole_answer() -> None:
    """As Google's OpenAI-compatible endpoint has them."""
    choice = {"index": 0, "message": MESSAGE, "finish_reason": "tool_calls"}
    body = {"choices": [choice], "usage": GOOD["chat.completion"]["usage"]}
    found = openai.read(ask(tools=[TOOL]), 200, orjson.dumps(body))
    assert found.body["choices"][0]["message"] == MESSAGE


def test_what_is_too_deep_to_be_written_is_left_out() -> None:
    deep: dict[str, Any] = {}
    for _ in range(300):
        deep = {"a": deep}
    message = {**MESSAGE, "extra_content": deep, "tool_calls": [{**CALL, "extra_content": deep}]}
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
    found = openai.read(ask(tools=[TOOL]), 200, json.dumps({**body, "usage": USAGE}).encode())
    assert b"extra_content" not in orjson.dumps(found.body)
    body["choices"][0]["logprobs"] = {"content": [{"token": "Hi", "logprob": -1, "x": deep}]}
    with pytest.raises(ProviderError, match="logprobs is nested too deeply"):
        openai.read(ask(tools=[TOOL]), 200, json.dumps({**body, "usage": USAGE}).encode())


def test_they_come_with_the_name_of_a_call_and_with_the_end_of_a_message() -> None:
    pieces = [
        delta(content="Hi", **signed("two")),
        delta(tool_calls=[{"index": 0, **CALL}, {"index": 1, **OTHER}]),
        delta(finish="tool_calls"),
        {"choices": [], "usage": USAGE},
    ]
    sink = Kept()
    found = call(wire(*pieces, "[DONE]"), sink=sink, tools=[TOOL])
    assert found.body["choices"][0]["message"] == MESSAGE
    (streamed,) = added_up(sink.chunks)
    assert streamed["message"] == MESSAGE


def test_what_was_sent_of_an_answer_that_broke_off_has_them() -> None:
    sent = SentAnswer()
    sent.take({}, [part(0, {"role": "assistant", "content": ""})])
    sent.take({}, [part(0, {"content": "Hi"}), part(0, {"tool_calls": [{"index": 0, **CALL}, {"index": 1, **OTHER}]})])
    sent.take({}, [part(0, signed("two"), "tool_calls")])
    (choice,) = sent.choices()
    assert choice["message"] == MESSAGE
    assert sent.bytes == len('Hifind{"a":1}find{}'), "signatures are no answer that is paid for"


def test_they_go_back_as_they_came() -> None:
    turn = [{"role": "user", "content": "hi"}, MESSAGE, {"role": "tool", "tool_call_id": "c1", "content": "7"}]
    request = read_submission("chat.completion", {"model": "m", "messages": turn}).request
    body = composed(
        ProviderCall("job_1", "chat.completion", request, ask().offer), Sending(takes=frozenset(signed("")))
    )
    assert body["messages"][1]["tool_calls"] == [CALL, OTHER]
    assert body["messages"][1]["extra_content"] == signed("two")["extra_content"]
