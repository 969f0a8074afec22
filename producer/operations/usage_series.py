"""Usage over time: by day from the daily sums, exact however long ago; by hour or minute from jobs that have ended.

Jobs are found by when they ended, the newest first, and up to MOST_LOOKED_AT are looked at: of an account that ends
more in the time that is asked for, the answer says since when it is complete.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, Literal

from sqlalchemy import Connection, Table, case, func, select, text

from producer.objects.usage_series import UsagePoint, UsageSeries, point
from producer.operations.usage import DAY_MICROS
from shared import clock
from shared.clock import MICROS
from shared.db import models as m
from shared.db.models.jobs import ENDED
from shared.errors import InvalidRequest
from shared.key_holders import KeyHolder

Interval = Literal["minute", "hour", "day"]
#: How long an interval is, how far back it is asked for usually, and at most, in seconds.
SECONDS: Final[Mapping[str, int]] = {"minute": 60, "hour": 3600, "day": 86_400}
USUAL: Final[Mapping[str, int]] = {"minute": 3600, "hour": 86_400, "day": 30 * 86_400}
MOST: Final[Mapping[str, int]] = {"minute": 6 * 3600, "hour": 7 * 86_400, "day": 400 * 86_400}
#: Jobs that are looked at.
MOST_LOOKED_AT: Final = 50_000


@dataclass(frozen=True, slots=True)
class SeriesQuery:
    """Which series. `since`, `until`: whole intervals, in microseconds; the second is exclusive."""

    account_id: str
    test: bool
    interval: Interval
    since: int
    until: int
    model: str | None = None
    key_id: str | None = None

    @property
    def width(self) -> int:
        return SECONDS[self.interval] * MICROS


def read_wanted(holder: KeyHolder, given: Mapping[str, str]) -> SeriesQuery:
    """The series that parameters ask for; 400 for what cannot be."""
    interval = given.get("interval", "hour")
    if interval not in SECONDS:
        raise InvalidRequest("interval must be minute, hour or day", param="interval")
    width, now = SECONDS[interval], clock.now_seconds()
    until = -(-_time(given, "until", int(now)) // width) * width
    since = _time(given, "since", until - USUAL[interval]) // width * width
    if since >= until:
        raise InvalidRequest("since must be before until", param="since")
    if until - since > MOST[interval]:
        raise InvalidRequest(
            f"since: by {interval}, at most {MOST[interval] // SECONDS[interval]:,} intervals can be asked for",
            param="since",
        )
    for name in ("model", "key_id"):
        if name in given and not 0 < len(given[name]) <= 200:
            raise InvalidRequest(f"{name}: must have 1 to 200 characters", param=name)
    shown: Interval = "minute" if interval == "minute" else "hour" if interval == "hour" else "day"
    span = (since * MICROS, until * MICROS)
    return SeriesQuery(holder.account_id, holder.test, shown, *span, given.get("model"), given.get("key_id"))


def _time(given: Mapping[str, str], name: str, usual: int) -> int:
    value = given.get(name)
    if value is None:
        return usual
    if not (value.isascii() and value.isdigit() and len(value) < 11):
        raise InvalidRequest(f"{name} must be a Unix time in seconds", param=name)
    return int(value)


def read(connection: Connection, wanted: SeriesQuery) -> UsageSeries:
    """A point for each interval, those without usage too."""
    since = wanted.since
    if wanted.interval == "day":
        found = _days(connection, wanted)
    else:
        since = _complete_since(connection, wanted)
        found = _ended(connection, wanted, since)
        for start, count in _accepted(connection, wanted, since):
            found.setdefault(start, point(start))["accepted"] = count
    starts = range(wanted.since // MICROS, wanted.until // MICROS, SECONDS[wanted.interval])
    usual = point if wanted.interval == "day" else _with_zero
    return {
        "object": "usage.series",
        "interval": wanted.interval,
        "since": wanted.since // MICROS,
        "until": wanted.until // MICROS,
        "complete_since": since // MICROS,
        "data": [found.get(start) or usual(start) for start in starts],
    }


def _with_zero(start: int) -> UsagePoint:
    return {**point(start), "accepted": 0, "failed": 0}


def _days(connection: Connection, wanted: SeriesQuery) -> dict[int, UsagePoint]:
    """By day, from the sums; those of a key are kept apart, and earlier versions do not add to them."""
    table = m.key_usage if wanted.key_id is not None else m.daily_usage
    sums = [func.sum(table.c[name]) for name in ("jobs", "charged_micros", "prompt_tokens", "completion_tokens")]
    statement = select(table.c.day, *sums).where(
        table.c.account_id == wanted.account_id,
        table.c.test == wanted.test,
        table.c.day.between(clock.day(wanted.since), clock.day(wanted.until - 1)),
        *_of(table, wanted),
    )
    found = {}
    for day, *amounts in connection.execute(statement.group_by(table.c.day)):
        start = (date.fromisoformat(day) - date(1970, 1, 1)).days * DAY_MICROS // MICROS
        found[start] = point(start, *(int(amount) for amount in amounts))
    return found


def _of(table: Table, wanted: SeriesQuery) -> list[Any]:
    conditions = []
    if wanted.model is not None:
        conditions.append(table.c.model == wanted.model)
    if wanted.key_id is not None:
        conditions.append(table.c.key_id == wanted.key_id)
    return conditions


def _whose(wanted: SeriesQuery) -> tuple[Any, ...]:
    return m.jobs.c.account_id == wanted.account_id, m.jobs.c.test == wanted.test


def _complete_since(connection: Connection, wanted: SeriesQuery) -> int:
    """From which interval on all jobs that ended can be looked at."""
    ended = m.jobs.c.finished_at
    statement = select(ended).where(*_whose(wanted), text(ENDED), ended >= wanted.since, ended < wanted.until)
    oldest = connection.execute(statement.order_by(ended.desc()).offset(MOST_LOOKED_AT).limit(1)).scalar()
    return wanted.since if oldest is None else (oldest // wanted.width + 1) * wanted.width


def _ended(connection: Connection, wanted: SeriesQuery, since: int) -> dict[int, UsagePoint]:
    jobs, results = m.jobs.c, m.job_results.c
    start = (jobs.finished_at - jobs.finished_at % wanted.width).label("start")
    model = func.coalesce(results.model, jobs.model)
    statement = (
        select(
            start,
            func.sum(case((jobs.status == "succeeded", 1), else_=0)),
            func.sum(case((jobs.status.in_(("failed", "expired")), 1), else_=0)),
            func.sum(results.charged_micros),
            func.sum(results.prompt_tokens),
            func.sum(results.completion_tokens),
        )
        .join_from(m.jobs, m.job_results, results.job_id == jobs.id)
        .where(*_whose(wanted), text(ENDED), jobs.finished_at >= since, jobs.finished_at < wanted.until)
    )
    if wanted.model is not None:
        statement = statement.where(model == wanted.model)
    if wanted.key_id is not None:
        statement = statement.where(jobs.key_id == wanted.key_id)
    found: dict[int, UsagePoint] = {}
    for at, jobs_done, failed, *amounts in connection.execute(statement.group_by(start)):
        place = int(at) // MICROS
        made = point(place, int(jobs_done), *(int(amount) for amount in amounts))
        found[place] = {**made, "accepted": 0, "failed": int(failed)}
    return found


def _accepted(connection: Connection, wanted: SeriesQuery, since: int) -> list[tuple[int, int]]:
    """How many of the account's newest jobs were accepted in each interval."""
    jobs = m.jobs.c
    low, high = (f"job_{max(at, 0) // 1000 << 16:016x}" for at in (since - MICROS, wanted.until + MICROS))
    newest = select(jobs.created_at).where(*_whose(wanted), jobs.id > low, jobs.id < high, *_of(m.jobs, wanted))
    some = newest.order_by(jobs.id.desc()).limit(MOST_LOOKED_AT).subquery()
    start = (some.c.created_at - some.c.created_at % wanted.width).label("start")
    statement = select(start, func.count()).where(some.c.created_at >= since, some.c.created_at < wanted.until)
    return [(int(at) // MICROS, count) for at, count in connection.execute(statement.group_by(start))]
