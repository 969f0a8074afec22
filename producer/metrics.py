"""What /metrics shows, in Prometheus's text format: true over all processes, since it is read from the rows.

A process collects at most once in FRESH_SECONDS and never twice at a time, each time in one read transaction.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from math import inf
from typing import Any, Final

import orjson
import redis
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from redis import RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import Connection, case, func, select, text

from shared import clock, db
from shared.broker.app import job_queues
from shared.broker.bell import PROBED
from shared.db import Database
from shared.db import models as m
from shared.db.models.batches import UNFINISHED
from shared.db.models.events import PENDING
from shared.db.models.jobs import DEFERRED, RUNNING, TO_WAKE, WOKEN
from shared.jobs import metrics
from shared.providers import states
from shared.queues import PROBATION, lane_of, provider_of

#: For how long an answer is given again, in seconds.
FRESH_SECONDS: Final = 1.0
#: How long Redis may take, in seconds.
REDIS_SECONDS: Final = 1.0
#: How long a request waits for a collection, in seconds.
PATIENCE_SECONDS: Final = 3.0

Labels = tuple[str, ...]
Values = dict[Labels, float]


@dataclass(frozen=True, slots=True)
class Reading:
    """What the rows said at one instant: gauges by name, counters (as `shared.db.counters` keeps them) by name."""

    gauges: Mapping[str, Values]
    counters: Mapping[str, Mapping[Labels, int]]


#: Name, labels, meaning.
_GAUGES: Final[tuple[tuple[str, Labels, str], ...]] = (
    ("jobs_queued", ("provider", "lane"), "Jobs waiting to run. Provider 'probation': jobs whose worker was lost."),
    (
        "jobs_deferred",
        ("provider", "lane", "reason"),
        "Jobs waiting for a retry, by the error: 429, 503, connect.",
    ),
    ("jobs_running", ("provider", "lane"), "Jobs running on a worker, by the provider whose queue they came from."),
    ("batches", ("status",), "Unfinished batches."),
    ("workers_alive", (), "Worker processes with a valid lease."),
    ("webhooks_pending", (), "Pending webhook deliveries, including those waiting for a retry."),
    ("webhook_lag_seconds", (), "Seconds for which the oldest due webhook delivery has been due; 0 if none is due."),
    ("credits_held", (), "Credits held for unfinished jobs and batches of all accounts."),
    ("credits_available", (), "Available credits of all accounts."),
    ("redis_up", (), "Whether Redis responds to this process and accepts writes (0 also while it is full)."),
    (
        "provider_paused",
        ("provider", "model", "reason"),
        "1 while calls are paused because the provider is down or refuses requests.",
    ),
    (
        "provider_calls_per_second",
        ("provider", "model"),
        "The learned rate of calls that a model of a provider accepts, if known.",
    ),
)

#: Name shown, name kept, how many of what is kept are one of what is shown, meaning; labels are measures.LABELS.
_COUNTERS: Final = (
    (
        "jobs_settled",
        "jobs_settled",
        1,
        "Finished jobs, by the provider that served them or whose queue they were in.",
    ),
    ("job_retries", "job_retries", 1, "Attempts after the first one of finished jobs, by provider."),
    ("tokens", "tokens", 1, "Tokens of finished jobs, as reported by the provider or estimated."),
    ("credits_charged", "charged_micros", clock.MICROS, "Credits charged for jobs."),
    (
        "excess_credits",
        "excess_micros",
        clock.MICROS,
        "Cost of jobs above their maximum price, in credits, borne by the operator.",
    ),
    (
        "stale_answers_refused",
        "stale_answers_refused",
        1,
        "Results refused because the worker no longer owned the job.",
    ),
    ("jobs_taken_back", "jobs_taken_back", 1, "Jobs queued again because their worker was lost."),
    ("workers_lapsed", "workers_lapsed", 1, "Worker processes that ended without releasing their lease."),
    (
        "webhook_deliveries",
        "webhook_deliveries",
        1,
        "Attempts to deliver an event: delivered, retried (will be retried) or failed (no more retries).",
    ),
)
_SECONDS_MEANING: Final = "Seconds from the acceptance of a job to its end, for finished jobs."


class Metrics:
    """One producer process's answers to /metrics; of its event loop."""

    def __init__(self, database: Database, redis_url: str) -> None:
        self._database = database
        self._redis = redis.from_url(
            redis_url,
            socket_timeout=REDIS_SECONDS,
            socket_connect_timeout=REDIS_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._text = b""
        self._collected = float("-inf")
        self._collecting: asyncio.Task[None] | None = None

    async def text(self) -> bytes:
        """The exposition, a second old at most; TimeoutError or the database's own error when there is none to have."""
        if clock.monotonic() - self._collected >= FRESH_SECONDS:
            task = self._collecting = self._collecting or self._start()
            done, _ = await asyncio.wait([task], timeout=PATIENCE_SECONDS)
            if not done:
                raise TimeoutError("the database is unavailable")
            task.result()
        return self._text

    def _start(self) -> "asyncio.Task[None]":
        task = asyncio.create_task(self._collect())
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # seen, when nobody waits any more
        return task

    async def _collect(self) -> None:
        try:
            reading, providers = await asyncio.gather(
                self._database.read(read), asyncio.to_thread(read_providers, self._redis)
            )
            self._text = await asyncio.to_thread(render, Reading({**reading.gauges, **providers}, reading.counters))
            self._collected = clock.monotonic()
        finally:
            self._collecting = None


def render(reading: Reading) -> bytes:
    """A reading in Prometheus's text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Exposition(reading))
    return generate_latest(registry)


class Exposition(Collector):
    """A reading as metric families."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def collect(self) -> Iterator[Metric]:
        """All of it, named `fusionai_…`."""
        for name, labels, meaning in _GAUGES:
            gauge = GaugeMetricFamily(f"fusionai_{name}", meaning, labels=labels)
            for given, number in sorted(self._reading.gauges.get(name, {}).items()):
                gauge.add_metric(given, number)
            yield gauge
        for name, kept, parts, meaning in _COUNTERS:
            counter = CounterMetricFamily(f"fusionai_{name}", meaning, labels=metrics.LABELS.get(kept, ()))
            for given, total in sorted(self._totals(kept).items()):
                counter.add_metric(given, total / parts)
            yield counter
        yield self._job_seconds()

    def _totals(self, name: str) -> Mapping[Labels, int]:
        """The totals of a counter; one without labels is 0 before it has counted anything."""
        return self._reading.counters.get(name) or ({} if name in metrics.LABELS else {(): 0})

    def _job_seconds(self) -> Metric:
        family = HistogramMetricFamily("fusionai_job_seconds", _SECONDS_MEANING, labels=("provider", "lane"))
        ended: defaultdict[Labels, dict[float, int]] = defaultdict(lambda: dict.fromkeys(metrics.BUCKETS, 0))
        for (provider, lane, le), count in self._totals("job_seconds").items():
            ended[provider, lane][float(le)] = count
        millis = self._totals("job_millis")
        for given, counts in sorted(ended.items()):
            sums = list(accumulate(counts[end] for end in sorted(counts)))
            buckets = list(zip(map(_end, sorted(counts)), map(float, sums), strict=True))
            family.add_metric(given, buckets, millis.get(given, 0) / 1000)
        return family


def _end(seconds: float) -> str:
    return "+Inf" if seconds == inf else str(seconds)


def read_providers(connection: Any) -> Mapping[str, Values]:
    """What Redis says of the providers; and whether it answers, and has room."""
    gauges: dict[str, Values] = {"provider_paused": {}, "provider_calls_per_second": {}, "redis_up": {(): 0.0}}
    with suppress(RedisError, OSError):
        for one in states.read_all(connection):
            place = (one.provider, one.upstream or "")
            if one.state.paused:
                gauges["provider_paused"][*place, one.state.paused_for or ""] = 1.0
            if (ceiling := one.state.ceiling) is not None:
                gauges["provider_calls_per_second"][place] = ceiling
        connection.set(PROBED, 1, ex=60)
        gauges["redis_up"] = {(): 1.0}
    return gauges


def read(connection: Connection) -> Reading:
    """One reading, in one transaction."""
    alive = select(func.count()).where(m.workers.c.lapsed_at.is_(None), m.workers.c.lease_until > db.now(connection))
    pending, due = connection.execute(_PENDING).one()
    oldest = min((at for at in (due, connection.execute(_NEWLY_PENDING).scalar()) if at is not None), default=None)
    late = max(0, clock.now_micros() - oldest) if oldest is not None else 0
    held, available = connection.execute(_CREDITS).one()
    gauges: dict[str, Values] = {
        "jobs_queued": _queued(connection),
        "jobs_deferred": _deferred(connection),
        "jobs_running": _running(connection),
        "batches": _batches(connection),
        "workers_alive": {(): connection.execute(alive).scalar_one()},
        "webhooks_pending": {(): pending},
        "webhook_lag_seconds": {(): late / clock.MICROS},
        "credits_held": {(): int(held) / clock.MICROS},
        "credits_available": {(): int(available) / clock.MICROS},
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

#: By the partial indexes and nothing but them: 0.1 s for a million queued jobs on SQLite, 0.3 s on PostgreSQL.
_WAITING: Final = (TO_WAKE, WOKEN, f"{DEFERRED} AND woken_at IS NULL")


def _deferred(connection: Connection) -> Values:
    statement = text(f"SELECT queue, deferred_for, count(*) FROM jobs WHERE {DEFERRED} GROUP BY queue, deferred_for")
    return {(provider_of(queue), lane_of(queue), why): count for queue, why, count in connection.execute(statement)}


def _queued(connection: Connection) -> Values:
    values = _every_queue()
    for waiting in _WAITING:
        for queue, count in connection.execute(
            text(f"SELECT queue, count(*) FROM jobs WHERE {waiting} GROUP BY queue")
        ):
            if queue != PROBATION:
                provider, lane = provider_of(queue), lane_of(queue)
                values[provider, lane] += count
        lost = text(f"SELECT lane, count(*) FROM jobs WHERE {waiting} AND queue = :queue GROUP BY lane")
        for lane, count in connection.execute(lost, {"queue": PROBATION}):
            values[PROBATION, lane] += count
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
    none: Values = dict.fromkeys([("validating",), ("in_progress",), ("finalizing",), ("cancelling",)], 0.0)
    return none | {(status,): count for status, count in connection.execute(statement)}


def _counters(connection: Connection) -> dict[str, dict[Labels, int]]:
    shown = [*metrics.LABELS, *(kept for _, kept, _, _ in _COUNTERS if kept not in metrics.LABELS)]
    columns = (m.counters.c.name, m.counters.c.labels)
    statement = select(*columns, func.sum(m.counters.c.value)).where(m.counters.c.name.in_(shown)).group_by(*columns)
    found: defaultdict[str, dict[Labels, int]] = defaultdict(dict)
    for name, labels, total in connection.execute(statement):
        given = orjson.loads(labels) if labels else {}
        found[name][tuple(given[label] for label in metrics.LABELS.get(name, ()))] = int(total)
    return found
