"""What operators do to credit by hand: grants, refunds, adjustments; each once, with its entry in the audit log."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select, text, update

from shared import audit, clock
from shared.audit import Action
from shared.db.models import job_results, transfers
from shared.db.models.money import once
from shared.errors import Conflict, NotFound
from shared.money import grants
from shared.money.ledger import Book
from shared.objects.amounts import credits, credits_decimal

#: Micro-credits on an account: the database counts up to 2**63.
MOST_BALANCE = 2**62


@dataclass(frozen=True, slots=True)
class Done:
    """What came of an operator's command: the values of its entry in the audit log."""

    audit_id: str
    account_id: str
    after: Mapping[str, Any]
    #: It had been done before, under the same reference.
    again: bool


def grant(connection: Connection, action: Action, account_id: str, micros: int, expires_at: int | None = None) -> Done:
    """Give an account prepaid credit, without payment. `expires_at` in microseconds; None: it does not expire.

    Conflict: the account would have more than can be counted.
    """
    book = Book(connection, [account_id])
    asked = {"credits": credits(micros), "expires_at": clock.seconds(expires_at)}
    if (entry := audit.earlier(connection, action, account_id, credits=asked["credits"])) is not None:
        return _again(entry)
    if book.remaining(account_id) + micros > MOST_BALANCE:
        raise Conflict(f"{account_id} would have more than {MOST_BALANCE // clock.MICROS:,} credits")
    before = _balance(book, account_id)
    if expires_at is None:
        id = clock.new_id("grant")
        book.grant(account_id, micros, ("operator", id), action.reason)
    else:
        id = grants.give(book, connection, account_id, micros, expires_at, action.reason)
    after = {**asked, **_balance(book, account_id)}
    entry_id = audit.record(connection, action, account_id, ("grant", id), before=before, after=after)
    book.close()
    return Done(entry_id, account_id, after, again=False)


def refund(connection: Connection, action: Action, job_id: str, micros: int | None = None) -> Done:
    """Give back what a job was charged, or so much of it; several together never exceed the charge.

    NotFound: no such job was charged. Conflict: more than is left of its charge.
    """
    charge = connection.execute(_CHARGE.where(transfers.c.subject_id == job_id)).first()
    if charge is None:
        raise NotFound(f"not found: a charge of job {job_id[:100]!r}; a job that cost nothing has none")
    account_id, charged = str(charge.account_id), int(charge.amount_micros)
    book = Book(connection, [account_id])
    asked = {} if micros is None else {"credits": credits(micros)}
    if (entry := audit.earlier(connection, action, account_id, job_id, **asked)) is not None:
        return _again(entry)
    refunded = int(connection.execute(_REFUNDED.where(transfers.c.subject_id == job_id)).scalar_one())
    left = charged - refunded
    micros = left if micros is None else micros
    if not left or micros > left:
        so_far = f"{credits_decimal(refunded)} of {credits_decimal(charged)} credits of {job_id} are refunded already"
        raise Conflict(f"{so_far}; at most {credits_decimal(left)} more can be" if left else so_far)
    before = {**_balance(book, account_id), "refunded": credits(refunded)}
    book.refund(account_id, micros, job_id, action.reason or "")
    total = update(job_results).where(job_results.c.job_id == job_id).values(refunded_micros=refunded + micros)
    connection.execute(total)
    after = {"credits": credits(micros), "refunded": credits(refunded + micros), "charged": credits(charged)}
    after |= _balance(book, account_id)
    entry_id = audit.record(connection, action, account_id, ("job", job_id), before=before, after=after)
    book.close()
    return Done(entry_id, account_id, after, again=False)


def adjust(connection: Connection, action: Action, account_id: str, micros: int) -> Done:
    """Correct a balance by so many micro-credits; less than 0 takes them, as a charge would: what expires first.

    Conflict: less than that is available; what jobs hold is not touched.
    """
    book = Book(connection, [account_id])
    if (entry := audit.earlier(connection, action, account_id, credits=credits(micros))) is not None:
        return _again(entry)
    if book.remaining(account_id) + micros > MOST_BALANCE:
        raise Conflict(f"{account_id} would have more than {MOST_BALANCE // clock.MICROS:,} credits")
    before = _balance(book, account_id)
    if micros < 0 and -micros > book.unheld(account_id):
        there = f"{credits_decimal(book.unheld(account_id))} are available"
        held = f" ({credits_decimal(held)} more are held)" if (held := book.held(account_id)) else ""
        raise Conflict(f"cannot take {credits_decimal(-micros)} credits from {account_id}: {there}{held}")
    if micros < 0:
        grants.settle_lots(book, connection, account_id, -micros)
    id = clock.new_id("aud")
    book.adjust(account_id, micros, ("operator", id), action.reason or "")
    after = {"credits": credits(micros), **_balance(book, account_id)}
    audit.record(connection, action, account_id, ("account", account_id), before=before, after=after, id=id)
    book.close()
    return Done(id, account_id, after, again=False)


def _balance(book: Book, account_id: str) -> dict[str, int | float]:
    return {"available": credits(book.unheld(account_id)), "held": credits(book.held(account_id))}


def _again(entry: Mapping[str, Any]) -> Done:
    return Done(entry["id"], entry["account_id"], entry["after"], again=True)


#: Made once: making a statement costs more than running it.
_CHARGE = select(transfers.c.account_id, transfers.c.amount_micros).where(text(once("charge", "job")))
_REFUNDED = select(func.coalesce(func.sum(transfers.c.amount_micros), 0)).where(text(once("refund", "job")))
