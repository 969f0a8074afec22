"""Commands on one connection of the event loop, at a real Redis: each gets its own answer, or hears of none."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
import uvloop

from shared.redis_pipe import RedisPipe
from tests.in_a_loop import in_a_loop
from tests.servers import RedisServer


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """One that a test may break."""
    server = RedisServer().start()
    yield server
    server.send(signal.SIGCONT)
    server.stop()


def client(server: RedisServer) -> "redis.Redis[bytes]":
    return redis.from_url(server.url)


@in_a_loop
async def test_each_command_gets_its_own_answer_over_one_connection(server: RedisServer) -> None:
    pipe = RedisPipe(server.url, 5)
    told = await asyncio.gather(*(pipe("ECHO", f"é{number}") for number in range(2000)))
    assert [one.decode() for one in told] == [f"é{number}" for number in range(2000)]
    assert await pipe("HSET", "hash", "a", 1, "b", 2.5) == 2
    assert await pipe("HMGET", "hash", "a", "b", "c") == [b"1", b"2.5", None]
    with client(server) as other:
        assert len([one for one in other.client_list() if one["cmd"] != "client|list"]) == 1
    await pipe.aclose()


@in_a_loop
async def test_an_error_is_its_commands_alone(server: RedisServer) -> None:
    pipe = RedisPipe(server.url, 5)
    await pipe("SET", "text", "x")
    told = await asyncio.gather(
        *(pipe("ECHO", 1), pipe("LPUSH", "text", "y"), pipe("NONSENSE"), pipe("ECHO", 2)), return_exceptions=True
    )
    assert told[0] == b"1" and told[3] == b"2" and pipe.is_connected
    assert isinstance(told[1], redis.ResponseError) and "WRONGTYPE" in str(told[1])
    assert isinstance(told[2], redis.ResponseError)
    await pipe.aclose()


@in_a_loop
async def test_who_waits_no_longer_leaves_its_answer_to_nobody(server: RedisServer) -> None:
    pipe = RedisPipe(server.url, 5)
    await pipe("PING")
    impatient = asyncio.create_task(pipe("BRPOP", "nothing", 0.2))
    await asyncio.sleep(0)
    next_one = asyncio.create_task(pipe("ECHO", "mine"))
    impatient.cancel()
    assert await next_one == b"mine"
    assert await pipe("ECHO", "after") == b"after"
    await pipe.aclose()


@in_a_loop
async def test_a_redis_that_does_nothing_fails_all_that_wait_and_answers_none_of_them_late(
    server: RedisServer,
) -> None:
    pipe = RedisPipe(server.url, 0.3)
    await pipe("PING")
    server.send(signal.SIGSTOP)
    told = await asyncio.gather(*(pipe("ECHO", number) for number in range(10)), return_exceptions=True)
    assert all(isinstance(one, redis.TimeoutError) for one in told) and not pipe.is_connected
    server.send(signal.SIGCONT)
    assert await pipe("ECHO", "now") == b"now"
    server.send(signal.SIGSTOP)
    async with asyncio.timeout(10):
        with pytest.raises(redis.TimeoutError):  # on a connection that has answered in time before
            await pipe("PING")
    server.send(signal.SIGCONT)
    await pipe.aclose()


@in_a_loop
async def test_an_impatient_one_does_not_end_the_connecting_of_others(server: RedisServer) -> None:
    pipe = RedisPipe(server.url, 5)
    impatient, patient = (asyncio.create_task(pipe("ECHO", word)) for word in ("a", "b"))
    await asyncio.sleep(0)
    impatient.cancel()
    assert await patient == b"b"
    await pipe.aclose()


@in_a_loop
async def test_errors_are_those_of_redis_py(server: RedisServer) -> None:
    """By whose classes it is said what was wrong."""
    with client(server) as other:
        other.acl_setuser("poor", enabled=True, passwords=["+poor"], commands=["+ping"], keys=["*"])
    pipe = RedisPipe(server.url.replace("//", "//poor:poor@"), 5)
    with pytest.raises(redis.exceptions.NoPermissionError):
        await pipe("GET", "a")
    with pytest.raises(redis.exceptions.NoPermissionError):
        await pipe("SUBSCRIBE", "news")
    assert await pipe("PING") == b"PONG"
    await pipe.aclose()


@pytest.mark.parametrize("refusal", ["READONLY You can't write", "LOADING It loads", "MASTERDOWN No link"])
@in_a_loop
async def test_a_server_that_is_not_the_one_is_left(refusal: str) -> None:
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        mine = connections
        while read := await reader.read(10_000):
            commands = read.startswith(b"*") + read.count(b"\r\n*")  # which come together or apart
            writer.write((b"+OK\r\n" if mine > 1 else b"-%s\r\n" % refusal.encode()) * commands)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as there:
        pipe = RedisPipe(f"redis://127.0.0.1:{there.sockets[0].getsockname()[1]}/0", 5)
        with pytest.raises(redis.RedisError):
            async with asyncio.timeout(5):
                await pipe("SET", "a", 1)
                await pipe("SET", "a", 1)
        assert not pipe.is_connected
        await pipe.aclose()


#: Once it is told to, stops the process for longer than an answer may take, and has Redis answer meanwhile. The process
#: goes on whatever happens here.
STOPPER = """
import os, redis, signal, sys, time
process, server = int(sys.argv[1]), redis.from_url(sys.argv[2])
server.ping()
print(flush=True)
sys.stdin.readline()
try:
    os.kill(process, signal.SIGSTOP)
    server.lpush("list", "x")
    time.sleep(0.6)
finally:
    os.kill(process, signal.SIGCONT)
"""


@pytest.mark.parametrize("loop", [uvloop.new_event_loop, asyncio.new_event_loop])
def test_an_answer_that_came_while_this_process_stood_still_is_taken(
    server: RedisServer, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """As after a pause of the machine: what Redis has handed out is not there any more."""

    async def scene() -> None:
        pipe = RedisPipe(server.url, 0.3)
        await pipe("PING")
        stopper = subprocess.Popen(
            [sys.executable, "-c", STOPPER, str(os.getpid()), server.url], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        with stopper:
            assert stopper.stdin is not None and stopper.stdout is not None
            await asyncio.to_thread(stopper.stdout.readline)  # however long it takes to begin
            waiting = asyncio.create_task(pipe("BRPOP", "list", 30))
            with client(server) as other:
                while not other.info("clients")["blocked_clients"]:
                    await asyncio.sleep(0.005)
            stopper.stdin.write(b"\n")
            stopper.stdin.flush()
            assert await waiting == [b"list", b"x"]
        await pipe.aclose()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(scene())


@in_a_loop
async def test_one_that_dies_is_connected_to_again_by_the_next_command(server: RedisServer) -> None:
    pipe = RedisPipe(server.url, 5)
    await pipe("PING")
    waiting = asyncio.create_task(pipe("BRPOP", "nothing", 4))
    await asyncio.sleep(0)
    await asyncio.to_thread(server.kill)
    with pytest.raises(redis.ConnectionError):
        await waiting
    told = await asyncio.gather(*(pipe("PING") for _ in range(5)), return_exceptions=True)
    assert all(isinstance(one, redis.ConnectionError) for one in told)
    with pytest.raises(redis.ConnectionError):
        await pipe.lost()
    await asyncio.to_thread(server.start)
    assert await asyncio.gather(*(pipe("ECHO", number) for number in range(5))) == [b"0", b"1", b"2", b"3", b"4"]
    await pipe.aclose()


@in_a_loop
async def test_one_that_follows_another_is_left(server: RedisServer) -> None:
    """A name that led to the primary leads to the new one; the old connection does not."""
    pipe = RedisPipe(server.url, 5)
    await pipe("SET", "a", 1)
    with client(server) as other:
        other.replicaof("127.0.0.1", 1)
        with pytest.raises(redis.exceptions.ReadOnlyError):
            await pipe("SET", "a", 2)
        assert not pipe.is_connected
        other.replicaof("NO", "ONE")
    assert await pipe("SET", "a", 3) == b"OK"
    await pipe.aclose()


@in_a_loop
async def test_a_script_is_sent_once_and_again_when_redis_has_forgotten_it(server: RedisServer) -> None:
    pipe = RedisPipe(server.url, 5)
    added = pipe.script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    assert [await added(keys=["sum"], args=[2]) for _ in range(3)] == [2, 4, 6]
    await pipe("SCRIPT", "FLUSH")
    assert await added(keys=["sum"], args=[3]) == 9
    await pipe.aclose()


@in_a_loop
async def test_it_has_the_password_and_the_database_of_its_url(server: RedisServer) -> None:
    with client(server) as other:
        other.acl_setuser("web", enabled=True, passwords=["+s3cret"], commands=["+@all"], keys=["*"])
    pipe = RedisPipe(server.url.replace("//", "//web:s3cret@").replace("/0", "/3"), 5)
    await pipe("SET", "there", 1)
    with redis.from_url(server.url.replace("/0", "/3")) as other:
        assert other.get("there") == b"1"
    wrong = RedisPipe(server.url.replace("//", "//web:wrong@"), 5)
    with pytest.raises(redis.AuthenticationError):
        await wrong("PING")
    await wrong.aclose()
    await pipe.aclose()


@in_a_loop
async def test_a_subscription_hears_what_nobody_has_asked_for(server: RedisServer) -> None:
    heard: list[Any] = []
    pipe, speaker = RedisPipe(server.url, 0.2, heard=heard.append), RedisPipe(server.url, 5)
    assert await pipe("SUBSCRIBE", "news") == [b"subscribe", b"news", 1]
    for number in range(100):
        await speaker("PUBLISH", "news", number)
    assert await speaker("PUBLISH", "news", "x" * 300_000) == 1
    async with asyncio.timeout(10):
        while len(heard) < 101:
            await asyncio.sleep(0.005)
    assert [one[2] for one in heard[:100]] == [str(number).encode() for number in range(100)]
    assert len(heard[100][2]) == 300_000 and pipe.is_connected
    await pipe.aclose()
    await speaker.aclose()


@in_a_loop
async def test_what_cannot_be_taken_breaks_a_subscription_and_says_why(server: RedisServer) -> None:
    def choose(message: list[bytes]) -> None:
        raise ValueError(f"not {message[2].decode()}")

    pipe, speaker = RedisPipe(server.url, 5, heard=choose), RedisPipe(server.url, 5)
    await pipe("SUBSCRIBE", "news")
    await speaker("PUBLISH", "news", "that")
    with pytest.raises(ValueError, match="not that"):
        await pipe.lost()
    await pipe.aclose()
    await speaker.aclose()


@in_a_loop
async def test_what_is_no_redis_is_no_answer() -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"+OK\r\n" * 3 + b"HTTP/1.1 400 Bad Request\r\n\r\n")
        while await reader.read(1000):
            pass
        writer.close()

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as there:
        port = there.sockets[0].getsockname()[1]
        pipe = RedisPipe(f"redis://127.0.0.1:{port}/0", 2)
        with pytest.raises(redis.RedisError):
            async with asyncio.timeout(5):
                for _ in range(5):
                    await pipe("PING")
        await pipe.aclose()


@in_a_loop
async def test_closing_fails_who_waits_and_one_that_was_never_used_can_be_closed(server: RedisServer) -> None:
    unused = RedisPipe(server.url, 5)
    await unused.aclose()
    with pytest.raises(redis.ConnectionError):
        unused.send("PING")
    pipe = RedisPipe(server.url, 5)
    await pipe("PING")
    waiting = asyncio.create_task(pipe("BRPOP", "nothing", 4))
    await asyncio.sleep(0)
    await pipe.aclose()
    with pytest.raises(redis.ConnectionError, match="closed"):
        await waiting
    silent = RedisPipe("redis://192.0.2.1:6379/0", 5)
    connecting = asyncio.create_task(silent("PING"))
    await asyncio.sleep(0.01)
    async with asyncio.timeout(2):
        await silent.aclose()
    with pytest.raises(redis.ConnectionError):
        await connecting
    with pytest.raises(redis.ConnectionError, match="closed"):
        await pipe("PING")
