"""Sends a file as one batch, and finds the same batch when it is sent again."""

import hashlib
import itertools
import shlex
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

from producer import jobfile
from producer.client import ApiError, Batch, DryRun, FusionAI
from producer.jobfile import MAX_LINES, Problem
from producer.wire import BatchOptions

T = TypeVar("T")

#: Bytes of a file that the server takes.
MAX_BYTES = 200 * 1024 * 1024


class RefusedFileError(Exception):
    """The file cannot be sent: lines of it are wrong, or it is too large as a whole."""

    def __init__(self, message: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.problems = problems


@dataclass(frozen=True)
class Prepared:
    """A file's lines as batch lines, each where it was in the file, on disk until they have been sent."""

    name: str
    stream: BinaryIO
    lines: int
    content_hash: str


@contextmanager
def prepared(path: Path) -> Iterator[Prepared]:
    """Check a file whole; RefusedFileError with what is wrong. What is sent is what was checked."""
    _check_size(path, path.stat().st_size)
    with path.open("rb") as source, tempfile.TemporaryFile() as stream:
        digest, lines, problems = hashlib.sha256(), 0, []
        for line in jobfile.parse(source):
            if isinstance(line, Problem):
                problems.append(line)
                continue
            lines += line.batch_line is not None
            if lines > MAX_LINES:
                raise RefusedFileError(_too_large(path, f"{MAX_LINES:,} lines", f"-l {MAX_LINES}"))
            written = (line.batch_line or b"") + b"\n"
            stream.write(written)
            digest.update(written)
        _check_lines(path, lines, problems)
        _check_size(path, stream.tell())
        stream.flush()
        yield Prepared(path.name, stream, lines, digest.hexdigest())


def take_up(client: FusionAI, work: Prepared, salt: str, options: BatchOptions) -> Batch:
    """The batch of this content, made or found, as it is now.

    The same content finds the batch that it made before, whatever has become of it, but for one that failed as a
    whole: that one bought nothing, so the next is made. A salt begins anew.
    """

    def batch_of(file_id: str) -> Batch:
        body = {"input_file_id": file_id, "completion_window": "24h", **options}
        for number in itertools.count():
            made, replayed = client.create_or_replay_batch(body, _key(client, work, f"batch {number}", salt))
            batch = client.batch(made["id"])
            if not (replayed and batch["status"] == "failed"):
                break
        return batch

    return _with_upload(client, work, salt, batch_of)


def dry_run(client: FusionAI, work: Prepared, salt: str, options: BatchOptions) -> DryRun:
    """What its batch would cost at most, and what the server finds wrong; the file is uploaded, nothing is bought."""
    return _with_upload(client, work, salt, lambda file_id: client.dry_run(file_id, **options))


def _with_upload(client: FusionAI, work: Prepared, salt: str, use: Callable[[str], T]) -> T:
    """Upload the file, or find it uploaded, and use its id; one that was deleted since is uploaded again."""
    for number in itertools.count():
        file = client.upload(work.stream, work.name, idempotency_key=_key(client, work, f"file {number}", salt))
        try:
            return use(file["id"])
        except ApiError as error:
            if error.status not in (400, 404, 422) or _is_there(client, file["id"]):
                raise
    raise AssertionError("unreachable")


def _is_there(client: FusionAI, file_id: str) -> bool:
    try:
        client.file(file_id)
    except ApiError as error:
        if error.status == 404:
            return False
        raise
    return True


def _key(client: FusionAI, work: Prepared, purpose: str, salt: str) -> str:
    return jobfile.idempotency_key(work.content_hash, purpose, scope=client.mode, salt=salt)


def _check_lines(path: Path, lines: int, problems: Sequence[Problem]) -> None:
    if problems:
        more = " or more" if len(problems) == jobfile.MAX_PROBLEMS else ""
        are = "line is" if len(problems) == 1 else "lines are"
        raise RefusedFileError(f"{len(problems)}{more} {are} wrong; nothing was sent", problems)
    if not lines:
        raise RefusedFileError(f"{path} has no lines")


def _check_size(path: Path, size: int) -> None:
    if size > MAX_BYTES:
        raise RefusedFileError(_too_large(path, f"{MAX_BYTES // 1024**2} MB", f"-C {MAX_BYTES * 9 // 10}"))


def _too_large(path: Path, most: str, how: str) -> str:
    split = shlex.join(["split", *how.split(), "--additional-suffix=.jsonl", str(path)])
    return f"{path} has more than {most}, the most a batch takes; split it: {split}"
