"""Who is on the spot, and how long an event loop rests from it."""

import threading
from contextlib import suppress

import pytest

from shared import clock
from shared.db.on_the_spot import OnTheSpot, TakesLongerError


class Timed:
    """What takes as long as a test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.spot = OnTheSpot(True)
        monkeypatch.setattr(clock, "monotonic", lambda: self.now)

    def take(self, seconds: float) -> None:
        with self.spot:
            self.now += seconds

    def rests(self, seconds: float) -> bool:
        """Whether the loop rests for so long from now on, and no longer."""
        self.now += seconds - 0.001
        rested = not self.spot.may_be_used()
        self.now += 0.002
        return rested and self.spot.may_be_used()


@pytest.mark.parametrize(("took", "rests"), [(0.04, 2.0), (1.0, 50.0), (3600.0, 60.0)])
def test_the_longer_one_lasted_the_longer_the_loop_rests(
    monkeypatch: pytest.MonkeyPatch, took: float, rests: float
) -> None:
    """A disk that takes a second to write has the loop for a small share of the time, not for half of it."""
    timed = Timed(monkeypatch)
    timed.take(took)
    assert timed.rests(rests)


def test_a_disk_that_always_takes_a_while_is_left_to_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    timed, taken = Timed(monkeypatch), 0
    while timed.spot.may_be_used():
        timed.take(0.006)
        taken += 1
    assert 1 < taken < 12 and timed.rests(0.3)
    timed.take(0.006)
    assert timed.rests(0.3)


def test_a_moment_without_the_processor_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    timed = Timed(monkeypatch)
    for took in [*[0.001] * 20, 0.02, *[0.001] * 20] * 3:
        timed.take(took)
        assert timed.spot.may_be_used()


def test_a_disk_that_is_fast_again_has_the_loop_again(monkeypatch: pytest.MonkeyPatch) -> None:
    timed, tries = Timed(monkeypatch), 0
    timed.take(1.0)
    assert timed.rests(50.0)
    timed.take(0.001)
    while timed.rests(0.05):
        timed.take(0.001)
        tries += 1
    assert timed.spot.may_be_used() and tries < 60


def test_one_that_found_others_writing_says_nothing_of_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(clock, "monotonic", lambda: now)
    spot = OnTheSpot(True)
    with suppress(TakesLongerError), spot:
        now += 1.0
        raise TakesLongerError
    assert spot.may_be_used()


def test_where_others_write_most_of_the_time_the_loop_does_not_try_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that is read or settled holds the lock again and again: each try in vain keeps the loop waiting."""
    timed = Timed(monkeypatch)

    def in_vain() -> None:
        with suppress(TakesLongerError), timed.spot:
            timed.now += 0.002
            raise TakesLongerError

    for _ in range(5):
        in_vain()
        in_vain()
        assert timed.spot.may_be_used()
        timed.take(0.001)
    in_vain()
    in_vain()
    in_vain()
    assert timed.rests(0.1)
    in_vain()
    assert timed.rests(0.1)
    timed.take(0.001)
    in_vain()
    assert timed.spot.may_be_used(), "one that is done ends the row"


def test_two_loops_of_one_database_are_on_the_spot_each_for_itself() -> None:
    """One that begins and ends there leaves the other where it is: it goes on waiting for a moment alone."""
    spot, inside, may_end = OnTheSpot(True), threading.Event(), threading.Event()
    seen: list[bool] = []

    def other() -> None:
        seen.append(spot.is_here)
        with spot:
            inside.set()
            assert may_end.wait(20)
            seen.append(spot.is_here)
        seen.append(spot.is_here)

    with spot:
        beside = threading.Thread(target=other)
        beside.start()
        assert inside.wait(20) and spot.is_here
        may_end.set()
        beside.join()
        assert spot.is_here
    assert seen == [False, True, False] and not spot.is_here
