"""Mutated bodies by the thousand, many in flight: none is a 5xx, and the web process does not grow."""

import asyncio
import itertools
import random
from collections import Counter

import httpx
import pytest

from tests.acceptance.hostile_bodies import GOOD, mutated
from tests.acceptance.stack import Account

IN_FLIGHT = 24
SEED = 7
#: Bodies before the memory is measured: what a process keeps for good it has by then.
WARM = 2000
MOST_GROWTH_BYTES = 48 * 1024 * 1024


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("count", [10_000, pytest.param(100_000, marks=pytest.mark.chaos)])
def test_mutations_of_good_bodies(account: Account, count: int) -> None:
    chance = random.Random(SEED)
    told = asyncio.run(send(account, WARM, chance))
    before = account.stack.memory_bytes()
    told += asyncio.run(send(account, count - WARM, chance))
    grown = account.stack.memory_bytes() - before
    assert told.total() == count and told[400] > count // 2 and told[202] > count // 100, told
    assert grown < MOST_GROWTH_BYTES, f"the web process grew by {grown:,} bytes"


async def send(account: Account, count: int, chance: random.Random) -> "Counter[int]":
    """Send mutations, for nothing and without waiting for what is accepted; how many answers had which status."""
    told: Counter[int] = Counter()
    left = itertools.islice(itertools.cycle(GOOD), count)
    headers = {**account.test.headers, "content-type": "application/json", "prefer": "respond-async"}

    async def worker(http: httpx.AsyncClient) -> None:
        for method, path, good in left:
            body = mutated(good, chance)
            try:
                answer = await http.request(method, path, content=body, headers=headers)
            except httpx.TransportError as error:
                raise AssertionError(f"no answer after {told.total():,}: {error!r} to {path} {body!r}") from error
            assert answer.status_code < 500, (path, body, answer.text[:300])
            if answer.status_code >= 400:
                assert answer.json()["error"]["code"] == answer.status_code
            told[answer.status_code] += 1

    async with httpx.AsyncClient(base_url=account.stack.url + "/v1", timeout=60, trust_env=False) as http:
        await asyncio.gather(*(worker(http) for _ in range(IN_FLIGHT)))
    return told
