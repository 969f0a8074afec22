"""`fusionai migrate`: what it says is left for later, that a newer version was there, and that it waits for others."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import create_engine, text

from producer import cli
from shared.db import migrations, schema
from shared.db.migrations import after
from shared.db.migrations.after import Removal
from shared.settings import settings


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A migrated database of the command's."""
    url = f"sqlite:///{tmp_path}/own.sqlite3"
    monkeypatch.setenv("FUSIONAI_DATABASE_URL", url)
    settings.cache_clear()
    assert said() == "The database is up to date.\n"
    yield url
    settings.cache_clear()


def said(*options: str) -> str:
    done = CliRunner().invoke(cli.main, ["migrate", *options])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_it_says_what_is_left_until_that_is_done(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(after, "REMOVALS", (Removal("jobs", "2", index="jobs_woken"),))
    left = "the index jobs_woken, which versions before 2 use"
    assert said().splitlines() == [
        "The database is up to date.",
        f"Left for `fusionai migrate --after`, once all processes are new: {left}.",
    ]
    assert json.loads(said("--json")) == {"migrated": True, "revision": schema.NEWEST, "left": [left]}
    assert said("--after") == "The database is up to date.\n" == said()


def test_it_says_that_a_newer_version_was_there(database: str) -> None:
    engine = create_engine(database)
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {schema.TABLE} SET version_num = '9999'"))
    engine.dispose()
    assert said() == "A newer version has migrated the database (to 9999): nothing is left to do for this one.\n"


def test_it_says_once_that_it_waits(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def migrate(url: str, *, finish: bool, waiting: Callable[[str], None]) -> Any:
        for why in ("A table is in use.", "Another one is at work.", "A table is in use."):
            waiting(why)
        return migrations.Migrated(schema.NEWEST)

    monkeypatch.setattr(migrations, "migrate", migrate)
    done = CliRunner().invoke(cli.main, ["migrate"])
    assert done.stderr.splitlines() == ["A table is in use.", "Another one is at work."]
