"""Finds the webhook deliveries that are due, for the sweeper and for workers without a broker."""

from sqlalchemy import Connection, func, select, text

from shared import clock, db
from shared.db import models as m
from shared.db.models.events import PENDING

#: A delivery due for longer than this has lost its doorbell, or its sender.
DUE_SECONDS = 1.0
#: Deliveries of one webhook rung for in one sweep, so that one that does not take them crowds no other out.
EACH = 100
#: Deliveries read at once.
MOST = 400


def due_deliveries(connection: Connection) -> list[tuple[str, bool]]:
    """Deliveries that may be sent: the oldest, of each webhook a few; with each, whether its doorbell has just rung.

    That is not known of those to be sent at once; the others' doorbell is long gone.
    """
    now = db.now(connection)
    turn = func.row_number().over(partition_by=m.deliveries.c.webhook_id, order_by=m.deliveries.c.next_at)
    late = m.deliveries.c.next_at <= now - int(DUE_SECONDS * clock.MICROS)
    due = select(m.deliveries.c.id, m.deliveries.c.next_at, turn.label("turn")).where(text(PENDING), late).subquery()
    statement = select(due.c.id, due.c.next_at).where(due.c.turn <= EACH).order_by(due.c.turn).limit(MOST)
    return [(row.id, row.next_at == 0) for row in connection.execute(statement)]


def due_ids(connection: Connection) -> list[str]:
    """The same deliveries' ids."""
    return [id for id, _ in due_deliveries(connection)]
