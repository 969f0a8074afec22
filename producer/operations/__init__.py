"""Each thing a caller can do with jobs and credit, once, in canonical terms; dialects dress it."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field
from sqlalchemy import Connection, Table, delete, func, insert, select, update

from producer import objects
from shared import clock, db
from shared.accounts import KeyHolder
from shared.db import models as m
from shared.errors import Conflict, InvalidRequest, NotFound
from shared.jobs import transitions
from shared.jobs.transitions import Ending
from shared.money.ledger import credits
from shared.submissions.schemas import Shape
from shared.webhooks import events

#: Tries of a cancel that meets a job which is just changing hands.
CANCEL_TRIES = 5


class Page(Shape):
    """What a list call asks for."""

    limit: int = Field(default=20, ge=1, le=100)
    after: str | None = Field(default=None, max_length=100)
    order: Literal["asc", "desc"] = "desc"


class ThresholdSpec(Shape):
    kind: Literal["remaining", "spent"]
    credits: float = Field(ge=0, le=1e9)


class ThresholdSpecs(Shape):
    thresholds: list[ThresholdSpec] = Field(max_length=20)


_JOBS = (
    select(
        *(column for column in m.jobs.c),
        m.job_payloads.c.labels,
        m.job_payloads.c.attempts.label("attempts_before"),
        m.job_results.c.model.label("served_model"),
        *(column for column in m.job_results.c if column.name not in ("job_id", "test", "model")),
    )
    .join_from(m.jobs, m.job_payloads, m.job_payloads.c.job_id == m.jobs.c.id)
    .outerjoin(m.job_results, m.job_results.c.job_id == m.jobs.c.id)
)


def show_job(connection: Connection, holder: KeyHolder, job_id: str) -> dict[str, Any]:
    """The job object; 404 when the account's keys of this mode, live or test, have no such job."""
    row = connection.execute(_JOBS.where(m.jobs.c.id == job_id, *of(holder))).mappings().first()
    if row is None:
        raise NotFound(f"not found: job {job_id[:100]!r}")
    return objects.job_view(dict(row))


def list_jobs(
    connection: Connection,
    holder: KeyHolder,
    page: Page,
    *,
    status: str | None = None,
    ids: Sequence[str] = (),
    batch_id: str | None = None,
) -> dict[str, Any]:
    """A page of the jobs of the account and mode, newest first; of one status, of a batch, or of the given ids."""
    statement = _JOBS.where(*of(holder))
    if batch_id is not None:
        statement = statement.where(m.jobs.c.batch_id == batch_id)
    if status is not None:
        if status not in {"queued", "running", *transitions.TERMINAL}:
            raise InvalidRequest(f"status: unknown status {status[:50]!r}", param="status")
        statement = statement.where(m.jobs.c.status == status)
    if ids:
        statement = statement.where(m.jobs.c.id.in_(ids))
    rows = connection.execute(paged(statement, m.jobs.c.id, page)).mappings()
    return objects.page([objects.job_view(dict(row)) for row in rows], page.limit)


def cancel_job(connection: Connection, holder: KeyHolder, job_id: str) -> tuple[dict[str, Any], list[str]]:
    """Cancel a queued job at once, flag a running one; the job as it is now, and deliveries now due."""
    deliveries: list[str] = []
    for _ in range(CANCEL_TRIES):
        where = (m.jobs.c.id == job_id, *of(holder))
        row = connection.execute(select(m.jobs.c.status, m.jobs.c.lease_epoch).where(*where)).first()
        if row is None:
            raise NotFound(f"not found: job {job_id[:100]!r}")
        if row.status in transitions.TERMINAL:
            break
        if row.status == "running":
            flagged = update(m.jobs).where(*where, m.jobs.c.status == transitions.RUNNING).values(cancel_requested=True)
            if connection.execute(flagged).rowcount:
                break
            continue
        ending = Ending(job_id, row.lease_epoch, "cancelled", came_from="queued", takes=True)
        settled = transitions.settle(connection, [ending])
        if settled.verdicts[job_id] == "done":
            deliveries = settled.deliveries
            break
    else:
        raise Conflict(f"job {job_id} is changing state; retry in a moment", retry_after_seconds=1)
    return show_job(connection, holder, job_id), deliveries


def of(holder: KeyHolder, table: Table = m.jobs) -> tuple[Any, ...]:
    """Rows that a key may see: of its account, and of its mode."""
    return table.c.account_id == holder.account_id, table.c.test == holder.test


def list_events(connection: Connection, holder: KeyHolder, page: Page) -> dict[str, Any]:
    """Every event after the one given, in order: oldest first, so that a reader who follows misses none.

    Of the key's mode alone: live and test events are numbered apart, each from 1 without gaps.
    """
    statement = select(m.events).where(*of(holder, m.events))
    if page.after is not None:
        at = select(m.events.c.sequence).where(*of(holder, m.events), m.events.c.id == page.after)
        sequence = connection.execute(at).scalar()
        if sequence is None:
            raise InvalidRequest(f"after: unknown event {page.after!r}", param="after")
        statement = statement.where(m.events.c.sequence > sequence)
    rows = connection.execute(statement.order_by(m.events.c.sequence).limit(page.limit + 1)).mappings()
    return objects.page([events.body(dict(row)) for row in rows], page.limit)


def show_event(connection: Connection, holder: KeyHolder, event_id: str) -> dict[str, Any]:
    """The event object; 404 when the account's keys of this mode have no such event."""
    mine = select(m.events).where(*of(holder, m.events), m.events.c.id == event_id)
    row = connection.execute(mine).mappings().first()
    if row is None:
        raise NotFound(f"not found: event {event_id[:100]!r}")
    return events.body(dict(row))


def redeliver_event(connection: Connection, holder: KeyHolder, event_id: str) -> tuple[dict[str, Any], list[str]]:
    """Make an event's deliveries due again, to the webhooks that are still enabled."""
    event = show_event(connection, holder, event_id)
    enabled = select(m.webhooks.c.id).where(*of(holder, m.webhooks), m.webhooks.c.status == "enabled")
    now = db.now(connection)
    again = (
        update(m.deliveries)
        .where(m.deliveries.c.event_id == event_id, m.deliveries.c.webhook_id.in_(enabled.scalar_subquery()))
        .values(status="pending", attempts=0, claims=0, last_status=None, next_at=0, asked_at=now)
        .returning(m.deliveries.c.id)
    )
    return event, list(connection.execute(again).scalars())


def show_credits(connection: Connection, account_id: str) -> dict[str, Any]:
    """The balance: what may be spent, what is held for unfinished jobs, what the month has cost, the thresholds."""
    account = connection.execute(select(m.accounts).where(m.accounts.c.id == account_id)).mappings().one()
    month = clock.month(clock.now_micros())
    spent = select(m.monthly_spend.c.spent_micros).where(
        m.monthly_spend.c.account_id == account_id, m.monthly_spend.c.month == month
    )
    return {
        "object": "credits",
        "available": credits(account["available_micros"]),
        "held": credits(account["held_micros"]),
        "remaining": credits(account["available_micros"] + account["held_micros"]),
        "spent": {"period": month, "credits": credits(connection.execute(spent).scalar() or 0)},
        "thresholds": _thresholds(connection, account_id),
    }


def list_transfers(connection: Connection, account_id: str, page: Page) -> dict[str, Any]:
    """A page of the account's transfers, newest first."""
    statement = select(m.transfers).where(m.transfers.c.account_id == account_id)
    rows = connection.execute(paged(statement, m.transfers.c.id, page)).mappings()
    return objects.page([objects.transfer_view(dict(row)) for row in rows], page.limit)


def set_thresholds(connection: Connection, account_id: str, wanted: ThresholdSpecs) -> dict[str, Any]:
    """Replace the account's thresholds. One already crossed is not armed: it fires at the next crossing."""
    lock = select(m.accounts.c.available_micros + m.accounts.c.held_micros).where(m.accounts.c.id == account_id)
    remaining = connection.execute(lock.with_for_update()).scalar_one()
    month = clock.month(clock.now_micros())
    spent = select(func.coalesce(func.sum(m.monthly_spend.c.spent_micros), 0)).where(
        m.monthly_spend.c.account_id == account_id, m.monthly_spend.c.month == month
    )
    spent_micros = connection.execute(spent).scalar_one()
    connection.execute(delete(m.thresholds).where(m.thresholds.c.account_id == account_id))
    for spec in wanted.thresholds:
        level = round(spec.credits * 1_000_000)
        connection.execute(
            insert(m.thresholds).values(
                id=clock.new_id("thr"),
                account_id=account_id,
                kind=spec.kind,
                level_micros=level,
                armed=remaining > level if spec.kind == "remaining" else True,
                period=month if spec.kind == "spent" and spent_micros >= level else None,
            )
        )
    return {"object": "thresholds", "thresholds": _thresholds(connection, account_id)}


def _thresholds(connection: Connection, account_id: str) -> list[Mapping[str, Any]]:
    statement = select(m.thresholds).where(m.thresholds.c.account_id == account_id).order_by(m.thresholds.c.id)
    return [{"kind": row.kind, "credits": credits(row.level_micros)} for row in connection.execute(statement)]


def paged(statement: Any, id: Any, page: Page) -> Any:
    """One row more than asked for, so that it is known whether there are more."""
    if page.after is not None:
        statement = statement.where(id > page.after if page.order == "asc" else id < page.after)
    return statement.order_by(id.asc() if page.order == "asc" else id.desc()).limit(page.limit + 1)
