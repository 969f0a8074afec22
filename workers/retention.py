"""Retention: files that have expired or were deleted go, bytes before rows; so do old pictures, plans and remains.

Storage may be slow or away, so a sweeper that goes on has this done on a thread of its own. A file's row goes last:
whoever dies on the way leaves it to the next round.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from functools import partial

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, select, text, update

from shared import blobs, clock, logs, pictures
from shared import models as m
from shared.db import Database
from shared.models.batches import MADE_BY_BATCHES, UNFINISHED

log = logging.getLogger(__name__)

#: Files removed in one round.
CHUNK = 100
#: A file is gone for its owner this long before it is removed, so that whoever has just looked at it may go on.
GRACE_MICROS = 60 * clock.MICROS
#: Between two looks for pictures and plans to delete, in seconds.
TIDY_SECONDS = 600.0
#: Plans outlive the longest completion window, a week, by a month, in which a retry may need the lines of a batch that
#: was stopped before they became jobs (all other plans are deleted at their batch's end); in seconds.
KEEP_PLANS_SECONDS = 38 * 86_400
#: What a killed writer left is not taken from one who still writes; in seconds.
KEEP_UNFINISHED_SECONDS = 86_400
#: How long the end of a process waits for a round, in seconds. Cut short, it harms nothing.
LAST_SECONDS = 5.0


class Retention:
    """One process's part in it; any number may run at once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._thread: threading.Thread | None = None
        self._tidied = -TIDY_SECONDS

    def turn(self) -> None:
        """Begin a round, unless one is under way."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._round, name="retention", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Let a round that is under way end."""
        if self._thread is not None:
            self._thread.join(LAST_SECONDS)

    def run_once(self) -> None:
        """One round: up to CHUNK files; pictures, plans and remains when it is time."""
        self._remove_files()
        if clock.monotonic() - self._tidied >= TIDY_SECONDS:
            self._tidied = clock.monotonic()
            _attempt("old pictures", pictures.forget_old)
            _attempt("old plans", lambda: blobs.forget_old("plans/", KEEP_PLANS_SECONDS))
            _attempt("unfinished blobs", lambda: blobs.forget_unfinished(KEEP_UNFINISHED_SECONDS))

    def _round(self) -> None:
        _attempt("files", self.run_once)

    def _remove_files(self) -> None:
        ids = self._database.read_sync(overdue)
        doomed = self._database.write_sync(doom, ids) if ids else []
        gone = [id for id, blob in doomed if _attempt(f"file {id}", partial(blobs.delete, blob))]
        if gone:
            self._database.write_sync(forget, gone)


def overdue(connection: Connection) -> Sequence[str]:
    """Files to remove, the longest overdue first: expired, deleted, or never finished."""
    statement = select(m.files.c.id).where(_overdue()).order_by(m.files.c.expires_at).limit(CHUNK)
    return connection.execute(statement).scalars().all()


def doom(connection: Connection, ids: Sequence[str]) -> list[tuple[str, str]]:
    """Mark them deleted, so that no upload that was only slow can finish; the id and blob of each that still may go."""
    statement = update(m.files).where(m.files.c.id.in_(ids), _overdue()).values(status="deleted")
    rows = connection.execute(statement.returning(m.files.c.id, m.files.c.blob))
    return [(row.id, row.blob) for row in rows]


def forget(connection: Connection, ids: Sequence[str]) -> None:
    """Delete the rows of files whose bytes are gone; those that a batch made stay, deleted, since it names them."""
    gone = (m.files.c.id.in_(ids), m.files.c.status == "deleted")
    connection.execute(update(m.files).where(*gone, m.files.c.purpose == MADE_BY_BATCHES).values(expires_at=None))
    connection.execute(delete(m.files).where(*gone, m.files.c.purpose != MADE_BY_BATCHES))


def _overdue() -> ColumnElement[bool]:
    """Past its time, and no batch is just being read from it."""
    reading = exists().where(
        text(UNFINISHED), m.batches.c.status == "validating", m.batches.c.input_file_id == m.files.c.id
    )
    return and_(m.files.c.expires_at <= clock.now_micros() - GRACE_MICROS, ~reading)


def _attempt(what: str, fn: Callable[[], object]) -> bool:
    """Whether it was done; what fails is said, and left to a later round."""
    try:
        fn()
    except Exception as error:
        log.warning("retention of %s is left to a later round: %s", what, logs.kind(error))
        return False
    return True
