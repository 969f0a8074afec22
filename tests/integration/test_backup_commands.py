"""`fusionai backup`, `restore` and `restored` as a user types them, in a directory where nothing runs."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from producer import cli
from producer.stack.state import StateDirectory
from shared.db import Database
from shared.settings import settings
from tests.integration import world
from tests.servers import migrated_sqlite


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state directory with an account in it, which the settings name."""
    state, usual = tmp_path / "home", os.umask(0o077)
    StateDirectory(state).create()
    StateDirectory(state).secrets()
    database = Database(migrated_sqlite(state / "fusionai.sqlite3"))
    world.queued(database, world.open_account(database), 2)
    database.close()
    use(monkeypatch, state)
    yield state
    settings.cache_clear()
    os.umask(usual)


def use(patch: pytest.MonkeyPatch, state: Path) -> None:
    patch.setenv("FUSIONAI_STATE_DIRECTORY", str(state))
    settings.cache_clear()


def fusionai(*words: object, status: int = 0) -> Any:
    """What the words print, as text; with --json, what that is."""
    done = CliRunner().invoke(cli.main, [str(word) for word in words])
    assert done.exit_code == status, (done.output, done.exc_info)
    assert "Traceback" not in done.output
    return json.loads(done.stdout or done.stderr) if "--json" in words else done.output


def test_from_one_machine_to_another(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = fusionai("backup", tmp_path / "b")
    assert f"fusionai restore {tmp_path / 'b'}" in said and "0 files of 0 bytes" in said
    use(monkeypatch, tmp_path / "words")
    said = fusionai("restore", tmp_path / "b", "--next-invoice", 17, "--operator", "ann")
    assert "2 unfinished jobs go on; events of 1 accounts" in said and "number 17" in said
    assert "FUSIONAI_KEY_SECRET" not in said and "Next: fusionai verify --files" in said
    assert "All balances are exact." in fusionai("verify", "--files")
    assert "restore" in fusionai("accounts", "audit") and "ann" in fusionai("accounts", "audit")
    assert "Restored to" in fusionai("restored", "--yes")
    told = fusionai("restored", "--yes", "--moment", "2026-01-01T00:00:00", "--json")
    assert told["restored_to"] == 1_767_225_600 and told["next_invoice_number"] > 17
    assert fusionai("restore", tmp_path / "b", "--json", status=1)["error"]["type"] == "conflict"
    use(monkeypatch, tmp_path / "json")
    monkeypatch.setenv("FUSIONAI_KEY_SECRET", "another one")
    told = fusionai("restore", tmp_path / "b", "--json")
    assert (told["unfinished_jobs"], told["files"], told["same_key_secret"]) == (2, 0, False)


def test_where_there_is_no_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, tmp_path / "nothing")
    usual = os.umask(0o077)
    try:
        assert "no database" in fusionai("backup", tmp_path / "b", status=1)
        assert not (tmp_path / "b").exists() and not (tmp_path / "nothing").exists()
    finally:
        settings.cache_clear()
        os.umask(usual)


def test_a_restore_that_was_not_finished_is_said(home: Path) -> None:
    (home / "fusionai.sqlite3").rename(home / "fusionai.sqlite3.restoring")
    assert "was not finished: run `fusionai restore` again" in fusionai("migrate", status=1)
