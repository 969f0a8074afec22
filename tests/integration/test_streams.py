"""Streams between a worker and a producer, over a real Redis and a real database, whatever of them goes away."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
import redis
from starlette.requests import ClientDisconnect

from producer.context import Context
from producer.dialects.fusionai.manners import framing
from producer.operations import stream
from producer.waiting import stream_readers, stream_relay
from producer.waiting.stream_starts import StreamLimits
from shared.answers import streams
from shared.answers.streams import part
from shared.db import Database
from shared.errors import Conflict, FusionError, NotFound, Timeout, Unavailable
from shared.jobs import transitions
from shared.jobs.leases import Leased
from shared.jobs.outcomes import Ending
from shared.key_holders import KeyHolder
from shared.notifier import Notifier
from shared.settings import settings
from tests.acceptance.sse import added_up
from tests.integration import world
from tests.servers import RedisServer
from workers.running import publisher as worker_streams
from workers.running.publisher import Publisher, StreamSink

HEAD = {"id": "chatcmpl-1", "created": 1, "model": "gpt-4"}
KEEP_ALIVE = ": keep-alive\n"
WORDS = ["This ", "is ", "what ", "is ", "said."]
#: A stream is begun when there is something to say.
LIMITS = StreamLimits(begin=20, first=20, comment=10)
#: Of a thousand streams: a slow machine needs more than half a minute for them.
PATIENT = StreamLimits(begin=120, first=120, comment=120)
SCENE_SECONDS = 40.0


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisServer]:
    """A Redis of the test's own, that the processes' settings name."""
    server = RedisServer().start()
    monkeypatch.setattr(settings(), "redis_url", server.url)
    yield server
    server.stop()


class Scene:
    """A producer's context and a worker's publisher in one loop, and jobs of one account."""

    def __init__(self, database: Database, context: Context, publisher: Publisher, holder: KeyHolder) -> None:
        self.database, self.context, self.publisher, self.holder = database, context, publisher, holder
        self.worker = world.new_worker(database)

    def lease(self, ids: list[str]) -> list[Leased]:
        """Take jobs, as this scene's worker."""
        return world.take(self.database, self.worker, ids)

    def running(self, count: int = 1) -> list[Leased]:
        """Jobs that have just been leased."""
        return self.lease(world.queued(self.database, self.holder, count))

    async def settle(self, *endings: Ending, told: bool = True) -> None:
        """End jobs; `told`: and say so."""
        await self.database.write(lambda connection: transitions.settle(connection, endings))
        if told:
            self.context.notifier.publish("fusionai.done", [ending.job_id for ending in endings])

    async def respond(self, id: str, **more: Any) -> AsyncIterator[str]:
        """The body of a stream, once it has begun."""
        answer: Any = await self.begun(id, **more)
        assert answer.headers["fusionai-job-id"] == id and answer.media_type == "text/event-stream"
        return _frames(answer)

    async def begun(self, id: str, **more: Any) -> Any:
        """The answer itself."""
        how: dict[str, Any] = {"include_usage": True, "ids": True, "limits": LIMITS, "framing": framing(), **more}
        return await stream.respond(self.context.streams, id, self.holder, **how)


async def _frames(answer: Any) -> AsyncIterator[str]:
    try:
        async for sent in answer.body_iterator:
            *events, comment = sent.decode().split("\n\n")
            for event in events:
                yield f"{event}\n\n"
            if comment:
                yield comment
    finally:
        answer._relay.close()


@asynccontextmanager
async def scene(database: Database, seconds: float = SCENE_SECONDS) -> AsyncIterator[Scene]:
    """Set up, and hang up cleanly."""
    context = Context(database, world.RecordedBell())
    publisher = Publisher(settings().redis_url)
    try:
        async with asyncio.timeout(seconds):
            yield Scene(database, context, publisher, world.open_account(database, 100_000))
    finally:
        await publisher.close()
        await context.close()


def play(database: Database, act: Callable[[Scene], Awaitable[None]], seconds: float = SCENE_SECONDS) -> None:
    async def main() -> None:
        async with scene(database, seconds) as stage:
            await act(stage)

    asyncio.run(main())


def say(sink: StreamSink, *words: str, begin: bool = True, end: bool = False) -> None:
    if begin:
        sink.send(HEAD, [part(0, {"role": "assistant", "content": ""})])
    for word in words:
        sink.send(HEAD, [part(0, {"content": word})])
    if end:
        sink.send(HEAD, [part(0, {}, "stop")])
        sink.end()


def good(job: Leased, words: list[str] = WORDS) -> Ending:
    message = {"role": "assistant", "content": "".join(words), "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    body = {**HEAD, "object": "chat.completion", "choices": [choice], "usage": {"total_tokens": 3}}
    return Ending(job.id, job.epoch, "succeeded", response=orjson.dumps(body).decode())


def data(frame: str) -> Any:
    return orjson.loads(frame.rpartition("data: ")[2])


def event_id(frame: str) -> str:
    return frame.partition("\n")[0].removeprefix("id: ")


def check_whole(frames: list[str], words: list[str] = WORDS) -> None:
    *chunks, usage, done = frames
    assert done == "data: [DONE]\n\n" and data(usage)["usage"] == {"total_tokens": 3}
    (choice,) = added_up(data(chunk) for chunk in chunks)
    assert choice["message"]["content"] == "".join(words) and choice["finish_reason"] == "stop"


def check_broken(frame: str, id: str, type: str) -> None:
    error = data(frame)["error"]
    assert error["type"] == type and id in error["message"] and error["job_id"] == id


def test_chunks_come_as_they_are_said(database: Database, store: RedisServer) -> None:
    async def act(stage: Scene) -> None:
        (job,) = stage.running()
        sink = stage.publisher.open(job.id, job.epoch)
        say(sink, WORDS[0])
        frames = await stage.respond(job.id)
        got = [await anext(frames), await anext(frames)]
        for word in WORDS[1:]:
            say(sink, word, begin=False)
            got.append(await anext(frames))
            assert data(got[-1])["choices"][0]["delta"] == {"content": word}
        say(sink, begin=False, end=True)
        await stage.settle(good(job))
        check_whole([*got, *[frame async for frame in frames]])

    play(database, act)


def test_without_hints_all_is_found_within_about_a_second(database: Database, store: RedisServer) -> None:
    async def act(stage: Scene) -> None:
        (job,) = stage.running()
        with redis.Redis.from_url(store.url) as client:
            first = orjson.dumps(streams.chunk(HEAD, [part(0, {"role": "assistant", "content": ""})]))
            client.xadd(streams.key(job.id), {streams.FIELD: first}, id=f"{job.epoch}-1")
            frames = await stage.respond(job.id)
            got = [await anext(frames)]
            more = orjson.dumps(streams.chunk(HEAD, [part(0, {"content": WORDS[0]})]))
            client.xadd(streams.key(job.id), {streams.FIELD: more}, id=f"{job.epoch}-2")
            got.append(await asyncio.wait_for(anext(frames), 5))
        await stage.settle(good(job), told=False)
        check_whole([*got, *[frame async for frame in frames]])

    play(database, act)


def test_a_silence_is_filled_with_comments_and_a_stream_ends_in_time(
    database: Database, store: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is the worker's own, and a little more."""
    monkeypatch.setattr(settings(), "stream_seconds", 0.3)
    monkeypatch.setattr(stream_relay, "LEAVE_SECONDS", 0.2)

    async def act(stage: Scene) -> None:
        (job,) = stage.running()
        say(stage.publisher.open(job.id, job.epoch), "word")
        limits = StreamLimits(begin=20, first=20, comment=0.05)
        frames = [frame async for frame in await stage.respond(job.id, limits=limits)]
        comments = frames[2:-1]
        assert set(comments) == {KEEP_ALIVE} and 2 < len(comments) < 12
        check_broken(frames[-1], job.id, "timeout")
        error = data(frames[-1])["error"]
        assert error["last_event_id"] == event_id(frames[1]) and "Last-Event-ID" in error["message"]

    play(database, act)


def test_a_stream_that_still_speaks_is_not_ended_by_the_limit_of_its_beginning(
    database: Database, store: RedisServer
) -> None:
    async def act(stage: Scene) -> None:
        (job,) = stage.running()
        sink = stage.publisher.open(job.id, job.epoch)
        say(sink, WORDS[0])
        frames = await stage.respond(job.id, limits=StreamLimits(begin=20, first=1, comment=10))
        got = [await anext(frames), await anext(frames)]
        await asyncio.sleep(1.1)
        say(sink, *WORDS[1:], begin=False, end=True)
        await stage.settle(good(job))
        check_whole([*got, *[frame async for frame in frames]])

    play(database, act)


def test_a_silent_job_is_begun_in_time_and_its_answer_comes_whole(database: Database, store: RedisServer) -> None:
    """Queued when the stream begins, and put back once before it speaks."""

    async def act(stage: Scene) -> None:
        (id,) = world.queued(database, stage.holder)
        frames = await stage.respond(id, limits=StreamLimits(begin=0.1, first=20, comment=0.1))
        assert [await anext(frames) for _ in range(3)] == [KEEP_ALIVE] * 3
        (job,) = stage.lease([id])
        world.change(database, id, status="queued", lease_epoch=job.epoch + 1, worker_id=None)
        assert await anext(frames) == KEEP_ALIVE
        (job,) = stage.lease([id])
        sink = stage.publisher.open(id, job.epoch)
        say(sink, *WORDS, end=True)
        await stage.settle(good(job))
        check_whole([frame async for frame in frames if frame != KEEP_ALIVE])

    play(database, act)


def test_an_error_after_a_silent_beginning_is_an_event(database: Database, store: RedisServer) -> None:
    error = {"message": "the provider returned an error", "type": "upstream_error", "code": 502}

    async def act(stage: Scene) -> None:
        (job,) = stage.running()
        frames = await stage.respond(job.id, limits=StreamLimits(begin=0, first=20, comment=10))
        assert await anext(frames) == KEEP_ALIVE
        await stage.settle(Ending(job.id, job.epoch, "failed", error=error))
        (last,) = [frame async for frame in frames]
        check_broken(last, job.id, "upstream_error")
        assert "last_event_id" not in data(last)["error"]

    play(database, act)


@pytest.mark.parametrize("begun", [False, True])
def test_a_job_that_says_nothing_in_time_is_a_timeout_that_names_it(
    database: Database, store: RedisServer, begun: bool
) -> None:
    """Before the head, a 504; after it, an event."""
    limits = StreamLimits(begin=0, first=2, comment=10) if begun else StreamLimits(begin=20, first=0.1, comment=10)

    async def act(stage: Scene) -> None:
        (queued,) = world.queued(database, stage.holder)
        (running,) = stage.running()
        for id in (queued, running.id):
            if begun:
                comment, last = [frame async for frame in await stage.respond(id, limits=limits)]
                assert comment == KEEP_ALIVE
                check_broken(last, id, "timeout")
                continue
            with pytest.raises(Timeout) as error:
                await stage.respond(id, limits=limits)
            assert error.value.job_id == id and id in error.value.message
        with pytest.raises(NotFound) as absent:
            await stage.respond("job_none")
        assert absent.value.job_id is None
        assert not stage.context.waiters._waiting and not stage.context.readers.all(), "nobody is left waiting"

    play(database, act)


def test_a_server_that_stops_tells_who_reads_how_to_read_on(database: Database, store: RedisServer) -> None:
    """With something said, nothing said, nothing sent; the rest is there for the next server."""

    async def act(stage: Scene) -> None:
        speaking, silent, unbegun = stage.running(3)
        sink = stage.publisher.open(speaking.id, speaking.epoch)
        say(sink, WORDS[0])
        spoken = await stage.respond(speaking.id, ids=False)
        got = [await anext(spoken), await anext(spoken)]
        quiet = await stage.respond(silent.id, limits=StreamLimits(begin=0, first=20, comment=10))
        assert await anext(quiet) == KEEP_ALIVE
        waiting = asyncio.create_task(stage.respond(unbegun.id))
        await asyncio.sleep(0.05)
        stage.context.stop_waiting()
        (last,) = [frame async for frame in spoken]
        check_broken(last, speaking.id, "unavailable")
        assert f"/v1/jobs/{speaking.id}/stream" in data(last)["error"]["message"]
        (other,) = [frame async for frame in quiet]
        check_broken(other, silent.id, "unavailable")
        with pytest.raises(Unavailable) as error:
            await waiting
        assert error.value.job_id == unbegun.id
        stage.context = next_context = Context(database, world.RecordedBell())
        after = data(last)["error"]["last_event_id"]
        rest = await stage.respond(speaking.id, last_event_id=after, limits=StreamLimits(begin=0, first=20, comment=10))
        say(sink, *WORDS[1:], begin=False, end=True)
        await stage.settle(good(speaking))
        check_whole([*got, *[frame async for frame in rest if frame != KEEP_ALIVE]])
        await next_context.close()

    play(database, act)


def test_every_reader_of_lines_finds_the_same_events(database: Database, store: RedisServer) -> None:
    """Python's splitlines and JavaScript's readers end a line where JSON does not."""
    words = ["one\u2028two ", "three\u2029 four", "\x85five", "\x0b\x0c\x1c\x1d\x1e six \u2027\u2030"]

    async def act(stage: Scene) -> None:
        for redis_has_it in (True, False):
            (job,) = stage.running()
            if redis_has_it:
                say(stage.publisher.open(job.id, job.epoch), *words, end=True)
                await stage.publisher._flush()
            await stage.settle(good(job, words))
            frames = [frame async for frame in await stage.respond(job.id)]
            check_whole(frames, words)
            for frame in frames:
                assert frame.splitlines() == frame.removesuffix("\n").split("\n")

    play(database, act)


def test_events_have_ids_only_where_they_are_wanted(database: Database, store: RedisServer) -> None:
    async def act(stage: Scene) -> None:
        (job,) = stage.running()
        say(stage.publisher.open(job.id, job.epoch), *WORDS, end=True)
        await stage.settle(good(job))
        plain = [frame async for frame in await stage.respond(job.id, ids=False)]
        marked = [frame async for frame in await stage.respond(job.id, ids=True)]
        assert not any("id: " in frame.partition("data: ")[0] for frame in plain)
        assert all(frame.startswith("id: ") for frame in marked[:-2])
        check_whole(plain)
        check_whole(marked)

    play(database, act)


@pytest.mark.parametrize("how", ["the row", "its next worker's words"])
def test_a_lost_worker_ends_the_stream_and_its_late_words_are_not_heard(
    database: Database, store: RedisServer, how: str
) -> None:
    async def act(stage: Scene) -> None:
        (job,) = stage.running()
        stale = stage.publisher.open(job.id, job.epoch)
        say(stale, "lost ")
        frames = await stage.respond(job.id)
        got = [await anext(frames), await anext(frames)]
        world.change(database, job.id, status="queued", lease_epoch=job.epoch + 1, worker_id=None)
        fresh = await asyncio.wait_for(_next_epoch(stage, job, how), 10)
        rest = [frame async for frame in frames]
        check_broken(rest[-1], job.id, "conflict")
        assert len(rest) == 1
        with pytest.raises(Conflict) as error:
            await stage.respond(job.id, last_event_id=event_id(got[-1]))
        assert error.value.job_id == job.id
        (again,) = fresh or stage.lease([job.id])
        assert again.epoch == job.epoch + 2
        sink = stage.publisher.open(job.id, again.epoch)
        say(sink, *WORDS[:2], begin=not fresh)
        anew = await stage.respond(job.id)
        if not fresh:
            say(stale, "late ", begin=False)
            say(sink, *WORDS[2:], begin=False, end=True)
        await stage.settle(good(again))
        check_whole([frame async for frame in anew])

    play(database, act)


async def _next_epoch(stage: Scene, job: Leased, how: str) -> list[Leased]:
    if how == "the row":
        return []
    (again,) = stage.lease([job.id])
    say(stage.publisher.open(job.id, again.epoch))
    return [again]


def test_a_job_that_ends_otherwise_after_its_first_words_is_an_error_event(
    database: Database, store: RedisServer
) -> None:
    error = {"message": "the stream of the provider was interrupted", "type": "upstream_error", "code": 502}
    ends: list[tuple[dict[str, Any], str]] = [
        ({"status": "failed", "error": error}, "upstream_error"),
        ({"status": "cancelled"}, "conflict"),
        ({"status": "expired", "takes": True}, "timeout"),
    ]

    async def act(stage: Scene) -> None:
        for how, type in ends:
            (job,) = stage.running()
            say(stage.publisher.open(job.id, job.epoch), "word")
            frames = await stage.respond(job.id)
            got = [await anext(frames)]
            await stage.settle(Ending(job.id, job.epoch, **how))
            got += [frame async for frame in frames]
            check_broken(got[-1], job.id, type)
            for more in ({}, {"last_event_id": event_id(got[0])}):
                with pytest.raises(FusionError) as refused:
                    await stage.respond(job.id, **more)
                assert refused.value.type == type and refused.value.job_id == job.id

    play(database, act)


def test_a_hint_that_comes_too_early_ends_nothing(database: Database, store: RedisServer) -> None:
    async def act(stage: Scene) -> None:
        (job,) = stage.running()
        waiting = asyncio.create_task(stage.respond(job.id))
        for _ in range(3):
            stage.context.waiters.ended([job.id])
            await asyncio.sleep(0.05)
        assert not waiting.done()
        await stage.settle(good(job))
        check_whole([frame async for frame in await waiting])

    play(database, act)


def test_a_redis_that_dies_delays_nobody_and_loses_nothing(database: Database, store: RedisServer) -> None:
    async def act(stage: Scene) -> None:
        one, other = stage.running(2)
        sinks = [stage.publisher.open(job.id, job.epoch) for job in (one, other)]
        for sink in sinks:
            say(sink, WORDS[0])
        readers = [await stage.respond(job.id) for job in (one, other)]
        got = [[await anext(frames), await anext(frames)] for frames in readers]
        store.kill()
        for sink in sinks:
            say(sink, *WORDS[1:3], begin=False)
        await stage.settle(good(one), told=False)
        check_whole([*got[0], *[frame async for frame in readers[0]]])
        store.start()
        after = await asyncio.wait_for(anext(readers[1]), 10)
        assert data(after)["choices"][0]["delta"] == {"content": "".join(WORDS[1:3])}, "what was said meanwhile"
        await stage.settle(good(other))
        check_whole([*got[1], after, *[frame async for frame in readers[1]]])

    play(database, act)


def test_a_redis_that_hangs_holds_up_no_call_and_no_reader(
    database: Database, store: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_streams, "DEADLINE_SECONDS", 0.2)
    monkeypatch.setattr(stream_readers, "DEADLINE_SECONDS", 0.2)

    async def act(stage: Scene) -> None:
        (job,) = stage.running()
        sink = stage.publisher.open(job.id, job.epoch)
        say(sink, WORDS[0])
        frames = await stage.respond(job.id)
        got = [await anext(frames), await anext(frames)]
        assert store._process is not None
        os.kill(store._process.pid, signal.SIGSTOP)
        try:
            loop = asyncio.get_running_loop()
            began = loop.time()
            for word in WORDS[1:] * 1000:
                say(sink, word, begin=False)
            assert loop.time() - began < 1, "saying never waits"
            await stage.settle(good(job, [WORDS[0], *WORDS[1:] * 1000]), told=False)
            got += [frame async for frame in frames]
        finally:
            os.kill(store._process.pid, signal.SIGCONT)
        check_whole(got, [WORDS[0], *WORDS[1:] * 1000])

    play(database, act)


def test_entries_live_for_a_while_and_are_bounded(database: Database, store: RedisServer) -> None:
    async def act(stage: Scene) -> None:
        (job,) = stage.running()
        sink = stage.publisher.open(job.id, job.epoch)
        with redis.Redis.from_url(store.url) as client:
            say(sink, WORDS[0])
            frames = await stage.respond(job.id)
            await anext(frames)
            assert 3000 < client.ttl(streams.key(job.id)) <= 3600
            say(sink, *WORDS[1:], begin=False, end=True)
            await stage.settle(good(job))
            assert [frame async for frame in frames]
            async with asyncio.timeout(5):
                while client.ttl(streams.key(job.id)) > worker_streams.ENDED_SECONDS:
                    await asyncio.sleep(0.01)

    play(database, act)


def test_a_client_that_is_gone_leaves_nothing_behind(database: Database, store: RedisServer) -> None:
    async def act(stage: Scene) -> None:
        (job,) = stage.running()
        say(stage.publisher.open(job.id, job.epoch), "word")

        async def receive() -> dict[str, Any]:
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            raise OSError

        answer = await stage.begun(job.id)
        with pytest.raises(ClientDisconnect):
            await answer({"type": "http", "asgi": {"spec_version": "2.4"}}, receive, send)
        assert not stage.context.waiters._waiting and not stage.context.readers.all()
        assert world.row(database, job.id)["status"] == "running"

    play(database, act)


def test_a_client_that_neither_reads_nor_goes_is_given_up(
    database: Database, store: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings(), "stream_seconds", 0.1)
    monkeypatch.setattr(stream, "LEAVE_SECONDS", 0.05)

    async def act(stage: Scene) -> None:
        (job,) = stage.running()
        say(stage.publisher.open(job.id, job.epoch), "word")
        stuck = asyncio.Event()

        async def receive() -> dict[str, Any]:
            await asyncio.Event().wait()
            raise AssertionError("unreachable")

        async def send(message: Any) -> None:
            if message["type"] == "http.response.body":
                stuck.set()
                await asyncio.Event().wait()

        for version in ("2.3", "2.4"):
            answer = await stage.begun(job.id, limits=StreamLimits(begin=20, first=1))
            await asyncio.wait_for(answer({"type": "http", "asgi": {"spec_version": version}}, receive, send), 10)
            assert stuck.is_set() and not stage.context.waiters._waiting and not stage.context.readers.all()
        assert world.row(database, job.id)["status"] == "running"

    play(database, act)


def test_a_bug_in_a_stream_names_the_request_and_shows_nothing_else(
    database: Database, store: RedisServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    canary = "canary-77aa"

    def bug(*_: Any) -> bytes:
        raise KeyError(canary)

    monkeypatch.setattr(stream_relay.StreamRelay, "_frame", bug)
    sent: list[bytes] = []

    async def act(stage: Scene) -> None:
        (job,) = stage.running()
        say(stage.publisher.open(job.id, job.epoch), canary)

        async def receive() -> dict[str, Any]:
            await asyncio.Event().wait()
            raise AssertionError("unreachable")

        async def send(message: Any) -> None:
            sent.append(message.get("body", b""))

        answer = await stage.begun(job.id)
        scope = {"type": "http", "asgi": {"spec_version": "2.4"}, "request_id": "req_1"}
        await answer(scope, receive, send)
        error = data(b"".join(sent).decode())["error"]
        assert (error["type"], error["code"], error["request_id"]) == ("internal_error", 500, "req_1")
        assert error["job_id"] == job.id

    play(database, act)
    assert "KeyError" in caplog.text and "in bug" in caplog.text, "what and where"
    assert canary not in caplog.text and canary.encode() not in b"".join(sent)


def test_chunks_that_are_given_up_are_not_logged(store: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    canary = "canary-77ab"

    class Broken(Publisher):
        async def _send(self, commands: Any) -> None:
            failed.set()
            raise TypeError(str(commands))

    failed = asyncio.Event()

    async def main() -> None:
        publisher = Broken(store.url)
        say(publisher.open("job_1", 1), canary)
        async with asyncio.timeout(5):
            await failed.wait()
        await publisher.close()

    asyncio.run(main())
    assert "TypeError" in caplog.text and canary not in caplog.text


def test_a_thousand_streams_at_once(database: Database, store: RedisServer) -> None:
    """One connection feeds them, one takes what is said; nothing in the process grows with them but the streams."""

    async def act(stage: Scene) -> None:
        jobs = stage.running(1000)
        assert len(jobs) == 1000
        before = len(asyncio.all_tasks())
        reading = [asyncio.create_task(_whole(stage, job.id, limits=PATIENT)) for job in jobs]
        sinks = [stage.publisher.open(job.id, job.epoch) for job in jobs]
        for sink in sinks:
            say(sink)
        for word in WORDS:
            for sink in sinks:
                say(sink, word, begin=False)
            await asyncio.sleep(0.02)
        with redis.Redis.from_url(store.url) as client:
            names = [one for one in client.client_list() if one["cmd"] != "client|list"]
        assert len(names) <= 12, "connections do not grow with the streams"
        assert len(asyncio.all_tasks()) <= before + 1000 + 20, "nor do tasks, but for one a client"
        for sink in sinks:
            say(sink, begin=False, end=True)
        for start in range(0, 1000, 250):
            await stage.settle(*(good(job) for job in jobs[start : start + 250]))
        for frames in await asyncio.gather(*reading):
            check_whole(frames)
        assert not stage.context.readers.all() and not stage.context.waiters._waiting

    play(database, act, PATIENT.begin)


async def _whole(stage: Scene, id: str, **more: Any) -> list[str]:
    return [frame async for frame in await stage.respond(id, **more)]


def test_two_readers_of_one_job_at_different_places(database: Database, store: RedisServer) -> None:
    async def act(stage: Scene) -> None:
        (job,) = stage.running()
        sink = stage.publisher.open(job.id, job.epoch)
        say(sink, WORDS[0])
        one = await stage.respond(job.id)
        got = [await anext(one), await anext(one)]
        other, third = await stage.respond(job.id), await stage.respond(job.id, last_event_id=event_id(got[0]))
        say(sink, *WORDS[1:], begin=False, end=True)
        await stage.settle(good(job))
        check_whole([*got, *[frame async for frame in one]])
        check_whole([frame async for frame in other])
        check_whole([got[0], *[frame async for frame in third]])

    play(database, act)


def test_a_slow_client_is_not_read_ahead_for(
    database: Database, store: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_readers, "MOST_WAITING", 10)
    monkeypatch.setattr(stream_readers, "MOST_ENTRIES", 4)

    async def act(stage: Scene) -> None:
        (job,) = stage.running()
        with redis.Redis.from_url(store.url) as client:
            pieces = [{"role": "assistant", "content": ""}, *({"content": f"{n} "} for n in range(200))]
            for count, delta in enumerate(pieces, start=1):
                entry = orjson.dumps(streams.chunk(HEAD, [part(0, delta)]))
                client.xadd(streams.key(job.id), {streams.FIELD: entry}, id=f"{job.epoch}-{count}")
        frames = await stage.respond(job.id)
        got = [await anext(frames)]
        await asyncio.sleep(0.1)
        (reader,) = stage.context.readers.all()
        assert len(reader.entries) <= 20
        for _ in range(200):
            got.append(await asyncio.wait_for(anext(frames), 5))
        await stage.settle(good(job, [f"{n} " for n in range(200)]))
        check_whole([*got, *[frame async for frame in frames]], [f"{n} " for n in range(200)])

    play(database, act)


def test_hints_are_read_by_whoever_listens(store: RedisServer) -> None:
    async def main() -> None:
        heard: list[str] = []
        ready = asyncio.Event()
        notifier, publisher = Notifier(store.url), Publisher(store.url)
        notifier.listen(streams.NEW_ENTRIES, heard.extend, ready.set)
        await ready.wait()
        for id in ("job_1", "job_2"):
            say(publisher.open(id, 1))
        async with asyncio.timeout(5):
            while set(heard) != {"job_1", "job_2"}:
                await asyncio.sleep(0.01)
        await publisher.close()
        await notifier.close()

    asyncio.run(main())
