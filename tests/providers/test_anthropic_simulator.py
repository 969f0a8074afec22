"""The Anthropic adapter against the simulator over real HTTP: whole and streamed, tools, thoughts, errors."""

from collections.abc import Iterator

import pytest

from tests.providers.claude import Heard, answer, call, user
from workers.simulator.server import simulator

HELLO = {"messages": [{"role": "system", "content": "Be brief."}, user("Hello there, how are you?")]}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with simulator() as base:
        yield f"{base}/anthropic/v1"


def test_a_text_is_answered_whole(url: str) -> None:
    found = answer(url, call(HELLO))
    choice = found.body["choices"][0]
    assert "Hello there" in choice["message"]["content"]
    assert choice["finish_reason"] == "stop"
    assert found.usage.prompt_tokens > 0 and found.usage.completion_tokens > 0 and not found.usage.estimated
    assert found.ignored == []


def test_a_stream_adds_up_to_the_whole(url: str) -> None:
    sink = Heard()
    found, whole = answer(url, call(HELLO, sink=sink)), answer(url, call(HELLO))
    assert found.body["choices"] == whole.body["choices"]
    assert found.usage == whole.usage
    assert "".join(sink.all_of("content")) == whole.body["choices"][0]["message"]["content"]
    assert [part["finish_reason"] for part in sink.parts][-2:] == [None, "stop"]
