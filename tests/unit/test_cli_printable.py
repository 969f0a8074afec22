"""What a server or a file says never reaches a terminal as a control code; in JSON it stays what it was."""

import json
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import httpx
import pytest
from click.testing import CliRunner, Result

from fusionai.plain import PlainClient
from producer import cli
from producer.cli import connection
from producer.cli.failures import reported
from producer.cli.progress import BatchTally, Board
from producer.terminal import one_line, printable
from tests.unit.batch_server import BatchServer

#: A title, a cleared screen, a bell, text turned around, a return, an 8-bit escape, DEL, a line of its own.
HOSTILE = "\x1b]0;PWNED\x07\x1b[2J\u202eevil\r\x9b5m\x7f\u2066\nX\x00"
SHOWN = "?]0;PWNED??[2J?evil??5m?? X?"


class Server:
    """Answers everything with the same."""

    def __init__(self) -> None:
        self.status = 200
        self.answer: dict[str, Any] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(self.status, json=self.answer)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    fake = Server()

    def client(base_url: str, key: str, **options: Any) -> PlainClient:
        return PlainClient(base_url, key, transport=httpx.MockTransport(fake), pause=lambda seconds: None, **options)

    monkeypatch.setattr(connection, "PlainClient", client)
    yield fake


def run(*words: object) -> Result:
    command, *rest = map(str, words)
    return CliRunner().invoke(cli.main, [command, "--base-url", "http://api/v1", "--key", "fusionai_live_x", *rest])


def clean(text: str) -> bool:
    return not [one for one in text if one != "\n" and unicodedata.category(one) in ("Cc", "Cf", "Cs", "Zl", "Zp")]


def test_only_what_a_terminal_obeys_is_replaced() -> None:
    assert one_line(HOSTILE) == SHOWN
    assert printable("a\n\tb\r\n") == "a\n\tb?\n"
    assert one_line("a\n\tb") == "a  b"
    assert printable("\ud800\u2028\ufeff\u00ad") == "????"
    for kept in ("größer 日本語　", "\u0645\u06cc\u200c\u062e", "👩\u200d🚀 \U0001f3f3\ufe0f", "5\u00a0km", "…━"):
        assert printable(kept) == kept


def test_an_error_of_the_server_is_one_clean_line(server: Server) -> None:
    server.status = 400
    server.answer = {"error": {"message": HOSTILE, "type": HOSTILE, "code": 400, "request_id": "\x1b[1m"}}
    result = run("models")
    assert result.exit_code == 1
    assert result.stderr == f"Error: {SHOWN} (400 {SHOWN}) [?[1m]\n"
    assert json.loads(run("models", "--json").stderr)["error"]["message"] == HOSTILE


def test_rows_of_the_server_are_clean_and_json_is_what_it_was(server: Server) -> None:
    row = {"id": HOSTILE, "object": "model", "provider": HOSTILE, "purpose": None}
    server.answer = {"object": "list", "data": [row], "has_more": True, "last_id": HOSTILE}
    result = run("models")
    assert result.exit_code == 0 and re.split(" {2,}", result.output.splitlines()[1]) == [SHOWN, SHOWN, *["-"] * 5]
    assert clean(result.output)
    assert json.loads(run("models", "--json").stdout) == server.answer


def test_fields_cells_and_the_answer_of_a_job_are_clean(server: Server) -> None:
    attempt = {"provider": HOSTILE, "status_code": 500, "error": HOSTILE, "started_at": 1, "finished_at": 2}
    server.answer = {
        "id": "job_1", "object": "job", "type": HOSTILE, "model": HOSTILE, "status": "queued", "served_by": None,
        "usage": None, "error": {"message": HOSTILE, "type": HOSTILE}, "batch_id": None, "custom_id": None,
        "created_at": 1, "finished_at": None, "ignored": [HOSTILE], "metadata": {"a": HOSTILE}, "attempts": [attempt],
        "result": {"text": HOSTILE},
    }  # fmt: skip
    result = run("job", "job_1")
    assert result.exit_code == 0 and clean(result.output)
    assert f"model     {SHOWN}\n" in result.output
    assert '\n  "text": "\\u001b]0;PWNED' in result.output, "the answer keeps its lines"
    assert json.loads(run("job", "job_1", "--json").stdout) == server.answer


def test_events_are_clean_and_as_json_what_they_were(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    event = {"object": "event", "created_at": 1, "sequence": 1, "type": "\u202e", "data": {"a": HOSTILE}}
    server.answer = {"object": "list", "data": [event], "has_more": False, "last_id": "event_1"}
    assert clean(run("events").output)

    def stop(self: object, seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("threading.Event.wait", stop)
    assert json.loads(run("events", "--follow", "--json").stdout) == event


def test_what_is_wrong_with_a_file_is_told_cleanly(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = BatchServer()
    monkeypatch.setattr(connection, "PlainClient", fake.client)
    body = {"model": HOSTILE, "input": "x"}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": body}
    file = tmp_path / "in.jsonl"
    file.write_text(json.dumps(line) + "\n")
    fake.faults = [{"code": "invalid", "line": 1, "message": HOSTILE, "param": "body.x"}]
    for words in (["--wait"], ["--dry-run"]):
        result = run("submit", file, *words)
        assert result.exit_code == 1 and clean(result.output)
        assert f"in.jsonl:1: {SHOWN}\n" in result.stderr
    unknown = f"body.model: unknown model {HOSTILE}; GET /v1/models lists the available models"
    fake.faults = [{"code": "model_not_found", "line": 1, "message": unknown, "param": "body.model"}]
    result = run("submit", file, "--dry-run")
    assert "`fusionai models` lists them" in result.stderr and clean(result.output)
    bad = tmp_path / "bad.jsonl"
    bad.write_text(json.dumps({"custom_id": "a", HOSTILE: 1}) + "\n" + json.dumps({"type": HOSTILE}) + "\n")
    assert clean(run("submit", bad).output)


def test_progress_is_clean() -> None:
    one: Any = {"provider": HOSTILE, "total": 2, "completed": 1, "failed": 0, "waiting_for": HOSTILE, "until": None}
    board = Board()
    board.update(BatchTally(2, 1, phase=HOSTILE, providers=(one,)))
    assert clean(board.plain()) and "\n" not in board.plain()
    assert all(clean(text) and "\n" not in text for text, _, _ in board.lines(200))


def test_what_ends_the_command_as_text_is_clean() -> None:
    with pytest.raises(click.ClickException) as ended, reported(False):
        raise SystemExit("FUSIONAI_X: \x1b[2J")
    assert ended.value.format_message() == "FUSIONAI_X: ?[2J"
