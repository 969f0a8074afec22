"""fusionai invoices pay, doubts, settle, lost: what operators mark paid, and payments that went amiss."""

from dataclasses import asdict
from datetime import UTC, datetime

import click
from sqlalchemy import Connection

from producer.cli.auditing import action, operator_option
from producer.cli.ids import Id
from producer.cli.operator import operator_command
from producer.cli.output import Output, credits_text, moment
from producer.cli.tables import Column
from shared import clock
from shared.db import Database
from shared.money.currencies import money_text
from shared.payments.protocol import ReceivedPayment

_LOST = [Column("payment"), Column("account"), Column("invoice", drop=1), Column("what was paid"), Column("at", drop=2)]
_COLUMNS = [Column("invoice"), Column("account", drop=1), Column("status"), Column("payment"), Column("what was paid")]


@click.command("doubts")
@operator_command
def doubts(database: Database, output: Output) -> None:
    """List payments that are not the price of their invoice (operators). Nothing has been granted for them."""
    from shared.money import payment_doubts

    found = database.read_sync(payment_doubts.all_of)

    def words() -> None:
        names = ("invoice_id", "account_id", "status", "payment", "said")
        output.table(_COLUMNS, [[row[name] for name in names] for row in found], empty="No payment is in doubt.")
        if found:
            output.note("Decide: fusionai invoices settle INVOICE --accept | --given-back")

    output.value({"object": "list", "data": found}, words)


@click.command("lost")
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"]),
    metavar="TIME",
    help="Look at payments since then, UTC.  [default: the moment that was restored]",
)
@operator_command
def lost(database: Database, output: Output, since: datetime | None) -> None:
    """List payments whose invoice a restore has undone (operators).

    The payment provider is asked for them. Grant what each was for, with the payment as its reference, by which it is
    granted once and listed no more.
    """
    from shared.payments import lost, payments

    first = database.read_sync(lost.first_restore)
    if since is not None:
        at = round(since.replace(tzinfo=UTC).timestamp())
    elif first is not None:
        at = first // clock.MICROS
    else:
        raise click.UsageError("the database was never restored; say --since")
    found = lost.lost(database, payments(), at)

    def words() -> None:
        rows = [[one.payment, one.account_id, one.invoice_id, _price(one), moment(one.at)] for one in found]
        output.table(_LOST, rows, empty="No payment was lost.")
        if found:
            output.note("Grant each: fusionai credits grant ACCOUNT CREDITS --reference PAYMENT --note TEXT")

    output.value({"object": "list", "data": [asdict(one) for one in found]}, words)


def _price(one: ReceivedPayment) -> str | None:
    return None if one.amount is None or one.currency is None else money_text(one.amount, one.currency)


@click.command("settle")
@click.argument("id", type=Id("invoice"))
@click.option("--accept", "accepted", flag_value=True, default=None, type=bool, help="Take it as the price: grant.")
@click.option("--given-back", "accepted", flag_value=False, type=bool, help="You gave it back at its provider: void.")
@click.option("--note", metavar="TEXT", required=True, help="Why, for the invoice and the audit log.")
@operator_option
@operator_command
def settle(database: Database, output: Output, id: str, accepted: bool | None, note: str) -> None:
    """Decide on a payment of another amount (operators).

    With --accept the invoice is paid by it and its credits are granted; with --given-back an open invoice is voided.
    Either way the account's automatic top-ups go on.
    """
    from shared import audit
    from shared.money import payment_doubts, purchases

    if accepted is None:
        raise click.UsageError("say --accept or --given-back")

    def decide(connection: Connection) -> dict[str, object]:
        before = purchases.locked(connection, id)
        (payment_doubts.accept if accepted else payment_doubts.given_back)(connection, id, note)
        after = purchases.shown(connection, id)
        done = action("invoices.settle", note)
        was = {"status": before["status"], "doubt": before["doubt"]}
        now = {"status": after["status"], "accepted": accepted}
        audit.record(connection, done, before["account_id"], ("invoice", id), before=was, after=now)
        return dict(after)

    invoice = database.write_sync(decide)
    output.value(invoice, lambda: output.line(f"invoice {invoice['number']} is {invoice['status']}"))


@click.command()
@click.argument("id", type=Id("invoice"))
@click.option("--note", metavar="TEXT", default="paid, says the operator", show_default=True, help="The reason.")
@click.option("--page-closed", is_flag=True, help="It cannot be paid at its provider any more: you have seen to that.")
@operator_option
@operator_command
def pay(database: Database, output: Output, id: str, note: str, page_closed: bool) -> None:
    """Mark a purchase paid and grant its credits (operators).

    Paid twice, it is granted once. A page to pay it at is closed first; one at a provider that FUSIONAI_PAYMENTS does
    not name any more has to be closed there. Webhooks are sent by the running system.
    """
    from shared.money import purchases
    from shared.payments import by_hand, payments
    from shared.payments.collecting import Collector

    found = database.read_sync(purchases.shown, id)
    if found["status"] == "open" and not page_closed:
        Collector(database, payments()).withdraw(id)  # nobody is to pay it twice
    is_done, invoice = database.write_sync(by_hand.mark_paid, action("invoices.pay", note), id)
    credits = credits_text(invoice["credits"])
    said = f"is paid: {credits} credits granted" if is_done else "was paid already"
    output.value(invoice, lambda: output.line(f"invoice {invoice['number']} {said}"))
