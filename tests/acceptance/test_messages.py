"""Anthropic's Messages, spoken by the official SDK, unmodified, to a running stack."""

import asyncio
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

from tests.acceptance.stack import Account

HELLO: Any = [{"role": "user", "content": "Hello, world"}]


def client(account: Account, **more: Any) -> anthropic.Anthropic:
    """The official client with the account's live key."""
    return anthropic.Anthropic(base_url=account.stack.url, api_key=account.live_key, **{"max_retries": 0, **more})


@pytest.fixture
def claude(account: Account) -> Iterator[anthropic.Anthropic]:
    with client(account) as made:
        yield made


@pytest.mark.parametrize("model", ["claude-3-opus", "gpt-4", "gemini-pro", "deepinfra.deepseek-r1"])
def test_any_model_answers_with_a_message(account: Account, claude: anthropic.Anthropic, model: str) -> None:
    answer = claude.messages.create(model=model, max_tokens=100, messages=HELLO, system="Answer in one sentence.")
    assert answer.type == "message" and answer.role == "assistant" and answer.id.startswith("msg_")
    assert answer.stop_reason == "end_turn" and answer.stop_sequence is None
    assert answer.content[-1].type == "text" and answer.content[-1].text
    (job,) = account.live.get("/jobs").json()["data"]
    assert answer.model == job["served_by"]["model"]
    used = job["usage"]
    read, written = answer.usage.cache_read_input_tokens or 0, answer.usage.cache_creation_input_tokens or 0
    assert answer.usage.input_tokens + read + written == used["prompt_tokens"] > 0
    assert answer.usage.output_tokens == used["completion_tokens"] > 0


def test_the_async_client_too(account: Account) -> None:
    async def main() -> Any:
        async with anthropic.AsyncAnthropic(base_url=account.stack.url, api_key=account.live_key) as made:
            return await made.messages.create(model="claude-3-opus", max_tokens=100, messages=HELLO)

    assert asyncio.run(main()).content[-1].text


@pytest.mark.parametrize("model", ["claude-3-opus", "gpt-4", "gemini-pro", "deepinfra.deepseek-r1"])
def test_a_stream_adds_up_to_the_whole_answer(claude: anthropic.Anthropic, model: str) -> None:
    asked: Any = {
        "model": model,
        "max_tokens": 100,
        "messages": HELLO,
        "system": [{"type": "text", "text": "Be brief."}],
    }
    whole = claude.messages.create(**asked)
    with claude.messages.stream(**asked) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_message()
    assert final.to_dict()["content"] == whole.to_dict()["content"]
    assert (final.stop_reason, final.model, final.id[:4]) == ("end_turn", whole.model, "msg_")
    assert final.usage.output_tokens == whole.usage.output_tokens
    assert final.usage.input_tokens == whole.usage.input_tokens > 0
    assert kinds[0] == "message_start" and kinds[-1] == "message_stop"
    assert kinds.count("content_block_start") == kinds.count("content_block_stop") == len(final.content)


def test_raw_events_and_the_async_stream(account: Account, claude: anthropic.Anthropic) -> None:
    asked: Any = {"model": "gpt-4", "max_tokens": 100, "messages": HELLO}
    raw = [event.type for event in claude.messages.create(**asked, stream=True)]
    once = [kind for at, kind in enumerate(raw) if at == 0 or raw[at - 1] != kind]
    assert once == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]

    async def main() -> Any:
        async with anthropic.AsyncAnthropic(base_url=account.stack.url, auth_token=account.live_key) as made:
            async with made.messages.stream(**asked) as stream:
                return await stream.get_final_message()

    assert asyncio.run(main()).content[0].text


WEATHER: Any = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
ASKING: Any = [{"role": "user", "content": "Please use get_weather for Paris"}]


@pytest.mark.parametrize("model", ["claude-3-opus", "gpt-4", "gemini-pro"])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_tool_is_called_and_its_result_read(claude: anthropic.Anthropic, model: str, streamed: bool) -> None:
    asked: Any = {"model": model, "max_tokens": 2000, "tools": [WEATHER], "messages": ASKING}
    called = said(claude, streamed, **asked)
    block = called.content[-1]
    assert called.stop_reason == "tool_use" and block.type == "tool_use" and block.name == "get_weather"
    assert block.input == {"city": "simulated city"}
    result: Any = {"type": "tool_result", "tool_use_id": block.id, "content": [{"type": "text", "text": "sunny"}]}
    asked["messages"] = [
        *ASKING,
        {"role": "assistant", "content": called.content},
        {"role": "user", "content": [result]},
    ]
    final = said(claude, streamed, **asked)
    assert final.stop_reason == "end_turn" and final.content[-1].type == "text"


def said(claude: anthropic.Anthropic, streamed: bool, **asked: Any) -> anthropic.types.Message:
    """The message, whole or put together of its events."""
    if not streamed:
        return claude.messages.create(**asked)
    with claude.messages.stream(**asked) as stream:
        return stream.get_final_message()


@pytest.mark.parametrize("streamed", [False, True])
def test_thoughts_come_signed_and_go_back(claude: anthropic.Anthropic, streamed: bool) -> None:
    asked: Any = {
        "model": "claude-haiku-4-5",
        "max_tokens": 3000,
        "messages": HELLO,
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    }
    first = said(claude, streamed, **asked)
    assert [block.type for block in first.content] == ["thinking", "text"]
    thought = first.content[0]
    assert thought.type == "thinking" and thought.thinking and thought.signature
    details = first.usage.output_tokens_details
    assert details is not None and 0 < details.thinking_tokens < first.usage.output_tokens
    more: Any = [*HELLO, {"role": "assistant", "content": first.content}, {"role": "user", "content": "And then?"}]
    assert said(claude, streamed, **{**asked, "messages": more}).stop_reason == "end_turn"
    forged: Any = {"type": "thinking", "thinking": "Something else.", "signature": "EqsB"}
    more[1] = {"role": "assistant", "content": [forged, first.content[1]]}
    with pytest.raises(anthropic.BadRequestError, match="signature"):
        claude.messages.create(**{**asked, "messages": more})


@pytest.mark.parametrize("streamed", [False, True])
def test_a_secret_thought_goes_back_too(claude: anthropic.Anthropic, streamed: bool) -> None:
    magic = "ANTHROPIC_MAGIC_STRING_TRIGGER_REDACTED_THINKING"
    asked: Any = {
        "model": "claude-haiku-4-5",
        "max_tokens": 3000,
        "messages": [{"role": "user", "content": magic}],
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    }
    first = said(claude, streamed, **asked)
    assert [block.type for block in first.content] == ["redacted_thinking", "text"]
    asked["messages"] += [{"role": "assistant", "content": first.content}, {"role": "user", "content": "And then?"}]
    assert said(claude, streamed, **asked).stop_reason == "end_turn"
