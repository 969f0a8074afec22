"""Purchases paid by Stripe, of which a local stand-in is called: what is lost, late, doubled or forged does no harm."""

import asyncio
import threading
from dataclasses import replace
from typing import Any

import pytest
import stripe
from sqlalchemy import Connection
from sqlalchemy import text as sql

from producer.operations import invoices as operations
from producer.operations import paying
from producer.operations.paying import Paying
from shared.db import Database
from shared.db import models as m
from shared.errors import Conflict, InvalidRequest
from shared.money import payment_attempts, payment_doubts, purchases
from shared.payments import collecting
from shared.payments.collecting import Collector
from shared.payments.protocol import PaymentRefused, PaymentsAway, Standing
from shared.payments.stripe_payments import StripePayments
from shared.settings import settings
from tests.integration import world
from tests.integration.paying import available, bought, heed, later, session_of, shown, told
from tests.stripe_stub import SIGNING_SECRET, StripeStub, signed
from workers.maintenance.payments import PaymentRounds

pytestmark = pytest.mark.usefixtures("passing_time")
#: Whether another process waits for a lock of this one's.
_HAS_ONE_WAITING = sql("SELECT count(*) FROM pg_locks WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))")


def test_a_customer_pays_at_a_page_and_the_message_grants_once(
    database: Database, stub: StripeStub, collector: Collector
) -> None:
    holder = world.open_account(database, credits=0)
    id = bought(database, holder)
    collector.advance(id)
    open_one = shown(database, holder, id)
    session = stub.sessions[session_of(database, id)]
    assert open_one["checkout_url"] == session["url"] and open_one["expires_at"] == session["expires_at"]
    assert open_one["price"] == {"amount": 750, "currency": "usd"}
    assert (session["amount_total"], session["currency"], session["client_reference_id"]) == (750, "usd", id)
    assert session["success_url"] == f"https://shop.example/paid/{id}"
    assert session["_given"]["adaptive_pricing[enabled]"] == "false"
    stub.pay(session["id"])
    body = stub.completed(session["id"])
    for _ in range(3):
        heed(collector, body)
    paid = shown(database, holder, id)
    assert (paid["status"], paid["checkout_url"], available(database, holder)) == ("paid", None, 500)
    assert told(database, "invoice.paid") == 1 and world.violations(database) == []


def test_messages_at_once_grant_once(database: Database, stub: StripeStub, collector: Collector) -> None:
    holder = world.open_account(database, credits=0)
    ids = [bought(database, holder, 100) for _ in range(4)]
    for id in ids:
        collector.advance(id)
    bodies = [stub.completed(stub.pay(session_of(database, id))["id"]) for id in ids]
    start = threading.Barrier(4)

    def deliver() -> None:
        start.wait()
        for body in bodies:
            heed(collector, body)

    threads = [threading.Thread(target=deliver) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert available(database, holder) == 400 and told(database, "invoice.paid") == 4
    assert world.violations(database) == []


def test_a_message_that_never_came_is_made_up_for_by_asking(
    database: Database, stub: StripeStub, collector: Collector
) -> None:
    holder = world.open_account(database, credits=0)
    paid, ended = bought(database, holder), bought(database, holder)
    for id in (paid, ended):
        collector.advance(id)
    stub.pay(session_of(database, paid))
    stub.expire(session_of(database, ended))
    rounds = PaymentRounds(database, world.RecordedBell(), collector)
    rounds.run_once()
    assert shown(database, holder, paid)["status"] == "open"  # not yet
    later(database, 61)
    rounds.run_once()
    assert shown(database, holder, paid)["status"] == "paid" and available(database, holder) == 500
    assert shown(database, holder, ended)["status"] == "expired"
    asked = len(stub.calls)
    later(database, 86_400)
    rounds.run_once()
    assert len(stub.calls) == asked and world.violations(database) == []


def test_a_page_is_made_once_whoever_dies_between(database: Database, stub: StripeStub, collector: Collector) -> None:
    holder = world.open_account(database, credits=0)
    id = bought(database, holder)
    stub.trouble = lambda method, path: "drop"  # Stripe has made it, and nobody has heard
    with pytest.raises(PaymentsAway):
        collector.advance(id)
    assert len(stub.sessions) == 1 and shown(database, holder, id)["checkout_url"] is None
    stub.trouble = lambda method, path: None
    assert collector.advance(id, due=True) == []  # it is not time yet
    assert shown(database, holder, id)["checkout_url"] is None
    later(database, 11)
    collector.advance(id, due=True)
    assert len(stub.sessions) == 1
    assert shown(database, holder, id)["checkout_url"] == next(iter(stub.sessions.values()))["url"]


def test_settings_that_changed_since_a_lost_answer_make_another_page(
    database: Database, stub: StripeStub, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = world.open_account(database, credits=0)
    id = bought(database, holder)
    stub.trouble = lambda method, path: "drop"
    with pytest.raises(PaymentsAway):
        collector.advance(id)
    stub.trouble = lambda method, path: None
    monkeypatch.setattr(settings(), "stripe_success_url", "https://shop.example/thanks")
    changed = Collector(database, StripePayments(settings()))
    with pytest.raises(PaymentsAway):
        changed.advance(id)
    later(database, 11)
    changed.advance(id, due=True)
    page = shown(database, holder, id)["checkout_url"]
    assert len(stub.sessions) == 2 and page == stub.sessions[session_of(database, id)]["url"]


def test_one_attempt_that_stripe_does_not_take_holds_up_no_other(
    database: Database, stub: StripeStub, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = world.open_account(database, credits=0)
    stuck = bought(database, holder)
    stub.trouble = lambda method, path: "drop"
    with pytest.raises(PaymentsAway):
        collector.advance(stuck)
    stub.trouble = lambda method, path: None
    monkeypatch.setattr(settings(), "stripe_success_url", "https://shop.example/thanks")
    other = bought(database, holder)
    rounds = PaymentRounds(database, world.RecordedBell(), Collector(database, StripePayments(settings())))
    later(database, 40)
    rounds.run_once()
    assert shown(database, holder, stuck)["checkout_url"] is None and shown(database, holder, other)["checkout_url"]


@pytest.mark.parametrize("status", [500, 503, 429, 401, 409])
def test_while_stripe_is_away_the_invoice_stays_open(
    database: Database, stub: StripeStub, collector: Collector, status: int
) -> None:
    holder = world.open_account(database, credits=0)
    id = bought(database, holder)
    stub.trouble = lambda method, path: status
    with pytest.raises(PaymentsAway) as away:
        collector.advance(id)
    assert "stub" not in away.value.message and "canary" not in away.value.message
    assert shown(database, holder, id)["status"] == "open"
    with pytest.raises(PaymentsAway):
        collector.withdraw(id)
    stub.trouble = lambda method, path: None
    later(database, 700)
    collector.advance(id, due=True)
    assert shown(database, holder, id)["checkout_url"]


def test_what_stripe_will_never_take_is_void(database: Database, stub: StripeStub, collector: Collector) -> None:
    holder = world.open_account(database, credits=0)
    id = bought(database, holder, 1)  # 2 cents
    with pytest.raises(PaymentRefused) as refused:
        collector.advance(id)
    assert "amount_too_small" in refused.value.message
    assert shown(database, holder, id)["status"] == "void"


def test_delayed_payments(database: Database, stub: StripeStub, collector: Collector) -> None:
    holder = world.open_account(database, credits=0)
    late, never = bought(database, holder, 100), bought(database, holder, 200)
    for id in (late, never):
        collector.advance(id)
        session = stub.pay(session_of(database, id), delayed=True)
        heed(collector, stub.completed(session["id"]))
        assert (shown(database, holder, id)["status"], shown(database, holder, id)["checkout_url"]) == ("open", None)
        with pytest.raises(Conflict):
            collector.withdraw(id)
    settled = stub.settle(session_of(database, late))
    heed(collector, stub.event("checkout.session.async_payment_succeeded", settled))
    failed = stub.event("checkout.session.async_payment_failed", stub.sessions[session_of(database, never)])
    heed(collector, failed)
    heed(collector, failed)
    assert available(database, holder) == 100 and told(database, "invoice.payment_failed") == 1
    again = shown(database, holder, never)
    assert (again["status"], again["payment_error"]) == ("open", "the bank did not pay")
    collector.advance(never, due=True)  # another page, for another try
    heed(collector, failed)
    second = session_of(database, never)
    assert shown(database, holder, never)["checkout_url"] and len(stub.sessions) == 3
    heed(collector, stub.completed(stub.pay(second)["id"]))
    assert available(database, holder) == 300 and world.violations(database) == []


def test_a_failed_payment_is_told_once_by_the_message_and_by_who_asked_at_once(
    database: Database, stub: StripeStub, collector: Collector
) -> None:
    holder = world.open_account(database, credits=0)
    id = bought(database, holder)
    collector.advance(id)
    failed = Standing("failed", session_of(database, id), id, 1, 750, "usd", problem="the bank did not pay")
    other = threading.Thread(target=collector.record, args=[failed])

    def first(connection: Connection) -> None:
        purchases.locked(connection, id)
        other.start()
        while not database.is_sqlite and not connection.execute(_HAS_ONE_WAITING).scalar():
            pass
        collecting.record(connection, failed, "stripe")

    database.write_sync(first)
    other.join()
    assert told(database, "invoice.payment_failed") == 1 and world.violations(database) == []


def test_voiding_closes_the_page_first(database: Database, stub: StripeStub, collector: Collector) -> None:
    holder = world.open_account(database, credits=0)
    gone, paid = bought(database, holder), bought(database, holder)
    for id in (gone, paid):
        collector.advance(id)
    page = session_of(database, gone)
    collector.withdraw(gone)
    database.write_sync(operations.void_invoice, holder.account_id, gone)
    assert stub.sessions[page]["status"] == "expired"
    heed(collector, stub.event("checkout.session.expired", stub.sessions[page]))
    assert shown(database, holder, gone)["status"] == "void"
    stub.pay(session_of(database, paid))  # the message has not come yet
    collector.withdraw(paid)
    with pytest.raises(Conflict):
        database.write_sync(operations.void_invoice, holder.account_id, paid)
    assert shown(database, holder, paid)["status"] == "paid" and available(database, holder) == 500


def test_the_message_of_a_page_that_was_closed_stops_neither_voiding_nor_an_operator(
    database: Database, stub: StripeStub, collector: Collector
) -> None:
    holder = world.open_account(database, credits=0)
    gone, paid = bought(database, holder), bought(database, holder)
    for id in (gone, paid):
        collector.advance(id)
        page = session_of(database, id)
        collector.withdraw(id)
        heed(collector, stub.event("checkout.session.expired", stub.sessions[page]))  # comes before what follows
        assert shown(database, holder, id)["status"] == "expired"
    assert database.write_sync(operations.void_invoice, holder.account_id, gone)["status"] == "void"
    database.write_sync(purchases.pay, paid, note="wire 17")
    assert shown(database, holder, paid)["status"] == "paid" and available(database, holder) == 500
    assert world.violations(database) == []


def test_a_page_made_for_an_invoice_that_was_voided_meanwhile_is_closed(
    database: Database, stub: StripeStub, collector: Collector
) -> None:
    holder = world.open_account(database, credits=0)
    id = bought(database, holder)
    row = database.write_sync(payment_attempts.begin, id, "stripe", due=False)
    assert row is not None
    made = collector._step(row)
    database.write_sync(operations.void_invoice, holder.account_id, id)
    assert made is not None
    collector.record(made)
    assert stub.sessions[made.reference]["status"] == "expired" and shown(database, holder, id)["status"] == "void"


@pytest.mark.parametrize("change", [{"amount": 749}, {"amount": 7500}, {"currency": "eur"}, {"amount": None}])
def test_another_amount_than_the_price_grants_nothing(
    database: Database, collector: Collector, change: dict[str, Any]
) -> None:
    holder = world.open_account(database, credits=0)
    id = bought(database, holder)
    right = Standing("paid", "cs_test_x", id, 1, 750, "usd", payment="pi_x")
    collector.record(replace(right, **change))
    found = shown(database, holder, id)
    assert (found["status"], available(database, holder)) == ("open", 0) and "not 750 usd" in found["payment_error"]
    collector.record(right)
    assert available(database, holder) == 500 and database.read_sync(payment_doubts.all_of) == []


def test_payments_that_are_not_ours_are_passed_over(database: Database, stub: StripeStub, collector: Collector) -> None:
    holder = world.open_account(database, credits=0)
    id = bought(database, holder)
    collector.advance(id)
    theirs = dict(stub.sessions[session_of(database, id)], id="cs_test_theirs", payment_status="paid")
    heed(collector, stub.event("checkout.session.completed", theirs | {"metadata": {}}))
    heed(collector, stub.event("checkout.session.completed", theirs | {"client_reference_id": "inv_other"}))
    unknown = {"metadata": {"invoice_id": "inv_none", "attempt": "1"}, "client_reference_id": "inv_none"}
    heed(collector, stub.event("checkout.session.completed", theirs | unknown))
    heed(collector, stub.event("customer.created", {"id": "cus_1", "object": "customer"}))
    expired = theirs | {"payment_status": "unpaid", "status": "expired"}
    heed(collector, stub.event("checkout.session.expired", expired))  # another page than the one that is open
    assert shown(database, holder, id)["status"] == "open" and available(database, holder) == 0


def test_forged_old_and_foreign_messages_are_refused(stub: StripeStub, collector: Collector) -> None:
    body = stub.event("checkout.session.completed", {"id": "cs_test_1", "object": "checkout.session", "metadata": {}})
    good = signed(body)["Stripe-Signature"]
    read = collector.payments.read_notice
    assert read(body.encode(), good).type == "checkout.session.completed"
    by_stripe = stripe.WebhookSignature.generate_signature_header(body, SIGNING_SECRET)
    assert read(body.encode(), by_stripe).type == "checkout.session.completed"
    live = stub.event("checkout.session.completed", {"id": "cs_live_1"}, livemode=True)
    refused: list[tuple[bytes, str | None]] = [
        (body.encode(), None),
        (body.encode(), ""),
        (body.encode(), "t=1,v1=00"),
        (body.encode(), good.replace("v1=", "v0=")),
        (body.encode(), signed(body, secret="whsec_another_secret_of_some")["Stripe-Signature"]),
        (body.encode(), signed(body, secret="")["Stripe-Signature"]),
        (body.encode(), signed(body, age=301)["Stripe-Signature"]),
        (body.replace("cs_test_1", "cs_test_2").encode(), good),
        (body.encode() + b" ", good),
        (b"\xff" + body.encode(), good),
        (live.encode(), signed(live)["Stripe-Signature"]),
    ]
    for text in ("[]", "null", "{}", '{"id": 1}', "not json", '{"object": "v2.core.event"}', '{"data": {"object": 5}}'):
        refused.append((text.encode(), signed(text)["Stripe-Signature"]))
    for payload, signature in refused:
        with pytest.raises(InvalidRequest):
            read(payload, signature)


def test_what_was_given_back_is_noted_in_any_order(database: Database, stub: StripeStub, collector: Collector) -> None:
    holder = world.open_account(database, credits=0)
    id = bought(database, holder)
    collector.advance(id)
    payment = stub.pay(session_of(database, id))["payment_intent"]
    heed(collector, stub.completed(session_of(database, id)))
    for refunded in (300, 100):
        charge = {"id": "ch_1", "object": "charge", "payment_intent": payment, "amount_refunded": refunded}
        heed(collector, stub.event("charge.refunded", charge))
    dispute = {"id": "dp_1", "object": "dispute", "payment_intent": payment, "status": "needs_response"}
    heed(collector, stub.event("charge.dispute.created", dispute))
    assert shown(database, holder, id)["refunded"] == {"amount": 300, "currency": "usd"}
    assert [row["disputed"] for row in world.rows(database, m.purchases)] == [True]
    assert available(database, holder) == 500


def test_what_stripe_says_is_heard_while_it_answers_nobody(
    database: Database, stub: StripeStub, collector: Collector
) -> None:
    """A customer voids many purchases at once while Stripe is slow; the payment of another is granted meanwhile."""
    holder = world.open_account(database, credits=0)
    id, *others = (bought(database, holder) for _ in range(1 + paying.THREADS))
    for one in (id, *others):
        collector.advance(one)
    body = stub.completed(stub.pay(session_of(database, id))["id"])
    go, asked = threading.Event(), threading.Semaphore(0)

    def slow(method: str, path: str) -> None:
        asked.release()
        go.wait(30)

    stub.trouble = slow

    async def main() -> None:
        ours = Paying(database, world.RecordedBell())
        voids = [asyncio.ensure_future(ours.withdraw(one)) for one in others]
        for _ in others:
            await asyncio.to_thread(asked.acquire)
        try:
            async with asyncio.timeout(10):
                await ours.heed(body.encode(), signed(body)["Stripe-Signature"])
        finally:
            go.set()
            await asyncio.gather(*voids, return_exceptions=True)
            ours.close()

    asyncio.run(main())
    assert available(database, holder) == 500
