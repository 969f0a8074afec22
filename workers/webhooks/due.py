"""Finds the webhook deliveries that are due, for the sweeper, for workers without a broker, and for a webhook's line.

Of each webhook a few, found by its own part of an index: one with 100,000 due deliveries costs no more to look at than
one with a hundred, and crowds no other out.
"""

import json
from itertools import chain, zip_longest
from typing import Final

from sqlalchemy import Connection, text

from shared import clock, db
from shared.db.models.events import PENDING

#: A delivery due for longer than this has lost its doorbell, or its sender.
DUE_SECONDS: Final = 1.0
#: Deliveries found in one look, unless there are too many webhooks to have even LEAST each.
MOST: Final = 400
#: Deliveries of one webhook in one look: at most, and at least, if it has as many. A line that is offered so many looks
#: for more when it has sent them.
EACH, LEAST = 100, 4


def due_deliveries(connection: Connection) -> list[tuple[str, int]]:
    """Deliveries that may be sent: of each webhook in turn; with each, since when, in microseconds.

    Of those to be sent at once that is 0, and it is not known whether their doorbell has just rung; the others' is long
    gone.
    """
    late = db.now(connection) - int(DUE_SECONDS * clock.MICROS)
    webhooks = connection.execute(_WEBHOOKS, {"late": late}).scalars().all()
    if not webhooks:
        return []
    given = list(webhooks) if connection.dialect.name == "postgresql" else json.dumps(list(webhooks))
    each = min(EACH, max(LEAST, MOST // len(webhooks)))
    found: dict[str, list[tuple[str, int]]] = {}
    for row in connection.execute(_FIRST[connection.dialect.name], {"webhooks": given, "late": late, "each": each}):
        found.setdefault(row.webhook_id, []).append((row.id, row.next_at))
    return [one for one in chain.from_iterable(zip_longest(*found.values())) if one is not None]


def due_ids(connection: Connection) -> list[str]:
    """The same deliveries' ids."""
    return [id for id, _ in due_deliveries(connection)]


def due_of(connection: Connection, webhook_id: str, most: int) -> list[str]:
    """The first deliveries of one webhook that may be sent now."""
    given = {"webhook": webhook_id, "now": db.now(connection), "most": most}
    return list(connection.execute(_OF_ONE, given).scalars())


#: Webhooks with a delivery that is late. From one webhook with pending deliveries to the next by the index, not over
#: all their rows.
_WEBHOOKS: Final = text(
    f"""
    WITH RECURSIVE found(id) AS (
        SELECT (SELECT min(webhook_id) FROM deliveries WHERE {PENDING})
        UNION ALL
        SELECT (SELECT min(d.webhook_id) FROM deliveries d WHERE d.{PENDING} AND d.webhook_id > found.id)
        FROM found WHERE found.id IS NOT NULL
    )
    SELECT id FROM found WHERE id IS NOT NULL AND EXISTS (
        SELECT 1 FROM deliveries d WHERE d.webhook_id = found.id AND d.{PENDING} AND d.next_at <= :late
    )
    """
)
_OF_ONE: Final = text(
    f"""
    SELECT id FROM deliveries
    WHERE webhook_id = :webhook AND {PENDING} AND next_at <= :now ORDER BY next_at LIMIT :most
    """
)
#: The first few of each of these webhooks; the databases have no common word for it.
_FIRST: Final = {
    "postgresql": text(
        f"""
        SELECT first.webhook_id, first.id, first.next_at FROM unnest(CAST(:webhooks AS text[])) AS of(id)
        CROSS JOIN LATERAL (
            SELECT d.webhook_id, d.id, d.next_at FROM deliveries d
            WHERE d.webhook_id = of.id AND d.{PENDING} AND d.next_at <= :late ORDER BY d.next_at LIMIT :each
        ) AS first
        """
    ),
    "sqlite": text(
        f"""
        SELECT first.webhook_id, first.id, first.next_at FROM json_each(:webhooks) AS of
        JOIN deliveries first ON first.id IN (
            SELECT d.id FROM deliveries d
            WHERE d.webhook_id = of.value AND d.{PENDING} AND d.next_at <= :late ORDER BY d.next_at LIMIT :each
        )
        """
    ),
}
