"""The upstream of every benchmark: a minimal OpenAI-like server in a process of its own, far faster than its clients.

    python -m tests.bench.upstream          # prints its address, runs until it is killed
    with upstream() as base: …              # starts that, waits for the line, stops it

POST …/v1/chat/completions (any path ending so) answers the same valid completion:

    /v1/…             at once
    /slow/v1/…        after 0.5 s
    /mixed/v1/…       after 30 s when the body contains the marker "slow-30s", else after 0.5 s
    /delay/<ms>/v1/…  after so many milliseconds

POST …/hook is a webhook's receiver, which answers 200 after the same times. GET /most says how many answers were due at
once, at most, since it was asked last.

Keep-alive and pipelining are safe: the answers of one connection leave in the order of its requests.
"""

import argparse
import asyncio
import re
import resource
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import orjson
import uvloop

#: Listen backlog and open files; 5,000 clients may connect in one instant.
BACKLOG = 16_384
OPEN_FILES = 65_536
SLOW_SECONDS = 0.5
MARKER = b"slow-30s"
MARKER_SECONDS = 30.0

COMPLETION = orjson.dumps(
    {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "gpt-4",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello! How can I help you today?"},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18},
    }
)
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
    len(COMPLETION),
    COMPLETION,
)
TAKEN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
OPEN = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%b"
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


def delay_of(path: bytes, body: bytes) -> float:
    """Seconds before the answer to `path`."""
    if path.startswith(b"/v1/"):
        return 0.0
    if path.startswith(b"/slow/"):
        return SLOW_SECONDS
    if path.startswith(b"/mixed/"):
        return MARKER_SECONDS if MARKER in body else SLOW_SECONDS
    _, kind, milliseconds, *_ = [*path.split(b"/"), b"", b""]
    return int(milliseconds) / 1000 if kind == b"delay" and milliseconds.isdigit() else 0.0


class Due:
    """How many answers are due over all connections, and were at most since `taken`."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def add(self, count: int) -> None:
        """So many more, or less."""
        self.now += count
        self.most = max(self.most, self.now)

    def taken(self) -> int:
        """The most; counted anew from now on."""
        most, self.most = self.most, self.now
        return most


class Upstream(asyncio.Protocol):
    """One connection. `_due` holds the answers not yet sent, in order; None is one that is not due yet."""

    def __init__(self, loop: asyncio.AbstractEventLoop, due: Due) -> None:
        self._loop = loop
        self._all_due = due
        self._buffer = b""
        self._due: deque[list[bytes | None]] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            length = LENGTH.search(self._buffer, 0, end + 2)
            stop = end + 4 + (int(length[1]) if length else 0)
            if len(self._buffer) < stop:
                break
            path = self._buffer[: self._buffer.index(b"\r\n")].split(b" ")[1]
            body = self._buffer[end + 4 : stop]
            self._buffer = self._buffer[stop:]
            self._answer(path, body)

    def _answer(self, path: bytes, body: bytes) -> None:
        if path == b"/most":
            most = b"%d" % self._all_due.taken()
            self._transport.write(OPEN % (len(most), most))
            return
        answer = ANSWER if path.endswith(b"/chat/completions") else TAKEN if path.endswith(b"/hook") else NOT_FOUND
        delay = delay_of(path, body)
        if not delay and not self._due:
            self._transport.write(answer)
            return
        slot: list[bytes | None] = [None]
        self._due.append(slot)
        self._all_due.add(1)
        self._loop.call_later(delay, self._fill, slot, answer)

    def _fill(self, slot: list[bytes | None], answer: bytes) -> None:
        slot[0] = answer
        self._all_due.add(-1)
        while self._due and (first := self._due[0][0]) is not None:
            self._due.popleft()
            if not self._transport.is_closing():
                self._transport.write(first)


def raise_open_files() -> None:
    """As many open files as the machine gives this process, up to OPEN_FILES."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def serve(port: int) -> None:
    """Listen on loopback and print `upstream http://127.0.0.1:<port>`; port 0 takes a free one."""
    loop = asyncio.get_running_loop()
    due = Due()
    server = await loop.create_server(lambda: Upstream(loop, due), "127.0.0.1", port, backlog=BACKLOG)
    print(f"upstream http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


@contextmanager
def upstream() -> Iterator[str]:
    """The base address of a fresh upstream, `http://127.0.0.1:<port>`; the process ends with the context."""
    command = [sys.executable, "-m", "tests.bench.upstream"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not line.startswith("upstream "):
                raise RuntimeError("the upstream did not start")
            yield line.split()[1]
        finally:
            process.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description="An instant OpenAI-like upstream.")
    parser.add_argument("--port", type=int, default=0)
    raise_open_files()
    try:
        uvloop.run(serve(parser.parse_args().port))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
