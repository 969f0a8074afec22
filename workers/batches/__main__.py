"""Takes turns over the batches until SIGTERM: `python -m workers.batches`."""

import logging
import signal
import threading

from sqlalchemy.exc import SQLAlchemyError

from shared import garbage, logs
from shared.broker.bell import bell
from shared.db import AmbiguousCommitError, Database
from shared.settings import keep_private, settings
from workers.batches.rounds import LOOK_SECONDS, Batches

log = logging.getLogger("workers.batches")


def main() -> None:
    """Work until SIGTERM."""
    logs.start()
    keep_private()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    database = Database(settings().database_url)
    taking_turns = Batches(database, bell())
    garbage.collect_seldom()
    while not stop.is_set():
        try:
            busy = taking_turns.run_once()
        except (SQLAlchemyError, AmbiguousCommitError) as error:
            log.error("the database is unavailable: %s", type(error).__name__)
            busy = False
        if not busy:
            stop.wait(LOOK_SECONDS)
    taking_turns.close()
    bell().close()
    database.close()


if __name__ == "__main__":
    main()
