"""The one seam for bytes that do not belong in rows: uploads, outputs, pictures, in a directory.

Names look like paths (`files/file_01…`). A blob is whole or it is not there; the same name again replaces it. All of
this blocks: call it on a thread.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from shared import clock
from shared.settings import settings

_NAME = re.compile(r"[a-z]+/[A-Za-z0-9_.-]{1,150}")


@contextlib.contextmanager
def writer(name: str) -> Iterator[BinaryIO]:
    """Write a blob; it is there, safe on disk, when the block has ended well, and not at all when it has not."""
    path = _path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{clock.new_id('w')}.part")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def reader(name: str, offset: int = 0) -> BinaryIO:
    """Open a blob for reading from a byte on; FileNotFoundError when it is not there."""
    file = _path(name).open("rb")
    file.seek(offset)
    return file


def size(name: str) -> int | None:
    """Bytes of a blob; None when it is not there."""
    try:
        return _path(name).stat().st_size
    except FileNotFoundError:
        return None


def delete(name: str) -> None:
    """Have it gone; one that is not there is gone already."""
    _path(name).unlink(missing_ok=True)


def forget_old(prefix: str, seconds: float) -> int:
    """Delete the blobs of a prefix (`images/`) that were last written longer ago than that; how many."""
    oldest = clock.now_seconds() - seconds
    deleted = 0
    for path in (_root() / prefix).glob("*"):
        with contextlib.suppress(FileNotFoundError):  # another sweeper's
            if path.stat().st_mtime < oldest:
                path.unlink()
                deleted += 1
    return deleted


def _path(name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not the name of a blob")
    return _root() / name


def _root() -> Path:
    return settings().state_directory / "files"
