"""When a realtime job is refused because it would wait too long: the age of the queue's head over its speed."""

from typing import Any, cast

import pytest

from producer.admission.overload import Overload
from shared import clock
from shared.errors import Unavailable
from tests.integration import world

QUEUE = "openai.realtime"
SECOND = clock.MICROS


@pytest.fixture
def bell() -> world.RecordedBell:
    return world.RecordedBell()


@pytest.fixture
def overload(bell: world.RecordedBell) -> Any:
    with world.virtual_time():
        yield Overload(cast(Any, None), bell)


def drain(overload: Overload, *, speed: float, age: float, looks: int = 12) -> None:
    """Looks a second apart at a queue whose head is `age` old at last and moves `speed` seconds a second."""
    now = clock.now_micros()
    for look in range(looks):
        left = looks - 1 - look
        overload.look({QUEUE: now + look * SECOND - int((age - left * (1 - speed)) * SECOND)})
        clock.shift(SECOND)
    clock.shift(-SECOND)


def test_an_empty_queue_and_a_young_head_are_no_overload(overload: Overload) -> None:
    overload.check(QUEUE, 28)
    drain(overload, speed=0.0, age=3)
    overload.check(QUEUE, 28)
    overload.look({})
    overload.check(QUEUE, 28)


def test_an_old_head_that_moves_is_waited_for(overload: Overload) -> None:
    drain(overload, speed=1.0, age=20)
    overload.check(QUEUE, 28)
    overload.check("anthropic.realtime", 28)


def test_a_head_that_moves_too_slowly_is_refused_with_when_to_come_again(overload: Overload) -> None:
    drain(overload, speed=0.25, age=20)
    with pytest.raises(Unavailable) as refused:
        overload.check(QUEUE, 28)
    assert 40 <= cast(int, refused.value.retry_after_seconds) <= 60


def test_a_queue_that_does_not_move_at_all(overload: Overload) -> None:
    drain(overload, speed=0.0, age=14)
    with pytest.raises(Unavailable):
        overload.check(QUEUE, 28)


def test_it_recovers_as_soon_as_the_queue_is_empty(overload: Overload) -> None:
    drain(overload, speed=0.0, age=14)
    overload.look({})
    overload.check(QUEUE, 28)


def turn(bell: world.RecordedBell, up: bool) -> None:
    bell.up = up
    bell.check()


def test_while_the_broker_is_away_that_is_the_reason_and_a_little_later_is_soon_enough(
    overload: Overload, bell: world.RecordedBell
) -> None:
    turn(bell, up=False)
    drain(overload, speed=0.0, age=14)
    with pytest.raises(Unavailable, match="the job queue is unavailable") as refused:
        overload.check(QUEUE, 28)
    assert cast(int, refused.value.retry_after_seconds) <= 5


def test_a_head_that_stood_while_the_broker_was_away_is_no_overload_afterwards(
    overload: Overload, bell: world.RecordedBell
) -> None:
    turn(bell, up=False)
    drain(overload, speed=0.0, age=60, looks=40)
    turn(bell, up=True)
    drain(overload, speed=1.0, age=61, looks=3)
    overload.check(QUEUE, 28)


def test_a_head_that_stands_long_after_the_broker_is_back_is_one(overload: Overload, bell: world.RecordedBell) -> None:
    turn(bell, up=False)
    overload.look({})
    turn(bell, up=True)
    drain(overload, speed=0.0, age=14, looks=14)
    with pytest.raises(Unavailable, match="provider queue is full; retry later"):
        overload.check(QUEUE, 28)
