"""fusionai usage, invoices: what they ask for, what they print, files that are whole or not there."""

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
from shared.settings import settings

ROW = {
    "id": "usage_1", "object": "usage", "created_at": 1_925_000_000, "job_id": "job_1", "batch_id": None,
    "key_id": "key_1", "type": "chat.completion", "model": "gpt-4", "provider": "openai", "prompt_tokens": 5,
    "completion_tokens": 2, "total_tokens": 7, "images": 0, "credits_used": 0.117,
}  # fmt: skip
USAGE = {
    "object": "list", "data": [ROW], "first_id": "usage_1", "last_id": "usage_1", "has_more": True,
    "period": {"from": "2031-01-01", "to": "2031-01-17", "timezone": "UTC"}, "credits_used": 1234.567891,
    "top_models": [{"model": "gpt-4", "credits": 1234.5}, {"model": "gemini-pro", "credits": 0.067891}],
}  # fmt: skip
INVOICE = {
    "id": "inv_1", "object": "invoice", "number": 7, "kind": "statement", "status": "paid", "batch_id": "batch_1",
    "credits": 1.5, "total": 1.5, "created_at": 1_925_000_000, "paid_at": 1_925_000_000,
    "lines": [{"model": "gpt-4", "jobs": 3, "prompt_tokens": 30, "completion_tokens": 9, "images": 0, "credits": 1.5}],
}  # fmt: skip
PAGE = {"object": "list", "data": [INVOICE], "first_id": "inv_1", "last_id": "inv_1", "has_more": True}
CSV = b"id,credits_used\r\nusage_1,0.117000\r\n"


class Server:
    """Answers each path with what a test says, and keeps the requests."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.answers: list[httpx.Response | Exception] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self.answers:
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer
        if request.url.params.get("format") == "csv":
            return httpx.Response(200, content=CSV, headers={"content-type": "text/csv"})
        shown: dict[str, Any] = {"/v1/usage": USAGE, "/v1/invoices": PAGE, "/v1/invoices/inv_1": INVOICE}
        return httpx.Response(200, json=shown[request.url.path])

    @property
    def query(self) -> dict[str, str]:
        return dict(self.requests[-1].url.params)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    fake = Server()

    def client(base_url: str, key: str, **options: Any) -> PlainClient:
        return PlainClient(base_url, key, transport=httpx.MockTransport(fake), pause=lambda seconds: None, **options)

    monkeypatch.setattr(connection, "PlainClient", client)
    yield fake


def run(*words: str) -> Result:
    return CliRunner().invoke(cli.main, [*words, "--base-url", "http://api/v1", "--key", "fusionai_live_x"])


def lines(result: Result) -> list[list[str]]:
    assert result.exit_code == 0, result.output
    return [line.split() for line in result.output.splitlines()]


def test_usage_is_shown_by_model(server: Server) -> None:
    shown = lines(run("usage"))
    assert ["period", "2031-01-01", "to", "2031-01-17,", "UTC"] in shown and ["credits", "1,234.567891"] in shown
    assert shown[-3:] == [["model", "credits"], ["gpt-4", "1,234.5"], ["gemini-pro", "0.067891"]]
    assert server.query == {"limit": "20"}


def test_usage_asks_for_what_its_options_say_and_shows_rows(server: Server) -> None:
    options = (
        "--from",
        "2031-01-02",
        "--to",
        "2031-01-03",
        "--model",
        "gpt-4",
        "--batch",
        "batch_1",
        "--after",
        "usage_0",
    )
    result = run("usage", *options, "--limit", "1")
    assert server.query == {
        "from": "2031-01-02", "to": "2031-01-03", "model": "gpt-4", "batch_id": "batch_1",
        "after": "usage_0", "limit": "1",
    }  # fmt: skip
    assert "job_1" in result.output and "--after usage_1" in result.output
    assert "job_1" in run("usage", "--rows").output and "job_1" not in run("usage").output


def test_json_is_the_answer_itself(server: Server) -> None:
    assert json.loads(run("usage", "--json").output) == USAGE
    assert json.loads(run("invoices", "--json").output) == json.loads(run("invoices", "list", "--json").output) == PAGE
    assert json.loads(run("invoices", "show", "inv_1", "--json").output) == INVOICE


def test_csv_goes_to_a_file_or_to_standard_output(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "usage.csv"
    result = run("usage", "--from", "2031-01-02", "--csv", str(file))
    assert result.exit_code == 0, result.output
    assert file.read_bytes() == CSV and [path.name for path in tmp_path.iterdir()] == ["usage.csv"]
    assert server.query == {"format": "csv", "from": "2031-01-02"} and result.stdout == ""
    assert run("usage", "--csv", "-").stdout_bytes == CSV


def test_a_csv_that_breaks_off_is_fetched_again_from_its_beginning(server: Server, tmp_path: Path) -> None:
    class Broken(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield b"id,cre"
            raise httpx.RemoteProtocolError("the server has gone")

    server.answers = [httpx.Response(200, stream=Broken()), httpx.ConnectError("no")]
    assert run("usage", "--csv", str(tmp_path / "usage.csv")).exit_code == 0
    assert (tmp_path / "usage.csv").read_bytes() == CSV and len(server.requests) == 3


def test_a_refusal_leaves_the_file_as_it_was(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "usage.csv"
    file.write_text("before")
    error = {
        "message": "to must be a day",
        "type": "invalid_request",
        "code": 400,
        "param": "to",
        "request_id": "req_1",
    }
    server.answers = [httpx.Response(400, json={"error": error})]
    result = run("usage", "--to", "x", "--csv", str(file))
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit)
    assert file.read_text() == "before" and [path.name for path in tmp_path.iterdir()] == ["usage.csv"]


@pytest.mark.parametrize("option", [["--json"], ["--limit", "5"], ["--after", "usage_1"]])
def test_csv_takes_no_options_of_pages(server: Server, option: list[str]) -> None:
    assert run("usage", "--csv", "-", *option).exit_code == 2
    assert server.requests == []


def test_nothing_used_is_said(server: Server) -> None:
    empty = {**USAGE, "data": [], "top_models": [], "credits_used": 0, "has_more": False}
    server.answers = [httpx.Response(200, json=empty)]
    result = run("usage", "--rows")
    assert result.exit_code == 0 and "Nothing was used." in result.output


def test_invoices_are_listed_and_shown(server: Server) -> None:
    for words in (["invoices"], ["invoices", "list"], ["invoices", "--limit", "20"]):
        shown = lines(run(*words)) if len(words) > 1 else lines(invoked(words))
        assert shown[0] == ["number", "date", "kind", "status", "month", "total", "id"]
        assert shown[1][0] == "7" and shown[1][-2:] == ["1.5", "inv_1"]
        assert server.query == {"limit": "20"}
    run("invoices", "list", "--kind", "statement", "--batch", "batch_1", "--after", "inv_0", "--limit", "2")
    assert server.query == {"limit": "2", "after": "inv_0", "kind": "statement", "batch_id": "batch_1"}
    shown = lines(run("invoices", "show", "inv_1"))
    assert ["number", "7"] in shown and ["batch", "batch_1"] in shown
    assert shown[-1] == ["gpt-4", "3", "30", "9", "0", "1.5"]


def invoked(words: list[str]) -> Result:
    """By the environment alone, as a command without any option is."""
    given = {"FUSIONAI_BASE_URL": "http://api/v1", "FUSIONAI_API_KEY": "fusionai_live_x"}
    settings.cache_clear()
    result = CliRunner().invoke(cli.main, words, env=given)
    settings.cache_clear()
    return result


def test_help_of_the_group_lists_its_commands() -> None:
    for words in (["invoices", "--help"], ["invoices", "-h"]):
        result = CliRunner().invoke(cli.main, words)
        assert result.exit_code == 0 and "list" in result.output and "show" in result.output
    assert CliRunner().invoke(cli.main, ["invoices", "burn"]).exit_code == 2
