"""What a worker publishes of its streams: what is gathered, what goes at once, in which order and under which ids."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import orjson
import pytest
import redis

from shared.answers import streams
from shared.answers.streams import part
from workers.running import publisher as publishing
from workers.running.publisher import Publisher, StreamSink
from workers.running.stream_script import Addition, arguments

HEAD = {"id": "chatcmpl-1", "created": 1, "model": "gpt-4"}
#: Longer than any test takes: what waits for it does not come.
NEVER = 3600.0


class Kept(Publisher):
    """Keeps what would go to Redis, command by command; `away`: so many commands fail first."""

    def __init__(self, away: int = 0) -> None:
        super().__init__("redis://127.0.0.1:1")
        self.sent: list[Sequence[Addition]] = []
        self.away = away
        self.news = asyncio.Event()

    async def _send(self, additions: Sequence[Addition]) -> None:
        self.away -= 1
        if self.away >= 0:
            raise redis.ConnectionError
        self.sent.append(list(additions))
        self.news.set()

    async def until(self, said: Callable[[], bool]) -> None:
        """Until what was sent is as wanted."""
        async with asyncio.timeout(20):
            while not said():
                self.news.clear()
                await self.news.wait()

    def texts(self, job_id: str) -> list[tuple[str, str]]:
        """Ids and texts of the entries of one stream."""
        words = [word for sent in self.sent for one in sent if one.job_id == job_id for word in one.words]
        choices = (orjson.loads(chunk)["choices"][0]["delta"].get("content", "") for chunk in words[1::2])
        return list(zip(map(str, words[::2]), choices, strict=True))


def play(act: Callable[[Kept], Awaitable[None]], away: int = 0) -> None:
    async def main() -> None:
        kept = Kept(away)
        try:
            await act(kept)
        finally:
            await kept.close()

    asyncio.run(main())


def say(sink: StreamSink, *words: str) -> None:
    for word in words:
        sink.send(HEAD, [part(0, {"content": word})])


def test_few_answers_are_not_gathered() -> None:
    async def act(kept: Kept) -> None:
        sink = kept.open("job_1", 7)
        for number in range(3):
            say(sink, f"{number}")
            await kept.until(lambda number=number: len(kept.texts("job_1")) == number + 1)
        assert kept.texts("job_1") == [("7-1", "0"), ("7-2", "1"), ("7-3", "2")]

    play(act)


def test_many_answers_are_gathered_and_each_begins_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said while chunks are gathered is one entry, in order; an answer that begins takes it along."""
    monkeypatch.setattr(publishing, "gathering_seconds", lambda answers: NEVER if answers else 0.0)

    async def act(kept: Kept) -> None:
        first, second = kept.open("job_1", 1), kept.open("job_2", 4)
        say(first, "a")
        await kept.until(lambda: kept.texts("job_1") == [("1-1", "a")])
        for word in ("b", "c", "d"):
            say(first, word)
            await asyncio.sleep(0)
        assert len(kept.sent) == 1, "they wait for more"
        say(second, "x")
        await kept.until(lambda: kept.texts("job_2") == [("4-1", "x")])
        assert kept.texts("job_1") == [("1-1", "a"), ("1-2", "bcd")]
        assert len(kept.sent) == 2, "in one command"

    play(act)


def test_what_cannot_be_joined_keeps_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "gathering_seconds", lambda answers: NEVER if answers else 0.0)

    async def act(kept: Kept) -> None:
        sink, other = kept.open("job_1", 1), kept.open("job_2", 1)
        sink.send(HEAD, [part(0, {"role": "assistant", "content": ""}), part(0, {"content": "a"})])
        await kept.until(lambda: len(kept.texts("job_1")) == 2)
        say(sink, "b", "c")
        sink.send(HEAD, [part(1, {"content": "of another choice"})])
        say(sink, "d", "e")
        sink.send(HEAD, [part(0, {}, "stop")])
        say(other, "begins")
        await kept.until(lambda: len(kept.texts("job_2")) == 1)
        said = ["", "a", "bc", "of another choice", "de", ""]
        assert kept.texts("job_1") == [(f"1-{at + 1}", text) for at, text in enumerate(said)]

    play(act)


def test_what_redis_did_not_take_is_sent_again_under_the_same_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "PAUSE_SECONDS", 0.0)

    async def act(kept: Kept) -> None:
        sink = kept.open("job_1", 1)
        say(sink, "a")
        await kept.until(lambda: kept.texts("job_1") == [("1-1", "a")])
        say(sink, "b")
        await kept.until(lambda: kept.texts("job_1") == [("1-1", "a"), ("1-2", "b")])

    play(act, away=2)


def test_what_has_piled_up_is_sent_in_commands_that_redis_bears(monkeypatch: pytest.MonkeyPatch) -> None:
    """Choices that take turns are not joined: each chunk of theirs is an entry."""
    monkeypatch.setattr(publishing, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(publishing, "MOST_CHUNKS", 100)

    async def act(kept: Kept) -> None:
        sinks = [kept.open(f"job_{n}", 1) for n in range(3)]
        for number in range(120):
            for sink in sinks:
                sink.send(HEAD, [part(number % 2, {"content": f"{number}"})])
        said = [(f"1-{number + 1}", f"{number}") for number in range(120)]
        await kept.until(lambda: all(kept.texts(f"job_{n}") == said for n in range(3)))
        assert all(sum(one.entries for one in sent) <= 100 for sent in kept.sent) and len(kept.sent) >= 4

    play(act, away=3)


def test_an_answer_that_has_ended_is_not_counted_among_those_in_the_making() -> None:
    counted: list[int] = []

    def gathered(answers: int) -> float:
        counted.append(answers)
        return 0.0

    async def act(kept: Kept) -> None:
        sink = kept.open("job_1", 1)
        say(sink, "a")
        await kept.until(lambda: len(kept.sent) == 1)
        sink.end()
        await kept.until(lambda: len(kept.sent) == 2)
        assert kept.sent[1][0].seconds == publishing.ENDED_SECONDS

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(publishing, "gathering_seconds", gathered)
        play(act)
    assert counted == [1, 0]


def test_the_words_of_a_command_are_those_that_the_script_reads() -> None:
    keys, words = arguments([Addition("job_1", 60, ["1-1", b"{}", "1-2", b"[]"]), Addition("job_2", 9, [])], b"[]", 5)
    assert keys == [streams.key("job_1"), streams.key("job_2")]
    assert words == [streams.NEW_ENTRIES, b"[]", 5, 60, 2, "1-1", b"{}", "1-2", b"[]", 9, 0]


def test_gathering_grows_with_the_answers_up_to_a_bound() -> None:
    found: list[Any] = [publishing.gathering_seconds(answers) for answers in (0, 49, 50, 200, 400, 50_000)]
    assert found == pytest.approx([0.0, 0.0, 0.005, 0.02, 0.04, 0.04])
