"""Has purchases paid: takes the next step of one at its provider, and writes down what came of it.

No transaction is open while the provider is called. Whoever dies between two lines leaves an open purchase that is to
be asked about: the next one to look makes the same call, with the same idempotency key, and finds what the first left.
"""

import logging

from sqlalchemy import Connection

from shared import clock, crash
from shared.db import Database
from shared.errors import Conflict
from shared.money import payment_attempts, payment_doubts, payment_notices, purchases
from shared.objects.amounts import credits_decimal
from shared.payments.protocol import (
    KEY_USED,
    GivenBack,
    Notice,
    PaymentAttempt,
    PaymentRefused,
    Payments,
    PaymentsAway,
    Standing,
)

log = logging.getLogger(__name__)


class Collector:
    """One process's part in it; any number may run at once, on any thread."""

    def __init__(self, database: Database, payments: Payments) -> None:
        self._database = database
        self.payments = payments

    def advance(self, invoice_id: str, *, due: bool = False, charging: bool = True) -> list[str]:
        """Take a purchase's next step; the webhook deliveries that are due then.

        Raises PaymentsAway, after which it is tried again later, and PaymentRefused, after which the invoice is void.
        `due`: only if nobody else is at it. `charging`: charge the saved way to pay where that is the step; otherwise
        only what has been charged already is found.
        """
        row = self._database.write_sync(payment_attempts.begin, invoice_id, self.payments.name, due=due)
        if row is None:
            return []
        crash.point("pay.after_begin")
        try:
            standing = self._step(row, charging=charging)
        except PaymentsAway as error:
            is_other_page = error.reason == KEY_USED and row["method"] == "checkout" and row["reference"] is None
            again = payment_attempts.begin_anew if is_other_page else payment_attempts.ask_later
            self._database.write_sync(again, invoice_id)
            raise
        except PaymentRefused as error:
            self._database.write_sync(refused, row, error.message)
            raise
        crash.point("pay.after_call")
        return [] if standing is None else self.record(standing)

    def withdraw(self, invoice_id: str) -> list[str]:
        """See to it that an open purchase is not paid at its provider any more; the deliveries that are due.

        If it turns out to be paid, it is paid; 409 while the customer's bank is at it, and for one that may be paid at
        a provider which this server is not set up to ask any more.
        """
        self._database.read_sync(payment_attempts.check_not_payable, invoice_id, self.payments.name)
        if self.payments.name == "manual":
            return []
        due = self.advance(invoice_id, charging=False)  # what a dead process may have begun is known by this
        reference = self._database.read_sync(payment_attempts.open_reference, invoice_id)
        if reference is None:
            return due
        standing = self.payments.withdraw(reference)
        if standing.status == "processing":
            raise Conflict(f"the payment of invoice {invoice_id} is under way; try again when its bank has answered")
        return due + self.record(standing) if standing.status == "paid" else due

    def heed(self, notice: Notice) -> list[str]:
        """Do what a provider's message calls for; the deliveries that are due.

        Its repetition changes nothing, whatever has happened since: it is known by its id.
        """
        if isinstance(notice.news, Standing):
            return self.record(notice.news, notice)
        if isinstance(notice.news, GivenBack):
            self._note(notice, notice.news)
        return []

    def record(self, standing: Standing, notice: Notice | None = None) -> list[str]:
        """Write down how an attempt stands; the deliveries that are due. One that is not ours is passed over.

        `notice`: what it is known from, if not by asking.
        """
        if standing.invoice_id is None:
            log.info("a payment that is of no invoice here was passed over: %s", standing.reference)
            return []
        crash.point("pay.before_commit")
        due = self._database.write_sync(record, standing, self.payments.name, notice)
        crash.point("pay.after_commit")
        if due is None:
            self._undo(standing)
        return due or []

    def _step(self, row: dict[str, object], *, charging: bool = True) -> Standing | None:
        if row["reference"] is not None:
            return self.payments.look_up(str(row["reference"]))
        wanted = wanted_of(row)
        if row["method"] != "saved":
            return self.payments.open_checkout(wanted)
        return self.payments.charge_saved(wanted) if charging else self.payments.find_charge(wanted)

    def _undo(self, standing: Standing) -> None:
        """A page was made for an invoice that was closed meanwhile: nobody knows it yet, and nobody is to pay there."""
        try:
            after = self.payments.withdraw(standing.reference)
        except (PaymentsAway, PaymentRefused) as error:
            log.warning("payment page %s of a closed invoice is left to expire: %s", standing.reference, error)
            return
        if after.status == "paid":
            self._database.write_sync(record, after, self.payments.name)

    def _note(self, notice: Notice, given: GivenBack) -> None:
        found = self._database.write_sync(note_given_back, notice, given, self.payments.name)
        if found is not None:
            log.warning(
                "%s: payment %s of invoice %s: refunded %s, disputed %s; its credits are as they were "
                "(fusionai credits takes them back)",
                *(notice.type, given.payment, found, given.refunded, given.disputed),
            )


def refused(connection: Connection, row: dict[str, object], problem: str) -> None:
    """The provider will not take an attempt: one that it does not know ends, and an invoice that has no other way."""
    invoice_id = str(row["id"])
    if row["reference"] is not None:
        payment_attempts.ask_later(connection, invoice_id)
    elif row["method"] == "checkout":
        purchases.close(connection, invoice_id, "void", problem=problem)
    else:
        purchases.fail(connection, invoice_id, problem, "")


def wanted_of(row: dict[str, object]) -> PaymentAttempt:
    """What is asked of the provider for a purchase's row, as `payment_attempts.begin` gives it."""
    known: dict[str, object] = {"customer": row["saved_customer"], "payment": row["saved_payment"]}
    return PaymentAttempt(
        invoice_id=str(row["id"]),
        number=int(str(row["number"])),
        account_id=str(row["account_id"]),
        attempt=int(str(row["attempt"])),
        amount=int(str(row["amount"])),
        currency=str(row["currency"]),
        credits=credits_decimal(int(str(row["total_micros"]))),
        saves_method=bool(row["saves_method"]),
        begun_seconds=float(str(row["began_seconds"])),
        **known,  # type: ignore[arg-type]
    )


def note_given_back(connection: Connection, notice: Notice, given: GivenBack, provider: str) -> str | None:
    """Note what a message says was given back; the invoice's id. None: it came before, or is of no purchase here."""
    if not payment_notices.is_new(connection, provider, notice.id, notice.type):
        return None
    at = notice.at * clock.MICROS
    return payment_attempts.note_given_back(connection, given.payment, given.refunded, given.disputed, at)


def record(connection: Connection, standing: Standing, provider: str, notice: Notice | None = None) -> list[str] | None:
    """The change that an attempt's standing makes; the deliveries now due. None: its page is not to be paid at."""
    if notice is not None and not payment_notices.is_new(connection, provider, notice.id, notice.type):
        return []
    invoice_id = str(standing.invoice_id)
    row = purchases.found(connection, invoice_id)
    if row is None or row["provider"] != provider:
        log.warning("payment %s is of an invoice that is not here: %s", standing.reference, invoice_id[:100])
        return []
    if standing.status == "paid":
        return _paid(connection, row, standing, provider)
    if row["status"] != "open":
        return None if standing.status == "open" else []
    if row["attempt"] != standing.attempt or row["reference"] not in (None, standing.reference):
        return None if standing.status == "open" else []
    if standing.status == "failed":
        return purchases.fail(connection, invoice_id, standing.problem or "the payment failed", standing.reference)
    if standing.status == "expired":
        purchases.close(connection, invoice_id, "expired")
        return []
    return [] if payment_attempts.keep_open(connection, invoice_id, standing) else None


def _paid(connection: Connection, row: dict[str, object], standing: Standing, provider: str) -> list[str]:
    """Grant what was paid for, if it was paid in full."""
    invoice_id = str(row["id"])
    if (standing.amount, standing.currency) != (row["amount"], row["currency"]):
        said = f"{standing.amount} {standing.currency} were paid, not {row['amount']} {row['currency']}"
        log.error("invoice %s: payment %s is not the price: %s", invoice_id, standing.reference, said)
        payment_doubts.note(connection, invoice_id, standing.payment or standing.reference, said)
        return []
    payment = standing.payment or standing.reference
    saves = row["status"] != "paid" and (row["saves_method"] or row["auto_top_up"])  # a repetition saves no old card
    if saves and standing.customer:
        payment_attempts.save_method(connection, str(row["account_id"]), provider, standing.customer, payment)
    return purchases.pay(connection, invoice_id, payment=payment, proven=True)
