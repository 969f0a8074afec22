"""Bounds how many requests of one account do at a time what takes memory, so that they hold up no other account."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(eq=False, slots=True)
class _Permits:
    free: asyncio.Semaphore
    #: Requests that hold a permit or wait for one.
    wanted: int = 0


@dataclass(slots=True)
class AccountConcurrency:
    """At most `each` requests of an account at a time; the others wait, first come, first served."""

    each: int
    _permits: dict[str, _Permits] = field(default_factory=dict)

    @asynccontextmanager
    async def permit(self, account: str) -> AsyncIterator[None]:
        """Hold one of the account's permits for as long as the block."""
        permits = self._permits.setdefault(account, _Permits(asyncio.Semaphore(self.each)))
        permits.wanted += 1
        try:
            async with permits.free:
                yield
        finally:
            permits.wanted -= 1
            if not permits.wanted:
                self._permits.pop(account, None)
