"""nginx and Caddy, as deploy/proxy has them: streamed answers come token by token, files of 200 MB pass, headers hold.

Only addresses, ports and certificates are put in the place of those in the files.
"""

import http.client
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from shared import clock, processes
from tests.acceptance.sse import events
from tests.acceptance.stack import Account, Stack, chat, own_stack
from tests.conditions import await_condition
from tests.deploy import tools
from tests.deploy.dockerfile import ROOT
from tests.front import served
from tests.servers import free_port

PROXY = ROOT / "deploy" / "proxy"
MB = 1024 * 1024


def nginx(directory: Path, port: int, *behind: int) -> list[str]:
    """The command of an nginx that listens on a port, in front of others."""
    site = (PROXY / "nginx.conf").read_text()
    for old, new in {
        "server 127.0.0.1:8000;": " ".join(f"server 127.0.0.1:{one};" for one in behind),
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "/etc/ssl/fusionai/fullchain.pem": f"{directory}/cert.pem",
        "/etc/ssl/fusionai/privkey.pem": f"{directory}/key.pem",
    }.items():
        assert old in site
        site = site.replace(old, new)
    (directory / "site.conf").write_text(site)
    paths = "".join(
        f"    {name}_temp_path {directory}/{name};\n" for name in "client_body proxy fastcgi uwsgi scgi".split()
    )
    (directory / "nginx.conf").write_text(
        f"daemon off;\nmaster_process off;\npid {directory}/pid;\nerror_log {directory}/error.log;\nevents {{}}\n"
        f"http {{\n    access_log off;\n{paths}    include {directory}/site.conf;\n}}\n"
    )
    command = [tools.find("nginx") or "nginx", "-e", f"{directory}/error.log", "-c", f"{directory}/nginx.conf"]
    said = tools.run("nginx", "-t", *command[1:])
    assert "test is successful" in said and "warn" not in said
    return command


def caddy(directory: Path, port: int, *behind: int) -> list[str]:
    """The same of a Caddy."""
    site = (PROXY / "Caddyfile").read_text()
    own = f"https://127.0.0.1:{port} {{\n\ttls {directory}/cert.pem {directory}/key.pem\n"
    for old, new in {
        "api.example.com {\n": own,
        "127.0.0.1:8000": " ".join(f"127.0.0.1:{one}" for one in behind),
    }.items():
        assert old in site
        site = site.replace(old, new)
    site = "{\n\tadmin off\n\tauto_https disable_redirects\n}\n" + site
    (directory / "Caddyfile").write_text(site)
    options = ["--config", f"{directory}/Caddyfile", "--adapter", "caddyfile"]
    said = tools.run("caddy", "validate", *options)
    assert "Valid configuration" in said
    return [tools.find("caddy") or "caddy", "run", *options]


@contextmanager
def proxy(make: Callable[..., list[str]], directory: Path, *behind: int) -> Iterator[str]:
    """The URL of a running proxy in front of these ports."""
    directory.mkdir()
    tools.run(
        "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1",
        "-keyout", directory / "key.pem", "-out", directory / "cert.pem",
    )  # fmt: skip
    port = free_port()
    environment = {"HOME": str(directory), "PATH": "/usr/sbin:/usr/bin:/bin"}
    with (directory / "log").open("ab") as log:
        process = processes.start(make(directory, port, *behind), environment, log)
    url = f"https://127.0.0.1:{port}"
    try:
        await_condition(lambda: listens(url), what=f"the proxy, see {directory}")
        yield url
    finally:
        processes.kill(process)
        process.wait()


def listens(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", verify=False, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def to(url: str, account: Account | None = None) -> httpx.Client:
    """A client of the proxy, which believes its certificate."""
    headers = {} if account is None else {"authorization": f"Bearer {account.live_key}"}
    return httpx.Client(base_url=url, headers=headers, verify=False, trust_env=False, timeout=60)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with own_stack(tmp_path_factory.mktemp("stack")) as made:
        yield made


@pytest.fixture(scope="module", params=[nginx, caddy], ids=["nginx", "caddy"])
def front(request: pytest.FixtureRequest, stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A proxy in front of a web process."""
    with proxy(request.param, tmp_path_factory.mktemp("proxy") / "own", stack.port) as url:
        yield url


def contents(response: httpx.Response) -> Iterator[str]:
    """The tokens, as they come."""
    for event in events(response):
        if event.data != "[DONE]":
            for choice in event.json["choices"]:
                if text := choice["delta"].get("content"):
                    yield text


def test_tokens_come_while_the_provider_still_writes(front: str, stack: Stack) -> None:
    # Silent after the third event with text, for ever: what a proxy kept back would never come.
    stalled = {"contains": "and then nothing", "fault": {"kind": "stall", "tokens": 3, "answer_tokens": 100}}
    with stack.script(stalled), streamed(front, stack, "and then nothing") as response:
        assert next(contents(response))


def test_tokens_come_one_by_one(front: str, stack: Stack) -> None:
    slow = {"contains": "slowly", "fault": {"kind": "slow_body", "seconds": 4, "answer_tokens": 20}}
    with stack.script(slow), streamed(front, stack, "slowly") as response:
        came = [clock.monotonic() for _ in contents(response)]
    # It takes the provider 4 s; all at once is a proxy that waited for the end, or a full buffer.
    assert len(came) >= 8 and came[-1] - came[0] > 2


@contextmanager
def streamed(front: str, stack: Stack, content: str) -> Iterator[httpx.Response]:
    """A streamed answer, through the proxy."""
    body = {**chat(content, model="claude-3-sonnet"), "stream": True}
    del body["type"]
    account = stack.account()
    with to(front, account) as client, client.stream("POST", "/v1/chat/completions", json=body) as response:
        assert response.status_code == 200
        yield response
    account.close()


def test_a_plain_answer_a_refusal_and_no_metrics(front: str, stack: Stack) -> None:
    account = stack.account()
    body = chat("hello")
    del body["type"]
    with to(front, account) as client:
        assert client.post("/v1/chat/completions", json=body).json()["choices"][0]["finish_reason"] == "stop"
        assert client.get("/metrics").status_code == 404
        assert client.get("/readyz").status_code == 200
    with to(front) as client:
        assert client.post("/v1/chat/completions", json=body).json()["error"]["code"] == 401
    account.close()


def test_no_way_of_writing_it_leads_to_the_metrics(front: str) -> None:
    for path in ("/metrics?a", "//metrics", "/%6detrics", "/metrics/", "/./metrics", "/v1/../metrics", "/METRICS"):
        host, _, port = front.removeprefix("https://").partition(":")
        connection = http.client.HTTPSConnection(host, int(port), timeout=20, context=ssl._create_unverified_context())
        connection.request("GET", path)  # as it is: httpx would put it right
        answer = connection.getresponse()
        assert answer.status in (400, 404) and b"fusionai_jobs" not in answer.read(), path
        connection.close()


@pytest.mark.parametrize("chunked", [False, True])
def test_a_file_that_is_too_large_is_refused_in_our_words(front: str, stack: Stack, chunked: bool) -> None:
    account, size = stack.account(), 220 * MB
    kind = {"content-type": "multipart/form-data; boundary=b"}
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n'
    body = chain([head], pieces(size), [b"\r\n--b--\r\n"])
    length = {} if chunked else {"content-length": str(size + len(head) + 9)}
    with to(front, account) as client:
        answer = client.post("/v1/files", headers=kind | length, content=body)
    assert answer.status_code == 413 and answer.json()["error"]["type"] == "payload_too_large", answer.text
    account.close()


async def _shown(request: Request) -> JSONResponse:
    size = 0
    with suppress(ClientDisconnect):
        async for piece in request.stream():
            size += len(piece)
    names = ("host", "x-forwarded-for", "x-forwarded-proto")
    return JSONResponse({**{name: request.headers.get(name) for name in names}, "size": size})


async def _well(request: Request) -> JSONResponse:
    return JSONResponse({})


#: Shows what of a request reaches a web process.
SHOWN = Starlette(routes=[Route("/shown", _shown, methods=["POST"]), Route("/healthz", _well), Route("/readyz", _well)])


@pytest.mark.parametrize("make", [nginx, caddy], ids=["nginx", "caddy"])
def test_what_reaches_the_web_process(make: Any, tmp_path: Path) -> None:
    with ExitStack() as opened:
        web = opened.enter_context(served(SHOWN))
        url = opened.enter_context(proxy(make, tmp_path / "own", web._address[1]))
        client = opened.enter_context(to(url))
        claimed = {"x-forwarded-for": "203.0.113.9", "x-forwarded-proto": "http"}
        shown = client.post("/shown", headers=claimed, content=b"x").json()
        host = url.removeprefix("https://")
        assert shown == {"host": host, "x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "https", "size": 1}
        assert client.post("/shown", content=pieces(200 * MB + 64 * 1024)).json()["size"] == 200 * MB + 64 * 1024
        assert client.post("/shown", content=pieces(300 * MB)).status_code in (413, 502), "Caddy 2.6 says 502"


def pieces(size: int) -> Iterator[bytes]:
    """So many bytes, a megabyte at a time."""
    while size > 0:
        yield bytes(min(size, MB))
        size -= MB
