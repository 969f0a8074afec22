"""Jobs that are leased and wait a moment for a slot of their queue: who ends a call lets the next begin at once."""

from collections import OrderedDict
from collections.abc import Callable

from shared.jobs.leases import Leased
from workers.running.slots import Slots


class LeasedAhead:
    """Those of one engine; on its event loop. `begin` runs a job that holds a slot."""

    def __init__(self, slots: Slots, begin: Callable[[Leased], None]) -> None:
        self._slots = slots
        self._begin = begin
        self._waiting: dict[str, OrderedDict[str, Leased]] = {}

    def __contains__(self, id: str) -> bool:
        return any(id in jobs for jobs in self._waiting.values())

    def add(self, job: Leased) -> None:
        """Begin a job that has been leased, as soon as there is a slot for it."""
        if self._slots.hold(job.queue):
            self._begin(job)
        else:
            self._waiting.setdefault(job.queue, OrderedDict())[job.id] = job

    def fill(self, queue: str) -> None:
        """Begin as many as there are slots for."""
        jobs = self._waiting.get(queue)
        while jobs and self._slots.hold(queue):
            self._begin(jobs.popitem(last=False)[1])

    def out_of_turn(self, id: str) -> bool:
        """Begin this job whether or not there is a slot; False: it does not wait here."""
        for queue, jobs in self._waiting.items():
            if job := jobs.pop(id, None):
                self._slots.hold(queue, beyond=True)
                self._begin(job)
                return True
        return False

    def drop(self, queue: str) -> list[Leased]:
        """Those of a queue, which wait no longer: they are to be handed back."""
        dropped = list(self._waiting.pop(queue, {}).values())
        self._slots.give_back(queue, len(dropped))
        return dropped

    def drop_all(self) -> list[Leased]:
        """Those of all queues."""
        return [job for queue in list(self._waiting) for job in self.drop(queue)]
