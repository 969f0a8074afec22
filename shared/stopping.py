"""Ends tasks of an event loop, those too that miss that they were cancelled."""

import asyncio
from typing import Any

#: Between two cancellations of a task that goes on, in seconds.
AGAIN_SECONDS = 0.1


async def stop(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel tasks until they have ended; whatever they raise is nobody's any more.

    Once is not enough: up to Python 3.11 `asyncio.wait_for`, with which redis-py sends, drops a cancellation that comes
    just as what it waits for is done.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=AGAIN_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)
