"""Input that a provider read from its cache is charged at its own price, and `verify` recomputes it so."""

import asyncio

import pytest

from shared.db import Database
from shared.submissions.catalogue import catalogue
from shared.submissions.schemas import Usage
from tests.integration import attempts, world
from tests.integration.test_engine import Provider, Silent
from tests.integration.test_stream_engine import accepted, say
from tests.servers import RedisServer
from workers.providers import ProviderAnswer, ProviderCall
from workers.running.engine import Engine
from workers.running.publisher import Publisher
from workers.running.settler import Settler
from workers.running.slots import Slots

MODEL, QUEUE = "claude-3-sonnet", "anthropic.realtime"


def run(database: Database, url: str, usage: Usage, id: str) -> None:
    """Answer a job with a usage."""

    async def answer(ask: ProviderCall) -> ProviderAnswer:
        if ask.sink is not None:
            say(ask, "Hello")
        return ProviderAnswer({"choices": []}, usage)

    async def main() -> None:
        slots, publisher = Slots({QUEUE: 10}), Publisher(url)
        settler = Settler(database, Silent(), lambda deliveries: None)
        by = attempts.of(Provider(answer), publisher, provider="anthropic")
        engine = Engine(database, world.new_worker(database), by, slots, settler)
        engine.start()
        async with asyncio.timeout(30):
            engine.offer(QUEUE, [id])
            await engine.quiet()
            await engine.stop(1)
            await publisher.close()

    asyncio.run(main())


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("usage", "cached"),
    [
        (Usage(prompt_tokens=20, completion_tokens=1, cached_tokens=18, reasoning_tokens=1), 18),
        (Usage(prompt_tokens=20, completion_tokens=1, cached_tokens=0), 0),
        (Usage(prompt_tokens=20, completion_tokens=1), None),
    ],
    ids=["cached", "none cached", "not told"],
)
def test_the_charge_follows_what_the_provider_told(
    database: Database, redis_server: RedisServer, usage: Usage, cached: int | None, stream: bool
) -> None:
    id = accepted(database, stream=stream, model=MODEL)
    run(database, redis_server.url, usage, id)
    (result,) = world.rows(database, world.m.job_results, job_id=id)
    at, read = catalogue().prices[MODEL], cached or 0
    assert at.cached_input is not None and at.cached_input < at.input
    cost = (20 - read) * at.input + read * at.cached_input + at.output
    assert result["charged_micros"] == -(-cost // 1_000_000) and result["cached_tokens"] == cached
    assert world.violations(database) == []
