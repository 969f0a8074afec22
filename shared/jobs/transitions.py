"""Every change of a job's state: a compare-and-set on (id, status, lease_epoch), whoever asks for it.

Who takes a job from its holder (sweeper, cancel, expiry) increments the epoch, so that the holder's late answer
matches nothing. Money and events are written only for the ids that the UPDATE returned.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Literal

from sqlalchemy import Connection, bindparam, exists, func, literal_column, select, text, tuple_, update

from shared import clock, db
from shared.batches import transitions
from shared.db import counters
from shared.db.models import job_payloads, job_results, jobs, workers
from shared.db.models.jobs import WOKEN
from shared.jobs import metrics, reasons
from shared.money import usage
from shared.money.ledger import Book
from shared.money.usage import Used
from shared.strict_json import dumps
from shared.webhooks import events

Terminal = Literal["succeeded", "failed", "cancelled", "expired"]
TERMINAL: frozenset[str] = frozenset({"succeeded", "failed", "cancelled", "expired"})

#: Says of an attempt, in the rows alone, that its answer had begun: it may have been paid for.
BEGAN = "began"

#: Literals, not parameters: both databases match partial indexes by the text of the condition.
QUEUED: Any = literal_column("'queued'")
RUNNING: Any = literal_column("'running'")


@dataclass(frozen=True, slots=True)
class Leased:
    """A job this incarnation now holds, with all that is needed to call for it."""

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


@dataclass(frozen=True, slots=True)
class Ending:
    """A job's terminal transition. `takes`: by somebody else than its holder, which bumps the epoch."""

    job_id: str
    epoch: int
    status: Terminal
    came_from: Literal["queued", "running"] = "running"
    takes: bool = False
    response: str | None = None
    error: Mapping[str, Any] | None = None
    attempts: Sequence[Mapping[str, Any]] = ()
    ignored: Sequence[str] = ()
    provider: str | None = None
    model: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int | None = None
    cache_creation_tokens: int | None = None
    reasoning_tokens: int | None = None
    images: int = 0
    estimated: bool = False
    charge_micros: int = 0
    excess_micros: int = 0
    #: Somebody may have read of the answer as it came; it is paid for whatever becomes of the job.
    relayed: bool = False
    #: The answer as far as it came, of a job that ended before it was whole.
    partial: str | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """What has been sent on of a running job's answer, and what that costs, as counted by its holder."""

    job_id: str
    epoch: int
    provider: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    charge_micros: int


@dataclass(frozen=True, slots=True)
class Requeue:
    """A job its holder puts back: for later (`run_at`; 0: at once), or on another offer's queue."""

    job_id: str
    epoch: int
    queue: str
    offer: int
    failures: int
    run_at: int
    #: What has been tried; None: nothing more than before.
    attempts: Sequence[Mapping[str, Any]] | None = None
    #: Why it waits for `run_at`; None: it may run at once.
    deferred_for: str | None = None
    #: Its holder rings for it right after; else the feeder wakes it.
    wake: bool = False
    #: What its holder has sent on of an answer that it did not live to see whole.
    relayed: Progress | None = None


#: `done`: took effect now, or by this same holder before; `stale`: the job was no longer the caller's.
Verdict = Literal["done", "stale"]


@dataclass(slots=True)
class Settled:
    """What a group of outcomes came to."""

    verdicts: dict[str, Verdict] = field(default_factory=dict)
    #: Webhook deliveries now due.
    deliveries: list[str] = field(default_factory=list)


_LEASED = ("id", "lease_epoch", "account_id", "batch_id", "type", "model", "test", "queue", "lane", "offer")
_LEASED_TOO = ("failures", "cohort", "bound_micros", "created_at", "expires_at")


def lease(connection: Connection, worker_id: str, wanted: Mapping[str, Sequence[str]]) -> list[Leased]:
    """Take those of the wanted ids (by queue) that are still queued and due, if this incarnation is still alive.

    Those that are still queued there and were refused are the feeder's again.
    """
    given = {"b_worker": worker_id, "b_now": db.now(connection)}
    rows: dict[str, Any] = {}
    for queue, ids in wanted.items():
        leased = connection.execute(_LEASE, {**given, "b_queue": queue, "b_ids": list(ids)})
        rows.update((row[0], tuple(row)) for row in leased)
        if refused := [id for id in ids if id not in rows]:
            connection.execute(_REFUSED, {"b_queue": queue, "b_ids": refused})
    if not rows:
        return []
    payloads = connection.execute(_PAYLOADS, {"b_ids": list(rows)})
    return [Leased(*rows[job_id], *rest) for job_id, *rest in payloads]


#: Made once: making a statement costs more than running it.
_LEASE = (
    update(jobs)
    .where(
        jobs.c.id.in_(bindparam("b_ids", expanding=True)),
        jobs.c.status == QUEUED,
        jobs.c.queue == bindparam("b_queue"),
        jobs.c.run_at <= bindparam("b_now"),
        exists().where(
            workers.c.id == bindparam("b_worker"),
            workers.c.lapsed_at.is_(None),
            workers.c.lease_until > bindparam("b_now"),
        ),
    )
    .values(status="running", lease_epoch=jobs.c.lease_epoch + 1, worker_id=bindparam("b_worker"), deferred_for=None)
    .values(started_at=func.coalesce(jobs.c.started_at, bindparam("b_now")))
    .returning(*(jobs.c[name] for name in _LEASED + _LEASED_TOO))
)
_REFUSED = (
    update(jobs)
    .where(jobs.c.id.in_(bindparam("b_ids", expanding=True)), text(WOKEN), jobs.c.queue == bindparam("b_queue"))
    .values(woken_at=None)
)
_PAYLOADS = select(
    *(job_payloads.c[name] for name in ("job_id", "request", "offers", "attempts", "wait_until", "routing")),
).where(job_payloads.c.job_id.in_(bindparam("b_ids", expanding=True)))


def hand_back(connection: Connection, held: Sequence[tuple[str, int]]) -> int:
    """Queue again what a holder finds it has and does not run, for the feeder to wake; how many were still its own."""
    statement = update(jobs).where(*_HELD, jobs.c.status == RUNNING)
    queued = statement.values(status="queued", worker_id=None, woken_at=None)
    return connection.execute(queued, _holding(held)).rowcount


def unwake(connection: Connection, ids: Sequence[str]) -> None:
    """Leave queued jobs to the feeder: their doorbell could not be rung, or nobody had room."""
    connection.execute(update(jobs).where(jobs.c.id.in_(ids), jobs.c.status == QUEUED).values(woken_at=None))


def settle(connection: Connection, outcomes: Sequence[Ending | Requeue]) -> Settled:
    """Carry out a group of outcomes in this one transaction. Repeatable: a second time finds the first."""
    settled = Settled()
    for outcome in outcomes:
        if isinstance(outcome, Requeue):
            settled.verdicts[outcome.job_id] = "done" if _requeue(connection, outcome) else "stale"
    endings = {outcome.job_id: outcome for outcome in outcomes if isinstance(outcome, Ending)}
    now = clock.now_micros()
    ended = _end(connection, list(endings.values()), now)
    settled.verdicts.update((id, "done") for id in ended)
    left = [ending for id, ending in endings.items() if id not in ended]
    settled.verdicts.update(_read_back(connection, left))
    endings.update((id, _paid(endings[id], job)) for id, job in ended.items())
    if ended:
        db.insert_rows(connection, job_results, [_result(endings[id], row) for id, row in ended.items()])
        settled.deliveries = _account(connection, endings, ended, now)
    holders = (outcome.job_id for outcome in outcomes if isinstance(outcome, Requeue) or not outcome.takes)
    stale = sum(settled.verdicts[id] == "stale" for id in holders)
    counted = metrics.of_endings(((endings[id], job) for id, job in ended.items()), now)
    counters.add(connection, counted | {counters.of("stale_answers_refused"): stale})
    return settled


def note_relayed(connection: Connection, progress: Sequence[Progress]) -> None:
    """Write down what has been sent on of answers in the making, so that it is paid for whoever ends their jobs.

    Of a job that runs again the most that any run has sent on stands; what is not its holder's any more is left.
    """
    for one in sorted(progress, key=lambda one: one.job_id):
        served = {name: getattr(one, name) for name in _SERVED}
        statement = update(jobs).where(
            jobs.c.id == one.job_id,
            jobs.c.lease_epoch == one.epoch,
            jobs.c.status == RUNNING,
            jobs.c.relayed_micros < one.charge_micros,
        )
        connection.execute(statement.values(relayed_micros=one.charge_micros, relayed=dumps(served)))


#: What a job's row knows of an answer that was sent on, beside its price.
_SERVED = ("provider", "model", "prompt_tokens", "completion_tokens")


def count(connection: Connection, name: str, by: int) -> None:
    """Add to a counter kept in the database, over all processes."""
    counters.add(connection, {counters.of(name): by})


def event_data(job: Mapping[str, Any], status: str) -> dict[str, Any]:
    """What a job event says: ids, status, and where the rest is."""
    thin = {"id": job["id"], "object": "job", "type": job["type"], "status": status, "model": job["model"]}
    if job["batch_id"] is not None:
        thin.update(batch_id=job["batch_id"], custom_id=job["custom_id"])
    return {"job": thin, "url": f"/v1/jobs/{job['id']}"}


#: These ids at these epochs; the ids alone as well, by which SQLite finds the rows. Their values: `_holding`.
_HELD = (
    jobs.c.id.in_(bindparam("b_ids", expanding=True)),
    tuple_(jobs.c.id, jobs.c.lease_epoch).in_(bindparam("b_held", expanding=True)),
)


def _holding(held: Sequence[tuple[str, int]]) -> dict[str, Any]:
    return {"b_ids": [id for id, _ in held], "b_held": list(held)}


def _requeue(connection: Connection, back: Requeue) -> bool:
    statement = (
        update(jobs)
        .where(jobs.c.id == back.job_id, jobs.c.lease_epoch == back.epoch, jobs.c.status == RUNNING)
        .values(
            status="queued",
            worker_id=None,
            woken_at=clock.now_micros() if back.wake else None,
            queue=back.queue,
            offer=back.offer,
            failures=back.failures,
            run_at=back.run_at,
            deferred_for=back.deferred_for,
        )
    )
    if back.relayed is not None:
        note_relayed(connection, [back.relayed])
    if connection.execute(statement).rowcount:
        if back.attempts is not None:
            attempts = update(job_payloads).where(job_payloads.c.job_id == back.job_id)
            connection.execute(attempts.values(attempts=dumps(list(back.attempts))))
        return True
    again = select(jobs.c.id).where(jobs.c.id == back.job_id, jobs.c.lease_epoch == back.epoch, jobs.c.status == QUEUED)
    return connection.execute(again).first() is not None


def _end(connection: Connection, endings: Sequence[Ending], now: int) -> dict[str, Mapping[str, Any]]:
    """The compare-and-set itself, one UPDATE a kind of ending; the rows that it changed, by id."""
    kinds: defaultdict[tuple[str, str, bool], list[tuple[str, int]]] = defaultdict(list)
    for ending in endings:
        kinds[ending.came_from, ending.status, ending.takes].append((ending.job_id, ending.epoch))
    ended: dict[str, Mapping[str, Any]] = {}
    for (came_from, status, takes), held in sorted(kinds.items()):
        given = {**_holding(sorted(held)), "b_status": status, "b_now": now}
        rows = connection.execute(_ending(came_from, takes), given)
        ended.update((row[0], dict(zip(_ENDED, row, strict=True))) for row in rows)
    return ended


_ENDED = (
    "id", "account_id", "batch_id", "custom_id", "type", "model", "test", "bound_micros", "queue", "lane", "created_at",
    "relayed_micros", "relayed",
)  # fmt: skip


def _paid(ending: Ending, job: Mapping[str, Any]) -> Ending:
    """The end of a job that did not succeed, with the charge of what its row says was sent on of its answer."""
    if ending.status == "succeeded" or job["relayed_micros"] <= ending.charge_micros:
        return ending
    served = json.loads(job["relayed"])
    charged = min(job["relayed_micros"], job["bound_micros"])
    return replace(ending, **served, estimated=True, relayed=True, charge_micros=charged)


@lru_cache(maxsize=4)
def _ending(came_from: str, takes: bool) -> Any:
    statement = (
        update(jobs)
        .where(*_HELD, jobs.c.status == (RUNNING if came_from == "running" else QUEUED))
        .values(status=bindparam("b_status"), finished_at=bindparam("b_now"), worker_id=None, woken_at=None)
        .returning(*(jobs.c[name] for name in _ENDED))
    )
    return statement.values(lease_epoch=jobs.c.lease_epoch + 1) if takes else statement


def _read_back(connection: Connection, endings: Sequence[Ending]) -> dict[str, Verdict]:
    """Why some did not match: an earlier, ambiguous COMMIT of ours had taken effect, or the job had been taken.

    Only the holder of an epoch ends a job without bumping it, so the same epoch and a terminal status is our own doing.
    """
    if not endings:
        return {}
    statement = select(jobs.c.id, jobs.c.lease_epoch, jobs.c.status).where(
        jobs.c.id.in_([ending.job_id for ending in endings])
    )
    now = {id: (epoch, status) for id, epoch, status in connection.execute(statement)}
    verdicts: dict[str, Verdict] = {}
    for ending in endings:
        epoch, status = now.get(ending.job_id, (-1, ""))
        ours = epoch == ending.epoch and status == ending.status and not ending.takes
        verdicts[ending.job_id] = "done" if ours else "stale"
    return verdicts


def _result(ending: Ending, job: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "job_id": ending.job_id,
        "test": job["test"],
        "response": ending.response,
        "error": dumps(ending.error) if ending.error else None,
        "reason": reasons.of(ending.status, ending.error),
        "status_code": ending.error.get("code") if ending.error else None,
        "attempts": dumps(list(ending.attempts)),
        "ignored": dumps(list(ending.ignored)) if ending.ignored else None,
        "provider": ending.provider,
        "model": ending.model,
        "prompt_tokens": ending.prompt_tokens,
        "completion_tokens": ending.completion_tokens,
        "cached_tokens": ending.cached_tokens,
        "cache_creation_tokens": ending.cache_creation_tokens,
        "reasoning_tokens": ending.reasoning_tokens,
        "images": ending.images,
        "estimated": ending.estimated,
        "charged_micros": ending.charge_micros,
        "excess_micros": ending.excess_micros,
        "partial": ending.partial,
    }


def _account(
    connection: Connection, endings: Mapping[str, Ending], ended: Mapping[str, Mapping[str, Any]], now: int
) -> list[str]:
    """Charge, release, count and tell of the jobs that have just ended. Locks: their batches, then their accounts."""
    lines = [(job, endings[id]) for id, job in ended.items() if job["batch_id"] is not None]
    telling = {None} | transitions.count_ended(connection, lines)
    book = Book(connection, [job["account_id"] for job in ended.values()], now=now)
    for id, job in ended.items():
        charge = endings[id].charge_micros
        book.settle(job["account_id"], ("job", id), held=job["bound_micros"], charge=charge)
        if job["batch_id"] in telling:
            status = endings[id].status
            book.emit(job["account_id"], events.OF_STATUS[status], event_data(job, status), test=job["test"])
    usage.record(connection, (_used(endings[id], job) for id, job in ended.items() if _counts(endings[id])), now)
    return book.close()


def _counts(ending: Ending) -> bool:
    """Whether a job is one of those whose usage is told: it succeeded, or some of its answer was sent on."""
    return ending.status == "succeeded" or ending.relayed


def _used(ending: Ending, job: Mapping[str, Any]) -> Used:
    return Used(
        job["account_id"],
        job["test"],
        ending.model or job["model"],
        ending.prompt_tokens,
        ending.completion_tokens,
        ending.images,
        ending.charge_micros,
    )
