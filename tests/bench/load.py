"""Load from a process of its own: so many clients, each sending the same POST again as soon as it is answered.

wrk (post.lua) when it is installed, else a loop over the product's own client:

    python -m tests.bench.load URL CLIENTS SECONDS      # what wrk gets too: BENCH_BODY, BENCH_HEADERS, BENCH_STATUS
"""

import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
import orjson
import uvloop

from workers.upstream.transport import ProviderClient

WRK: Final = shutil.which("wrk")
NAME: Final = "wrk, one thread" if WRK else "an asyncio loop over pyreqwest (wrk is not installed: apt-get install wrk)"
#: A client that has had no answer for so long gives the request up, in seconds.
PATIENCE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Load:
    """What came back: good answers, latencies in seconds, answers of another status, and broken connections.

    `cpu_micros`: what each process used for an answer, where somebody looked.
    """

    good: int
    per_second: float
    p50: float
    p99: float
    refused: int
    broken: int
    cpu_micros: Mapping[str, float] = field(default_factory=dict)


def load(url: str, headers: Mapping[str, str], body: bytes, clients: int, seconds: int, *, status: int = 200) -> Load:
    """Send for so many seconds; only answers of `status` are good. AssertionError when nothing can be measured."""
    own = [sys.executable, "-m", "tests.bench.load", url, str(clients), str(seconds)]
    script = Path(__file__).with_name("post.lua")
    wrk = [str(WRK), "-t1", f"-c{clients}", f"-d{seconds}s", f"--timeout={PATIENCE_SECONDS}s", f"-s{script}", url]
    told = {
        "BENCH_BODY": body.decode(),
        "BENCH_HEADERS": "\n".join(f"{name}: {value}" for name, value in headers.items()),
        "BENCH_STATUS": str(status),
    }
    done = subprocess.run(wrk if WRK else own, env={**os.environ, **told}, stdout=subprocess.PIPE, check=False)
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and lines, f"the load generator ended with {done.returncode}"
    found = orjson.loads(lines[-1])
    good = found["answers"] - found["refused"]
    return Load(good, good / found["seconds"], found["p50"], found["p99"], found["refused"], found["broken"])


async def whole(client: ProviderClient, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
    """POST: the status and the whole body of its answer."""
    async with aclosing(await client.post(url, headers, body)) as answer:
        pieces = []
        while (piece := await answer.piece()) is not None:
            pieces.append(piece)
    return answer.status_code, b"".join(pieces)


async def _send(url: str, clients: int, seconds: float) -> None:
    body, status = os.environ["BENCH_BODY"].encode(), int(os.environ["BENCH_STATUS"])
    headers = dict(line.split(": ", 1) for line in os.environ["BENCH_HEADERS"].splitlines())
    latencies: list[float] = []
    refused = broken = 0
    start = time.perf_counter()

    async def client() -> None:
        nonlocal refused, broken
        while (began := time.perf_counter()) < start + seconds:
            try:
                found = await whole(http, url, headers, body)
            except httpx.RequestError:
                broken += 1
                continue
            latencies.append(time.perf_counter() - began)
            refused += found[0] != status

    async with ProviderClient(clients, call_seconds=PATIENCE_SECONDS) as http:
        await asyncio.gather(*(client() for _ in range(clients)))
    taken = time.perf_counter() - start
    cuts = statistics.quantiles(latencies, n=100) if len(latencies) > 1 else [0.0] * 99
    shown = {"answers": len(latencies), "seconds": taken, "p50": cuts[49], "p99": cuts[98]}
    print(orjson.dumps(shown | {"refused": refused, "broken": broken}).decode())


if __name__ == "__main__":
    uvloop.run(_send(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
