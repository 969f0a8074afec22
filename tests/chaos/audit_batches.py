"""Recomputes what every batch must have come to, from its rows and from the bytes of its files on disk."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection, text

ENDED = {"completed", "expired", "cancelled", "failed"}
_JOBS = """SELECT j.batch_id, j.id, j.custom_id, j.status, r.response, r.error, p.request
           FROM jobs j LEFT JOIN job_results r ON r.job_id = j.id JOIN job_payloads p ON p.job_id = j.id
           WHERE j.batch_id IS NOT NULL"""
_MOVED = """SELECT coalesce(j.batch_id, t.subject_id) AS batch_id, t.subject_type, t.kind,
              sum(t.amount_micros) AS micros
            FROM transfers t LEFT JOIN jobs j ON j.id = t.subject_id
            WHERE t.subject_type = 'batch' OR j.batch_id IS NOT NULL GROUP BY 1, 2, 3"""

Row = Mapping[str, Any]
Line = dict[str, Any]


def audit_batches(connection: Connection, submitted: Mapping[str, Sequence[str]], files: Path) -> list[str]:
    """Every violation, as a line each.

    `submitted`: the custom_ids of each batch that a client was given, none for one that had to be refused; `files`: the
    directory of blobs, from which what killed writers left has been removed.
    """
    batches = _rows(connection, "SELECT * FROM batches ORDER BY created_at, id")
    found = _Found(connection, files)
    lines = list(_accepted([row["id"] for row in batches], submitted))
    for row in batches:
        lines += _batch(row, submitted.get(row["id"], ()), found)
        found.last[row["id"]] = found.of_family(row)
    return [*lines, *_told(connection, batches, found), *_left(files, batches, found)]


class _Found:
    """What belongs to the batches, by their ids."""

    def __init__(self, connection: Connection, files: Path) -> None:
        self.invoices: defaultdict[str, list[Row]] = defaultdict(list)
        for row in _rows(connection, "SELECT * FROM invoices WHERE batch_id IS NOT NULL"):
            self.invoices[row["batch_id"]].append(row)
        self.jobs: defaultdict[str, list[Row]] = defaultdict(list)
        for row in _rows(connection, _JOBS):
            self.jobs[row["batch_id"]].append(row)
        self.moved: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for row in _rows(connection, _MOVED):
            self.moved[row["batch_id"]][f"{row['subject_type']} {row['kind']}"] = int(row["micros"])
        self.files = {row["id"]: row for row in _rows(connection, "SELECT * FROM files")}
        #: Of each batch that was looked at, and the retries before it: the newest job of each line.
        self.last: dict[str, dict[str, Row]] = {}
        self._directory = files

    def of_family(self, row: Row) -> dict[str, Row]:
        """The newest job of each line that this batch, or one whose lines it repeats, has had; by custom_id."""
        before = self.last.get(row["retry_of"], {})
        return {**before, **{job["custom_id"]: job for job in self.jobs[row["id"]]}}

    def lines(self, file_id: str | None) -> list[Line]:
        """The lines of a file; ValueError for bytes that are not what its row says, or not JSONL."""
        if file_id is None:
            return []
        content = (self._directory / self.files[file_id]["blob"]).read_bytes()
        if len(content) != self.files[file_id]["bytes"] or not content.endswith(b"\n"):
            raise ValueError(f"{file_id} has {len(content)} bytes, its row says {self.files[file_id]['bytes']}")
        return [orjson.loads(line) for line in content.splitlines()]


def _rows(connection: Connection, query: str) -> list[Row]:
    return [dict(row) for row in connection.execute(text(query)).mappings()]


def _accepted(stored: Sequence[str], submitted: Mapping[str, Sequence[str]]) -> Iterator[str]:
    if lost := submitted.keys() - set(stored):
        yield f"{len(lost)} accepted batches are not there: {sorted(lost)[:5]}"
    if more := set(stored) - submitted.keys():
        yield f"{len(more)} batches nobody was told of: {sorted(more)[:5]}"


def _batch(row: Row, custom_ids: Sequence[str], found: _Found) -> Iterator[str]:
    id, status = row["id"], row["status"]
    if status not in ENDED or (status == "failed") != (not custom_ids):
        yield f"{id} is {status}: {row['errors']}"
        return
    try:
        output, errors = found.lines(row["output_file_id"]), found.lines(row["error_file_id"])
    except (OSError, ValueError, KeyError) as error:
        yield f"{id}: a file cannot be read: {type(error).__name__}: {error}"
        return
    yield from _exactly_once(row, custom_ids, output + errors)
    yield from _as_the_jobs(row, output, errors, found)
    yield from _money(row, output, found)


def _exactly_once(row: Row, custom_ids: Sequence[str], lines: Sequence[Line]) -> Iterator[str]:
    """A batch that was stopped before it had been read has no lines, as one that was refused; others have all.

    The files of a retry have those of the batch that was first.
    """
    if not row["retry_of"] and row["total"] != len(custom_ids) and (row["total"] or not row["stopped"]):
        yield f"{row['id']} is of {row['total']} lines, {len(custom_ids)} were given"
    there = Counter(line["custom_id"] for line in lines)
    due = Counter(custom_ids if row["total"] else ())
    if there != due:
        missing, more = list((due - there).items()), list((there - due).items())
        yield f"{row['id']}: {len(missing)} lines are in no file {missing[:5]}, {len(more)} too often {more[:5]}"
    if len({line["id"] for line in lines}) != len(lines):
        yield f"{row['id']}: two lines of its files have one id"


def _as_the_jobs(row: Row, output: Sequence[Line], errors: Sequence[Line], found: _Found) -> Iterator[str]:
    """Each line says what became of its own job, or why it never became one."""
    jobs, names = found.jobs[row["id"]], {job["custom_id"] for job in found.jobs[row["id"]]}
    if len(names) != len(jobs) or len(jobs) != row["released"]:
        yield f"{row['id']}: {len(jobs)} jobs, {len(names)} custom_ids, {row['released']} lines released"
    by_custom_id = found.of_family(row)
    never_made = {"status": row["stopped"]}
    for line in output:
        if line != _expected(line, by_custom_id.get(line["custom_id"], never_made), "succeeded"):
            yield f"{row['id']}: the output file has {orjson.dumps(line).decode()[:300]}"
    for line in errors:
        if line != _expected(line, by_custom_id.get(line["custom_id"], never_made)):
            yield f"{row['id']}: the error file has {orjson.dumps(line).decode()[:300]}"


def _expected(line: Line, job: Row, *statuses: str) -> Line | None:
    """The line that is due for a job; None: it is in the wrong file."""
    due = {"id": line["id"], "custom_id": line["custom_id"], "response": None, "error": None}
    if not statuses:
        due["request"] = line["request"] if _asks_for(line["request"], job) else "what the job was asked"
    if job["status"] not in (statuses or ("failed", "cancelled", "expired")):
        return None
    if job["status"] == "succeeded":
        response = {"status_code": 200, "request_id": job["id"], "body": orjson.loads(job["response"])}
    elif job["status"] == "failed":
        error = orjson.loads(job["error"])
        response = {"status_code": error["code"], "request_id": job["id"], "body": {"error": error}}
    else:
        message = (line["error"] or {}).get("message")
        return {**due, "error": {"code": f"batch_{job['status']}", "message": message}}
    return {**due, "response": response}


def _asks_for(request: Line, job: Row) -> bool:
    """Whether a line of the error file can be sent again as it is."""
    body = {name: value for name, value in request["body"].items() if name not in ("model", "metadata", "routing")}
    return request["method"] == "POST" and ("request" not in job or body == orjson.loads(job["request"]))


def _money(row: Row, output: Sequence[Line], found: _Found) -> Iterator[str]:
    """The customer's own sum over its lines is what was charged, and what the one statement says; the hold is gone."""
    id, moved, invoices = row["id"], found.moved[row["id"]], found.invoices[row["id"]]
    own = {job["id"] for job in found.jobs[id]}
    bodies = (line["response"]["body"] for line in output if line["response"]["request_id"] in own)
    told = sum(round(body["usage"]["credits_used"] * 1_000_000) for body in bodies)
    if not told == moved["job charge"] == row["charged_micros"]:
        yield f"{id}: its lines say {told}, charged {moved['job charge']}, recorded {row['charged_micros']}"
    resolved = moved["job charge"] + moved["job release"] + moved["batch release"]
    held, other = ("job hold", "batch hold") if row["hold"] == "slices" else ("batch hold", "job hold")
    if not moved[held] == resolved == row["bound_micros"] or moved[other]:
        yield f"{id}: bound {row['bound_micros']}, moved {dict(moved)}"
    due = 0 if row["test"] or row["in_progress_at"] is None else 1
    if len(invoices) != due:
        yield f"{id}: {len(invoices)} statements"
    for invoice in invoices:
        listed = sum(round(line["credits"] * 1_000_000) for line in orjson.loads(invoice["lines"]))
        if not invoice["total_micros"] == listed == told:
            yield f"{id}: the statement is of {invoice['total_micros']}, its lines of {listed}, the output's of {told}"


def _told(connection: Connection, batches: Sequence[Row], found: _Found) -> Iterator[str]:
    """Exactly one event a batch, of its own status, and two a statement; of a purchase one, and another when paid."""
    events = _rows(connection, "SELECT type, data FROM events WHERE type LIKE 'batch.%' OR type LIKE 'invoice.%'")
    told = Counter((event["type"], orjson.loads(event["data"])[_subject(event)]["id"]) for event in events)
    due = Counter((f"batch.{row['status']}", row["id"]) for row in batches)
    for invoices in found.invoices.values():
        due.update((type, row["id"]) for row in invoices for type in ("invoice.created", "invoice.paid"))
    for row in _rows(connection, "SELECT id, status FROM invoices WHERE kind = 'purchase'"):
        due.update((type, row["id"]) for type in ("invoice.created", *(["invoice.paid"] * (row["status"] == "paid"))))
    if told != due:
        yield f"events told too often {list((told - due).items())[:5]}, never {list((due - told).items())[:5]}"


def _subject(event: Row) -> str:
    return str(event["type"]).partition(".")[0]


def _left(files: Path, batches: Sequence[Row], found: _Found) -> Iterator[str]:
    """In storage is what the rows name, and no more."""
    for path in leftovers(files, {row["blob"] for row in found.files.values()}):
        yield f"{path.relative_to(files)} was left behind"
    named = [row[name] for row in batches for name in ("output_file_id", "error_file_id") if row[name]]
    made = [id for id, row in found.files.items() if row["purpose"] == "batch_output"]
    if sorted(named) != sorted(made):
        yield f"batches name {len(named)} files, {len(made)} were made"


def leftovers(files: Path, named: Set[str]) -> list[Path]:
    """Plans, remains of blobs that were being written, and files that no row names: not needed once all is quiet."""
    unnamed = (path for place in ("outputs", "files") for path in (files / place).glob("*"))
    return [
        *(path for place in ("plans", ".parts") for path in (files / place).glob("*")),
        *(path for path in unnamed if f"{path.parent.name}/{path.name}" not in named),
    ]
