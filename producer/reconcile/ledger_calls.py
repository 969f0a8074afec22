"""The calls of providers that the ledger knows: those that were charged to somebody, and those that were not.

Read page after page from the rows of jobs, so a million take no more memory than a thousand. A call of a job of test
keys or of one that was answered from the cache is no provider's.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson
from sqlalchemy import Connection, bindparam, select

from producer.reconcile.exported import Counts
from shared import clock
from shared.db import Database
from shared.db import models as m
from shared.jobs import job_steps
from shared.submissions.catalogue import Catalogue
from shared.submissions.charging import charged_attempt

#: Jobs in one transaction.
PAGE: Final = 1000
#: A job lasts for up to 168 hours, so its calls are made up to so long after it was accepted, in microseconds.
MOST_LIFE_MICROS: Final = 8 * 86_400 * clock.MICROS
#: Why an attempt ended of which it is not known whether the provider did the work: its worker died, or gave up waiting.
UNKNOWN_ENDS: Final = frozenset(
    {"worker_lost", "worker_stopped", "interrupted", "first_byte", "idle", "timeout", "reset", "protocol"}
)

#: `charged`: its usage is the job's; `uncharged`: answered, and of no use; `unknown`: perhaps answered.
CallState = Literal["charged", "uncharged", "unknown"]
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LedgerCall:
    """One attempt at a provider. `counts` are those of the usage that was charged, `micros` the job's charge."""

    job_id: str
    provider: str
    #: The provider's own id of the model.
    upstream: str
    day: str
    state: CallState
    request_ids: Sequence[str] = ()
    counts: Counts | None = None
    micros: int = 0
    estimated: bool = False


def calls(database: Database, catalogue: Catalogue, first_day: str, last_day: str) -> Iterator[LedgerCall]:
    """The calls that began on these days (UTC, both included), in the order of their jobs."""
    begin = clock.day_begin(first_day)
    after, last = clock.least_id("job", begin - MOST_LIFE_MICROS), clock.least_id("job", clock.day_begin(last_day, 1))
    while rows := database.read_sync(_page, after, last):
        for row in rows:
            for call in of_job(row, catalogue):
                if first_day <= call.day <= last_day:
                    yield call
        after = rows[-1]["id"]


_JOBS = (
    select(m.jobs.c.id, m.jobs.c.type, m.jobs.c.model.label("asked_model"), m.job_payloads.c.offers)
    .add_columns(m.job_payloads.c.attempts.label("attempts_before"))
    .add_columns(*(column for column in m.job_results.c if column.name not in ("response", "partial", "test")))
    .select_from(m.jobs)
    .outerjoin(m.job_results, m.job_results.c.job_id == m.jobs.c.id)
    .outerjoin(m.job_payloads, m.job_payloads.c.job_id == m.jobs.c.id)
    .where(m.jobs.c.id > bindparam("after"), m.jobs.c.id < bindparam("last"), ~m.jobs.c.test)
    .order_by(m.jobs.c.id)
    .limit(PAGE)
)


def _page(connection: Connection, after: str, last: str) -> list[dict[str, Any]]:
    rows = [dict(row) for row in connection.execute(_JOBS, {"after": after, "last": last}).mappings()]
    steps = job_steps.ended(connection, [row["id"] for row in rows])
    return [{**row, "steps": steps.get(row["id"], [])} for row in rows]


def of_job(row: Row, catalogue: Catalogue) -> Iterator[LedgerCall]:
    """The calls of one job: its row, with those of its result, payload and steps."""
    if row["cached_from"]:
        return
    attempts = orjson.loads(row["attempts"] or "[]") or orjson.loads(row["attempts_before"] or "[]")
    upstreams = _upstreams(row, catalogue)
    charged = _charged(row, attempts)
    for number, attempt in enumerate(attempts):
        if (state := "charged" if number in charged else _state(attempt)) is None:
            continue
        provider, model = _called(attempts[number:], row)
        yield LedgerCall(
            row["id"],
            provider,
            upstreams.get((provider, model), model),
            clock.utc((attempt.get("started_at") or 0) * clock.MICROS).date().isoformat(),
            state,
            attempt.get("request_ids") or (),
            *charged.get(number, ()),
        )


def _called(attempts: Sequence[Row], row: Row) -> tuple[str, str]:
    """The provider and model of the first of these attempts.

    Of one that ended with its worker they are not known: the job went on where it was, so they are the next one's.
    """
    named = [*attempts, {"provider": row["provider"], "model": row["model"]}, *_offers(row)]
    return next(((one["provider"], one.get("model") or "") for one in named if one.get("provider")), ("", ""))


def _state(attempt: Row) -> CallState | None:
    """Whether the provider counts an attempt that was not charged; None: it does not, since it refused it."""
    if attempt.get("status_code") == 200:
        return "uncharged"
    error = attempt.get("error")
    return "unknown" if error in UNKNOWN_ENDS or attempt.get("finished_at") is None else None


def _charged(row: Row, attempts: Sequence[Row]) -> dict[int, tuple[Counts, int, bool]]:
    """The attempts that were charged, by their number: counts, the charge, whether the usage was counted here."""
    found: dict[int, tuple[Counts, int, bool]] = {}
    micros = row["charged_micros"] or 0
    for step in row["steps"]:
        used = {name: 0 for name in _COUNTED} | orjson.loads(step["used"])
        if (at := charged_attempt(attempts, step["provider"], step["model"], step["step"])) is not None:
            found[at] = counts_of(used, "chat.completion"), 0, bool(step["estimated"])
    if row["provider"] and not (row["steps"] and row["error"] is None):
        if (at := charged_attempt(attempts, row["provider"], row["model"])) is not None and at not in found:
            found[at] = counts_of(row, row["type"]), micros, bool(row["estimated"])
    elif found:  # the charge is for all of them together, and is shown with the last
        last = max(found)
        found[last] = found[last][0], micros, found[last][2]
    return found


_COUNTED: Final = ("prompt_tokens", "completion_tokens", "images")


def counts_of(used: Row, type: str) -> Counts:
    """What a job used as a provider counts it: each token in one class; of pictures their number alone."""
    if type == "image":
        return {"calls": 1, "images": used["images"]}
    cached, written = used.get("cached_tokens") or 0, used.get("cache_creation_tokens") or 0
    hour = used.get("cache_creation_1h_tokens") or 0
    return {
        "calls": 1,
        "input": used["prompt_tokens"] - cached - written,
        "cached": cached,
        "write_5m": written - hour,
        "write_1h": hour,
        "output": used["completion_tokens"],
    }


def _offers(row: Row) -> Sequence[Row]:
    return orjson.loads(row["offers"] or "[]")  # type: ignore[no-any-return]


def _upstreams(row: Row, catalogue: Catalogue) -> dict[tuple[str, str], str]:
    """The providers' own ids of models: as the job's offers have them, else as the catalogue has."""
    found = {(one["provider"], one["model"]): one.get("upstream") or one["model"] for one in _offers(row)}
    if not found:
        found = {(model.provider, id): model.upstream for id, model in catalogue.models.items()}
    return found
