"""Stopping: a process when a signal comes, and tasks of an event loop, also those that miss a cancellation."""

import asyncio
import signal
import threading
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


def on_signals(*numbers: signal.Signals) -> threading.Event:
    """An event that is set once one of these signals has come (SIGTERM and SIGINT); called from the main thread."""
    stop = threading.Event()
    for number in numbers or (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
