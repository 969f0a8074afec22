"""Usage of an account: sums over a period, and a row for each job that was charged in it.

The sums are those of `daily_usage`, which are exact; the rows are read from the jobs, so many a transaction.
"""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select

from producer import objects
from producer.objects import UsageReport
from producer.operations.pages import PageQuery
from shared import clock
from shared.db import Database
from shared.db import models as m
from shared.errors import InvalidRequest
from shared.objects.amounts import credits
from shared.settings import settings
from shared.submissions.usage_shown import KEPT_OF_RESULTS

#: Days in one question.
MOST_DAYS = 3660
#: Jobs that one transaction looks at.
MOST_SCANNED = 1000
#: Microseconds of a day.
DAY_MICROS = 86_400 * clock.MICROS
#: From a job's id to its end: a week in a batch and a day to end, unless jobs may wait longer.
_LIFE_MICROS = 8 * DAY_MICROS
#: By so much an id may be ahead of its time, after a clock was set back.
_AHEAD_MICROS = DAY_MICROS
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
#: Of a row, or any text of its form: it only says where the next page begins.
_ID = re.compile(r"usage_([0-9a-z]{1,64})")


@dataclass(frozen=True, slots=True)
class Period:
    """Whole days, UTC, both inclusive."""

    first: date
    last: date

    @property
    def begins(self) -> int:
        """Its first instant, in microseconds since the epoch."""
        return (self.first - date(1970, 1, 1)).days * DAY_MICROS

    @property
    def ends(self) -> int:
        """The first instant after it."""
        return ((self.last - date(1970, 1, 1)).days + 1) * DAY_MICROS


@dataclass(frozen=True, slots=True)
class Selection:
    """Whose usage is wanted: of live or of test keys, of which days, of one model, of one batch."""

    account_id: str
    test: bool
    period: Period
    model: str | None = None
    batch_id: str | None = None


@dataclass(frozen=True, slots=True)
class Totals:
    """Micro-credits by model, the dearest first, and the days between which there was any usage at all."""

    models: list[tuple[str, int]]
    used: Period | None


@dataclass(frozen=True, slots=True)
class Between:
    """The ids that are still to be looked at; neither end is one of them."""

    low: str
    high: str


def read_period(first: str | None, last: str | None) -> Period:
    """The days that `from` and `to` name. Default: until today, from the first of the month in which they end.

    A `from` of tomorrow is that day alone: where its caller lives it may be today.
    """
    since = read_day(first, "from")
    today = clock.utc(clock.now_micros()).date()
    until = read_day(last, "to") or max(since or today, today)
    since = since or until.replace(day=1)
    if since > until:
        raise InvalidRequest(f"from: {since} is after to ({until})", param="from")
    if until - since >= timedelta(days=MOST_DAYS):
        raise InvalidRequest(f"from: {since} to {until} is longer than the maximum of {MOST_DAYS} days", param="from")
    return Period(since, until)


def totals(connection: Connection, wanted: Selection) -> Totals:
    """What was charged, by model; exact to the micro-credit."""
    found = _of_batch(connection, wanted) if wanted.batch_id is not None else _of_days(connection, wanted)
    models = sorted(((str(model), int(micros)) for model, micros, _, _ in found), key=lambda row: (-row[1], row[0]))
    if not found:
        return Totals([], None)
    return Totals(models, Period(min(first for _, _, first, _ in found), max(last for _, _, _, last in found)))


async def page(database: Database, wanted: Selection, page: PageQuery) -> UsageReport:
    """The sums of the period and a page of its rows, newest job first; `after` is a row's id."""
    sums = await database.read(totals, wanted)
    rows: list[Mapping[str, Any]] = []
    rest, most = _narrowed(_ids(wanted, sums), page), page.limit + 1
    while rest is not None and len(rows) <= page.limit:
        found, rest = await database.read(scan, wanted, rest, most, newest_first=page.order == "desc")
        rows += found
        most = min(most * 4, MOST_SCANNED)
    return {
        **objects.page([objects.usage_row(row) for row in rows], page.limit),
        "period": objects.days(wanted.period.first, wanted.period.last),
        "credits_used": credits(sum(micros for _, micros in sums.models)),
        "top_models": [objects.model_credits(*charged) for charged in sums.models],
    }


async def pages(database: Database, wanted: Selection) -> AsyncIterator[list[Mapping[str, Any]]]:
    """Every row of the period, oldest first, as many at a time as one transaction looks at; some may be none."""
    rest = _ids(wanted, await database.read(totals, wanted))
    while rest is not None:
        found, rest = await database.read(scan, wanted, rest, MOST_SCANNED, newest_first=False)
        yield found


def scan(
    connection: Connection, wanted: Selection, between: Between, most: int, *, newest_first: bool
) -> tuple[list[Mapping[str, Any]], Between | None]:
    """The usage among the account's next `most` jobs, of whatever status, and what is left; None: nothing is."""
    jobs = next_jobs(wanted, between, most, newest_first).subquery("j")
    results = m.job_results.c
    model = func.coalesce(results.model, jobs.c.model)
    conditions = [results.job_id == jobs.c.id, *counted(jobs.c, wanted)]
    if wanted.model is not None:
        conditions.append(model == wanted.model)
    names = (
        "provider",
        "prompt_tokens",
        "completion_tokens",
        *KEPT_OF_RESULTS,
        "service_tier",
        "estimated",
        "images",
        "charged_micros",
    )
    statement = (
        select(*(jobs.c[name] for name in _OF_JOB), model.label("served_model"), *(results[name] for name in names))
        .add_columns(results.job_id.label("result_of"))
        .join_from(jobs, m.job_results, and_(*conditions), isouter=True)
        .order_by(jobs.c.id.desc() if newest_first else jobs.c.id.asc())
    )
    rows = [dict(row) for row in connection.execute(statement).mappings()]
    found: list[Mapping[str, Any]] = [row for row in rows if row["result_of"] is not None]
    if len(rows) < most:
        return found, None
    last = rows[-1]["id"]
    return found, Between(between.low, last) if newest_first else Between(last, between.high)


_OF_JOB = ("id", "key_id", "batch_id", "custom_id", "type", "model", "test", "status", "finished_at")


def read_day(text: str | None, param: str) -> date | None:
    """The day that a parameter names, if there is one; 400 for anything else."""
    if text is None:
        return None
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise InvalidRequest(f"{param} must be a date such as 2026-11-21, not {text[:50]!r}", param=param)


def _of_days(connection: Connection, wanted: Selection) -> list[tuple[str, int, date, date]]:
    daily = m.daily_usage.c
    statement = select(daily.model, func.sum(daily.charged_micros), func.min(daily.day), func.max(daily.day)).where(
        daily.account_id == wanted.account_id,
        daily.test == wanted.test,
        daily.day.between(str(wanted.period.first), str(wanted.period.last)),
    )
    if wanted.model is not None:
        statement = statement.where(daily.model == wanted.model)
    return [
        (model, micros, date.fromisoformat(first), date.fromisoformat(last))
        for model, micros, first, last in connection.execute(statement.group_by(daily.model))
    ]


def _of_batch(connection: Connection, wanted: Selection) -> list[tuple[str, int, date, date]]:
    """The same for the part of a batch that ended in the period; a batch has 50,000 jobs at most."""
    jobs, results = m.jobs.c, m.job_results.c
    model = func.coalesce(results.model, jobs.model)
    finished = (func.min(jobs.finished_at), func.max(jobs.finished_at))
    statement = (
        select(model, func.sum(results.charged_micros), *finished)
        .join_from(m.jobs, m.job_results, results.job_id == jobs.id)
        .where(jobs.batch_id == wanted.batch_id, jobs.account_id == wanted.account_id, *counted(jobs, wanted))
        .group_by(model)
    )
    if wanted.model is not None:
        statement = statement.where(model == wanted.model)
    return [
        (name, micros, clock.utc(first).date(), clock.utc(last).date())
        for name, micros, first, last in connection.execute(statement)
    ]


def counted(jobs: Any, wanted: Selection) -> tuple[ColumnElement[bool], ...]:
    """Which jobs have usage at all."""
    period = wanted.period
    return (
        or_(jobs.status == "succeeded", m.job_results.c.prompt_tokens + m.job_results.c.completion_tokens > 0),
        jobs.test == wanted.test,
        jobs.finished_at >= period.begins,
        jobs.finished_at < period.ends,
    )


def next_jobs(wanted: Selection, between: Between, most: int, newest_first: bool) -> Any:
    """The account's next jobs between two ids, of whatever status."""
    jobs = m.jobs.c
    statement = select(*(jobs[name] for name in _OF_JOB)).where(
        jobs.account_id == wanted.account_id, jobs.id > between.low, jobs.id < between.high
    )
    if wanted.batch_id is not None:
        statement = statement.where(jobs.batch_id == wanted.batch_id)
    return statement.order_by(jobs.id.desc() if newest_first else jobs.id.asc()).limit(most)


def ids_of(wanted: Selection) -> Between:
    """The same of every job that may have ended in a period."""
    return _around(wanted.period)


def _ids(wanted: Selection, sums: Totals) -> Between | None:
    """Between which ids the jobs of a period must be, since ids tell when they were made."""
    if sums.used is None:
        return None
    return _around(sums.used)


def _around(period: Period) -> Between:
    life = max(_LIFE_MICROS, settings().job_expires_seconds * clock.MICROS + DAY_MICROS)
    return Between(_id_at(period.begins - life), _id_at(period.ends + _AHEAD_MICROS))


def _id_at(micros: int) -> str:
    """What every id that is made from this instant on is greater than."""
    return f"job_{max(0, micros) // 1000 << 16:016x}"


def _narrowed(between: Between | None, page: PageQuery) -> Between | None:
    """What is left after the row that the caller has seen last."""
    if page.after is None:
        return between
    seen = _ID.fullmatch(page.after)
    if seen is None:
        raise InvalidRequest("after must be the id of a usage row, such as last_id of the previous page", param="after")
    if between is None:
        return None
    at = "job_" + seen[1]
    if page.order == "desc":
        return Between(between.low, min(between.high, at))
    return Between(max(between.low, at), between.high)
