"""Operations on batches: quote, create, show, list, cancel."""

import json
import re
from collections.abc import Mapping
from typing import Any, BinaryIO, Final, Literal, get_args

from pydantic import Field
from sqlalchemy import Connection, insert, select

from producer import objects
from producer.objects import Afforded, Batch, List, Quoted, Shortage
from producer.operations import files
from producer.operations.pages import SEARCHED, PageQuery, paged, searched
from shared import clock
from shared.batches import json_lines, transitions
from shared.batches.line_files import FaultError
from shared.batches.lines import FileReading, Wanted, chunks, read
from shared.batches.linked_lines import LinkedLines
from shared.db import models as m
from shared.db.models.batches import UNREAD, Hold, unread
from shared.errors import Conflict, InvalidRequest, NotFound
from shared.key_holders import KeyHolder
from shared.money import estimates, key_budgets, shortage
from shared.money.estimates import Past
from shared.money.key_budgets import Counted, KeySpend
from shared.money.shortage import Funds, Need
from shared.network import receivers
from shared.network.urls import URL_LIMIT
from shared.objects.amounts import credits
from shared.objects.batches import BatchStatus
from shared.objects.shortages import BasedOn, Estimate
from shared.strict_json import dumps
from shared.submissions.job_types import ENDPOINTS
from shared.submissions.schemas import Shape, read_labels
from shared.submissions.sizes import LONGEST_HOURS, MOST_LINES, SHORTEST_HOURS

#: A `completion_window`, SHORTEST_HOURS to LONGEST_HOURS as written: the document shows it, `hours_of` reads by it.
WINDOW: Final = re.compile(r"^(0{0,2}[1-9]|0?[1-9][0-9]|1[0-5][0-9]|16[0-8])h$")


class OutputExpiry(Shape):
    """When the output files of the batch are deleted, in seconds after their creation."""

    anchor: Literal["created_at"]
    seconds: int = Field(ge=3600, le=30 * 86_400)


class BatchSpec(Shape):
    """The body of POST /batches: OpenAI's fields and extensions."""

    input_file_id: str | None = Field(default=None, max_length=100)
    requests: list[dict[str, Any]] | None = Field(default=None, min_length=1, max_length=MOST_LINES)
    endpoint: str | None = None
    completion_window: str = "24h"
    metadata: Any = None
    output_expires_after: OutputExpiry | None = None
    #: Emit a job event for each line too.
    notify_each: bool = False
    #: Among the account's own batches, higher ones go first.
    priority: int = Field(default=0, ge=0, le=9)
    #: `all`: for all lines at once. `slices`: for the lines that start next; the batch pauses while credit, or room in
    #: a budget of its key, lacks.
    hold: Literal["all", "slices"] = "all"
    #: `fail`: a batch that cannot be held for at once fails. `wait`: it starts once there is enough credit.
    on_insufficient_credits: Literal["fail", "wait"] | None = None
    dry_run: bool = False
    #: Where the event of the batch's end is sent, signed with the callback secret of the account.
    callback_url: str | None = Field(default=None, max_length=URL_LIMIT)

    def check(self) -> None:
        """What the shape alone does not say; 400 with the parameter."""
        if (self.input_file_id is None) == (self.requests is None):
            raise InvalidRequest("exactly one of input_file_id and requests is required", param="input_file_id")
        if self.endpoint is not None and self.endpoint not in ENDPOINTS:
            raise InvalidRequest(f"endpoint must be one of {', '.join(ENDPOINTS)}", param="endpoint")
        if self.hold == "slices" and self.on_insufficient_credits == "fail":
            raise InvalidRequest(
                "a batch with hold slices waits for credit; on_insufficient_credits must be wait, or absent",
                param="on_insufficient_credits",
            )
        self.window_hours()
        read_labels(self.metadata)
        receivers.callback(self.callback_url)

    def holds(self) -> Hold | None:
        """How the batch holds, as its row says."""
        if self.hold == "slices":
            return "slices"
        return "later" if self.on_insufficient_credits == "wait" else None

    def window_hours(self) -> int:
        """The hours of `completion_window`."""
        return hours_of(self.completion_window)


def hours_of(window: str) -> int:
    """The hours of a completion window; 400 when it is none."""
    if not WINDOW.fullmatch(window):
        raise InvalidRequest(
            f"completion_window must be from {SHORTEST_HOURS}h to {LONGEST_HOURS}h, such as 24h",
            param="completion_window",
        )
    return int(window.removesuffix("h"))


def lines_of(spec: BatchSpec) -> bytes:
    """Inline requests as the lines of a file; a method or url left out is POST and the batch's endpoint."""
    usual: dict[str, Any] = {"method": "POST"} | ({"url": spec.endpoint} if spec.endpoint else {})
    return b"".join(json_lines.line(usual | request) for request in spec.requests or ())


def dry_run(spec: BatchSpec, holder: KeyHolder, source: BinaryIO, link: LinkedLines) -> tuple[Quoted, Need]:
    """Read a whole file as its batch would, and keep nothing; on a thread. Its lines' worst cases come with it."""
    reading = FileReading()
    wanted = Wanted(
        *(spec.endpoint, holder.test, holder.ignores_unknown, holder.linked_context),
        likely=not holder.test,
        plan=False,
        rules=holder.limits.rules,
    )
    try:
        with source as file:
            for chunk in chunks(file):
                reading.add(read(chunk, link(chunk, wanted)))
                if reading.over:
                    break
            reading.end()
    except FaultError as fault:
        reading.faults.append(fault)
    errors = [fault.as_json() for fault in reading.faults]
    return {
        "object": "batch.dry_run",
        "valid": not errors,
        "errors": objects.faults(errors),
        "endpoint": spec.endpoint,
        "model": reading.model,
        "request_counts": {"total": reading.total, "completed": 0, "failed": 0},
        "credits_worst_case": credits(0 if holder.test else reading.bound_micros),
    }, Need(lines=True) if holder.test else reading.need


def afforded(connection: Connection, holder: KeyHolder, need: Need) -> Afforded:
    """What a dry run says of credit: how much a new batch could hold, and what the account or its key's budget lacks.

    And what its lines are likely to cost, where the account has used all their models of late.
    """
    has = shortage.balance(connection, holder.account_id)
    shown: Afforded = {"credits_available": credits(has.available), "shortage": _short(connection, holder, need, has)}
    if past := estimates.past(connection, holder.account_id, need.likely.models):
        shown["estimate"] = _estimate(need, past)
    return shown


def _short(connection: Connection, holder: KeyHolder, need: Need, has: Funds) -> Shortage | None:
    """What is lacking: room in a budget of the key, or else credit of the account; None: nothing."""
    counted = Counted(holder.account_id, holder.key_id, clock.now_micros())
    budgets = holder.limits.budgets
    over = KeySpend(connection, [counted]).excess(counted, budgets, need.micros) if budgets else None
    if over is None and need.micros <= has.available:
        return None
    message, fields = key_budgets.explain(need, over) if over else shortage.explain(need, has)
    return {"message": message, **fields}


def _estimate(need: Need, past: Past) -> Estimate:
    likely = min(need.likely.micros(past), need.micros)
    based_on: BasedOn = {"jobs": past.jobs, "days": past.days}
    return {"bound": credits(need.micros), "likely": credits(likely), "based_on": based_on}


def input_blob(connection: Connection, holder: KeyHolder, file_id: str, *, lock: bool = False) -> str:
    """The blob of a file that a batch can be made of; 404 for none, 400 for one that was made for something else."""
    row = files.visible(connection, holder, file_id, lock=lock)
    if row["purpose"] != "batch":
        raise InvalidRequest(
            f"file {file_id} has purpose {row['purpose']}, but must have purpose batch", param="input_file_id"
        )
    return str(row["blob"])


class UnwrittenError(Exception):
    """A batch of inline requests was to be made, whose file has not been written."""


def create(
    connection: Connection,
    holder: KeyHolder,
    spec: BatchSpec,
    inline: Mapping[str, Any],
    beside: Mapping[str, Any] = {},
) -> Batch:
    """A batch that waits to be read. `inline`: id, bytes and sha256 of the file that its `requests` were written to.

    `beside`: columns that no body sets.
    """
    if spec.requests is not None and not inline:
        raise UnwrittenError
    if inline:
        files.finish(connection, inline["id"], inline["bytes"], inline["sha256"])
    file_id = str(inline["id"] if inline else spec.input_file_id)
    input_blob(connection, holder, file_id, lock=True)
    labels = read_labels(spec.metadata)
    holds = None if holder.test else spec.holds()
    now = clock.now_micros()
    id = clock.new_id("batch")
    row = {
        "id": id,
        "account_id": holder.account_id,
        "key_id": holder.key_id,
        "test": holder.test,
        "status": unread(holds, limited=is_limited(holder)),
        "hold": holds,
        "endpoint": spec.endpoint,
        "input_file_id": file_id,
        "completion_window": spec.completion_window,
        "labels": dumps(labels) if labels else None,
        "notify_each": spec.notify_each,
        "priority": spec.priority,
        "output_expires_seconds": spec.output_expires_after.seconds if spec.output_expires_after else None,
        "callback_url": spec.callback_url,
        "callback_owed": spec.callback_url is not None,
        "created_at": now,
        "expires_at": now + spec.window_hours() * 3600 * clock.MICROS,
        **beside,
    }
    connection.execute(insert(m.batches), [row])
    return show(connection, holder, id)


def is_limited(holder: KeyHolder) -> bool:
    """Whether the reading of a batch depends on what its key may do."""
    return holder.limits.rules.models is not None or (holder.limits.counted and not holder.test)


def visible(connection: Connection, holder: KeyHolder, id: str) -> dict[str, Any]:
    """A batch's row; 404 when these keys have no such batch."""
    row = connection.execute(_batches(holder).where(m.batches.c.id == id)).mappings().first()
    if row is None:
        raise NotFound(f"not found: batch {id[:100]!r}")
    return dict(row)


def show(connection: Connection, holder: KeyHolder, id: str) -> Batch:
    """The batch object."""
    return objects.batch_object(visible(connection, holder, id))


def list_all(
    connection: Connection,
    holder: KeyHolder,
    page: PageQuery,
    *,
    status: str | None = None,
    labels: Mapping[str, str] = {},
) -> List[Batch]:
    """A page of batches, newest first; of one status; with these labels, among the next SEARCHED batches."""
    statement = _batches(holder)
    if status is not None:
        if status not in get_args(BatchStatus):
            raise InvalidRequest(f"status: unknown status {status[:50]!r}", param="status")
        meant = UNREAD if status == "validating" else (status,)
        statement = statement.where(m.batches.c.status.in_(meant))
    if labels:
        return _labelled(connection, statement, page, labels)
    rows = connection.execute(paged(statement, m.batches.c.id, page)).mappings()
    return objects.page([objects.batch_object(dict(row)) for row in rows], page.limit)


def _labelled(connection: Connection, statement: Any, page: PageQuery, labels: Mapping[str, str]) -> List[Batch]:
    """A page of those with labels; `has_more` with fewer than a page: the next ones have not been searched yet."""
    wide = page.model_copy(update={"limit": SEARCHED - 1})
    narrow = statement.with_only_columns(m.batches.c.id, m.batches.c.labels)
    rows = connection.execute(paged(narrow, m.batches.c.id, wide)).all()
    ids = [row.id for row in rows if row.labels and labels.items() <= json.loads(row.labels).items()]
    chosen = statement.where(m.batches.c.id.in_(ids[: page.limit + 1]))
    found = connection.execute(paged(chosen, m.batches.c.id, page)).mappings()
    return searched(objects.page([objects.batch_object(dict(row)) for row in found], page.limit), rows)


def cancel(connection: Connection, holder: KeyHolder, id: str) -> Batch:
    """Stop a batch: what waits is not run, what runs is interrupted, what is done is delivered. 409 when it is over."""
    show(connection, holder, id)
    stopped = transitions.stop(connection, id, "cancelled")
    now = show(connection, holder, id)
    if not stopped and now["status"] not in ("cancelling", "cancelled"):
        status = "expired" if now["status"] == "in_progress" else now["status"]
        raise Conflict(f"batch {id} cannot be cancelled: its status is {status}")
    return now


def _batches(holder: KeyHolder) -> Any:
    statement = select(m.batches, m.invoices.c.id.label("invoice_id"))
    statement = statement.outerjoin(m.invoices, m.invoices.c.batch_id == m.batches.c.id)
    return statement.where(m.batches.c.account_id == holder.account_id, m.batches.c.test == holder.test)
