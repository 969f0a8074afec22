"""Finds events by when they were written: an account's are numbered without gaps, in about the order of their times."""

import json
from typing import Any, Final

from sqlalchemy import Connection, bindparam, func, select

from shared import clock
from shared.db.models import events
from shared.webhooks.callback_secrets import Owner

#: By how much the times of two events may stand in another order than their numbers: what numbering may have waited.
SLACK_MICROS: Final = 60 * clock.MICROS


def first_since(connection: Connection, owner: Owner, micros: int) -> int:
    """The number from which on no event is older than that, but for SLACK_MICROS; one too high when all are older."""
    of = {"b_account": owner[0], "b_test": owner[1]}
    least, most = connection.execute(_BOUNDS, of).one()
    if least is None:
        return 1
    low, high = int(least), int(most) + 1
    while low < high:
        middle = (low + high) // 2
        written = connection.execute(_AT, {**of, "b_number": middle}).scalar()
        # One that retention has just taken was older.
        if written is None or written < micros - SLACK_MICROS:
            low = middle + 1
        else:
            high = middle
    return low


def of_end(connection: Connection, owner: Owner, kind: str, id: str, ended_at: int) -> str | None:
    """The event that tells of the end of a `job` or `batch`, written at that very instant; None: it is not kept."""
    return of_ends(connection, owner, kind, ended_at).get(id)


def of_ends(connection: Connection, owner: Owner, kind: str, ended_at: int) -> dict[str, str]:
    """The events, written at one instant, that tell of the ends of jobs or batches, by the ids of these.

    The instant is that of one transaction, of some hundred events at most, and is found by its index.
    """
    given = {"b_account": owner[0], "b_test": owner[1], "b_at": ended_at, "b_type": f"{kind}.%"}
    found = ((json.loads(row.data).get(kind, {}).get("id"), row.id) for row in connection.execute(_OF_END, given))
    return {str(of): str(id) for of, id in found if of is not None}


_MINE: Final[tuple[Any, ...]] = (events.c.account_id == bindparam("b_account"), events.c.test == bindparam("b_test"))
_BOUNDS = select(func.min(events.c.sequence), func.max(events.c.sequence)).where(*_MINE)
_AT = select(events.c.created_at).where(*_MINE, events.c.sequence == bindparam("b_number"))
_OF_END = select(events.c.id, events.c.data).where(
    *_MINE, events.c.created_at == bindparam("b_at"), events.c.type.like(bindparam("b_type"))
)
