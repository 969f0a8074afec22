"""Retention: files that have expired or were deleted go, bytes before rows; so do old images, plans and remains.

Remains are what a writer that died left behind, and files that no row names: of a rendering that came second, of an
upload that was given up. Storage may be slow or away, so a sweeper that goes on has this done on a thread of its own,
in bounded steps; what was not done in one goes on in the next round. A file's row goes last: whoever dies on the way
leaves it to the next round.
"""

import logging
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from itertools import islice

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, select, text, update

from shared import clock, logs
from shared.batches.never_made import KEEP_PLANS_SECONDS
from shared.db import Database
from shared.db import models as m
from shared.db.models.batches import BEING_READ, MADE_BY_BATCHES
from shared.files import blobs, images
from workers.maintenance import row_retention
from workers.maintenance.statements import StatementMaker

log = logging.getLogger(__name__)

#: Files removed in one round.
CHUNK = 100
#: A file is gone for its owner this long before it is removed, so that whoever has just looked at it may go on.
GRACE_MICROS = 60 * clock.MICROS
#: Between two looks for images, plans and remains to delete, in seconds.
TIDY_SECONDS = 600.0
#: Blobs that rows are looked for in one round.
MOST_ASKED = 1000
#: What a killed writer left is not taken from one who still writes, nor a file from one who is about to name it; in
#: seconds.
KEEP_UNFINISHED_SECONDS = 86_400
#: Places of files that a row names.
UNNAMED = ("outputs/", "files/")
#: Files that could not be deleted and are passed over, at most.
MOST_STUCK = 1000
#: How long the end of a process waits for a round, in seconds. Cut short, it harms nothing.
LAST_SECONDS = 5.0


class Retention:
    """One process's part in it; any number may run at once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._thread: threading.Thread | None = None
        self._chores = [
            _Chore("old images", lambda: _full(images.forget_old())),
            _Chore("old plans", lambda: _full(blobs.forget_old("plans/", KEEP_PLANS_SECONDS))),
            _Chore("unfinished blobs", lambda: _full(blobs.forget_unfinished(KEEP_UNFINISHED_SECONDS))),
            *(_Chore(f"files without a row in {place}", _Unnamed(database, place).some) for place in UNNAMED),
            _Chore("old jobs", row_retention.JobRetention(database).some),
            _Chore("old events", row_retention.EventRetention(database).some),
            _Chore("old files", row_retention.FileExpiry(database).some),
            _Chore("monthly statements", StatementMaker(database).some),
        ]
        #: Files whose bytes could not be deleted in the last round: others have their turn first.
        self._stuck: set[str] = set()

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
        """One round: up to CHUNK files; a step of each of the chores that are due."""
        _attempt("files", self._remove_files)
        for chore in self._chores:
            chore.turn()

    def _round(self) -> None:
        _attempt("files", self.run_once)

    def _remove_files(self) -> None:
        ids = self._database.read_sync(overdue, self._stuck) or self._database.read_sync(overdue)
        doomed = self._database.write_sync(doom, ids) if ids else []
        gone = [id for id, blob in doomed if _attempt(f"file {id}", partial(blobs.delete, blob))]
        self._stuck = (self._stuck | {id for id, _ in doomed}) - set(gone) if len(self._stuck) < MOST_STUCK else set()
        if gone:
            self._database.write_sync(forget, gone)


class _Chore:
    """A thing to be done in steps: one a round while there is more of it, then not for a while."""

    def __init__(self, what: str, step: Callable[[], bool]) -> None:
        self._what, self._step = what, step
        self._done_at = float("-inf")

    def turn(self) -> None:
        """A step, if it is time; what fails is left to a later time as well."""
        if clock.monotonic() - self._done_at < TIDY_SECONDS:
            return
        more: list[bool] = []
        _attempt(self._what, lambda: more.append(self._step()))
        if not any(more):
            self._done_at = clock.monotonic()


class _Unnamed:
    """Deletes the blobs of a place that no file's row names."""

    def __init__(self, database: Database, place: str) -> None:
        self._database, self._place = database, place
        self._left: Iterator[str] = iter(())

    def some(self) -> bool:
        """Look at the next ones; whether there are more."""
        names = list(islice(self._left, MOST_ASKED))
        if not names:
            self._left = blobs.old(self._place, KEEP_UNFINISHED_SECONDS)
            names = list(islice(self._left, MOST_ASKED))
        for name in self._database.read_sync(unnamed, names) if names else ():
            _attempt(name, partial(blobs.delete, name))
        return len(names) == MOST_ASKED


def _full(deleted: int) -> bool:
    """Whether there may be more to delete."""
    return deleted >= blobs.MOST_FORGOTTEN


def unnamed(connection: Connection, names: Sequence[str]) -> Sequence[str]:
    """Those of these blobs that no file's row names."""
    named = set(connection.execute(select(m.files.c.blob).where(m.files.c.blob.in_(names))).scalars())
    return [name for name in names if name not in named]


def overdue(connection: Connection, but: Collection[str] = ()) -> Sequence[str]:
    """Files to remove, the longest overdue first: expired, deleted, or never finished; but not these."""
    statement = select(m.files.c.id).where(_overdue()).order_by(m.files.c.expires_at).limit(CHUNK)
    if but:
        statement = statement.where(m.files.c.id.not_in(but))
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
    reading = exists().where(text(BEING_READ), m.batches.c.input_file_id == m.files.c.id)
    return and_(m.files.c.expires_at <= clock.now_micros() - GRACE_MICROS, ~reading)


def _attempt(what: str, fn: Callable[[], object]) -> bool:
    """Whether it was done; what fails is logged, and left to a later round."""
    try:
        fn()
    except Exception as error:
        log.warning("retention of %s failed, trying again in a later round: %s", what, logs.kind(error))
        return False
    return True
