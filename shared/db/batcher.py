"""Group commit: many awaiting callers, one flush.

A flush starts at once when none is under way; whoever comes meanwhile is gathered for the next. Callers who say that
they have time are gathered for PATIENT_SECONDS, while nobody else waits. It fails by item, not by group: a refusal is
that item's value, and a group whose flush raises is halved until the bad item stands alone. Only a database that is
away fails all of them, at once.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from shared.db import AmbiguousCommitError, is_away

I = TypeVar("I")  # noqa: E741
O = TypeVar("O")  # noqa: E741

#: How often a group whose COMMIT was ambiguous is read back before its error is the callers'.
AMBIGUOUS_TRIES = 5
#: How long those who have time wait for others: a transaction costs what some fifty items in it do.
PATIENT_SECONDS = 0.1


@dataclass(slots=True)
class _Waiting(Generic[I, O]):
    item: I
    weight: int
    answer: "asyncio.Future[O | Exception]"


class Batcher(Generic[I, O]):
    """Gathers items for `flush`, a list in, as many outcomes out; an Exception among them is its item's.

    `flush` must be repeatable: after an ambiguous COMMIT it is called again with the same items, and has to find
    what the first call left. `most` bounds the summed weight of one flush.
    """

    def __init__(self, flush: Callable[[Sequence[I]], Awaitable[Sequence[O | Exception]]], *, most: int = 500) -> None:
        self._flush = flush
        self._most = most
        self._waiting: deque[_Waiting[I, O]] = deque()
        #: There is somebody who waits and has no time, or enough for a flush.
        self._now = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    async def __call__(self, item: I, *, weight: int = 1, patient: bool = False) -> O:
        """Have `item` flushed with its neighbours; its outcome, or its exception raised.

        Cancelling the caller does not cancel the flush. `patient`: it has time for more to come.
        """
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        waiting: _Waiting[I, O] = _Waiting(item, weight, self._running.get_loop().create_future())
        self._waiting.append(waiting)
        if not patient or len(self._waiting) >= self._most:
            self._now.set()
        outcome = await waiting.answer
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    @property
    def pending(self) -> int:
        """Items that wait for a flush to start."""
        return len(self._waiting)

    async def drain(self) -> None:
        """Until nothing is waiting or being flushed."""
        while self._running is not None:
            await asyncio.shield(self._running)

    async def _run(self) -> None:
        try:
            await asyncio.sleep(0)
            while self._waiting:
                if not self._now.is_set():
                    with suppress(TimeoutError):
                        async with asyncio.timeout(PATIENT_SECONDS):
                            await self._now.wait()
                self._now.clear()
                group = self._take()
                if self._waiting:  # more than one flush takes
                    self._now.set()
                for waiting, outcome in zip(group, await self._outcomes(group), strict=True):
                    if not waiting.answer.done():  # its caller was cancelled
                        waiting.answer.set_result(outcome)
        finally:
            self._running = None

    def _take(self) -> list[_Waiting[I, O]]:
        group = [self._waiting.popleft()]
        weight = group[0].weight
        while self._waiting and weight + self._waiting[0].weight <= self._most:
            weight += self._waiting[0].weight
            group.append(self._waiting.popleft())
        return group

    async def _outcomes(self, group: list[_Waiting[I, O]]) -> list[O | Exception]:
        try:
            outcomes = await self._try([waiting.item for waiting in group])
            if len(outcomes) != len(group):
                raise RuntimeError(f"a flush of {len(group)} items gave {len(outcomes)} outcomes")
            return list(outcomes)
        except Exception as error:
            if len(group) == 1 or is_away(error):
                return [error] * len(group)
        half = len(group) // 2
        return await self._outcomes(group[:half]) + await self._outcomes(group[half:])

    async def _try(self, items: list[I]) -> Sequence[O | Exception]:
        for left in reversed(range(AMBIGUOUS_TRIES)):
            try:
                return await self._flush(items)
            except AmbiguousCommitError:
                if not left:
                    raise
                await asyncio.sleep(0.2)
        raise AssertionError("unreachable")
