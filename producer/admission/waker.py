"""Rings for jobs that have just been accepted; those for which the broker does not answer are left to the feeder."""

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial

from shared.background import BackgroundTasks
from shared.broker.bell import Bell
from shared.broker.loop_bell import LoopBell
from shared.db import Database
from shared.jobs import leases

log = logging.getLogger(__name__)


class Waker:
    """Rings for the jobs that one event loop has accepted: from its own thread where it can, or from the bell's."""

    def __init__(self, database: Database, bell: Bell) -> None:
        self._database = database
        self._bell = bell
        self._loop_bell = LoopBell(bell, self._ring_again)
        #: Doorbells that ring just now.
        self._rings: set[Future[bool]] = set()
        self._unwoken = BackgroundTasks(log, "jobs could not be queued, the sweep will queue them: %s")

    def ring(self, loop: asyncio.AbstractEventLoop, queue: str, ids: Sequence[str], *, first: bool) -> None:
        """Ring for some jobs; from the loop's thread or another. `first`: as their first lease."""
        if not (_runs_here(loop) and self._loop_bell.ring(queue, ids, first=first)):
            self._on_thread(loop, queue, ids, first)

    async def close(self) -> None:
        """Until all that rings has been heard, or is left to the feeder."""
        await self._loop_bell.close()
        if rings := list(self._rings):
            await asyncio.wait([asyncio.wrap_future(ring) for ring in rings])
        await asyncio.sleep(0)  # what `_rung` has asked of the event loop is done by then
        if self._unwoken:
            await asyncio.wait(list(self._unwoken))

    def _ring_again(self, queue: str, ids: Sequence[str], first: bool) -> None:
        self._on_thread(asyncio.get_running_loop(), queue, ids, first)

    def _on_thread(self, loop: asyncio.AbstractEventLoop, queue: str, ids: Sequence[str], first: bool) -> None:
        ring = self._bell.ring(queue, ids, first=first)
        self._rings.add(ring)
        ring.add_done_callback(partial(self._rung, loop, ids))

    def _rung(self, loop: asyncio.AbstractEventLoop, ids: Sequence[str], ring: "Future[bool]") -> None:
        """On the bell's thread."""
        if not ring.result():
            loop.call_soon_threadsafe(lambda: self._unwoken.start(self._database.write(leases.unwake, ids)))
        self._rings.discard(ring)


def _runs_here(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the calling thread is the loop's own."""
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
