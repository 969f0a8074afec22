"""Checks of files: the rows of those that batches made, and their bytes in storage."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import Connection, select, text

from shared.db import Database
from shared.db import models as m
from shared.db.models.batches import MADE_BY_BATCHES
from shared.files import blobs
from shared.verify.batches import ENDED_AT, FINISHED_STATUSES
from shared.verify.findings import Check, Finding, first_of
from shared.verify.query import Query

#: Rows in one transaction.
PAGE = 1000
#: Bytes of a file in memory at a time.
READ_BYTES = 1024 * 1024
#: Where files are.
PLACES = ("files/", "outputs/")
#: Retention deletes a blob without a row after a day; after two something is wrong with it, or with the sweeper.
LONG_UNNAMED_SECONDS = 2 * 86_400
_UNLIKE = "file: stored bytes missing, or others than its row says"
_UNNAMED = "blob: no file has it, and it was not deleted"


@dataclass(frozen=True, slots=True)
class UnnamedBlob:
    """Bytes in storage that no file's row names."""

    name: str
    bytes: int
    age_seconds: int

    def as_row(self) -> dict[str, Any]:
        """As a finding, and as `fusionai verify --json` shows it."""
        return {"blob": self.name, "bytes": self.bytes, "age_seconds": self.age_seconds}


def _made(name: str, lines: str) -> Query:
    """A finished batch has the file, its own account's, when it has such lines."""
    return Query(
        f"batch: {name} file missing, or with another account or mode",
        f"""SELECT b.id, b.{name}_file_id, f.account_id FROM batches b LEFT JOIN files f ON f.id = b.{name}_file_id
            WHERE (b.{name}_file_id IS NOT NULL AND ({ENDED_AT}) > :files_gone
                AND (f.id IS NULL OR f.account_id <> b.account_id OR f.test <> b.test
                  OR f.purpose <> '{MADE_BY_BATCHES}'))
              OR (b.{name}_file_id IS NULL AND b.errors IS NULL AND {lines} > 0
                AND b.status IN {FINISHED_STATUSES})""",
    )


QUERIES: tuple[Query, ...] = (
    _made("output", "b.succeeded"),
    _made("error", "b.failed + b.cancelled + b.expired"),
    Query(
        "file: unknown status",
        "SELECT id, account_id, status FROM files WHERE status NOT IN ('uploading', 'processed', 'deleted')",
    ),
)

CHECKS: tuple[Check, ...] = QUERIES


def stored(database: Database) -> Iterator[Finding]:
    """What is found of the bytes: those of files and plans, and blobs that have no row, though retention takes them."""
    yield from first_of(_UNLIKE, _unlike_their_bytes(database))
    nobodys = (one for one in unnamed_blobs(database) if one.age_seconds > LONG_UNNAMED_SECONDS)
    yield from first_of(_UNNAMED, (Finding(_UNNAMED, one.as_row()) for one in nobodys))


def needed(database: Database) -> Iterator[tuple[str, int | None]]:
    """The blobs without which `stored` would find something, and of how many bytes each is, where that is known."""
    for row in _rows(database):
        yield str(row["blob"]), row["bytes"]


def unnamed_blobs(database: Database) -> Iterator[UnnamedBlob]:
    """The blobs of files that no row names: remains of processes that died, or what is being written just now."""
    for place in PLACES:
        names = blobs.old(place, -1)
        while some := list(islice(names, PAGE)):
            for name in database.read_sync(_without_row, some):
                size, age = blobs.size(name), blobs.age(name)
                if size is not None and age is not None:  # not deleted meanwhile
                    yield UnnamedBlob(name, size, max(round(age), 0))


def _without_row(connection: Connection, names: Sequence[str]) -> Sequence[str]:
    named = set(connection.execute(select(m.files.c.blob).where(m.files.c.blob.in_(names))).scalars())
    return [name for name in names if name not in named]


def _unlike_their_bytes(database: Database) -> Iterator[Finding]:
    """Files whose bytes are missing or others than their rows say; plans of batches that need them."""
    for row in _rows(database):
        read = _files if row["what"] == "file" else _plans
        if (wrong := _unlike(row)) and row in database.read_sync(read, str(row["id"])[:-1]):  # not removed now
            shown = {name: row[name] for name in ("id", "what", "blob", "bytes")}
            yield Finding(_UNLIKE, shown, wrong)


def _rows(database: Database) -> Iterator[Mapping[str, Any]]:
    """Files, and plans of batches that need them."""
    for read in (_files, _plans):
        after, rows = "", database.read_sync(read, "")
        while rows:
            yield from rows
            after = rows[-1]["id"]
            rows = database.read_sync(read, after)


def _unlike(row: Mapping[str, Any]) -> str | None:
    """What is wrong with the bytes of a file, if anything."""
    size = blobs.size(row["blob"])
    if size is None:
        return "stored=None"
    if row["bytes"] is not None and size != row["bytes"]:
        return f"stored={size}"
    if row["sha256"] is None:
        return None
    try:
        found = _sha256(row["blob"])
    except FileNotFoundError:
        return "stored=None"
    return None if found == row["sha256"] else f"stored sha256={found}, expected {row['sha256']}"


def _sha256(blob: str) -> str:
    found = hashlib.sha256()
    with blobs.reader(blob) as file:
        while piece := file.read(READ_BYTES):
            found.update(piece)
    return found.hexdigest()


def _files(connection: Connection, after: str) -> Sequence[Mapping[str, Any]]:
    columns = (m.files.c.id, m.files.c.blob, m.files.c.bytes, m.files.c.sha256)
    statement = select(*columns, text("'file' AS what")).where(m.files.c.status == "processed", m.files.c.id > after)
    return [dict(row) for row in connection.execute(statement.order_by(m.files.c.id).limit(PAGE)).mappings()]


def _plans(connection: Connection, after: str) -> Sequence[Mapping[str, Any]]:
    columns = (
        m.batches.c.id,
        m.batches.c.plan.label("blob"),
        text("NULL AS bytes"),
        text("NULL AS sha256"),
        text("'plan of a batch' AS what"),
    )
    needed = (m.batches.c.status == "in_progress", m.batches.c.released < m.batches.c.total)
    statement = select(*columns).where(*needed, m.batches.c.stopped.is_(None), m.batches.c.id > after)
    return [dict(row) for row in connection.execute(statement.order_by(m.batches.c.id).limit(PAGE)).mappings()]
