"""Streams from a process of its own: so many chats, opened one after another, then read all at the same time.

    python -m tests.bench.stream_load URL STREAMS TOKENS RAMP_SECONDS [NAME=PID…]    # BENCH_BODY, BENCH_HEADERS

What comes is kept as it comes, with the times; it is read when all is over, so that reading costs little meanwhile.
"""

import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit

import orjson
import uvloop

from tests.bench import cpu
from tests.bench.stream_upstream import text, tokens_of
from tests.bench.upstream import raise_open_files

FIRST = text(0).encode()
#: After a stream should have ended, how long it is waited for, in seconds.
PATIENCE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Streams:
    """What became of them. Times in seconds; CPU in microseconds a token, by process, while all were open."""

    whole: int
    broken: int
    #: Status of answers that were no streams, and what other failures there were.
    faults: Mapping[str, int]
    first: Sequence[float]
    #: The longest time between two receipts of each stream.
    gaps: Sequence[float]
    #: Tokens a second, of all streams together, while all were open; how many receipts they came in.
    per_second: float
    receipts: float
    cpu_micros: Mapping[str, float]

    def first_at(self, percent: int) -> float:
        """The percentile of the first token's time."""
        return percentile(self.first, percent)


def percentile(values: Sequence[float], percent: int) -> float:
    """Of at least one value."""
    return statistics.quantiles(values, n=100)[percent - 1] if len(values) > 1 else values[0] if values else 0.0


def streams(
    url: str, headers: Mapping[str, str], body: bytes, count: int, tokens: int, ramp: float, pids: Mapping[str, int]
) -> Streams:
    """Open so many over `ramp` seconds, each of so many tokens, and read them."""
    command = [sys.executable, "-m", "tests.bench.stream_load", url, str(count), str(tokens), str(ramp)]
    command += [f"{name}={pid}" for name, pid in pids.items()]
    told = {"BENCH_BODY": body.decode(), "BENCH_HEADERS": "\n".join(f"{name}: {v}" for name, v in headers.items())}
    done = subprocess.run(command, env={**os.environ, **told}, stdout=subprocess.PIPE, check=False)
    assert done.returncode == 0, f"the reader of streams ended with {done.returncode}"
    return Streams(**orjson.loads(done.stdout.splitlines()[-1]))


@dataclass(slots=True)
class Crowd:
    """All streams of a run."""

    count: int
    pids: Mapping[str, int]
    begun: int = 0
    #: When all had begun and when the first of them ended: CPU by process, bytes that each had received.
    marks: list[tuple[float, dict[str, float], list[tuple[int, int]]]] = field(default_factory=list)
    all: "list[Stream]" = field(default_factory=list)

    def begin(self) -> None:
        """One more has its first token."""
        self.begun += 1
        if self.begun == self.count:
            self.mark(0)

    def mark(self, number: int) -> None:
        """The first time this is said: note how things are."""
        if len(self.marks) == number:
            used = {name: cpu.seconds(pid) for name, pid in self.pids.items()}
            places = [(len(stream.received), stream.receipts) for stream in self.all]
            self.marks.append((time.perf_counter(), used, places))


class Stream(asyncio.Protocol):
    """One of them."""

    def __init__(self, crowd: Crowd, request: bytes) -> None:
        self._crowd = crowd
        self._request = request
        self.received = bytearray()
        self.receipts = 0
        self.first = self.gap = 0.0
        self.over = asyncio.get_running_loop().create_future()
        crowd.all.append(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._sent = self._last = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        self.received += data
        self.receipts += 1
        if not self.first:
            if FIRST not in self.received:
                return
            self.first = now - self._sent
            self._crowd.begin()
        else:
            self.gap = max(self.gap, now - self._last)
        self._last = now
        if data.endswith(b"0\r\n\r\n"):
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._crowd.mark(1)
        self.over.set_result(None)


def body_of(received: bytearray) -> tuple[str, bytes]:
    """The status of an answer, and its body out of its HTTP chunks."""
    head, _, rest = bytes(received).partition(b"\r\n\r\n")
    pieces = []
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        pieces.append(rest[: int(size, 16)])
        rest = rest[int(size, 16) + 2 :]
    return head[9:12].decode(), b"".join(pieces)


def said_in(body: bytes) -> tuple[str, str]:
    """The text of a stream's events, and how it ended: its finish reason once `[DONE]` has come, or its error."""
    said, finish, done = list[str](), "", False
    for line in body.splitlines():
        if line == b"data: [DONE]":
            done = True
        elif line.startswith(b"data: "):
            event = orjson.loads(line[6:])
            if "error" in event:
                return "".join(said), f"error: {event['error'].get('type')}"
            for choice in event["choices"]:
                said.append(choice["delta"].get("content") or "")
                finish = choice["finish_reason"] or finish
    return "".join(said), finish if done else "cut off"


def _report(crowd: Crowd, tokens: int) -> dict[str, Any]:
    whole, faults = 0, dict[str, int]()
    for stream in crowd.all:
        try:
            status, body = body_of(stream.received)
            said, how = said_in(body) if status == "200" else ("", status)
        except ValueError:
            said, how = "", "garbled"
        good = how == "stop" and said == tokens_of(tokens)
        whole += good
        if not good:
            how = "text differs" if how == "stop" else how
            faults[how] = faults.get(how, 0) + 1
    found = {"whole": whole, "broken": crowd.count - whole, "faults": faults}
    found |= {"first": [one.first for one in crowd.all if one.first], "gaps": [one.gap for one in crowd.all]}
    if len(crowd.marks) < 2:
        return found | {"per_second": 0.0, "receipts": 0.0, "cpu_micros": {}}
    (start, used, places), (end, used_then, places_then) = crowd.marks
    came = 0
    for stream, (first, _), (last, _) in zip(crowd.all, places, places_then, strict=True):
        came += len(stream.received[first:last]) and _count(bytes(stream.received[first:last]))
    receipts = sum(last - first for (_, first), (_, last) in zip(places, places_then, strict=True))
    micros = {name: (used_then[name] - used[name]) * 1e6 / max(came, 1) for name in used}
    return found | {"per_second": came / (end - start), "receipts": receipts / (end - start), "cpu_micros": micros}


def _count(received: bytes) -> int:
    """Tokens in a part of what a stream received."""
    length = sum(len(part.partition(b'"')[0]) for part in received.split(b'"content":"')[1:])
    return length // len(FIRST)


async def _read(url: str, count: int, tokens: int, ramp: float, pids: dict[str, int]) -> None:
    loop, at = asyncio.get_running_loop(), urlsplit(url)
    body = os.environ["BENCH_BODY"].encode()
    lines = [f"POST {at.path} HTTP/1.1", f"Host: {at.netloc}", f"Content-Length: {len(body)}"]
    lines += os.environ["BENCH_HEADERS"].splitlines()
    request = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
    crowd, start = Crowd(count, {**pids, "client": os.getpid()}), loop.time()
    for number in range(count):
        await asyncio.sleep(max(0.0, start + ramp * number / count - loop.time()))
        await loop.create_connection(lambda: Stream(crowd, request), at.hostname or "", at.port or 80)
    everything = asyncio.gather(*(one.over for one in crowd.all))
    try:
        await asyncio.wait_for(everything, tokens / 50 + PATIENCE_SECONDS)
    except TimeoutError:
        pass
    print(orjson.dumps(_report(crowd, tokens)).decode())


if __name__ == "__main__":
    raise_open_files()
    named = {name: int(pid) for name, _, pid in (argument.partition("=") for argument in sys.argv[5:])}
    uvloop.run(_read(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), named))
