"""A provider of the OpenAI protocol that keeps every body that it is sent, and refuses what gpt-5 refuses."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USAGE = {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="


class Listener(ThreadingHTTPServer):
    """The server; `bodies` are what it was sent, in order."""

    daemon_threads = True

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def last(self) -> dict[str, Any]:
        """The body that came last."""
        return self.bodies[-1]


@contextmanager
def listening() -> Iterator[Listener]:
    """A provider that listens as long as the block."""
    with Listener() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Listener

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.bodies.append(asked)
        if refused := _refused(asked):
            error = {
                "message": f"Unsupported parameter: '{refused}'.",
                "param": refused,
                "code": "unsupported_parameter",
            }
            self._say(400, json.dumps({"error": error | {"type": "invalid_request_error"}}))
        elif self.path.endswith("/images/generations"):
            self._say(200, json.dumps({"created": 1, "data": [{"b64_json": PIXEL}] * asked.get("n", 1)}))
        elif self.path.endswith("/embeddings"):
            data = [{"object": "embedding", "index": 0, "embedding": [0.5]}]
            self._say(200, json.dumps({"object": "list", "data": data, "usage": USAGE}))
        elif asked.get("stream"):
            self._say(200, "".join(_events()), "text/event-stream")
        else:
            choice = {"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}
            self._say(200, json.dumps({"id": "x", "created": 1, "choices": [choice], "usage": USAGE}))

    def _say(self, status: int, text: str, kind: str = "application/json") -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing is told."""


def _refused(asked: dict[str, Any]) -> str | None:
    if not str(asked.get("model")).startswith("gpt-5"):
        return None
    bad = ("max_tokens", "temperature", "top_p", "presence_penalty", "frequency_penalty", "logprobs")
    return next((name for name in bad if name in asked and not (name == "temperature" and asked[name] == 1)), None)


def _events() -> Iterator[str]:
    head = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    for delta, finish in (({"role": "assistant"}, None), ({"content": "ok"}, None), ({}, "stop")):
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        yield "data: " + json.dumps(head | {"choices": [choice]}) + "\n\n"
    yield "data: " + json.dumps(head | {"choices": [], "usage": USAGE}) + "\n\ndata: [DONE]\n\n"
