"""Awaits a condition with a deadline, instead of sleeping and hoping."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

from shared import clock

T = TypeVar("T")

#: Until a condition counts as one that never comes true; long, since only a failing test waits for it.
DEADLINE_SECONDS = 60.0


def await_condition(
    condition: Callable[[], T],
    *,
    seconds: float = DEADLINE_SECONDS,
    what: str = "the condition",
    pause_seconds: float = 0.02,
) -> T:
    """The first truthy value of `condition`; fails the test when there is none in time.

    `pause_seconds`: between two looks; longer where a look is work for a whole stack.
    """
    deadline = clock.monotonic() + seconds
    pause = threading.Event()
    while not (value := condition()):
        if clock.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {seconds:g} s")
        pause.wait(pause_seconds)
    return value


async def eventually(condition: Callable[[], Awaitable[T | None]], *, seconds: float = DEADLINE_SECONDS) -> T:
    """The same on an event loop, of a condition that is awaited."""
    deadline = clock.monotonic() + seconds
    while (value := await condition()) is None:
        if clock.monotonic() > deadline:
            raise AssertionError(f"the condition did not come true within {seconds:g} s")
        await asyncio.sleep(0.02)
    return value
