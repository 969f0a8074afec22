"""The results of a batch's lines while it runs, in the order in which they ended: each comes once at most.

No index has a batch's lines by their ends: the ends of the account since the place of the last page are looked through,
which are few where somebody reads on. That is bounded in time; a page that ends early says from where to go on.
"""

from typing import Any, Final

from sqlalchemy import Connection, Select, select, text, tuple_

from producer.objects import List
from producer.operations import batches
from producer.operations.pages import PageQuery, owned_by
from shared import clock
from shared.batches import result_lines
from shared.clock import MICROS
from shared.db.engines import LOCK_MILLIS
from shared.db.models import jobs
from shared.db.models.jobs import ENDED
from shared.errors import InvalidRequest
from shared.key_holders import KeyHolder
from shared.objects.batches import BATCH_OVER, BatchResult

#: While its batch runs, a line is shown so long after it ended: until then others may be written down whose ends are
#: before its own, since an end is dated before its transaction writes anything. On SQLite they follow each other; on
#: PostgreSQL one may wait for a lock. What takes longer still is in the files alone.
HOLD_BACK_MICROS: Final = MICROS
HOLD_BACK_LOCKED_MICROS: Final = LOCK_MILLIS * 1000 + MICROS
#: Ends that are looked through at once, and after how many seconds a page ends where it is.
CHUNK: Final = 2_500
LOOK_SECONDS: Final = 0.05
#: By so much may the clock of the process that accepted a batch be ahead of those that end its lines.
APART_MICROS: Final = 60 * MICROS

#: Everything that ended before it has been read: when that was, and the job's id.
_Place = tuple[int, str]


def list_results(connection: Connection, holder: KeyHolder, batch_id: str, page: PageQuery) -> List[BatchResult]:
    """A page of the lines of a batch that have ended. Its `last_id` is from where to go on, also when it is empty."""
    batch = batches.visible(connection, holder, batch_id)
    place = (batch["created_at"] - APART_MICROS, "") if page.after is None else _place(connection, holder, page.after)
    until = _until(connection, over=batch["status"] in BATCH_OVER)
    ids, place, whole = _find(connection, holder, batch_id, place, page.limit, until)
    sizes = {row.id: row for row in connection.execute(result_lines.SIZES.where(jobs.c.id.in_(ids)))}
    shown = result_lines.fitting([sizes[id] for id in ids if id in sizes])
    rows = connection.execute(result_lines.ROWS.where(jobs.c.id.in_(shown))).mappings()
    lines = {row["id"]: result_lines.of_row(dict(row)) for row in rows}
    data = [lines[id] for id in shown if id in lines]  # retention may take some between two of these statements
    cut = len(shown) < len(ids)
    last = data[-1]["id"] if cut and data else (_line_id(place[1]) if place[1] else page.after)
    first = data[0]["id"] if data else None
    return {"object": "list", "data": data, "first_id": first, "last_id": last, "has_more": cut or not whole}


def _until(connection: Connection, *, over: bool) -> int:
    """Up to which moment ends are shown; of a batch that is over all of them have been written down."""
    if over:
        return clock.now_micros() + APART_MICROS
    sqlite = connection.dialect.name == "sqlite"
    return clock.now_micros() - (HOLD_BACK_MICROS if sqlite else HOLD_BACK_LOCKED_MICROS)


def _find(
    connection: Connection, holder: KeyHolder, batch_id: str, place: _Place, most: int, until: int
) -> tuple[list[str], _Place, bool]:
    """Ids of the next lines that ended, where they end, and whether there are no more at present."""
    found: list[str] = []
    most_late = clock.monotonic() + LOOK_SECONDS
    while True:
        rows = connection.execute(ends_after(holder, place, until)).all()
        for row in rows:
            if len(found) == most:
                return found, place, False
            place = row.finished_at, row.id
            if row.batch_id == batch_id:
                found.append(row.id)
        if len(rows) < CHUNK or clock.monotonic() >= most_late:
            return found, place, len(rows) < CHUNK


def ends_after(holder: KeyHolder, place: _Place, until: int) -> Select[Any]:
    """What of these keys ended next after a place: ids, batches and times, CHUNK of them."""
    columns = (jobs.c.finished_at, jobs.c.id)
    after = (columns[0] >= place[0], tuple_(*columns) > tuple_(*place), columns[0] <= until)
    ends = select(jobs.c.id, jobs.c.batch_id, jobs.c.finished_at).where(*owned_by(holder), text(ENDED), *after)
    return ends.order_by(*columns).limit(CHUNK)


def _place(connection: Connection, holder: KeyHolder, after: str) -> _Place:
    job_id = f"job_{after.removeprefix(result_lines.PREFIX)}"
    ended = select(jobs.c.finished_at).where(jobs.c.id == job_id, *owned_by(holder), text(ENDED))
    finished_at = connection.execute(ended).scalar()
    if finished_at is None or not after.startswith(result_lines.PREFIX):
        raise InvalidRequest("after: must be the last_id of another page of this list", param="after")
    return finished_at, job_id


def _line_id(job_id: str) -> str:
    return f"{result_lines.PREFIX}{job_id.removeprefix('job_')}"
