"""Every change of a batch's state, each a compare-and-set under its row's lock, with its money and events.

    validating ── refuse ──> failed
        └─ begin (with the hold) ──> in_progress ── finalize ──> finalizing ── finish ──> completed | expired
    stop (cancel) ──> cancelling ── finish ──> cancelled

Lines become jobs (`release`) only while the batch is in progress and not stopped; their ends are counted in the
transaction that settles them. A batch with a `hold` is held for otherwise: `shared.batches.credit`. Locks are taken
jobs, batches, accounts. Whoever comes second finds nothing to do.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import BigInteger, Connection, bindparam, func, insert, select, update

from shared import clock, db
from shared.batches import credit, key_holds
from shared.batches.line_files import FaultError
from shared.batches.states import Reason, Row, event_data, is_expired
from shared.db.models import batches, files, job_payloads, jobs
from shared.db.models.batches import MADE_BY_BATCHES, UNREAD
from shared.money import invoices, shortage
from shared.money.ledger import Book
from shared.money.shortage import Need
from shared.objects.batches import Fault, ended_lines
from shared.strict_json import dumps
from shared.submissions.usage_shown import KEPT

#: How long the files that a batch makes are kept, unless it says otherwise, in seconds.
KEEP_OUTPUT_SECONDS = 30 * 86_400


@dataclass(frozen=True, slots=True)
class Plan:
    """What reading a batch's file came to."""

    blob: str
    total: int
    bound_micros: int
    model: str | None
    need: Need = field(default_factory=lambda: Need(lines=True))


@dataclass(frozen=True, slots=True)
class Made:
    """A file that a batch made, whose bytes are already kept."""

    id: str
    blob: str
    filename: str
    bytes: int
    sha256: str | None = None


def refuse(connection: Connection, id: str, errors: Sequence[Fault]) -> list[str]:
    """Fail a batch whose file cannot be taken; it costs nothing. Deliveries now due."""
    row = _locked(connection, id, *UNREAD)
    if row is None or row["stopped"]:
        return []
    book = Book(connection, [row["account_id"]])
    return _fail(connection, book, row, errors)


def begin(connection: Connection, id: str, plan: Plan) -> tuple[bool, list[str]]:
    """Take the one hold of a batch that has been read; from then on its lines may become jobs.

    Whether it is in progress with this very plan, and deliveries now due: without credit for all of it, it fails,
    unless it is one that holds otherwise.
    """
    row = _locked(connection, id, *UNREAD)
    if row is None or row["stopped"]:
        return _has(connection, id, plan), []
    bound = 0 if row["test"] else plan.bound_micros
    book = Book(connection, [row["account_id"]])
    held = {"bound_micros": bound}
    plan.need.sliceable = row["dialect"] is None
    if over := key_holds.excess(connection, row, plan.need, book.now):
        return False, _fail(connection, book, row, [over])
    if row["hold"] is not None:
        held = credit.first_hold(connection, book, row, bound)
    elif not book.hold(row["account_id"], ("batch", id), bound):
        message, fields = shortage.explain(plan.need, shortage.balance(connection, row["account_id"]))
        error: Fault = {**FaultError("insufficient_credits", message).as_json(), **fields}
        return False, _fail(connection, book, row, [error])
    changed = {"plan": plan.blob, "total": plan.total, "model": plan.model, **held}
    counted = key_holds.hold(connection, row, bound, book.now)
    _set(connection, id, status="in_progress", in_progress_at=book.now, **changed, **counted)
    return True, book.close()


def release(
    connection: Connection, id: str, cursor: tuple[int, int], made: Sequence[tuple[dict[str, Any], dict[str, Any]]]
) -> bool:
    """Make jobs of the plan's lines between two offsets; False, and nothing made, when they are not the next ones."""
    given = {"b_id": id, "b_from": cursor[0], "b_to": cursor[1], "b_jobs": len(made)}
    bound = sum(job["bound_micros"] for job, _ in made)
    counted = sum(job["bound_micros"] for job, _ in made if job["budget_at"] is not None)
    if not connection.execute(_RELEASE, {**given, "b_bound": bound, "b_counted": counted}).rowcount:
        return False
    db.insert_rows(connection, jobs, [job for job, _ in made])
    db.insert_rows(connection, job_payloads, [payload for _, payload in made])
    return True


_RELEASE = (
    update(batches)
    .where(batches.c.id == bindparam("b_id"), batches.c.cursor == bindparam("b_from"))
    .where(batches.c.status == "in_progress", batches.c.stopped.is_(None))
    .values(
        cursor=bindparam("b_to"),
        released=batches.c.released + bindparam("b_jobs"),
        released_micros=batches.c.released_micros + bindparam("b_bound"),
        budget_rest_micros=batches.c.budget_rest_micros - bindparam("b_counted"),
    )
)


def count_ended(connection: Connection, ended: Sequence[tuple[Row, Any]]) -> set[str]:
    """Count lines that have just ended, as (job, `jobs.Ending`); the batches whose every line is told of."""
    sums: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    known: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for job, ending in ended:
        of = sums[job["batch_id"]]
        of[ending.status] += 1
        of["resolved_micros"] += job["bound_micros"]
        of["charged_micros"] += ending.charge_micros
        of["prompt_tokens"] += ending.prompt_tokens
        of["completion_tokens"] += ending.completion_tokens
        of["estimated"] += ending.estimated
        details = known[job["batch_id"]]
        for name in KEPT:
            if (count := getattr(ending, name)) is not None:
                details[name] = details.get(name, 0) + count
    telling = set()
    for id, of in sorted(sums.items()):
        given: dict[str, Any] = {"b_id": id} | {f"b_{name}": of[name] for name in _COUNTED}
        given |= {f"b_{name}": known[id].get(name) for name in KEPT}
        if connection.execute(_COUNT, given).scalar_one():
            telling.add(id)
    return telling


#: Of lines: how many ended how, what their holds were and what was charged, their tokens, how many were estimated.
_COUNTED = (
    *("succeeded", "failed", "cancelled", "expired"),
    *("resolved_micros", "charged_micros", "prompt_tokens", "completion_tokens", "estimated"),
)


def _with(name: str) -> Any:
    """A detail with what is known of it now: NULL is not known, not none."""
    column, more = batches.c[name], bindparam(f"b_{name}", type_=BigInteger())
    return func.coalesce(column + more, more, column)


#: Made once: making a statement costs more than running it.
_COUNT = (
    update(batches)
    .where(batches.c.id == bindparam("b_id"))
    .values(
        {name: batches.c[name] + bindparam(f"b_{name}") for name in _COUNTED} | {name: _with(name) for name in KEPT}
    )
    .returning(batches.c.notify_each)
)


def stop(connection: Connection, id: str, reason: Reason) -> bool:
    """End the making of jobs: what was held for lines that are none yet is released, they count as the reason.

    False when it is stopped already, or past stopping.
    """
    row = _locked(connection, id, *UNREAD, "in_progress")
    if row is None or row["stopped"]:
        return False
    rest = row["bound_micros"] - row["released_micros"]
    changed: dict[str, Any] = {"stopped": reason, "released_micros": row["bound_micros"]}
    changed["resolved_micros"] = row["resolved_micros"] + rest
    changed[reason] = row[reason] + row["total"] - row["released"]
    now = clock.now_micros()
    if reason == "cancelled":
        changed.update(status="cancelling", cancelling_at=now)
    counted = key_holds.kept(connection, row)
    _set(connection, id, **changed, budget_rest_micros=counted)
    book = Book(connection, [row["account_id"]], now=now)
    book.settle(row["account_id"], ("batch", id), held=rest, charge=0)
    key_holds.release(connection, row, row["budget_rest_micros"] - counted)
    book.close()
    return True


def finalize(connection: Connection, id: str) -> None:
    """Note that the last line has ended and files are being made; a cancelled batch says `cancelling` to the end."""
    statement = update(batches).where(batches.c.id == id, batches.c.status.in_(("in_progress", *UNREAD)))
    connection.execute(statement.values(status="finalizing", finalizing_at=clock.now_micros()))


def finish(
    connection: Connection,
    id: str,
    output: Made | None,
    errors: Made | None,
    lines: Sequence[Mapping[str, Any]],
    faults: Sequence[Fault] = (),
) -> tuple[Row | None, list[str]]:
    """End a batch: its files, its statement, its events. The row with these files, and deliveries now due.

    None: another has ended it with files of its own, or it cannot end yet; then nobody will ever read these.
    `faults`: what its files lack, to be told of as what is wrong with an input is.
    """
    row = _locked(connection, id, "finalizing", "cancelling")
    if row is None or ended_lines(row) != row["total"]:
        return _ended_with(connection, id, output, errors), []
    now = clock.now_micros()
    status = "cancelled" if row["stopped"] == "cancelled" else "expired" if is_expired(row) else "completed"
    changed: dict[str, Any] = {"status": status, f"{status}_at": now}
    if faults:
        changed["errors"] = dumps(list(faults))
    for name, made in (("output_file_id", output), ("error_file_id", errors)):
        if made is not None:
            _keep(connection, row, made, now)
            changed[name] = made.id
    _set(connection, id, callback_owed=False, **changed)
    book = Book(connection, [row["account_id"]], now=now)
    _emit(book, {**row, **changed})
    if row["in_progress_at"] is not None and not row["test"]:
        invoices.state(book, connection, row["account_id"], id, lines)
    return {**row, **changed}, book.close()


def _locked(connection: Connection, id: str, *statuses: str) -> dict[str, Any] | None:
    statement = select(batches).where(batches.c.id == id, batches.c.status.in_(statuses)).with_for_update()
    row = connection.execute(statement).mappings().first()
    return None if row is None else dict(row)


def _has(connection: Connection, id: str, plan: Plan) -> bool:
    """Whether an earlier COMMIT of `begin`, whose answer was lost, took effect after all, whatever came after it."""
    statement = select(batches.c.plan).where(batches.c.id == id)
    return bool(connection.execute(statement).scalar() == plan.blob)


def _ended_with(connection: Connection, id: str, output: Made | None, errors: Made | None) -> Row | None:
    """The row of a batch that an earlier COMMIT of `finish`, whose answer was lost, ended with these very files."""
    made = tuple(None if one is None else one.id for one in (output, errors))
    row = connection.execute(select(batches).where(batches.c.id == id)).mappings().first()
    ours = row is not None and any(made) and (row["output_file_id"], row["error_file_id"]) == made
    return dict(row) if row is not None and ours else None


def _set(connection: Connection, id: str, **values: Any) -> None:
    connection.execute(update(batches).where(batches.c.id == id).values(**values))


def _fail(connection: Connection, book: Book, row: Row, errors: Sequence[Fault]) -> list[str]:
    changed = {"status": "failed", "failed_at": book.now, "errors": dumps(list(errors))}
    _set(connection, row["id"], callback_owed=False, **changed)
    _emit(book, {**row, **changed})
    return book.close()


def _emit(book: Book, row: Row) -> None:
    """Emit the event of a batch's end, to its callback too; in the transaction that ends it."""
    type, data, url = f"batch.{row['status']}", event_data(row), row["callback_url"]
    book.emit(row["account_id"], type, data, test=row["test"], callback_url=url)


def _keep(connection: Connection, row: Row, made: Made, now: int) -> None:
    keep_seconds = row["output_expires_seconds"] or KEEP_OUTPUT_SECONDS
    values = {
        "id": made.id,
        "account_id": row["account_id"],
        "test": row["test"],
        "purpose": MADE_BY_BATCHES,
        "filename": made.filename,
        "bytes": made.bytes,
        "sha256": made.sha256,
        "blob": made.blob,
        "status": "processed",
        "created_at": now,
        "expires_at": now + keep_seconds * clock.MICROS,
    }
    connection.execute(insert(files), [values])
