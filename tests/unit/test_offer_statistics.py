"""The script that adds to offers' statistics, over hours, in a Redis in this process whose clock the test moves."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import fakeredis
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.providers.statistics import (
    FIELDS,
    HALF_LIFE_SECONDS,
    KEEP_SECONDS,
    MOST_SUM,
    SEEN,
    SUMS,
    OfferStatistics,
    of_document,
)
from shared.providers.statistics_watch import read_all
from shared.submissions import routing
from workers.pacing.statistics import ADD

GPT = "openai/gpt-4"


@dataclass
class Server:
    """A Redis whose clock stands at `now`."""

    now: float = 1_795_000_000.0
    redis: fakeredis.FakeStrictRedis = field(
        default_factory=lambda: fakeredis.FakeStrictRedis(server=fakeredis.FakeServer())
    )
    most: int = 100

    def add(self, name: str, *sums: float) -> None:
        """Add to an offer's sums: calls, failures, and counts and seconds of the two times."""
        args = [HALF_LIFE_SECONDS, KEEP_SECONDS, self.most, name, *sums, *[0] * (6 - len(sums))]
        self.redis.register_script(ADD)(keys=[SUMS, SEEN], args=args)

    def known(self, name: str = GPT) -> OfferStatistics | None:
        return read_all(self.redis).get(name)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    made = Server()
    monkeypatch.setattr(time, "time", lambda: made.now)
    return made


def test_a_call_loses_half_of_its_weight_in_each_half_life(server: Server) -> None:
    server.add(GPT, 8, 4, 4, 2.0, 4, 12.0)
    server.now += HALF_LIFE_SECONDS
    assert server.known() == OfferStatistics(0.5, 0.5, 3.0, pytest.approx(4))
    server.add(GPT, 4, 0, 0, 0.0, 4, 4.0)
    found = server.known()
    assert found is not None and found.calls == pytest.approx(8) and found.error_rate == pytest.approx(0.25)
    assert found.total_seconds == pytest.approx((6 + 4) / (2 + 4)) and found.first_seconds == pytest.approx(0.5)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.floats(0, 3000), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=20))
def test_sums_are_those_of_each_call_by_its_age(
    monkeypatch: pytest.MonkeyPatch, seen: list[tuple[float, int, int]]
) -> None:
    """`seen`: a pause in seconds, answers and failures then."""
    server, calls = Server(), list[tuple[float, int, int]]()
    monkeypatch.setattr(time, "time", lambda: server.now)
    for pause, good, bad in seen:
        server.now += pause
        server.add(GPT, good + bad, bad)
        calls.append((server.now, good, bad))
    weights = [(0.5 ** ((server.now - at) / HALF_LIFE_SECONDS), good, bad) for at, good, bad in calls]
    total = sum(weight * (good + bad) for weight, good, bad in weights)
    failed = sum(weight * bad for weight, _, bad in weights)
    found = server.known()
    assert found is not None and found.calls == pytest.approx(total, rel=1e-6, abs=1e-9)
    assert found.error_rate == pytest.approx(failed / max(total, 1.0), rel=1e-6, abs=1e-9)


def test_an_offer_that_nobody_calls_is_not_avoided_for_ever(server: Server) -> None:
    server.add(GPT, 16, 16)
    rates = []
    for _ in range(8):
        found = server.known()
        assert found is not None
        rates.append(found.error_rate)
        server.now += HALF_LIFE_SECONDS
    assert rates[:5] == [1.0] * 5 and rates[5:] == [pytest.approx(each) for each in (0.5, 0.25, 0.125)]


def test_a_clock_that_is_set_back_weighs_nothing_up(server: Server) -> None:
    server.add(GPT, 8)
    server.now -= 10 * HALF_LIFE_SECONDS
    server.add(GPT, 1)
    found = server.known()
    assert found is not None and found.calls == pytest.approx(9)


def test_what_is_kept_has_bounds_and_an_end(server: Server) -> None:
    server.most = 3
    for number in range(5):
        server.now += 1
        server.add(f"openai/{number}", 1)
    assert read_all(server.redis).keys() == {"openai/2", "openai/3", "openai/4"}
    assert 0 < server.redis.ttl(SUMS) <= KEEP_SECONDS and 0 < server.redis.ttl(SEEN) <= KEEP_SECONDS
    server.now += KEEP_SECONDS / 2
    server.add("openai/4", 1)
    server.now += KEEP_SECONDS / 2
    server.add(GPT, 1)
    assert read_all(server.redis).keys() == {"openai/4", GPT}


def _other_types(server: Server) -> None:
    server.redis.set(SUMS, "x")
    server.redis.rpush(SEEN, "x")


@pytest.mark.parametrize(
    "spoil",
    [
        _other_types,
        *(
            lambda server, kept=kept: server.redis.hset(SUMS, GPT, kept)
            for kept in ("{", "[1, 2]", "7", "null", '{"at": 1e999, "calls": -5}', '{"at": "x", "calls": {}}')
        ),
    ],
)
def test_what_is_no_statistics_is_written_anew(server: Server, spoil: Callable[[Server], object]) -> None:
    spoil(server)
    server.add(GPT, 2, 1, 0, 0.0, 1, 3.0)
    assert server.known() == OfferStatistics(0.5, None, 3.0, pytest.approx(2))


@pytest.mark.parametrize("document", ["{", "[]", "null", '{"at": "x"}', '{"calls": {}}'])
def test_what_cannot_be_read_is_not_known(document: str) -> None:
    assert of_document(document, 0.0) is None


def test_what_a_newer_version_adds_does_not_matter() -> None:
    document = '{"at": 0, "calls": 2, "failures": 1, "tokens": {"output": 9}, "version": "2"}'
    assert of_document(document, 0.0) == OfferStatistics(0.5, None, None, 2.0)


@pytest.mark.parametrize("value", ['"nan"', '"inf"', "1e308", "-5", '"-inf"', "null", "[]", "5e-324", "true"])
def test_damaged_sums_are_passed_over_or_finite_and_never_prevent_a_choice(server: Server, value: str) -> None:
    for name in FIELDS:
        sums = {"at": server.now, **dict.fromkeys(FIELDS, 1.0)}
        document = orjson.dumps(sums).decode().replace(f'"{name}":1.0', f'"{name}":{value}')
        found = of_document(document, server.now)
        if found is None:
            continue
        numbers = [found.error_rate, found.calls, found.first_seconds or 0.0, found.total_seconds or 0.0]
        assert all(0 <= number < MOST_SUM for number in numbers), document
        known = routing.Candidate("m", "p", 1, found.error_rate, found.first_seconds, found.total_seconds, found.calls)
        order = routing.by_weights([routing.Candidate("n", "q", 1), known], routing.DEFAULT_WEIGHTS, lambda: b"k")
        assert sorted(order.indexes) == [0, 1]


def test_what_was_written_before_redis_s_clock_was_set_back_is_not_known(server: Server) -> None:
    server.add(GPT, 16, 16)
    server.now -= 7200
    assert server.known() is None, "the offer would be avoided for two hours"
    server.add(GPT, 1, 0)
    found = server.known()
    assert found is not None and found.calls == pytest.approx(17)
