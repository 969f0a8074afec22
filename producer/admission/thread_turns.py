"""Runs work that takes seconds of a thread: one at a time for each account; short work does not wait for long work."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")

#: What is about more bytes is done on a thread: meanwhile the event loop goes on serving.
THREAD_BYTES = 256 * 1024


@dataclass(eq=False, slots=True)
class _Turn:
    account: str
    long: bool
    comes: "asyncio.Future[None]"


@dataclass(slots=True)
class Turns:
    """So many at once, of which one is for what is not long; served in the order they came, but for who must wait.

    `long_bytes`: what is about more than that is long.
    """

    most: int
    long_bytes: int
    _waiting: list[_Turn] = field(default_factory=list)
    _under_way: set[_Turn] = field(default_factory=set)

    @asynccontextmanager
    async def turn(self, account: str, size: int) -> AsyncIterator[None]:
        """Wait for one's turn, and have it for as long as the block."""
        mine = _Turn(account, size > self.long_bytes, asyncio.get_running_loop().create_future())
        self._waiting.append(mine)
        self._go_on()
        try:
            await mine.comes
            yield
        finally:
            if mine in self._waiting:
                self._waiting.remove(mine)
            self._under_way.discard(mine)
            self._go_on()

    async def run(self, size: int, fn: Callable[[], T], account: str) -> T:
        """Do what takes as long as the bytes that it is about are many: on a thread when these are, in its turn."""
        if size <= THREAD_BYTES:
            return fn()
        async with self.turn(account, size):
            return await asyncio.to_thread(fn)

    def _go_on(self) -> None:
        for one in list(self._waiting):
            if self._may(one):
                self._waiting.remove(one)
                self._under_way.add(one)
                if not one.comes.done():
                    one.comes.set_result(None)

    def _may(self, one: _Turn) -> bool:
        if len(self._under_way) >= self.most:
            return False
        if one.long and sum(other.long for other in self._under_way) >= self.most - 1:
            return False
        return one.account not in {other.account for other in self._under_way}
