"""Thresholds of accounts: a month's spend is added up, and those that a transaction has crossed fire, once a crossing.

The account's row is locked, so no other transaction of the account comes between its balance and its thresholds. Those
of kind `remaining` fire when what is left falls to their level or below, and are armed again when it rises above it
(a grant, a refund, an adjustment). Those of kind `spent` fire when the charges of a calendar month (UTC) reach their
level, once a month; nothing that is given back lowers what was spent.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select, update

from shared import db
from shared.db import hot
from shared.db.among import among
from shared.db.at_once import listed
from shared.db.models import monthly_spend, thresholds
from shared.objects.amounts import credits


@dataclass(frozen=True, slots=True)
class CreditChange:
    """What a transaction left of an account's credit, and what of it was charged, in micro-credits."""

    remaining: int
    charged: int


def crossed(
    connection: Connection, changes: Mapping[str, CreditChange], month: str
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Add the charges to the month's; the account and the data of the event of each threshold that has just fired."""
    spent = {id: _spend(connection, id, month, change.charged) for id, change in changes.items()}
    told: set[tuple[str, str, int]] = set()
    watching = _THRESHOLDS.rows(connection, {"b_ids": listed(changes)}) if changes else ()
    for row in [dict(zip(_COLUMNS, one, strict=True)) for one in watching]:
        id = str(row["account_id"])
        level = (id, row["kind"], row["level_micros"])
        if _fires(connection, row, changes[id], spent[id], month) and level not in told:
            told.add(level)
            yield id, _event_data(row, changes[id].remaining, spent[id], month)


def _fires(connection: Connection, row: Mapping[str, Any], change: CreditChange, spent: int, month: str) -> bool:
    """Flip the threshold by compare-and-set where it has to; True when it has just fired."""
    if row["kind"] == "spent":
        fires = reaches(row["level_micros"], spent - change.charged, spent, month, row["period"])
        if fires and month > (row["period"] or ""):
            this = update(thresholds).where(thresholds.c.id == row["id"])
            connection.execute(this.values(period=month))
        return fires
    above = change.remaining > row["level_micros"]
    if above == row["armed"]:
        return False
    this = update(thresholds).where(thresholds.c.id == row["id"], thresholds.c.armed == row["armed"])
    return connection.execute(this.values(armed=above)).rowcount == 1 and not above


def reaches(level: int, before: int, spent: int, month: str, fired: str | None) -> bool:
    """Whether a month's spend, which was `before`, reaches the level now. `fired`: the month it last fired in.

    A transaction that began before midnight may come after one of the next month, which has fired already.

    >>> reaches(25, 20, 30, "2026-11", None), reaches(25, 30, 40, "2026-11", "2026-11")
    (True, False)
    >>> reaches(25, 20, 30, "2026-11", "2026-12"), reaches(25, 26, 30, "2026-11", "2026-12")
    (True, False)
    """
    if fired is None or fired < month:
        return spent >= level
    return fired > month and before < level <= spent


def _event_data(row: Mapping[str, Any], remaining: int, spent: int, month: str) -> Mapping[str, Any]:
    return {
        "kind": row["kind"],
        "threshold": credits(row["level_micros"]),
        "credits_remaining": credits(remaining),
        "credits_spent": credits(spent),
        "period": month,
    }


#: Made once: making a statement costs more than running it.
_COLUMNS = thresholds.columns.keys()
_THRESHOLDS = hot.Statement(
    lambda dialect: select(thresholds).where(among(dialect, thresholds.c.account_id, "b_ids")).order_by(thresholds.c.id)
)


def _spend(connection: Connection, account_id: str, month: str, micros: int) -> int:
    row = {"account_id": account_id, "month": month, "spent_micros": micros}
    return int(_ADD_SPEND.rows(connection, row)[0][0])


def _add_spend(dialect: str) -> Any:
    statement = db.insert(dialect, monthly_spend)
    statement = statement.on_conflict_do_update(
        index_elements=["account_id", "month"],
        set_={"spent_micros": monthly_spend.c.spent_micros + statement.excluded.spent_micros},
    )
    return statement.returning(monthly_spend.c.spent_micros)


_ADD_SPEND = hot.Statement(_add_spend, ("account_id", "month", "spent_micros"))
