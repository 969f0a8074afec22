"""Statistics of offers in a real Redis: workers add up, restarts keep them, a lost Redis costs nothing but numbers."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest
import redis

from shared.errors import ProviderError
from shared.providers import statistics, statistics_watch
from shared.providers.statistics_watch import StatisticsWatch, read_all
from tests.conditions import await_condition
from tests.servers import RedisServer, free_port
from workers.pacing import Recorder
from workers.pacing import statistics as recording

GPT = "openai/gpt-4"
DOWN = ProviderError("", upstream_status=503)


@pytest.fixture
def server(redis_server: RedisServer) -> Iterator[redis.Redis]:
    connection = redis.from_url(redis_server.url)
    connection.flushall()
    yield connection
    connection.close()
    statistics.publish({})


def workers(url: str, scene: Callable[[Recorder, Recorder], Awaitable[None]]) -> None:
    """Play a scene with the recorders of two processes, which then end."""

    async def main() -> None:
        recorders = Recorder(url), Recorder(url)
        try:
            async with asyncio.timeout(20):
                await scene(*recorders)
        finally:
            for recorder in recorders:
                await recorder.close()

    asyncio.run(main())


def test_two_workers_add_up_and_restarts_keep_what_they_saw(
    redis_server: RedisServer, server: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "DEADLINE_SECONDS", 30.0)  # what is late is dropped: not here, on a busy machine

    async def scene(one: Recorder, other: Recorder) -> None:
        one.answered(GPT, 2.0, 0.5)
        one.answered(GPT, 4.0)
        other.answered(GPT, 6.0, 1.5)
        other.failed(GPT, DOWN)
        other.answered("google/gemini", None)

    workers(redis_server.url, scene)
    workers(redis_server.url, scene)
    found = read_all(server)
    assert found.keys() == {GPT, "google/gemini"}
    assert found[GPT].calls == pytest.approx(8, rel=0.1)
    assert found[GPT].error_rate == pytest.approx(0.25, rel=0.01)
    assert (found[GPT].first_seconds, found[GPT].total_seconds) == (
        pytest.approx(1.0, rel=0.01),
        pytest.approx(4.0, rel=0.01),
    )
    assert found["google/gemini"].total_seconds is None and found["google/gemini"].error_rate == 0.0


@pytest.mark.parametrize(
    ("error", "counted"),
    [
        (DOWN, True),
        (ProviderError("", code="connect"), True),
        (ProviderError("", upstream_status=401), True),
        (ProviderError("", upstream_status=200, code="shape"), True),
        (ProviderError("", upstream_status=400), False),
        (ProviderError("", upstream_status=429), False),
        (ProviderError("", upstream_status=400, code="content_filter"), False),
        (ProviderError("", code="not_configured"), False),
    ],
)
def test_only_faults_of_the_provider_count(
    redis_server: RedisServer, server: redis.Redis, error: ProviderError, counted: bool
) -> None:
    async def scene(one: Recorder, other: Recorder) -> None:
        one.failed(GPT, error)

    workers(redis_server.url, scene)
    assert (GPT in read_all(server)) is counted


def test_a_copy_is_there_without_waiting_and_a_wiped_redis_begins_anew(
    redis_server: RedisServer, server: redis.Redis
) -> None:
    async def scene(one: Recorder, other: Recorder) -> None:
        one.answered(GPT, 1.0)

    watch = StatisticsWatch(redis_server.url)
    watch.refresh()
    assert statistics.snapshot() == {}
    workers(redis_server.url, scene)
    watch.refresh()
    assert statistics.snapshot()[GPT].total_seconds == 1.0
    server.flushall()
    watch.refresh()
    assert statistics.snapshot() == {}
    workers(redis_server.url, scene)
    watch.refresh()
    assert statistics.snapshot()[GPT].calls == pytest.approx(1, rel=0.1)


def test_a_process_keeps_its_copy_fresh_in_the_background(
    redis_server: RedisServer, server: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(one: Recorder, other: Recorder) -> None:
        one.answered(GPT, 1.0)

    monkeypatch.setattr(statistics_watch, "REFRESH_SECONDS", 0.02)
    watch = StatisticsWatch(redis_server.url).start()
    try:
        workers(redis_server.url, scene)
        await_condition(lambda: GPT in statistics.snapshot(), what="the copy")
        server.flushall()
        await_condition(lambda: not statistics.snapshot(), what="the copy of a wiped Redis")
    finally:
        watch.stop()


def test_a_copy_outlives_redis_for_a_while(server: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    one = statistics.OfferStatistics(0.0, None, 1.0, 1.0)
    statistics.publish({GPT: one})
    watch = StatisticsWatch(f"redis://127.0.0.1:{free_port()}/0")
    watch.refresh()
    assert statistics.snapshot() == {GPT: one}
    monkeypatch.setattr(statistics_watch, "BELIEVED_SECONDS", -1.0)
    watch.refresh()
    assert statistics.snapshot() == {}
