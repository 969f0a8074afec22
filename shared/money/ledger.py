"""The sole writer of transfers. Money moves only in an open Book, under the locks of the accounts in it.

A Book is opened late in a transaction (locks are taken jobs, batches, accounts, each by id), decides in memory what
each balance allows, and writes everything once when it is closed: transfers, spend, thresholds, balances, events. What
needs no balance is written before it is opened: `shared.money.hold_ends`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection

from shared import clock, db
from shared.db.models import transfers
from shared.errors import NotFound
from shared.money import balances, thresholds, unspent
from shared.money.balances import LockedBalance
from shared.money.transfers import ending, transfer
from shared.objects.amounts import credits
from shared.webhooks import events


class Book:
    """The accounts of one transaction, locked. Use: open, move money and `emit`, then `close` once."""

    def __init__(self, connection: Connection, account_ids: Iterable[str], *, now: int | None = None) -> None:
        self._connection = connection
        #: The instant of everything in it.
        self.now = now or clock.now_micros()
        self._transfers: list[dict[str, Any]] = []
        self._events: list[events.NewEvent] = []
        self._drafted: list[events.Drafted] = []
        self._balances = balances.lock(connection, account_ids)

    def remaining(self, account_id: str) -> int:
        """What is available and held, in micro-credits."""
        return self._balance(account_id).remaining

    def available(self, account_id: str) -> int:
        """What may still be held, in micro-credits: not what expired while jobs held it, and was released since."""
        balance = self._balance(account_id)
        return max(0, balance.available - self._frozen(account_id, balance))

    def unheld(self, account_id: str) -> int:
        """What no job holds, in micro-credits, whether it has expired or not."""
        return self._balance(account_id).available

    def held(self, account_id: str) -> int:
        """What unfinished jobs hold, in micro-credits."""
        return self._balance(account_id).held

    def afford(self, account_id: str, micros: int) -> bool:
        """Whether `micros` could be held; of an account whose credit has ended otherwise, an event says so, once.

        It has ended when less is available than each of its newest jobs was to hold. With more it was the request that
        was too dear: its refusal says so, no event does.
        """
        balance = self._balance(account_id)
        if micros <= balance.available - balance.expired or micros <= self.available(account_id):
            return True
        self._refused(account_id, balance)
        return False

    def keep_expired(self, account_id: str, micros: int) -> None:
        """Note how much has expired, and is there still since jobs hold it: it may not be held once more."""
        balance = self._balance(account_id)
        if balance.expired != micros:
            balance.expired, balance.frozen, balance.moved = micros, None, True

    def hold(self, account_id: str, subject: tuple[str, str], micros: int, note: str | None = None) -> bool:
        """Set `micros` aside for a job or batch; False, and nothing moved, when the account has not that much.

        `note`: of a line of a batch that holds in slices, which batch that is; a hold of a single job has none.
        """
        if not self.afford(account_id, micros):
            return False
        balance = self._balance(account_id)
        balance.available -= micros
        balance.held += micros
        self._post(account_id, "hold", "available", "held", micros, subject, note)
        return True

    def settle(self, account_id: str, subject: tuple[str, str], *, held: int, charge: int) -> None:
        """End a hold: `charge` of it goes to revenue, the rest is available again."""
        self._transfers += ending(account_id, subject, held, charge, self.now)
        self.take_ended(account_id, held=held, charge=charge)

    def take_ended(self, account_id: str, *, held: int, charge: int) -> None:
        """Holds have ended whose transfers are written already (`shared.money.hold_ends`): so much in all."""
        balance = self._balance(account_id)
        balance.held -= held
        balance.available += held - charge
        balance.charged += charge
        balance.moved = True
        if charge:
            self._reduced(account_id, balance)

    def grant(self, account_id: str, micros: int, subject: tuple[str, str], note: str | None = None) -> None:
        """Add prepaid credit, and arm again what watches for its end."""
        self._give(account_id, "grant", "treasury", micros, subject, note)

    def refund(self, account_id: str, micros: int, job_id: str, note: str) -> None:
        """Give back some of what a job was charged: a top-up to all that watches; the month's spend stays."""
        self._give(account_id, "refund", "revenue", micros, ("job", job_id), note)

    def adjust(self, account_id: str, micros: int, subject: tuple[str, str], note: str) -> bool:
        """Correct the balance by the operator's hand; False, and nothing moved, when not so much can be taken."""
        if micros > 0:
            self._give(account_id, "adjust", "treasury", micros, subject, note)
            return True
        return self._take(account_id, "adjust", -micros, subject, note)

    def expire(self, account_id: str, micros: int, grant_id: str) -> bool:
        """Take what is unspent of a grant; False, and nothing moved, when less is available."""
        return self._take(account_id, "expire", micros, ("grant", grant_id), None)

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
        number = self._number(account_id, test)
        self._events.append(events.NewEvent(account_id, number, type, data, webhook_id, test, callback_url))

    def take_drafted(self, drafted: Iterable[events.Drafted]) -> None:
        """Number events that were made ready before; `close` writes them."""
        for one in drafted:
            one.row["sequence"] = self._number(one.row["account_id"], one.row["test"])
            self._drafted.append(one)

    def close(self) -> list[str]:
        """Write it all; the ids of the webhook deliveries that are now due."""
        db.insert_rows(self._connection, transfers, self._transfers)
        changes = {
            id: thresholds.CreditChange(it.remaining, it.charged) for id, it in self._balances.items() if it.changed
        }
        for id, data in thresholds.crossed(self._connection, changes, clock.month(self.now)):
            self.emit(id, "credit.threshold", data)
        balances.write(self._connection, {id: it for id, it in self._balances.items() if it.moved})
        return events.write(self._connection, self._events, self.now, self._drafted)

    def _number(self, account_id: str, test: bool) -> int:
        balance = self._balance(account_id)
        balance.moved = True
        if test:
            balance.test_sequence += 1
            return balance.test_sequence
        balance.sequence += 1
        return balance.sequence

    def _balance(self, account_id: str) -> LockedBalance:
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
        if micros:
            self._transfers.append(transfer(account_id, kind, from_purse, to_purse, micros, subject, self.now, note))

    def _give(
        self, account_id: str, kind: str, purse: str, micros: int, subject: tuple[str, str], note: str | None
    ) -> None:
        if micros <= 0:
            raise ValueError(f"{kind}: the amount must be greater than 0")
        balance = self._balance(account_id)
        balance.available += micros
        balance.changed = balance.exhausted_armed = balance.end_armed = True
        self._post(account_id, kind, purse, "available", micros, subject, note)

    def _take(self, account_id: str, kind: str, micros: int, subject: tuple[str, str], note: str | None) -> bool:
        if micros <= 0:
            raise ValueError(f"{kind}: the amount must be greater than 0")
        balance = self._balance(account_id)
        if micros > balance.available:
            return False
        balance.available -= micros
        self._post(account_id, kind, "available", "treasury", micros, subject, note)
        self._reduced(account_id, balance)
        return True

    def _reduced(self, account_id: str, balance: LockedBalance) -> None:
        """Less remains than before: if that is nothing, an event says so, once until a top-up."""
        balance.changed = True
        if not balance.remaining and (balance.end_armed or balance.exhausted_armed):
            balance.end_armed = balance.exhausted_armed = False
            self._exhausted(account_id, balance)

    def _refused(self, account_id: str, balance: LockedBalance) -> None:
        """A request did not fit: if credit has ended, an event says so, once until a top-up; and at the real end."""
        left = self.available(account_id)
        # An earlier version, which knows no `end_armed`, may have made the top-up.
        armed = balance.exhausted_armed or (balance.end_armed and not left)
        if armed and (not left or left < balances.least_wanted(self._connection, account_id)):
            balance.end_armed = left > 0
            balance.exhausted_armed = False
            self._exhausted(account_id, balance)

    def _frozen(self, account_id: str, balance: LockedBalance) -> int:
        if not balance.expired:
            return 0
        if balance.frozen is None:
            balance.frozen, expired = unspent.frozen(self._connection, account_id, self.now)
            if expired != balance.expired:  # some was spent, or a version that does not keep this has seen to it
                balance.expired, balance.moved = expired, True
        return balance.frozen

    def _exhausted(self, account_id: str, balance: LockedBalance) -> None:
        data = {
            "credits_remaining": credits(balance.remaining),
            "credits_available": credits(self.available(account_id)),
        }
        self.emit(account_id, "credit.exhausted", data)


def grant(connection: Connection, account_id: str, micros: int, note: str | None = None) -> None:
    """Give an account prepaid credit that nobody has bought."""
    book = Book(connection, [account_id])
    book.grant(account_id, micros, ("operator", clock.new_id("grant")), note)
    book.close()
