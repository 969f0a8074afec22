"""Grants that expire: given, brought up to date, expired, warned of. Each under the lock of the account's row.

What is unspent of them is derived (`shared.money.unspent`) from the sum of what the account was charged, which every
version adds up by month; so charges do not know that there are grants.
"""

from collections.abc import Sequence

from sqlalchemy import BigInteger, Connection, bindparam, case, insert, select, text, union, update

from shared import clock
from shared.db.models import credit_grants
from shared.db.models.money import GRANTS_TO_TELL, OPEN_GRANTS
from shared.money import unspent
from shared.money.ledger import Book
from shared.money.lots import Lot, expiring
from shared.objects.amounts import credits

#: How long before it expires a grant is told of; one that lives less than twice as long, at half its life.
WARN_MICROS = 7 * 86_400 * clock.MICROS
#: What jobs still hold of an expired grant is looked at again after a tenth of the time since, at least after the
#: first of these and at most after the second: what is released meanwhile may be spent once more.
AGAIN_MICROS, MOST_AGAIN_MICROS = 2 * clock.MICROS, 60 * clock.MICROS
#: Accounts that are looked at in one transaction.
ACCOUNTS = 20


def give(book: Book, connection: Connection, account_id: str, micros: int, expires_at: int, note: str | None) -> str:
    """Grant credit in the open book that expires at an instant (microseconds); the id of the grant."""
    id = clock.new_id("grant")
    settle_lots(book, connection, account_id)
    book.grant(account_id, micros, ("operator", id), note)
    values = {
        "id": id,
        "account_id": account_id,
        "amount_micros": micros,
        "expires_at": expires_at,
        "created_at": book.now,
        "unspent_micros": micros,
        "counted_micros": unspent.charged(connection, account_id),
        "due_at": expires_at,
        "warn_at": expires_at - min(WARN_MICROS, (expires_at - book.now) // 2),
    }
    connection.execute(insert(credit_grants).values(**values))
    return id


def settle_lots(book: Book, connection: Connection, account_id: str, taken: int = 0) -> list[Lot]:
    """Write down what is unspent of the account's open grants, after `taken` more; what is left, by expiry.

    `taken`: what is being taken from the account beside its charges.
    """
    rows = unspent.open_rows(connection, account_id)
    if not rows:
        return []
    paid = int(rows[0]["paid"])
    lots = unspent.derived(rows, taken)
    connection.execute(_SET, [{"b_id": lot.id, "b_unspent": lot.unspent, "b_paid": paid} for lot in lots])
    book.keep_expired(account_id, sum(lot.unspent for lot in lots if lot.expires_at <= book.now))
    return [lot for lot in lots if lot.unspent]


def due(connection: Connection, now: int, besides: Sequence[str] = ()) -> list[str]:
    """Up to ACCOUNTS accounts with a grant that expires or is to be told of, but for some."""
    others = credit_grants.c.account_id.not_in(besides)
    expired = select(credit_grants.c.account_id).where(text(OPEN_GRANTS), credit_grants.c.due_at <= now, others)
    to_tell = select(credit_grants.c.account_id).where(text(GRANTS_TO_TELL), credit_grants.c.warn_at <= now, others)
    return list(connection.execute(union(expired, to_tell).limit(ACCOUNTS)).scalars())


def expire(connection: Connection, account_ids: Sequence[str], now: int) -> tuple[int, list[str]]:
    """Take from accounts what has expired and no job holds, and tell of what will; how many, and deliveries now due."""
    book = Book(connection, account_ids, now=now)
    for account_id in account_ids:
        lots = settle_lots(book, connection, account_id)
        _expire(book, connection, account_id, lots)
        _warn(book, connection, account_id, lots)
    return len(account_ids), book.close()


def _expire(book: Book, connection: Connection, account_id: str, lots: Sequence[Lot]) -> None:
    def held(at: int) -> int:
        return unspent.still_held(connection, account_id, at) if book.held(account_id) else 0

    kept = 0
    for lot, free in expiring(lots, book.now, held):
        # Whoever came between the expiry and this has held some of it.
        taken = min(free, book.unheld(account_id))
        if taken:
            book.expire(account_id, taken, lot.id)
        kept += lot.unspent - taken
        pause = min(max(AGAIN_MICROS, (book.now - lot.expires_at) // 10), MOST_AGAIN_MICROS)
        again = book.now + pause if lot.unspent > taken else None
        changed = {"b_id": lot.id, "b_unspent": lot.unspent - taken, "b_taken": taken, "b_due": again}
        connection.execute(_EXPIRED, changed)
    book.keep_expired(account_id, kept)


def _warn(book: Book, connection: Connection, account_id: str, lots: Sequence[Lot]) -> None:
    this = (credit_grants.c.account_id == account_id, credit_grants.c.warn_at <= book.now)
    told = update(credit_grants).where(text(OPEN_GRANTS), *this).values(warn_at=None).returning(credit_grants.c.id)
    ids = set(connection.execute(told).scalars())
    for lot in lots:
        if lot.id in ids and lot.expires_at > book.now:
            data = {"credits": credits(lot.unspent), "expires_at": lot.expires_at // clock.MICROS}
            book.emit(account_id, "credit.expiring", data)


#: Made once: making a statement costs more than running it.
_UNSPENT = bindparam("b_unspent", type_=BigInteger())
#: A grant of which nothing is unspent is over.
_SET = (
    update(credit_grants)
    .where(credit_grants.c.id == bindparam("b_id"))
    .values(unspent_micros=_UNSPENT, counted_micros=bindparam("b_paid"))
    .values(due_at=case((_UNSPENT == 0, None), else_=credit_grants.c.due_at))
)
_EXPIRED = (
    update(credit_grants)
    .where(credit_grants.c.id == bindparam("b_id"))
    .values(unspent_micros=bindparam("b_unspent"), due_at=bindparam("b_due"))
    .values(expired_micros=credit_grants.c.expired_micros + bindparam("b_taken"))
)
