"""What an engine counts of its calls: answers with their times, faults of the provider, and nothing else."""

import asyncio
from typing import Any

import pytest
import redis

from shared.db import Database
from shared.errors import ProviderError
from shared.providers.statistics import OfferStatistics
from shared.providers.statistics_watch import read_all
from shared.settings import settings
from tests.integration import attempts, world
from tests.integration.test_engine import Silent
from tests.integration.test_stream_engine import accepted, good, say
from tests.servers import RedisServer
from workers.pacing import Recorder
from workers.providers import ProviderAnswer, ProviderCall
from workers.running.engine import Engine
from workers.running.publisher import Publisher
from workers.running.settler import Settler
from workers.running.slots import Slots

PAUSE = 0.05


class Timed:
    """A provider that fails as a test says; then its first word comes after a pause, and its end after another."""

    def __init__(self, *errors: ProviderError) -> None:
        self.errors = list(errors)

    async def call(self, ask: ProviderCall) -> ProviderAnswer:
        if self.errors:
            raise self.errors.pop(0)
        await asyncio.sleep(PAUSE)
        if ask.sink is not None:
            say(ask, "Hel")
        await asyncio.sleep(PAUSE)
        return await good(ask)


class Hanging:
    """A provider that never answers; it says when it is called."""

    def __init__(self) -> None:
        self.called = asyncio.Event()

    async def call(self, ask: ProviderCall) -> ProviderAnswer:
        self.called.set()
        await asyncio.Event().wait()
        raise AssertionError


@pytest.fixture
def known(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> redis.Redis:
    connection = redis.from_url(redis_server.url)
    connection.flushall()
    monkeypatch.setattr(settings(), "retry_base_seconds", 0.01)
    return connection


def run(
    database: Database, url: str, provider: Any, id: str, *, statistics: str | None = None, older: bool = False
) -> None:
    """Run a job to its end, or to its cancellation once a hanging provider is called; `older`: nobody counts."""

    async def main() -> None:
        publisher, recorder = Publisher(url), Recorder(statistics or url)
        made = attempts.of(provider, publisher, statistics=None if older else recorder)
        slots, settler = Slots({world.QUEUE: 10}), Settler(database, Silent(), lambda deliveries: None)
        engine = Engine(database, world.new_worker(database), made, slots, settler)
        engine.start()
        async with asyncio.timeout(20):
            engine.offer(world.QUEUE, [id])
            if isinstance(provider, Hanging):
                await provider.called.wait()
                engine.cancel([id])
            await engine.quiet()
            await engine.stop(1)
            for open_one in (publisher, recorder, made.pace):
                await open_one.close()

    asyncio.run(main())


def only(known: redis.Redis) -> OfferStatistics:
    (one,) = read_all(known).values()
    return one


@pytest.mark.parametrize("routing", [{}, {"hold_stream": True}], ids=["streamed", "held"])
def test_a_streamed_answer_has_both_times(
    database: Database, known: redis.Redis, redis_server: RedisServer, routing: dict[str, Any]
) -> None:
    run(database, redis_server.url, Timed(), accepted(database, routing=routing))
    found = only(known)
    assert found.first_seconds is not None and found.total_seconds is not None
    assert PAUSE * 0.9 < found.first_seconds and found.first_seconds + PAUSE * 0.9 < found.total_seconds
    assert found.calls == pytest.approx(1, abs=0.05) and found.error_rate == 0.0


def test_a_whole_answer_has_its_end_alone_and_faults_count_without_time(
    database: Database, known: redis.Redis, redis_server: RedisServer
) -> None:
    errors = [ProviderError("", upstream_status=500), ProviderError("", upstream_status=429)]
    run(database, redis_server.url, Timed(*errors), accepted(database, stream=False))
    found = only(known)
    assert found.first_seconds is None and found.total_seconds is not None
    assert 2 * PAUSE * 0.9 < found.total_seconds < 10
    assert found.calls == pytest.approx(2, abs=0.05) and found.error_rate == pytest.approx(0.5, abs=0.02)


def test_a_call_that_we_cancel_is_not_counted(
    database: Database, known: redis.Redis, redis_server: RedisServer
) -> None:
    id = accepted(database, stream=False)
    run(database, redis_server.url, Hanging(), id)
    assert world.row(database, id)["status"] == "cancelled"
    assert read_all(known) == {}


def test_a_lost_redis_costs_numbers_alone(
    database: Database, known: redis.Redis, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    id = accepted(database, stream=False)
    run(database, redis_server.url, Timed(), id, statistics=attempts.NOWHERE)
    assert world.row(database, id)["status"] == "succeeded" and world.violations(database) == []
    assert read_all(known) == {} and "statistics of providers are dropped" in caplog.text


def test_a_worker_of_before_that_counts_nothing_runs_beside(
    database: Database, known: redis.Redis, redis_server: RedisServer
) -> None:
    ids = [accepted(database, stream=False) for _ in range(2)]
    run(database, redis_server.url, Timed(ProviderError("", upstream_status=500)), ids[0], older=True)
    assert read_all(known) == {}
    run(database, redis_server.url, Timed(), ids[1])
    assert only(known).calls == pytest.approx(1, abs=0.05) and only(known).error_rate == 0.0
    assert [world.row(database, id)["status"] for id in ids] == ["succeeded"] * 2
