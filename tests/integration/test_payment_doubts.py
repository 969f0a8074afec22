"""Payments that are not the price, providers that were changed, messages that come again or in another order."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update

from producer.operations import invoices as operations
from shared import clock
from shared.db import Database
from shared.db import models as m
from shared.errors import Conflict
from shared.money import payment_doubts, payment_notices, purchases, top_ups
from shared.payments.collecting import Collector
from shared.payments.manual import Manual
from shared.payments.protocol import Standing
from tests.integration import world
from tests.integration.paying import available, bought, heed, later, session_of, shown, told
from tests.stripe_stub import StripeStub

pytestmark = pytest.mark.usefixtures("passing_time")
ODD = Standing("paid", "cs_test_x", None, 1, 7500, "usd", payment="pi_odd")


def purchase(database: Database, id: str) -> dict[str, Any]:
    return next(row for row in world.rows(database, m.purchases) if row["invoice_id"] == id)


def test_an_operator_accepts_a_payment_that_is_not_the_price(database: Database, collector: Collector) -> None:
    holder = world.open_account(database, credits=0)
    id = bought(database, holder)
    collector.record(replace(ODD, invoice_id=id))
    (doubt,) = database.read_sync(payment_doubts.all_of)
    assert (doubt["invoice_id"], doubt["payment"]) == (id, "pi_odd") and "7500 usd were paid" in doubt["said"]
    with pytest.raises(Conflict, match="operator"):
        database.write_sync(operations.void_invoice, holder.account_id, id)
    database.write_sync(payment_doubts.accept, id, "rounded by the bank")
    assert (shown(database, holder, id)["status"], available(database, holder)) == ("paid", 500)
    assert purchase(database, id)["payment"] == "pi_odd" and told(database, "invoice.paid") == 1
    with pytest.raises(Conflict, match="in doubt"):
        database.write_sync(payment_doubts.accept, id, "again")
    assert world.violations(database) == []


def test_a_payment_that_was_given_back_voids_the_invoice_and_top_ups_go_on(
    database: Database, collector: Collector
) -> None:
    holder = world.open_account(database, credits=0)
    wish = {"enabled": True, "threshold_micros": 10 * world.CREDIT, "credits_micros": 500 * world.CREDIT}
    wish |= {"monthly_micros": 5000 * world.CREDIT, "changed_at": 0, "account_id": holder.account_id}
    database.write_sync(lambda connection: connection.execute(m.auto_top_ups.insert(), [wish]).rowcount)
    assert database.read_sync(top_ups.lacking)[0] == [holder.account_id]
    database.write_sync(top_ups.make, holder.account_id, "stripe")
    (id,) = [row["invoice_id"] for row in world.rows(database, m.purchases)]
    collector.record(replace(ODD, invoice_id=id))
    (stopped,) = world.rows(database, m.auto_top_ups)
    assert id in stopped["stopped"] and database.read_sync(top_ups.lacking)[0] == []
    database.write_sync(payment_doubts.given_back, id, "given back")
    assert shown(database, holder, id)["status"] == "void" and available(database, holder) == 0
    assert database.read_sync(top_ups.lacking)[0] == [holder.account_id], "the next one is made"
    assert world.violations(database) == []


def test_an_odd_payment_of_a_paid_invoice_can_only_be_given_back(database: Database, collector: Collector) -> None:
    holder = world.open_account(database, credits=0)
    id = bought(database, holder)
    collector.record(Standing("paid", "cs_test_1", id, 1, 750, "usd", payment="pi_right"))
    collector.record(replace(ODD, invoice_id=id))
    with pytest.raises(Conflict, match="give back payment pi_odd"):
        database.write_sync(payment_doubts.accept, id, "no")
    database.write_sync(payment_doubts.given_back, id, "given back")
    assert (shown(database, holder, id)["status"], available(database, holder)) == ("paid", 500)
    assert database.read_sync(payment_doubts.all_of) == []


def test_an_odd_payment_is_in_doubt_still_when_the_price_has_been_paid_beside_it(
    database: Database, collector: Collector
) -> None:
    holder = world.open_account(database, credits=0)
    id = bought(database, holder)
    collector.record(replace(ODD, invoice_id=id))
    collector.record(Standing("paid", "cs_test_2", id, 1, 750, "usd", payment="pi_right"))
    assert (shown(database, holder, id)["status"], available(database, holder)) == ("paid", 500)
    (doubt,) = database.read_sync(payment_doubts.all_of)
    assert (doubt["invoice_id"], doubt["status"], doubt["payment"]) == (id, "paid", "pi_odd")
    database.write_sync(payment_doubts.given_back, id, "given back")
    assert database.read_sync(payment_doubts.all_of) == [] and available(database, holder) == 500


def test_what_can_be_paid_at_another_provider_is_neither_paid_by_hand_nor_voided(
    database: Database, stub: StripeStub, collector: Collector
) -> None:
    """The server has been switched from stripe to manual while a page was open."""
    holder = world.open_account(database, credits=0)
    id, never_begun = bought(database, holder), bought(database, holder)
    collector.advance(id)
    by_hand = Collector(database, Manual())
    with pytest.raises(Conflict, match="FUSIONAI_PAYMENTS=stripe"):
        by_hand.withdraw(id)
    assert shown(database, holder, id)["status"] == "open"
    assert by_hand.withdraw(never_begun) == []
    collector.withdraw(id)  # switched back
    assert stub.sessions[session_of(database, id)]["status"] == "expired"
    later(database, 25 * 3600)
    assert by_hand.withdraw(id) == [], "its page has expired"


def test_by_hand_nothing_is_withdrawn_and_nothing_voided(database: Database, collector: Collector) -> None:
    holder = world.open_account(database, credits=0)
    id = bought(database, holder)
    change = update(m.purchases).values(provider="manual")
    database.write_sync(lambda connection: connection.execute(change).rowcount)
    assert Collector(database, Manual()).withdraw(id) == [] and shown(database, holder, id)["status"] == "open"


def test_a_message_that_comes_again_changes_nothing(database: Database, stub: StripeStub, collector: Collector) -> None:
    """Not even what has changed since: the dispute was won, and the message of its beginning is sent once more."""
    holder = world.open_account(database, credits=0)
    id = bought(database, holder)
    collector.advance(id)
    payment = stub.pay(session_of(database, id))["payment_intent"]
    completed = stub.completed(session_of(database, id))
    for _ in range(2):
        heed(collector, completed)
    dispute = {"id": "dp_1", "object": "dispute", "payment_intent": payment, "status": "needs_response"}
    opened = stub.event("charge.dispute.created", dispute)
    heed(collector, opened)
    database.write_sync(lambda c: c.execute(update(m.purchases).values(disputed=False, disputed_at=None)).rowcount)
    heed(collector, opened)
    assert purchase(database, id)["disputed"] is False and available(database, holder) == 500
    assert {row["type"] for row in world.rows(database, m.payment_notices)} == {
        "checkout.session.completed",
        "charge.dispute.created",
    }


def test_of_messages_in_another_order_the_latest_counts(
    database: Database, stub: StripeStub, collector: Collector
) -> None:
    holder = world.open_account(database, credits=0)
    id = bought(database, holder)
    collector.advance(id)
    payment = stub.pay(session_of(database, id))["payment_intent"]
    heed(collector, stub.completed(session_of(database, id)))
    dispute = {"id": "dp_1", "object": "dispute", "payment_intent": payment, "status": "needs_response"}
    charge = {"id": "ch_1", "object": "charge", "payment_intent": payment, "amount_refunded": 100, "disputed": False}
    opened = stub.event("charge.dispute.created", dispute)
    refunded = stub.event("charge.refunded", charge)
    heed(collector, stub.event("charge.dispute.closed", dispute | {"status": "won"}, later=60))
    heed(collector, opened)
    assert purchase(database, id)["disputed"] is False, "it has been won since"
    heed(collector, stub.event("charge.dispute.created", dispute | {"id": "dp_2"}, later=90))
    heed(collector, refunded)
    found = purchase(database, id)
    assert (found["disputed"], found["refunded"]) == (True, 100), "the charge was as it was before the dispute"
    assert world.violations(database) == []


def test_old_messages_are_forgotten(database: Database) -> None:
    for number in range(3):
        assert database.write_sync(payment_notices.is_new, "stripe", f"evt_{number}", "x")
    assert not database.write_sync(payment_notices.is_new, "stripe", "evt_1", "x")
    assert database.write_sync(payment_notices.is_new, "another", "evt_1", "x")
    assert database.write_sync(payment_notices.purge) == 0
    clock.shift(payment_notices.KEEP_MICROS + clock.MICROS)
    assert database.write_sync(payment_notices.purge) == 4
    assert world.rows(database, m.payment_notices) == []


def test_an_invoice_that_was_voided_is_paid_by_an_odd_payment_only_if_an_operator_says_so(
    database: Database, collector: Collector
) -> None:
    holder = world.open_account(database, credits=0)
    id = bought(database, holder)
    database.write_sync(purchases.close, id, "void")
    collector.record(replace(ODD, invoice_id=id))
    assert shown(database, holder, id)["status"] == "void"
    database.write_sync(payment_doubts.accept, id, "it will do")
    assert (shown(database, holder, id)["status"], available(database, holder)) == ("paid", 500)
