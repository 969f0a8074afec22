"""While an operator has paused a provider: its queued jobs that have another offer go on with that one."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from shared import clock
from shared.db import Database
from shared.jobs.turning import CHUNK, MOST, queues_of, turn, waiting_at

#: How long one pass goes on, and how long after the end of a queue it is looked through again, in seconds.
PASS_SECONDS: Final = 0.1
AGAIN_SECONDS: Final = 5.0


@dataclass(slots=True)
class _Walk:
    """How far a queue has been looked through."""

    ids: list[str] = field(default_factory=list)
    after: str = ""
    again_at: float = 0.0


@dataclass(slots=True)
class Turner:
    """One sweeping process's; several may run at once, a job is turned by one of them."""

    database: Database
    _walks: dict[str, _Walk] = field(default_factory=dict)

    def run_once(self, paused: Collection[str]) -> int:
        """Look through the queues of paused providers, for a moment each; how many jobs were turned."""
        queues = queues_of(paused)
        self._walks = {queue: self._walks.get(queue) or _Walk() for queue in queues}
        return sum(self._look(queue, self._walks[queue], paused) for queue in queues)

    def _look(self, queue: str, walk: _Walk, paused: Collection[str]) -> int:
        turned, until = 0, clock.monotonic() + PASS_SECONDS
        while (walk.ids or self._read(queue, walk)) and clock.monotonic() < until:
            some, walk.ids = walk.ids[:CHUNK], walk.ids[CHUNK:]
            turned += self.database.write_sync(turn, queue, some, paused)
        return turned

    def _read(self, queue: str, walk: _Walk) -> bool:
        """The next ids; at the end of the queue it begins anew, after a while."""
        if clock.monotonic() < walk.again_at:
            return False
        walk.ids = self.database.read_sync(waiting_at, queue, walk.after)
        walk.after = walk.ids[-1] if len(walk.ids) == MOST else ""
        if not walk.after:
            walk.again_at = clock.monotonic() + AGAIN_SECONDS
        return bool(walk.ids)
