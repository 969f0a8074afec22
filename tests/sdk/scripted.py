"""A server that answers each case of the table as its script says, and keeps what it has seen."""

import base64
import gzip
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.conditions import await_condition

Answer = Mapping[str, Any]
#: What a request is answered that no answer of its script fits.
UNSCRIPTED: Answer = {
    "status": 418,
    "headers": {"x-should-retry": "false"},
    "body": {"error": {"message": "this request is not in the script", "type": "unscripted", "code": 418}},
}
#: What is wrong with a connection, and not with the server.
_GONE = (BrokenPipeError, ConnectionResetError)


@dataclass(frozen=True)
class Seen:
    """A request of a case: without the case's prefix, and when it came; names of headers in small letters."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    at: float


@dataclass
class Script:
    """The answers of one case that are left, and the requests that came."""

    answers: Sequence[Answer]
    seen: list[Seen] = field(default_factory=list)
    given: list[int] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, request: Seen) -> Answer:
        """The first answer that is left for this request."""
        with self.lock:
            self.seen.append(request)
            self.given = self.given or [0] * len(self.answers)
            for number, answer in enumerate(self.answers):
                most = answer.get("times", 1)
                if (most == -1 or self.given[number] < most) and _fits(answer.get("to"), request):
                    self.given[number] += 1
                    return answer
        return UNSCRIPTED


class ScriptedServer(ThreadingHTTPServer):
    """Scripts by the names of their cases: `http://127.0.0.1:PORT/NAME/v1`."""

    daemon_threads = True
    request_queue_size = 512

    def __init__(self, scripts: Mapping[str, Script]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.scripts = scripts

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone is no news."""


@contextmanager
def serving(scripts: Mapping[str, Script]) -> Iterator[str]:
    """The URL of a server of these scripts, in threads of this process."""
    with ScriptedServer(scripts) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server.url
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: ScriptedServer
    #: Headers and body in one segment: no delay of Nagle's between them.
    wbufsize = -1

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else self._chunked()
        at = urlsplit(self.path)
        _, name, version, *rest = [*at.path.split("/"), "", ""]
        path = "/" + "/".join(rest).strip("/")
        headers = {key.lower(): value for key, value in self.headers.items()}
        seen = Seen(self.command, path, dict(parse_qsl(at.query)), headers, body, time.monotonic())
        script = self.server.scripts.get(name)
        answer = script.take(seen) if script is not None and version == "v1" else UNSCRIPTED
        try:
            self._send(answer)
        except _GONE:
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer

    def _chunked(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return b""
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _send(self, answer: Answer) -> None:
        _pause(answer)
        if answer.get("reset"):
            self._reset()
            return
        content = _content(answer)
        headers = {"X-Request-Id": "req_of_header", "Content-Type": "application/json", **answer.get("headers", {})}
        self.send_response(answer.get("status", 200))
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header(*(("Transfer-Encoding", "chunked") if content is None else ("Content-Length", len(content))))
        self.end_headers()
        if content is not None:
            self.wfile.write(content)
        self.wfile.flush()
        if content is None:
            self._stream(answer["sse"])

    def _stream(self, steps: Sequence[Any]) -> None:
        for step in steps:
            if isinstance(step, dict) and not {"bytes", "fill"} & step.keys():
                _pause(step)
                if step.get("reset"):
                    self._reset()
                    return
                if step.get("close"):
                    self.close_connection = True
                    return
                continue
            piece = _piece(step)
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def _reset(self) -> None:
        """Have the other side's system say ECONNRESET, once it has read what was sent: the rest is thrown away."""
        self.close_connection = True
        await_condition(lambda: not _unread(self.client_address[1]), what="the client has read what it was sent")
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""


def _unread(port: int) -> int:
    """Bytes that whoever holds this port of ours has been sent and has not read; 0 where the system does not say."""
    try:
        table = Path("/proc/net/tcp").read_text()
    except FileNotFoundError:
        return 0
    rows = (line.split() for line in table.splitlines()[1:])
    return sum(int(row[4].partition(":")[2], 16) for row in rows if row[1].endswith(f":{port:04X}"))


def _piece(step: Any) -> bytes:
    """What is written at once: a text, bytes in base64, or so many letters."""
    if isinstance(step, str):
        return step.encode()
    return b"a" * step["fill"] if "fill" in step else base64.b64decode(step["bytes"])


def _pause(step: Mapping[str, Any]) -> None:
    if "silence_ms" in step:
        threading.Event().wait(step["silence_ms"] / 1000)


def _content(answer: Answer) -> bytes | None:
    """The body of an answer that is no stream."""
    if "sse" in answer:
        return None
    content = answer["text"].encode() if "text" in answer else json.dumps(answer.get("body", {})).encode()
    return gzip.compress(content) if answer.get("headers", {}).get("Content-Encoding") == "gzip" else content


def _fits(to: str | Sequence[str] | None, request: Seen) -> bool:
    wanted = [to] if isinstance(to, str) else to
    return wanted is None or f"{request.method} {request.path}" in wanted
