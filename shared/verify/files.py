"""Checks of files: the rows of those that batches made, and their bytes in storage."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select, text

from shared.db import Database
from shared.db import models as m
from shared.db.models.batches import MADE_BY_BATCHES
from shared.files import blobs
from shared.verify.batches import ENDED_AT, FINISHED_STATUSES
from shared.verify.findings import Check, Finding
from shared.verify.query import Query

#: Rows in one transaction.
PAGE = 1000


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


def unlike_their_bytes(database: Database) -> Iterator[Finding]:
    """Files whose bytes are missing or more or fewer than their rows say; plans of batches that need them."""
    for read in (_files, _plans):
        after, rows = "", database.read_sync(read, "")
        while rows:
            for row in rows:
                if _unlike(row) and row in database.read_sync(read, str(row["id"])[:-1]):  # not removed meanwhile
                    stored = blobs.size(row["blob"])
                    name = f"{row['what']}: stored bytes missing, or size differs from its row"
                    yield Finding(name, {"id": row["id"], "bytes": row["bytes"], "stored": stored})
            after = rows[-1]["id"]
            rows = database.read_sync(read, after)


def _unlike(row: Mapping[str, Any]) -> bool:
    stored = blobs.size(row["blob"])
    return stored is None or (row["bytes"] is not None and stored != row["bytes"])


def _files(connection: Connection, after: str) -> Sequence[Mapping[str, Any]]:
    columns = (m.files.c.id, m.files.c.blob, m.files.c.bytes)
    statement = select(*columns, text("'file' AS what")).where(m.files.c.status == "processed", m.files.c.id > after)
    return [dict(row) for row in connection.execute(statement.order_by(m.files.c.id).limit(PAGE)).mappings()]


def _plans(connection: Connection, after: str) -> Sequence[Mapping[str, Any]]:
    columns = (m.batches.c.id, m.batches.c.plan.label("blob"), text("NULL AS bytes"), text("'plan of a batch' AS what"))
    needed = (m.batches.c.status == "in_progress", m.batches.c.released < m.batches.c.total)
    statement = select(*columns).where(*needed, m.batches.c.stopped.is_(None), m.batches.c.id > after)
    return [dict(row) for row in connection.execute(statement.order_by(m.batches.c.id).limit(PAGE)).mappings()]
