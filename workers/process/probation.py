"""Runs jobs that lost a worker again, group after group, until none is left: `python -m workers.process.probation ID`.

The sweeper starts it (`workers.maintenance.probation`) with the id of its incarnation.
"""

import logging
import signal
import sys

from shared import logs, network, telemetry
from shared.queues import PROBATION
from shared.settings import keep_private
from shared.stopping import on_signals
from workers.maintenance.probation import GROUP_MOST, next_group
from workers.process.runtime import Runtime

log = logging.getLogger(__name__)

#: Between two looks whether a group is through, or SIGTERM has come.
LOOK_SECONDS = 0.02


def main() -> None:
    """Run group after group, each to its end, as one incarnation."""
    logs.start()
    keep_private()
    network.check()
    telemetry.start("worker")
    runtime = Runtime(slots={PROBATION: GROUP_MOST}, probation=True, worker_id=sys.argv[1])
    runtime.start()
    stop = on_signals(signal.SIGTERM)
    while not stop.is_set() and (group := runtime.read(next_group)):
        log.info("running %d jobs again that lost a worker", len(group))
        runtime.offer(PROBATION, group)
        quiet = runtime.begin(runtime.engine.quiet())
        while not quiet.done() and not stop.wait(LOOK_SECONDS):
            pass
    runtime.stop()
    telemetry.stop()


if __name__ == "__main__":
    main()
