"""Finds events by when they were written: an account's are numbered in about the order of their times.

Without gaps, but for those that a restore has made (`shared.after_restore`).
"""

import json
import re
from typing import Any, Final

from sqlalchemy import Connection, bindparam, func, select

from shared import clock
from shared.db.models import events, number_gaps
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
        found = connection.execute(_AT, {**of, "b_number": middle}).first()
        # Those that retention has just taken were older.
        if found is None or found.created_at < micros - SLACK_MICROS:
            low = (middle if found is None else int(found.sequence)) + 1
        else:
            high = middle
    return low


def number_of(connection: Connection, owner: Owner, event_id: str) -> int | None:
    """The number of an event, after which a reader goes on; None: there is no such event of theirs.

    An event that a restore has undone stands where its number was left out: what comes after is all that happened
    since.
    """
    of = {"b_account": owner[0], "b_test": owner[1]}
    number = connection.execute(_NUMBER, {**of, "b_id": event_id}).scalar()
    if number is not None:
        return int(number)
    undone = _UNDONE.fullmatch(event_id)
    if undone is None:
        return None
    at = int(undone[1], 16) * clock.MICROS // 1000
    last = connection.execute(_LEFT_OUT, {**of, "b_at": at}).scalar()
    return None if last is None else int(last)


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
_AT = (
    select(events.c.sequence, events.c.created_at)
    .where(*_MINE, events.c.sequence >= bindparam("b_number"))
    .order_by(events.c.sequence)
    .limit(1)
)
_NUMBER = select(events.c.sequence).where(*_MINE, events.c.id == bindparam("b_id"))
#: An id of an event, and the milliseconds that it begins with.
_UNDONE = re.compile(r"evt_([0-9a-f]{12})[0-9a-f]{20}")
#: What was left out by the restore that has undone an instant.
_LEFT_OUT = (
    select(number_gaps.c.last)
    .where(number_gaps.c.owner == bindparam("b_account"), number_gaps.c.test == bindparam("b_test"))
    .where(number_gaps.c.restored_to <= bindparam("b_at"), number_gaps.c.made_at >= bindparam("b_at"))
    .order_by(number_gaps.c.first)
    .limit(1)
)
_OF_END = select(events.c.id, events.c.data).where(
    *_MINE, events.c.created_at == bindparam("b_at"), events.c.type.like(bindparam("b_type"))
)
