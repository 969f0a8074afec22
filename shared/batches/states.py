"""What a batch's row says: whether it has ended, what it still needs, the batches that repeat it."""

from collections.abc import Mapping
from typing import Any, Literal

from sqlalchemy import Connection, and_, or_, select, text

from shared import clock
from shared.batches import credit
from shared.batches.credit import GOES_ON
from shared.db.models import batches
from shared.db.models.batches import TO_READ, UNFINISHED
from shared.objects.addresses import batch_url
from shared.objects.batches import request_counts

Reason = Literal["cancelled", "expired"]
Row = Mapping[str, Any]


def look(connection: Connection) -> list[Row] | None:
    """The batches in need, as below; None: every batch has ended, which costs one look into an index or two to find."""
    return None if connection.execute(_ANY_UNFINISHED).first() is None else in_need(connection)


def in_need(connection: Connection) -> list[Row]:
    """Every batch that needs more than to wait, for its jobs or credit, the highest priority and oldest first."""
    given = credit.going_on(clock.now_micros())
    rows = [dict(row) for made in (_IN_NEED, _TO_READ) for row in connection.execute(made, given).mappings()]
    return sorted(rows, key=lambda row: (-row["priority"], row["id"]))


_ENDED = batches.c.succeeded + batches.c.failed + batches.c.cancelled + batches.c.expired
_WAITS = and_(batches.c.status == "in_progress", batches.c.released == batches.c.total, _ENDED < batches.c.total)
#: Made once: making a statement costs more than running it.
_IN_NEED = select(batches).where(text(UNFINISHED), ~_WAITS, GOES_ON)
_TO_READ = select(batches).where(text(TO_READ))
_ANY_UNFINISHED = text(
    f"SELECT 1 WHERE {' OR '.join(f'EXISTS (SELECT 1 FROM batches WHERE {some})' for some in (UNFINISHED, TO_READ))}"
)


def family(connection: Connection, row: Row) -> list[Row]:
    """The batches that have had this one's lines, itself among them, in the order in which they were made.

    The first is no retry of another, and has all lines; only the last can be unfinished.
    """
    root = row["retry_root"] or row["id"]
    members = select(batches).where(or_(batches.c.id == root, batches.c.retry_root == root))
    return [dict(one) for one in connection.execute(members.order_by(batches.c.created_at, batches.c.id)).mappings()]


def event_data(row: Row) -> dict[str, Any]:
    """What a batch event says: ids, status, counts, and where the rest is."""
    named = {name: row[name] for name in ("id", "status", "output_file_id", "error_file_id")}
    return {
        "batch": {**named, "object": "batch", "request_counts": request_counts(row)},
        "url": batch_url(row["id"]),
    }


def is_expired(row: Row) -> bool:
    return bool(row["stopped"] == "expired" or row["expired"] > 0)
