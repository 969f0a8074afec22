"""Backups of a system on one machine: whole or not there, taken while it works, and restored by whoever comes after."""

import json
import os
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from producer.backup import layout, restoring, taking
from producer.stack.state import StateDirectory
from shared import clock
from shared.audit import Action
from shared.db import Database
from shared.db import models as m
from shared.db.migrations import migrate
from shared.errors import Conflict, NotFound, Unavailable
from shared.files import blobs
from shared.settings import Settings, settings
from shared.verify import verify_all
from tests.integration import world
from tests.integration.test_retention import kept
from tests.servers import migrated_sqlite

ACTION = Action("ann", "restore")


class Killed(BaseException):
    """Stands for SIGKILL: nothing that was begun is put right by whoever it ends."""


class Home:
    """A machine's state directory, which `fusionai` finds by its settings while `use` says so."""

    def __init__(self, path: Path, patch: pytest.MonkeyPatch) -> None:
        self.state, self._patch = path, patch
        self.path = path / "fusionai.sqlite3"

    def use(self) -> Settings:
        own = settings()
        self._patch.setattr(own, "state_directory", self.state)
        self._patch.setattr(own, "database_url", f"sqlite:///{self.path}")
        if secret := StateDirectory(self.state).read("secrets.json").get("key_secret"):
            self._patch.setattr(own, "key_secret", secret)
        return own

    def open(self) -> Database:
        return Database(f"sqlite:///{self.path}")

    def violations(self) -> list[str]:
        database = self.open()
        try:
            return [str(one) for one in verify_all(database, stored=True)]
        finally:
            database.close()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    usual = os.umask(0o077)  # which every process of ours sets for itself
    made = Home(tmp_path / "first", monkeypatch)
    StateDirectory(made.state).create()
    StateDirectory(made.state).secrets()
    StateDirectory(made.state).operator_password()
    migrated_sqlite(made.path)
    made.use()
    yield made
    os.umask(usual)


@pytest.fixture
def database(home: Home) -> Iterator[Database]:
    opened = home.open()
    yield opened
    opened.close()


@pytest.fixture
def other(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Another machine, on which there is nothing."""
    return Home(tmp_path / "second", monkeypatch)


def everything(directory: Path) -> dict[str, int]:
    """The files below a directory, and their modes."""
    paths = sorted(path for path in directory.rglob("*"))
    return {path.relative_to(directory).as_posix(): stat.S_IMODE(path.stat().st_mode) for path in paths}


def rows(path: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def test_a_backup_is_restored(home: Home, other: Home, database: Database, tmp_path: Path) -> None:
    holder = world.open_account(database)
    _, gone = kept(database, holder), kept(database, holder)
    with blobs.writer("images/one.png") as image:
        image.write(b"picture")
    ids = world.queued(database, holder, 3)
    made = taking.take(tmp_path / "backup", home.use())
    found = everything(tmp_path / "backup")
    assert not [name for name, mode in found.items() if mode & 0o077], "its owner's alone"
    assert {layout.MANIFEST, layout.DATABASE, "secrets.json", "operator-password"} <= found.keys()
    assert not [name for name in found if "partial" in name or name.endswith(("-wal", "-shm"))]
    assert (made.files, made.file_bytes) == (3, 17)
    blobs.delete(f"files/{gone}")  # the system goes on
    world.queued(database, holder, 2)

    done = restoring.restore(tmp_path / "backup", other.use(), ACTION)
    assert done.same_key_secret and done.files == 3
    assert (other.state / "secrets.json").read_bytes() == (home.state / "secrets.json").read_bytes()
    modes = everything(other.state)
    assert not [name for name, mode in modes.items() if mode & 0o077]
    assert [row for (row,) in rows(other.path, "SELECT id FROM jobs ORDER BY id")] == ids
    assert other.violations() == []
    with blobs.reader(f"files/{gone}") as content:
        assert content.read() == b"12345"
    with blobs.reader("images/one.png") as content:
        assert content.read() == b"picture"
    assert not [name for name in modes if "restoring" in name]


def test_a_backup_of_a_system_that_writes_all_the_time(
    home: Home, other: Home, database: Database, tmp_path: Path
) -> None:
    over, failures = threading.Event(), list[BaseException]()

    def write(number: int) -> None:
        """Uploads, jobs that end, and deletions; files of this thread alone."""
        try:
            holder = world.open_account(database)
            files: list[str] = []
            while not over.is_set():
                files.append(kept(database, holder))
                held = world.take(database, world.new_worker(database), world.queued(database, holder, 3))
                world.settle(database, *(world.good_end(one, 5) for one in held))
                if len(files) > 3:
                    gone = files.pop(0)
                    database.write_sync(_mark_deleted, gone)
                    blobs.delete(f"files/{gone}")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    try:
        for number in range(3):
            taking.take(tmp_path / f"backup{number}", home.use())
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert failures == []
    for number in range(3):
        there = Home(tmp_path / f"there{number}", other._patch)
        restoring.restore(tmp_path / f"backup{number}", there.use(), ACTION)
        assert there.violations() == []
    assert home.use() and home.violations() == []


def _mark_deleted(connection: Any, id: str) -> None:
    connection.execute(m.files.update().where(m.files.c.id == id).values(status="deleted"))


def between(monkeypatch: pytest.MonkeyPatch, happens: Callable[[int], None]) -> None:
    """Have something happen after each copy of the database."""
    real, count = taking._copy_database, [0]

    def copy(source: Path, to: Path) -> None:
        real(source, to)
        count[0] += 1
        happens(count[0])

    monkeypatch.setattr(taking, "_copy_database", copy)


def test_what_is_uploaded_and_deleted_while_a_backup_is_made(
    home: Home, other: Home, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = world.open_account(database)
    first = kept(database, holder)
    late: list[str] = []
    real = taking._Copied.copy_all

    def copy_all(self: Any) -> None:
        real(self)
        late.append(kept(database, holder))  # after every copy of the files another one comes

    def delete(count: int) -> None:
        if count < 3:  # those that only the database has, when it has been copied
            database.write_sync(_mark_deleted, late[-1])
            blobs.delete(f"files/{late[-1]}")

    monkeypatch.setattr(taking._Copied, "copy_all", copy_all)
    between(monkeypatch, delete)
    taking.take(tmp_path / "backup", home.use())
    restoring.restore(tmp_path / "backup", other.use(), ACTION)
    assert other.violations() == []
    kept_files = rows(other.path, "SELECT id FROM files WHERE status = 'processed' ORDER BY id")
    assert [id for (id,) in kept_files] == sorted([first, late[2]])


def test_a_backup_gives_up_where_files_never_rest(
    home: Home, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = world.open_account(database)
    kept(database, holder)
    real = taking._Copied.lacks
    monkeypatch.setattr(taking._Copied, "lacks", lambda self, name, bytes: real(self, name + "x", bytes))
    with pytest.raises(Unavailable, match="try again"):
        taking.take(tmp_path / "backup", home.use())
    assert not (tmp_path / "backup").exists()


#: Where a backup is killed: each writes something, or makes it visible.
IN_A_BACKUP = [
    (taking._Copied, "_copy"),
    (taking, "_copy_database"),
    (taking, "_keep_secrets"),
    (layout, "write"),
    (Path, "rename"),
]


def killing(patch: pytest.MonkeyPatch, place: Any, name: str) -> None:
    def die(*given: Any, **named: Any) -> None:
        raise Killed

    patch.setattr(place, name, die)


@pytest.mark.parametrize(("place", "name"), IN_A_BACKUP, ids=[name for _, name in IN_A_BACKUP])
def test_a_backup_that_is_killed_is_none(
    home: Home, other: Home, database: Database, tmp_path: Path, place: Any, name: str
) -> None:
    holder = world.open_account(database)
    kept(database, holder)
    target = tmp_path / "backups" / "monday"
    with pytest.MonkeyPatch.context() as patch:
        killing(patch, place, name)
        with pytest.raises(Killed):
            taking.take(target, home.use())
    assert not target.exists()
    with pytest.raises(NotFound, match="not a whole backup"):
        restoring.restore(target.parent, other.use(), ACTION)
    taking.take(target, home.use())
    assert [path.name for path in target.parent.iterdir()] == ["monday"], "and nothing of the first is left"
    restoring.restore(target, other.use(), ACTION)
    assert other.violations() == []


IN_A_RESTORE = [
    (layout, "sha256"),
    (restoring, "_give_secrets"),
    (restoring, "_copy_files"),
    (restoring, "migrate"),
    (restoring.after_restore, "settle"),
    (restoring, "_put_in_place"),
    (Path, "rename"),
]


@pytest.mark.parametrize(("place", "name"), IN_A_RESTORE, ids=[name for _, name in IN_A_RESTORE])
def test_a_restore_that_is_killed_is_run_again(
    home: Home, other: Home, database: Database, tmp_path: Path, place: Any, name: str
) -> None:
    holder = world.open_account(database)
    kept(database, holder)
    ids = world.queued(database, holder, 2)
    taking.take(tmp_path / "backup", home.use())
    own = other.use()
    with pytest.MonkeyPatch.context() as patch:
        killing(patch, place, name)
        with pytest.raises(Killed):
            restoring.restore(tmp_path / "backup", own, ACTION)
    assert not other.path.exists()
    with pytest.raises(Conflict, match="was not finished"):
        migrate(own.database_url)
    assert not other.path.exists(), "nobody takes an empty one for it"
    restoring.restore(tmp_path / "backup", own, ACTION)
    assert [id for (id,) in rows(other.path, "SELECT id FROM jobs ORDER BY id")] == ids
    assert other.violations() == []
    migrate(own.database_url)


def test_what_another_database_has_left_is_not_taken_for_this_ones(
    home: Home, other: Home, database: Database, tmp_path: Path
) -> None:
    ids = world.queued(database, world.open_account(database), 2)
    taking.take(tmp_path / "backup", home.use())
    own = other.use()
    StateDirectory(other.state).create()
    migrated_sqlite(other.path)
    lost = other.open()
    world.open_account(lost)
    (other.state / "kept-wal").write_bytes((other.state / "fusionai.sqlite3-wal").read_bytes())
    lost.close()
    other.path.unlink()  # the database went, its log did not
    log = (other.state / "kept-wal").rename(other.state / "fusionai.sqlite3-wal")
    with pytest.raises(Conflict, match="last commits"):
        restoring.restore(tmp_path / "backup", own, ACTION)
    log.rename(tmp_path / "fusionai.sqlite3-wal")
    restoring.restore(tmp_path / "backup", own, ACTION)
    assert [id for (id,) in rows(other.path, "SELECT id FROM jobs ORDER BY id")] == ids
    assert other.violations() == []


def test_a_database_is_never_replaced(home: Home, database: Database, tmp_path: Path) -> None:
    taking.take(tmp_path / "backup", home.use())
    before = rows(home.path, "SELECT count(*) FROM accounts")
    with pytest.raises(Conflict, match="there is a database already"):
        restoring.restore(tmp_path / "backup", home.use(), ACTION)
    assert rows(home.path, "SELECT count(*) FROM accounts") == before


def test_a_database_that_appears_meanwhile_is_not_replaced(
    home: Home, other: Home, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taking.take(tmp_path / "backup", home.use())
    give = restoring._give_secrets

    def beside(*given: Any) -> None:
        other.path.write_bytes(b"somebody's")
        give(*given)

    monkeypatch.setattr(restoring, "_give_secrets", beside)
    with pytest.raises(Conflict, match="there is a database already"):
        restoring.restore(tmp_path / "backup", other.use(), ACTION)
    assert other.path.read_bytes() == b"somebody's"


def test_no_restore_under_a_system_that_runs(home: Home, other: Home, database: Database, tmp_path: Path) -> None:
    taking.take(tmp_path / "backup", home.use())
    own = other.use()
    StateDirectory(other.state).create()
    with StateDirectory(other.state).locked(), pytest.raises(Conflict, match="already runs"):
        restoring.restore(tmp_path / "backup", own, ACTION)


def test_a_backup_is_a_new_directory(home: Home, database: Database, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("x")
    with pytest.raises(Conflict, match="there already"):
        taking.take(tmp_path / "full", home.use())
    (tmp_path / "empty").mkdir()
    taking.take(tmp_path / "empty", home.use())
    with pytest.raises(Conflict, match="there already"):
        taking.take(tmp_path / "empty", home.use())


def test_two_backups_at_once_to_one_place(home: Home, database: Database, tmp_path: Path) -> None:
    with taking._beside(tmp_path / "b"), pytest.raises(Conflict, match="another"):
        taking.take(tmp_path / "b", home.use())


def changed(backup: Path, **values: Any) -> None:
    path = backup / layout.MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_backups_that_cannot_be_restored(home: Home, other: Home, database: Database, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    taking.take(backup, home.use())
    schema = layout.read(backup).schema
    own = other.use()
    for values, said in (({"schema": "9999"}, "newer version"), ({"format": 2}, "newer version"),
                         ({"database_sha256": "0"}, "damaged")):  # fmt: skip
        before = json.loads((backup / layout.MANIFEST).read_text())
        changed(backup, **values)
        with pytest.raises(Conflict, match=said):
            restoring.restore(backup, own, ACTION)
        changed(backup, **before)
    assert not other.path.exists() and layout.read(backup).schema == schema
    with (backup / layout.DATABASE).open("r+b") as file:
        file.seek(5000)
        file.write(b"\xff" * 100)
    with pytest.raises(Conflict, match="damaged"):
        restoring.restore(backup, own, ACTION)
    (backup / layout.MANIFEST).write_text("{")
    with pytest.raises(NotFound, match="cannot be read"):
        restoring.restore(backup, own, ACTION)


def test_an_older_backup_is_brought_up_to_this_version(home: Home, other: Home, tmp_path: Path) -> None:
    from alembic import command
    from sqlalchemy import create_engine

    from shared.db.migrations import config

    engine = create_engine(f"sqlite:///{home.path}")
    with engine.begin() as connection:
        command.downgrade(config(connection), "0043")
    engine.dispose()
    assert taking.take(tmp_path / "backup", home.use()).schema == "0043"
    restoring.restore(tmp_path / "backup", other.use(), ACTION)
    assert rows(other.path, "SELECT version_num FROM alembic_version") == rows(
        Path(migrated_sqlite(tmp_path / "new").removeprefix("sqlite:///")), "SELECT version_num FROM alembic_version"
    )
    assert other.violations() == []


def test_a_secret_that_is_another(
    home: Home, other: Home, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taking.take(tmp_path / "backup", home.use())
    monkeypatch.setenv("FUSIONAI_KEY_SECRET", "another secret")
    assert not restoring.restore(tmp_path / "backup", other.use(), ACTION).same_key_secret


def test_without_files(home: Home, other: Home, database: Database, tmp_path: Path) -> None:
    kept(database, world.open_account(database))
    made = taking.take(tmp_path / "backup", home.use(), files=False)
    assert made.files is None and not (tmp_path / "backup" / "files").exists()
    restoring.restore(tmp_path / "backup", other.use(), ACTION)
    assert [one for one in other.violations() if "stored bytes missing" in one]


def test_postgresql_has_tools_of_its_own(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taking.take(tmp_path / "backup", home.use())
    monkeypatch.setattr(settings(), "database_url", "postgresql://u@h/d")
    with pytest.raises(Conflict, match="PostgreSQL"):
        taking.take(tmp_path / "b", settings())
    with pytest.raises(Conflict, match="PostgreSQL"):
        restoring.restore(tmp_path / "backup", settings(), ACTION)


def test_a_copy_keeps_the_times_of_files(home: Home, database: Database, tmp_path: Path) -> None:
    kept(database, world.open_account(database))
    (path,) = (home.state / "files" / "files").iterdir()
    os.utime(path, (1_000_000, 1_000_000))
    taking.take(tmp_path / "backup", home.use())
    (copy,) = (tmp_path / "backup" / "files" / "files").iterdir()
    assert abs(copy.stat().st_mtime - 1_000_000) <= 1 and clock.now_seconds() > 1_000_000
