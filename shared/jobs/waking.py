"""Which queued jobs are woken next: an equal share of each account's, marked so that one process alone offers them.

The feeder rings for what it marks; a worker that cannot hear the broker marks for itself.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, func, select, text, update

from shared import clock
from shared.db.models import jobs
from shared.db.models.jobs import TO_WAKE

#: Accounts that get their turn in one pass over a queue.
ACCOUNTS = 256


def queues_waiting(connection: Connection) -> list[str]:
    """The queues that have jobs to wake, by name: one index probe each and one more, whatever the backlog."""
    statement = select(func.min(jobs.c.queue)).where(text(f"{TO_WAKE} AND queue > :after"))
    found: list[str] = []
    while (following := connection.execute(statement, {"after": found[-1] if found else ""}).scalar_one()) is not None:
        found.append(following)
    return found


def accounts_waiting(connection: Connection, queue: str, after: str, most: int | None = None) -> list[str]:
    """The next accounts, by id, that have jobs to wake: one index probe each, whatever the backlog."""
    statement = select(func.min(jobs.c.account_id)).where(
        jobs.c.queue == queue, text(f"{TO_WAKE} AND account_id > :after")
    )
    found: list[str] = []
    while len(found) < (most or ACCOUNTS):
        following = connection.execute(statement, {"after": found[-1] if found else after}).scalar_one()
        if following is None:
            break
        found.append(following)
    return found


def mark(connection: Connection, queue: str, accounts: Sequence[str], room: int) -> list[str]:
    """Mark up to `room` due jobs as woken, the highest priority and oldest first, an equal share of each account.

    What an account does not take of its share is divided over those that have more.
    """
    now = clock.now_micros()
    shares: dict[str, list[str]] = {account: [] for account in accounts}
    asked = list(accounts)
    while asked and room > 0:
        share, more = -(-room // len(asked)), []
        for account in asked:
            found = _mark(connection, queue, account, min(share, room), now)
            shares[account] += found
            room -= len(found)
            if found and len(found) == share:
                more.append(account)
        asked = more
    turns = range(max(map(len, shares.values()), default=0))
    return [ids[turn] for turn in turns for ids in shares.values() if turn < len(ids)]


def _mark(connection: Connection, queue: str, account: str, most: int, now: int) -> list[str]:
    if most <= 0:
        return []
    waiting = (
        select(jobs.c.id)
        .where(jobs.c.queue == queue, jobs.c.account_id == account, jobs.c.run_at <= now)
        .where(text(TO_WAKE))
        .order_by(jobs.c.priority.desc(), jobs.c.id)
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    ids = list(connection.execute(waiting).scalars())
    if ids:
        connection.execute(update(jobs).where(jobs.c.id.in_(ids)).values(woken_at=now))
    return ids
