"""Streams of the OpenAI protocol: what is passed on adds up to what is stored, and nothing cut off is an answer."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import httpx
import orjson
import pytest

from shared.answers.streams import chunk
from shared.errors import ProviderError
from shared.submissions.catalogue import Endpoint, Provider
from shared.submissions.offers import Offer
from tests.acceptance.sse import added_up
from tests.scripted_client import ScriptedClient
from workers.providers import ProviderAnswer, ProviderCall, openai, sandbox
from workers.providers.openai.stream import Gathering
from workers.upstream import event_stream

OFFER = Offer(
    provider="p", model="ours", upstream="theirs", input=1, output=1, version="v", bound_micros=1, max_output=9
)
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


class Kept:
    """A sink that keeps what it gets."""

    def __init__(self) -> None:
        self.chunks: list[dict[str, Any]] = []

    @property
    def began(self) -> bool:
        return bool(self.chunks)

    def send(self, head: Mapping[str, Any], choices: Sequence[Mapping[str, Any]]) -> None:
        self.chunks.append(chunk(head, choices))


def delta(index: int = 0, finish: Any = None, logprobs: Any = None, **given: Any) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": given, "logprobs": logprobs, "finish_reason": finish}]}


def wire(*chunks: Any) -> bytes:
    """Chunks as events; a str is an event's data as it stands."""
    data = (one if isinstance(one, str) else orjson.dumps(one).decode() for one in chunks)
    return b"".join(f"data: {one}\n\n".encode() for one in data)


def call(
    body: bytes | list[bytes], *, kind: str = "text/event-stream", sink: Any = None, **request: Any
) -> ProviderAnswer:
    """The adapter's answer to a provider that sends this."""

    async def parts() -> AsyncIterator[bytes]:
        for part in body if isinstance(body, list) else [body]:
            yield part

    def handler(request: httpx.Request) -> httpx.Response:
        sent.update(orjson.loads(request.content))
        return httpx.Response(200, content=parts(), headers={"content-type": kind})

    async def main() -> ProviderAnswer:
        upstream = openai.connect(
            Provider(name="p", protocol="openai"), Endpoint("https://p/v1", "k", False), ScriptedClient(handler)
        )
        return await upstream.call(ProviderCall("job_1", "chat.completion", request, OFFER, sink))

    request.setdefault("messages", [{"role": "user", "content": "hi"}])
    sent: dict[str, Any] = {}
    answer = asyncio.run(main())
    assert sent["stream"] is True and sent["stream_options"] == {"include_usage": True} and "sink" not in sent
    return answer


def failed(body: bytes, **more: Any) -> ProviderError:
    with pytest.raises(ProviderError) as raised:
        call(body, sink=Kept(), **more)
    return raised.value


PLAIN = (delta(role="assistant", content=""), delta(content="Hel"), delta(content="lo"), delta(finish="stop"))


def test_text_is_passed_on_and_put_together() -> None:
    sink = Kept()
    answer = call(wire(*PLAIN, {"choices": [], "usage": USAGE}, "[DONE]"), sink=sink)
    assert answer.body["choices"] == added_up(sink.chunks)
    assert answer.body["choices"][0]["message"] == {"role": "assistant", "content": "Hello", "refusal": None}
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.estimated) == (7, 3, False)
    assert {(one["id"], one["model"], one["created"]) for one in sink.chunks} == {
        ("chatcmpl-1", "ours", answer.body["created"])
    }


#: Chunks in the midst of a text that a short way of reading takes, or has to leave to the long one.
AMIDST: list[Any] = [
    delta(content="lo"),
    delta(role="assistant", content="lo"),
    delta(content="lo", refusal="No"),
    delta(content="lo", reasoning="Hm"),
    delta(content="lo", logprobs={"content": [{"token": "lo", "logprob": -1.0}]}),
    delta(content="lo", finish="length"),
    {**delta(content="lo"), "usage": USAGE},
    {**delta(content="lo"), "x_groq": {"usage": USAGE}},
    {"choices": [{**delta(content="lo")["choices"][0], "usage": USAGE}]},
    {"choices": [*delta(content="lo")["choices"], *delta(1, content="too many")["choices"]]},
    {"choices": [{"delta": {"content": "lo"}}]},
    delta(3, content="too many"),
    delta(content=[{"type": "text", "text": "lo"}]),
    delta(content=""),
    delta(tool_calls=[{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}]),
]


@pytest.mark.parametrize("chunk", AMIDST)
def test_the_short_way_of_reading_comes_to_the_same(monkeypatch: pytest.MonkeyPatch, chunk: Any) -> None:
    body = wire(delta(content="Hel"), chunk, delta(content="!"), delta(finish="stop"), "[DONE]")
    found = []
    for short in (True, False):
        if not short:
            monkeypatch.setattr(Gathering, "_take_text", lambda *_: False)
        sink = Kept()
        answer = call(body, sink=sink)
        made = [one["choices"] for one in sink.chunks]
        found.append((made, answer.body["choices"], answer.usage))
    assert found[0] == found[1]


@pytest.mark.parametrize("end", ["\n\n", "\r\n\r\n"])
@pytest.mark.parametrize("size", [1, 2, 7, 10_000])
def test_events_may_be_cut_anywhere(end: str, size: int) -> None:
    whole = b": comment\n\nevent: x\nid: 3\n" + wire(delta(role="assistant", content="Grüße, "), delta(content="七"))
    whole += b"data:" + wire(delta(finish="stop"), "[DONE]").removeprefix(b"data: ")
    whole = whole.replace(b"\n\n", end.encode())
    sink = Kept()
    answer = call([whole[at : at + size] for at in range(0, len(whole), size)], sink=sink)
    assert answer.body["choices"][0]["message"]["content"] == "Grüße, 七" and answer.usage.estimated


def tool(index: int | None, id: str | None = None, name: str | None = None, arguments: str | None = None) -> Any:
    given = {"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
    return {key: value for key, value in given.items() if value is not None}


#: How providers cut tool calls: (the pieces, the calls they are)
TOOLS: list[tuple[list[Any], list[tuple[str, str, str]]]] = [
    (
        [tool(0, "a", "f", ""), tool(0, arguments='{"x"'), tool(0, arguments=":1}"), tool(1, "b", "g", "{}")],
        [("a", "f", '{"x":1}'), ("b", "g", "{}")],
    ),
    ([tool(1, "a", "f", "{"), tool(3, "b", "g", "[]"), tool(1, arguments="}")], [("a", "f", "{}"), ("b", "g", "[]")]),
    ([tool(None, "a", "f", "{}"), tool(None, "b", "g", "{}")], [("a", "f", "{}"), ("b", "g", "{}")]),
    ([tool(None, "a", "f", "{"), tool(None, None, None, "}")], [("a", "f", "{}")]),
    ([tool(0, None, "f", "{}")], [("call_1_0_0", "f", "{}")]),
    ([tool(0, "a", None, "{"), tool(0, None, "late", "}")], [("a", "late", "{}")]),
    ([tool(0, "a", "f", "{"), tool(0, "a", "f", "}")], [("a", "f", "{}")]),
]


@pytest.mark.parametrize(("pieces", "calls"), TOOLS)
def test_tool_calls_are_put_together(pieces: list[Any], calls: list[tuple[str, str, str]]) -> None:
    sink = Kept()
    chunks = [delta(role="assistant", content=None), *(delta(tool_calls=[piece]) for piece in pieces)]
    answer = call(wire(*chunks, delta(finish="tool_calls"), "[DONE]"), sink=sink)
    (choice,) = answer.body["choices"]
    assert [(one["id"], *one["function"].values()) for one in choice["message"]["tool_calls"]] == calls
    assert choice["message"]["content"] is None and added_up(sink.chunks) == answer.body["choices"]


def test_several_choices_refusals_and_logprobs() -> None:
    likely = [{"token": "x", "logprob": -1.0}]
    chunks = (
        delta(1, refusal="No"), delta(0, content="x", logprobs={"content": likely}), delta(1, refusal="."),
        delta(0, content="x", logprobs={"content": likely}), delta(1, finish="stop"), delta(0, finish="length"),
    )  # fmt: skip
    sink = Kept()
    zero, one = call(wire(*chunks, "[DONE]"), sink=sink, n=2).body["choices"]
    assert one["message"] == {"role": "assistant", "content": None, "refusal": "No."} and one["logprobs"] is None
    assert zero["message"]["content"] == "xx" and zero["logprobs"] == {"content": likely * 2, "refusal": None}
    assert added_up(sink.chunks) == [{**zero, "logprobs": None}, one]


def test_thoughts_are_a_text_of_their_own() -> None:
    sink = Kept()
    thinking = (delta(role="assistant", content="", reasoning_content="h"), delta(reasoning_content="m"))
    answer = call(wire(*thinking, delta(finish="length"), "[DONE]"), sink=sink)
    message = answer.body["choices"][0]["message"]
    assert message == {"role": "assistant", "content": "", "refusal": None, "reasoning_content": "hm"}
    assert added_up(sink.chunks) == [{**answer.body["choices"][0], "message": {**message, "content": None}}]


def test_nothing_invisible_is_passed_on() -> None:
    sink = Kept()
    call(wire(delta(role="assistant", content=""), delta(finish="length"), "[DONE]"), sink=sink)
    assert not sink.began


def test_a_finish_reason_for_every_choice_is_an_end_without_done() -> None:
    assert call(wire(*PLAIN), sink=Kept()).body["choices"][0]["message"]["content"] == "Hello"
    assert call(wire(*PLAIN) + b"data: {cut", sink=Kept()).usage.estimated
    assert failed(wire(*PLAIN), n=2).code == "protocol"
    assert failed(wire(*PLAIN, delta(1, content="cut"), "[DONE]"), n=2).code == "protocol"


def test_a_choice_that_nobody_asked_for_is_left_out_and_one_that_is_not_given_is_told() -> None:
    sink = Kept()
    answer = call(wire(*PLAIN, delta(1, content="more"), delta(1, finish="stop"), "[DONE]"), sink=sink)
    assert added_up(sink.chunks) == answer.body["choices"] and len(answer.body["choices"]) == 1
    assert answer.ignored == [] and call(wire(*PLAIN, "[DONE]"), n=2, sink=Kept()).ignored == ["n"]


#: Streams that end well as HTTP goes and hold no answer: (what is sent, the code)
NO_ANSWERS: list[tuple[bytes, str]] = [
    (b"", "protocol"),
    (wire("[DONE]"), "empty"),
    (wire(*PLAIN[:-1]), "protocol"),
    (wire(*PLAIN[:-1], "[DONE]"), "protocol"),
    (wire(*PLAIN[:2]) + b"data: {cut\n\n", "protocol"),
    (wire(*PLAIN[:2], "null"), "protocol"),
    (wire(*PLAIN[:2], {"choices": [None]}), "shape"),
    (wire(*PLAIN[:2], {"choices": 7}), "shape"),
    (wire(delta(content=7)), "shape"),
    (wire(delta(content={"a": 1})), "shape"),
    (wire(delta(tool_calls=[tool(-1, "a", "f", "")])), "shape"),
    (wire(delta(tool_calls=[{"index": 0, "function": {"name": "f", "arguments": 7}}])), "shape"),
    (wire(delta(10**9, content="x")), "shape"),
    (wire(delta(-1, content="x")), "shape"),
    (wire(*PLAIN[:-1], delta(finish=True)), "shape"),
    (wire(*PLAIN[:2], {"error": {"message": "m", "type": "server_error", "code": None}}), "server_error"),
    (wire({"error": {"message": "m", "code": "insufficient_quota"}}), "insufficient_quota"),
    (wire([{"error": {"message": "m", "code": 401, "status": "UNAUTHENTICATED"}}]), "UNAUTHENTICATED"),
]


@pytest.mark.parametrize(("body", "code"), NO_ANSWERS)
def test_a_stream_without_its_end_is_no_answer(body: bytes, code: str) -> None:
    assert failed(body).code == code


def test_a_provider_that_does_not_stream_is_read_whole() -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "whole"}, "finish_reason": "stop"}
    sink = Kept()
    answer = call(orjson.dumps({"choices": [choice], "usage": USAGE}), kind="application/json", sink=sink)
    assert answer.body["choices"][0]["message"]["content"] == "whole" and not sink.began
    assert failed(b"<html>", kind="text/html").code == "protocol"
    assert failed(b'{"error":{"message":"m","code":"insufficient_quota"}}', kind="application/json").code


def test_an_event_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "MOST_BYTES", 1000)
    assert failed(b"data: " + b"x" * 2000).code == "protocol"


def test_a_request_without_a_sink_is_not_streamed() -> None:
    body = orjson.loads(
        openai.payload(ProviderCall("job_1", "chat.completion", {"stream": True, "messages": []}, OFFER))
    )
    assert "stream" not in body and "stream_options" not in body


@pytest.mark.parametrize("request_", [{}, {"n": 3}, {"max_tokens": 2}])
def test_the_sandbox_streams_what_it_answers(request_: dict[str, Any]) -> None:
    sink = Kept()
    ask = ProviderCall("job_1", "chat.completion", {"messages": [], "n": 1, **request_}, OFFER, sink)
    answer = asyncio.run(sandbox.Sandbox().call(ask))
    assert added_up(sink.chunks) == answer.body["choices"] and len(sink.chunks) > 3


def test_the_sandbox_streams_the_logprobs_of_each_piece() -> None:
    sink = Kept()
    request = {"messages": [], "n": 1, "logprobs": True, "top_logprobs": 1}
    answer = asyncio.run(sandbox.Sandbox().call(ProviderCall("job_1", "chat.completion", request, OFFER, sink)))
    pieces = [choice for chunk in sink.chunks for choice in chunk["choices"] if choice["delta"].get("content")]
    tokens = [token for piece in pieces for token in piece["logprobs"]["content"]]
    assert [token["token"] for token in tokens] == [piece["delta"]["content"] for piece in pieces]
    assert tokens == answer.body["choices"][0]["logprobs"]["content"]
