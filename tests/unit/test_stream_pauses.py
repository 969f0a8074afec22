"""The pauses of a stream's relay, on the event loop that serves it."""

import asyncio
from types import SimpleNamespace
from typing import Any

import uvloop

from producer.waiting.stream_relay import StreamRelay
from producer.waiting.stream_starts import StreamLimits
from producer.waiting.waiters import Waiters


def relay() -> StreamRelay:
    none: Any = None
    sources: Any = SimpleNamespace(readers=None, waiters=Waiters(none))
    return StreamRelay(sources, "job_1", include_usage=False, limits=StreamLimits(9, 9), ids=False, framing=none)


def test_news_may_come_when_a_pause_is_nearly_over() -> None:
    """A timer of less than half a millisecond is another kind of handle there, which does not say when it rings."""

    async def scene() -> None:
        one, loop = relay(), asyncio.get_running_loop()
        for _ in range(20):
            loop.call_soon(one._wake.set)
            for seconds in (0.0003, 0.0002, 0.001, 0.0):
                await asyncio.wait_for(one._pause(seconds), 5)
                one._wake.clear()
        one.close()

    uvloop.run(scene())


def test_a_pause_that_is_made_longer_rings_when_that_is_over() -> None:
    async def scene() -> None:
        one, loop = relay(), asyncio.get_running_loop()
        loop.call_soon(one._wake.set)
        await one._pause(0.002)
        one._wake.clear()
        began = loop.time()
        await asyncio.wait_for(one._pause(0.02), 5)
        assert loop.time() - began >= 0.019
        one.close()

    uvloop.run(scene())
