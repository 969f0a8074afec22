"""The client's files and batches: rewound uploads, whole downloads, a wait that outlasts the server's absence."""

import hashlib
import io
import json
import re
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from fusionai.plain import ApiError, PlainClient
from tests.unit.batch_server import BatchServer
from tests.unit.test_cli_client import BUSY, Script

FILE = {"id": "file_1", "object": "file", "filename": "in.jsonl"}
LINE = {"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": {"model": "m", "input": "x"}}


def form_of(request: httpx.Request) -> bytes:
    """The form that was sent, whatever its boundary."""
    boundary = re.search("boundary=(.*)", request.headers["Content-Type"])
    assert boundary
    return request.read().replace(boundary[1].encode(), b"BOUNDARY")


def test_an_upload_is_rewound_for_every_try_under_one_key(tmp_path: Path) -> None:
    forms: list[bytes] = []

    def answers(request: httpx.Request) -> httpx.Response:
        forms.append(form_of(request))
        keys.add(request.headers["Idempotency-Key"])
        if len(forms) == 1:
            raise httpx.WriteError("gone")
        return httpx.Response(503, json=BUSY) if len(forms) == 2 else httpx.Response(200, json=FILE)

    keys: set[str] = set()
    (tmp_path / "in.jsonl").write_bytes(b"one\ntwo\n")
    with PlainClient(
        "http://api/v1", "k", transport=httpx.MockTransport(answers), pause=lambda seconds: None
    ) as client:
        assert client.upload(tmp_path / "in.jsonl", expires_seconds=3600)["id"] == "file_1"
    assert len(forms) == 3 and len(set(forms)) == 1 and len(keys) == 1
    assert b'name="purpose"\r\n\r\nbatch\r\n' in forms[0]
    assert b'name="expires_after[seconds]"\r\n\r\n3600\r\n' in forms[0]
    assert b'filename="in.jsonl"' in forms[0] and b"\r\n\r\none\ntwo\n\r\n" in forms[0]


def test_a_stream_is_sent_from_its_beginning_and_must_be_seekable() -> None:
    script = Script(httpx.Response(200, json=FILE))
    stream = io.BytesIO(b"one\ntwo\n")
    stream.read()
    with script.client() as client:
        client.upload(stream, "mine.jsonl")
        with pytest.raises(ValueError, match="rewound"):
            client.upload(_Pipe(), "mine.jsonl")
    assert b"\r\n\r\none\ntwo\n\r\n" in form_of(script.requests[0])


class _Pipe(io.BytesIO):
    def seekable(self) -> bool:
        return False


class Flaky(BaseHTTPRequestHandler):
    """Breaks off the first upload and the first download in the middle; takes and gives the second whole."""

    content = b""
    posts = 0
    gets = 0
    taken = ""

    def do_POST(self) -> None:
        type(self).posts += 1
        left = int(self.headers["Content-Length"])
        if self.posts == 1:
            for _ in range(left // 2 // 65536):
                self.rfile.read(65536)
            self.close_connection = True
            self.connection.close()
            return
        digest = hashlib.sha256()
        while left:
            chunk = self.rfile.read(min(left, 65536))
            left -= len(chunk)
            digest.update(chunk)
        boundary = self.headers["Content-Type"].split("boundary=")[1]
        type(self).taken = boundary + " " + digest.hexdigest()
        self._answer(json.dumps(FILE).encode())

    def do_GET(self) -> None:
        type(self).gets += 1
        self._answer(self.content, len(self.content) // 2 if self.gets == 1 else None)

    def _answer(self, body: bytes, cut: int | None = None) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:cut])

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving(content: bytes) -> Iterator[tuple[type[Flaky], PlainClient]]:
    handler = type("Handler", (Flaky,), {"content": content})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.handle_error = lambda request, address: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        with PlainClient(f"http://127.0.0.1:{server.server_address[1]}/v1", "k", pause=lambda seconds: None) as client:
            yield handler, client
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def peak_bytes(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_large_file_is_streamed_up_and_survives_a_broken_connection(tmp_path: Path) -> None:
    content = b"0123456789abcdef" * (1 << 20)
    file = tmp_path / "in.jsonl"
    file.write_bytes(content)
    with serving(b"") as (handler, client):
        assert peak_bytes(lambda: client.upload(file)) < 4_000_000
    boundary, digest = handler.taken.split()
    form = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--{boundary}\r\n'
        'Content-Disposition: form-data; name="file"; filename="in.jsonl"\r\nContent-Type: application/jsonl\r\n\r\n'
    ).encode() + content + f"\r\n--{boundary}--\r\n".encode()  # fmt: skip
    assert hashlib.sha256(form).hexdigest() == digest
    assert handler.posts == 2


def test_a_download_is_whole_however_often_it_breaks_off(tmp_path: Path) -> None:
    content = bytes(range(256)) * 32_768
    with serving(content) as (handler, client):
        assert client.download("file_1", tmp_path / "out.jsonl") == len(content)
    assert handler.gets == 2
    assert (tmp_path / "out.jsonl").read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


def test_a_download_that_fails_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    target.write_text("before")
    error = {"message": "there is no file", "type": "not_found", "code": 404}
    with Script(httpx.Response(404, json={"error": error})).client() as client:
        with pytest.raises(ApiError, match="there is no file"):
            client.download("file_1", target)
    assert target.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


def test_a_download_may_go_to_a_pipe_or_a_device() -> None:
    with Script(httpx.Response(200, content=b"bytes")).client() as client:
        assert client.download("file_1", "/dev/null") == 5
    assert Path("/dev/null").is_char_device()


def batch(status: str, **fields: Any) -> httpx.Response:
    return httpx.Response(200, json={"id": "batch_1", "status": status, **fields})


def test_waiting_outlasts_an_api_that_is_away_and_tells_of_it() -> None:
    away: list[httpx.Response | Exception] = [httpx.ConnectError("no"), httpx.Response(503, json=BUSY)] * 20
    slow = httpx.Response(429, headers={"Retry-After": "9"}, json=BUSY)
    script = Script(batch("validating"), *away, slow, batch("in_progress"), batch("completed"))
    seen: list[str] = []
    lost: list[type] = []
    with script.client() as client:
        ended = client.wait_batch(
            "batch_1", lambda b: seen.append(b["status"]), on_failure=lambda e: lost.append(type(e))
        )
    assert ended["status"] == "completed"
    assert seen == ["validating", "in_progress", "completed"]
    assert len(lost) == 41 and {ApiError, httpx.ConnectError} == set(lost)
    assert script.pauses[0] == 0.25
    assert script.pauses[:8] == sorted(script.pauses[:8])
    assert script.pauses[41] == 9.0
    assert set(script.pauses[20:41]) == {2.0}


def test_waiting_ends_at_its_timeout_and_at_what_will_not_pass() -> None:
    with Script(batch("in_progress")).client() as client, pytest.raises(TimeoutError, match="batch_1"):
        client.wait_batch("batch_1", timeout=0.0)
    gone = httpx.Response(404, json={"error": {"message": "no batch", "type": "not_found"}})
    with Script(gone).client() as client, pytest.raises(ApiError, match="no batch"):
        client.wait_batch("batch_1")


def test_results_are_the_lines_of_the_output_and_of_the_error_file() -> None:
    server = BatchServer()
    lines = [{**LINE, "custom_id": name, "body": {"model": "m", "input": name}} for name in ("a", "fail", "b")]
    content = "".join(json.dumps(line) + "\n" for line in lines).encode()
    with server.client() as client:
        file = client.upload(io.BytesIO(content), "in.jsonl")
        made = client.create_batch(file["id"], priority=3)
        results = list(client.batch_results(client.wait_batch(made["id"])))
    assert [(result["custom_id"], result["response"]["status_code"]) for result in results if result["response"]] == [
        ("a", 200),
        ("b", 200),
        ("fail", 502),
    ]


def test_a_batch_is_asked_for_with_what_was_given_alone() -> None:
    script = Script(*[batch("validating")] * 3)
    with script.client() as client:
        client.create_batch("file_1")
        client.create_batch(
            requests=[LINE], endpoint="/v1/embeddings", completion_window="2h", notify_each=False, metadata=None
        )
        client.dry_run("file_1")
        with pytest.raises(ValueError, match="either"):
            client.create_batch("file_1", requests=[LINE])
        with pytest.raises(ValueError, match="either"):
            client.create_batch()
    assert [json.loads(request.content) for request in script.requests] == [
        {"input_file_id": "file_1", "completion_window": "24h"},
        {"requests": [LINE], "completion_window": "2h", "endpoint": "/v1/embeddings", "notify_each": False},
        {"input_file_id": "file_1", "completion_window": "24h", "dry_run": True},
    ]


def test_usage_is_asked_for_by_days_and_followed_without_a_last_id() -> None:
    rows = [{"data": [{"id": "u1"}], "has_more": True}, {"data": [{"id": "u2"}], "has_more": False}]
    script = Script(*[httpx.Response(200, json=row) for row in rows])
    with script.client() as client:
        assert [row["id"] for row in client.every_usage("2026-11-01", "2026-11-02")] == ["u1", "u2"]
    asked = [dict(request.url.params) for request in script.requests]
    assert asked[0] == {"from": "2026-11-01", "to": "2026-11-02", "limit": "100"}
    assert asked[1]["after"] == "u1"
