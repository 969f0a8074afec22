"""The upstream of the streams row: chats as server-sent events, so many tokens a second, each written when it is due.

    python -m tests.bench.stream_upstream --together 5      # prints its address, runs until it is killed
    with stream_upstream(5) as (base, pid): …               # starts that, waits for the line, stops it

A stream has as many tokens as its request's `max_tokens`; the first comes FIRST_SECONDS after the request. So many
tokens `together` are one write, each an event of its own, all one HTTP chunk, as proxies make of what they have read:
a write costs more than all else here.
Streams are spread over the milliseconds between two writes, one timer for all those of a millisecond.
"""

import argparse
import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import cast

import orjson
import uvloop

from tests.bench.upstream import BACKLOG, LENGTH, raise_open_files

PER_SECOND = 50
FIRST_SECONDS = 0.1
MOST_TOKENS = re.compile(rb'"max_(?:completion_)?tokens": *(\d+)')
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def text(number: int) -> str:
    """A token."""
    return f" {number:04d}"


def tokens_of(count: int) -> str:
    """The whole text of a stream of so many."""
    return "".join(map(text, range(count)))


def event(delta: dict[str, str] | None, finish: str | None = None) -> bytes:
    """One chunk as its event; no delta: the one of the usage."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
    head = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "gpt-4"}
    usage = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18} if delta is None else None
    return b"data: %b\n\n" % orjson.dumps({**head, "choices": choices, "usage": usage})


def framed(data: bytes) -> bytes:
    """An HTTP chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


@cache
def writes(tokens: int, together: int) -> list[bytes]:
    """What a stream of so many tokens is written as; the first token alone, the last with the stream's end."""
    made = [event({"content": text(number)}) for number in range(tokens)]
    made[0] = event({"role": "assistant", "content": ""}) + made[0]
    made[-1] += event({}, "stop") + event(None) + b"data: [DONE]\n\n"
    pieces = [made[0], *(b"".join(made[at : at + together]) for at in range(1, tokens, together))]
    return [*map(framed, pieces[:-1]), framed(pieces[-1]) + END]


class Clock:
    """Writes what is due: a timer for each millisecond between two writes."""

    def __init__(self, loop: asyncio.AbstractEventLoop, together: int) -> None:
        self._loop = loop
        self._together = together
        self._phases: list[dict[Stream, tuple[list[bytes], int]]] = [{} for _ in range(1000 * together // PER_SECOND)]
        self._start = loop.time()
        for phase in range(len(self._phases)):
            due = self._start + phase / 1000
            loop.call_at(due, self._tick, phase, due)

    def add(self, stream: "Stream", tokens: int) -> None:
        """Its first token is written now, the others when they are due."""
        pieces = writes(tokens, self._together)
        stream.transport.write(pieces[0])
        phase = int((self._loop.time() - self._start) * 1000) % len(self._phases)
        self._phases[phase][stream] = (pieces, 1)

    def _tick(self, phase: int, due: float) -> None:
        after = due + self._together / PER_SECOND
        self._loop.call_at(after, self._tick, phase, after)
        streams = self._phases[phase]
        for stream, (pieces, at) in list(streams.items()):
            if at < len(pieces) and not stream.transport.is_closing():
                stream.transport.write(pieces[at])
                streams[stream] = (pieces, at + 1)
            else:
                del streams[stream]


class Stream(asyncio.Protocol):
    """One connection, one stream at a time."""

    transport: asyncio.Transport

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock) -> None:
        self._loop = loop
        self._clock = clock
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        length = LENGTH.search(self._buffer, 0, end + 2) if end >= 0 else None
        if end >= 0 and len(self._buffer) >= end + 4 + (int(length[1]) if length else 0):
            asked = MOST_TOKENS.search(self._buffer, end)
            self._buffer = b""
            self.transport.write(HEAD)
            self._loop.call_later(FIRST_SECONDS, self._clock.add, self, int(asked[1]) if asked else 100)


async def serve(together: int) -> None:
    """Listen on loopback and print `upstream http://127.0.0.1:<port>`."""
    loop = asyncio.get_running_loop()
    clock = Clock(loop, together)
    server = await loop.create_server(lambda: Stream(loop, clock), "127.0.0.1", 0, backlog=BACKLOG)
    print(f"upstream http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


@contextmanager
def stream_upstream(together: int) -> Iterator[tuple[str, int]]:
    """The base address of a fresh one, and its process, which ends with the context."""
    command = [sys.executable, "-m", "tests.bench.stream_upstream", "--together", str(together)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            assert line.startswith("upstream "), "the upstream did not start"
            yield line.split()[1], process.pid
        finally:
            process.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description="An OpenAI-like upstream that streams.")
    parser.add_argument("--together", type=int, default=1)
    raise_open_files()
    uvloop.run(serve(parser.parse_args().together))


if __name__ == "__main__":
    main()
