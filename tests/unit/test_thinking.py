"""Reasoning before the answer: whole and chunk by chunk come to the same, whatever of it was read before."""

from typing import Any

import orjson
import pytest

from shared.answers import streams, thinking
from shared.answers.streams import StreamProgress
from shared.answers.thinking import ThinkingChunks
from shared.errors import InvalidRequest
from shared.submissions.schemas import read_submission

HEAD = {"id": "chatcmpl-1", "created": 1, "model": "m"}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
SIGNED = [{"type": "thinking", "thinking": "Hm.", "signature": "s"}]


def choice(index: int = 0, **message: Any) -> dict[str, Any]:
    said = {"role": "assistant", "content": None, "refusal": None, **message}
    return {"index": index, "message": said, "logprobs": None, "finish_reason": "stop"}


def whole(*choices: dict[str, Any], keeps: bool = False) -> list[dict[str, Any]]:
    body = orjson.dumps({**HEAD, "choices": choices}).decode()
    return [one["message"] for one in orjson.loads(thinking.dressed(body, keeps=keeps))["choices"]]


def streamed(*choices: dict[str, Any], keeps: bool = False) -> list[Any]:
    """The parts of a stream of these answers, a character of each text at a time."""
    chunks = ThinkingChunks(StreamProgress(), keeps=keeps)
    return [part for part, _ in dressed(chunks, pieces(choices))]


def pieces(choices: Any) -> list[dict[str, Any]]:
    made = []
    for parts in streams.rest(choices, StreamProgress()):
        for part in parts:
            name = next((n for n in ("reasoning_content", "content", "refusal") if part["delta"].get(n)), None)
            texts = part["delta"][name] if name else ""
            made += [{**part, "delta": {name: one}} for one in texts] if name else [part]
    return made


def dressed(chunks: ThinkingChunks, parts: list[dict[str, Any]]) -> list[tuple[Any, dict[str, Any]]]:
    """Each part as it is sent, with what it was made of."""
    return [
        (orjson.loads(chunks.dress(orjson.dumps(streams.chunk(HEAD, [part]))))["choices"][0], part) for part in parts
    ]


def texts(parts: list[Any], name: str, index: int = 0) -> str:
    return "".join(part["delta"].get(name) or "" for part in parts if part["index"] == index)


ANSWERS = {
    "an answer": (choice(content="Yes.", reasoning_content="Hm."), "<thinking>Hm.</thinking>\n\nYes."),
    "a call": (choice(tool_calls=[CALL], reasoning_content="Hm."), "<thinking>Hm.</thinking>"),
    "a refusal": (choice(refusal="No.", reasoning_content="Hm."), "<thinking>Hm.</thinking>"),
    "thoughts alone": (choice(reasoning_content="Hm."), "<thinking>Hm.</thinking>"),
    "no thoughts": (choice(content="Yes."), "Yes."),
    "empty thoughts": (choice(content="Yes.", reasoning_content=""), "Yes."),
    "tags of its own": (
        choice(content="<thinking>", reasoning_content="</x>"),
        "<thinking></x></thinking>\n\n<thinking>",
    ),
}


@pytest.mark.parametrize("keeps", [False, True])
@pytest.mark.parametrize("name", ANSWERS)
def test_streamed_and_whole_are_the_same(name: str, keeps: bool) -> None:
    answer, text = ANSWERS[name]
    (message,), parts = whole(answer, keeps=keeps), streamed(answer, keeps=keeps)
    assert (message["content"] or "") == texts(parts, "content") == text
    kept = answer["message"].get("reasoning_content") or ""
    assert (message.get("reasoning_content") or "") == texts(parts, "reasoning_content") == (kept if keeps else "")


@pytest.mark.parametrize("name", ANSWERS)
def test_a_reader_who_comes_back_gets_the_same_text(name: str) -> None:
    answer, text = ANSWERS[name]
    parts = pieces([answer])
    for at in range(len(parts)):
        before = StreamProgress()
        for part in parts[:at]:
            before.advance([part])
        first = [one for one, _ in dressed(ThinkingChunks(StreamProgress()), parts[:at])]
        rest = [one for one, _ in dressed(ThinkingChunks(before), parts[at:])]
        assert texts(first, "content") + texts(rest, "content") == text


def test_each_of_several_answers_has_its_own() -> None:
    answers = (
        choice(content="A", reasoning_content="a"),
        choice(1, content="B"),
        choice(2, content="C", reasoning_content="c"),
    )
    parts = streamed(*answers)
    said = ["<thinking>a</thinking>\n\nA", "B", "<thinking>c</thinking>\n\nC"]
    assert [message["content"] for message in whole(*answers)] == said
    assert [texts(parts, "content", index) for index in range(3)] == said


def test_thoughts_in_the_midst_of_an_answer_stay_there() -> None:
    late = {"type": "thinking", "thinking": "Then.", "signature": "t", "after": {"characters": 2, "tool_calls": 0}}
    (message,) = whole(choice(content="AB CD", reasoning_content="Hm.Then.", thinking_blocks=[*SIGNED, late]))
    assert message["content"] == "<thinking>Hm.</thinking>\n\nAB CD" and message["reasoning_content"] == "Then."
    assert message["thinking_blocks"][1]["after"]["characters"] == len("<thinking>Hm.</thinking>\n\nAB")
    deltas = [{"reasoning_content": "Hm."}, {"content": "AB"}, {"reasoning_content": "Then."}, {"content": " CD"}]
    parts = [one for one, _ in dressed(ThinkingChunks(StreamProgress()), [streams.part(0, dict(d)) for d in deltas])]
    assert texts(parts, "content") == message["content"] and texts(parts, "reasoning_content") == "Then."


def test_a_chunk_without_choices_is_left_as_it_is() -> None:
    assert ThinkingChunks(StreamProgress()).dress(b'{"choices":[],"usage":{}}') == b'{"choices":[],"usage":{}}'


def test_an_answer_in_json_stays_json() -> None:
    body = {"model": "gpt-4", "messages": [{"role": "user", "content": "hi"}], "include_thinking": True}
    assert read_submission("chat.completion", body).options.include_thinking
    formatted = read_submission("chat.completion", {**body, "response_format": {"type": "json_object"}})
    assert not formatted.options.include_thinking and formatted.request["extras"] == {"include_thinking": None}
    with pytest.raises(InvalidRequest) as error:
        read_submission("chat.completion", {**body, "include_thinking": "yes"}, at="jobs[1].")
    assert error.value.param == "jobs[1].include_thinking"
