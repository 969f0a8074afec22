"""Work on many rows in transactions so small that no other writer waits for long."""

from collections.abc import Callable

from sqlalchemy import Connection

from shared.db import Database

#: Rows changed in one transaction, and transactions of one kind in one sweep.
MANY, ROUNDS = 1000, 20


def in_chunks(database: Database, work: Callable[[Connection], int]) -> None:
    """Transaction after transaction of up to MANY rows, so that no other writer waits for long."""
    for _ in range(ROUNDS):
        if database.write_sync(work) < MANY:
            return
