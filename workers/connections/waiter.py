"""One task that waits until something has changed, without polling."""

import asyncio


class Waiter:
    """Use: `await wait()` in one task at a time; whatever changes something calls `wake`, which nobody may wait for."""

    __slots__ = ("_woken",)

    def __init__(self) -> None:
        self._woken: asyncio.Future[None] | None = None

    async def wait(self) -> None:
        """Return at the next `wake`."""
        self._woken = asyncio.get_running_loop().create_future()
        try:
            await self._woken
        finally:
            self._woken = None

    def wake(self) -> None:
        """Something has changed."""
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)
