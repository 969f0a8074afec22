"""Sends a file as one batch, and finds the same batch when it is sent again."""

import hashlib
import itertools
import shlex
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

from fusionai.plain import ApiError, Batch, PlainClient, job_file
from fusionai.plain.asked import BatchOptions, FileVerdict
from fusionai.plain.job_file import MAX_LINES, Problem
from fusionai.plain.objects import DryRun, Fault
from shared.submissions import sizes

T = TypeVar("T")
#: Called with the number of bytes that have been sent, and of how many.
Sent = Callable[[int, int], object]

#: The most bytes of a file that the server accepts.
MAX_BYTES = sizes.MOST_FILE_BYTES
#: The most faults of a file that are listed.
MOST_FAULTS = job_file.MAX_PROBLEMS
_NOTHING_SENT: FileVerdict = {
    "object": "batch.dry_run",
    "valid": False,
    "errors": None,
    "endpoint": None,
    "model": None,
    "request_counts": {"total": 0, "completed": 0, "failed": 0},
    "credits_worst_case": None,
    "credits_available": None,
}


class RefusedFileError(Exception):
    """The file cannot be sent as a whole: it is too large, or empty."""


@dataclass(frozen=True)
class Prepared:
    """A file's lines as batch lines, each where it was in the file, on disk until they have been sent.

    `problems`: lines that cannot be sent; the stream has an empty line in the place of each.
    """

    name: str
    stream: BinaryIO
    lines: int
    content_hash: str
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class SubmittedBatch:
    """A batch, and whether it had been made before."""

    batch: Batch
    found: bool


class _CountedStream:
    """A stream that reports how much of it has been read."""

    def __init__(self, stream: BinaryIO, sent: Sent) -> None:
        self._stream, self._sent = stream, sent
        self._size = stream.seek(0, 2)
        stream.seek(0)
        #: The stream's own: the HTTP client asks for the size of a file and rewinds it.
        self.seek, self.tell, self.seekable, self.fileno = stream.seek, stream.tell, stream.seekable, stream.fileno

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self._sent(self._stream.tell(), self._size)
        return data


@contextmanager
def prepared(path: Path, name: str | None = None) -> Iterator[Prepared]:
    """Read a file whole; RefusedFileError when it cannot be a batch. What is sent is what was checked.

    `name`: the file's, where the path is another.
    """
    shown = name or str(path)
    _check_size(shown, path.stat().st_size)
    with path.open("rb") as source, tempfile.TemporaryFile() as stream:
        digest, lines, problems = hashlib.sha256(), 0, []
        for line in job_file.parse(source):
            written = b"\n"
            if isinstance(line, Problem):
                problems.append(line)
            elif line.batch_line is not None:
                lines += 1
                written = line.batch_line + b"\n"
            if lines > MAX_LINES:
                raise RefusedFileError(_too_large(shown, f"{MAX_LINES:,} lines", f"-l {MAX_LINES}"))
            stream.write(written)
            digest.update(written)
        if not lines and not problems:
            raise RefusedFileError(f"{shown} has no lines")
        _check_size(shown, stream.tell())
        stream.flush()
        yield Prepared(Path(shown).name, stream, lines, digest.hexdigest(), tuple(problems))


def submit_or_find(
    client: PlainClient, work: Prepared, salt: str, options: BatchOptions, sent: Sent = lambda done, total: None
) -> SubmittedBatch:
    """The batch of this content, made or found, as it is now; `sent` hears of the bytes that have gone.

    The same content finds the batch that it made before, whatever has become of it, but for one that failed as a
    whole: that one charged nothing, so another is created. Another salt creates another batch.
    """

    def batch_of(file_id: str) -> SubmittedBatch:
        body = {"input_file_id": file_id, "completion_window": "24h", **options}
        for number in itertools.count():
            made, replayed = client.create_or_replay_batch(body, _key(client, work, f"batch {number}", salt))
            batch = client.batch(made["id"])
            if not (replayed and batch["status"] == "failed"):
                break
        return SubmittedBatch(batch, replayed)

    return _with_upload(client, work, lambda number: _key(client, work, f"file {number}", salt), batch_of, sent)


def dry_run(client: PlainClient, work: Prepared, options: BatchOptions) -> FileVerdict:
    """What its batch would cost at most, and all that is wrong, here and at the server; nothing is charged.

    The upload's key is its own: a dry run never meets a submission of the same content, whatever that was named.
    """

    def key(number: int) -> str:
        return _key(client, work, f"dry file {number} {work.name}", "")

    def ask(file_id: str) -> DryRun:
        return client.dry_run(file_id, **options)

    if not work.lines:
        return _with_problems(_NOTHING_SENT, work)
    quoted = _with_upload(client, work, key, ask, lambda done, total: None)
    return _with_problems({**quoted}, work)


def _with_problems(verdict: FileVerdict, work: Prepared) -> FileVerdict:
    """The verdict on what was sent, with what could not be; by line."""
    if not work.problems:
        return verdict
    own: list[Fault] = [
        {"code": _code(problem), "line": problem.number, "message": problem.reason, "param": None}
        for problem in work.problems
    ]
    found = verdict["errors"]["data"] if verdict["errors"] else []
    merged = sorted([*own, *found], key=lambda fault: fault["line"] or 0)[:MOST_FAULTS]
    total = work.lines + sum(fault["line"] is not None for fault in own)
    return {
        **verdict,
        "valid": False,
        "errors": {"object": "list", "data": merged},
        "request_counts": {"total": total, "completed": 0, "failed": 0},
    }


def _code(problem: Problem) -> str:
    return "invalid_file" if problem.number is None else "invalid_line"


def _with_upload(
    client: PlainClient, work: Prepared, key: Callable[[int], str], use: Callable[[str], T], sent: Sent
) -> T:
    """Upload the file, or find it uploaded, and use its id; one that was deleted since is uploaded again."""
    for number in itertools.count():
        stream = cast(BinaryIO, _CountedStream(work.stream, sent))
        file = client.upload(stream, work.name, idempotency_key=key(number))
        try:
            return use(file["id"])
        except ApiError as error:
            if error.status not in (400, 404, 422) or _is_there(client, file["id"]):
                raise
    raise AssertionError("unreachable")


def _is_there(client: PlainClient, file_id: str) -> bool:
    try:
        client.file(file_id)
    except ApiError as error:
        if error.status == 404:
            return False
        raise
    return True


def _key(client: PlainClient, work: Prepared, purpose: str, salt: str) -> str:
    return job_file.idempotency_key(work.content_hash, purpose, scope=client.mode, salt=salt)


def _check_size(path: str, size: int) -> None:
    if size > MAX_BYTES:
        raise RefusedFileError(_too_large(path, f"{MAX_BYTES // 1024**2} MB", f"-C {MAX_BYTES * 9 // 10}"))


def _too_large(path: str, most: str, how: str) -> str:
    split = shlex.join(["split", *how.split(), "--additional-suffix=.jsonl", path])
    return f"{path} has more than {most}, the most a batch takes; split it: {split}"
