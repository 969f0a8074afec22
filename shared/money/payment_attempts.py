"""A purchase's payment at its provider: attempts that are begun, stand somehow, and are asked about again."""

from datetime import UTC, datetime
from typing import Any, Final, Protocol

from sqlalchemy import Connection, select, text

from shared import clock, db
from shared.db.models import purchases, saved_payments
from shared.db.models.purchases import PAID_BY, TO_ASK
from shared.errors import Conflict
from shared.money.purchases import locked, of_invoice
from shared.settings import settings

#: How long a step at the provider is one process's, before another takes it for dead, in seconds.
CLAIM_SECONDS: Final = 60
#: After how many seconds a provider that did not answer is asked again: at first, and at most.
FIRST_AGAIN_SECONDS, MOST_AGAIN_SECONDS = 10.0, 600.0
#: How long an open purchase is not asked about, at most, in seconds.
MOST_WAIT_SECONDS: Final = 6 * 3600.0


class AttemptStanding(Protocol):
    """What is read here of `shared.payments.protocol.Standing`."""

    @property
    def status(self) -> str: ...
    @property
    def reference(self) -> str: ...
    @property
    def attempt(self) -> int: ...
    @property
    def url(self) -> str | None: ...
    @property
    def expires_at(self) -> int | None: ...


def begin(connection: Connection, invoice_id: str, provider: str, *, due: bool) -> dict[str, Any] | None:
    """Claim the next step of an open purchase at its provider, for CLAIM_SECONDS; its row, None: there is none.

    The row has `saved_customer` and `saved_payment` of the account, and `began_seconds` ago of the attempt. `due`: only
    if it is to be asked about by now, so that of several who look only one does.
    """
    row, now = locked(connection, invoice_id), db.now(connection)
    late = row["ask_at"] is not None and row["ask_at"] <= now
    if row["status"] != "open" or row["provider"] != provider or row["amount"] is None or (due and not late):
        return None
    mine = (saved_payments.c.account_id == row["account_id"], saved_payments.c.provider == provider)
    saved = connection.execute(select(saved_payments).where(*mine)).mappings().first()
    if row["method"] == "saved" and saved is None and row["begun_at"] is None:
        row["method"] = "checkout"
    begun_at = row["begun_at"] or now
    fresh = {"method": row["method"], "begun_at": begun_at, "ask_at": now + CLAIM_SECONDS * clock.MICROS}
    connection.execute(of_invoice(invoice_id).values(fresh))
    known = {"saved_customer": saved["customer"], "saved_payment": saved["payment"]} if saved else {}
    none = {"saved_customer": None, "saved_payment": None}
    return {**row, **none, **known, "began_seconds": (now - begun_at) / clock.MICROS}


def due(connection: Connection, provider: str, most: int) -> list[str]:
    """Open purchases about which their provider is to be asked by now, those that have waited longest first."""
    statement = (
        select(purchases.c.invoice_id)
        .where(text(TO_ASK), purchases.c.ask_at <= db.now(connection), purchases.c.provider == provider)
        .order_by(purchases.c.ask_at)
        .limit(most)
    )
    return list(connection.execute(statement).scalars())


def ask_later(connection: Connection, invoice_id: str) -> None:
    """Its provider did not answer: ask again later, the later the older the attempt is."""
    row, now = locked(connection, invoice_id), db.now(connection)
    if row["status"] == "open" and row["ask_at"] is not None:
        seconds = min(max((now - (row["begun_at"] or now)) / clock.MICROS / 2, FIRST_AGAIN_SECONDS), MOST_AGAIN_SECONDS)
        connection.execute(of_invoice(invoice_id).values(ask_at=now + round(seconds * clock.MICROS)))


def begin_anew(connection: Connection, invoice_id: str) -> None:
    """Let the next attempt of an open purchase be begun soon, in the place of one whose page nobody has been shown."""
    row, now = locked(connection, invoice_id), db.now(connection)
    if row["status"] == "open" and row["reference"] is None:
        ask_at = now + round(FIRST_AGAIN_SECONDS * clock.MICROS)
        connection.execute(of_invoice(invoice_id).values(attempt=row["attempt"] + 1, begun_at=None, ask_at=ask_at))


def keep_open(connection: Connection, invoice_id: str, standing: AttemptStanding) -> bool:
    """Note where an open purchase is paid, and when its provider is asked again; False: it is not to be paid there."""
    row, now = locked(connection, invoice_id), db.now(connection)
    ours = row["attempt"] == standing.attempt and row["reference"] in (None, standing.reference)
    if row["status"] != "open" or not ours:
        return False
    seconds = max((now - (row["begun_at"] or now)) / clock.MICROS / 2, settings().payment_ask_seconds)
    ask_at = now + round(min(seconds, MOST_WAIT_SECONDS) * clock.MICROS)
    if standing.status == "open" and standing.expires_at is not None and now < standing.expires_at < ask_at:
        ask_at = standing.expires_at + clock.MICROS
    url = standing.url if standing.status == "open" else None
    fresh = {"reference": standing.reference, "url": url, "expires_at": standing.expires_at, "ask_at": ask_at}
    connection.execute(of_invoice(invoice_id).values(fresh))
    return True


def note_given_back(connection: Connection, payment: str, refunded: int | None, disputed: bool, at: int) -> str | None:
    """Note what a provider says was given back of a payment; the invoice's id, None: no purchase was paid by it.

    Messages come in any order. Money is not taken back again, so the most counts; of disputes what was said last, by
    the provider's own clock (`at`, in microseconds), and of one second that there is one.
    """
    mine = select(purchases.c.invoice_id).where(text(PAID_BY), purchases.c.payment == payment).limit(1)
    invoice_id = connection.execute(mine).scalar()
    if invoice_id is None:
        return None
    row = locked(connection, invoice_id)
    fresh: dict[str, Any] = {"refunded": max(row["refunded"], refunded or 0)}
    if (at, disputed) >= (row["disputed_at"] or 0, row["disputed"]):
        fresh |= {"disputed": disputed, "disputed_at": at}
    connection.execute(of_invoice(invoice_id).values(fresh))
    return str(invoice_id)


def save_method(connection: Connection, account_id: str, provider: str, customer: str, payment: str) -> None:
    """Keep an account's way to pay in the place of an earlier one."""
    row = {"provider": provider, "customer": customer, "payment": payment, "saved_at": clock.now_micros()}
    statement = db.insert(connection.dialect.name, saved_payments).values(account_id=account_id, **row)
    connection.execute(statement.on_conflict_do_update(index_elements=["account_id"], set_=row))


def open_reference(connection: Connection, invoice_id: str) -> str | None:
    """The provider's id of the attempt that is under way, while the invoice is open."""
    row = locked(connection, invoice_id)
    return row["reference"] if row["status"] == "open" else None


def check_not_payable(connection: Connection, invoice_id: str, provider: str) -> None:
    """409 for an open invoice that may still be paid at another provider, which this server has no way to ask."""
    row = locked(connection, invoice_id)
    if row["status"] != "open" or row["provider"] in (provider, "manual") or row["begun_at"] is None:
        return
    until = row["expires_at"]
    if until is None or until > clock.now_micros():
        when = (
            "" if until is None else f" (until {datetime.fromtimestamp(until / clock.MICROS, UTC):%Y-%m-%d %H:%M} UTC)"
        )
        raise Conflict(
            f"invoice {invoice_id} can still be paid at {row['provider']}{when}, which this server is not set up to "
            f"ask; set FUSIONAI_PAYMENTS={row['provider']} again to have its page closed, or wait until it has expired"
        )
