"""Each migration since the last release only adds, and makes indexes beside those who write (`migrations/rules.py`)."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import AbstractOperations, Operations, ops
from alembic.script import Script, ScriptDirectory
from sqlalchemy import create_engine

from shared.db import migrations, schema
from shared.db.migrations import after, online, rules

#: The newest migration of what was released last (`tests/chaos/older.py`): what came before cannot be changed any more.
RELEASED = "0039"


def scripts() -> list[Script]:
    """All migrations, the first at first."""
    return list(ScriptDirectory.from_config(migrations.config()).walk_revisions())[::-1]


@contextmanager
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[list[Any], set[str]]]:
    """The changes that are made in the block, and the indexes that are made beside users."""
    changes: list[Any] = []
    beside: set[str] = set()
    invoke, create = AbstractOperations.invoke, online.create_index

    def noting(self: Any, change: Any) -> Any:
        changes.append(change)
        return invoke(self, change)

    def creating(name: str, *given: Any, **more: Any) -> None:
        beside.add(name)
        create(name, *given, **more)

    with monkeypatch.context() as patched:
        patched.setattr(AbstractOperations, "invoke", noting)
        patched.setattr(online, "create_index", creating)
        yield changes, beside


def test_no_migration_breaks_the_version_before(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, found = create_engine("sqlite://"), {}
    with engine.connect() as connection, Operations.context(MigrationContext.configure(connection)):
        for script in scripts():
            with recorded(monkeypatch) as (changes, beside):
                script.module.upgrade()
            if script.revision > RELEASED and (wrong := list(rules.faults(script.revision, changes, beside))):
                found[script.revision] = wrong
    engine.dispose()
    assert found == {}


def test_the_version_needs_the_newest_migration() -> None:
    assert schema.NEWEST == scripts()[-1].revision
    assert sorted(script.revision for script in scripts()) == [script.revision for script in scripts()]


def test_what_goes_later_is_named_once_and_each_exception_is_a_migration() -> None:
    assert len(set(after.REMOVALS)) == len(after.REMOVALS)
    assert {revision for revision, _ in rules.EXCEPTIONS} <= {script.revision for script in scripts()}


def column(**more: Any) -> Any:
    return ops.AddColumnOp("jobs", sa.Column("colour", sa.String(), **more))


def index(**more: Any) -> Any:
    return ops.CreateIndexOp("jobs_by_colour", "jobs", ["colour"], **more)


NEW_TABLE = ops.CreateTableOp("jobs", [sa.Column("id", sa.String())])


@pytest.mark.parametrize(
    ("changes", "beside", "wrong"),
    [
        ([column(nullable=True)], set(), ""),
        ([column(nullable=False, server_default="red")], set(), ""),
        ([NEW_TABLE, index(unique=True)], set(), ""),
        ([index()], {"jobs_by_colour"}, ""),
        ([column(nullable=False)], set(), "neither nullable"),
        ([index()], set(), "online.create_index makes it"),
        ([index(unique=True)], {"jobs_by_colour"}, "is unique"),
        ([index(), column(nullable=True)], {"jobs_by_colour"}, "a migration of its own"),
        ([ops.DropColumnOp("jobs", "lane")], set(), "DropColumnOp is no addition"),
        ([ops.DropIndexOp("jobs_woken", "jobs")], set(), "DropIndexOp is no addition"),
        ([ops.AlterColumnOp("jobs", "lane", modify_nullable=False)], set(), "AlterColumnOp is no addition"),
        ([ops.RenameTableOp("jobs", "tasks")], set(), "RenameTableOp is no addition"),
        ([ops.ExecuteSQLOp("UPDATE jobs SET lane = NULL")], set(), "ExecuteSQLOp is no addition"),
    ],
)
def test_what_is_refused(changes: list[Any], beside: set[str], wrong: str) -> None:
    found = list(rules.faults("0099", changes, beside))
    assert len(found) == bool(wrong) and all(wrong in one for one in found), found


def test_a_process_that_has_nothing_to_migrate_does_not_import_alembic() -> None:
    """It costs a tenth of a second of each start."""
    code = "import sys, shared.db.migrations; print('alembic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
