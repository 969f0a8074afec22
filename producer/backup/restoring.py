"""Restores a backup where there is no database: the database appears last, and at once.

Until then it stands beside its place as `….restoring`, and no `fusionai up` or `fusionai migrate` makes an empty one
meanwhile. Who dies on the way runs it again.
"""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from producer.backup import layout
from producer.backup.layout import Manifest
from producer.stack.state import AlreadyUpError, StateDirectory
from shared import after_restore, key_secrets
from shared.after_restore import Restored
from shared.audit import Action
from shared.db import Database
from shared.db.addresses import sqlite_path
from shared.db.migrations import being_restored, check_known, migrate
from shared.errors import Conflict
from shared.files import blobs
from shared.files.blob_stores import sync_directory
from shared.settings import Settings, read_settings

#: Told how many bytes have been copied.
Progress = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class RestoredBackup:
    """What was restored. `files`: how many were copied; others were there already."""

    manifest: Manifest
    settled: Restored
    files: int
    same_key_secret: bool


def restore(
    backup: Path,
    own: Settings,
    action: Action,
    *,
    next_invoice: int | None = None,
    progress: Progress = lambda bytes: None,
) -> RestoredBackup:
    """Restore a backup to the database, the state directory and the file storage of the settings.

    NotFound: it is no whole backup. Conflict: it is of a newer version, or there is a database, or the log of one.
    """
    manifest = layout.read(backup)
    check_known(manifest.schema)
    path = sqlite_path(own.database_url)
    if path is None:
        raise Conflict("this restores SQLite; PostgreSQL has tools of its own: deploy/cluster.md says how")
    _check_free(Path(path))
    state = StateDirectory(own.state_directory)
    state.create()
    try:
        with state.locked():
            _stage(backup, manifest, Path(path))
            _give_secrets(backup, state)
            copied = _copy_files(backup, progress) if manifest.files is not None else 0
            settled = _settled(being_restored(path), action, manifest, next_invoice)
            _put_in_place(Path(path))
    except AlreadyUpError as error:
        raise Conflict(str(error)) from None
    known = read_settings(state_directory=own.state_directory)
    marks = map(key_secrets.mark, key_secrets.accepted(known))
    return RestoredBackup(manifest, settled, copied, manifest.key_secret in marks)


def _check_free(path: Path) -> None:
    """Conflict, where there is a database, or the log of one, which may have its last commits."""
    left = [one for one in (path, *_beside(path)) if one.exists() and not one.name.endswith("-shm")]
    if path in left:
        raise Conflict(
            f"there is a database already: {path}; move it away first, together with its log: mv {path}* ELSEWHERE/"
        )
    if left:
        raise Conflict(
            f"the log of another database is there: {left[0]}; it may have that one's last commits: move it to where "
            "that database is"
        )


def _stage(backup: Path, manifest: Manifest, path: Path) -> None:
    """Copy the database beside its place; Conflict when it is not as it was written."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    staged = being_restored(str(path))
    for left in (staged, *_beside(staged)):
        left.unlink(missing_ok=True)
    with (
        (backup / layout.DATABASE).open("rb") as source,
        os.fdopen(os.open(staged, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file,
    ):
        shutil.copyfileobj(source, file, layout.READ_BYTES)
    if layout.sha256(staged) != manifest.database_sha256:
        raise Conflict(f"the database in {backup} is damaged: it is not as it was written")


def _beside(path: Path) -> list[Path]:
    """What SQLite keeps beside a database. Left from another one of that name, it would be taken for this one's."""
    return [path.with_name(f"{path.name}{ending}") for ending in ("-wal", "-shm", "-journal")]


def _give_secrets(backup: Path, state: StateDirectory) -> None:
    for name in layout.SECRETS:
        if (backup / name).exists():
            state.write_text(name, (backup / name).read_text())


def _copy_files(backup: Path, progress: Progress) -> int:
    """Store what is not there yet; how many that were."""
    root, count, bytes = backup / layout.FILES, 0, 0
    for path in sorted(path for place in layout.PLACES for path in (root / place).iterdir()):
        name = path.relative_to(root).as_posix()
        if blobs.size(name) != path.stat().st_size:
            with path.open("rb") as source, blobs.writer(name) as file:
                while piece := source.read(layout.READ_BYTES):
                    file.write(piece)
            count += 1
        bytes += path.stat().st_size
        progress(bytes)
    return count


def _settled(staged: Path, action: Action, manifest: Manifest, next_invoice: int | None) -> Restored:
    """Bring the copy up to this version's schema, and do what follows a restore."""
    url = f"sqlite:///{staged}"
    migrate(url)
    database = Database(url)
    try:
        return after_restore.settle(database, action, restored_to=manifest.made_at, next_invoice=next_invoice)
    finally:
        database.close()


def _put_in_place(path: Path) -> None:
    staged = being_restored(str(path))
    with closing(sqlite3.connect(staged, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")  # the copy alone is all of it
    staged.with_name(f"{staged.name}.migrating").unlink(missing_ok=True)
    _check_free(path)  # again: a process that knows of no restore may have made one meanwhile
    for left in _beside(path):
        left.unlink(missing_ok=True)
    with staged.open("rb") as file:
        os.fsync(file.fileno())
    staged.rename(path)
    sync_directory(path.parent)
