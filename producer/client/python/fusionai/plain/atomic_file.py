"""Writes a file whole, or leaves the one that was there."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic_write(target: Path) -> Iterator[BinaryIO]:
    """A stream to write and to seek in; when the block has ended well, the file at `target` is what was written.

    A pipe or a device, such as /dev/stdout, is not replaced: it is written to.
    """
    if target.exists() and not target.is_file():
        with tempfile.TemporaryFile() as file:
            yield file
            file.seek(0)
            with target.open("wb") as out:
                shutil.copyfileobj(file, out)
        return
    place = target.resolve()
    partial = place.with_name(f"{place.name}.{os.getpid()}.partial")
    try:
        with partial.open("w+b") as file:
            yield file
        partial.replace(place)
    finally:
        partial.unlink(missing_ok=True)


def writable(target: Path) -> bool:
    """Whether a file can probably be written there."""
    if target.exists() and not target.is_file():
        return os.access(target, os.W_OK)
    return os.access(target.resolve().parent, os.W_OK)
