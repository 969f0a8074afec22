"""Jobs that lost a worker run again in a process of their own (`workers.process.probation`), in ever smaller groups.

So a poison job drags down nobody but itself.
"""

import contextlib
import signal
import subprocess
import sys
from collections.abc import Callable

from sqlalchemy import Connection, select, text

from shared import clock, processes
from shared.db import Database
from shared.db import models as m
from shared.db.models.jobs import TO_WAKE
from shared.environment import inherited
from shared.queues import PROBATION

#: Jobs that may run together in a probation process.
GROUP_MOST = 1000
#: How long a stopping sweeper waits for its probation process to hand its jobs back.
STOP_SECONDS = 3.0


class ProbationSupervisor:
    """Keeps one probation process while there is work for it, and knows at once when it has died."""

    def __init__(self, database: Database, lapse_one: Callable[[Connection, str], None]) -> None:
        self._database = database
        self._lapse_one = lapse_one
        self._child: subprocess.Popen[bytes] | None = None
        self._child_id = ""

    def run_once(self) -> None:
        """Start a process when jobs wait and none runs; lapse the incarnation of one that died."""
        if self._child is not None:
            status = processes.reap(self._child)
            if status is None:
                return
            self._child = None
            if status != 0:
                self._database.write_sync(self._lapse_one, self._child_id)
        if self._database.read_sync(next_group):
            self._child_id = clock.new_id("wrk")
            argv = [sys.executable, "-m", "workers.process.probation", self._child_id]
            # A sweeper that is killed takes no job with it: its child hands them back, and ends.
            self._child = processes.start(argv, inherited(), orphaned=signal.SIGTERM)

    def stop(self) -> None:
        """Let the process hand its jobs back, and end."""
        if self._child is None:
            return
        self._child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(STOP_SECONDS)


def next_group(connection: Connection) -> list[str]:
    """The jobs that may run together next: of the largest cohort waiting, as many as it says."""
    statement = (
        select(m.jobs.c.id, m.jobs.c.cohort)
        .where(m.jobs.c.queue == PROBATION, m.jobs.c.run_at <= clock.now_micros())
        .where(text(TO_WAKE))  # never woken: the index of what waits serves it
        .order_by(m.jobs.c.cohort.desc(), m.jobs.c.id)
        .limit(GROUP_MOST)
    )
    rows = connection.execute(statement).all()
    return [row.id for row in rows[: rows[0].cohort] if row.cohort == rows[0].cohort] if rows else []
