"""The batches process: works on all batches in turn until SIGTERM: `python -m workers.batches`."""

import logging

from sqlalchemy.exc import SQLAlchemyError

from shared import logs, processes
from shared.broker.bell import bell
from shared.db import AmbiguousCommitError, Database, schema
from shared.providers.statistics_watch import StatisticsWatch
from shared.settings import keep_private, settings
from shared.stopping import on_signals
from workers.batches.scheduler import IDLE_SECONDS, LOOK_SECONDS, BatchScheduler

log = logging.getLogger("workers.batches")


def main() -> None:
    """Work until SIGTERM."""
    logs.start()
    keep_private()
    schema.require(settings().database_url)
    stop = on_signals()
    database = Database(settings().database_url)
    scheduler = BatchScheduler(database, bell())
    bell().greet()
    processes.collect_seldom()
    watch = StatisticsWatch(settings().redis_url).start()
    while not stop.is_set():
        try:
            busy = scheduler.run_once()
        except (SQLAlchemyError, AmbiguousCommitError) as error:
            log.error("the database is not available: %s", type(error).__name__)
            busy = False
        if not busy:
            stop.wait(IDLE_SECONDS if scheduler.idle else LOOK_SECONDS)
    watch.stop()
    scheduler.close()
    bell().close()
    database.close()


if __name__ == "__main__":
    main()
