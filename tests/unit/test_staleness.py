"""What a sweeper has seen before: for which due deliveries it rings again, and how often."""

from itertools import pairwise

from workers.maintenance.staleness import LONGEST_AGAIN_SECONDS, RingWatch


def test_what_stays_due_is_rung_for_less_and_less_often() -> None:
    """It waits in somebody's line: a minute of looks, one a second, rings nine times and not sixty."""
    watch = RingWatch()
    rung = [second for second in range(60) if watch.look({"dlv_1": 0}, float(second))]
    assert rung[:4] == [0, 2, 6, 14] and len(rung) == 9
    assert max(later - before for before, later in pairwise(rung)) == LONGEST_AGAIN_SECONDS


def test_what_is_new_or_due_anew_or_was_forgotten_is_rung_for_at_once() -> None:
    watch = RingWatch()
    assert watch.look({"dlv_1": 5}, 0.0) == ["dlv_1"]
    assert watch.look({"dlv_1": 5, "dlv_2": 0}, 1.0) == ["dlv_2"]
    assert watch.look({"dlv_1": 7, "dlv_2": 0}, 1.5) == ["dlv_1"], "it has been tried meanwhile"
    assert watch.look({}, 1.6) == [] and watch.look({"dlv_2": 0}, 1.7) == ["dlv_2"]


def test_what_the_broker_did_not_take_is_rung_for_again() -> None:
    watch = RingWatch()
    assert watch.look({"dlv_1": 0, "dlv_2": 0}, 0.0) == ["dlv_1", "dlv_2"]
    watch.lose(["dlv_2"])
    assert watch.look({"dlv_1": 0, "dlv_2": 0}, 1.0) == ["dlv_2"]
