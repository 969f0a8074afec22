"""Counts that are made at most once a second for each thing that is counted, however many clients ask for them."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from shared import clock

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

#: How long a count is given again, in seconds, and in its own durations: a slow database is not asked all the time.
SECONDS: Final = 1.0
DURATIONS: Final = 10.0
#: Counts remembered, unless their owner says otherwise.
REMEMBERED: Final = 1000


@dataclass(slots=True)
class _Kept(Generic[V]):
    """A count that is under way, or was made and is still good."""

    task: "asyncio.Future[V]"
    until: float = 0.0

    def is_good(self) -> bool:
        return not self.task.done() or clock.monotonic() < self.until


@dataclass(slots=True)
class KeptCounts(Generic[K, V]):
    """One process's counts, by what is counted."""

    remembered: int = REMEMBERED
    _kept: dict[K, _Kept[V]] = field(default_factory=dict)

    async def of(self, key: K, count: Callable[[], Awaitable[V]], *, lasts: bool = False) -> V:
        """The count, at most a second old; all who ask meanwhile wait for the same one. `lasts`: it never changes."""
        kept = self._kept.get(key)
        if kept is None or not kept.is_good():
            kept = self._begin(key, count, lasts)
        return await asyncio.shield(kept.task)

    def _begin(self, key: K, count: Callable[[], Awaitable[V]], lasts: bool) -> _Kept[V]:
        began = clock.monotonic()
        kept = _Kept(asyncio.ensure_future(count()))

        def counted(task: "asyncio.Future[V]") -> None:
            if not task.cancelled() and task.exception() is None:
                seconds = max(SECONDS, DURATIONS * (clock.monotonic() - began))
                kept.until = float("inf") if lasts else began + seconds

        kept.task.add_done_callback(counted)
        self._kept.pop(key, None)
        self._kept[key] = kept
        if len(self._kept) > self.remembered:
            del self._kept[next(iter(self._kept))]
        return kept
