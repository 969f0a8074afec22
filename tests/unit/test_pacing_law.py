"""The law of paces: against providers with limits in virtual time, and rule by rule."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.providers.states import FIRST_LIMIT, ProviderState, dump, load
from tests.unit.rate_limited import Provider, drain
from workers.pacing import law, outages
from workers.pacing.law import step
from workers.pacing.outages import QUIET, SOON, Pauses
from workers.pacing.reports import Report

NOW = 1000.0


def told(state: ProviderState, now: float = NOW, **seen: object) -> list[str]:
    """One report of what was seen, under the present version."""
    report = Report("w", state.version, **seen)  # type: ignore[arg-type]
    return step(state, report, now, pauses=Pauses(first=1.0, most=30.0), jitter=0.0)


@pytest.mark.parametrize("retry_after", [0.0, 1.0])
@pytest.mark.parametrize("latency", [0.003, 0.05, 0.5, 2.0])
def test_a_batch_gets_what_a_provider_of_600_a_minute_admits_and_few_refusals(
    latency: float, retry_after: float
) -> None:
    provider = Provider(latency=latency, retry_after=retry_after)
    run = drain(provider, 1319)
    assert run.admitted / (provider.burst + provider.a_second * run.seconds) >= 0.9
    assert run.refused_share < 0.05


def test_a_fast_provider_with_a_limit_as_well() -> None:
    provider = Provider(a_second=100, burst=200, retry_after=1.0)
    run = drain(provider, 10_000)
    assert run.admitted / (provider.burst + provider.a_second * run.seconds) >= 0.9 and run.refused_share < 0.02


def test_a_provider_that_takes_50_at_once() -> None:
    run = drain(Provider(at_once=50, latency=1.0), 3000)
    assert run.admitted / run.seconds >= 0.7 * 50 and run.refused_share < 0.02


@pytest.mark.parametrize(("at_once", "latency"), [(50, 1.0), (50, 0.1), (1000, 1.0)])
def test_a_provider_that_has_no_room_for_more_is_used_whole(at_once: int, latency: float) -> None:
    run = drain(Provider(at_once=at_once, latency=latency, overload=True), 10_000)
    assert run.admitted / run.seconds >= 0.6 * at_once / latency and run.refused_share < 0.2


@pytest.mark.parametrize(("fails", "least"), [(0.01, 400.0), (0.09, 250.0), (0.2, 20.0)])
def test_calls_that_find_no_room_at_any_pace_slow_nobody_else(fails: float, least: float) -> None:
    run = drain(Provider(at_once=10_000, latency=0.3, overload=True, fails=fails), 10_000)
    assert run.admitted / run.seconds >= least
    assert run.refused_share == pytest.approx(fails, abs=0.02)


def test_an_overload_while_others_are_served_holds_nobody_and_one_in_four_does() -> None:
    state = ProviderState()
    told(state, admitted=9)
    told(state, NOW, refused=3, refused_for="503", in_flight=20, limit_used=True)
    assert state.held_until == 0.0 and state.limit == FIRST_LIMIT - 3 * law.EASING
    told(state, NOW + 0.2, refused=1, refused_for="503", in_flight=20)
    assert state.held_until > NOW and state.held_for == "503"


def test_a_refusal_for_the_rate_slows_however_many_are_served() -> None:
    state = ProviderState()
    told(state, admitted=1000)
    told(state, NOW + 0.1, refused=1, rated=True, in_flight=20)
    assert state.held_until > NOW and state.rate is not None


def test_a_provider_without_a_limit_is_soon_asked_for_all_there_is() -> None:
    run = drain(Provider(at_once=10_000, latency=0.5), 20_000)
    assert run.refused == 0 and run.seconds < 12


def test_what_was_learned_serves_the_next_batch() -> None:
    provider = Provider(retry_after=1.0)
    state = drain(provider, 1319).state
    again = drain(Provider(retry_after=1.0), 600, state=ProviderState(rate=state.rate, peak=state.peak, proven=True))
    assert again.refused <= 5


def test_a_refusal_under_an_earlier_version_is_no_evidence() -> None:
    state = ProviderState()
    told(state, refused=1, rated=True, in_flight=16)
    rate, version = state.rate, state.version
    step(state, Report("w", version - 1, refused=40, rated=True), NOW + 1, pauses=Pauses(), jitter=0.0)
    assert (state.rate, state.version) == (rate, version)


def test_retry_after_is_kept_to_by_all_once_it_is_more_than_one_call_s() -> None:
    state = ProviderState()
    told(state, refused=1, rated=True, hold=37.0, in_flight=3)
    assert state.held_until == NOW + law.FIRST_HOLD
    told(state, NOW + 2, refused=1, rated=True, hold=37.0, in_flight=3)
    assert state.held_until == NOW + 2 + 37.0


def test_failures_while_others_are_served_pause_nobody() -> None:
    state = ProviderState()
    told(state, admitted=1)
    assert told(state, NOW + 1, failed=300, failed_for="500") == [] and not state.paused
    assert told(state, NOW + 3, failed=1, failed_for="500") and state.paused


def test_a_told_limit_is_forgotten_when_it_is_not_told_again() -> None:
    state = ProviderState()
    told(state, told=0.5)
    told(state, NOW + law.TOLD)
    assert state.told == 0.5
    told(state, NOW + law.TOLD + 1)
    assert state.told is None


def test_one_call_that_is_asked_to_wait_for_an_hour_does_not_hold_all_others_for_that() -> None:
    state = ProviderState()
    for _ in range(2):
        told(state, refused=1, rated=True, hold=3600.0, in_flight=3)
    assert state.held_until == NOW + 60.0


def test_refusals_in_a_row_make_the_pause_longer_and_the_limit_one() -> None:
    state = ProviderState()
    holds = []
    now = NOW
    for _ in range(8):
        told(state, now, refused=1, rated=True, in_flight=5)
        holds.append(state.held_until - now)
        now = state.held_until
    assert holds == sorted(holds) and holds[0] == law.HOLD and holds[-1] == law.MOST_HOLD and state.limit == 1.0


def test_one_caller_s_refusals_on_a_quiet_model_slow_a_later_batch_but_little() -> None:
    state = ProviderState()
    for turn in range(3):
        told(state, NOW + 60 * turn, admitted=1, in_flight=1)
    for turn in range(4):
        told(state, NOW + 200 + turn, refused=1, rated=True, in_flight=1)
    told(state, NOW + 240, admitted=1, in_flight=1)
    assert (state.rate or 9.0) >= 1.8 and state.limit == 1.0
    now, waited = NOW + 240, 0
    while state.limit < 20:
        now, waited = now + 0.25, waited + 1
        told(state, now, in_flight=int(state.limit), limit_used=True)
    assert waited * 0.25 <= 10, "slow answers do not keep it small"


def test_an_overload_cuts_what_is_in_flight_and_no_rate() -> None:
    state = ProviderState()
    told(state, refused=1, limit_used=True, in_flight=16)
    assert state.rate is None and state.limit == pytest.approx(16 * law.LIMIT_CUT)


def test_a_provider_that_is_down_is_paused_and_tried_by_one_alone() -> None:
    state = ProviderState()
    assert told(state, failed=outages.FAILURES - 1, failed_for="503") == []
    (line,) = told(state, failed=1, failed_for="503")
    assert "503" in line and state.paused and state.paused_until == NOW + 1
    assert not outages.claim(state, "w", NOW + 0.9)
    assert outages.claim(state, "w", NOW + 1) and not outages.claim(state, "v", NOW + 1)
    assert outages.claim(state, "v", NOW + 1 + outages.PROBE)


@given(
    last=st.floats(0, 1),
    first=st.floats(0, 1),
    jitters=st.lists(st.floats(0, 1), min_size=20),
    seconds=st.floats(0, 0.2),
)
def test_a_provider_that_is_down_is_found_out_as_soon_as_it_has_been_quiet(
    last: float, first: float, jitters: list[float], seconds: float
) -> None:
    """Whenever it last answered, and however the holds after its refusals fall; `seconds`: how long a call takes."""
    state = ProviderState()
    told(state, NOW + last, admitted=20)
    now = NOW + last + first
    for jitter in jitters:
        report = Report("w", state.version, failed=10, failed_for="503", refused=10, refused_for="503", in_flight=10)
        step(state, report, now, pauses=Pauses(), jitter=jitter)
        if state.paused:
            break
        now = max(state.held_until, now) + seconds
    assert state.paused and now - (NOW + last) <= max(first, QUIET + SOON) + seconds + 1e-6


def test_each_probe_that_fails_doubles_the_pause_and_says_nothing_more() -> None:
    state = ProviderState()
    told(state, failed=outages.FAILURES, failed_for="connect")
    waits, now = [], NOW
    for _ in range(8):
        now = state.paused_until
        assert outages.claim(state, "w", now)
        assert told(state, now, failed=1, failed_for="connect", probed=True) == []
        waits.append(state.paused_until - now)
    assert waits == [2, 4, 8, 16, 30, 30, 30, 30] and state.paused_since == NOW


def test_a_failure_of_a_call_sent_before_the_pause_changes_nothing() -> None:
    state = ProviderState()
    told(state, failed=outages.FAILURES, failed_for="503")
    before = dump(state)
    step(state, Report("w", state.version - 1, failed=400, failed_for="503"), NOW + 0.1, pauses=Pauses(), jitter=0.0)
    after = load(before)
    assert after is not None and (after.paused_until, after.pauses) == (state.paused_until, state.pauses)


@pytest.mark.parametrize("seen", [{"admitted": 1}, {"admitted": 1, "probed": True}, {"refused": 1, "probed": True}])
def test_any_answer_ends_a_pause(seen: dict[str, object]) -> None:
    state = ProviderState()
    told(state, failed=outages.FAILURES, failed_for="503")
    (line,) = told(state, NOW + 1, **seen)
    assert not state.paused and state.pauses == 0 and "503" in line


def test_a_refused_key_pauses_at_once() -> None:
    state = ProviderState()
    assert told(state, failed=1, failed_for="401", barred=True) and state.paused_for == "401"


def test_a_probe_that_was_not_made_lets_another_try() -> None:
    state = ProviderState()
    told(state, failed=outages.FAILURES, failed_for="503")
    assert outages.claim(state, "w", NOW + 1)
    told(state, NOW + 1, probed=True)
    assert outages.claim(state, "v", NOW + 1)


def test_the_share_is_by_what_is_wanted_and_a_silent_worker_has_none() -> None:
    state = ProviderState()
    step(state, Report("a", 0, wanted=300), NOW, pauses=Pauses(), jitter=0.0)
    step(state, Report("b", 0, wanted=100), NOW + 1, pauses=Pauses(), jitter=0.0)
    assert law.share(state, "a") == 0.75 and law.share(state, "b") == 0.25
    step(state, Report("b", 0, wanted=100), NOW + 1 + law.GONE, pauses=Pauses(), jitter=0.0)
    assert law.share(state, "b") == 1.0


@pytest.mark.parametrize(
    "document",
    ['{"limit": 0}', '{"rate": 0}', '{"rate": "x"}', '{"probe_until": null}', '{"workers": 3}', '{"told": -1}'],
)
def test_a_document_that_cannot_be_is_not_believed(document: str) -> None:
    assert load(document) is None


def test_a_document_of_another_version_is_read() -> None:
    assert load(b'{"version": 3, "invented": 1}') == ProviderState(version=3)
    assert load(b"[]") is None and load(b"{") is None and load(None) is None


SEEN = st.fixed_dictionaries(
    {
        "admitted": st.integers(0, 50),
        "refused": st.integers(0, 3),
        "rated": st.booleans(),
        "failed": st.integers(0, 9),
        "hold": st.floats(0, 100),
        "in_flight": st.integers(0, 3000),
        "limit_used": st.booleans(),
        "rate_used": st.booleans(),
        "probed": st.booleans(),
        "barred": st.booleans(),
        "wanted": st.integers(0, 5000),
    }
)


@given(st.lists(st.tuples(SEEN, st.floats(0, 20)), max_size=40))
def test_whatever_is_seen_calls_go_on_some_day(seen: list[tuple[dict[str, object], float]]) -> None:
    state, now = ProviderState(), NOW
    for one, later in seen:
        now += later
        told(state, now, **one)
        assert state.limit >= 1 and (state.rate is None or state.rate >= law.LEAST_RATE * law.CUT)
        assert state.held_until <= now + 100 + law.MOST_HOLD and state.paused_until <= now + 100 + 30 * 1.25
        assert load(dump(state)) == state
    assert FIRST_LIMIT >= 1


def test_a_clock_that_was_set_back_holds_nobody_up() -> None:
    state = ProviderState()
    told(state, NOW + 9_000_000, failed=outages.FAILURES, failed_for="503", refused=1, rated=True, in_flight=2)
    told(state, NOW)
    assert state.held_until <= NOW + 60 and state.paused_until <= NOW + 2
    assert outages.claim(state, "w", NOW + 60)
    told(state, NOW + 60, admitted=5, rate_used=True)
    rate = state.rate or 0.0
    told(state, NOW + 60 + 61, admitted=5, rate_used=True)
    told(state, NOW + 60 + 62, admitted=5, rate_used=True)
    assert (state.rate or 0.0) > rate, "it grows again"


def test_failures_of_calls_sent_before_a_cut_tell_of_an_outage_and_those_before_it_responded_again_do_not() -> None:
    before_the_cut, before_it_responded = ProviderState(version=3), ProviderState(version=3, resumed=3)
    for state in (before_the_cut, before_it_responded):
        step(state, Report("w", 2, failed=5, failed_for="503"), NOW, pauses=Pauses(), jitter=0.0)
    assert (before_the_cut.failures, before_the_cut.paused) == (5, True)
    assert (before_it_responded.failures, before_it_responded.paused) == (0, False)
