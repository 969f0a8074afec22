"""A batch's lines as they ended, in the order of its input; of a retry: all lines of the batch that was first.

Each line is given once, by what came of it last: a retry takes only lines that did not succeed before it, so a success
is never followed by anything. What is read is bounded by the page, whatever requests and answers measure.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace

from sqlalchemy import Connection, select

from shared import clock
from shared.batches import never_made, result_lines, states
from shared.batches.never_made import NeverMade
from shared.batches.plan_lines import unplanned
from shared.batches.states import Row
from shared.db import Database
from shared.db.models import jobs

log = logging.getLogger(__name__)

#: Jobs in one read transaction.
PAGE = 1000
#: Names of lines in one.
NAMES = 5000
#: For how long a plan that cannot be found is looked for again before its lines count as lost, in microseconds:
#: storage that is not mounted has no files either.
LOOK_AGAIN_MICROS = 86_400 * clock.MICROS


Line = Row | NeverMade


class Merger:
    """Reads one batch, and those before it whose lines it repeats."""

    def __init__(self, database: Database, batch: Row) -> None:
        self._database = database
        self._batch = batch
        family = database.read_sync(states.family, batch) if batch["retry_root"] else [batch]
        before = [one for one in family if one["created_at"] < batch["created_at"]]
        self._first, *self._retries = *before, batch
        #: Of lines that were tried again, by custom_id: the newest job; or why the newest retry never made one.
        self._newest: dict[str, str] = {}
        self._stopped: dict[str, str] = {}
        #: The first batch's plan could not be found; retries may have all that was in it.
        self._missing: FileNotFoundError | None = None
        #: Lines that should be there and are not, by the batch that had them.
        self.lost: dict[str, int] = {}

    def lines(self) -> Iterator[Line | None]:
        """Every line: a job's row, or one that never became a job. None: others may have a turn."""
        for retry in self._retries:
            yield from self._index(retry)
        given = 0
        for things in self._things():
            given += len(things)
            yield from self._as_ended(things)
            yield None
        if self._newest:
            given += len(self._newest)
            yield from self._by_id(list(self._newest.values()))
        if given < self._first["total"] and self._missing is not None:
            raise self._missing
        if given < self._first["total"]:
            self.lost[self._first["id"]] = self._first["total"] - given

    def _index(self, retry: Row) -> Iterator[None]:
        """Note which lines a retry had, and where what came of them is."""
        after = ""
        while names := self._database.read_sync(_names, retry["id"], after):
            for custom_id, id in names:
                self._newest[custom_id] = after = id
                self._stopped.pop(custom_id, None)
            yield
        for line in self._never_made(retry):
            custom_id = str(unplanned(line.planned).custom_id)
            self._stopped[custom_id] = line.reason
            self._newest.pop(custom_id, None)
            yield

    def _things(self) -> Iterator[Sequence[Line]]:
        """The lines of the first batch as they ended in it, a page at a time."""
        after = ""
        while page := self._database.read_sync(_page, self._first["id"], after):
            yield page
            after = page[-1]["id"]
        rest = self._never_made(self._first)
        try:
            while lines := _some(rest):
                yield lines
        except FileNotFoundError as error:
            self._missing = error

    def _never_made(self, batch: Row) -> Iterator[NeverMade]:
        """Those of a batch. A plan that is not there is an error, to be tried again, unless it is gone for good."""
        try:
            yield from never_made.lines(batch)
        except FileNotFoundError:
            if not self._is_gone(batch):
                raise
            log.error("batch %s: its plan file is lost; its output lacks lines that never became jobs", batch["id"])

    def _is_gone(self, batch: Row) -> bool:
        """Whether a plan was kept no longer, or has been looked for in vain ever since the lines had ended."""
        now, ended = clock.now_micros(), self._batch["finalizing_at"] or self._batch["cancelling_at"]
        kept = batch["created_at"] + never_made.KEEP_PLANS_SECONDS * clock.MICROS
        return now > kept or (ended is not None and now > ended + LOOK_AGAIN_MICROS)

    def _as_ended(self, things: Sequence[Line]) -> Iterator[Line]:
        """The same lines as they ended last."""
        if not self._newest and not self._stopped:
            yield from things
            return
        names = [_name(thing) for thing in things]
        newest = [self._newest.pop(name, None) for name in names]
        rows = self._by_id([id for id in newest if id is not None])
        for thing, name, id in zip(things, names, newest, strict=True):
            if id is not None:
                yield next(rows)
            elif (reason := self._stopped.pop(name, None)) is not None:
                yield replace(thing, reason=reason) if isinstance(thing, NeverMade) else {**thing, "status": reason}
            else:
                yield thing

    def _by_id(self, ids: Sequence[str]) -> Iterator[Row]:
        """These jobs in this order."""
        while ids:
            rows = self._database.read_sync(_chosen, ids[:PAGE])
            yield from rows
            ids = ids[len(rows) :]


def _some(rest: Iterator[NeverMade]) -> list[NeverMade]:
    """As many of the next lines as a page may have."""
    lines: list[NeverMade] = []
    bytes = 0
    for line in rest:
        lines.append(line)
        bytes += len(line.planned)
        if len(lines) >= PAGE or bytes > result_lines.MOST_BYTES:
            break
    return lines


def _name(thing: Line) -> str:
    return str(unplanned(thing.planned).custom_id if isinstance(thing, NeverMade) else thing["custom_id"])


def _names(connection: Connection, batch_id: str, after: str) -> Sequence[tuple[str, str]]:
    lines = select(jobs.c.custom_id, jobs.c.id).where(jobs.c.batch_id == batch_id, jobs.c.id > after)
    return [(custom_id, id) for custom_id, id in connection.execute(lines.order_by(jobs.c.id).limit(NAMES))]


def _page(connection: Connection, batch_id: str, after: str) -> Sequence[Row]:
    """The next jobs, in order: as many as a page may have, of rows and of bytes, but at least one."""
    following = (jobs.c.batch_id == batch_id, jobs.c.id > after)
    sizes = connection.execute(result_lines.SIZES.where(*following).order_by(jobs.c.id).limit(PAGE)).all()
    if not (fitting := result_lines.fitting(sizes)):
        return []
    rows = result_lines.ROWS.where(*following, jobs.c.id <= fitting[-1]).order_by(jobs.c.id)
    return connection.execute(rows).mappings().all()  # type: ignore[return-value]


def _chosen(connection: Connection, ids: Sequence[str]) -> Sequence[Row]:
    """The first of these jobs, in this order, as many as fit."""
    sizes = {
        id: (id, answer, asked)
        for id, answer, asked in connection.execute(result_lines.SIZES.where(jobs.c.id.in_(ids)))
    }
    fitting = result_lines.fitting([sizes[id] for id in ids])
    rows = {row["id"]: row for row in connection.execute(result_lines.ROWS.where(jobs.c.id.in_(fitting))).mappings()}
    return [rows[id] for id in fitting]  # type: ignore[misc]
