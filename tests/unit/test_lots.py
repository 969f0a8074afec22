"""What is unspent of grants, from sums of charges, is what it would be had each charge been written to its grants."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from shared.money.lots import Lot, expiring, spent

#: A grant (amount, expiry), a charge of so much, or time that passes, at which a state is written down.
STEPS = st.lists(
    st.tuples(st.just("grant"), st.integers(1, 50), st.integers(1, 30))
    | st.tuples(st.just("charge"), st.integers(0, 40), st.just(0))
    | st.tuples(st.just("pass"), st.integers(0, 8), st.just(0)),
    max_size=40,
)


@dataclass
class Naive:
    """Each charge is written to the grants that it takes from, at once."""

    now: int = 0
    unspent: dict[str, int] = field(default_factory=dict)
    ends: dict[str, int] = field(default_factory=dict)

    def charge(self, micros: int) -> None:
        for id in sorted(self.unspent, key=lambda id: (self.ends[id], id)):
            taken = min(micros, self.unspent[id])
            self.unspent[id] -= taken
            micros -= taken

    def expire(self) -> int:
        gone = [id for id in self.unspent if self.ends[id] <= self.now]
        return sum(self.unspent.pop(id) for id in gone)


@given(STEPS)
def test_sums_of_charges_give_what_each_charge_would(steps: list[tuple[str, int, int]]) -> None:
    naive, lots, charged, gone = Naive(), list[Lot](), 0, 0
    for number, (kind, amount, days) in enumerate(steps):
        if kind == "charge":
            naive.charge(amount)
            charged += amount  # nothing else is known of it
            continue
        lots, charged = [lot for lot in spent(lots, charged) if lot.unspent], 0
        if kind == "grant":
            id = f"{number:03}"
            naive.unspent[id], naive.ends[id] = amount, naive.now + days
            lots.append(Lot(id, naive.now + days, amount))
        else:
            naive.now += amount
            over = expiring(lots, naive.now, lambda at: 0)
            gone = sum(free for _, free in over)
            assert naive.expire() == gone
            lots = [lot for lot in lots if lot.expires_at > naive.now]
    left = {lot.id: lot.unspent for lot in spent(lots, charged) if lot.unspent}
    assert left == {id: unspent for id, unspent in naive.unspent.items() if unspent}


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(1, 50)), max_size=8),
    st.integers(0, 20),
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 60)), max_size=5),
)
def test_no_more_is_kept_than_was_held_before_it_expired(
    given_lots: list[tuple[int, int]], now: int, holds: list[tuple[int, int]]
) -> None:
    lots = [Lot(str(number), at, unspent) for number, (at, unspent) in enumerate(given_lots)]

    def held(until: int) -> int:
        return sum(micros for at, micros in holds if at <= until)

    found = expiring(lots, now, held)
    assert {lot.id for lot, _ in found} == {lot.id for lot in lots if lot.expires_at <= now}
    assert all(0 <= free <= lot.unspent for lot, free in found)
    for end in {lot.expires_at for lot, _ in found}:
        over = [(lot, free) for lot, free in found if lot.expires_at <= end]
        assert sum(lot.unspent - free for lot, free in over) <= held(end)
    whole = sum(lot.unspent for lot, _ in found)
    if found and held(found[0][0].expires_at) >= whole:
        assert sum(free for _, free in found) == 0
