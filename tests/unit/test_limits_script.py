"""The limits' script against a model, over hours: in a Redis within this process, whose clock the test moves."""

import time
from dataclasses import dataclass, field

import fakeredis
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from producer.admission.limits import script

HOUR, STEP = 3600.0, 1.2
MICROS = 1_000_000


@dataclass
class Model:
    """Every admission, with its time in seconds and what it took."""

    limit: int
    admitted: list[tuple[float, int]] = field(default_factory=list)

    def counted(self, now: float, seconds: float) -> int:
        return sum(cost for at, cost in self.admitted if at + seconds > now)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.floats(0, 1800), st.integers(1, 6), st.integers(0, 3)),
        min_size=1,
        max_size=60,
    ),
    st.integers(3, 20),
    st.integers(1, 3),
)
def test_an_hours_limit_holds_in_every_window_and_is_used_up(
    monkeypatch: pytest.MonkeyPatch, asks: list[tuple[float, int, int]], limit: int, cost: int
) -> None:
    """`asks`: a pause in seconds, how many requests then, and how much was admitted while Redis was away."""
    now = 1_700_000_000.0
    monkeypatch.setattr(time, "time", lambda: now)
    admit = fakeredis.FakeStrictRedis(server=fakeredis.FakeServer()).register_script(script.ADMIT)
    model = Model(limit)
    for pause, number, owed in asks:
        now += pause
        args = [round(HOUR * MICROS), round(STEP * MICROS), limit, number * cost, owed, cost]
        ((granted, counted, room, reset),) = admit(keys=["log"], args=args)
        least, most = model.counted(now, HOUR), model.counted(now, HOUR + STEP)
        assert least + owed <= counted <= most + owed, "each counts for its hour, and at most a step more"
        assert granted % cost == 0 and granted <= number * cost
        assert granted == 0 or counted + granted <= limit
        if granted < number * cost:
            assert counted + granted + cost > limit, "no request is refused while there is room for it"
            assert 0 < room <= (HOUR + STEP) * MICROS
        if granted + owed:
            model.admitted.append((now, granted + owed))
        assert 0 <= reset <= (HOUR + STEP) * MICROS


def test_room_is_there_when_it_was_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_700_000_000.0
    monkeypatch.setattr(time, "time", lambda: now)
    admit = fakeredis.FakeStrictRedis(server=fakeredis.FakeServer()).register_script(script.ADMIT)
    args = [round(HOUR * MICROS), round(STEP * MICROS), 2, 1, 0, 1]
    assert [admit(keys=["log"], args=args)[0][0] for _ in range(3)] == [1, 1, 0]
    room = admit(keys=["log"], args=args)[0][2]
    now += room / MICROS - 0.01
    assert admit(keys=["log"], args=args)[0][0] == 0
    now += 0.02
    assert [admit(keys=["log"], args=args)[0][0] for _ in range(3)] == [1, 1, 0]
