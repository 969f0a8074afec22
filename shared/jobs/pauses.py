"""Pauses of a provider's queues by an operator: made, ended, and respected by whatever wakes or leases jobs.

While a provider is paused, its queued jobs stay as they are: they are not failed by it, and their deadlines go on.
`shared.jobs.leases` refuses to lease them, in the transaction of the lease; all else only saves the way there.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, select, update

from shared import audit, clock, db
from shared.audit import Action
from shared.db.models import queue_pauses
from shared.submissions.offers import Offer

#: The actions in the audit log.
PAUSED, RESUMED = "queues.pause", "queues.resume"
#: Why a job waits that was put back because its provider was paused (`jobs.deferred_for`).
BY_OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class ProviderPause:
    """A pause as it stands. `paused_at`: microseconds."""

    provider: str
    paused_at: int
    operator: str
    reason: str


def pause(connection: Connection, action: Action, provider: str) -> ProviderPause:
    """Pause a provider's queues; of one that is paused, the reason is replaced. Writes to the audit log what changed.

    Jobs that run go on to their end. The provider is not checked against any catalogue.
    """
    reason = action.reason or ""
    made = ProviderPause(provider, db.now(connection), action.operator, reason)
    before = current(connection).get(provider)
    if before is None and not _insert(connection, made):
        before = current(connection).get(provider)  # that of another operator, at the same moment
    if before is not None and before.reason == reason:
        return before
    if before is not None:
        made = ProviderPause(provider, before.paused_at, action.operator, reason)
        changed = update(queue_pauses).where(queue_pauses.c.provider == provider)
        connection.execute(changed.values(operator=made.operator, reason=reason))
    audit.record(
        connection, action, None, ("queue", provider), before=_values(before), after={"paused": True, "reason": reason}
    )
    return made


def _insert(connection: Connection, made: ProviderPause) -> bool:
    """False: there is one by now."""
    values = {"provider": made.provider, "paused_at": made.paused_at, "operator": made.operator, "reason": made.reason}
    statement = db.insert(connection.dialect.name, queue_pauses).values(**values)
    once = statement.on_conflict_do_nothing(index_elements=["provider"])
    return connection.execute(once.returning(queue_pauses.c.provider)).first() is not None


def resume(connection: Connection, action: Action, provider: str) -> bool:
    """End a pause; whether there was one. Writes to the audit log."""
    before = current(connection).get(provider)
    ended = connection.execute(delete(queue_pauses).where(queue_pauses.c.provider == provider)).rowcount
    if ended:
        audit.record(connection, action, None, ("queue", provider), before=_values(before), after={"paused": False})
    return bool(ended)


def _values(pause: ProviderPause | None) -> dict[str, Any]:
    if pause is None:
        return {"paused": False}
    return {"paused": True, "reason": pause.reason, "since": pause.paused_at // clock.MICROS}


def current(connection: Connection) -> dict[str, ProviderPause]:
    """The pauses there are, by provider."""
    columns = (queue_pauses.c.provider, queue_pauses.c.paused_at, queue_pauses.c.operator, queue_pauses.c.reason)
    return {row.provider: ProviderPause(*row) for row in connection.execute(select(*columns))}


def paused_providers(connection: Connection) -> frozenset[str]:
    """The providers that are paused."""
    return frozenset(connection.execute(select(queue_pauses.c.provider)).scalars())


def open_offer(offers: Sequence[Offer], at: int, paused: Collection[str]) -> int:
    """The first offer from `at` on whose provider is not paused; `at` itself where there is none, which then waits."""
    if not paused or at >= len(offers):
        return at
    return next((n for n in range(at, len(offers)) if offers[n].provider not in paused), at)
