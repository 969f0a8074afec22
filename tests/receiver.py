"""A webhook receiver for tests: it records every delivery, and answers what the test says, now or later.

    with Receiver() as receiver:
        receiver.answer = lambda delivery: Answer(503) if len(receiver.deliveries) < 3 else Answer()
        …
        receiver.wait_for(lambda deliveries: len(deliveries) == 3)

One event loop in a thread of its own, on a free loopback port; thousands of deliveries a second.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request as received; header names in lower case, `at` in seconds since the epoch."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What the receiver does: waits, then answers, or with `close` hangs up without a word."""

    status: int = 200
    delay_seconds: float = 0.0
    close: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b"{}"

    def wire(self) -> bytes:
        lines = [f"HTTP/1.1 {self.status} Answer", f"Content-Length: {len(self.body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


class Receiver:
    """The server and its record. `answer` may be replaced at any time: an Answer, or a callable of the
    delivery, which runs in the receiver's thread after the delivery has been recorded; what it raises is kept
    and raised again when the context ends.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.answer: Answer | Callable[[Delivery], Answer] = Answer()
        self.connections = 0
        #: Requests that are being answered, and the most that there were.
        self.at_once = self.most_at_once = 0
        self._host, self._port = host, port
        self._deliveries: list[Delivery] = []
        self._changed = threading.Condition()
        self._errors: list[BaseException] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="receiver", daemon=True)
        self._stopping = asyncio.Event()
        self._ready = threading.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(10) or self._errors:
            raise RuntimeError("the receiver did not start") from next(iter(self._errors), None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(10)
        if error is None and self._errors:
            raise self._errors[0]

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        """`http://127.0.0.1:<port>/hook`; any other path is recorded as well."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}/hook"

    @property
    def deliveries(self) -> list[Delivery]:
        """All that came so far, in order; a copy."""
        with self._changed:
            return list(self._deliveries)

    def wait_for(self, predicate: Callable[[Sequence[Delivery]], bool], timeout: float = 10.0) -> list[Delivery]:
        """Block until `predicate(deliveries)` holds; AssertionError after `timeout` seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: predicate(self._deliveries), timeout):
                raise AssertionError(f"not within {timeout} s; {len(self._deliveries)} deliveries came")
            return list(self._deliveries)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:  # reported by the test's own thread
            self._errors.append(error)
        finally:
            self._loop.close()
            self._ready.set()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connected, self._host, self._port, backlog=1024)
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopping.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            while await self._exchange(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the sender hung up, or the receiver is stopping
        except Exception as error:
            self._errors.append(error)
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; whether the connection lives on."""
        delivery = await _read(reader)
        with self._changed:
            self._deliveries.append(delivery)
            self._changed.notify_all()
        answer = self.answer if isinstance(self.answer, Answer) else self.answer(delivery)
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        try:
            if answer.delay_seconds:
                await asyncio.sleep(answer.delay_seconds)
        finally:
            self.at_once -= 1
        if answer.close:
            return False
        writer.write(answer.wire())
        await writer.drain()
        return True


async def _read(reader: asyncio.StreamReader) -> Delivery:
    """One request with a Content-Length; IncompleteReadError at the end of the connection."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    request, *lines = head.split("\r\n")[:-2]
    method, path, _ = request.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Delivery(method, path, headers, body, time.time())
