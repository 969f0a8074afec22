"""The simulator refuses what real providers refuse, and behaves as a process."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from workers.simulator.server import SimulatorProcess, simulator

CHAT = "/openai/v1/chat/completions"
KEY = {"authorization": "Bearer k", "x-api-key": "k", "anthropic-version": "2023-06-01", "x-goog-api-key": "k"}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with simulator() as base:
        yield base


@pytest.fixture
def http(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, headers=KEY, timeout=5) as client:
        yield client
        client.delete("/_simulator/script")


def order(http: httpx.Client, fault: dict[str, Any], **rule: Any) -> None:
    http.post("/_simulator/script", json={"rules": [{"fault": fault, **rule}]}).raise_for_status()


def body(text: str = "hi", **more: Any) -> dict[str, Any]:
    return {"model": "m", "max_tokens": 99, "messages": [{"role": "user", "content": text}], **more}


def chat(http: httpx.Client, text: str = "hi", **more: Any) -> httpx.Response:
    return http.post(CHAT, json=body(text, **more))


# Refusals


@pytest.mark.parametrize("path", [CHAT, "/openai/v1/embeddings", "/openai/v1/images/generations"])
@pytest.mark.parametrize("content", [b"{", b"[]", b"{}", b'{"model":7,"messages":"x","input":7,"prompt":7}'])
def test_bad_bodies_are_400_in_the_providers_shape(http: httpx.Client, path: str, content: bytes) -> None:
    answer = http.post(path, content=content)
    assert answer.status_code == 400 and answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "more",
    [
        {"messages": [{"role": [], "content": "x"}]},
        {"messages": [{"role": "tool", "content": "x", "tool_call_id": {}}]},
        {"stop": [1]},
        {"tools": [{"function": {"name": "f", "parameters": {"properties": 7}}}], "tool_choice": "required"},
        {"tools": [{"function": {"name": "f"}}], "tool_choice": {"function": {}}},
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"schema": {"type": "integer", "minimum": "x", "maximum": 1}},
            }
        },
        {"n": 0},
        {"n": True},
        {"max_tokens": 0},
        {"stream": 1},
    ],
)
def test_bad_fields_are_400_and_never_500(http: httpx.Client, more: dict[str, Any]) -> None:
    assert http.post(CHAT, json=body() | more).status_code == 400


def test_unknown_paths_and_methods(http: httpx.Client) -> None:
    assert http.post("/openai/v1/nothing", json={}).status_code == 404
    assert http.get(CHAT).status_code == 405
    assert http.post("/anthropic/v1/nothing", json={}).json()["type"] == "error"
    assert http.get("/_simulator/nothing").status_code == 404
    assert http.get("/").status_code == 404


def statuses(http: httpx.Client, *texts: str) -> list[int]:
    return [chat(http, text).status_code for text in texts]


# The process


def test_fail_first_fails_once_for_the_chosen_bodies() -> None:
    with simulator(fail_first=0.5) as base, httpx.Client(base_url=base, headers=KEY) as http:
        texts = [f"text {number}" for number in range(60)]
        first = statuses(http, *texts)
        assert set(first) == {200, 429, 500, 503} and 15 <= first.count(200) <= 45
        assert set(statuses(http, *texts)) == {200}
    with simulator(fail_first=0.5) as base, httpx.Client(base_url=base, headers=KEY) as http:
        assert statuses(http, *texts) == first


def test_latency_of_the_command() -> None:
    with simulator(latency=0.1) as base, httpx.Client(base_url=base, headers=KEY) as http:
        assert chat(http).elapsed.total_seconds() >= 0.1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_cleanly_also_with_a_call_that_hangs(number: signal.Signals) -> None:
    with SimulatorProcess() as process, httpx.Client(base_url=process.url, headers=KEY) as http:
        order(http, {"kind": "hang"})
        with pytest.raises(httpx.ReadTimeout):
            http.post(CHAT, json=body(), timeout=0.1)
        host, _, port = process.url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port))) as raw:
            raw.sendall(b"POST /openai/v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}")
            assert http.get("/_simulator/calls").status_code == 200
            process.process.send_signal(number)
            assert process.process.wait(3) == 0


def test_the_port_file_says_where_it_listens(tmp_path: Path) -> None:
    file = tmp_path / "port"
    command = [sys.executable, "-m", "workers.simulator", "--port-file", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        assert line == f"simulator listening on http://127.0.0.1:{file.read_text().strip()}"
        process.terminate()
        assert process.wait(3) == 0


def test_a_process_that_cannot_listen_is_an_error() -> None:
    with SimulatorProcess() as running, pytest.raises(RuntimeError, match="did not start"):
        SimulatorProcess(port=int(running.url.rpartition(":")[2]))
