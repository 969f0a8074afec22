"""The one seam for bytes that do not belong in rows: uploads, outputs, plans, pictures; in a directory or a bucket.

Names look like paths (`files/file_01…`). A blob is whole or it is not there; the same name again replaces it. All of
this blocks: call it on a thread. `FUSIONAI_FILES_URL` says where they are; processes on several machines need a bucket.
"""

import contextlib
import io
import itertools
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast
from urllib.parse import unquote, urlsplit

from shared import clock
from shared.settings import settings

#: Blobs, or remains of unfinished ones, deleted in one go, so that it does not last.
MOST_FORGOTTEN = 1000
#: Bytes of one part of an upload to a bucket; a writer holds about two in memory.
PART_BYTES = 8 * 1024 * 1024
#: Bytes fetched ahead of a reader of a bucket.
AHEAD_BYTES = 1024 * 1024
#: A bucket that is away: botocore's usual five attempts, ever further apart, would keep a caller half a minute.
S3_OPTIONS = {"config_kwargs": {"retries": {"mode": "standard", "total_max_attempts": 2}}}

_NAME = re.compile(r"[a-z]+/[A-Za-z0-9_-][A-Za-z0-9_.-]{0,149}")
_PREFIX = re.compile(r"[a-z]+/")


def writer(name: str) -> AbstractContextManager[BinaryIO]:
    """Write a blob; it is there, safe on disk, when the block has ended well, and not at all when it has not."""
    return _store().writer(_checked(name))


def reader(name: str, offset: int = 0) -> BinaryIO:
    """Open a blob for reading from a byte on; FileNotFoundError when it is not there."""
    return _store().reader(_checked(name), offset)


def size(name: str) -> int | None:
    """Bytes of a blob; None when it is not there."""
    return _store().size(_checked(name))


def delete(name: str) -> None:
    """Have it gone; one that is not there is gone already."""
    _store().delete(_checked(name))


def forget_old(prefix: str, seconds: float) -> int:
    """Delete blobs of a prefix (`images/`) that were last written longer ago than that; how many, at most 1,000."""
    if not _PREFIX.fullmatch(prefix):
        raise ValueError(f"{prefix!r} is not a prefix of blobs")
    return _store().forget_old(prefix, clock.now_seconds() - seconds)


def forget_unfinished(seconds: float) -> int:
    """Delete what writers that died longer ago than that have left behind; how many. None of it was ever a blob."""
    return _store().forget_unfinished(clock.now_seconds() - seconds)


class Store(Protocol):
    """A place for blobs. Names have been checked; times are seconds since the epoch."""

    def writer(self, name: str) -> AbstractContextManager[BinaryIO]: ...
    def reader(self, name: str, offset: int) -> BinaryIO: ...
    def size(self, name: str) -> int | None: ...
    def delete(self, name: str) -> None: ...
    def forget_old(self, prefix: str, before: float) -> int: ...
    def forget_unfinished(self, before: float) -> int: ...


class Directory:
    """Blobs as files: written beside, then renamed, so that even a power cut leaves the old one or the new one."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._parts = root / ".parts"

    @contextlib.contextmanager
    def writer(self, name: str) -> Iterator[BinaryIO]:
        path = self._root / name
        _make_directory(path.parent)
        _make_directory(self._parts)
        part = self._parts / clock.new_id("part")
        try:
            with part.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
            _sync_directory(path.parent)
        finally:
            part.unlink(missing_ok=True)

    def reader(self, name: str, offset: int) -> BinaryIO:
        file = (self._root / name).open("rb")
        file.seek(offset)
        return file

    def size(self, name: str) -> int | None:
        try:
            return (self._root / name).stat().st_size
        except FileNotFoundError:
            return None

    def delete(self, name: str) -> None:
        path = self._root / name
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
            _sync_directory(path.parent)

    def forget_old(self, prefix: str, before: float) -> int:
        return self._forget(self._root / prefix, before)

    def forget_unfinished(self, before: float) -> int:
        return self._forget(self._parts, before)

    def _forget(self, directory: Path, before: float) -> int:
        return sum(1 for _ in itertools.islice(_unlinked(directory, before), MOST_FORGOTTEN))


class Remote:
    """Blobs as objects in a bucket, by fsspec, which is imported only here: a directory does not pay for it.

    An object appears when its file is closed, which completes its upload, and not before.
    """

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        from fsspec.core import url_to_fs

        usual = S3_OPTIONS if url.startswith(("s3:", "s3a:")) else {}
        self._fs, root = url_to_fs(
            url, **{"use_listings_cache": False, "skip_instance_cache": True, **usual, **options}
        )
        self._root: str = root.rstrip("/")

    @contextlib.contextmanager
    def writer(self, name: str) -> Iterator[BinaryIO]:
        file = self._fs.open(f"{self._root}/{name}", "wb", block_size=PART_BYTES)
        try:
            yield cast(BinaryIO, file)
            file.close()
        except BaseException:
            file.closed = True  # or its finalizer would complete it
            with contextlib.suppress(Exception):  # what is left of it then is found by forget_unfinished
                file.discard()
            raise

    def reader(self, name: str, offset: int) -> BinaryIO:
        raw = self._fs.open(f"{self._root}/{name}", "rb", block_size=AHEAD_BYTES)
        raw.seek(min(offset, raw.size))
        return io.BufferedReader(raw, AHEAD_BYTES // 4)

    def size(self, name: str) -> int | None:
        try:
            return int(self._fs.info(f"{self._root}/{name}")["size"])
        except FileNotFoundError:
            return None

    def delete(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(f"{self._root}/{name}")

    def forget_old(self, prefix: str, before: float) -> int:
        try:
            found = self._fs.ls(f"{self._root}/{prefix.rstrip('/')}", detail=True)
        except FileNotFoundError:
            return 0
        files = (one for one in found if one["type"] == "file")
        old = [one["name"] for one in files if self._written(one).timestamp() < before][:MOST_FORGOTTEN]
        with contextlib.suppress(FileNotFoundError):  # another sweeper's
            if old:
                self._fs.rm(old)
        return len(old)

    def forget_unfinished(self, before: float) -> int:
        """Of a bucket: its uploads in parts that nobody completed, which it keeps, unseen, and charges for."""
        if not hasattr(self._fs, "list_multipart_uploads"):
            return 0
        bucket, _, prefix = self._root.partition("/")
        uploads = [
            one
            for one in self._fs.list_multipart_uploads(bucket)
            if one["Key"].startswith(f"{prefix}/" if prefix else "") and one["Initiated"].timestamp() < before
        ]
        for upload in uploads[:MOST_FORGOTTEN]:
            with contextlib.suppress(FileNotFoundError):  # completed, or another sweeper's
                self._fs.abort_mpu(bucket, upload["Key"], upload["UploadId"])
        return len(uploads[:MOST_FORGOTTEN])

    def _written(self, info: Mapping[str, Any]) -> Any:
        return info.get("LastModified") or self._fs.modified(info["name"])


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not the name of a blob")
    return name


def _store() -> Store:
    known = settings()
    return _opened(known.files_url, json.dumps(known.files_options), known.state_directory)


@lru_cache(maxsize=8)
def _opened(url: str, options: str, state_directory: Path) -> Store:
    if not url:
        return Directory(state_directory / "files")
    if url.startswith("file:"):
        return Directory(Path(unquote(urlsplit(url).path)))
    return Remote(url, json.loads(options))


def _unlinked(directory: Path, before: float) -> Iterator[Path]:
    """The files last written before that time, each as it is deleted."""
    for path in directory.glob("*"):
        with contextlib.suppress(FileNotFoundError):  # another sweeper's
            if path.stat().st_mtime < before:
                path.unlink()
                yield path


def _make_directory(path: Path) -> None:
    """Make a directory, and its parents, that a power cut does not take back."""
    if path.is_dir():
        return
    _make_directory(path.parent)
    path.mkdir(exist_ok=True)
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
