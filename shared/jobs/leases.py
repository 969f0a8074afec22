"""Leases: which worker holds a job; taking queued jobs, handing them back, leaving them to the feeder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    and_,
    bindparam,
    case,
    exists,
    func,
    or_,
    select,
    text,
    update,
)

from shared import clock, db
from shared.db import at_once, hot
from shared.db.among import among, pair_among, pairs
from shared.db.at_once import listed
from shared.db.models import job_payloads, jobs, queue_pauses, workers
from shared.db.models.jobs import QUEUED, RUNNING, WOKEN
from shared.jobs import job_steps
from shared.queues import provider_of
from shared.submissions.rows import EARLIER_MICROS
from shared.submissions.rows import at_once as at_once_of
from shared.submissions.steps.course import has_course


@dataclass(slots=True)
class Leased:
    """A job this incarnation now holds, with all that is needed to call for it.

    Nothing of it changes, but by `forget`, and the epoch of one whose lease is written late (`first_leases`).
    """

    id: str
    epoch: int
    account_id: str
    batch_id: str | None
    type: str
    model: str
    test: bool
    queue: str
    lane: str
    offer: int
    failures: int
    cohort: int
    bound_micros: int
    created_at: int
    expires_at: int
    request: str
    offers: str
    attempts: str | None
    #: Until when its caller waits, in microseconds; None: nobody waits.
    wait_until: int | None = None
    #: The caller's wishes about who serves, as JSON, where there are any.
    routing: str | None = None
    #: The span in which it was accepted; None: that was not traced.
    trace: str | None = None
    #: Of a job that takes several calls, the rows of the steps that have ended, in their order.
    steps: Sequence[Mapping[str, Any]] = ()

    def forget(self) -> None:
        """Let go of what is asked for, once it has been read: it may be long, and thousands of jobs are held."""
        self.request = self.offers = ""
        self.attempts = self.routing = None
        self.steps = ()


#: For how long a job whose doorbell is its first lease is its message's alone, in microseconds; and which jobs are so
#: (`first_leases`), of those that are woken.
GIVEN_MICROS = 4 * clock.MICROS
GIVEN = f"woken_at < run_at AND run_at <= woken_at + {GIVEN_MICROS}"

#: What `Leased` has of a job's row, and of its payload, in this order.
LEASED = (
    *("id", "lease_epoch", "account_id", "batch_id", "type", "model", "test", "queue", "lane", "offer"),
    *("failures", "cohort", "bound_micros", "created_at", "expires_at"),
)
PAYLOAD = ("request", "offers", "attempts", "wait_until", "routing", "trace")


def lease(
    connection: Connection, worker_id: str, wanted: Mapping[str, Sequence[str]], *, early_micros: int = 0
) -> list[Leased]:
    """Take those of the wanted ids (by queue) that are still queued and due, if this incarnation is still alive.

    None of a queue whose provider an operator has paused. `early_micros`: those whose doorbell is their first lease
    (`first_leases`) are due so much sooner than their rows say, for whoever has taken it.

    Those that are still queued there and were refused are the feeder's again, but for those that are somebody else's.
    """
    now = db.now(connection)
    take = _take_on_sqlite if connection.dialect.name == "sqlite" else _take
    rows: dict[str, Sequence[Any]] = {}
    for queue, ids in wanted.items():
        rows.update((row[0], row) for row in take(connection, worker_id, now, now + early_micros, queue, ids))
        if refused := [id for id in ids if id not in rows]:
            given = {"b_queue": queue, "b_due": now + early_micros, "b_at_once": at_once_of(now)}
            _REFUSED.count(connection, {**given, "b_ids": listed(refused)})
    if not rows:
        return []
    steps = job_steps.ended(connection, [id for id, row in rows.items() if has_course(row[_OFFER])])
    return [Leased(*(*row, steps.get(id, ()))) for id, row in rows.items()]


#: Where a job's epoch and its offer stand in what is leased.
_EPOCH, _OFFER = LEASED.index("lease_epoch"), LEASED.index("offer")
#: How long a request is read together with others, in characters: longer ones are read by themselves, so that none is
#: kept twice.
SHORT = 16_384


def _take(
    connection: Connection, worker: str, now: int, due: int, queue: str, ids: Sequence[str]
) -> list[Sequence[Any]]:
    """Take those of a queue; of each all that `Leased` has but for its steps."""
    given = {"b_worker": worker, "b_now": now, "b_due": due, "b_queue": queue, "b_provider": provider_of(queue)}
    rows = {row[0]: row for row in _LEASE.rows(connection, {**given, "b_ids": listed(ids)})}
    payloads = _PAYLOADS.rows(connection, {"b_ids": listed(rows)}) if rows else ()
    return [(*rows[id], *rest) for id, *rest in payloads]


def _take_on_sqlite(
    connection: Connection, worker: str, now: int, due: int, queue: str, ids: Sequence[str]
) -> list[Sequence[Any]]:
    """The same there, where no other transaction can change them between the two statements."""
    given = (at_once.listed(dict.fromkeys(ids)), queue, worker, now, provider_of(queue), now, due)
    found = at_once.rows(connection, _DUE, given)
    if not found:
        return []
    hot.run(connection, _TAKE, (worker, now, at_once.listed(row[0] for row in found)))
    taken: dict[str, list[Any]] = {row[0]: row for row in found}
    for row in found:
        row[_EPOCH] += 1
    if long := [id for id, row in taken.items() if row[-len(PAYLOAD)] is None]:
        for id, *rest in _PAYLOADS.rows(connection, {"b_ids": listed(long)}):
            taken[id][-len(PAYLOAD) :] = rest
    return list(taken.values())


# Statements are made once: making one costs more than running it.


def may_lease(dialect: str) -> Sequence[Any]:
    """The conditions of the jobs `b_ids` that wait on a queue, for a worker that lives; they need not be due.

    One that is to be cancelled has been handed back by a worker, and is the sweeper's to end.
    """
    return (
        among(dialect, jobs.c.id, "b_ids"),
        text(QUEUED),
        ~jobs.c.cancel_requested,
        jobs.c.queue == bindparam("b_queue"),
        is_alive(),
        ~exists().where(queue_pauses.c.provider == bindparam("b_provider")),
    )


def alive(now: Any) -> tuple[ColumnElement[bool], ...]:
    """The incarnations whose own lease runs at an instant of the rows' time."""
    return workers.c.lapsed_at.is_(None), workers.c.lease_until > now


def is_alive() -> ColumnElement[bool]:
    """That `b_worker` is one of them, at `b_now`."""
    return exists().where(workers.c.id == bindparam("b_worker"), *alive(bindparam("b_now")))


def _lease(dialect: str) -> Any:
    return (
        update(jobs)
        .where(*may_lease(dialect))
        .where(or_(jobs.c.run_at <= bindparam("b_now"), and_(text(GIVEN), jobs.c.run_at <= bindparam("b_due"))))
        .values(status="running", lease_epoch=jobs.c.lease_epoch + 1, worker_id=bindparam("b_worker"))
        .values(started_at=func.coalesce(jobs.c.started_at, bindparam("b_now")), deferred_for=None)
        .returning(*(jobs.c[name] for name in LEASED))
    )


_TAKEN = at_once.as_one(
    *(jobs.c[name] for name in LEASED),
    f"CASE WHEN length(request) <= {SHORT} THEN request END",
    *(job_payloads.c[name] for name in PAYLOAD[1:]),
)
#: The same conditions in SQLite's words, of those that are listed; others are added at its end.
MAY_LEASE = (
    f"SELECT {_TAKEN} FROM {at_once.EACH} jobs ON jobs.id = wanted.value"
    f" JOIN job_payloads ON job_payloads.job_id = jobs.id WHERE {QUEUED} AND NOT jobs.cancel_requested"
    " AND jobs.queue = ?"
    " AND EXISTS (SELECT 1 FROM workers WHERE workers.id = ? AND lapsed_at IS NULL AND lease_until > ?)"
    " AND NOT EXISTS (SELECT 1 FROM queue_pauses WHERE provider = ?)"
)
_DUE = f"{MAY_LEASE} AND (jobs.run_at <= ? OR {GIVEN} AND jobs.run_at <= ?)"
_TAKE = (
    f"UPDATE jobs SET {RUNNING}, lease_epoch = lease_epoch + 1, worker_id = ?,"
    " started_at = coalesce(started_at, ?), deferred_for = NULL WHERE id IN (SELECT value FROM json_each(?))"
)


def _refused(dialect: str) -> Any:
    named = among(dialect, jobs.c.id, "b_ids"), text(WOKEN), jobs.c.queue == bindparam("b_queue")
    somebody_elses = and_(text(GIVEN), jobs.c.run_at > bindparam("b_due"))
    return update(jobs).where(*named, ~somebody_elses).values(**_left_to_the_feeder())


def _payloads(dialect: str) -> Any:
    return select(*(job_payloads.c[name] for name in ("job_id", *PAYLOAD))).where(
        among(dialect, job_payloads.c.job_id, "b_ids")
    )


_LEASE, _REFUSED, _PAYLOADS = hot.Statement(_lease), hot.Statement(_refused), hot.Statement(_payloads)


def held_at(dialect: str) -> ColumnElement[bool]:
    """The jobs of `holding`: these ids at these epochs."""
    return pair_among(dialect, jobs.c.id, jobs.c.lease_epoch, "b_held")


def holding(dialect: str, held: Sequence[tuple[str, int]]) -> dict[str, Any]:
    """The parameters of `held_at`."""
    return pairs(dialect, "b_held", held)


def hand_back(connection: Connection, held: Sequence[tuple[str, int]]) -> int:
    """Queue again what a holder finds it has and does not run, for the feeder to wake; how many were still its own."""
    dialect = connection.dialect.name
    statement = update(jobs).where(held_at(dialect), text(RUNNING))
    queued = statement.values(status="queued", worker_id=None, woken_at=None)
    return connection.execute(queued, holding(dialect, held)).rowcount


def unwake(connection: Connection, ids: Sequence[str]) -> None:
    """Leave queued jobs to the feeder: their doorbell could not be rung, or nobody had room."""
    left = update(jobs).where(jobs.c.id.in_(ids), text(QUEUED)).values(**_left_to_the_feeder())
    connection.execute(left, {"b_at_once": at_once_of(db.now(connection))})


def _left_to_the_feeder() -> Mapping[str, Any]:
    """What is written of a job that is nobody's any more: one whose doorbell was its first lease is due since then."""
    rang, now = jobs.c.woken_at - EARLIER_MICROS, bindparam("b_at_once", type_=BigInteger)
    at_once = case((now < rang, now), else_=rang)
    return {"woken_at": None, "run_at": case((text(GIVEN), at_once), else_=jobs.c.run_at)}
