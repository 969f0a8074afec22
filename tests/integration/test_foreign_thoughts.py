"""Thoughts that another model signed: a provider that refuses them is asked once more, without them."""

import asyncio
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from shared.db import Database
from shared.submissions.catalogue import Endpoint, catalogue
from tests.integration import attempts, world
from tests.integration.test_engine import Silent
from tests.providers.zoo_cells import PROTOCOLS
from workers.providers import ProviderAnswer, ProviderCall
from workers.running.engine import Engine
from workers.running.settler import Settler
from workers.running.slots import Slots
from workers.simulator.server import simulator
from workers.upstream.transport import ProviderClient

FORGED = {"type": "thinking", "thinking": "Hm.", "signature": "c2lnbmVkIGVsc2V3aGVyZQ=="}
CALLING = {"id": "toolu_1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}
RESULT = {"role": "tool", "tool_call_id": "toolu_1", "content": "sunny"}


def conversation(**said: Any) -> list[dict[str, Any]]:
    assistant = {"role": "assistant", "content": None, "tool_calls": [CALLING], **said}
    return [{"role": "user", "content": "use get_weather"}, assistant, RESULT]


@pytest.fixture(scope="module")
def simulated() -> Iterator[str]:
    with simulator() as url:
        yield url


class Counted:
    """A provider, and what it is asked."""

    def __init__(self, protocol: str, url: str, client: Any) -> None:
        spoken = PROTOCOLS[protocol]
        endpoint = Endpoint(f"{url}{spoken.path}", "a-key-of-tests", simulated=False)
        self._upstream = spoken.adapter.connect(catalogue().providers[protocol], endpoint, client)
        self.calls: list[ProviderCall] = []

    async def call(self, asked: ProviderCall) -> ProviderAnswer:
        self.calls.append(asked)
        answer: ProviderAnswer = await self._upstream.call(asked)
        return answer


def run(database: Database, url: str, protocol: str, messages: list[dict[str, Any]]) -> tuple[str, int]:
    """The id of a job that has run, and how often its provider was called."""
    model = PROTOCOLS[protocol].model
    wanted = world.submission(model=model, messages=messages, tools=[TOOL], max_tokens=200)
    made = world.Acceptor(database, world.RecordedBell()).prepare(
        world.open_account(database), [wanted], listed=False, claim=None
    )
    world.accept_all(database, [made])
    id = str(made.rows[0]["id"])

    async def main() -> int:
        async with ProviderClient(2) as client:
            provider = Counted(protocol, url, client)
            queue, calls = f"{protocol}.realtime", attempts.of(provider, provider=protocol)
            settler = Settler(database, Silent(), lambda deliveries: None)
            engine = Engine(database, world.new_worker(database), calls, Slots({queue: 1}), settler)
            engine.start()
            async with asyncio.timeout(30):
                engine.offer(queue, [id])
                await engine.quiet()
                await engine.stop(5)
            await calls.pace.close()
            return len(provider.calls)

    return id, asyncio.run(main())


def test_claude_is_asked_once_more_without_them(database: Database, simulated: str) -> None:
    id, calls = run(database, simulated, "anthropic", conversation(thinking_blocks=[FORGED]))
    (result,) = world.rows(database, world.m.job_results, job_id=id)
    assert world.row(database, id)["status"] == "succeeded" and calls == 2
    assert "messages[1].thinking_blocks" in orjson.loads(result["ignored"])
    tried = orjson.loads(result["attempts"])
    assert [one["error"] for one in tried] == ["invalid_thought_signature", None]
    assert result["charged_micros"] > 0 and world.violations(database) == []


@pytest.mark.parametrize("protocol", ["openai", "google"])
def test_others_are_never_sent_them(database: Database, simulated: str, protocol: str) -> None:
    id, calls = run(database, simulated, protocol, conversation(thinking_blocks=[FORGED]))
    (result,) = world.rows(database, world.m.job_results, job_id=id)
    assert world.row(database, id)["status"] == "succeeded" and calls == 1
    assert "messages[1].thinking_blocks" in orjson.loads(result["ignored"])


@pytest.mark.parametrize("protocol", ["openai", "anthropic"])
def test_gemini_s_signatures_go_to_nobody_else(database: Database, simulated: str, protocol: str) -> None:
    signed = {**CALLING, "extra_content": {"google": {"thought_signature": "Q2FuYXJ5"}}}
    id, calls = run(database, simulated, protocol, conversation(tool_calls=[signed]))
    (result,) = world.rows(database, world.m.job_results, job_id=id)
    assert world.row(database, id)["status"] == "succeeded" and calls == 1
    assert "messages[1].tool_calls[0].extra_content" in orjson.loads(result["ignored"])
