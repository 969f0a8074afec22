"""Renders the files of a finished batch from the rows: an output and an error file in OpenAI's shape.

One line a request, in the order of the input. A job that succeeded is in the output file; one that failed is in the
error file with its status and error as the response; one that was cancelled or expired has no response. A line of the
error file also has the `request`, so that it can be sent again. The files of a retry have all lines of the batch that
was first, each with what came of it last (`workers.batches.merging`).
"""

import contextlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from shared import clock
from shared.batches import json_lines, line_requests, result_lines
from shared.batches.line_files import FaultError
from shared.batches.never_made import NeverMade
from shared.batches.plan_lines import unplanned
from shared.batches.states import Row
from shared.batches.transitions import Made
from shared.db import Database
from shared.errors import StorageAway
from shared.files import blobs
from shared.objects.batches import BatchResult, Fault
from workers.batches.merging import Merger

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Part:
    """One of the two files while it is written."""

    file: blobs.BlobWriter
    bytes: int = 0

    def write(self, line: Mapping[str, Any]) -> None:
        self.bytes += self.file.write(json_lines.line(line))


@dataclass(slots=True)
class Rendering:
    """Writes a batch's files a page at a time; `output` and `errors` are there once `pages` has ended."""

    database: Database
    batch: Row
    output: Made | None = None
    errors: Made | None = None
    #: What was used and charged, by the model that served: the lines of the statement.
    statement: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: What the files lack, as the batch's `errors` say it.
    faults: list[Fault] = field(default_factory=list)
    #: Of this rendering alone: another process may write the same batch's files beside it.
    names: tuple[str, str] = field(init=False)

    def __post_init__(self) -> None:
        stem = f"outputs/{self.batch['id']}.{clock.new_id('made')}"
        self.names = f"{stem}.output.jsonl", f"{stem}.errors.jsonl"

    def pages(self) -> Iterator[None]:
        """Write both files; a pause after each line. What is closed before its end leaves no file behind."""
        id, names = self.batch["id"], self.names
        merger = Merger(self.database, self.batch)
        with contextlib.ExitStack() as stack:
            output, errors = (_Part(stack.enter_context(blobs.writer(name))) for name in names)
            for found in merger.lines():
                if isinstance(found, NeverMade):
                    errors.write(_never_made(found))
                elif found is not None:
                    (output if found["status"] == "succeeded" else errors).write(result_lines.with_request(found))
                    self._state(found)
                yield
        self.faults = [_lost(id, number) for id, number in merger.lost.items()]
        self.output = _made(id, "output", names[0], output)
        self.errors = _made(id, "errors", names[1], errors)

    def discard(self) -> None:
        """Another's files are the batch's, or these are not whole: leave none. What fails is left to retention."""
        for name in self.names:
            try:
                blobs.delete(name)
            except StorageAway:
                log.warning("could not delete %s; retention will", name)

    def discard_others(self) -> None:
        """These files are the batch's: whatever else has been made for it, by a process that died, is nobody's."""
        try:
            for name in blobs.starting(f"outputs/{self.batch['id']}."):
                if name not in self.names:
                    blobs.delete(name)
        except StorageAway:
            log.warning("could not delete other files of batch %s; retention will", self.batch["id"])

    def _state(self, row: Row) -> None:
        if row["status"] == "succeeded" and row["batch_id"] == self.batch["id"]:
            empty = {"model": row["served"], **dict.fromkeys(_SUMS, 0)}
            line = self.statement.setdefault(row["served"], empty)
            line["jobs"] += 1
            for name in _SUMS[1:]:
                line[name] += row[name]


_SUMS = ("jobs", "prompt_tokens", "completion_tokens", "images", "charged_micros")


def _never_made(line: NeverMade) -> BatchResult:
    found = unplanned(line.planned)
    hex = f"{line.batch_id[6:22]}{line.number:016x}"
    shown = result_lines.shown(hex, found.custom_id, error=result_lines.unanswered(line.reason))
    return {**shown, "request": line_requests.of_plan(found)}


def _lost(batch_id: str, number: int) -> Fault:
    message = f"{number:,} lines of {batch_id} are no longer stored and are missing from the output and error files"
    return FaultError("lines_lost", message).as_json()


def _made(batch_id: str, kind: str, blob: str, part: _Part) -> Made | None:
    """A file that has no lines is none."""
    if not part.bytes:
        blobs.delete(blob)
        return None
    return Made(clock.new_id("file"), blob, f"{batch_id}_{kind}.jsonl", part.bytes, part.file.sha256)
