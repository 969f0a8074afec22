"""fusionai entities: files as machines write them, faults by their lines, and an import that may be run again."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from producer import cli
from shared.settings import settings
from tests.servers import migrated_sqlite


@pytest.fixture(autouse=True)
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("FUSIONAI_STATE_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.setenv("FUSIONAI_DATABASE_URL", migrated_sqlite(tmp_path / "entities.sqlite3"))
    settings.cache_clear()
    yield
    settings.cache_clear()


def run(*words: str, input: bytes | None = None) -> Result:
    return CliRunner().invoke(cli.main, words, input=input)


def told(*words: str, input: bytes | None = None) -> Any:
    result = run(*words, "--json", input=input)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_file_as_windows_writes_it_and_again(tmp_path: Path) -> None:
    lines = [
        '{"type": "ORGANIZATION", "id": "1", "name": "Größe AG", "attributes": {"seat": "Köln"}, "text": "About it."}',
        "",
        '{"type": "PERSON", "id": "2"}',
        "   ",
    ]
    file = tmp_path / "entities.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    for _ in range(2):
        assert told("entities", "import", str(file), "--shared") == {"imported": 2, "owner": "shared"}
    assert [(one["owner"], one["type"], one["id"]) for one in told("entities")] == [
        ("shared", "ORGANIZATION", "1"),
        ("shared", "PERSON", "2"),
    ]
    shown = run("entities", "show", "ORGANIZATION", "1", "--shared").stdout
    assert shown == "ORGANIZATION 1: Größe AG\n- seat: Köln\nAbout it.\n"
    assert told("entities", "show", "PERSON", "2", "--shared")["attributes"] == {}


def test_wrong_lines_are_told_by_number_and_the_others_imported() -> None:
    lines = [
        b'{"type": "A", "id": "1"}',
        b'{"type": "A"}',
        b"",
        b'{"type": "A", "id": "2", "more": 1}',
        b"nonsense",
        b'{"type": "A", "id": "3", "text": "\\u0000"}',
        b'["A"]',
        b'{"type": "A", "id": "4", "name": "\xff"}',
        b'{"type": "A", "id": "5"}',
    ]
    result = run("entities", "import", "-", "--shared", input=b"\n".join(lines))
    assert result.exit_code == 1
    said = result.stderr
    for number in (2, 4, 5, 6, 7, 8):
        assert f"line {number}: " in said, said
    assert "faults: 6; imported: 2" in said
    assert [one["id"] for one in told("entities")] == ["1", "5"]
    assert told("entities", "import", "-", "--shared", "--from-line", "9", input=b"\n".join(lines))["imported"] == 1


def test_whose_an_entity_is() -> None:
    account = told("accounts", "create", "Acme")["id"]
    line = b'{"type": "A", "id": "1", "name": "Own"}'
    assert run("entities", "import", "-", input=line).exit_code == 2
    assert run("entities", "import", "-", "--account", "Nobody", input=line).exit_code == 1
    assert told("entities", "import", "-", "--account", "Acme", input=line)["owner"] == account
    assert told("entities", "list", "--shared") == []
    assert [one["owner"] for one in told("entities", "list", "--account", account, "--type", "A")] == [account]
    assert run("entities", "delete", "A", "1", "--shared").exit_code == 1
    assert told("entities", "delete", "A", "1", "--account", "Acme")["deleted"]
    assert told("entities") == []


@pytest.mark.parametrize("content", [b"PK\x03\x04rest", b'[{"type": "A"}]', "{}".encode("utf-16")])
def test_a_file_that_is_something_else_is_one_fault(content: bytes) -> None:
    result = run("entities", "import", "-", "--shared", input=content)
    assert result.exit_code == 1 and "imported: 0" in result.stderr


def test_access_is_off_unless_the_operator_gives_it() -> None:
    id = told("accounts", "create", "Acme")["id"]
    assert told("accounts", "show", id)["linked_context"] is False
    assert told("accounts", "set", id, "--linked-context", "on")["linked_context"] is True
    assert "linked context: off" in run("accounts", "set", id, "--linked-context", "off").stdout
    assert told("accounts", "create", "Other", "--linked-context", "on")["linked_context"] is True
    assert run("accounts", "set", id).exit_code == 2
