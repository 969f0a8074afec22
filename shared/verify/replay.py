"""The transfers of each account once more, in the order in which they were made: no balance was ever below zero.

The sums say what a balance is, not what it was in between. The times of transfers are read before their account is
locked, so two of them may stand the other way round by as much as a lock is waited for: what comes in counts at once,
what goes out only when nothing that is later by more than that is still to come. So nothing is found that is none.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, bindparam, select

from shared import clock
from shared.db import WRITE_DEADLINE_SECONDS
from shared.db import models as m
from shared.verify.findings import Check, Finding, Reader, first_of

#: Transfers in one transaction.
PAGE: Final = 5000
#: By how much two transfers of an account may stand the other way round, in microseconds.
DISORDER_MICROS: Final = round(WRITE_DEADLINE_SECONDS * clock.MICROS)

_NAME: Final = "account: more was taken from a balance than it had at the time"
_Row = Sequence[Any]


@dataclass(slots=True)
class _Balance:
    """One balance of an account: what it has, and what is to be taken from it yet, the earliest first."""

    micros: int = 0
    owed: deque[tuple[int, int, str]] = field(default_factory=deque)

    def take(self, until: int) -> Iterator[tuple[str, int]]:
        """Take what went out up to an instant; the transfers that took more than there was, and how much."""
        while self.owed and self.owed[0][0] <= until:
            _, amount, id = self.owed.popleft()
            self.micros -= amount
            if self.micros < 0:
                yield id, -self.micros
                self.micros = 0  # the next one is not to be blamed for it


class Account:
    """The replay of one account's transfers, given in the order of their ids."""

    def __init__(self) -> None:
        self._balances = {"available": _Balance(), "held": _Balance()}

    def add(self, row: _Row) -> Iterator[tuple[str, str, int]]:
        """A transfer (id, from, to, amount, time); which are wrong before it: id, balance, and by how much."""
        id, from_purse, to_purse, amount, at = row
        yield from self._taken(at - DISORDER_MICROS - 1)
        if into := self._balances.get(to_purse):
            into.micros += amount
        if out := self._balances.get(from_purse):
            out.owed.append((at, amount, id))

    def end(self) -> Iterator[tuple[str, str, int]]:
        """The same of the rest."""
        yield from self._taken(2**63)

    def _taken(self, until: int) -> Iterator[tuple[str, str, int]]:
        for name, balance in self._balances.items():
            yield from ((id, name, by) for id, by in balance.take(until))


def violations(read: Reader) -> Iterator[Finding]:
    """Account after account, page after page of its transfers; twice, where something is found: rows may have come."""
    return first_of(_NAME, _violations(read))


def _violations(read: Reader) -> Iterator[Finding]:
    after = ""
    while ids := read(lambda connection, after=after: connection.execute(_ACCOUNTS, {"after": after}).scalars().all()):  # type: ignore[misc]
        for id in ids:
            if found := dict.fromkeys(_replayed(read, id)):
                again = set(_replayed(read, id))
                for transfer, balance, by in (one for one in found if one in again):
                    yield Finding(_NAME, {"account": id, "transfer": transfer, "balance": balance, "short_micros": by})
        after = ids[-1]


def _replayed(read: Reader, account_id: str) -> Iterator[tuple[str, str, int]]:
    account, after = Account(), ""
    while rows := read(lambda connection, after=after: _page(connection, account_id, after)):  # type: ignore[misc]
        for row in rows:
            yield from account.add(row)
        after = rows[-1][0]
    yield from account.end()


_ACCOUNTS = select(m.accounts.c.id).where(m.accounts.c.id > bindparam("after")).order_by(m.accounts.c.id).limit(PAGE)
_TRANSFERS = (
    select(*(m.transfers.c[name] for name in ("id", "from_purse", "to_purse", "amount_micros", "created_at")))
    .where(m.transfers.c.account_id == bindparam("account"), m.transfers.c.id > bindparam("after"))
    .order_by(m.transfers.c.id)
    .limit(PAGE)
)


def _page(connection: Connection, account_id: str, after: str) -> Sequence[_Row]:
    return [tuple(row) for row in connection.execute(_TRANSFERS, {"account": account_id, "after": after})]


CHECKS: tuple[Check, ...] = (violations,)
