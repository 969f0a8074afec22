"""The demo's webhook receiver: it verifies what arrives."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

from shared import clock
from shared.webhooks import signing

WEBHOOK_SECONDS = 30.0


class Inbox:
    """A webhook receiver: keeps every event that was signed well, by id, and counts those that were not."""

    def __init__(self) -> None:
        self.events: dict[str, str] = {}
        self.forged = 0
        self.secret = ""
        self._news = threading.Condition()
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                inbox.take(headers, body)
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/webhooks"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def take(self, headers: dict[str, str], body: bytes) -> None:
        """Verify both signatures of a delivery, then keep it."""
        event = httpx.Response(200, content=body).json()
        with self._news:
            if signing.verify(headers, body, self.secret, now=clock.now_seconds()):
                self.events[event["id"]] = event["type"]
            else:
                self.forged += 1
            self._news.notify_all()

    def wait_for(self, count: int) -> bool:
        """Until that many different events have come."""
        with self._news:
            return self._news.wait_for(lambda: len(self.events) >= count, WEBHOOK_SECONDS)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
