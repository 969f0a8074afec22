"""Lets a few requests of each account at a time do what takes memory: those of others are not held up by it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(eq=False, slots=True)
class _Room:
    places: asyncio.Semaphore
    #: Who is in it or waits for it.
    wanted: int = 0


@dataclass(slots=True)
class Rooms:
    """A room for each account, in which `each` are at a time; the others wait, first come, first served."""

    each: int
    _rooms: dict[str, _Room] = field(default_factory=dict)

    @asynccontextmanager
    async def entered(self, account: str) -> AsyncIterator[None]:
        """Be in it for as long as the block."""
        room = self._rooms.setdefault(account, _Room(asyncio.Semaphore(self.each)))
        room.wanted += 1
        try:
            async with room.places:
                yield
        finally:
            room.wanted -= 1
            if not room.wanted:
                self._rooms.pop(account, None)
