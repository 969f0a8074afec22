"""Writes a batch's answers and errors to their files, unless a file there already has more; and reads the errors."""

import json
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from fusionai.plain import ApiError, Batch, PlainClient
from fusionai.plain.atomic_file import atomic_write
from producer.cli.follow import Targets

#: How a line of an output or error file begins: with the id of its request.
_ID = re.compile(rb'\{\s*"id":\s*"(batch_req_[^"]+)"')
#: The most batches that are read to find out whether one is a retry of another.
_MOST_RETRIES = 20
_LONGEST_MESSAGE = 200

Received = Callable[[int], object]


@dataclass
class Written:
    """What has been written where. `kept`: the file has this many more answers already; nothing was written."""

    output: Path
    errors: Path | None = None
    kept: int = 0
    #: Messages of the lines that failed, and how many have each.
    messages: Counter[str] = field(default_factory=Counter)


class _KeptError(Exception):
    """The existing file has more answers; `more` says how many."""

    def __init__(self, more: int) -> None:
        self.more = more


def write(client: PlainClient, batch: Batch, targets: Targets, received: Received = lambda received: None) -> Written:
    """The server's bytes; an output file is there even when empty, an error file only when there are errors.

    The output of a retry has the answers of the batches before it too: it is not replaced by one of theirs.
    `received` is called with the bytes of the present file that are there.
    """
    written = Written(targets.output)
    try:
        with atomic_write(targets.output) as stream:
            if batch["output_file_id"] is not None:
                client.copy(batch["output_file_id"], stream, received=received)
            if more := _more(client, batch, targets.output, stream):
                raise _KeptError(more)
    except _KeptError as found:
        written.kept = found.more
    _write_errors(client, batch, targets.errors, written, received)
    return written


def _write_errors(client: PlainClient, batch: Batch, target: Path, written: Written, received: Received) -> None:
    if batch["error_file_id"] is None:
        if not written.kept:
            target.unlink(missing_ok=True)  # an earlier run's
    else:
        with tempfile.TemporaryFile() if written.kept else atomic_write(target) as stream:
            client.copy(batch["error_file_id"], stream, received=received)
            written.messages = _messages(_rewound(stream))
    if target.is_file() if written.kept else batch["error_file_id"] is not None:
        written.errors = target


def _more(client: PlainClient, batch: Batch, there: Path, new: BinaryIO) -> int:
    """How many answers more the file has that is there, when it has all of the new one's; else 0."""
    if not there.is_file():
        return 0
    coming = {line_id for line_id, _ in _ids(_rewound(new))}
    with there.open("rb") as old:
        known = dict(_ids(old))
    beyond = [id for id in known if id not in coming]
    if not beyond or len(known) - len(beyond) < len(coming):
        return 0
    # One answer in common is proof enough; without any, it must be of a retry.
    return len(beyond) if coming or _repeats(client, batch, known[beyond[0]]) else 0


def _ids(lines: Iterable[bytes]) -> Iterable[tuple[bytes, bytes]]:
    """The id of each line, and the line's beginning."""
    return ((found[1], line[:1000]) for line in lines if (found := _ID.match(line)))


def _repeats(client: PlainClient, batch: Batch, line: bytes) -> bool:
    """Whether a line is of a batch that is a retry of this one, or of a retry of it."""
    job = re.search(rb'"request_id":\s*"(job_[^"]+)"', line)
    try:
        id = client.job(job[1].decode())["batch_id"] if job else None
        for _ in range(_MOST_RETRIES):
            id = client.batch(id).get("retry_of") if id else None
            if id == batch["id"]:
                return True
    except ApiError:
        pass  # it is there no more, or not ours
    return False


def _messages(lines: Iterable[bytes]) -> Counter[str]:
    found: Counter[str] = Counter()
    for line in lines:
        value = json.loads(line)
        error = value["error"] or (value["response"] or {}).get("body", {}).get("error") or {}
        if message := " ".join(str(error.get("message") or "").split()):
            cut = f"{message[: _LONGEST_MESSAGE - 1]}…"
            found[message if len(message) <= _LONGEST_MESSAGE else cut] += 1
    return found


def _rewound(stream: BinaryIO) -> BinaryIO:
    stream.seek(0)
    return stream
