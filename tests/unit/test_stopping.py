"""Tasks are ended although a cancellation of theirs gets lost, as it does in Python 3.11's wait_for."""

import asyncio

import pytest

from shared.stopping import stop
from workers.running.publisher import Publisher, StreamSink


def test_a_cancellation_that_is_lost_is_sent_again() -> None:
    lost = 0

    async def deaf() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                lost += 1
                if lost == 2:
                    raise

    async def broken() -> None:
        raise KeyError

    async def scene() -> None:
        tasks = [asyncio.create_task(deaf()), asyncio.create_task(broken())]
        await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await stop(*tasks)
        assert lost == 2 and all(task.done() for task in tasks)
        await stop()

    asyncio.run(scene())


def test_a_publisher_hangs_up_though_its_client_loses_the_cancellation(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        sending = asyncio.Event()

        async def send(self: Publisher, commands: object) -> None:
            sending.set()
            try:
                await asyncio.sleep(0.5)
            except asyncio.CancelledError:
                return

        monkeypatch.setattr(Publisher, "_send", send)
        publisher = Publisher("redis://127.0.0.1:1/0")
        StreamSink(publisher, "job_1", 1).send({"id": "a", "created": 1, "model": "m"}, [])
        async with asyncio.timeout(5):
            await sending.wait()
            await publisher.close()

    asyncio.run(scene())
