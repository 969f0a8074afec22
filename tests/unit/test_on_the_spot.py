"""Who is on the spot, and how long an event loop rests from it."""

import threading
from contextlib import suppress

import pytest

from shared import clock
from shared.db.on_the_spot import OnTheSpot, TakesLongerError


@pytest.mark.parametrize(("took", "rests"), [(0.003, 0.0), (0.02, 1.0), (1.0, 50.0), (3600.0, 60.0)])
def test_the_longer_one_lasted_the_longer_the_loop_rests(
    monkeypatch: pytest.MonkeyPatch, took: float, rests: float
) -> None:
    """A disk that takes a second to write has the loop for a small share of the time, not for half of it."""
    now = 100.0
    monkeypatch.setattr(clock, "monotonic", lambda: now)
    spot = OnTheSpot(True)
    with spot:
        now += took
    assert spot.may_be_used() == (rests == 0.0)
    now += max(0.0, rests - 0.01)
    assert spot.may_be_used() == (rests == 0.0)
    now += 0.02
    assert spot.may_be_used()


def test_one_that_found_others_writing_says_nothing_of_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(clock, "monotonic", lambda: now)
    spot = OnTheSpot(True)
    with suppress(TakesLongerError), spot:
        now += 1.0
        raise TakesLongerError
    assert spot.may_be_used()


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
