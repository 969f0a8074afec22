"""Pages at 80 columns: explanations are folded and not cut, empty columns take no room, short words have a legend."""

import json
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from fusionai.plain import PlainClient
from producer import cli
from producer.cli import connection, explanations, invoices, output
from producer.cli.tables import Column
from tests.unit.test_cli_tables import ID, screen

SAID = "text of the request, one token for every two bytes and one for each message, as the provider may count them"


class Wide(output.Output):
    """A terminal of 80 columns."""

    def __init__(self, as_json: bool) -> None:
        super().__init__(as_json)
        self.is_terminal, self.width = True, 80


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the API answers, by the path, to commands on a terminal of 80 columns."""
    given: dict[str, Any] = {}

    def client(base_url: str, key: str, **options: Any) -> PlainClient:
        def handle(request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, content=json.dumps(given[request.url.path.removeprefix("/v1")]))

        return PlainClient(base_url, key, transport=httpx.MockTransport(handle), **options)

    monkeypatch.setattr(connection, "PlainClient", client)
    monkeypatch.setattr(connection, "Output", Wide)
    return given


def shown(*words: str) -> list[str]:
    result = CliRunner().invoke(cli.main, [*words, "--base-url", "http://api/v1", "--key", "k"], env={"NO_COLOR": "1"})
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert all(len(line) <= 80 for line in lines), lines
    return lines


def page(*data: dict[str, Any]) -> dict[str, Any]:
    return {"object": "list", "data": data, "has_more": False, "last_id": None}


@pytest.mark.parametrize("width", [50, 80])
def test_an_explanation_is_folded_and_not_cut(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    line = {"item": "input", "description": SAID, "count": 812, "price": 15_000_000, "per": 1_000_000, "credits": "1"}
    hold: Any = {"credits": 1, "state": "held", "reason": "r", "price_version": None, "lines": [line]}
    charge: Any = {"lines": [line], "service_tier": None, "price_version": None, "long_context": False, "reason": None}
    for show, value in ((explanations.show_hold, hold), (explanations.show_charge, charge)):
        there = screen(width, monkeypatch)
        show(there.output, value)
        text = "\n".join(there.lines())
        assert "…" not in text and all(word in text.split() for word in SAID.split())
        assert all(len(line) <= width for line in there.lines())


def test_when_an_event_is_sent_is_folded(answer: dict[str, Any]) -> None:
    answer["/events/types"] = page({"id": "batch.completed", "description": SAID, "example": {}})
    text = shown("webhooks", "types")
    assert "…" not in "".join(text) and SAID.split()[-1] in text[-1]


def test_deliveries_have_the_type_of_their_event_and_the_whole_fault(answer: dict[str, Any]) -> None:
    fault = "could not connect: connection refused by 127.0.0.1, port 9"
    log = [{"at": 2_000_000_000, "latency_ms": 1234, "status_code": None, "error": fault, "response": None}]
    one = {"event_id": f"evt_{ID}", "event_type": "batch.completed", "status": "pending", "attempts": 1}
    answer["/webhooks/wh_1/deliveries"] = page({**one, "last_status_code": None, "last_error": fault, "log": log})
    for words in ([], ["--attempts"]):
        lines = shown("webhooks", "deliveries", "wh_1", *words)
        text = " ".join(" ".join(lines).split())
        assert "batch.completed" in text and "…" not in text.replace(f"…{ID[-8:]}", "")
        assert set(fault.split()) <= set(text.split())


def test_a_column_with_nothing_in_it_takes_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"number": 7, "created_at": 2_000_000_000, "kind": "statement", "status": "paid", "total": 1.5, "id": ID}
    rows = [invoices._cells(row), invoices._cells({**row, "period": "2033-05"})]
    header, _ = screen(70, monkeypatch).table(invoices._COLUMNS, rows[:1])
    assert header.split() == ["number", "date", "kind", "status", "total", "id"]
    assert "month" in screen(70, monkeypatch).table(invoices._COLUMNS, rows)[0].split()
    assert "month" in screen(0, monkeypatch).table(invoices._COLUMNS, rows[:1])[0].split(), "in a pipe all are there"


def test_columns_without_room_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = [Column("id"), Column("credits", drop=1), Column("note", drop=3), Column("created", drop=2)]
    row = [ID, "1.5", "", "2033-05-18 03:33:20"]
    assert screen(50, monkeypatch).table(columns, [row])[2:] == ["No room for: created; --json has all."]
    noted = " ".join(screen(40, monkeypatch).table(columns, [row])[2:])
    assert noted == "No room for: credits, created; --json has all."
    for width in (0, 90):
        assert len(screen(width, monkeypatch).table(columns, [row])) == 2


def test_the_letters_of_models_have_a_legend(answer: dict[str, Any]) -> None:
    chat = {"id": "m" * 20, "type": "chat.completion", "provider": "openai", "context_tokens": 1_000_000}
    abilities = {"capabilities": ["vision", "tools", "json_schema", "reasoning"], "price": {"input": 1, "output": 2}}
    answer["/models"] = page({**chat, **abilities, "state": "paused, until then"}, {"id": "e", "type": "embedding"})
    text = " ".join(shown("models"))
    assert "vtjr" in text and all(word in text for word in ("v vision", "emb embeddings", "img images", "? not known"))
    told = " ".join(CliRunner().invoke(cli.main, ["models", "list", "--help"]).output.split())
    assert "v vision, t tools, j json_schema, r reasoning" in told
