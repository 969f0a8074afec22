"""The rows of message batches: those made here, of the account and mode of a key, that were not deleted."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, select, update

from producer.dialects.messages import pages
from producer.dialects.messages.batch_objects import (
    DeletedMessageBatch,
    MessageBatch,
    end_of,
    ended_at,
    message_batch,
    native_id,
    shown_id,
)
from producer.dialects.messages.pages import Listed, PageAsked
from producer.operations import batches, files
from producer.operations.batches import BatchSpec
from producer.operations.pages import PageQuery, owned_by, paged
from shared import clock
from shared.batches.transitions import KEEP_OUTPUT_SECONDS
from shared.db import models as m
from shared.dialects.messages.lines import LINES
from shared.errors import Conflict, FusionError, InvalidRequest, NotFound
from shared.key_holders import KeyHolder
from shared.settings import settings

_PATH: Final = "/v1/messages/batches"
#: The columns that name a batch's files.
_FILES: Final = ("input_file_id", "output_file_id", "error_file_id")


def create(connection: Connection, holder: KeyHolder, spec: BatchSpec, inline: Mapping[str, Any]) -> MessageBatch:
    """A batch that waits to be read, which is a message batch."""
    beside = {"dialect": LINES.dialect, "requests": len(spec.requests or ())}
    made = batches.create(connection, holder, spec, inline, beside)
    return show(connection, holder, shown_id(made["id"]))


def visible(connection: Connection, holder: KeyHolder, id: str) -> Mapping[str, Any]:
    """The row of a message batch; 404 when this key has none of that id."""
    native = native_id(id)
    row = connection.execute(_mine(holder).where(m.batches.c.id == native)).mappings().first()
    if row is None:
        raise NotFound(f"not found: message batch {id[:100]!r}")
    return dict(row)


def show(connection: Connection, holder: KeyHolder, id: str) -> MessageBatch:
    """The message batch."""
    return _shown(visible(connection, holder, id))


def list_all(connection: Connection, holder: KeyHolder, page: PageAsked) -> Listed[MessageBatch]:
    """A page of message batches, newest first."""
    backwards = page.before_id is not None
    after = _place("before_id", page.before_id) if backwards else _place("after_id", page.after_id)
    query = PageQuery.model_construct(limit=page.limit, after=after, order="asc" if backwards else "desc")
    rows = connection.execute(paged(_mine(holder), m.batches.c.id, query)).mappings().all()
    found = [_shown(dict(row)) for row in (reversed(rows) if backwards else rows)]
    return pages.listed(found, page)


def _place(name: str, id: str | None) -> str | None:
    """The batch that a page is before or after; 400 for what is no id of one."""
    if id is None:
        return None
    if (native := native_id(id)) is None:
        raise InvalidRequest(f"{name}: {id[:100]!r} is not the id of a message batch", param=name)
    return native


def cancel(connection: Connection, holder: KeyHolder, id: str) -> MessageBatch:
    """Stop a message batch; 409 when it has ended."""
    row = visible(connection, holder, id)
    if end_of(row) in (None, "canceled"):
        try:
            batches.cancel(connection, holder, row["id"])
        except Conflict:
            raise _conflict(id, "cannot be canceled: it has ended or expired") from None
        return show(connection, holder, id)
    raise _conflict(id, "cannot be canceled: it has ended")


def delete(connection: Connection, holder: KeyHolder, id: str) -> list[Mapping[str, Any]]:
    """Delete a message batch that has ended, here; the native one stays, its files go. The rows of these."""
    row = visible(connection, holder, id)
    if end_of(row) is None:
        raise _conflict(id, "cannot be deleted: it has not ended; cancel it first")
    connection.execute(update(m.batches).where(m.batches.c.id == row["id"]).values(deleted_at=clock.now_micros()))
    return [found for name in _FILES if (found := _doomed(connection, holder, row[name])) is not None]


def deleted(id: str) -> DeletedMessageBatch:
    """The object of one that was deleted."""
    return {"id": id, "type": "message_batch_deleted"}


def _doomed(connection: Connection, holder: KeyHolder, file_id: str | None) -> Mapping[str, Any] | None:
    """A file marked deleted; None: there is none, or another batch is being read from it."""
    if file_id is None:
        return None
    try:
        return files.doom(connection, holder, file_id)
    except FusionError:
        return None


def _mine(holder: KeyHolder) -> Any:
    own = (*owned_by(holder, m.batches), m.batches.c.dialect == LINES.dialect, m.batches.c.deleted_at.is_(None))
    return select(m.batches).where(*own)


def _shown(row: Mapping[str, Any]) -> MessageBatch:
    base = settings().public_url.rstrip("/").removesuffix("/v1")
    return message_batch(row, f"{base}{_PATH}/{shown_id(row['id'])}/results", _archived_at(row))


def _archived_at(row: Mapping[str, Any]) -> int | None:
    """When the results were no longer kept; None: they are, or there are none yet."""
    if (ended := ended_at(row)) is None:
        return None
    until = ended + (row["output_expires_seconds"] or KEEP_OUTPUT_SECONDS) * clock.MICROS
    return until if until <= clock.now_micros() else None


def _conflict(id: str, why: str) -> Conflict:
    return Conflict(f"message batch {id} {why}")
