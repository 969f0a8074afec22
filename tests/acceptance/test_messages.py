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
