"""Reads and writes blobs (uploads, outputs, plans, images) in a directory or a bucket.

Names look like paths (`files/file_01…`). A blob is whole or it is not there; the same name again replaces it, so who
cannot be sure of being the only writer takes a fresh one. All of this blocks: call it on a thread. Whatever a store
meets is a StorageAway, but for a blob that is not there. `FUSIONAI_FILES_URL` says where they are; processes on several
machines need a bucket.
"""

import contextlib
import hashlib
import io
import json
import logging
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import unquote, urlsplit

from shared import clock, logs
from shared.errors import StorageAway
from shared.files.blob_stores import MOST_FORGOTTEN, BlobStore, Directory, Remote
from shared.settings import settings

__all__ = [
    "MOST_FORGOTTEN",
    "BlobWriter",
    "age",
    "delete",
    "forget_old",
    "forget_unfinished",
    "old",
    "reader",
    "size",
    "starting",
    "writer",
]

log = logging.getLogger(__name__)

#: Bytes of a file read ahead.
BUFFER_BYTES = 128 * 1024
_NAME = re.compile(r"[a-z]+/[A-Za-z0-9_-][A-Za-z0-9_.-]{0,149}")
_PREFIX = re.compile(r"[a-z]+/")


def writer(name: str) -> AbstractContextManager["BlobWriter"]:
    """Write a blob; it is there, safe on disk, when the block has ended well, and not at all when it has not."""
    return _writing(_checked(name))


def reader(name: str, offset: int = 0) -> BinaryIO:
    """Open a blob for reading from a byte on; FileNotFoundError when it is not there."""
    with _told("read", name):
        raw = _Raw(name, _store().reader(_checked(name), offset))
    return io.BufferedReader(raw, BUFFER_BYTES)


def size(name: str) -> int | None:
    """Bytes of a blob, which are to be those that its row says; None when it is not there."""
    with _told("stat", name):
        return _store().size(_checked(name))


def age(name: str) -> float | None:
    """Seconds since a blob was written; None when it is not there."""
    with _told("stat", name):
        written = _store().written(_checked(name))
    return None if written is None else clock.now_seconds() - written


def delete(name: str) -> None:
    """Have it gone; one that is not there is gone already."""
    with _told("delete", name):
        _store().delete(_checked(name))


def old(prefix: str, seconds: float) -> Iterator[str]:
    """Names of a prefix's blobs that were last written longer ago than that, in no order."""
    with _told("list", prefix):
        for name in _store().old(_prefix(prefix), clock.now_seconds() - seconds):
            if _NAME.fullmatch(found := prefix + name):
                yield found


def starting(start: str) -> list[str]:
    """Names of all blobs that start so (`outputs/batch_1.`): a look through the whole place, for what is seldom."""
    prefix, _, rest = start.partition("/")
    with _told("list", start):
        return [f"{prefix}/{name}" for name in _store().starting(_prefix(f"{prefix}/"), rest)]


def forget_old(prefix: str, seconds: float) -> int:
    """Delete blobs of a prefix (`images/`) that were last written longer ago; how many, MOST_FORGOTTEN at most."""
    with _told("clean up", prefix):
        return _store().forget_old(_prefix(prefix), clock.now_seconds() - seconds)


def forget_unfinished(seconds: float) -> int:
    """Delete what writers that died longer ago than that have left behind; how many. None of it was ever a blob."""
    with _told("clean up", "unfinished files"):
        return _store().forget_unfinished(clock.now_seconds() - seconds)


@contextlib.contextmanager
def _writing(name: str) -> Iterator["BlobWriter"]:
    with contextlib.ExitStack() as stack:
        with _told("write", name, missing=True):
            file = stack.enter_context(_store().writer(name))
        yield BlobWriter(name, file)
        with _told("write", name, missing=True):
            stack.close()


@contextlib.contextmanager
def _told(verb: str, name: str, *, missing: bool = False) -> Iterator[None]:
    """What a store says, and each has words of its own, as a StorageAway; `missing`: also that something is not there,
    which of a blob that is being written can only be its place.
    """
    try:
        yield
    except (StorageAway, ValueError):
        raise
    except Exception as error:
        if isinstance(error, FileNotFoundError) and not missing:
            raise
        log.warning("storage: cannot %s %s: %s", verb, name, logs.kind(error))
        raise StorageAway from error


class _Raw(io.RawIOBase):
    """A blob's bytes as they come from the store."""

    def __init__(self, name: str, file: BinaryIO) -> None:
        self._name, self._file = name, file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with _told("read", self._name, missing=True):
            return cast(Any, self._file).readinto(buffer) or 0

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


class BlobWriter:
    """A blob that is being written."""

    def __init__(self, name: str, file: BinaryIO) -> None:
        self._name, self._file = name, file
        self._hash = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """Of what has been written so far, in hexadecimal digits."""
        return self._hash.hexdigest()

    def write(self, data: bytes) -> int:
        """Append to it."""
        self._hash.update(data)
        with _told("write", self._name, missing=True):
            return self._file.write(data)

    def flush(self) -> None:
        with _told("write", self._name, missing=True):
            self._file.flush()


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"invalid blob name {name!r}")
    return name


def _prefix(prefix: str) -> str:
    if not _PREFIX.fullmatch(prefix):
        raise ValueError(f"invalid blob prefix {prefix!r}")
    return prefix


def _store() -> BlobStore:
    known = settings()
    return _opened(known.files_url, json.dumps(known.files_options), known.state_directory)


@lru_cache(maxsize=8)
def _opened(url: str, options: str, state_directory: Path) -> BlobStore:
    if not url:
        return Directory(state_directory / "files")
    if url.startswith("file:"):
        return Directory(Path(unquote(urlsplit(url).path)))
    return Remote(url, json.loads(options))
