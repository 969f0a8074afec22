"""What nginx and Caddy do where a client or a web process is odd: nothing is done twice, nothing is believed."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from tests.conditions import await_condition
from tests.deploy.test_proxies import caddy, nginx, proxy, to
from tests.front import served

EACH = pytest.mark.parametrize("make", [nginx, caddy], ids=["nginx", "caddy"])


class Dying:
    """A web process that is well, and dies whenever it has read a request: `came` has their first lines."""

    def __init__(self) -> None:
        self.came: list[str] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            text = b""
            while b"\r\n\r\n" not in text:
                if not (piece := connection.recv(65_536)):
                    return
                text += piece
            line = text.decode("latin-1").partition("\r\n")[0]
            if "/healthz " in line or "/readyz " in line:
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            else:
                self.came.append(line)

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


@contextmanager
def dying() -> Iterator[Dying]:
    made = Dying()
    try:
        yield made
    finally:
        made.close()


@EACH
def test_a_request_that_a_web_process_died_with_is_sent_to_no_other(make: Any, tmp_path: Path) -> None:
    """Its job may have been accepted: the client sends it again, with its Idempotency-Key, or does not."""
    with ExitStack() as opened:
        one, other = opened.enter_context(dying()), opened.enter_context(dying())
        url = opened.enter_context(proxy(make, tmp_path / "own", one.port, other.port))
        client = opened.enter_context(to(url))
        for _ in range(2):  # then nginx has no web process left, for ten seconds
            assert client.post("/v1/chat/completions", json={"model": "gpt-4"}).status_code == 502
        assert one.came + other.came == ["POST /v1/chat/completions HTTP/1.1"] * 2


class Watched:
    """An app that says when a client that reads its stream, or waits for its answer, has gone."""

    def __init__(self) -> None:
        self.gone: list[str] = []
        routes = [Route("/stream", self._stream), Route("/wait", self._wait, methods=["POST"])]
        well = [Route(path, lambda request: JSONResponse({})) for path in ("/healthz", "/readyz")]
        self.app = Starlette(routes=[*routes, *well])

    async def _stream(self, request: Request) -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"data: {}\n\n"
                    await asyncio.sleep(0.05)
            finally:
                self.gone.append("stream")

        return StreamingResponse(pieces(), media_type="text/event-stream")

    async def _wait(self, request: Request) -> JSONResponse:
        await request.body()
        while (await request.receive())["type"] != "http.disconnect":
            pass
        self.gone.append("wait")
        return JSONResponse({})


@EACH
def test_a_client_that_goes_is_gone_for_the_web_process_too(make: Any, tmp_path: Path) -> None:
    watched = Watched()
    with ExitStack() as opened:
        web = opened.enter_context(served(watched.app))
        url = opened.enter_context(proxy(make, tmp_path / "own", web._address[1]))
        with to(url) as client, client.stream("GET", "/stream") as response:
            assert next(response.iter_bytes())
        await_condition(lambda: watched.gone == ["stream"], what="the end of the stream")
        with to(url) as client, pytest.raises(httpx.ReadTimeout):
            client.post("/wait", content=b"x", timeout=1)
        await_condition(lambda: watched.gone == ["stream", "wait"], what="the end of the wait")


async def _told(request: Request) -> JSONResponse:
    names = [name for name in request.headers if "forwarded" in name.replace("_", "-")]
    return JSONResponse({name: request.headers.getlist(name) for name in names})


TOLD = Starlette(routes=[Route(path, _told) for path in ("/told", "/healthz", "/readyz")])


@EACH
def test_however_often_a_client_says_who_it_is_it_is_not_believed(make: Any, tmp_path: Path) -> None:
    with ExitStack() as opened:
        web = opened.enter_context(served(TOLD))
        url = opened.enter_context(proxy(make, tmp_path / "own", web._address[1]))
        client = opened.enter_context(to(url))
        claims = [("x-forwarded-for", "203.0.113.9"), ("X-Forwarded-For", "203.0.113.8, 127.0.0.1")]
        told = client.get("/told", headers=[*claims, ("x-forwarded-proto", "http"), ("x-forwarded-proto", "ws")]).json()
        assert (told["x-forwarded-for"], told["x-forwarded-proto"]) == (["127.0.0.1"], ["https"])
