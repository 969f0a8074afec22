"""Which jobs a list is of, and finding a page of them in bounded time, however many jobs an account has.

Jobs that are not over, or that did not succeed, and those of a batch, have indexes. By anything else an account's jobs
are looked through in the order of their ids for a moment; a page may then end before it is full, and is gone on with
from where the looking ended. Times are times of ids, which sort by them, and of `created_at`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, get_args

import orjson
from pydantic import Field
from sqlalchemy import ColumnElement, Connection, select, text

from producer.objects.job_lists import JobCount
from producer.operations.pages import PageQuery, owned_by
from shared import clock
from shared.clock import MICROS
from shared.db import models as m
from shared.db.models.jobs import OF_BATCHES, UNFINISHED, UNSUCCESSFUL, UNSUCCESSFUL_LINES
from shared.errors import InvalidRequest
from shared.jobs.outcomes import JobStatus
from shared.key_holders import KeyHolder
from shared.submissions.job_types import JOB_TYPES, JobType
from shared.submissions.schemas import MAX_LABEL_KEY, MAX_LABEL_VALUE, MAX_LABELS, Shape

#: Jobs looked at in one query; in one where their metadata is read, which is beside their requests.
CHUNK: Final = 2_500
CHUNK_OF_LABELS: Final = 500
#: After so long a page ends where it is, in seconds.
LOOK_SECONDS: Final = 0.05
#: Jobs that are counted at most.
MOST_COUNTED: Final = 10_000
#: By so much an id may be apart from `created_at`: ids of a process never go back, its clock may.
APART_MICROS: Final = 86_400 * MICROS
UNFINISHED_STATUSES: Final = frozenset({"queued", "running"})
_UNSUCCESSFUL: Final = frozenset({"failed", "cancelled", "expired"})
_STATUSES: Final = frozenset(get_args(JobStatus))
#: The latest time that may be asked for, in seconds.
MOST_TIME: Final = 2**36

_Name = Annotated[str, Field(min_length=1, max_length=200)]
_Time = Annotated[int, Field(ge=0, le=MOST_TIME)]
LABEL: Final = "metadata."
#: The parameters of a list that are filters; those of metadata are `metadata.NAME`.
FILTERS: Final = ("status", "type", "model", "key_id", "batch_id", "created_after", "created_before")


class JobFilter(Shape):
    """What is asked of jobs; all of it holds of each. Times in seconds since the epoch, the second exclusive."""

    #: Any of these.
    status: list[JobStatus] | None = Field(default=None, min_length=1, max_length=6)
    type: JobType | None = None
    model: _Name | None = None
    key_id: _Name | None = None
    batch_id: _Name | None = None
    metadata: (
        dict[Annotated[str, Field(max_length=MAX_LABEL_KEY)], Annotated[str, Field(max_length=MAX_LABEL_VALUE)]] | None
    ) = Field(default=None, max_length=MAX_LABELS)
    created_after: _Time | None = None
    created_before: _Time | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing is asked."""
        return not self.model_dump(exclude_none=True)


#: Every job.
NOTHING: Final = JobFilter()


@dataclass(slots=True)
class FoundJobs:
    """Ids of jobs, up to one more than asked for. `until`: where the looking ended before there were as many."""

    ids: list[str] = field(default_factory=list)
    until: str | None = None


def read_filter(given: Mapping[str, str]) -> JobFilter:
    """The filter of a list's parameters; 400 names the one that cannot be."""
    values: dict[str, Any] = {name: given[name] for name in ("model", "key_id", "batch_id") if name in given}
    if "status" in given:
        values["status"] = _statuses(given["status"])
    if "type" in given:
        if given["type"] not in JOB_TYPES:
            raise InvalidRequest(f"type: must be one of {', '.join(JOB_TYPES)}", param="type")
        values["type"] = given["type"]
    for name in ("created_after", "created_before"):
        if name in given:
            values[name] = _time(name, given[name])
    for name in ("model", "key_id", "batch_id"):
        if name in values and not 0 < len(values[name]) <= 200:
            raise InvalidRequest(f"{name}: must have 1 to 200 characters", param=name)
    if labels := read_labels(given):
        values["metadata"] = labels
    return JobFilter.model_validate(values)


def _statuses(given: str) -> list[str]:
    wanted = list(dict.fromkeys(given.split(",")))
    if unknown := [one for one in wanted if one not in _STATUSES]:
        raise InvalidRequest(f"status: unknown status {unknown[0][:50]!r}", param="status")
    return wanted


def _time(name: str, given: str) -> int:
    if not (given.isascii() and given.isdigit() and len(given) < 12 and int(given) <= MOST_TIME):
        raise InvalidRequest(f"{name}: must be a Unix time in seconds", param=name)
    return int(given)


def read_labels(given: Mapping[str, str]) -> Mapping[str, str]:
    """The labels that a list's parameters ask for, `metadata.NAME` each; 400: one cannot be."""
    labels = {name.removeprefix(LABEL): value for name, value in given.items() if name.startswith(LABEL)}
    if len(labels) > MAX_LABELS:
        raise InvalidRequest(f"metadata: at most {MAX_LABELS} labels", param="metadata")
    for name, value in labels.items():
        if not 0 < len(name) <= MAX_LABEL_KEY or len(value) > MAX_LABEL_VALUE:
            said = f"{LABEL}{name[:MAX_LABEL_KEY]}: a label has 1 to {MAX_LABEL_KEY} characters, and its value up to"
            raise InvalidRequest(f"{said} {MAX_LABEL_VALUE}", param=LABEL + name[:MAX_LABEL_KEY])
    return labels


def find(
    connection: Connection,
    holder: KeyHolder,
    wanted: JobFilter,
    page: PageQuery,
    ids: Sequence[str] = (),
    *,
    seconds: float = LOOK_SECONDS,
    now: Callable[[], float] = clock.monotonic,
) -> FoundJobs:
    """The ids of a page of jobs, in its order, and where to go on if the time was over before it was full."""
    found, place, ends = FoundJobs(), page.after, now() + seconds
    size = CHUNK_OF_LABELS if wanted.metadata else CHUNK
    within = [*_within(holder, wanted), *([m.jobs.c.id.in_(ids)] if ids else [])]
    while True:
        end = connection.execute(_look(within, page, place).offset(size - 1).limit(1)).scalar()
        missing = page.limit + 1 - len(found.ids)
        found.ids += _matching(connection, wanted, _range(_look(within, page, place), page, end), missing)
        if end is None or len(found.ids) > page.limit:
            return found
        if now() >= ends:
            found.until = end
            return found
        place = end


def count(connection: Connection, holder: KeyHolder, wanted: JobFilter) -> JobCount:
    """How many jobs meet a filter, as far as they are counted."""
    page = PageQuery.model_construct(limit=MOST_COUNTED, after=None, order="desc")
    found = find(connection, holder, wanted, page)
    number = min(len(found.ids), MOST_COUNTED)
    return {"object": "jobs.count", "count": number, "exact": found.until is None and len(found.ids) <= number}


def _within(holder: KeyHolder, wanted: JobFilter) -> list[ColumnElement[bool]]:
    """The condition that an index answers: whose jobs, of which batch, that are over or not, and of which time."""
    conditions: list[Any] = [*owned_by(holder)]
    statuses = set(wanted.status or ())
    if wanted.batch_id is not None:
        lines = UNSUCCESSFUL_LINES if statuses and statuses <= _UNSUCCESSFUL else OF_BATCHES
        conditions += [m.jobs.c.batch_id == wanted.batch_id, text(lines)]
    elif statuses and statuses <= UNFINISHED_STATUSES:
        conditions.append(text(UNFINISHED))
    elif statuses and statuses <= _UNSUCCESSFUL:
        conditions.append(text(UNSUCCESSFUL))
    if wanted.created_after is not None:
        conditions.append(m.jobs.c.id >= _id_at(wanted.created_after * MICROS - APART_MICROS))
    if wanted.created_before is not None:
        conditions.append(m.jobs.c.id < _id_at(wanted.created_before * MICROS + APART_MICROS))
    return conditions


def _id_at(micros: int) -> str:
    """The least id of that time: see `shared.clock.new_id`."""
    return f"job_{max(micros, 0) // 1000 << 80:032x}"


def _look(within: Sequence[ColumnElement[bool]], page: PageQuery, place: str | None) -> Any:
    statement = select(m.jobs.c.id).where(*within)
    if place is not None:
        statement = statement.where(m.jobs.c.id > place if page.order == "asc" else m.jobs.c.id < place)
    return statement.order_by(m.jobs.c.id.asc() if page.order == "asc" else m.jobs.c.id.desc())


def _range(statement: Any, page: PageQuery, end: str | None) -> Any:
    if end is None:
        return statement
    return statement.where(m.jobs.c.id <= end if page.order == "asc" else m.jobs.c.id >= end)


def _matching(connection: Connection, wanted: JobFilter, statement: Any, most: int) -> list[str]:
    """Up to `most` ids of a statement's that meet the filter, in their order."""
    statement = statement.where(*_rest(wanted))
    if not wanted.metadata:
        return list(connection.execute(statement.limit(most)).scalars())
    statement = statement.add_columns(m.job_payloads.c.labels).join_from(
        m.jobs, m.job_payloads, m.job_payloads.c.job_id == m.jobs.c.id
    )
    asked = wanted.metadata.items()
    rows = connection.execute(statement.where(m.job_payloads.c.labels.is_not(None)))
    return [id for id, labels in rows if asked <= orjson.loads(labels).items()][:most]


def _rest(wanted: JobFilter) -> list[ColumnElement[bool]]:
    """What is looked at in each row."""
    columns = m.jobs.c
    conditions: list[Any] = []
    if wanted.status is not None:
        conditions.append(columns.status.in_(wanted.status))
    for column, value in ((columns.type, wanted.type), (columns.model, wanted.model), (columns.key_id, wanted.key_id)):
        if value is not None:
            conditions.append(column == value)
    if wanted.created_after is not None:
        conditions.append(columns.created_at >= wanted.created_after * MICROS)
    if wanted.created_before is not None:
        conditions.append(columns.created_at < wanted.created_before * MICROS)
    return conditions
