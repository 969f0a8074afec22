"""The ends of many holds, and their events: what of them needs no balance is written before their accounts are locked.

One customer's jobs all end under the lock of that customer's row, at whatever worker: it is held for as short as can
be. The end of a hold needs nothing to be decided: it gives back what it took.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from shared import db
from shared.db.models import transfers
from shared.money.ledger import Book
from shared.money.transfers import ending, new_ids
from shared.webhooks import events


class HoldEnds:
    """Of one transaction. Use: `settle` each, `write` once, `emit` what is to be told, then open the `book`."""

    def __init__(self, connection: Connection, now: int) -> None:
        self._connection = connection
        self._now = now
        self._ended: list[tuple[str, tuple[str, str], int, int]] = []
        #: By account: what was held, and what of it is charged.
        self._sums: dict[str, tuple[int, int]] = {}
        self._events: list[events.NewEvent] = []

    def settle(self, account_id: str, subject: tuple[str, str], *, held: int, charge: int) -> None:
        """End a hold; see `Book.settle`."""
        self._ended.append((account_id, subject, held, charge))
        before = self._sums.get(account_id, (0, 0))
        self._sums[account_id] = before[0] + held, before[1] + charge

    def write(self) -> None:
        """Write the transfers."""
        ids, rows = iter(new_ids(2 * len(self._ended))), list[dict[str, Any]]()
        for account_id, subject, held, charge in self._ended:
            rows += ending(account_id, subject, held, charge, self._now, (next(ids), next(ids)))
        db.insert_rows(self._connection, transfers, rows)

    def emit(self, account_id: str, type: str, data: Mapping[str, Any], *, test: bool = False) -> None:
        """An event, which gets its number when the book is opened."""
        self._events.append(events.NewEvent(account_id, 0, type, data, test=test))

    def book(self) -> Book:
        """Lock the accounts, whose balances then have all of this."""
        drafted = events.drafted(self._connection, self._events, self._now)
        book = Book(self._connection, self._sums, now=self._now)
        book.take_drafted(drafted)
        for id, (held, charge) in self._sums.items():
            book.take_ended(id, held=held, charge=charge)
        return book
