"""What a job does whose provider is paused: in its slot, put off, or at its other offer."""

import pytest

from shared.queues import Lane
from workers.pacing import Wait
from workers.running.paused import LASTED_SECONDS, seconds_in_slot, seconds_put_off, turns


def paused(lasted: float = 0.0, seconds: float = 1.2, *, barred: bool = False) -> Wait:
    return Wait(seconds, "503", paused=True, barred=barred, lasted=lasted)


@pytest.mark.parametrize("lasted", [0.0, 0.4, 0.9])
def test_a_line_with_another_offer_keeps_its_slot_until_it_may_turn_and_then_turns(lasted: float) -> None:
    wait = paused(lasted)
    assert not turns(wait, "batch", another_left=True)
    kept = seconds_in_slot(wait, "batch", another_left=True)
    assert kept > 0 and turns(paused(lasted + kept), "batch", another_left=True)


@pytest.mark.parametrize("wait", [paused(1.0), paused(0.1, barred=True)])
def test_a_line_turns_at_once_when_it_has_lasted_or_waiting_is_in_vain(wait: Wait) -> None:
    assert turns(wait, "batch", another_left=True) and seconds_in_slot(wait, "batch", another_left=True) == 0
    assert not turns(wait, "batch", another_left=False)


@pytest.mark.parametrize("lane", ["batch", "realtime"])
def test_what_is_only_slowed_down_keeps_no_slot_here(lane: Lane) -> None:
    assert seconds_in_slot(Wait(0.5, "429"), lane, another_left=True) == 0


def test_a_line_without_another_offer_gives_its_slot_back_until_the_provider_is_tried_again() -> None:
    assert seconds_in_slot(paused(), "batch", another_left=False) == 0
    assert seconds_put_off(paused(seconds=4.0), another_left=False) == 4.0
    assert seconds_put_off(Wait(4.0, "429"), another_left=True) == LASTED_SECONDS


def test_a_caller_waits_in_the_slot_for_a_short_pause_and_turns_after_it() -> None:
    assert seconds_in_slot(paused(seconds=0.7), "realtime", another_left=True) == 0.7
    assert seconds_in_slot(paused(seconds=3.0), "realtime", another_left=True) == 0
    assert turns(paused(), "realtime", another_left=True) and not turns(paused(), "realtime", another_left=False)
