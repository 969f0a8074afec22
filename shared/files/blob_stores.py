"""The stores of blobs: a directory, or a bucket by fsspec. Used by `shared.files.blobs` alone."""

import contextlib
import itertools
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

from shared import clock, logs

log = logging.getLogger(__name__)

#: Blobs, or remains of unfinished ones, deleted in one go, so that it does not last.
MOST_FORGOTTEN = 1000
#: Bytes of one part of an upload to a bucket; a writer holds about two in memory.
PART_BYTES = 8 * 1024 * 1024
#: Bytes fetched ahead of a reader of a bucket.
AHEAD_BYTES = 1024 * 1024
#: A bucket that is away, or hangs: botocore's usual five attempts, ever further apart, of a minute each, would keep a
#: caller for minutes.
S3_CONFIG = {"retries": {"mode": "standard", "total_max_attempts": 2}, "connect_timeout": 5, "read_timeout": 20}


class BlobStore(Protocol):
    """A place for blobs. Names have been checked; times are seconds since the epoch."""

    def writer(self, name: str) -> AbstractContextManager[BinaryIO]: ...
    def reader(self, name: str, offset: int) -> BinaryIO: ...
    def size(self, name: str) -> int | None: ...
    def written(self, name: str) -> float | None: ...
    def delete(self, name: str) -> None: ...
    def starting(self, prefix: str, start: str) -> list[str]: ...
    def old(self, prefix: str, before: float) -> Iterator[str]: ...
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
            sync_directory(path.parent)
        finally:
            with contextlib.suppress(OSError):  # retention's, then
                part.unlink(missing_ok=True)

    def reader(self, name: str, offset: int) -> BinaryIO:
        file = (self._root / name).open("rb", buffering=0)
        file.seek(offset)
        return cast(BinaryIO, file)

    def size(self, name: str) -> int | None:
        try:
            return (self._root / name).stat().st_size
        except FileNotFoundError:
            return None

    def written(self, name: str) -> float | None:
        try:
            return (self._root / name).stat().st_mtime
        except FileNotFoundError:
            return None

    def delete(self, name: str) -> None:
        path = self._root / name
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
            sync_directory(path.parent)

    def starting(self, prefix: str, start: str) -> list[str]:
        with contextlib.suppress(FileNotFoundError), os.scandir(self._root / prefix) as found:
            return [one.name for one in found if one.name.startswith(start)]
        return []

    def old(self, prefix: str, before: float) -> Iterator[str]:
        return (path.name for path in _older(self._root / prefix, before))

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

        given = {"use_listings_cache": False, "skip_instance_cache": True, **options}
        if url.startswith(("s3:", "s3a:")):
            given["config_kwargs"] = {**S3_CONFIG, **options.get("config_kwargs", {})}
        self._fs, root = url_to_fs(url, **given)
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
        file = self._fs.open(f"{self._root}/{name}", "rb", block_size=AHEAD_BYTES)
        file.seek(min(offset, file.size))
        return cast(BinaryIO, file)

    def size(self, name: str) -> int | None:
        try:
            return int(self._fs.info(f"{self._root}/{name}")["size"])
        except FileNotFoundError:
            return None

    def written(self, name: str) -> float | None:
        try:
            return float(self._written(self._fs.info(f"{self._root}/{name}")).timestamp())
        except FileNotFoundError:
            return None

    def delete(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(f"{self._root}/{name}")

    def starting(self, prefix: str, start: str) -> list[str]:
        names = (path.rpartition("/")[2] for path in self._older(prefix, float("inf")))
        return [name for name in names if name.startswith(start)]

    def old(self, prefix: str, before: float) -> Iterator[str]:
        return (path.rpartition("/")[2] for path in self._older(prefix, before))

    def forget_old(self, prefix: str, before: float) -> int:
        old = list(itertools.islice(self._older(prefix, before), MOST_FORGOTTEN))
        with contextlib.suppress(FileNotFoundError):  # another sweeper's
            if old:
                self._fs.rm(old)
        return len(old)

    def _older(self, prefix: str, before: float) -> Iterator[str]:
        try:
            found = self._fs.ls(f"{self._root}/{prefix.rstrip('/')}", detail=True)
        except FileNotFoundError:
            return iter(())
        files = (one for one in found if one["type"] == "file")
        return (one["name"] for one in files if self._written(one).timestamp() < before)

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


def _unlinked(directory: Path, before: float) -> Iterator[Path]:
    """The files last written before that time, each as it is deleted; one that cannot be stops no other."""
    failed: OSError | None = None
    for path in _older(directory, before):
        try:
            path.unlink()
            yield path
        except FileNotFoundError:
            pass  # another sweeper's
        except OSError as error:
            failed = error
    if failed is not None:
        log.warning("storage: cannot delete all of %s: %s", directory.name, logs.kind(failed))


def _older(directory: Path, before: float) -> Iterator[Path]:
    """The files last written before that time, as the directory has them."""
    with contextlib.suppress(FileNotFoundError), os.scandir(directory) as found:
        for one in found:
            with contextlib.suppress(FileNotFoundError):  # another sweeper's
                if one.stat().st_mtime < before and one.is_file():
                    yield Path(one.path)


def _make_directory(path: Path) -> None:
    """Make a directory, and its parents, that a power cut does not take back."""
    if path.is_dir():
        return
    _make_directory(path.parent)
    path.mkdir(exist_ok=True)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Have the names in a directory outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
