"""Whatever of an answer a reader has had, the rest completes it: for every answer, every cutting, every place."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.answers.streams import FROM_RESULT, EventId, StreamProgress, part, read_event_id, rest
from shared.errors import InvalidRequest
from tests.acceptance.sse import added_up

texts = st.none() | st.text(max_size=12)
#: What a provider wants back with a message or a call, if anything.
beside = st.sampled_from([{}, {"extra_content": {"google": {"thought_signature": "AA=="}}}])
calls = st.lists(
    st.builds(
        lambda id, name, arguments, beside: {
            **{"id": id, "type": "function", "function": {"name": name, "arguments": arguments}},
            **beside,
        },
        st.text("abc", min_size=1, max_size=3),
        st.text("xyz", min_size=1, max_size=3),
        st.text(max_size=8),
        beside,
    ),
    max_size=3,
)


@st.composite
def answers(draw: st.DrawFn) -> list[dict[str, Any]]:
    """The choices of a whole answer."""
    choices = []
    for index in range(draw(st.integers(1, 12))):
        message = {"role": "assistant", "content": draw(texts), "refusal": draw(st.none() | st.text(min_size=1))}
        if thought := draw(st.none() | st.text(min_size=1, max_size=8)):
            message["reasoning_content"] = thought
        if made := draw(calls):
            message["tool_calls"] = made
        message.update(draw(beside))
        reason = draw(st.sampled_from(["stop", "length", "tool_calls"]))
        choices.append({"index": index, "message": message, "logprobs": None, "finish_reason": reason})
    return choices


def cut(draw: st.DrawFn, choice: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """One choice as the chunks of some provider."""
    index, message = choice["index"], choice["message"]
    pieces: list[dict[str, Any]] = []
    for name in ("reasoning_content", "content", "refusal"):
        text = message.get(name) or ""
        at = draw(st.integers(0, len(text)))
        pieces += [part(index, {name: piece}) for piece in (text[:at], text[at:]) if piece]
    for number, call in enumerate(message.get("tool_calls", ())):
        arguments = call["function"]["arguments"]
        at = draw(st.integers(0, len(arguments)))
        named = {"name": call["function"]["name"], "arguments": arguments[:at]}
        head = {**call, "index": number, "function": named}
        pieces += [part(index, {"tool_calls": [head]})]
        pieces += [part(index, {"tool_calls": [{"index": number, "function": {"arguments": arguments[at:]}}]})]
    spoken = "" if message["content"] is not None else None
    role = part(index, {"role": "assistant", "content": spoken})
    ending = {name: given for name, given in message.items() if name == "extra_content"}
    return [[piece] for piece in (role, *pieces, part(index, ending, choice["finish_reason"]))]


def chunked(pieces: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return [{"object": "chat.completion.chunk", "choices": choices} for choices in pieces]


@given(st.data())
def test_the_rest_completes_what_was_sent(data: st.DataObject) -> None:
    answer = data.draw(answers())
    pieces = [piece for choice in answer for piece in cut(data.draw, choice)]
    pieces = pieces[: data.draw(st.integers(0, len(pieces)))]
    progress = StreamProgress()
    for choices in pieces:
        progress.advance(choices)
    id = "job_01a1fe3d704800008c57b6c179cf9943"
    known = read_event_id(str(EventId(id, 3, 7, progress)), id)
    assert known == EventId(id, 3, 7, progress)
    left = list(rest(answer, known.progress))
    assert added_up(chunked([*pieces, *left])) == answer
    for choices in left:
        known.progress.advance(choices)
    assert list(rest(answer, known.progress)) == []


def test_logprobs_are_completed_by_tokens() -> None:
    likely = [{"token": word, "logprob": -0.1} for word in ("a", "b", "c")]
    message = {"role": "assistant", "content": "abc", "refusal": None}
    answer = [{"index": 0, "message": message, "logprobs": {"content": likely}, "finish_reason": "stop"}]
    progress = StreamProgress()
    progress.advance([part(0, {"role": "assistant", "content": ""})])
    progress.advance([part(0, {"content": "ab"}, logprobs={"content": likely[:2]})])
    (last, end) = rest(answer, progress)
    assert last == [part(0, {"content": "c"}, logprobs={"content": likely[2:]})] and end == [part(0, {}, "stop")]


def test_a_choice_is_not_taken_for_another_whose_number_begins_alike() -> None:
    progress = StreamProgress({"11c": 4})
    choice = {"index": 1, "message": {"content": "one"}, "finish_reason": "stop"}
    assert next(piece[0]["delta"] for piece in rest([choice], progress)) == {"role": "assistant", "content": ""}


def test_the_id_of_the_widest_stream_is_taken_back() -> None:
    """As many choices as may be asked for, all under way at once, each with many tool calls."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "x" * 99_999}}
    progress = StreamProgress()
    for index in range(128):
        progress.advance([part(index, {"role": "assistant", "content": "x" * 99_999})])
        progress.advance([part(index, {"tool_calls": [{"index": number, **call} for number in range(24)]})])
    id = "job_01a1fe3d704800008c57b6c179cf9943"
    text = str(EventId(id, 3, 9_999_999, progress))
    assert read_event_id(text, id).progress == progress and len(text) > 16_384
    for index in range(128):
        progress.advance([part(index, {}, "tool_calls")])
    assert len(str(progress)) < 128 * 8, "what has ended is not spelled out"


@pytest.mark.parametrize(
    "text",
    ["", "1", "1-2", "0-1/", "1-1/0x=1", "1-1/0c=-1", "1-1/0c=1;", f"1-{FROM_RESULT + 1}/", "1-1/0c=" + "1" * 20,
     "1-1/\n", "1-1/0c=1\x00", "١-1/", "1-1/" + "0c=1," * 20_000],
)  # fmt: skip
def test_an_id_that_is_none_of_ours_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        read_event_id(f"job_1-{text}", "job_1")
