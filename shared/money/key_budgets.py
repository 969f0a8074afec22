"""What the jobs of keys hold and were charged, by period, and whether more fits in their budgets.

Kept only for keys that are counted: `key_spend` has a row for each key and day, month, and `total`. A job counts in the
periods in which it was accepted, its charge too, whenever it ends. The rows are read and written under the lock of the
key's account (`shared.money.ledger.Book`), which is taken first: so they need no locks of their own.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection, bindparam, select, tuple_

from shared import clock, db
from shared.db.models import key_spend
from shared.errors import InsufficientCredits
from shared.money import key_thresholds, shortage
from shared.money.budget_periods import periods, renews_at
from shared.money.budgets import Budget, BudgetPeriod
from shared.money.key_thresholds import Charged
from shared.money.ledger import Book
from shared.money.shortage import Need
from shared.objects.amounts import credits
from shared.objects.shortages import BudgetFields, ShortageFields

#: The cause of a refusal in one word.
EXCEEDED: Final = "key_budget_exceeded"
#: Of `2026-11`.
_MONTH_LETTERS: Final = 7
_EACH: Final[Mapping[BudgetPeriod, str]] = {"day": " per day", "month": " per month", "total": " in total"}


@dataclass(frozen=True, slots=True)
class Counted:
    """A key, and the instant in whose periods something of it counts, in microseconds."""

    account_id: str
    key_id: str
    at: int


@dataclass(slots=True)
class Spend:
    """What a key's jobs of a period hold, and what they were charged, in micro-credits."""

    held: int = 0
    spent: int = 0


@dataclass(frozen=True, slots=True)
class Excess:
    """A budget that something does not fit in, as it stands."""

    budget: Budget
    spend: Spend
    #: When its next period begins, in microseconds; None: never.
    renews_at: int | None

    @property
    def left(self) -> int:
        """What still fits, in micro-credits."""
        return max(0, self.budget.micros - self.spend.held - self.spend.spent)


class KeySpend:
    """The spend of the keys of one transaction, whose accounts are locked. `close` writes it, once."""

    def __init__(self, connection: Connection, counted: Iterable[Counted]) -> None:
        self._connection = connection
        wanted = {(one.key_id, name): one.account_id for one in counted for name in periods(one.at).values()}
        self._accounts = wanted
        self._rows: dict[tuple[str, str], Spend] = {}
        self._changed: set[tuple[str, str]] = set()
        self._charges: Counter[tuple[str, str]] = Counter()
        if wanted:
            found = connection.execute(_SPEND, {"b_wanted": sorted(wanted)})
            self._rows = {(key, period): Spend(held, spent) for key, period, held, spent in found}

    def excess(self, one: Counted, budgets: Sequence[Budget], micros: int) -> Excess | None:
        """The first of a key's budgets that has no room for so much more; None: all have."""
        for budget in budgets:
            spend = self._row(one.key_id, periods(one.at)[budget.period])
            if micros and spend.held + spend.spent + micros > budget.micros:
                return Excess(budget, Spend(spend.held, spend.spent), renews_at(budget.period, one.at))
        return None

    def hold(self, one: Counted, micros: int) -> None:
        """Count a hold, whether it fits or not."""
        self._change(one, held=micros)

    def settle(self, one: Counted, *, held: int, charge: int) -> None:
        """End a hold, of which so much was charged."""
        self._change(one, held=-held, spent=charge)

    def charged(self, now: int) -> dict[str, Charged]:
        """What was charged, by key, as thresholds look at it."""
        present, found = periods(now), {}
        for (key, period), account in self._accounts.items():
            if self._charges.get((key, period)):
                spent = {name: self._rows[key, of].spent for name, of in present.items() if (key, of) in self._rows}
                found[key] = Charged(account, self._months(key), spent)
        return found

    def _months(self, key: str) -> dict[str, tuple[int, int]]:
        """The spend of the months in which a key was charged: before, and now."""
        charged = {of: micros for (id, of), micros in self._charges.items() if id == key and len(of) == _MONTH_LETTERS}
        return {of: (self._rows[key, of].spent - micros, self._rows[key, of].spent) for of, micros in charged.items()}

    def close(self) -> None:
        """Write what has changed."""
        rows = [self._as_row(place) for place in sorted(self._changed)]
        if rows:
            self._connection.execute(_set(self._connection.dialect.name), rows)

    def _change(self, one: Counted, *, held: int, spent: int = 0) -> None:
        for period in periods(one.at).values():
            row = self._row(one.key_id, period)
            row.held = max(0, row.held + held)
            row.spent += spent
            self._charges[one.key_id, period] += spent
            self._changed.add((one.key_id, period))

    def _row(self, key_id: str, period: str) -> Spend:
        return self._rows.setdefault((key_id, period), Spend())

    def _as_row(self, place: tuple[str, str]) -> dict[str, Any]:
        row = self._rows[place]
        named = {"key_id": place[0], "period": place[1], "account_id": self._accounts[place]}
        return {**named, "held_micros": row.held, "spent_micros": row.spent}


#: Made once: making a statement costs more than running it.
_SPEND = select(key_spend.c.key_id, key_spend.c.period, key_spend.c.held_micros, key_spend.c.spent_micros).where(
    tuple_(key_spend.c.key_id, key_spend.c.period).in_(bindparam("b_wanted", expanding=True))
)


@lru_cache(maxsize=2)
def _set(dialect: str) -> Any:
    statement = db.insert(dialect, key_spend)
    later = {name: statement.excluded[name] for name in ("held_micros", "spent_micros")}
    return statement.on_conflict_do_update(index_elements=["key_id", "period"], set_=later)


def counted(row: Mapping[str, Any]) -> Counted | None:
    """Where a job or batch counts, by its row; None: nowhere."""
    if row["budget_at"] is None:
        return None
    return Counted(row["account_id"], row["key_id"], row["budget_at"])


def settle(connection: Connection, book: Book, ended: Iterable[tuple[Mapping[str, Any], int]]) -> None:
    """Count the ends of jobs, each with its charge, of those that count; thresholds that are crossed fire.

    The book has locked their accounts.
    """
    ends = [(one, _held(job), charge) for job, charge in ended if (one := counted(job))]
    if ends:
        spend = KeySpend(connection, [one for one, _, _ in ends])
        for one, held, charge in ends:
            spend.settle(one, held=held, charge=charge)
        spend.close()
        key_thresholds.fire(connection, book, spend.charged(book.now), periods(book.now))


def _held(job: Mapping[str, Any]) -> int:
    """What a job counts with until it ends: its hold, or what it was waiting for."""
    return int(job["bound_micros"] + (job["wanted_micros"] or 0))


def of_key(connection: Connection, key_id: str, at: int) -> dict[BudgetPeriod, Spend]:
    """What a key's jobs of the present periods hold and were charged."""
    names = periods(at)
    found = connection.execute(_SPEND, {"b_wanted": [(key_id, name) for name in names.values()]})
    rows = {period: Spend(held, spent) for _, period, held, spent in found}
    return {period: rows.get(name, Spend()) for period, name in names.items()}


def refusal(need: Need, over: Excess) -> InsufficientCredits:
    """The 402 of a request that does not fit in a budget of its key."""
    message, fields = explain(need, over)
    error = InsufficientCredits(message, param="max_tokens" if "max_tokens" in fields else None, reason=EXCEEDED)
    error.details = dict(fields)
    return error


def explain(need: Need, over: Excess) -> tuple[str, ShortageFields]:
    """In words and in fields: the budget, what of it is used and held, when it renews, and what would do."""
    budget, spend, left = over.budget, over.spend, over.left
    what = "this job" if len(need.bounds) == 1 else "these jobs"
    may = f"{what} may cost up to {shortage.as_read(need.micros)} credits, {shortage.as_read(left)} are left"
    used = f"{shortage.as_read(spend.spent)} are used and {shortage.as_read(spend.held)} held by unfinished jobs"
    limit = f"{shortage.as_read(budget.micros)} credits{_EACH[budget.period]}"
    would, more = shortage.what_would_do(need, left)
    if over.renews_at is not None:
        would.append(f"the budget renews at {clock.utc(over.renews_at):%Y-%m-%dT%H:%M:%SZ}")
    about: BudgetFields = {
        "period": budget.period,
        "credits": credits(budget.micros),
        "used_credits": credits(spend.spent),
        "held_credits": credits(spend.held),
        "renews_at": clock.seconds(over.renews_at),
    }
    fields: ShortageFields = {
        "required_credits": credits(need.micros),
        "available_credits": credits(left),
        "held_credits": credits(spend.held),
        "budget": about,
    }
    said = "; ".join([f"the budget of this API key is exceeded: {may} of {limit}: {used}", *would])
    return said, {**fields, **more}
