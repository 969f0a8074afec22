"""Rate limits over a real Redis: exact over processes, and kind when Redis is gone, silent, wiped or back."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count

import pytest
import redis

from producer.admission.limits import STEPS, Limits, script
from producer.admission.limits.allowances import Allowance
from producer.admission.limits.rates import DIMENSIONS, Dimension, RateLimit, requests_of_account
from shared import clock
from shared.key_holders import KeyHolder
from tests.integration.limit_crowd import crowd, most_within
from tests.servers import RedisServer

_accounts = count(1)


def holder(limit: int | None, account: str = "") -> KeyHolder:
    """A key of an account that nobody has asked for before."""
    return KeyHolder("key", account or f"acct_{next(_accounts)}", "live", None, limit)


@asynccontextmanager
async def process(server: RedisServer, window_seconds: float = 60.0) -> AsyncIterator[Limits]:
    """One producer's end of the limits."""
    limits = Limits(server.url, dimensions=[requests_of_account(window_seconds)])
    try:
        yield limits
    finally:
        await limits.close()


async def take(limits: Limits, who: KeyHolder, number: int = 1) -> list[Allowance]:
    """So many requests at once."""
    taken = await asyncio.gather(*(limits.take(who) for _ in range(number)))
    return [one for one in taken if one is not None]


def admitted(taken: list[Allowance]) -> int:
    return sum(one.retry_seconds is None for one in taken)


async def until_up(limits: Limits, up: bool = True, seconds: float = 5.0) -> float:
    """Until Redis is known to be there (or not); how long that took."""
    began = clock.monotonic()
    async with asyncio.timeout(seconds):
        while limits._up is not up:
            await asyncio.sleep(0.005)
    return clock.monotonic() - began


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A Redis that the test may break."""
    server = RedisServer().start()
    yield server
    server.stop()


def test_requests_are_admitted_up_to_the_limit_and_told_what_is_left(redis_server: RedisServer) -> None:
    async def scene() -> None:
        async with process(redis_server) as limits:
            who = holder(5)
            first = await take(limits, who, 2)
            assert [one.remaining for one in first] == [4, 3] and first[0].limit == 5
            assert 59 < first[0].reset_seconds <= 60.3
            rest = await take(limits, who, 6)
            assert [one.retry_seconds is None for one in rest] == [True] * 3 + [False] * 3
            assert [one.remaining for one in rest] == [2, 1, 0, 0, 0, 0]
            assert all(59 < (one.retry_seconds or 60) <= 60.3 for one in rest)
            assert await limits.take(holder(None)) is None

    asyncio.run(scene())


def test_accounts_do_not_share_and_live_and_test_keys_do(redis_server: RedisServer) -> None:
    async def scene() -> None:
        async with process(redis_server) as limits:
            one, other = holder(3), holder(3)
            test = KeyHolder("key_t", one.account_id, "test", None, 3)
            both = await asyncio.gather(take(limits, one, 2), take(limits, other, 5), take(limits, test, 2))
            assert [admitted(taken) for taken in both] == [2, 3, 1]

    asyncio.run(scene())


def test_there_is_room_when_the_refusal_said_so(redis_server: RedisServer) -> None:
    async def scene() -> None:
        async with process(redis_server, 0.4) as limits, process(redis_server, 0.4) as other:
            who = holder(4)
            await take(limits, who, 2)
            await asyncio.sleep(0.1)
            assert admitted(await take(other, who, 3)) == 2
            (refused,) = await take(limits, who)
            assert refused.retry_seconds is not None and refused.retry_seconds < 0.35 < refused.reset_seconds
            await asyncio.sleep(refused.retry_seconds + 0.01)
            assert admitted(await take(other, who, 4)) == 2, "those of the first moment count no more, the others do"

    asyncio.run(scene())


def test_a_changed_limit_holds_at_once(redis_server: RedisServer) -> None:
    async def scene() -> None:
        async with process(redis_server) as limits:
            who = holder(10)
            assert admitted(await take(limits, who, 20)) == 10
            more = holder(15, who.account_id)
            assert admitted(await take(limits, more, 20)) == 5
            less = holder(2, who.account_id)
            (refused,) = await take(limits, less)
            assert refused.retry_seconds is not None and refused.limit == 2 and refused.remaining == 0

    asyncio.run(scene())


def test_a_log_is_bounded_and_is_forgotten(redis_server: RedisServer) -> None:
    async def scene() -> str:
        async with process(redis_server, 0.5) as limits:
            who = holder(1_000_000)
            end = clock.monotonic() + 1.0
            while clock.monotonic() < end:
                await take(limits, who, 3)
            return script.KEY.format(who.account_id)

    key = asyncio.run(scene())
    with redis.Redis(port=redis_server.port) as client:
        assert 0 < client.llen(key) <= STEPS + STEPS // 300 + 2
        assert 0 < client.pttl(key) <= 2000


def test_a_new_dimension_is_a_row(redis_server: RedisServer) -> None:
    """An hour of a key: its log is its own; the account's is what it always was."""
    of_key = Dimension(lambda holder: f"hour.{holder.key_id}", lambda _: 3, 3600.0)

    async def scene() -> KeyHolder:
        who = holder(50)
        limits = Limits(redis_server.url, dimensions=[*DIMENSIONS, of_key])
        assert admitted(await take(limits, who, 6)) == 3
        (refused,) = await take(limits, who)
        assert refused.limit == 3 and 3500 < (refused.retry_seconds or 0) <= 3614
        await limits.close()
        return who

    who = asyncio.run(scene())
    with redis.Redis(port=redis_server.port, decode_responses=True) as client:
        logs = [client.lrange(f"fusionai.limit.{name}", 0, -1) for name in (who.account_id, f"hour.{who.key_id}")]
        now = clock.now_micros()
        for log, counted, granted in zip(logs, (60.2, 3612), (7, 3), strict=True):
            ends = [int(line.split()[0]) for line in log]
            assert all(0 < end - now <= (counted + counted / 3000) * 1e6 for end in ends)
            assert sum(int(line.split()[2]) for line in log) == granted


def test_a_request_may_take_more_than_one_whole_or_not_at_all(redis_server: RedisServer) -> None:
    async def scene() -> None:
        async with process(redis_server) as limits, process(redis_server) as other:
            tokens = RateLimit(f"tokens.{holder(1).account_id}", 100)
            first = await asyncio.gather(*(limits.admit(tokens, 40) for _ in range(3)))
            assert [(one.remaining, one.retry_seconds is None) for one in first] == [(60, True), (20, True), (0, False)]
            assert (await limits.admit(tokens, 40)).retry_seconds is not None, "known without asking again"
            assert (await other.admit(tokens, 20)).retry_seconds is None
            assert (await other.admit(tokens, 1)).retry_seconds is not None

    asyncio.run(scene())


def test_four_processes_share_one_limit(redis_server: RedisServer) -> None:
    """Each floods for two windows and a half, in which there is three windows' room."""
    who = holder(200)
    offered, admitted = crowd(redis_server.url, who.account_id, processes=4, limit=200, window=2.0, seconds=5.0)
    assert sum(offered) >= 10 * len(admitted)
    assert most_within(2.0, admitted) <= 200 and len(admitted) >= 0.99 * 3 * 200


def test_without_redis_each_process_admits_its_share(own_redis: RedisServer) -> None:
    async def scene() -> None:
        async with process(own_redis) as one, process(own_redis) as other:
            for limits in (one, other, one):
                await limits._greet_redis()
            assert one._processes == other._processes == 2, "who greets first is told of the other when it greets again"
            who, fresh = holder(100), holder(100)
            assert admitted(await take(one, who, 30)) == 30
            own_redis.kill()
            began = clock.monotonic()
            assert admitted(await take(one, who, 100)) == 20, "half of the limit, less what it had admitted"
            (refused,) = await take(one, who)
            assert refused.retry_seconds is not None and 0 < refused.retry_seconds <= 60.3
            assert admitted(await take(one, fresh, 100)) == 50 and admitted(await take(other, fresh, 100)) == 50
            assert clock.monotonic() - began < 1
            own_redis.start()
            assert max(await asyncio.gather(until_up(one), until_up(other))) < 1.5
            assert admitted(await take(one, fresh)) == 0, "each process told Redis of what it had admitted alone"
            assert admitted(await take(other, fresh)) == 0 and admitted(await take(one, fresh)) == 0

    asyncio.run(scene())


def test_a_silent_redis_is_waited_for_once_and_not_for_long(own_redis: RedisServer) -> None:
    async def scene() -> None:
        async with process(own_redis) as limits:
            who = holder(100)
            await take(limits, who, 10)
            assert own_redis._process is not None
            own_redis._process.send_signal(signal.SIGSTOP)
            try:
                began = clock.monotonic()
                assert admitted(await take(limits, who, 5)) == 5
                first, began = clock.monotonic() - began, clock.monotonic()
                for _ in range(20):
                    assert admitted(await take(limits, who)) == 1
                assert first < 0.6 and clock.monotonic() - began < 0.2, "the first alone has waited"
            finally:
                own_redis._process.send_signal(signal.SIGCONT)
            assert await until_up(limits) < 1.5
            assert admitted(await take(limits, who, 200)) <= 65, "and nothing is admitted twice over"

    asyncio.run(scene())


def test_an_event_loop_that_was_held_up_does_not_blame_redis(redis_server: RedisServer) -> None:
    async def scene() -> None:
        async with process(redis_server) as limits:
            who = holder(1000)
            await take(limits, who)
            for _ in range(3):
                asking = asyncio.create_task(take(limits, who))
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                end = clock.monotonic() + 0.4
                while clock.monotonic() < end:
                    pass
                await asking
                assert limits._up

    asyncio.run(scene())


def test_a_wiped_redis_makes_one_process_admit_no_more(own_redis: RedisServer) -> None:
    async def scene() -> None:
        async with process(own_redis) as limits:
            who = holder(10)
            assert admitted(await take(limits, who, 8)) == 8
            own_redis.flush()
            assert admitted(await take(limits, who, 8)) == 2

    asyncio.run(scene())


def test_a_process_that_begins_without_redis_serves_at_once() -> None:
    async def scene() -> None:
        async with process(RedisServer()) as limits:
            began = clock.monotonic()
            assert admitted(await take(limits, holder(5), 9)) == 5
            assert clock.monotonic() - began < 0.5

    asyncio.run(scene())


def test_a_log_from_before_the_clock_was_set_back_locks_nobody_out(redis_server: RedisServer) -> None:
    async def scene() -> None:
        async with process(redis_server) as limits:
            who = holder(3)
            ahead = clock.now_micros() + 3600 * clock.MICROS
            with redis.Redis(port=redis_server.port) as client:
                client.rpush(script.KEY.format(who.account_id), f"{ahead} 0 3")
            assert admitted(await take(limits, who, 5)) == 3

    asyncio.run(scene())


def test_who_leaves_and_who_dies_is_no_longer_counted(own_redis: RedisServer) -> None:
    async def scene() -> None:
        async with process(own_redis) as one:
            async with process(own_redis) as other:
                await other._greet_redis()
                await one._greet_redis()
                assert one._processes == 2
            with redis.Redis(port=own_redis.port) as client:
                client.zadd(script.PROCESSES, {"dead": clock.now_seconds() - 1})
            await one._greet_redis()
            assert one._processes == 1

    asyncio.run(scene())


def test_keys_that_hold_something_else_are_written_anew(redis_server: RedisServer) -> None:
    async def scene() -> None:
        client = redis.from_url(redis_server.url)
        async with process(redis_server) as limits:
            who, another = holder(5), holder(5)
            key = script.KEY.format(who.account_id)
            for spoil in (lambda: client.set(key, "x"), lambda: client.rpush(key, "x"), lambda: client.sadd(key, "x")):
                client.delete(key)
                spoil()
                assert admitted(await take(limits, who, 1)) == 1 and limits._up
            assert admitted(await take(limits, who, 9)) == 2 and admitted(await take(limits, another, 9)) == 5
            client.delete(script.PROCESSES)
            client.set(script.PROCESSES, "x")
            assert await limits._greet_redis() and client.type(script.PROCESSES) == b"zset"

    asyncio.run(scene())
