"""The sole writer of transfers. Money moves only in an open Book, under the locks of the accounts in it.

A Book is opened late in a transaction (locks are taken jobs, batches, accounts, each by id), decides in memory what
each balance allows, and writes everything once when it is closed: transfers, balances, spend, thresholds, events.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from shared import clock, db
from shared.db.models import accounts, monthly_spend, thresholds, transfers
from shared.errors import NotFound
from shared.objects.amounts import credits
from shared.webhooks import events

#: Of an account with less than this available a refusal means that its credit has run out: 10 credits.
LOW_MICROS = 10_000_000


@dataclass(slots=True)
class _Balance:
    """An account's locked row, as it stands after what the book has decided."""

    available: int
    held: int
    sequence: int
    test_sequence: int
    exhausted_armed: bool
    spent: int = 0
    topped_up: bool = False
    moved: bool = False

    @property
    def remaining(self) -> int:
        return self.available + self.held


class Book:
    """The accounts of one transaction, locked. Use: open, `hold`/`settle`/`grant`/`emit`, then `close` once."""

    def __init__(self, connection: Connection, account_ids: Iterable[str], *, now: int | None = None) -> None:
        self._connection = connection
        #: The instant of everything in it.
        self.now = now or clock.now_micros()
        self._transfers: list[dict[str, Any]] = []
        self._events: list[events.NewEvent] = []
        rows = connection.execute(_LOCK, {"b_ids": sorted(set(account_ids))})
        self._balances = {id: _Balance(*rest) for id, *rest in rows}

    def remaining(self, account_id: str) -> int:
        """What is available and held, in micro-credits."""
        return self._balance(account_id).remaining

    def available(self, account_id: str) -> int:
        """What may still be held, in micro-credits."""
        return self._balance(account_id).available

    def held(self, account_id: str) -> int:
        """What unfinished jobs hold, in micro-credits."""
        return self._balance(account_id).held

    def afford(self, account_id: str, micros: int) -> bool:
        """Whether `micros` could be held; an account that cannot since little is left is told, once, that it ran out.

        With LOW_MICROS or more it was the request that was too dear: its refusal says so, no event does.
        """
        balance = self._balance(account_id)
        if micros <= balance.available:
            return True
        if balance.available < LOW_MICROS:
            self._exhausted(account_id, balance)
        return False

    def hold(self, account_id: str, subject: tuple[str, str], micros: int) -> bool:
        """Set `micros` aside for a job or batch; False, and nothing moved, when the account has not that much."""
        if not self.afford(account_id, micros):
            return False
        balance = self._balance(account_id)
        balance.available -= micros
        balance.held += micros
        if micros and not balance.available:  # whatever was refused before, only now the last is committed
            balance.exhausted_armed = True
        self._post(account_id, "hold", "available", "held", micros, subject)
        return True

    def settle(self, account_id: str, subject: tuple[str, str], *, held: int, charge: int) -> None:
        """End a hold: `charge` of it goes to revenue, the rest is available again."""
        if not 0 <= charge <= held:
            raise ValueError(f"a charge of {charge} does not fit in a hold of {held}")
        balance = self._balance(account_id)
        balance.held -= held
        balance.available += held - charge
        balance.spent += charge
        self._post(account_id, "charge", "held", "revenue", charge, subject)
        self._post(account_id, "release", "held", "available", held - charge, subject)
        if charge and not balance.remaining:
            self._exhausted(account_id, balance)

    def grant(self, account_id: str, micros: int, subject: tuple[str, str], note: str | None = None) -> None:
        """Add prepaid credit, and arm again what watches for its end."""
        if micros <= 0:
            raise ValueError("a grant must be greater than 0")
        balance = self._balance(account_id)
        balance.available += micros
        balance.topped_up = balance.exhausted_armed = True
        self._post(account_id, "grant", "treasury", "available", micros, subject, note)

    def emit(
        self,
        account_id: str,
        type: str,
        data: Mapping[str, Any],
        *,
        webhook_id: str | None = None,
        test: bool = False,
        callback_url: str | None = None,
    ) -> None:
        """Number an event of the account, among those of its live or its test keys; `close` writes it."""
        balance = self._balance(account_id)
        if test:
            balance.test_sequence += 1
        else:
            balance.sequence += 1
        balance.moved = True
        number = balance.test_sequence if test else balance.sequence
        self._events.append(events.NewEvent(account_id, number, type, data, webhook_id, test, callback_url))

    def close(self) -> list[str]:
        """Write it all; the ids of the webhook deliveries that are now due."""
        db.insert_rows(self._connection, transfers, self._transfers)
        self._watch()
        moved = [
            {
                "b_id": id,
                "available_micros": balance.available,
                "held_micros": balance.held,
                "sequence": balance.sequence,
                "test_sequence": balance.test_sequence,
                "exhausted_armed": balance.exhausted_armed,
            }
            for id, balance in self._balances.items()
            if balance.moved
        ]
        if moved:
            self._connection.execute(_SET_BALANCES, moved)
        return events.write(self._connection, self._events, self.now)

    def _balance(self, account_id: str) -> _Balance:
        if balance := self._balances.get(account_id):
            return balance
        raise NotFound(f"not found: account {account_id}")

    def _post(
        self,
        account_id: str,
        kind: str,
        from_purse: str,
        to_purse: str,
        micros: int,
        subject: tuple[str, str],
        note: str | None = None,
    ) -> None:
        self._balance(account_id).moved = True
        if not micros:
            return
        self._transfers.append(
            {
                "id": clock.new_id("tr"),
                "account_id": account_id,
                "kind": kind,
                "from_purse": from_purse,
                "to_purse": to_purse,
                "amount_micros": micros,
                "subject_type": subject[0],
                "subject_id": subject[1],
                "note": note,
                "created_at": self.now,
            }
        )

    def _exhausted(self, account_id: str, balance: _Balance) -> None:
        if balance.exhausted_armed:
            balance.exhausted_armed = False
            data = {
                "credits_remaining": credits(balance.remaining),
                "credits_available": credits(balance.available),
            }
            self.emit(account_id, "credit.exhausted", data)

    def _watch(self) -> None:
        """Add up the month's spend and fire each threshold that this transaction has crossed."""
        month = clock.month(self.now)
        changed = [id for id, balance in self._balances.items() if balance.spent or balance.topped_up]
        spent = {id: _spend(self._connection, id, month, self._balances[id].spent) for id in changed}
        watching = self._connection.execute(_THRESHOLDS, {"b_ids": changed}).mappings() if changed else ()
        for row in map(dict, watching):
            id = str(row["account_id"])
            if _crossed(self._connection, row, self._balances[id].remaining, spent[id], month):
                self.emit(id, "credit.threshold", self._crossing(row, spent[id], month))

    def _crossing(self, row: Mapping[str, Any], spent: int, month: str) -> dict[str, Any]:
        return {
            "kind": row["kind"],
            "threshold": credits(row["level_micros"]),
            "credits_remaining": credits(self._balances[row["account_id"]].remaining),
            "credits_spent": credits(spent),
            "period": month,
        }


def grant(connection: Connection, account_id: str, micros: int, note: str | None = None) -> None:
    """Give an account prepaid credit, by the operator's hand."""
    book = Book(connection, [account_id])
    book.grant(account_id, micros, ("operator", clock.new_id("grant")), note)
    book.close()


#: Made once: making a statement costs more than running it.
_LOCK = (
    select(accounts.c.id, accounts.c.available_micros, accounts.c.held_micros, accounts.c.sequence)
    .add_columns(accounts.c.test_sequence, accounts.c.exhausted_armed)
    .where(accounts.c.id.in_(bindparam("b_ids", expanding=True)))
    .order_by(accounts.c.id)
    .with_for_update()
)
_THRESHOLDS = (
    select(thresholds).where(thresholds.c.account_id.in_(bindparam("b_ids", expanding=True))).order_by(thresholds.c.id)
)
_SET_BALANCES = (
    update(accounts)
    .where(accounts.c.id == bindparam("b_id"))
    .values({name: bindparam(name) for name in ("available_micros", "held_micros", "sequence", "test_sequence")})
    .values(exhausted_armed=bindparam("exhausted_armed"))
)


def _spend(connection: Connection, account_id: str, month: str, micros: int) -> int:
    row = {"account_id": account_id, "month": month, "spent_micros": micros}
    return int(connection.execute(_add_spend(connection.dialect.name), row).scalar_one())


@lru_cache(maxsize=2)
def _add_spend(dialect: str) -> Any:
    statement = db.insert(dialect, monthly_spend)
    statement = statement.on_conflict_do_update(
        index_elements=["account_id", "month"],
        set_={"spent_micros": monthly_spend.c.spent_micros + statement.excluded.spent_micros},
    )
    return statement.returning(monthly_spend.c.spent_micros)


def _crossed(connection: Connection, row: Mapping[str, Any], remaining: int, spent: int, month: str) -> bool:
    """Flip the threshold by compare-and-set where it has to; True when it has just fired."""
    this = update(thresholds).where(thresholds.c.id == row["id"])
    if row["kind"] == "spent":
        if spent < row["level_micros"] or row["period"] == month:
            return False
        return connection.execute(this.values(period=month)).rowcount == 1
    above = remaining > row["level_micros"]
    if above == row["armed"]:
        return False
    flipped = connection.execute(this.where(thresholds.c.armed == row["armed"]).values(armed=above)).rowcount == 1
    return flipped and not above
