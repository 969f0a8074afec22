"""Operators' operations: what waits and runs at each provider, which workers live; pausing a provider's queues."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import Field
from redis import RedisError
from sqlalchemy import Connection, func, select, text

from producer.objects.queues import Queue, QueueLane, QueuePause, Worker, breaker, model_pace, worker_object
from shared import clock, db
from shared.audit import MOST_NAME, MOST_REASON, Action
from shared.clock import MICROS
from shared.db import models as m
from shared.db.models.jobs import DEFERRED, RUNNING, TO_WAKE, WOKEN
from shared.errors import NotFound
from shared.jobs import leases, pauses
from shared.jobs.pauses import ProviderPause
from shared.providers import states
from shared.providers.states import ProviderStanding, ProviderState
from shared.queues import LANES, Lane, queue_name
from shared.settings import settings
from shared.submissions.catalogue import SANDBOX, catalogue
from shared.submissions.schemas import Shape

#: How far back answers are counted, in seconds: no farther than the pace keeps them.
WINDOW_SECONDS: Final = 4.0


class PauseSpec(Shape):
    """Why a provider is paused, and by whom."""

    reason: str = Field(min_length=1, max_length=MOST_REASON)
    operator: str | None = Field(default=None, min_length=1, max_length=MOST_NAME)


class ResumeSpec(Shape):
    """By whom a provider is resumed, and why, if that is to be kept."""

    reason: str | None = Field(default=None, min_length=1, max_length=MOST_REASON)
    operator: str | None = Field(default=None, min_length=1, max_length=MOST_NAME)


@dataclass(slots=True)
class _Counts:
    """Of a queue; `oldest`: the id of the job that has waited longest."""

    waiting: int = 0
    deferred: int = 0
    running: int = 0
    oldest: str | None = None


@dataclass(slots=True)
class QueueRows:
    """What the rows say of all queues."""

    counts: dict[str, _Counts] = field(default_factory=dict)
    #: When the oldest jobs were created, by id, in microseconds.
    created: Mapping[str, int] = field(default_factory=dict)
    pauses: Mapping[str, ProviderPause] = field(default_factory=dict)


def read_rows(connection: Connection) -> QueueRows:
    """Counts by partial indexes alone: 0.3 s for a million queued jobs."""
    found = QueueRows(pauses=pauses.current(connection))
    for condition, name in ((TO_WAKE, "waiting"), (WOKEN, "waiting"), (RUNNING, "running")):
        for queue, count, oldest in connection.execute(_counted(condition)):
            counts = found.counts.setdefault(queue, _Counts())
            setattr(counts, name, getattr(counts, name) + count)
            if name == "waiting":
                counts.oldest = min(filter(None, (counts.oldest, oldest)))
    deferred = select(m.jobs.c.queue, func.count()).where(text(f"{DEFERRED} AND woken_at IS NULL"))
    for queue, count in connection.execute(deferred.group_by(m.jobs.c.queue)):
        found.counts.setdefault(queue, _Counts()).deferred = count
    oldest = [counts.oldest for counts in found.counts.values() if counts.oldest]
    created = select(m.jobs.c.id, m.jobs.c.created_at).where(m.jobs.c.id.in_(oldest))
    found.created = {id: at for id, at in connection.execute(created)}
    return found


def _counted(condition: str) -> Any:
    return select(m.jobs.c.queue, func.count(), func.min(m.jobs.c.id)).where(text(condition)).group_by(m.jobs.c.queue)


def read_states(redis: Any) -> Sequence[ProviderStanding]:
    """What Redis says of providers; nothing where it does not answer. `redis`: a synchronous client."""
    with suppress(RedisError, OSError):
        return states.read_all(redis)
    return ()


def providers() -> list[str]:
    """The providers that have queues."""
    return [*sorted(name for name in catalogue().queued if name != SANDBOX), SANDBOX]


def queue_objects(rows: QueueRows, standings: Sequence[ProviderStanding], now: float) -> list[Queue]:
    """The queues of each provider, by name, the sandbox of test keys last. `now`: in seconds."""
    return [_queue(provider, rows, standings, now) for provider in providers()]


def _queue(provider: str, rows: QueueRows, standings: Sequence[ProviderStanding], now: float) -> Queue:
    own = [one for one in standings if one.provider == provider]
    whole = next((one.state for one in own if one.upstream is None), ProviderState())
    paces = [
        model_pace(one.upstream, one.state, now=now, window=WINDOW_SECONDS) for one in own if one.upstream is not None
    ]
    pause = rows.pauses.get(provider)
    return {
        "id": provider,
        "object": "queue",
        "paused": pause_object(pause) if pause else None,
        "breaker": breaker(whole),
        "lanes": [_lane(provider, lane, rows) for lane in LANES],
        "models": paces,
    }


def _lane(provider: str, lane: Lane, rows: QueueRows) -> QueueLane:
    name = queue_name(provider, lane)
    counts = rows.counts.get(name, _Counts())
    created = rows.created.get(counts.oldest or "")
    return {
        "lane": lane,
        "queue": name,
        "waiting": counts.waiting,
        "deferred": counts.deferred,
        "running": counts.running,
        "oldest_waiting_at": None if created is None else created // MICROS,
    }


def pause_object(pause: ProviderPause) -> QueuePause:
    """A pause as it is shown."""
    return {"since": pause.paused_at // MICROS, "operator": pause.operator, "reason": pause.reason}


def read_workers(connection: Connection) -> list[Worker]:
    """The worker processes that live, the oldest first."""
    alive = leases.alive(db.now(connection))
    rows = connection.execute(select(m.workers).where(*alive).order_by(m.workers.c.id)).mappings().all()
    held = select(m.jobs.c.worker_id, func.count()).where(text(RUNNING)).group_by(m.jobs.c.worker_id)
    jobs: dict[str, int] = {worker: count for worker, count in connection.execute(held)}
    lease = int(settings().lease_seconds * MICROS)
    return [worker_object(dict(row), jobs.get(row["id"], 0), lease) for row in rows]


def pause(connection: Connection, action: Action, provider: str) -> Queue:
    """Pause a provider's queues; how they stand."""
    _check(provider)
    pauses.pause(connection, action, provider)
    return _shown(connection, provider)


def resume(connection: Connection, action: Action, provider: str) -> Queue:
    """End the pause of a provider's queues, if there is one; how they stand."""
    if provider not in pauses.current(connection):
        _check(provider)
    pauses.resume(connection, action, provider)
    return _shown(connection, provider)


def _shown(connection: Connection, provider: str) -> Queue:
    return _queue(provider, read_rows(connection), (), clock.now_seconds())


def _check(provider: str) -> None:
    if provider not in providers():
        raise NotFound(f"not found: provider {provider[:100]!r}; there are: {', '.join(providers())}")
