"""Short ids: every command that takes an id takes how it ends, and says when that is not clear; numbers of invoices."""

import json
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
from producer.cli.ids import Id
from shared.settings import settings

#: Parameters that name one thing by its id.
_NAMES = {"id", "after", "batch", "batch_id", "key_id", "job"}
#: Which take an id otherwise: keys by name or beginning too; entities' ids are the operator's own; deliveries' ids are
#: never shown short.
_OTHERWISE = {"keys", "entities", "deliveries"}


def parameters(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Parameter]]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from parameters(found, (*path, name))
    else:
        yield from ((" ".join(path), parameter) for parameter in command.params)


def test_every_command_that_takes_an_id_takes_a_short_one() -> None:
    named = [(name, one) for name, one in parameters(cli.main) if one.name in _NAMES]
    found = [(name, one) for name, one in named if not getattr(one, "is_flag", False)]
    lacking = {f"{name} {one.name}" for name, one in found if not isinstance(one.type, Id)}
    assert {one for one in lacking if not _OTHERWISE & set(one.split())} == set()
    assert len(found) - len(lacking) > 25


class Server:
    """Lists of two things each, whose ids end alike in their last four characters."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/v1")
        self.asked.append((request.method, path))
        kinds = {"/jobs": "job", "/batches": "batch", "/invoices": "inv", "/webhooks": "wh", "/events": "evt"}
        if path in kinds and request.method == "GET":
            if path == "/events":
                assert request.url.params["order"] == "desc", "the newest ones"
            return httpx.Response(200, json=self.page(kinds[path], request.url.params.get("after")))
        return httpx.Response(404, json={"error": {"message": "reached", "type": "not_found", "code": 404}})

    def page(self, kind: str, after: str | None) -> dict[str, Any]:
        data = [{"id": f"{kind}_{digit * 28}0000", "number": 9 if digit == "b" else 8} for digit in "ba"]
        if after:
            data = [{"id": f"{kind}_{'9' * 32}", "number": 2}]
        return {"object": "list", "data": data, "last_id": data[-1]["id"], "has_more": not after}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    fake = Server()

    def client(base_url: str, key: str, **options: Any) -> PlainClient:
        return PlainClient(base_url, key, transport=httpx.MockTransport(fake), **options)

    monkeypatch.setattr(connection, "PlainClient", client)
    return fake


def run(*words: str) -> Result:
    return CliRunner().invoke(cli.main, [*words, "--base-url", "http://api/v1", "--key", "fusionai_live_x"])


@pytest.mark.parametrize(
    ("words", "method", "path"),
    [
        ("job …a0000", "GET", "/jobs/job_ID"),
        ("batch ...a0000", "GET", "/batches/batch_ID"),
        ("retry …a0000 --dry-run", "POST", "/batches/batch_ID/retry"),
        ("invoices show …a0000", "GET", "/invoices/inv_ID"),
        ("invoices show …a0000 --link", "GET", "/invoices/inv_ID/links"),
        ("invoices void …a0000", "POST", "/invoices/inv_ID/void"),
        ("webhooks show …a0000", "GET", "/webhooks/wh_ID"),
        ("webhooks deliveries …a0000", "GET", "/webhooks/wh_ID/deliveries"),
        ("webhooks delete …a0000", "DELETE", "/webhooks/wh_ID"),
        ("redeliver …a0000", "POST", "/events/evt_ID/redeliver"),
    ],
)
def test_the_end_of_an_id_stands_for_it(server: Server, words: str, method: str, path: str) -> None:
    result = run(*words.split())
    assert result.exit_code == 1 and "reached" in result.output
    assert server.asked[-1] == (method, path.replace("ID", f"{'a' * 28}0000"))


def test_a_filter_s_id_may_be_short_too(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(PlainClient, "jobs", lambda self, **given: asked.append(given) or server.page("job", "x"))
    assert run("jobs", "--batch", "…a0000", "--json").exit_code == 0
    assert asked[-1]["batch_id"] == f"batch_{'a' * 28}0000"


@pytest.mark.parametrize("words", ["job", "batch", "retry", "cancel", "invoices show", "webhooks show", "redeliver"])
def test_an_end_of_several_ids_names_them(server: Server, words: str) -> None:
    result = run(*words.split(), "…0000")
    assert result.exit_code == 2 and all(method == "GET" for method, _ in server.asked)
    assert "…0000 is ambiguous: " in result.output and f"{'b' * 28}0000, " in result.output
    none = run(*words.split(), "…12345678")
    assert none.exit_code == 2 and "ends in 12345678; give the whole id" in none.output


def test_cancel_finds_a_batch_beside_the_jobs(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PlainClient, "jobs", lambda self, **given: {"data": []})
    run("cancel", "…a0000")
    assert server.asked[-1] == ("POST", f"/batches/batch_{'a' * 28}0000/cancel")


def test_an_invoice_is_named_by_its_number(server: Server) -> None:
    for number, id in (("9", f"inv_{'b' * 28}0000"), ("2", f"inv_{'9' * 32}")):
        assert "reached" in run("invoices", "show", number).output
        assert server.asked[-1] == ("GET", f"/invoices/{id}")
    result = run("invoices", "show", "7")
    assert result.exit_code == 2 and "there is no invoice of number 7" in result.output
    server.asked.clear()
    assert "there is no invoice of number 10" in run("invoices", "show", "10").output
    run("job", "9")
    assert server.asked[-1] == ("GET", "/jobs/9"), "a number is an invoice's alone"


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A database with two accounts; their ids."""
    monkeypatch.delenv("FUSIONAI_DATABASE_URL", raising=False)
    monkeypatch.setenv("FUSIONAI_STATE_DIRECTORY", str(tmp_path / "state"))
    settings.cache_clear()
    made = [CliRunner().invoke(cli.main, [*words.split(), "--json"]) for words in (
        "migrate", "accounts create Acme", "accounts create Other"
    )]  # fmt: skip
    yield [json.loads(one.output)["id"] for one in made[1:]]
    settings.cache_clear()


def test_operators_commands_take_short_ids_too(stored: list[str]) -> None:
    id, _ = stored
    for words in (["accounts", "show"], ["accounts", "audit"]):
        result = CliRunner().invoke(cli.main, [*words, f"…{id[-8:]}", "--json"])
        assert result.exit_code == 0 and id in result.output, result.output
    granted = CliRunner().invoke(cli.main, ["credits", "grant", f"…{id[-8:]}", "5"])
    assert f"granted to {id}" in granted.output
    for words in (["accounts", "plan", "…zz", "business"], ["invoices", "pay", "…zz"], ["credits", "refund", "…zz"]):
        reason = ["--reason", "r"] if "refund" in words else []
        result = CliRunner().invoke(cli.main, [*words, *reason])
        assert result.exit_code == 2 and "ends in zz; give the whole id" in result.output, result.output
    result = CliRunner().invoke(cli.main, ["invoices", "pay", "3"])
    assert result.exit_code == 2 and "there is no invoice of number 3" in result.output
