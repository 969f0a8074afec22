"""Schedules the work on batches: one process takes turns over the accounts, a slice of work each.

So a small batch is not kept waiting by a large one. What is done for a batch is in `workers.batches.stages`.
"""

import logging

from shared import clock, logs
from shared.batches import states
from shared.batches.states import Row
from shared.broker.bell import Bell
from shared.db import Database
from shared.errors import Unavailable
from workers.batches import stages
from workers.batches.releasing import Work
from workers.batches.stages import Stages

log = logging.getLogger(__name__)

#: Between two looks at the batches, in seconds: while one is unfinished, and while none is.
LOOK_SECONDS = 0.05
IDLE_SECONDS = 0.2
#: After which a batch that met an error, or waits for its workers to hear of a cancel, is taken up again; after each
#: further error in a row twice as long, up to the second.
AGAIN_SECONDS = 1.0
AGAIN_MOST_SECONDS = 60.0
#: A step that storage kept so long for nothing has shown that it hangs; meanwhile a batch that does not need storage
#: has its turn, for so many times as long.
HANGS_SECONDS = 1.0
SPARED = 4


class BatchScheduler:
    """One process's work on all unfinished batches. What is open in it (a file half read) is begun anew elsewhere."""

    def __init__(self, database: Database, ring: Bell) -> None:
        self._database = database
        self._stages = Stages(database, ring)
        self._works: dict[str, Work] = {}
        self._accounts: dict[str, str] = {}
        #: When a batch may be taken up again, monotonic: after an error, or while others must end its jobs.
        self._not_before: dict[str, float] = {}
        #: Errors in a row, by batch.
        self._errors: dict[str, int] = {}
        #: Works that do without storage; until when the others wait, monotonic.
        self._bare: set[str] = set()
        self._spared_until = 0.0
        self._look_at = 0.0
        #: No batch was unfinished at the last look.
        self.idle = False
        #: Whose turn was last.
        self._last_account = ""

    def run_once(self) -> bool:
        """A look when it is time, then a slice for each account with work, in turn until the next look."""
        if not self._works or clock.monotonic() > self._look_at:
            self._look()
        turns = {self._accounts[id]: id for id in reversed(self._works)}
        waiting = sorted(turns, key=lambda account: (account <= self._last_account, account))
        stepped = False
        for account in waiting:
            if turns[account] not in self._bare and clock.monotonic() < self._spared_until:
                continue
            self._last_account = account
            self._step(turns[account])
            stepped = True
            if clock.monotonic() > self._look_at:
                break
        return stepped

    def close(self) -> None:
        """Leave what is half done, and no half-written file behind."""
        for work in self._works.values():
            work.close()
        self._stages.close()

    def _look(self) -> None:
        """Take up what there is to do, the highest priority and oldest batch of each account first."""
        now = clock.monotonic()
        found = self._database.read_sync(states.look)
        rows, self.idle = found or [], found is None
        known = {row["id"]: row["account_id"] for row in rows}
        for id in self._works.keys() - known:
            self._works.pop(id).close()
        self._accounts = known
        self._not_before = {id: at for id, at in self._not_before.items() if id in known and at > now}
        self._errors = {id: count for id, count in self._errors.items() if id in known}
        self._bare &= known.keys()
        works = {row["id"]: self._works.get(row["id"]) or self._work_for(row) for row in rows}
        self._works = {id: work for id, work in works.items() if work is not None}
        self._look_at = clock.monotonic() + LOOK_SECONDS + 4 * (clock.monotonic() - now)

    def _step(self, id: str) -> None:
        began = clock.monotonic()
        try:
            next(self._works[id])
        except StopIteration:
            del self._works[id]
            self._errors.pop(id, None)
        except Exception as error:
            why = logs.kind(error) if isinstance(error, Unavailable) else logs.trace(error)
            log.error("batch %s failed, trying again later: %s", id, why)
            del self._works[id]
            self._put_off(id, clock.monotonic() - began if isinstance(error, Unavailable) else 0.0)

    def _put_off(self, id: str, kept_seconds: float) -> None:
        """Take a batch up again later, after an error for which storage kept this process so long."""
        errors = self._errors[id] = self._errors.get(id, 0) + 1
        now = clock.monotonic()
        self._not_before[id] = now + min(AGAIN_SECONDS * 2 ** min(errors - 1, 10), AGAIN_MOST_SECONDS)
        if kept_seconds > HANGS_SECONDS:
            self._spared_until = now + SPARED * kept_seconds

    def _work_for(self, row: Row) -> Work | None:
        """What is to be done for a batch now, if anything."""
        id = row["id"]
        self._bare.discard(id)
        stage = None if id in self._not_before else stages.due(row)
        if stage is None:
            return None
        if stage in stages.WITHOUT_STORAGE:
            self._bare.add(id)
        work = self._stages.begin(stage, row)
        return self._then_rest(id, work) if stage == "end_lines" else work

    def _then_rest(self, id: str, work: Work) -> Work:
        """The same work, after which the batch is left alone for a while: others must end its jobs."""
        self._not_before[id] = clock.monotonic() + AGAIN_SECONDS
        yield from work
