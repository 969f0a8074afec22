"""Usage of an account in groups: by model, key and day, from sums that are kept; by a label, from the jobs' rows.

Sums that are kept outlive the jobs. Labels (`metadata`) are with the jobs: what retention has removed of them is
`unattributed`. Work is bounded: so many groups, and so many jobs looked at.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from sqlalchemy import Connection, and_, func, literal, null, select, union_all

from producer import objects
from producer.objects import UsageGroups
from producer.objects.usage import Sums
from producer.operations import usage
from producer.operations.pages import PageQuery
from producer.operations.usage import Between, Selection
from shared import clock
from shared.db import Database, retention_marks
from shared.db import models as m
from shared.errors import InvalidRequest, RateLimited

LABEL: Final = "metadata."
#: The column of each dimension but labels.
_COLUMNS: Final[Mapping[str, str]] = {"model": "model", "key": "key_id", "day": "day"}
_LABEL_NAME: Final = re.compile(r"metadata\.[^\x00]{1,64}")
#: Dimensions, and groups in one answer.
MOST_DIMENSIONS: Final = 4
MOST_GROUPS: Final = 10_000
#: Jobs that one transaction looks at for labels, and one request.
SLICE: Final = 10_000
MOST_JOBS: Final = 1_000_000
#: Requests of an account that look at jobs at the same time in a process: all reads of the database take turns.
MOST_AT_ONCE: Final = 2
_SUMS: Final = ("jobs", "prompt_tokens", "completion_tokens", "images", "charged_micros")

#: What a group has of each dimension, in their order; None: it is not known, or a job has no such label.
Values = tuple[str | None, ...]
Groups = dict[Values, Sums]


@dataclass(frozen=True, slots=True)
class Grouped:
    """All groups, in their order, and what cannot be told of any, in micro-credits."""

    groups: list[tuple[Values, Sums]]
    unattributed: int = 0


def read_dimensions(given: str) -> tuple[str, ...]:
    """What `group_by` names: `model`, `key`, `day`, `metadata.NAME`, several separated by commas.

    >>> read_dimensions("day,metadata.team")
    ('day', 'metadata.team')
    """
    named = tuple(given.split(","))
    for one in named:
        if one not in _COLUMNS and not _LABEL_NAME.fullmatch(one):
            known = "model, key, day or metadata.NAME"
            raise InvalidRequest(f"group_by: {one[:80]!r} must be {known}", param="group_by")
    if len(named) > MOST_DIMENSIONS or len(set(named)) < len(named):
        raise InvalidRequest(f"group_by: at most {MOST_DIMENSIONS} different dimensions", param="group_by")
    return named


async def page(database: Database, wanted: Selection, by: Sequence[str], page: PageQuery) -> UsageGroups:
    """A page of the groups, and the sum of all; `after` is a group's id."""
    whole = await grouped(database, wanted, by)
    names = await database.read(key_names, wanted.account_id) if "key" in by else {}
    rows = whole.groups if page.order == "asc" else whole.groups[::-1]
    made = [objects.usage_group(by, values, sums, names) for values, sums in rows]
    first = 0
    if page.after is not None:
        ids = [one["id"] for one in made]
        if page.after not in ids:
            raise InvalidRequest("after must be the last_id of the previous page of these groups", param="after")
        first = ids.index(page.after) + 1
    total = sum(sums.charged_micros for _, sums in whole.groups) + whole.unattributed
    listed = objects.page(made[first : first + page.limit + 1], page.limit)
    return objects.usage_groups(listed, by, wanted.period.first, wanted.period.last, total, whole.unattributed)


async def grouped(database: Database, wanted: Selection, by: Sequence[str]) -> Grouped:
    """Every group of a period; InvalidRequest: they are too many, or too many jobs would have to be looked at.

    RateLimited: as many requests of the account as may are looking at jobs just now.
    """
    if wanted.batch_id is None and all(one in _COLUMNS for one in by):
        return _ordered(await database.read(_of_sums, wanted, by))
    if _looking[wanted.account_id] >= MOST_AT_ONCE:
        said = f"at most {MOST_AT_ONCE} requests at a time group an account's usage by labels, or that of a batch"
        raise RateLimited(f"{said}; retry in a few seconds", retry_after_seconds=AGAIN_SECONDS)
    _looking[wanted.account_id] += 1
    try:
        return await _of_jobs(database, wanted, by)
    finally:
        _looking[wanted.account_id] -= 1
        if not _looking[wanted.account_id]:
            del _looking[wanted.account_id]


#: How many there are, by account; and when who came beside them may try again, in seconds.
_looking: Counter[str] = Counter()
AGAIN_SECONDS: Final = 2


async def _of_jobs(database: Database, wanted: Selection, by: Sequence[str]) -> Grouped:
    """By label, or of one batch: from the jobs, slice by slice."""
    total, gone = await database.read(_totals, wanted)
    groups: Groups = {}
    rest: Between | None = usage.ids_of(wanted)
    looked = 0
    while rest is not None:
        found, rest = await database.read(_slice, wanted, rest, by)
        looked += SLICE
        _merge(groups, found)
        if looked >= MOST_JOBS and rest is not None:
            raise InvalidRequest(
                f"group_by: more than {MOST_JOBS:,} jobs to look at; choose a shorter period with from and to",
                param="group_by",
            )
    known = sum(one.charged_micros for one in groups.values())
    return _ordered(groups, max(0, total - known) if gone and wanted.batch_id is None else 0)


def key_names(connection: Connection, account_id: str) -> dict[str, str]:
    """The names of an account's keys, by id."""
    statement = select(m.api_keys.c.id, m.api_keys.c.name).where(m.api_keys.c.account_id == account_id)
    return {id: name for id, name in connection.execute(statement)}


def _ordered(groups: Groups, unattributed: int = 0) -> Grouped:
    """Groups of which something was used, by their values; what is not known comes first."""
    used = [(values, sums) for values, sums in groups.items() if sums.jobs or sums.charged_micros]
    return Grouped(sorted(used, key=lambda one: [(value is not None, value or "") for value in one[0]]), unattributed)


def _of_sums(connection: Connection, wanted: Selection, by: Sequence[str]) -> Groups:
    """By model, key and day. What workers of earlier versions settled has no key: the rest of the daily sums."""
    daily, of_keys = m.daily_usage.c, m.key_usage.c
    parts = [_part(daily, wanted, null().label("key_id"), 1)]
    if "key" in by:
        parts += [_part(of_keys, wanted, null().label("key_id"), -1), _part(of_keys, wanted, of_keys.key_id, 1)]
    rows = union_all(*parts).subquery("u").c
    columns = [rows[_COLUMNS[one]] for one in by]
    statement = select(*columns, *(func.sum(rows[name]) for name in _SUMS)).group_by(*columns).limit(MOST_GROUPS + 2)
    found: Groups = {}
    for row in connection.execute(statement):
        found[tuple(row[: len(by)])] = Sums(*(int(value) for value in row[len(by) :]))
    _check_number(found)
    return found


def _part(table: Any, wanted: Selection, key: Any, sign: int) -> Any:
    conditions = [
        table.account_id == wanted.account_id,
        table.test == wanted.test,
        table.day.between(str(wanted.period.first), str(wanted.period.last)),
    ]
    if wanted.model is not None:
        conditions.append(table.model == wanted.model)
    sums = (table[name] if sign > 0 else (-table[name]).label(name) for name in _SUMS)
    return select(table.day, table.model, key, *sums).where(*conditions)


def _totals(connection: Connection, wanted: Selection) -> tuple[int, bool]:
    """What was charged in a period, and whether retention may have removed jobs, or their labels, of it."""
    marks = retention_marks.marks(connection)
    gone = max(marks["jobs"], marks["payloads"]) >= wanted.period.begins
    return sum(micros for _, micros in usage.totals(connection, wanted).models), gone


def _slice(
    connection: Connection, wanted: Selection, between: Between, by: Sequence[str]
) -> tuple[Groups, Between | None]:
    """The groups of the account's next SLICE jobs, of whatever status, and what is left."""
    jobs = usage.next_jobs(wanted, between, SLICE, newest_first=False).subquery("j")
    results, labelled = m.job_results.c, any(one not in _COLUMNS for one in by)
    model = func.coalesce(results.model, jobs.c.model).label("model")
    columns = [
        model if "model" in by else literal("").label("model"),
        jobs.c.key_id if "key" in by else literal("").label("key_id"),
        (jobs.c.finished_at - jobs.c.finished_at % usage.DAY_MICROS if "day" in by else literal(0)).label("day"),
        (m.job_payloads.c.labels if labelled else literal("")).label("labels"),
    ]
    counts = [func.count(), *(func.sum(results[name]) for name in _SUMS[1:])]
    conditions = [results.job_id == jobs.c.id, *usage.counted(jobs.c, wanted)]
    if wanted.model is not None:
        conditions.append(model == wanted.model)
    statement = select(*columns, *counts).join_from(jobs, m.job_results, and_(*conditions))
    if labelled:
        statement = statement.join(m.job_payloads, m.job_payloads.c.job_id == jobs.c.id)
    found: Groups = {}
    for row in connection.execute(statement.group_by(*columns)):
        place = _place(by, dict(zip(("model", "key", "day"), row[:3], strict=True)), row[3])
        _merge(found, {place: Sums(*(int(value) for value in row[4:]))})
    last, number = connection.execute(select(func.max(jobs.c.id), func.count()).select_from(jobs)).one()
    return found, Between(last, between.high) if number == SLICE else None


def _place(by: Sequence[str], known: Mapping[str, Any], labels: str | None) -> Values:
    """Where a group of rows belongs."""
    named: Mapping[str, str] = orjson.loads(labels) if labels else {}
    values = {**known, "day": clock.day(known["day"])}
    return tuple(values[one] if one in _COLUMNS else named.get(one.removeprefix(LABEL)) for one in by)


def _merge(groups: Groups, more: Groups) -> None:
    for values, sums in more.items():
        groups[values] = groups[values] + sums if values in groups else sums
    _check_number(groups)


def _check_number(groups: Groups) -> None:
    if len(groups) > MOST_GROUPS:
        raise InvalidRequest(
            f"group_by: more than {MOST_GROUPS:,} groups; choose a shorter period, or fewer dimensions",
            param="group_by",
        )


COLUMNS_OF_SUMS: Final = ("jobs", "prompt_tokens", "completion_tokens", "total_tokens", "images", "credits_used")
