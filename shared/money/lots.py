"""What is unspent of grants that expire, derived from what the account has been charged since. Pure.

Credits that expire first are spent first, and credits that do not expire last. So a charge that is made while some
grants are open takes from them in the order of their expiry; which charge it was does not matter, and the sum of what
was charged since a known state gives the next one. No charge writes anything here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Lot:
    """A grant that expires, and what was unspent of it at a known state; amounts in micro-credits."""

    id: str
    expires_at: int
    unspent: int

    @property
    def order(self) -> tuple[int, str]:
        """The first in this order is spent first."""
        return self.expires_at, self.id


def spent(lots: Sequence[Lot], micros: int) -> list[Lot]:
    """The lots after `micros` more were charged, or taken, in the order in which they are spent.

    What they do not cover was paid from credits that do not expire.

    >>> [lot.unspent for lot in spent([Lot("b", 2, 30), Lot("a", 1, 10)], 25)]
    [0, 15]
    """
    after = []
    for lot in sorted(lots, key=lambda lot: lot.order):
        taken = min(lot.unspent, micros)
        micros -= taken
        after.append(replace(lot, unspent=lot.unspent - taken))
    return after


def expiring(lots: Sequence[Lot], now: int, held: Callable[[int], int]) -> list[tuple[Lot, int]]:
    """Of each lot that has expired: it, and how much of it nothing holds, in the order in which they expired.

    `held`: how much is held still of what was held at a time, in micro-credits. A hold takes what expires first, as a
    charge does; what it had taken of a lot when that expired stays, and is spent by the job's charge or expires once
    it is released.

    >>> [free for _, free in expiring([Lot("a", 5, 10), Lot("b", 6, 20), Lot("c", 9, 7)], 7, lambda at: 15)]
    [0, 15]
    """
    found, covered = [], 0
    for lot in sorted(lots, key=lambda lot: lot.order):
        if lot.expires_at > now:
            break
        kept = min(lot.unspent, max(0, held(lot.expires_at) - covered))
        covered += kept
        found.append((lot, lot.unspent - kept))
    return found
