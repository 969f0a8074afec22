"""Runs an operation once for each Idempotency-Key, in one transaction with the row that keeps its answer."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from producer.admission import audited, idempotency, kept_secrets
from producer.admission.audited import Entry
from producer.admission.idempotency import Claim
from shared import strict_json
from shared.broker.bell import Bell
from shared.db import Database
from shared.queues import WEBHOOKS

#: How often a race for an idempotency key that was lost is tried again.
RACES = 3


async def run_once(database: Database, claim: Claim | None, fn: Callable[..., Any], *args: Any) -> tuple[str, bool]:
    """What `fn(connection, *args)` returns, as JSON, and whether it was given before."""
    entry = audited.current()
    for _ in range(RACES):
        try:
            return await database.write(_once, claim, entry, fn, args)
        except IntegrityError:
            continue
    return await database.write(_once, claim, entry, fn, args)


async def run_once_delivering(
    database: Database, bell: Bell, claim: Claim | None, fn: Callable[..., tuple[Any, list[str]]], *args: Any
) -> tuple[str, bool]:
    """`run_once`, for a thing that also makes webhook deliveries due: they are rung for when it was done just now."""
    answer, replayed, deliveries = await run_once_due(database, claim, fn, *args)
    ring_deliveries(bell, deliveries)
    return answer, replayed


async def run_once_due(
    database: Database, claim: Claim | None, fn: Callable[..., tuple[Any, list[str]]], *args: Any
) -> tuple[str, bool, list[str]]:
    """`run_once`, and the ids of deliveries to ring for, which `fn` returns beside its value; none for a replay."""
    due: list[str] = []

    def keeping(connection: Connection) -> Any:
        value, due[:] = fn(connection, *args)
        return value

    answer, replayed = await run_once(database, claim, keeping)
    return answer, replayed, [] if replayed else due


def ring_deliveries(bell: Bell, deliveries: list[str]) -> None:
    """Wake the senders of webhooks for deliveries that are due."""
    if deliveries:
        bell.ring(WEBHOOKS, deliveries)


def _once(
    connection: Connection, claim: Claim | None, entry: Entry | None, fn: Callable[..., Any], args: tuple[Any, ...]
) -> tuple[str, bool]:
    if claim is None:
        return strict_json.dumps(audited.answered(connection, entry, fn, args)), False
    known = idempotency.find(connection, [claim])
    if claim.place in known and (before := known[claim.place].standing(claim)) is not None:
        idempotency.keep_sdk(connection, idempotency.taken_up(claim, before), known)
        return kept_secrets.shown(connection, before.response), True
    answer = audited.answered(connection, entry, fn, args)
    kept = [(claim, 200, strict_json.dumps(kept_secrets.hidden(answer)))]
    idempotency.keep(connection, kept)
    idempotency.keep_sdk(connection, kept, known)
    return strict_json.dumps(answer), False
