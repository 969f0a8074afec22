"""Admission to one provider's model in one process: turns, patience, lanes, pauses, and what is reported."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from shared import clock
from shared.providers.limits import ProviderLimit, RateLimits
from shared.providers.states import FIRST_LIMIT, ProviderState
from workers.pacing.gate import AHEAD, LEAST_WAITING, MOST_OWED, MOST_OWED_IN_ALL, RESERVE, Gate, Go, Wait

#: Batch calls of the first limit, of which a tenth is left to realtime calls.
AT_ONCE = math.ceil(FIRST_LIMIT - max(FIRST_LIMIT * RESERVE, 1))

Play = Callable[[Gate], Awaitable[None]]


def play(scene: Play, **state: Any) -> None:
    """Play a scene at a gate whose state is as given; times are seconds from now."""

    async def main() -> None:
        gate = Gate("openai/gpt-4", "w")
        for name in ("held_until", "paused_until", "probe_until"):
            if name in state:
                state[name] += gate.now()
        gate.state = ProviderState(**state)
        async with asyncio.timeout(10):
            await scene(gate)

    asyncio.run(main())


def test_nothing_known_nothing_waits_up_to_the_limit() -> None:
    async def scene(gate: Gate) -> None:
        went = [await gate.enter("batch", 1.0) for _ in range(AT_ONCE)]
        assert all(isinstance(one, Go) for one in went) and gate.in_flight == AT_ONCE
        following = asyncio.ensure_future(gate.enter("batch", 1.0))
        await asyncio.sleep(0)
        assert not following.done(), "a tenth of the limit is left to realtime calls"
        gate.release()
        assert isinstance(await following, Go) and gate.in_flight == AT_ONCE
        assert gate.take_report().limit_used

    play(scene)


def test_realtime_calls_go_before_batch_ones_and_are_not_held_to_the_rate() -> None:
    async def scene(gate: Gate) -> None:
        assert isinstance(await gate.enter("batch", 1.0), Go)
        waiting = asyncio.ensure_future(gate.enter("batch", 1.0))
        for _ in range(20):
            assert isinstance(await gate.enter("realtime", 1.0), Go)
        assert not waiting.done()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert gate.in_flight == 21, "who stops waiting takes no turn"

    play(scene, rate=2.0)


def test_a_batch_is_sent_at_the_rate_and_what_would_wait_long_is_put_off_in_a_row() -> None:
    async def scene(gate: Gate) -> None:
        begun = asyncio.get_running_loop().time()
        entered = [asyncio.ensure_future(gate.enter("batch", 0.5)) for _ in range(60)]
        outcomes = await asyncio.gather(*entered)
        took = asyncio.get_running_loop().time() - begun
        went = [one for one in outcomes if isinstance(one, Go)]
        waits = [one.seconds for one in outcomes if isinstance(one, Wait)]
        assert len(went) <= 40 * (took + AHEAD) + 1 and len(went) >= LEAST_WAITING
        assert len(waits) == 60 - len(went) and waits == sorted(waits) and min(waits) >= 0.5
        assert max(waits) <= 0.5 + 60 / 40 + 0.1 and gate.take_report().wanted >= 60 - len(went)

    play(scene, rate=40.0, limit=1000.0)


def test_a_hold_is_waited_for_when_it_is_short_and_told_when_it_is_long() -> None:
    async def scene(gate: Gate) -> None:
        assert isinstance(await gate.enter("realtime", 1.0), Go), "0.2 s were waited for"
        gate.state.held_until = gate.now() + 30
        wait = await gate.enter("realtime", 1.0)
        assert isinstance(wait, Wait) and wait.reason == "429" and not wait.paused and 29 < wait.seconds <= 30
        assert isinstance(await gate.enter("batch", 1.0), Wait)

    play(scene, held_until=0.2, held_for="429")


@pytest.mark.parametrize("whole", [False, True])
def test_who_waits_is_sent_away_when_the_provider_is_paused(whole: bool) -> None:
    async def scene(gate: Gate) -> None:
        gate.whole = Gate("openai/*", "w", models=[gate])
        for _ in range(AT_ONCE):
            await gate.enter("batch", 1.0)
        waiting = [asyncio.ensure_future(gate.enter("batch", 1.0)) for _ in range(5)]
        await asyncio.sleep(0)
        paused = ProviderState(version=1, paused_until=gate.now() + 20, paused_for="503")
        (gate.whole if whole else gate).adopt(paused, gate.ahead)
        outcomes = await asyncio.gather(*waiting)
        assert all(isinstance(one, Wait) and one.paused and one.reason == "503" for one in outcomes)
        assert gate.in_flight == AT_ONCE

    play(scene)


def test_nothing_is_sent_while_what_matters_is_being_told() -> None:
    async def scene(gate: Gate) -> None:
        gate.reporting = True
        waiting = asyncio.ensure_future(gate.enter("realtime", 1.0))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        gate.adopt(gate.state, gate.ahead)
        assert isinstance(await waiting, Go)

    play(scene)


@pytest.mark.parametrize(
    ("state", "barred", "failed"),
    [
        pytest.param(ProviderState(version=1), False, 4, id="a cut ends no outage"),
        pytest.param(ProviderState(version=1), True, 0, id="our key has been refused"),
        pytest.param(ProviderState(version=1, resumed=1), False, 0, id="it has responded again"),
        pytest.param(ProviderState(version=1, paused_until=9e9), False, 0, id="it is paused already"),
    ],
)
def test_of_what_was_sent_under_an_earlier_version_answers_are_reported_and_what_tells_of_an_outage(
    state: ProviderState, barred: bool, failed: int
) -> None:
    async def scene(gate: Gate) -> None:
        gate.report.admitted, gate.report.refused, gate.report.failed, gate.report.barred = 3, 2, 4, barred
        gate.adopt(state, 0.0)
        made = gate.take_report()
        assert (made.version, made.admitted, made.refused, made.failed) == (1, 3, 0, failed)

    play(scene)


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        (ProviderLimit(600, 580, 2.0), 10.0),
        (ProviderLimit(600, 1, 59.9), 10.0),
        (ProviderLimit(600, 600, 0.0), None),
        (ProviderLimit(600, 599, 3600.0), None),
        (ProviderLimit(10, 5, 0.5), None),
        (ProviderLimit(600, None, 2.0), None),
        (ProviderLimit(None, 5, 2.0), None),
    ],
)
def test_a_told_limit_is_believed_when_its_numbers_fit_together(limit: ProviderLimit, told: float | None) -> None:
    async def scene(gate: Gate) -> None:
        gate.learn(RateLimits(requests=limit), 0)
        assert gate.take_report().told is None, "told once"
        gate.learn(RateLimits(requests=limit), 0)
        assert gate.take_report().told == told
        gate.learn(None, 0)
        gate.learn(RateLimits(requests=limit), 0)
        assert gate.take_report().told is None

    play(scene)


def test_what_calls_used_of_a_tokens_limit_is_waited_for_by_batches_alone() -> None:
    async def scene(gate: Gate) -> None:
        gate.tokens = 1000.0
        gate.learn(None, 1200)
        assert isinstance(await gate.enter("realtime", 0.1), Go)
        begun = asyncio.get_running_loop().time()
        assert isinstance(await gate.enter("batch", 1.0), Go)
        assert 0.4 < asyncio.get_running_loop().time() - begun < 1.0
        gate.learn(RateLimits(tokens=ProviderLimit(6_000, 5_000, 10.0)), 100_000)
        assert gate.take_report().told is None

    play(scene)


def test_a_count_of_tokens_that_cannot_be_holds_batches_for_minutes_at_most() -> None:
    async def scene(gate: Gate) -> None:
        gate.tokens = 0.001
        for most in (MOST_OWED, MOST_OWED_IN_ALL):
            for _ in range(round(most / MOST_OWED)):
                gate.learn(None, 2**41)
            assert gate._tokens_at - clock.monotonic() <= most

    play(scene)


def test_realtime_calls_are_not_held_to_a_limit_that_batches_have_found() -> None:
    async def scene(gate: Gate) -> None:
        for _ in range(20):
            assert isinstance(await gate.enter("realtime", 0.1), Go)

    play(scene, limit=1.0, learned=True)
