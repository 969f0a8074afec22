"""The simulator answers Anthropic's own client."""

from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import pytest
from anthropic._exceptions import OverloadedError

from workers.simulator.server import simulator

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 2}},
    "required": ["city"],
}
HELLO: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello there, how are you?"}]
ASKING: Any = [{"role": "user", "content": "Please use get_weather for Paris"}]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with simulator() as base:
        yield base


@pytest.fixture(scope="module")
def claude(url: str) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=f"{url}/anthropic", api_key="key", max_retries=0) as client:
        yield client


def script(url: str, *rules: dict[str, Any]) -> None:
    httpx.post(f"{url}/_simulator/script", json={"rules": list(rules)}).raise_for_status()


@pytest.fixture(autouse=True)
def clean(url: str) -> Iterator[None]:
    yield
    httpx.delete(f"{url}/_simulator/script")


def test_claude_answers_and_streams_the_same(claude: anthropic.Anthropic) -> None:
    asked: Any = {"model": "claude-x", "max_tokens": 100, "messages": HELLO[1:], "system": "Be brief."}
    whole = claude.messages.create(**asked)
    assert whole.content[0].type == "text" and "Hello there" in whole.content[0].text
    assert whole.stop_reason == "end_turn" and whole.usage.output_tokens <= 100
    with claude.messages.stream(**asked) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_message()
    assert final.content[0].type == "text" and final.content[0].text == whole.content[0].text
    assert final.usage.output_tokens == whole.usage.output_tokens
    assert kinds[:2] == ["message_start", "content_block_start"] and kinds[-1] == "message_stop"


def test_claude_limits_and_stops(claude: anthropic.Anthropic) -> None:
    short = claude.messages.create(model="c", max_tokens=2, messages=ASKING)
    assert (short.stop_reason, short.usage.output_tokens) == ("max_tokens", 2)
    stopped = claude.messages.create(model="c", max_tokens=99, messages=ASKING, stop_sequences=["to:"])
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", "to:")
    assert claude.messages.count_tokens(model="c", messages=ASKING).input_tokens == short.usage.input_tokens


def test_claude_uses_tools(claude: anthropic.Anthropic) -> None:
    tools: Any = [{"name": "get_weather", "input_schema": WEATHER}]
    called = claude.messages.create(model="c", max_tokens=99, messages=ASKING, tools=tools)
    block = called.content[0]
    assert called.stop_reason == "tool_use" and block.type == "tool_use"
    assert block.input == {"city": "simulated city", "days": 2}
    with claude.messages.stream(model="c", max_tokens=99, messages=ASKING, tools=tools) as stream:
        streamed = stream.get_final_message().content[0]
    assert streamed.type == "tool_use" and streamed.input == block.input
    history: Any = [
        *ASKING,
        {"role": "assistant", "content": [block.model_dump(include={"type", "id", "name", "input"})]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": block.id, "content": "sunny"}]},
    ]
    final = claude.messages.create(model="c", max_tokens=99, messages=history, tools=tools)
    assert final.stop_reason == "end_turn"
    with pytest.raises(anthropic.BadRequestError):
        claude.messages.create(model="c", max_tokens=99, messages=[history[0], history[2]], tools=tools)


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (529, "overloaded_error", OverloadedError),
        (429, "", anthropic.RateLimitError),
        (401, "", anthropic.AuthenticationError),
        (400, "", anthropic.BadRequestError),
    ],
)
def test_claude_errors(
    claude: anthropic.Anthropic, url: str, status: int, code: str, error: type[anthropic.APIStatusError]
) -> None:
    script(url, {"provider": "anthropic", "fault": {"status": status, "code": code}})
    with pytest.raises(error) as found:
        claude.messages.create(model="c", max_tokens=9, messages=ASKING)
    body: Any = found.value.body
    assert body["type"] == "error" and body["error"]["type"].endswith("_error")


def test_claude_takes_its_key_in_either_header(url: str) -> None:
    body = {"model": "c", "max_tokens": 9, "messages": ASKING}
    for key in ({"x-api-key": "k"}, {"authorization": "Bearer k"}):
        headers = {"anthropic-version": "2023-06-01", **key}
        assert httpx.post(f"{url}/anthropic/v1/messages", json=body, headers=headers).status_code == 200


def test_claude_needs_its_headers(url: str) -> None:
    body = {"model": "c", "max_tokens": 9, "messages": ASKING}
    bare = httpx.post(f"{url}/anthropic/v1/messages", json=body)
    assert (bare.status_code, bare.json()["error"]["type"]) == (401, "authentication_error")
    unversioned = httpx.post(f"{url}/anthropic/v1/messages", json=body, headers={"x-api-key": "k"})
    assert (unversioned.status_code, unversioned.json()["error"]["type"]) == (400, "invalid_request_error")
