"""What a finished batch is handed out as: an output and an error file in OpenAI's shape, rendered from the rows.

One line a request, in the order of the input. A job that succeeded is in the output file; one that failed is in the
error file with its status and error as the response; one that was cancelled or expired has no response.
"""

import contextlib
import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import orjson
from sqlalchemy import Connection, func, select

from shared import batches, blobs, clock
from shared.batch_lines import unplanned
from shared.batches import Made, Row
from shared.db import Database
from shared.models import job_results, jobs

log = logging.getLogger(__name__)

#: Jobs, and bytes of their answers, in one read transaction.
PAGE = 1000
PAGE_BYTES = 8 * 1024 * 1024
_REASONS = {
    "cancelled": "this request was cancelled before it was done",
    "expired": "this request was not done when the completion window ended",
}


@dataclass(slots=True)
class _Part:
    """One of the two files while it is written."""

    file: BinaryIO
    bytes: int = 0

    def write(self, line: Mapping[str, Any]) -> None:
        self.bytes += self.file.write(orjson.dumps(line) + b"\n")


@dataclass(slots=True)
class Rendering:
    """Writes a batch's files a page at a time; `output` and `errors` are there once `pages` has ended."""

    database: Database
    batch: Row
    output: Made | None = None
    errors: Made | None = None
    #: What was used and charged, by the model that served: the lines of the statement.
    statement: dict[str, dict[str, Any]] = field(default_factory=dict)

    def pages(self) -> Iterator[None]:
        """Write both files; a pause after each page. What is closed before its end leaves no file behind."""
        id = self.batch["id"]
        names = f"outputs/{id}.output.jsonl", f"outputs/{id}.errors.jsonl"
        with contextlib.ExitStack() as stack:
            output, errors = (_Part(stack.enter_context(blobs.writer(name))) for name in names)
            for page in self._jobs():
                for row in page:
                    (output if row["status"] == "succeeded" else errors).write(_line(row))
                    self._state(row)
                yield
            for line in self._never_made():
                errors.write(line)
        self.output = _made(id, "output", names[0], output)
        self.errors = _made(id, "errors", names[1], errors)

    def _state(self, row: Row) -> None:
        if row["status"] == "succeeded":
            empty = {"model": row["model"], **dict.fromkeys(_SUMS, 0)}
            line = self.statement.setdefault(row["model"], empty)
            line["jobs"] += 1
            for name in _SUMS[1:]:
                line[name] += row[name]

    def _jobs(self) -> Iterator[Sequence[Row]]:
        after = ""
        while page := self.database.read_sync(_page, self.batch["id"], after):
            yield page
            after = page[-1]["id"]

    def _never_made(self) -> Iterator[dict[str, Any]]:
        """Lines of the plan that the batch was stopped before."""
        if self.batch["released"] == self.batch["total"]:
            return
        with self._plan() as plan:
            for number, line in enumerate(plan):
                hex = f"{self.batch['id'][6:22]}{number:016x}"
                yield _shown(hex, unplanned(line).custom_id, error=_error(self.batch["stopped"]))

    def _plan(self) -> BinaryIO:
        try:
            return blobs.reader(self.batch["plan"], self.batch["cursor"])
        except FileNotFoundError:
            log.error("batch %s: its plan is lost; lines that never became jobs are left out", self.batch["id"])
            return io.BytesIO()


_SUMS = ("jobs", "prompt_tokens", "completion_tokens", "images", "charged_micros")
_RESULT = ("response", "error", *_SUMS[1:])


def _page(connection: Connection, batch_id: str, after: str) -> Sequence[Row]:
    """The next jobs, in order: as many as a page may have, of rows and of bytes, but at least one."""
    following = (jobs.c.batch_id == batch_id, jobs.c.id > after)
    sizes = select(jobs.c.id, func.coalesce(func.length(job_results.c.response), 0))
    sizes = sizes.join_from(jobs, job_results, job_results.c.job_id == jobs.c.id).where(*following)
    last, total = "", 0
    for id, size in connection.execute(sizes.order_by(jobs.c.id).limit(PAGE)):
        total += size
        if last and total > PAGE_BYTES:
            break
        last = id
    statement = (
        select(jobs.c.id, jobs.c.custom_id, jobs.c.status, *(job_results.c[name] for name in _RESULT))
        .add_columns(func.coalesce(job_results.c.model, jobs.c.model).label("model"))
        .join_from(jobs, job_results, job_results.c.job_id == jobs.c.id)
        .where(*following, jobs.c.id <= last)
        .order_by(jobs.c.id)
    )
    return connection.execute(statement).mappings().all()  # type: ignore[return-value]


def _line(row: Row) -> dict[str, Any]:
    hex = row["id"].removeprefix("job_")
    if row["status"] == "succeeded":
        return _shown(hex, row["custom_id"], status_code=200, job_id=row["id"], body=orjson.Fragment(row["response"]))
    if row["status"] == "failed":
        error = orjson.loads(row["error"])
        return _shown(hex, row["custom_id"], status_code=error["code"], job_id=row["id"], body={"error": error})
    return _shown(hex, row["custom_id"], error=_error(row["status"]))


def _shown(
    hex: str,
    custom_id: str | None,
    *,
    status_code: int = 0,
    job_id: str = "",
    body: Any = None,
    error: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    response = None if error else {"status_code": status_code, "request_id": job_id, "body": body}
    return {"id": f"batch_req_{hex}", "custom_id": custom_id, "response": response, "error": error}


def _error(reason: str) -> dict[str, str]:
    return {"code": f"batch_{reason}", "message": _REASONS[reason]}


def _made(batch_id: str, kind: str, blob: str, part: _Part) -> Made | None:
    """A file that has no lines is none."""
    if not part.bytes:
        blobs.delete(blob)
        return None
    return Made(clock.new_id("file"), blob, f"{batch_id}_{kind}.jsonl", part.bytes)


def wanted(row: Row) -> bool:
    """Whether every line has ended, so that the files can be made."""
    return batches.ended_lines(row) == row["total"] and (row["total"] > 0 or row["stopped"] is not None)
