"""The bodies that Google's own client writes: it is called against a server that keeps what comes."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google import genai
from google.genai import types

from workers.simulator.google_asks import camel

#: Enough of an answer for every method that is called.
ANSWER = {
    "candidates": [{"content": {"role": "model", "parts": [{"text": "yes"}]}, "finishReason": "STOP"}],
    "embeddings": [{"values": [0.5]}],
}


class Recorder:
    """A client, and the path and the body of the last request that it made."""

    def __init__(self, url: str) -> None:
        self.client = genai.Client(api_key="key", http_options=types.HttpOptions(base_url=url))
        self.path = ""
        self.headers: dict[str, str] = {}
        self.body: dict[str, Any] = {}

    def sent(self, call: Callable[["genai.Client"], Any]) -> dict[str, Any]:
        """The body of the one request of a call."""
        call(self.client)
        return self.body


@contextmanager
def recorder() -> Iterator[Recorder]:
    """A recorder on a free port."""

    class Keep(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["content-length"]))
            kept.path, kept.body = self.path, json.loads(raw)
            kept.headers = {name.lower(): value for name, value in self.headers.items()}
            answer = json.dumps(ANSWER).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *words: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Keep)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    kept = Recorder(f"http://127.0.0.1:{server.server_port}")
    try:
        yield kept
    finally:
        kept.client.close()
        server.shutdown()
        thread.join()
        server.server_close()


def settled(value: Any, name: str = "") -> Any:
    """A body as what it means: names and base64 in one spelling, enums in capitals, an instruction without its role."""
    if not name:
        value = camel(value)
    if isinstance(value, list):
        return [settled(one, name) for one in value]
    if not isinstance(value, dict):
        if name in ("data", "thoughtSignature"):
            return base64.b64encode(base64.b64decode(value.replace("-", "+").replace("_", "/") + "==")).decode()
        return value.upper() if name in ("mode", "thinkingLevel", "level") else value
    kept = {key: settled(one, key) for key, one in value.items()}
    if name == "systemInstruction":
        kept.pop("role", None)
    return kept
