"""Takes a backup while the system is at work: files, then the database, then the files that came meanwhile.

A row must never name a file that the backup lacks. Files before the database alone would lack an upload that ended in
between, files after it alone one that was deleted in between; so both are done, and where a file that the copied rows
need is gone all the same, the database is copied anew.
"""

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from producer.backup import layout
from producer.backup.layout import Manifest
from shared import clock, key_secrets
from shared.db import Database
from shared.db.addresses import sqlite_path
from shared.db.schema import revision
from shared.errors import Conflict, Unavailable
from shared.files import blobs
from shared.files.blob_stores import sync_directory
from shared.settings import Settings
from shared.verify import files as stored_files

#: How often the database is copied, at most: each time a file that it needs was deleted while files were copied.
TRIES: Final = 10

#: Told how many bytes have been copied.
Progress = Callable[[int], object]


def take(target: Path, own: Settings, *, files: bool = True, progress: Progress = lambda bytes: None) -> Manifest:
    """Make a backup that is `target`, a directory that is not there yet; it appears when it is whole.

    `files`: stored files as well. Conflict: `target` is there, or the database is none of SQLite's.
    """
    source = sqlite_path(own.database_url)
    if source is None:
        raise Conflict("this backs up SQLite; PostgreSQL has tools of its own: deploy/cluster.md says how")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise Conflict(f"{target} is there already; a backup is a new directory")
    with _beside(target) as partial:
        copied = _Copied(partial / layout.FILES, progress)
        made_at, schema = _consistent(Path(source), partial / layout.DATABASE, copied, files)
        _keep_secrets(own.state_directory, partial)
        database = partial / layout.DATABASE
        manifest = Manifest(
            format=layout.FORMAT,
            version=layout.own_version(),
            schema=schema,
            made_at=made_at,
            database_bytes=database.stat().st_size,
            database_sha256=layout.sha256(database),
            files=copied.count if files else None,
            file_bytes=copied.bytes if files else None,
            key_secret=key_secrets.mark(own.key_secret),
        )
        layout.write(partial, manifest)
        partial.rename(target)
        sync_directory(target.parent)
    return manifest


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A directory beside the target, for its owner alone; what a backup that died has left there is deleted."""
    partial = target.parent / f".{target.name}.partial"
    partial.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(partial, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Conflict(f"another `fusionai backup` is making {target}") from None
        for left in partial.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        yield partial
    finally:
        os.close(handle)


class _Copied:
    """The blobs that have been copied."""

    def __init__(self, root: Path, progress: Progress) -> None:
        self._root, self._progress = root, progress
        self.count = self.bytes = 0

    def copy_all(self) -> None:
        """Copy every blob that is there and was not yet copied. One that is deleted meanwhile is passed over."""
        for place in layout.PLACES:
            (self._root / place).mkdir(mode=0o700, parents=True, exist_ok=True)
            for name in blobs.old(place, -1):
                if not (self._root / name).exists():
                    with suppress(FileNotFoundError):
                        self._copy(name)

    def _copy(self, name: str) -> None:
        partial, age = self._root / f".{name.replace('/', '.')}", blobs.age(name)
        with blobs.reader(name) as source, partial.open("wb") as file:
            while piece := source.read(layout.READ_BYTES):
                file.write(piece)
                self.bytes += len(piece)
                self._progress(self.bytes)
        if age is not None:
            written = clock.now_seconds() - age
            os.utime(partial, (written, written))
        partial.rename(self._root / name)
        self.count += 1

    def lacks(self, name: str, bytes: int | None) -> bool:
        """Whether it has no such blob of so many bytes."""
        try:
            found = (self._root / name).stat().st_size
        except FileNotFoundError:
            return True
        return bytes is not None and found != bytes


def _consistent(source: Path, to: Path, copied: _Copied, files: bool) -> tuple[int, str]:
    """Copy files and database, so that they belong together; the moment of the copy, and its schema."""
    if files:
        copied.copy_all()
    for _ in range(TRIES):
        made_at = clock.now_micros()
        _copy_database(source, to)
        if files:
            copied.copy_all()
        database = Database(f"sqlite:///{to}", threads=1)
        try:
            schema = database.read_sync(revision)
            whole = not files or not any(copied.lacks(*one) for one in stored_files.needed(database))
        finally:
            database.close()
        if whole:
            return made_at, schema or ""
    raise Unavailable(f"files went {TRIES} times while they were copied; try again when less is deleted")


def _copy_database(source: Path, to: Path) -> None:
    """The database as it is at one instant, by SQLite's own way (https://sqlite.org/backup.html): in one step, which
    writers do not hold up, nor are held up by it; they only append to the log meanwhile.
    """
    to.unlink(missing_ok=True)
    os.close(os.open(to, os.O_WRONLY | os.O_CREAT, 0o600))
    with closing(sqlite3.connect(source)) as here, closing(sqlite3.connect(to)) as there:
        there.execute("PRAGMA synchronous=OFF")
        here.backup(there)
        (said,) = there.execute("PRAGMA quick_check(1)").fetchone()
    if said != "ok":
        raise Unavailable(f"the copy of {source} is damaged, and so is the database, perhaps: {said[:200]}")


def _keep_secrets(state: Path, to: Path) -> None:
    for name in layout.SECRETS:
        with suppress(FileNotFoundError):
            content = (state / name).read_bytes()
            with os.fdopen(os.open(to / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(content)
