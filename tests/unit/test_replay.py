"""The replay of an account's transfers finds what was taken too early, and takes no disorder of clocks for that."""

from shared.verify.replay import DISORDER_MICROS, Account

MANY = 10 * DISORDER_MICROS


def replayed(*rows: tuple[str, str, str, int, int]) -> list[tuple[str, str, int]]:
    account = Account()
    return [found for row in rows for found in account.add(row)] + list(account.end())


def grant(at: int, amount: int = 10) -> tuple[str, str, str, int, int]:
    return f"grant{at}", "treasury", "available", amount, at


def hold(at: int, amount: int = 10) -> tuple[str, str, str, int, int]:
    return f"hold{at}", "available", "held", amount, at


def test_what_was_there_may_be_taken() -> None:
    assert replayed(grant(0), hold(1), ("c", "held", "revenue", 4, 2), ("r", "held", "available", 6, 3)) == []


def test_what_comes_much_later_was_not_there() -> None:
    assert replayed(hold(0), grant(MANY)) == [("hold0", "available", 10)]
    assert replayed(grant(0, 9), hold(1), grant(MANY), hold(MANY + 1)) == [("hold1", "available", 1)]


def test_a_little_disorder_is_none() -> None:
    assert replayed(hold(5), grant(0)) == [] == replayed(hold(0), grant(DISORDER_MICROS))


def test_what_is_held_may_not_be_charged_before() -> None:
    charge = ("c", "held", "revenue", 10, 1)
    assert replayed(grant(0), charge, hold(MANY)) == [("c", "held", 10)]


def test_one_that_took_too_much_is_named_and_not_those_after_it() -> None:
    assert replayed(grant(0), hold(1, 15), grant(MANY), hold(MANY + 1)) == [("hold1", "available", 5)]
