"""The pace of a provider shared by several processes through a real Redis, and kept by each alone without it."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import redis

from shared.errors import ProviderError
from shared.providers import states
from shared.providers.states import ProviderState
from tests.conditions import eventually
from tests.servers import RedisServer
from workers.pacing import Pace, PaceStore, Pauses, Permit, Wait, law, outages
from workers.pacing.outages import FAILURES

DOWN = ProviderError("", upstream_status=503)
REFUSED = ProviderError("", upstream_status=401)
UNREACHABLE = ProviderError("", code="connect")
LIMITED = ProviderError("", upstream_status=429, retry_after_seconds=20.0)


@pytest.fixture(autouse=True)
def _one_refusal_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a single call's Retry-After little is asked of the others; what is told between processes is the same."""
    monkeypatch.setattr(law, "FIRST_HOLD", 60.0)


def together(url: str, scene: Callable[[Pace, Pace], Awaitable[None]]) -> None:
    """Play a scene with the paces of two processes."""

    async def main() -> None:
        paces = [Pace(PaceStore(url), f"w{number}", pauses=Pauses(5.0, 30.0)) for number in (1, 2)]
        try:
            async with asyncio.timeout(20):
                await scene(*paces)
        finally:
            for pace in paces:
                await pace.close()

    asyncio.run(main())


async def ask(pace: Pace, lane: str = "batch") -> Permit | Wait:
    return await pace.enter("openai", "gpt-4", lane, 0.5)  # type: ignore[arg-type]


async def permit(pace: Pace) -> Permit:
    found = await ask(pace)
    assert isinstance(found, Permit)
    return found


async def told_to_wait(pace: Pace) -> Wait:
    """Until this process knows that it has to wait; its other calls go through meanwhile."""

    async def waits() -> Wait | None:
        found = await ask(pace)
        if isinstance(found, Wait):
            return found
        found.dropped()
        return None

    return await eventually(waits)


def test_what_one_process_learns_of_a_limit_holds_for_the_other(redis_server: RedisServer) -> None:
    async def scene(one: Pace, other: Pace) -> None:
        (await permit(other)).answered()
        (await permit(one)).failed(LIMITED)
        wait = await told_to_wait(other)
        assert wait.reason == "429" and not wait.paused
        (standing,) = (found for found in states.read_all(server) if found.upstream == "gpt-4")
        assert standing.state.held_until >= began + 20, f"since {began}: {standing.state}"

    server = redis.from_url(redis_server.url)
    server.flushall()
    began = server.time()[0]
    together(redis_server.url, scene)


def test_a_refused_key_pauses_every_model_of_the_provider_everywhere(redis_server: RedisServer) -> None:
    async def scene(one: Pace, other: Pace) -> None:
        (await permit(other)).answered()
        (await permit(one)).failed(REFUSED)
        assert (await told_to_wait(other)).paused
        elsewhere = await other.enter("openai", "gpt-3.5-turbo", "batch", 0.5)
        assert isinstance(elsewhere, Wait) and elsewhere.reason == "401"
        assert isinstance(await other.enter("anthropic", "claude", "batch", 0.5), Permit)
        standings = states.read_all(redis.from_url(redis_server.url))
        assert [s.state.paused_for for s in standings if s.provider == "openai" and s.upstream is None] == ["401"]

    redis.from_url(redis_server.url).flushall()
    together(redis_server.url, scene)


def test_one_call_of_all_tries_a_provider_that_is_down_and_its_answer_ends_the_pause(
    redis_server: RedisServer,
) -> None:
    async def scene(one: Pace, other: Pace) -> None:
        one.pauses = other.pauses = Pauses(0.2, 0.2)
        for _ in range(FAILURES):
            (await permit(one)).failed(DOWN)
        await told_to_wait(other)

        async def probing() -> list[Permit] | None:
            found = await asyncio.gather(*(ask(pace) for pace in (one, other) for _ in range(50)))
            permits = [each for each in found if isinstance(each, Permit)]
            assert len(permits) <= 1, "one alone tries it"
            return permits or None

        (probe,) = await eventually(probing)
        probe.answered()

        async def goes_on() -> bool | None:
            found = await asyncio.gather(*(ask(pace) for pace in (one, other)))
            for each in found:
                if isinstance(each, Permit):
                    each.answered()
            return all(isinstance(each, Permit) for each in found) or None

        await eventually(goes_on)

    redis.from_url(redis_server.url).flushall()
    together(redis_server.url, scene)


def shared_state(server: redis.Redis) -> ProviderState:
    found = [each.state for each in states.read_all(server) if each.upstream == "gpt-4"]
    return found[0] if found else ProviderState()


async def in_step(pace: Pace, server: redis.Redis) -> None:
    """Until this process has told all it has seen, and heard what all know."""

    def seen() -> float:
        return shared_state(server).workers.get(pace.worker, [0.0])[0]

    async def told() -> bool | None:
        (await permit(pace)).dropped()
        return seen() > before or None

    before = seen()
    await eventually(told)


@pytest.mark.parametrize("served_since", [False, True])
def test_jobs_that_failed_before_tell_of_an_outage_unless_others_were_served_since(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, served_since: bool
) -> None:
    async def scene(one: Pace, other: Pace) -> None:
        (await permit(one)).answered()
        seconds, micros = server.time()
        failed_at = seconds + micros / 1_000_000 + (-1.0 if served_since else 0.001)
        await in_step(one, server)
        await in_step(other, server)
        for _ in range(FAILURES):
            again = await other.enter("openai", "gpt-4", "batch", 0.5, failed_at=failed_at)
            assert isinstance(again, Permit)
            again.failed(UNREACHABLE)
        if served_since:
            await in_step(other, server)
            assert isinstance(await ask(other), Permit), "it may be the fault of these jobs"
        else:
            assert (await told_to_wait(other)).paused

    monkeypatch.setattr(outages, "QUIET", -1.0)
    server = redis.from_url(redis_server.url)
    server.flushall()
    together(redis_server.url, scene)


def test_a_process_whose_redis_is_lost_goes_on_and_is_in_step_again_after_it(redis_server: RedisServer) -> None:
    async def scene(one: Pace, other: Pace) -> None:
        for _ in range(3):
            (await permit(one)).answered()
        redis.from_url(server.url).flushall()
        (await permit(one)).failed(LIMITED)
        assert (await told_to_wait(one)).reason == "429", "what is lost in Redis is still known here"
        server.stop()
        assert isinstance(await ask(other), Permit), "without Redis each process has its own"

    server = RedisServer().start()
    try:
        together(server.url, scene)
    finally:
        server.stop()


def test_keys_that_hold_something_else_are_written_anew(redis_server: RedisServer) -> None:
    async def scene() -> None:
        client, store = redis.from_url(redis_server.url), PaceStore(redis_server.url)
        client.flushall()
        client.rpush(states.KEY.format("openai/gpt-4"), "x")
        client.set(states.NAMES, "x")
        await store.update("openai/gpt-4", ProviderState(), lambda state, now: None)
        assert client.type(states.KEY.format("openai/gpt-4")) == b"string"
        assert client.smembers(states.NAMES) == {b"openai/gpt-4"}
        await store.close()

    asyncio.run(scene())
