"""Processes that ask for far more than a limit allows: `crowd` starts them; each is this module with arguments.

limit_crowd.py REDIS ACCOUNT LIMIT WINDOW SECONDS prints, as JSON, how many were offered, and of each admitted request
when it was asked and when it was answered.
"""

import asyncio
import json
import sys
from contextlib import ExitStack
from tempfile import TemporaryFile
from typing import IO

from producer.admission.limits import Limits
from producer.admission.limits.rates import requests_of_account
from shared import clock
from shared.environment import inherited
from shared.key_holders import KeyHolder
from tests import starting

#: Requests that come at once, and the pause between two such crowds, in seconds: far more than a limit allows.
CROWD, PAUSE_SECONDS = 10, 0.01


async def flood(url: str, account: str, limit: int, window: float, seconds: float) -> None:
    limits = Limits(url, dimensions=[requests_of_account(window)])
    holder = KeyHolder("key", account, "live", None, limit)
    admitted: list[tuple[float, float]] = []
    offered, end = 0, clock.monotonic() + seconds

    async def one() -> None:
        asked = clock.monotonic()
        allowance = await limits.take(holder)
        assert allowance is not None
        if allowance.retry_seconds is None:
            admitted.append((asked, clock.monotonic()))

    while clock.monotonic() < end:
        await asyncio.gather(*(one() for _ in range(CROWD)))
        offered += CROWD
        await asyncio.sleep(PAUSE_SECONDS)
    await limits.close()
    print(json.dumps({"offered": offered, "admitted": admitted}))


def crowd(
    url: str, account: str, *, processes: int, limit: int, window: float, seconds: float
) -> tuple[list[int], list[tuple[float, float]]]:
    """What each process was offered, and when the admitted requests of all were asked and answered."""
    numbers = [str(limit), str(window), str(seconds)]
    with ExitStack() as opened:
        files = [opened.enter_context(TemporaryFile()) for _ in range(processes)]
        running = [
            starting.start("tests.integration.limit_crowd", inherited(), file, url, account, *numbers) for file in files
        ]
        assert [each.wait(seconds + 60) for each in running] == [0] * processes
        told = [json.loads(_read(file)) for file in files]
    assert all(one["admitted"] for one in told), "a process was left out"
    return [one["offered"] for one in told], sorted(
        (asked, answered) for one in told for asked, answered in one["admitted"]
    )


def _read(file: IO[bytes]) -> bytes:
    """What a process has printed last."""
    file.seek(0)
    return file.read().splitlines()[-1]


def most_within(window: float, intervals: list[tuple[float, float]]) -> int:
    """The most requests that were asked and answered within any one window: so many were surely admitted in it."""
    most = 0
    for at, (begin, _) in enumerate(intervals):
        inside = 0
        for asked, answered in intervals[at:]:
            if asked > begin + window:
                break
            inside += answered <= begin + window
        most = max(most, inside)
    return most


if __name__ == "__main__":
    redis_url, name, *numbers = sys.argv[1:]
    asyncio.run(flood(redis_url, name, int(numbers[0]), float(numbers[1]), float(numbers[2])))
