"""Group commit: at once when idle, together while busy, failing by item, deaf to a caller's cancellation."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy.exc import OperationalError

from shared.db import AmbiguousCommitError
from shared.db import batcher as batcher_module
from shared.db.batcher import AMBIGUOUS_TRIES, Batcher


class Flush:
    """Records each flush; while `gate` is closed a flush is under way. Items in `bad` make their group fail."""

    def __init__(self, bad: Sequence[Any] = ()) -> None:
        self.groups: list[list[Any]] = []
        self.bad = set(bad)
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, items: Sequence[Any]) -> Sequence[Any]:
        self.groups.append(list(items))
        await self.gate.wait()
        if self.bad.intersection(items):
            raise ValueError("a bad item")
        return [f"done {item}" for item in items]


async def settle_down() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_an_idle_batcher_flushes_at_once() -> None:
    async def scene() -> None:
        flush = Flush()
        batcher: Batcher[int, str] = Batcher(flush)
        assert await batcher(1) == "done 1"
        assert await batcher(2) == "done 2"
        assert flush.groups == [[1], [2]] and batcher.pending == 0

    asyncio.run(scene())


def test_who_comes_during_a_flush_is_gathered_for_the_next() -> None:
    async def scene() -> None:
        flush = Flush()
        flush.gate.clear()
        batcher: Batcher[int, str] = Batcher(flush)
        first = asyncio.create_task(batcher(0))
        await settle_down()
        rest = [asyncio.create_task(batcher(n)) for n in range(1, 50)]
        await settle_down()
        assert flush.groups == [[0]] and batcher.pending == 49
        flush.gate.set()
        assert await asyncio.gather(first, *rest) == [f"done {n}" for n in range(50)]
        assert flush.groups == [[0], list(range(1, 50))]

    asyncio.run(scene())


def test_a_refusal_is_its_items_value_and_nobody_elses() -> None:
    async def flush(items: Sequence[int]) -> Sequence[int | Exception]:
        return [KeyError(item) if item % 2 else item for item in items]

    async def scene() -> list[Any]:
        batcher: Batcher[int, int] = Batcher(flush)
        return await asyncio.gather(*(batcher(n) for n in range(6)), return_exceptions=True)

    outcomes = asyncio.run(scene())
    assert [type(outcome) for outcome in outcomes] == [int, KeyError] * 3


@hypothesis_settings(max_examples=50, deadline=None)
@given(count=st.integers(1, 40), bad=st.sets(st.integers(0, 39), max_size=5))
def test_halving_isolates_the_bad_ones(count: int, bad: set[int]) -> None:
    async def scene() -> tuple[list[Any], Flush]:
        flush = Flush(bad=[n for n in bad if n < count])
        batcher: Batcher[int, str] = Batcher(flush)
        outcomes = await asyncio.gather(*(batcher(n) for n in range(count)), return_exceptions=True)
        return outcomes, flush

    outcomes, flush = asyncio.run(scene())
    for n, outcome in enumerate(outcomes):
        assert isinstance(outcome, ValueError) if n in bad else outcome == f"done {n}"
    most = 1 + 2 * len(flush.bad) * (count.bit_length() + 1)
    assert len(flush.groups) <= most, "a bad item costs a logarithm of flushes, not one for each neighbour"


def test_a_flush_that_answers_too_little_fails_its_items_instead_of_mixing_them() -> None:
    async def flush(items: Sequence[int]) -> Sequence[int]:
        return list(items[:-1])

    async def scene() -> list[Any]:
        batcher: Batcher[int, int] = Batcher(flush)
        return await asyncio.gather(batcher(1), batcher(2), return_exceptions=True)

    assert all(isinstance(outcome, RuntimeError) for outcome in asyncio.run(scene()))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The batcher's pauses, noted instead of slept."""
    pauses: list[float] = []
    real = asyncio.sleep

    async def noted(seconds: float) -> None:
        pauses.append(seconds)
        await real(0)

    monkeypatch.setattr(batcher_module.asyncio, "sleep", noted)
    return pauses


@pytest.mark.parametrize("failing", range(AMBIGUOUS_TRIES))
def test_an_ambiguous_commit_is_tried_again_with_the_same_items(failing: int, quick: list[float]) -> None:
    groups: list[list[int]] = []

    async def flush(items: Sequence[int]) -> Sequence[int]:
        groups.append(list(items))
        if len(groups) <= failing:
            raise AmbiguousCommitError
        return items

    async def scene() -> list[Any]:
        batcher: Batcher[int, int] = Batcher(flush)
        return await asyncio.gather(batcher(1), batcher(2), return_exceptions=True)

    outcomes = asyncio.run(scene())
    assert groups[: min(failing + 1, AMBIGUOUS_TRIES)] == [[1, 2]] * min(failing + 1, AMBIGUOUS_TRIES)
    assert outcomes == [1, 2]
    assert quick.count(0.2) == min(failing, AMBIGUOUS_TRIES - 1)


def test_a_database_that_is_away_fails_a_group_whole_and_at_once(quick: list[float]) -> None:
    """Halving would ask a database that does not answer once for every item, and find nothing out."""
    groups: list[list[int]] = []

    async def flush(items: Sequence[int]) -> Sequence[int]:
        groups.append(list(items))
        raise OperationalError("UPDATE", None, Exception("database is locked"))

    async def scene() -> list[Any]:
        batcher: Batcher[int, int] = Batcher(flush)
        return await asyncio.gather(*(batcher(n) for n in range(8)), return_exceptions=True)

    outcomes = asyncio.run(scene())
    assert all(isinstance(outcome, OperationalError) for outcome in outcomes)
    assert groups == [list(range(8))]


def test_a_database_that_stays_away_is_the_callers_error(quick: list[float]) -> None:
    async def flush(items: Sequence[int]) -> Sequence[int]:
        raise AmbiguousCommitError

    async def scene() -> None:
        batcher: Batcher[int, int] = Batcher(flush)
        with pytest.raises(AmbiguousCommitError):
            await batcher(1)

    asyncio.run(scene())


def test_a_cancelled_caller_does_not_cancel_the_flush() -> None:
    async def scene() -> None:
        flush = Flush()
        flush.gate.clear()
        batcher: Batcher[int, str] = Batcher(flush)
        callers = [asyncio.create_task(batcher(n)) for n in range(3)]
        await settle_down()
        callers[0].cancel()
        callers[2].cancel()
        await settle_down()
        late = asyncio.create_task(batcher(9))
        flush.gate.set()
        assert await callers[1] == "done 1" and await late == "done 9"
        assert flush.groups == [[0, 1, 2], [9]] and callers[0].cancelled()
        await batcher.drain()

    asyncio.run(scene())


@hypothesis_settings(max_examples=50, deadline=None)
@given(weights=st.lists(st.integers(1, 12), min_size=1, max_size=30), most=st.integers(1, 10))
def test_the_weight_of_a_flush_is_bounded(weights: list[int], most: int) -> None:
    async def scene() -> Flush:
        flush = Flush()
        batcher: Batcher[tuple[int, int], str] = Batcher(flush, most=most)
        await asyncio.gather(*(batcher((n, weight), weight=weight) for n, weight in enumerate(weights)))
        return flush

    groups = asyncio.run(scene()).groups
    assert [item for group in groups for item in group] == list(enumerate(weights)), "each once, in order"
    assert all(len(group) == 1 or sum(weight for _, weight in group) <= most for group in groups)


def test_drain_waits_for_what_is_gathered_too() -> None:
    async def scene() -> None:
        flush = Flush()
        flush.gate.clear()
        batcher: Batcher[int, str] = Batcher(flush)
        callers = [asyncio.create_task(batcher(0))]
        await settle_down()
        callers.append(asyncio.create_task(batcher(1)))
        await settle_down()
        drained = asyncio.create_task(batcher.drain())
        await settle_down()
        assert not drained.done()
        flush.gate.set()
        await drained
        assert flush.groups == [[0], [1]]
        await asyncio.gather(*callers)

    asyncio.run(scene())
