"""Turns at long work: an account's one after the other, and the short past the long."""

import asyncio

from producer.admission.thread_turns import Turns


class Room:
    """Work that begins when its turn comes, and ends when the test says so."""

    def __init__(self, most: int) -> None:
        self.turns = Turns(most, long_bytes=100)
        self.begun: list[str] = []
        self._ends: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, name: str, account: str, size: int) -> None:
        self._ends[name] = asyncio.Event()
        self._tasks[name] = asyncio.create_task(self._work(name, account, size))
        await self._settle()

    async def _work(self, name: str, account: str, size: int) -> None:
        async with self.turns.turn(account, size):
            self.begun.append(name)
            await self._ends[name].wait()

    async def end(self, name: str) -> None:
        self._ends[name].set()
        await self._settle()

    async def give_up(self, name: str) -> None:
        self._tasks[name].cancel()
        await self._settle()

    async def _settle(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)


def test_one_of_an_account_and_the_short_past_the_long() -> None:
    async def scene() -> None:
        room = Room(2)
        await room.come("long 1", "a", 1000)
        await room.come("long 2", "a", 1000)
        await room.come("long 3", "b", 1000)
        assert room.begun == ["long 1"]
        await room.come("short 1", "a", 10)
        await room.come("short 2", "b", 10)
        assert room.begun == ["long 1", "short 2"]
        await room.end("short 2")
        await room.come("short 3", "c", 10)
        assert room.begun == ["long 1", "short 2", "short 3"]
        await room.end("long 1")
        assert room.begun[3:] == ["long 2"]
        await room.end("short 3")
        await room.end("long 2")
        assert room.begun[4:] == ["long 3", "short 1"]
        await room.end("long 3")
        await room.end("short 1")
        assert not room.turns._waiting and not room.turns._under_way

    asyncio.run(scene())


def test_who_gives_up_frees_the_turn() -> None:
    async def scene() -> None:
        room = Room(2)
        await room.come("first", "a", 1000)
        await room.come("second", "b", 1000)
        await room.come("third", "c", 1000)
        await room.give_up("second")
        await room.give_up("first")
        assert room.begun == ["first", "third"]
        await room.end("third")
        assert not room.turns._waiting and not room.turns._under_way

    asyncio.run(scene())
