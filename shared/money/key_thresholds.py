"""Thresholds of keys: fire `credit.threshold` with the key's id, once a crossing, in the transaction that charges.

`spent` is of the charges of a calendar month, UTC, as of accounts (`shared.money.thresholds`). `remaining` is of what
is left of a budget, the key's tightest: its budget without what was charged. It fires once in a period of that budget,
and again when a larger budget has raised what is left above the level.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from shared import clock
from shared.db.models import api_keys, key_spend, key_thresholds
from shared.errors import NotFound
from shared.money.budget_periods import periods
from shared.money.budgets import BUDGET_PERIODS, Budget, BudgetPeriod
from shared.money.ledger import Book
from shared.money.thresholds import reaches
from shared.objects.amounts import credits

Kind = Literal["remaining", "spent"]
KINDS: tuple[Kind, ...] = get_args(Kind)
#: Of one key.
MOST: int = 20


@dataclass(frozen=True, slots=True)
class Charged:
    """What a transaction has charged a key by the time of a threshold: spent of a month, and its budgets now."""

    account_id: str
    #: By month: spent before this transaction, and now.
    months: Mapping[str, tuple[int, int]]
    #: What was spent in the present periods, by period; a period is absent that nothing was charged in.
    spent: Mapping[BudgetPeriod, int]


def fire(connection: Connection, book: Book, charged: Mapping[str, Charged], names: Mapping[BudgetPeriod, str]) -> None:
    """Emit the events of what these charges have crossed. `names`: of the present periods."""
    watching = connection.execute(_THRESHOLDS, {"b_ids": sorted(charged)}).mappings().all() if charged else ()
    if not watching:
        return
    budgets = _budgets(connection, {str(row["key_id"]) for row in watching})
    for row in map(dict, watching):
        key = charged[row["key_id"]]
        left = _left(budgets.get(row["key_id"], ()), key.spent)
        if row["kind"] == "spent":
            for month, (before, spent) in sorted(key.months.items()):
                if _spent_fires(connection, row, month, before, spent):
                    has = book.remaining(key.account_id) if left is None else left[1]
                    book.emit(key.account_id, "credit.threshold", _data(row, has, spent, month))
        elif left is not None and _remaining_fires(connection, row, left[1], names[left[0]]):
            book.emit(key.account_id, "credit.threshold", _data(row, left[1], key.spent[left[0]], names[left[0]]))


def replace(connection: Connection, key_id: str, wanted: Iterable[tuple[Kind, int]]) -> None:
    """Replace the thresholds of a key, (kind, micro-credits) each; one that stays keeps its state.

    A new one that is already crossed does not fire now, but at its next crossing. From now on the key is counted.
    """
    account = connection.execute(select(api_keys.c.account_id).where(api_keys.c.id == key_id)).scalar()
    if account is None:
        raise NotFound(f"not found: key {key_id}")
    now = Book(connection, [account]).now
    names = periods(now)
    rows = connection.execute(select(key_spend.c.period, key_spend.c.spent_micros).where(key_spend.c.key_id == key_id))
    known: dict[str, int] = {period: spent for period, spent in rows}
    spent: dict[BudgetPeriod, int] = {period: known.get(names[period], 0) for period in BUDGET_PERIODS}
    left = _left(_budgets(connection, {key_id})[key_id], spent)
    states = {(row.kind, row.level_micros): (row.armed, row.period) for row in of_key(connection, key_id)}
    connection.execute(delete(key_thresholds).where(key_thresholds.c.key_id == key_id))
    for kind, level in dict.fromkeys(wanted):
        new: tuple[bool, str | None] = (True, names["month"] if spent["month"] >= level else None)
        if kind == "remaining":
            new = (True, None) if left is None or left[1] > level else (False, names[left[0]])
        armed, period = states.get((kind, level), new)
        id, state = clock.new_id("thr"), {"armed": armed, "period": period}
        values = {"key_id": key_id, "account_id": account, "kind": kind, "level_micros": level, **state}
        connection.execute(insert(key_thresholds).values(id=id, **values))
        connection.execute(update(api_keys).where(api_keys.c.id == key_id).values(counted=True))


def of_key(connection: Connection, key_id: str) -> Sequence[Any]:
    """The rows of a key's thresholds, in the order in which they were given."""
    return connection.execute(_THRESHOLDS, {"b_ids": [key_id]}).all()


#: Made once: making a statement costs more than running it.
_THRESHOLDS = (
    select(key_thresholds)
    .where(key_thresholds.c.key_id.in_(bindparam("b_ids", expanding=True)))
    .order_by(key_thresholds.c.id)
)
_BUDGETS = select(api_keys.c.id, *(api_keys.c[f"budget_{period}_micros"] for period in BUDGET_PERIODS)).where(
    api_keys.c.id.in_(bindparam("b_ids", expanding=True))
)


def _budgets(connection: Connection, keys: Iterable[str]) -> dict[str, list[Budget]]:
    found = {}
    for id, *micros in connection.execute(_BUDGETS, {"b_ids": sorted(keys)}):
        pairs = zip(BUDGET_PERIODS, micros, strict=True)
        found[id] = [Budget(period, most) for period, most in pairs if most is not None]
    return found


def _left(budgets: Iterable[Budget], spent: Mapping[BudgetPeriod, int]) -> tuple[BudgetPeriod, int] | None:
    """The budget of which the least is left, and how much that is; None: there is none that is known."""
    known = [(max(0, one.micros - spent[one.period]), one.period) for one in budgets if one.period in spent]
    return min(known)[::-1] if known else None


def _spent_fires(connection: Connection, row: Mapping[str, Any], month: str, before: int, spent: int) -> bool:
    fires = reaches(row["level_micros"], before, spent, month, row["period"])
    if fires and month > (row["period"] or ""):
        _set(connection, row, period=month)
    return fires


def _remaining_fires(connection: Connection, row: Mapping[str, Any], left: int, name: str) -> bool:
    above = left > row["level_micros"]
    if above:
        if not row["armed"]:
            _set(connection, row, armed=True)
        return False
    if not row["armed"] and row["period"] == name:
        return False
    _set(connection, row, armed=False, period=name)
    return True


def _set(connection: Connection, row: Mapping[str, Any], **state: Any) -> None:
    connection.execute(update(key_thresholds).where(key_thresholds.c.id == row["id"]).values(state))


def _data(row: Mapping[str, Any], remaining: int, spent: int, period: str) -> dict[str, Any]:
    return {
        "kind": row["kind"],
        "threshold": credits(row["level_micros"]),
        "credits_remaining": credits(remaining),
        "credits_spent": credits(spent),
        "period": period,
        "key_id": row["key_id"],
    }
