"""Messages of payment providers that have been heeded, by their ids: a message that comes again changes nothing."""

from typing import Final

from sqlalchemy import Connection, delete, select

from shared import clock, db
from shared.db.models import payment_notices

#: For how long they are remembered, in microseconds. Stripe repeats a message for three days by itself, and for thirty
#: when somebody asks it to (https://docs.stripe.com/webhooks#retries).
KEEP_MICROS: Final = 35 * 86_400 * clock.MICROS
#: Rows deleted in one transaction.
CHUNK: Final = 1000


def is_new(connection: Connection, provider: str, id: str, type: str) -> bool:
    """Remember a message, in the transaction of what it changes; False: it was heeded before.

    One at the same moment waits for the other's end.
    """
    row = {"provider": provider, "id": id, "type": type[:100], "heeded_at": clock.now_micros()}
    statement = db.insert(connection.dialect.name, payment_notices).values(row)
    once = statement.on_conflict_do_nothing(index_elements=["provider", "id"])
    return connection.execute(once.returning(payment_notices.c.id)).first() is not None


def purge(connection: Connection) -> int:
    """Forget some of the old ones; how many."""
    old = select(payment_notices.c.provider, payment_notices.c.id)
    old = old.where(payment_notices.c.heeded_at < clock.now_micros() - KEEP_MICROS).limit(CHUNK)
    rows = connection.execute(old).all()
    for provider, id in rows:
        mine = (payment_notices.c.provider == provider, payment_notices.c.id == id)
        connection.execute(delete(payment_notices).where(*mine))
    return len(rows)
