"""Something else answers at the API's address: every command says so in a line, and our own bugs keep their trace."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from fusionai.plain import PlainClient
from producer import cli
from producer.cli import connection

#: Answers of others, and some that only look like one of ours.
ANSWERS: dict[str, Any] = {
    "empty": {},
    "list": [],
    "null": None,
    "text": "<html>",
    "number": 5,
    "another's object": {"status": "ok", "data": []},
    "rows that are none": {"object": "list", "data": 5, "has_more": False},
    "rows of something": {"object": "list", "data": ["x", 1, None], "has_more": False},
    "rows without keys": {"object": "list", "data": [{"x": 1}], "has_more": False},
    "wrong kinds": {
        "object": "list", "id": 1, "status": "completed", "data": {"a": 1}, "has_more": False, "request_counts": "many",
        "available": "x", "period": 7, "errors": 5, "served_by": 3, "usage": 2, "created_at": 1e300, "total": [],
    },
}  # fmt: skip
COMMANDS = [
    ("models",),
    ("credits",),
    ("credits", "transfers"),
    ("jobs",),
    ("job", "job_1"),
    ("cancel", "job_1"),
    ("batches",),
    ("batch", "batch_1"),
    ("batch", "batch_1", "--wait"),
    ("retry", "batch_1"),
    ("usage",),
    ("invoices",),
    ("invoices", "show", "inv_1"),
    ("events",),
    ("webhooks",),
    ("submit", "in.jsonl"),
    ("submit", "in.jsonl", "--wait"),
    ("submit", "in.jsonl", "--dry-run"),
]


class Server:
    def __init__(self) -> None:
        self.answer: Any = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=self.answer)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    fake = Server()

    def client(base_url: str, key: str, **options: Any) -> PlainClient:
        return PlainClient(base_url, key, transport=httpx.MockTransport(fake), pause=lambda seconds: None, **options)

    monkeypatch.setattr(connection, "PlainClient", client)
    monkeypatch.chdir(tmp_path)
    Path("in.jsonl").write_text('{"type": "embedding", "model": "m", "input": "x"}\n')
    yield fake


def run(*words: str) -> Result:
    return CliRunner().invoke(cli.main, [*words, "--base-url", "http://api/v1", "--key", "fusionai_live_x"])


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("kind", ANSWERS)
def test_it_is_said_in_a_line(server: Server, kind: str, command: tuple[str, ...]) -> None:
    server.answer = ANSWERS[kind]
    result = run(*command)
    assert isinstance(result.exception, SystemExit) and result.exit_code == 1, (result.output, result.exception)
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: http://api") and " does not answer like the FusionAI API (" in line


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("kind", ["empty", "list", "null", "text", "another's object", "rows that are none"])
def test_it_is_said_as_json(server: Server, kind: str, command: tuple[str, ...]) -> None:
    server.answer = ANSWERS[kind]
    result = run(*command, "--json")
    assert result.exit_code == 1 and result.stdout == ""
    error = json.loads(result.stderr)["error"]
    assert error["type"] == "unexpected_answer" and "does not answer like the FusionAI API" in error["message"]


def test_a_bug_before_any_answer_keeps_its_trace(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: PlainClient) -> None:
        raise KeyError("ours")

    monkeypatch.setattr(PlainClient, "models", broken)
    assert isinstance(run("models").exception, KeyError)
