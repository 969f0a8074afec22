"""Reads the metrics: counts and sums of rows at one instant, and the state of providers from Redis."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import orjson
from redis import RedisError
from sqlalchemy import Connection, case, func, select, text

from producer.metrics.names import COUNTERS, Labels
from shared import clock, db
from shared.broker.bell import PROBED
from shared.db import models as m
from shared.db.models.batches import TO_READ, UNFINISHED
from shared.db.models.events import PENDING
from shared.db.models.jobs import DEFERRED, RUNNING, TO_WAKE, WOKEN
from shared.jobs import leases, metrics
from shared.jobs.pauses import BY_OPERATOR, paused_providers
from shared.providers import states, statistics_watch
from shared.queues import PROBATION, lane_of, provider_of
from shared.submissions.catalogue import job_queues

Values = dict[Labels, float]


@dataclass(frozen=True, slots=True)
class Reading:
    """What the rows said at one instant: gauges by name, counters (as `shared.db.counters` keeps them) by name."""

    gauges: Mapping[str, Values]
    counters: Mapping[str, Mapping[Labels, int]]


def read_providers(connection: Any) -> Mapping[str, Values]:
    """What Redis says of the providers; and whether it answers, and has room."""
    gauges: dict[str, Values] = {"provider_paused": {}, "provider_calls_per_second": {}, "redis_up": {(): 0.0}}
    gauges |= {name: {} for name in ("provider_error_ratio", "provider_first_token_seconds", "provider_answer_seconds")}
    with suppress(RedisError, OSError):
        for one in states.read_all(connection):
            place = (one.provider, one.upstream or "")
            if one.state.paused:
                gauges["provider_paused"][*place, one.state.paused_for or ""] = 1.0
            if (ceiling := one.state.ceiling) is not None:
                gauges["provider_calls_per_second"][place] = ceiling
        for name, offer in statistics_watch.read_all(connection).items():
            provider, _, upstream = name.partition("/")
            gauges["provider_error_ratio"][provider, upstream] = offer.error_rate
            if offer.first_seconds is not None:
                gauges["provider_first_token_seconds"][provider, upstream] = offer.first_seconds
            if offer.total_seconds is not None:
                gauges["provider_answer_seconds"][provider, upstream] = offer.total_seconds
        connection.set(PROBED, 1, ex=60)
        gauges["redis_up"] = {(): 1.0}
    return gauges


def read(connection: Connection) -> Reading:
    """One reading, in one transaction."""
    alive = select(func.count()).where(*leases.alive(db.now(connection)))
    pending, due = connection.execute(_PENDING).one()
    oldest = min((at for at in (due, connection.execute(_NEWLY_PENDING).scalar()) if at is not None), default=None)
    late = max(0, clock.now_micros() - oldest) if oldest is not None else 0
    held, available = connection.execute(_CREDITS).one()
    queued, oldest = _queued(connection)
    gauges: dict[str, Values] = {
        "jobs_queued": queued,
        "queue_age_seconds": _ages(connection, oldest),
        "jobs_deferred": _deferred(connection),
        "jobs_running": _running(connection),
        "batches": _batches(connection),
        "workers_alive": {(): connection.execute(alive).scalar_one()},
        "webhooks_pending": {(): pending},
        "webhook_lag_seconds": {(): late / clock.MICROS},
        "credits_held": {(): int(held) / clock.MICROS},
        "credits_available": {(): int(available) / clock.MICROS},
        "provider_paused": {(provider, "", BY_OPERATOR): 1.0 for provider in paused_providers(connection)},
    }
    return Reading(gauges, _counters(connection))


_PENDING = select(func.count(), func.min(case((m.deliveries.c.next_at > 0, m.deliveries.c.next_at)))).where(
    text(PENDING)
)
#: Some deliveries that may be sent at once; and since when the oldest of them may: since its event, or since it was
#: asked for anew.
_AT_ONCE = (
    select(m.deliveries.c.event_id, m.deliveries.c.asked_at)
    .where(text(PENDING), m.deliveries.c.next_at == 0)
    .limit(1000)
    .subquery()
)
_NEWLY_PENDING = select(func.min(func.coalesce(_AT_ONCE.c.asked_at, m.events.c.created_at))).join_from(
    _AT_ONCE, m.events, m.events.c.id == _AT_ONCE.c.event_id
)
_CREDITS = select(
    func.coalesce(func.sum(m.accounts.c.held_micros), 0), func.coalesce(func.sum(m.accounts.c.available_micros), 0)
)

_PUT_OFF: Final = f"{DEFERRED} AND woken_at IS NULL"
#: By the partial indexes: 0.4 s for a million queued jobs on SQLite, on a busy machine. Of those that have been woken
#: the first comes from the rows, of the broker's window.
_WAITING: Final = (TO_WAKE, WOKEN, _PUT_OFF)


def _deferred(connection: Connection) -> Values:
    statement = text(f"SELECT queue, deferred_for, count(*) FROM jobs WHERE {DEFERRED} GROUP BY queue, deferred_for")
    found = connection.execute(statement)
    return {(*queue.rpartition(".")[::2], why): count for queue, why, count in found}


def _queued(connection: Connection) -> tuple[Values, list[str]]:
    """How many jobs wait on each queue; and of those that wait for nothing but a worker the first, by its id."""
    values, oldest = _every_queue(), []
    for waiting in _WAITING:
        found = connection.execute(text(f"SELECT queue, count(*), min(id) FROM jobs WHERE {waiting} GROUP BY queue"))
        for queue, count, first in found:
            if waiting is not _PUT_OFF:
                oldest.append(first)
            if queue != PROBATION:
                values[provider_of(queue), lane_of(queue)] += count
        lost = text(f"SELECT lane, count(*) FROM jobs WHERE {waiting} AND queue = :queue GROUP BY lane")
        for lane, count in connection.execute(lost, {"queue": PROBATION}):
            values[PROBATION, lane] += count
    return values, oldest


def _ages(connection: Connection, oldest: Sequence[str]) -> Values:
    """For how long those jobs have been there: an id begins with the time of its making."""
    values, now = _every_queue(), clock.now_micros()
    columns = (m.jobs.c.queue, m.jobs.c.lane, m.jobs.c.created_at)
    for queue, lane, since in connection.execute(select(*columns).where(m.jobs.c.id.in_(oldest))):
        place = (PROBATION, lane) if queue == PROBATION else (provider_of(queue), lane_of(queue))
        values[place] = max(values[place], (now - since) / clock.MICROS)
    return values


def _running(connection: Connection) -> Values:
    values = _every_queue()
    columns = (m.jobs.c.queue, m.jobs.c.lane)
    statement = select(*columns, func.count()).where(text(RUNNING)).group_by(*columns)
    for queue, lane, count in connection.execute(statement):
        values[metrics.provider_label(None, queue), lane] += count
    return values


def _every_queue() -> Values:
    """A zero for each queue that there is, so that nothing to do is seen as that."""
    return defaultdict(float, {(provider_of(queue), lane_of(queue)): 0.0 for queue in job_queues()})


def _batches(connection: Connection) -> Values:
    statement = select(m.batches.c.status, func.count()).where(text(UNFINISHED)).group_by(m.batches.c.status)
    values: Values = dict.fromkeys([("validating",), ("in_progress",), ("finalizing",), ("cancelling",)], 0.0)
    values |= {(status,): count for status, count in connection.execute(statement)}
    to_read = select(func.count()).select_from(m.batches).where(text(TO_READ))
    values["validating",] += connection.execute(to_read).scalar_one()
    return values


def _counters(connection: Connection) -> dict[str, dict[Labels, int]]:
    shown = [*metrics.LABELS, *(kept for _, kept, _, _ in COUNTERS if kept not in metrics.LABELS)]
    columns = (m.counters.c.name, m.counters.c.labels)
    statement = select(*columns, func.sum(m.counters.c.value)).where(m.counters.c.name.in_(shown)).group_by(*columns)
    found: defaultdict[str, dict[Labels, int]] = defaultdict(dict)
    for name, labels, total in connection.execute(statement):
        given = orjson.loads(labels) if labels else {}
        found[name][tuple(given[label] for label in metrics.LABELS.get(name, ()))] = int(total)
    return found
