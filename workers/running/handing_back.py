"""Queues again what is leased to this process and will not be run by it, however long the database is away."""

import asyncio
import logging
from collections.abc import Sequence

from shared import logs
from shared.db import Database
from shared.jobs import leases

log = logging.getLogger(__name__)

#: Between two tries, in seconds.
AGAIN_SECONDS = 0.5


async def hand_back(database: Database, held: Sequence[tuple[str, int]]) -> None:
    """Ids and epochs; those of them that are somebody else's by then are left alone."""
    while True:
        try:
            await database.write(leases.hand_back, held)
            return
        except Exception as error:
            log.warning("could not return %d jobs to the queue, trying again: %s", len(held), logs.kind(error))
        await asyncio.sleep(AGAIN_SECONDS)
