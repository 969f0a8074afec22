"""Jobs that are leased and wait a moment for a slot of their queue: a call that ends lets the next begin at once."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence

from shared import clock
from shared.jobs.leases import Leased
from workers.running.slots import Slots

#: A job that has waited for so long is handed back, as others may have a slot for it: the calls here have become slow.
MOST_SECONDS = 3.0


class LeasedAhead:
    """Those of one engine; on its event loop.

    `begin` runs a job that holds a slot; `hand_back` queues jobs again, by id and epoch.
    """

    def __init__(
        self, slots: Slots, begin: Callable[[Leased], None], hand_back: Callable[[Sequence[tuple[str, int]]], None]
    ) -> None:
        self._slots = slots
        self._begin = begin
        self._hand_back = hand_back
        #: By queue and id, the longest waiting first: each with the instant since when.
        self._waiting: dict[str, OrderedDict[str, tuple[Leased, float]]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __contains__(self, id: str) -> bool:
        return any(id in jobs for jobs in self._waiting.values())

    def add(self, job: Leased) -> None:
        """Begin a job that has been leased, as soon as there is a slot for it."""
        if self._slots.hold(job.queue):
            self._begin(job)
            return
        self._waiting.setdefault(job.queue, OrderedDict())[job.id] = job, clock.monotonic()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(MOST_SECONDS, self._return_late)

    def fill(self, queue: str) -> None:
        """Begin as many as there are slots for."""
        jobs = self._waiting.get(queue)
        while jobs and self._slots.hold(queue):
            job, _ = jobs.popitem(last=False)[1]
            self._begin(job)

    def out_of_turn(self, id: str) -> bool:
        """Begin this job whether or not there is a slot; False: it does not wait here."""
        for queue, jobs in self._waiting.items():
            if found := jobs.pop(id, None):
                self._slots.hold(queue, beyond=True)
                self._begin(found[0])
                return True
        return False

    def drop(self, queue: str, *, before: float | None = None) -> None:
        """Hand back those of a queue; `before`: that have waited since before this instant."""
        jobs = self._waiting.get(queue, OrderedDict())
        dropped = [job for job, since in jobs.values() if before is None or since <= before]
        for job in dropped:
            del jobs[job.id]
        self._slots.give_back(queue, len(dropped))
        self._hand_back([(job.id, job.epoch) for job in dropped])

    def drop_all(self) -> None:
        """Hand back those of all queues."""
        for queue in self._waiting:
            self.drop(queue)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _return_late(self) -> None:
        self._timer = None
        for queue in self._waiting:
            self.drop(queue, before=clock.monotonic() - MOST_SECONDS)
        if oldest := [next(iter(jobs.values()))[1] for jobs in self._waiting.values() if jobs]:
            left = max(min(oldest) + MOST_SECONDS - clock.monotonic(), 0.0)
            self._timer = asyncio.get_running_loop().call_later(left, self._return_late)
