"""What a client may send and how slowly, over real sockets: heads, bodies, answers that nobody reads, connections."""

import asyncio
import logging
import re
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack
from typing import Any

import orjson
import pytest
from starlette.types import Receive, Scope, Send

from producer.server import connections
from producer.server.connections import Connections, address_of, bounds
from shared import clock
from shared.settings import read_settings
from tests.conditions import await_condition
from tests.front import WIDE, read_all, served

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "LOOK_SECONDS", 0.02)


class Echo:
    """Answers with the headers that it was given, once it has read the body; notes clients that went away."""

    def __init__(self, *, reads: bool = True, sends: int = 0) -> None:
        self.reads, self.sends = reads, sends
        self.asked = self.gone = 0
        self.sent = 0
        self.may_read = threading.Event()
        self.may_read.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked += 1
        size = 0
        while not self.may_read.is_set():
            await asyncio.sleep(0.01)
        while self.reads:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.gone += 1
                break
            size += len(message["body"])
            if not message.get("more_body"):
                break
        headers = [[name.decode(), value.decode()[:40]] for name, value in scope["headers"]]
        body = orjson.dumps({"size": size, "headers": headers})
        length = len(body) + self.sends * 65_536
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(length).encode())]}
        )
        for _ in range(self.sends):
            await send({"type": "http.response.body", "body": bytes(65_536), "more_body": True})
            self.sent += 1
        await send({"type": "http.response.body", "body": body})


def answer(client: socket.socket) -> tuple[int, Any]:
    """Status and body of one answer, and nothing of what comes after it."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        part = client.recv(1)
        assert part, head
        head += part
    found = re.search(rb"content-length: ([0-9]+)", head)
    assert found
    body = b""
    while len(body) < int(found[1]):
        part = client.recv(int(found[1]) - len(body))
        assert part, body
        body += part
    return int(head.split()[1]), orjson.loads(body)


def refusal(client: socket.socket) -> int:
    """The status of a refusal after which the connection is closed."""
    status, body = answer(client)
    assert body["error"]["code"] == status and body["error"]["request_id"].startswith("req_")
    assert read_all(client) == b""
    return status


class TestHeads:
    def test_one_within_the_bound_is_served(self) -> None:
        with served(Echo()) as front, front.connect() as client:
            for size in (10, 60_000, 10):
                client.sendall(GET[:-2] + b"X-A: " + b"a" * size + b"\r\n\r\n")
                assert answer(client)[0] == 200

    def test_one_beyond_it_is_431_whether_it_ends_or_not(self) -> None:
        with served(Echo()) as front:
            for more in (b"X-A: " + b"a" * 66_000, b"a: b\r\n" * 11_000, b"X-A: " + b"a" * 66_000 + b"\r\n\r\n"):
                with front.connect() as client:
                    client.sendall(GET[:-2] + more)
                    assert refusal(client) == 431
            with front.connect() as client:
                client.sendall(b"GET /" + b"a" * 66_000)
                assert refusal(client) == 431
            await_condition(lambda: front.open == 0)

    def test_one_that_goes_on_for_ever_is_cut_off(self) -> None:
        with served(Echo()) as front, front.connect() as client, pytest.raises(OSError):
            client.sendall(GET[:-2] + b"X-A: ")
            while True:
                client.sendall(b"a" * 65_536)

    @pytest.mark.parametrize("part", [b"GET /a HT", GET[:-2], GET + GET[:-9]])
    def test_one_that_does_not_end_in_time_is_408(self, part: bytes) -> None:
        with served(Echo(), head_seconds=1.5) as front, front.connect() as client:
            client.sendall(part)
            if part.startswith(GET):
                assert answer(client)[0] == 200
            assert refusal(client) == 408

    def test_who_says_nothing_is_hung_up_on(self) -> None:
        with served(Echo(), head_seconds=0.3) as front, front.connect() as client:
            assert read_all(client) == b""

    def test_empty_lines_and_single_bytes_are_no_progress(self) -> None:
        with served(Echo(), head_seconds=0.5) as front:
            for piece in (b"\r\n", b"a"):
                with front.connect() as client:
                    client.sendall(b"GET / HTTP/1.1\r\nX: " if piece == b"a" else b"\r\n")
                    assert dribbled(client, piece).startswith(b"HTTP/1.1 408")

    def test_after_an_answer_the_next_has_its_own_time(self) -> None:
        with served(Echo(), head_seconds=1.5) as front, front.connect() as client:
            client.sendall(GET)
            assert answer(client)[0] == 200
            later = clock.monotonic() + 2  # idle for longer than a head may take
            await_condition(lambda: clock.monotonic() > later)
            client.sendall(GET)
            assert answer(client)[0] == 200

    def test_pipelined_ones_are_answered_in_turn(self) -> None:
        with served(Echo()) as front, front.connect() as client:
            client.sendall(GET * 3 + POST + b"Content-Length: 3\r\n\r\nabc" + GET)
            said = b""
            while said.count(b"HTTP/1.1 200") < 5:
                said += client.recv(65_536)
            assert said.count(b'"size":3') == 1

    def test_an_upgrade_to_what_we_do_not_speak_is_an_ordinary_request(self) -> None:
        with served(Echo()) as front, front.connect() as client:
            client.sendall(GET[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
            assert answer(client)[0] == 200

    def test_two_hosts_are_400(self) -> None:
        with served(Echo()) as front, front.connect() as client:
            client.sendall(GET)
            assert answer(client)[0] == 200
            client.sendall(GET[:-2] + b"hOST: y\r\n\r\n")
            assert refusal(client) == 400

    def test_what_is_no_http_is_400_and_logged_with_its_address_once(self, caplog: pytest.LogCaptureFixture) -> None:
        with served(Echo()) as front:
            for _ in range(5):
                with front.connect() as client:
                    client.sendall(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n")
                    assert refusal(client) == 400
        lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        assert lines == ["malformed HTTP requests: 1, from 127.0.0.1; open connections: 0"]


class TestBodies:
    def test_one_that_stops_coming_is_408(self) -> None:
        app = Echo()
        with served(app, body_idle_seconds=0.3) as front:
            for more in (b"Content-Length: 9\r\n\r\n", b"Content-Length: 9\r\n\r\nabc"):
                with front.connect() as client:
                    client.sendall(POST + more)
                    assert refusal(client) == 408
            await_condition(lambda: app.gone == 2)

    def test_one_that_comes_too_slowly_is_408(self) -> None:
        with served(Echo(), body_seconds=0.5) as front, front.connect() as client:
            client.sendall(POST + b"Content-Length: 99999\r\n\r\n")
            assert dribbled(client, b"a").startswith(b"HTTP/1.1 408")

    def test_one_that_nobody_wanted_has_an_end_as_well(self) -> None:
        with served(Echo(reads=False), body_seconds=1.5) as front, front.connect() as client:
            client.sendall(POST + b"Content-Length: 99999\r\n\r\n")
            assert answer(client)[0] == 200
            assert dribbled(client, b"a").startswith(b"HTTP/1.1 408")

    def test_one_that_the_server_does_not_read_yet_is_not_late(self) -> None:
        app = Echo()
        app.may_read.clear()
        with served(app, body_idle_seconds=0.3) as front, front.connect() as client:
            client.sendall(POST + b"Content-Length: 300000\r\n\r\n" + bytes(300_000))
            later = clock.monotonic() + 1
            await_condition(lambda: clock.monotonic() > later)
            app.may_read.set()
            assert answer(client)[1]["size"] == 300_000

    def test_trailers_are_no_headers(self) -> None:
        with served(Echo()) as front, front.connect() as client:
            client.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n")
            client.sendall(b"Authorization: Bearer x\r\nIdempotency-Key: y\r\n\r\n")
            first = answer(client)[1]
            whole = POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nAuthorization: Bearer x\r\n\r\n"
            client.sendall(whole + GET)
            for body in (first, answer(client)[1]):
                assert body["size"] == 3
                assert [name for name, _ in body["headers"]] == ["host", "transfer-encoding"]
            assert answer(client) == (200, {"size": 0, "headers": [["host", "x"]]})

    @pytest.mark.parametrize("end", [b"0\r\nX: ", b"3;"])
    def test_trailers_and_chunk_extensions_have_the_bound_of_a_head(self, end: bytes) -> None:
        with served(Echo()) as front, front.connect() as client:
            client.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n" + end)
            client.sendall(b"a" * 400_000)
            assert refusal(client) == 431

    def test_chunks_of_a_byte_pass(self) -> None:
        with served(Echo()) as front, front.connect() as client:
            chunks = b"1\r\na\r\n" * 30_000
            client.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
            assert answer(client)[1]["size"] == 30_000


class TestAnswers:
    def test_one_that_nobody_reads_is_given_up(self, caplog: pytest.LogCaptureFixture) -> None:
        app = Echo(sends=400)
        with served(app, send_idle_seconds=0.5) as front, front.connect(buffer_bytes=4096) as client:
            client.sendall(GET)
            await_condition(lambda: front.open == 0 and app.sent)
            assert len(read_all(client)) < 400 * 65_536
        assert "connections closed because the client does not read the response: 1, from 127.0.0.1" in caplog.text

    def test_one_that_is_read_slowly_is_not_until_it_has_taken_too_long(self) -> None:
        app = Echo(sends=400)
        with served(app, send_idle_seconds=5.0) as front, front.connect(buffer_bytes=65_536) as client:
            client.sendall(GET)
            total = len(client.recv(65_536))
            while part := client.recv(65_536):
                total += len(part)
                if total > 400 * 65_536:
                    break
            assert total > 400 * 65_536
        with served(Echo(sends=400), send_seconds=0.5) as front, front.connect(buffer_bytes=4096) as client:
            client.sendall(GET)
            await_condition(lambda: front.open == 1)
            pause = threading.Event()
            try:
                while client.recv(512):
                    pause.wait(0.01)
            except ConnectionResetError:
                pass
            await_condition(lambda: front.open == 0)

    def test_a_small_one_that_nobody_reads_is_given_up_as_well(self) -> None:
        """What is left is less than would stop the application from writing more, and the connection idles."""
        app = Echo()
        with served(app, send_idle_seconds=0.5) as front, front.connect(buffer_bytes=4096) as client:
            whole = GET[:-2] + b"".join(b"a: %s\r\n" % (b"b" * 40) for _ in range(1000)) + b"\r\n"
            client.settimeout(0.5)
            try:
                while True:
                    client.sendall(whole)
            except (TimeoutError, ConnectionResetError, BrokenPipeError):
                pass
            await_condition(lambda: front.open == 0)


class TestHowMany:
    @pytest.mark.parametrize("bound", ["connections", "per_address"])
    def test_one_too_many_is_503_and_said(self, bound: str, caplog: pytest.LogCaptureFixture) -> None:
        with served(Echo(), **{bound: 3}) as front, ExitStack() as stack:
            held = [stack.enter_context(front.connect()) for _ in range(3)]
            await_condition(lambda: front.open == 3)
            for _ in range(4):
                with front.connect() as refused:
                    assert refusal(refused) == 503
            held.pop().close()
            await_condition(lambda: front.open == 2)
            client = stack.enter_context(front.connect())
            client.sendall(GET)
            assert answer(client)[0] == 200
        assert caplog.text.count("connections refused, too many open") == 1
        assert "127.0.0.1; open connections: 3" in caplog.text

    def test_those_that_idle_make_room(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connections, "IDLE_SECONDS", 0.0)
        with served(Echo(), per_address=2) as front, ExitStack() as stack:
            idle, *others = [stack.enter_context(front.connect()) for _ in range(2)]
            idle.sendall(GET)
            assert answer(idle)[0] == 200
            await_condition(lambda: len(front.connections._idle) == 1)
            client = stack.enter_context(front.connect())
            client.sendall(GET)
            assert answer(client)[0] == 200
            assert read_all(idle) == b""
            others[0].sendall(GET)
            assert answer(others[0])[0] == 200

    def test_refused_ones_do_not_linger_without_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connections, "RESERVED", 8)
        with served(Echo(), connections=1) as front, ExitStack() as stack:
            clients = [stack.enter_context(front.connect()) for _ in range(12)]
            await_condition(lambda: front.open == 1)
            lingering = front.connections._lingering
            await_condition(lambda: len(lingering) == 2)
            said = [read_all(client) for client in clients[1:]]
            assert [one.split()[1] for one in said if one] == [b"503"] * len([one for one in said if one])
            await_condition(lambda: not lingering)

    def test_the_lines_of_the_log_are_summed_up(
        self, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = 100.0
        monkeypatch.setattr("shared.clock.monotonic", lambda: now)
        all = Connections(WIDE)
        for number in range(10):
            all.note("things", f"10.0.0.{number % 2}")
        now += 10
        all.look(now)
        assert [record.getMessage() for record in caplog.records] == [
            "things: 1, from 10.0.0.0; open connections: 0",
            "things: 9, from 10.0.0.1 (5) and 1 other addresses; open connections: 0",
        ]


def test_a_client_is_counted_by_its_address_or_its_network() -> None:
    table = {
        "1.2.3.4": "1.2.3.4",
        "::ffff:1.2.3.4": "1.2.3.4",
        "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
        "fe80::1%eth0": "fe80::/64",
        "nonsense": "unknown address",
    }
    assert {given: address_of((given, 1)) for given in table} == table
    assert address_of(None) == "unknown address"


_LIMITED = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 512))
from producer.server.connections import bounds, open_files, raise_open_files
from shared import clock
from shared.settings import read_settings
raise_open_files()
print(open_files(), bounds(read_settings()).connections, bounds(read_settings(connections=50)).per_address)
"""


def test_there_are_fewer_connections_than_files_that_may_be_open() -> None:
    run = subprocess.run([sys.executable, "-c", _LIMITED], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["512", "384", "25"]
    assert bounds(read_settings(connections=10, connections_per_address=20)).per_address == 10


def dribbled(client: socket.socket, piece: bytes) -> bytes:
    """What comes back while a piece is sent again and again."""
    client.settimeout(0.05)
    while True:
        try:
            client.sendall(piece)
            return client.recv(65_536)
        except TimeoutError:
            continue
