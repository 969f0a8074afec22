"""The ceiling: the same HTTP calls by a bare event loop over the product's own client; no queue, no database.

    python -m tests.bench.ceiling [--jobs 20000] [--in-flight 1000] [--path /v1] [--loop uvloop|asyncio]
                                  [--client own|library]

Beside it the same loop over the quickest library that we know, pyreqwest.

Each job is one POST of a chat completion whose JSON answer is parsed. The connections are opened before the clock
starts (one warming call each), as a worker's are after its first seconds.
"""

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, nullcontext
from typing import Final

import orjson
import uvloop
from pyreqwest.client import ClientBuilder

from tests.bench.load import whole
from tests.bench.upstream import raise_open_files, upstream
from workers.upstream.transport import ProviderClient

BODY = orjson.dumps(
    {"model": "gpt-4", "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 16, "temperature": 0.7}
)
HEADERS = {"Content-Type": "application/json", "Authorization": "Bearer bench"}


#: One call: the body of its answer.
Call = Callable[[], Awaitable[bytes]]


async def drain(call: Call, jobs: int, in_flight: int) -> int:
    """Call `jobs` times with `in_flight` callers; the tokens that the answers reported, as proof of parsing."""
    tokens = 0
    numbers = iter(range(jobs))

    async def caller(numbers: Iterator[int]) -> None:
        nonlocal tokens
        for _ in numbers:
            answer = await call()
            tokens += orjson.loads(answer)["usage"]["total_tokens"]

    await asyncio.gather(*(caller(numbers) for _ in range(in_flight)))
    return tokens


@asynccontextmanager
async def own(url: str, in_flight: int) -> AsyncIterator[Call]:
    """By the product's client."""

    async def call() -> bytes:
        return (await whole(client, url, HEADERS, BODY))[1]

    async with ProviderClient(in_flight) as client:
        yield call


@asynccontextmanager
async def library(url: str, in_flight: int) -> AsyncIterator[Call]:
    """By pyreqwest."""

    async def call() -> bytes:
        answer = await client.post(url).headers(HEADERS).body_bytes(BODY).build().send()
        return bytes(await answer.bytes())

    async with ClientBuilder().http1_only().no_proxy().pool_max_idle_per_host(in_flight).build() as client:
        yield call


CLIENTS: Final = {"own": own, "library": library}


async def measure(url: str, jobs: int, in_flight: int, client: str) -> tuple[float, float]:
    """Jobs a second, and microseconds of this process's CPU (Python and Rust threads) a job."""
    async with CLIENTS[client](url, in_flight) as call:
        await drain(call, in_flight, in_flight)
        began, cpu = time.perf_counter(), time.process_time()
        tokens = await drain(call, jobs, in_flight)
        seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
    assert tokens == 18 * jobs
    return jobs / seconds, cpu_seconds / jobs * 1e6


def ceiling(
    base: str, jobs: int, in_flight: int, *, path: str = "/v1", loop: str = "uvloop", client: str = "own"
) -> tuple[float, float]:
    """`measure` on a loop of its own, against the upstream at `base`."""
    run = uvloop.run if loop == "uvloop" else asyncio.run
    return run(measure(f"{base}{path}/chat/completions", jobs, in_flight, client))


def main() -> None:
    parser = argparse.ArgumentParser(description="What a bare loop over the product's client reaches.")
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--in-flight", type=int, default=1000)
    parser.add_argument("--path", default="/v1", help="/v1, /slow/v1, /delay/<ms>/v1")
    parser.add_argument("--loop", choices=["uvloop", "asyncio"], default="uvloop")
    parser.add_argument("--client", choices=CLIENTS, default="own")
    parser.add_argument("--upstream", help="an upstream that runs already; without it one is started")
    given = parser.parse_args()
    raise_open_files()
    with nullcontext(given.upstream) if given.upstream else upstream() as base:
        rate, cpu = ceiling(base, given.jobs, given.in_flight, path=given.path, loop=given.loop, client=given.client)
    how = f"{given.in_flight} in flight, {given.loop}, {given.client}"
    print(f"ceiling: {rate:,.0f} jobs/s, {cpu:,.0f} us of CPU a job, {how}")


if __name__ == "__main__":
    main()
