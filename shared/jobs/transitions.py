"""Every change of a job's state: a compare-and-set on (id, status, lease_epoch).

Who takes a job from its holder (sweeper, cancel, expiry) increments the epoch, so that the holder's late answer
matches nothing. Money and events are written only for the ids that the UPDATE returned.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from sqlalchemy import BigInteger, Connection, bindparam, cast, func, select, text, update
from sqlalchemy.dialects.postgresql import JSONB

from shared import clock, db
from shared.batches import transitions
from shared.db import at_once, counters, hot
from shared.db.models import job_payloads, job_results, jobs
from shared.db.models.jobs import QUEUED, RUNNING
from shared.jobs import callbacks, job_steps, metrics, reasons, relayed, response_events
from shared.jobs.leases import held_at, holding
from shared.jobs.outcomes import EVENTS, Ending, Requeue, Settled, StepEnd, Verdict
from shared.money import key_budgets, usage
from shared.money.hold_ends import HoldEnds
from shared.money.usage import Used
from shared.objects.addresses import job_url
from shared.strict_json import dumps
from shared.submissions.steps.course import has_course


def settle(connection: Connection, outcomes: Sequence[Ending | Requeue]) -> Settled:
    """Carry out a group of outcomes in this one transaction. Repeatable: a second time finds the first."""
    settled, steps = Settled(), list[StepEnd]()
    for outcome in outcomes:
        if isinstance(outcome, Requeue):
            settled.verdicts[outcome.job_id] = "done" if _requeue(connection, outcome, steps) else "stale"
    endings = {outcome.job_id: outcome for outcome in outcomes if isinstance(outcome, Ending)}
    now = clock.now_micros()
    ended = _end(connection, list(endings.values()), now)
    settled.verdicts.update((id, "done") for id in ended)
    left = [ending for id, ending in endings.items() if id not in ended]
    settled.verdicts.update(_read_back(connection, left))
    endings.update((id, _paid(endings[id], job)) for id, job in ended.items())
    holders = (outcome.job_id for outcome in outcomes if isinstance(outcome, Requeue) or not outcome.takes)
    stale = sum(settled.verdicts[id] == "stale" for id in holders)
    counted = metrics.of_endings(((endings[id], job) for id, job in ended.items()), now)
    if ended:
        db.insert_rows(connection, job_results, [_result(endings[id], row) for id, row in ended.items()])
        steps += _end_steps(connection, endings, ended)
        settled.deliveries = _account(connection, endings, ended, now)
    counters.add(connection, counted | metrics.of_steps(steps) | {counters.of("stale_answers_refused"): stale})
    return settled


def _end_steps(
    connection: Connection, endings: Mapping[str, Ending], ended: Mapping[str, Mapping[str, Any]]
) -> list[StepEnd]:
    """Write down the last steps of jobs that take several calls; the answers of the others are not needed any more."""
    of_course = [id for id, row in ended.items() if has_course(row["offer"])]
    last = [(id, step) for id in of_course if (step := endings[id].step) is not None]
    job_steps.keep(connection, last)
    job_steps.forget_answers(connection, of_course)
    return [step for _, step in last]


def event_data(job: Mapping[str, Any], status: str) -> dict[str, Any]:
    """What a job event says: ids, status, and where the rest is."""
    thin = {"id": job["id"], "object": "job", "type": job["type"], "status": status, "model": job["model"]}
    if job["batch_id"] is not None:
        thin.update(batch_id=job["batch_id"], custom_id=job["custom_id"])
    return {"job": thin, "url": job_url(job["id"])}


def _requeue(connection: Connection, back: Requeue, steps: list[StepEnd]) -> bool:
    """Put one back; `steps` gets the step that has ended with it, the first time that this takes effect."""
    statement = (
        update(jobs)
        .where(jobs.c.id == back.job_id, jobs.c.lease_epoch == back.epoch, text(RUNNING))
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
        relayed.note(connection, [back.relayed])
    if connection.execute(statement).rowcount:
        if back.attempts is not None:
            attempts = update(job_payloads).where(job_payloads.c.job_id == back.job_id)
            connection.execute(attempts.values(attempts=dumps(list(back.attempts))))
        if back.step is not None:
            job_steps.keep(connection, [(back.job_id, back.step)])
            steps.append(back.step)
        return True
    again = select(jobs.c.id).where(jobs.c.id == back.job_id, jobs.c.lease_epoch == back.epoch, text(QUEUED))
    return connection.execute(again).first() is not None


def _end(connection: Connection, endings: Sequence[Ending], now: int) -> dict[str, Mapping[str, Any]]:
    """The compare-and-set itself, one UPDATE a kind of ending; the rows that it changed, by id."""
    kinds: defaultdict[tuple[str, str, bool], list[tuple[str, int]]] = defaultdict(list)
    for ending in endings:
        bumps = ending.takes or ending.began_at is not None
        kinds[ending.came_from, ending.status, bumps].append((ending.job_id, ending.epoch))
    began = dumps({ending.job_id: ending.began_at for ending in endings if ending.began_at is not None})
    ended: dict[str, Mapping[str, Any]] = {}
    dialect = connection.dialect.name
    for (came_from, status, bumps), held in sorted(kinds.items()):
        if dialect == "sqlite":
            rows = _end_on_sqlite(connection, sorted(held), came_from, (status, now, began, int(bumps)))
        else:
            given = {**holding(dialect, sorted(held)), "b_status": status, "b_now": now, "b_began": began}
            rows = _ENDING[came_from, bumps].rows(connection, given)
        ended.update((row[0], dict(zip(_ENDED, row, strict=True))) for row in rows)
    return ended


def _end_on_sqlite(
    connection: Connection, held: Sequence[tuple[str, int]], came_from: str, values: Sequence[Any]
) -> Sequence[Sequence[Any]]:
    """The same there, where no other transaction can change them between the two statements (`shared.db.at_once`)."""
    rows = at_once.rows(connection, _HELD.format(RUNNING if came_from == "running" else QUEUED), [at_once.listed(held)])
    given = (*values, at_once.listed(row[0] for row in rows))
    if rows:
        hot.run(connection, _TO_END, given)
    return rows


_ENDED = (
    "id", "account_id", "batch_id", "custom_id", "type", "model", "test", "bound_micros", "queue", "lane", "created_at",
    "relayed_micros", "relayed", "owed_events", "offer", "key_id", "budget_at",
    "wanted_micros",
)  # fmt: skip


_HELD = (
    f"SELECT {at_once.as_one(*(jobs.c[name] for name in _ENDED))} FROM {at_once.EACH} jobs"
    " ON jobs.id = json_extract(wanted.value, '$[0]') AND lease_epoch = json_extract(wanted.value, '$[1]') WHERE {}"
)
_TO_END = (
    "UPDATE jobs SET status = ?, finished_at = ?, worker_id = NULL, woken_at = NULL, budget_open = 0,"
    " started_at = coalesce(started_at, json_extract(?, '$.' || id)),"
    " lease_epoch = lease_epoch + ? WHERE id IN (SELECT value FROM json_each(?))"
)


def _paid(ending: Ending, job: Mapping[str, Any]) -> Ending:
    """The end of a job that did not succeed, with the charge of what its row says was sent on of its answer."""
    if ending.status == "succeeded" or job["relayed_micros"] <= ending.charge_micros:
        return ending
    served = json.loads(job["relayed"])
    charged = min(job["relayed_micros"], job["bound_micros"])
    return replace(ending, **served, estimated=True, relayed=True, charge_micros=charged)


def _ending(came_from: str, bumps: bool, dialect: str) -> Any:
    statement = (
        update(jobs)
        .where(held_at(dialect), text(RUNNING if came_from == "running" else QUEUED))
        .values(status=bindparam("b_status"), finished_at=bindparam("b_now"), worker_id=None, woken_at=None)
        .values(budget_open=False)
        .returning(*(jobs.c[name] for name in _ENDED))
    )
    if came_from == "queued":
        began = cast(cast(bindparam("b_began"), JSONB).op("->>")(jobs.c.id), BigInteger)
        statement = statement.values(started_at=func.coalesce(jobs.c.started_at, began))
    return statement.values(lease_epoch=jobs.c.lease_epoch + 1) if bumps else statement


_ENDING = {
    (came_from, bumps): hot.Statement(partial(_ending, came_from, bumps))
    for came_from in ("queued", "running")
    for bumps in (False, True)
}


def _read_back(connection: Connection, endings: Sequence[Ending]) -> dict[str, Verdict]:
    """Why some did not match: an earlier, ambiguous COMMIT of ours had taken effect, or the job had been taken.

    Only the holder of an epoch ends a job without bumping it, so the same epoch and a terminal status is our own doing.
    Where a lease was never written, the same result is.
    """
    if not endings:
        return {}
    columns = (jobs.c.lease_epoch, jobs.c.status, *(job_results.c[name] for name in _TOLD_APART))
    joined = select(jobs.c.id, *columns).join(job_results, job_results.c.job_id == jobs.c.id, isouter=True)
    statement = joined.where(jobs.c.id.in_([ending.job_id for ending in endings]))
    now = {id: row for id, *row in connection.execute(statement)}
    return {
        ending.job_id: "done" if ending.job_id in now and _is_ours(ending, *now[ending.job_id]) else "stale"
        for ending in endings
    }


def _is_ours(ending: Ending, epoch: int, status: str, *result: Any) -> bool:
    if ending.takes or status != ending.status:
        return False
    if ending.began_at is None:
        return epoch == ending.epoch
    told = _result(ending, {"test": False})
    return epoch == ending.epoch + 1 and result == tuple(told[name] for name in _TOLD_APART)


#: What two ends of a job, by two processes that both called for it, do not have in common.
_TOLD_APART = ("response", "error", "attempts", "charged_micros")


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
        "cache_creation_1h_tokens": ending.cache_creation_1h_tokens,
        "service_tier": ending.service_tier,
        "images": ending.images,
        "estimated": ending.estimated,
        "charged_micros": ending.charge_micros,
        "excess_micros": ending.excess_micros,
        "partial": ending.partial,
        "cached_from": ending.cached_from,
    }


def _account(
    connection: Connection, endings: Mapping[str, Ending], ended: Mapping[str, Mapping[str, Any]], now: int
) -> list[str]:
    """Charge, release, count and tell of the jobs that have just ended. Locks: their batches, then their accounts.

    All workers wait for the locks of the same batch and account: what can be done is done before.
    """
    ends, used = HoldEnds(connection, now), []
    for id, job in ended.items():
        ending = endings[id]
        ends.settle(job["account_id"], ("job", id), held=job["bound_micros"], charge=ending.charge_micros)
        if _counts(ending):
            used.append(_used(ending, job))
    ends.write()
    sums, callback_urls = usage.added_up(used, now), callbacks.urls(connection, ended.values())
    response_events.settled(connection, [*ended.values()])
    callbacks.settled(connection, ended.values())
    lines = [(job, endings[id]) for id, job in ended.items() if job["batch_id"] is not None]
    telling = {None} | transitions.count_ended(connection, lines)
    told = [job for job in ended.values() if job["batch_id"] in telling]
    for job in told:
        if job["id"] not in callback_urls:
            status = endings[job["id"]].status
            ends.emit(job["account_id"], EVENTS[status], event_data(job, status), test=job["test"])
    book = ends.book()
    for job in told:
        if url := callback_urls.get(job["id"]):
            status = endings[job["id"]].status
            data = event_data(job, status)
            book.emit(job["account_id"], EVENTS[status], data, test=job["test"], callback_url=url)
    for id, job in ended.items():
        response_events.emit(book, job, endings[id].status, endings[id].response)
    key_budgets.settle(connection, book, [(job, endings[id].charge_micros) for id, job in ended.items()])
    usage.record(connection, sums)
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
        job["key_id"],
        job["batch_id"] is not None,
    )
