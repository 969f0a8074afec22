"""Automatic top-ups: one at a time, within the month's limit, stopped when a card is declined."""

import threading
from typing import Any

import pytest
from sqlalchemy import Connection, event

from producer.operations.auto_top_ups import AutoTopUpSpec, set_auto_top_up, show
from producer.operations.invoices import void_invoice
from shared.db import Database
from shared.db import models as m
from shared.errors import InvalidRequest
from shared.key_holders import KeyHolder
from shared.money import purchases, top_ups
from shared.payments.collecting import Collector
from shared.settings import settings
from tests.integration import world
from tests.integration.paying import available, bought, heed, later, session_of, shown, told
from tests.stripe_stub import StripeStub
from workers.maintenance.payments import PaymentRounds

pytestmark = pytest.mark.usefixtures("passing_time")


def wished(database: Database, holder: KeyHolder, **more: Any) -> None:
    spec = {"enabled": True, "threshold": 100, "credits": 200, "monthly_limit": 500, **more}
    database.write_sync(set_auto_top_up, holder.account_id, AutoTopUpSpec.model_validate(spec))


def saved(database: Database, stub: StripeStub, collector: Collector, holder: KeyHolder) -> str:
    """The account has paid once and saved its card, whose id this is; 100 credits are there."""
    id = bought(database, holder, 100, save_payment_method=True)
    collector.advance(id)
    payment = stub.pay(session_of(database, id))["payment_intent"]
    heed(collector, stub.completed(session_of(database, id)))
    return str(stub.intents[payment]["payment_method"])


def spend(database: Database, holder: KeyHolder, credits: int) -> None:
    world.accept_all(database, [world.order(database, holder, bound=credits * world.CREDIT)])


def test_a_top_up_is_charged_once_when_too_little_is_there(
    database: Database, stub: StripeStub, collector: Collector
) -> None:
    holder = world.open_account(database, credits=0)
    saved(database, stub, collector, holder)
    wished(database, holder)
    sweepers = [PaymentRounds(database, world.RecordedBell(), collector) for _ in range(3)]
    for sweeper in sweepers:
        sweeper.run_once()
    assert available(database, holder) == 100 and len(stub.intents) == 1  # not below the level
    spend(database, holder, 1)
    threads = [threading.Thread(target=sweeper.run_once) for sweeper in sweepers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for sweeper in sweepers:
        sweeper.run_once()
    assert available(database, holder) == 299 and len(stub.intents) == 2
    spend(database, holder, 250)
    sweepers[0].run_once()
    assert available(database, holder) == 249
    spend(database, holder, 200)
    sweepers[0].run_once()
    assert available(database, holder) == 49  # a third would be above the limit of the month
    assert database.read_sync(show, holder.account_id)["status"] == "limited"
    assert world.violations(database) == []
    later(database, 32 * 86_400)
    sweepers[0].run_once()
    assert available(database, holder) == 249


def test_a_declined_card_stops_top_ups_until_something_is_paid(
    database: Database, stub: StripeStub, collector: Collector
) -> None:
    holder = world.open_account(database, credits=0)
    card = saved(database, stub, collector, holder)
    wished(database, holder, monthly_limit=10_000)
    stub.declined.add(card)
    spend(database, holder, 50)
    sweeper = PaymentRounds(database, world.RecordedBell(), collector)
    for _ in range(5):
        sweeper.run_once()
        later(database, 100)
    state = database.read_sync(show, holder.account_id)
    assert (state["status"], state["reason"]) == ("stopped", "Your card was declined.")
    assert told(database, "invoice.payment_failed") == 1 and len(stub.intents) == 2
    (invoice,) = [row for row in world.rows(database, m.invoices) if row["status"] == "open"]
    page = shown(database, holder, invoice["id"])
    assert page["checkout_url"] and page["auto_top_up"] and page["payment_error"] == "Your card was declined."
    heed(collector, stub.completed(stub.pay(session_of(database, invoice["id"]))["id"]))  # by hand, with another card
    assert database.read_sync(show, holder.account_id)["status"] == "active"
    assert available(database, holder) == 250
    spend(database, holder, 200)
    sweeper.run_once()
    assert available(database, holder) == 250  # charged to the card that paid last
    assert world.violations(database) == []


def test_a_charge_whose_answer_was_lost_is_not_made_again(
    database: Database, stub: StripeStub, collector: Collector
) -> None:
    holder = world.open_account(database, credits=0)
    saved(database, stub, collector, holder)
    wished(database, holder)
    spend(database, holder, 50)
    stub.trouble = lambda method, path: "drop" if (method, path) == ("POST", "/v1/payment_intents") else None
    sweeper = PaymentRounds(database, world.RecordedBell(), collector)
    sweeper.run_once()
    assert len(stub.intents) == 2 and available(database, holder) == 50
    stub.trouble = lambda method, path: None
    stub.forget_keys()
    later(database, 2 * 86_400)
    sweeper.run_once()
    assert len(stub.intents) == 2 and available(database, holder) == 250 and world.violations(database) == []


def test_a_repeated_message_does_not_bring_an_earlier_card_back(
    database: Database, stub: StripeStub, collector: Collector
) -> None:
    holder = world.open_account(database, credits=0)
    bodies = []
    for _ in range(2):
        id = bought(database, holder, 100, save_payment_method=True)
        collector.advance(id)
        stub.pay(session_of(database, id))
        bodies.append(stub.completed(session_of(database, id)))
        heed(collector, bodies[-1])
    (newest,) = world.rows(database, m.saved_payments)
    heed(collector, bodies[0])
    assert world.rows(database, m.saved_payments) == [newest] and available(database, holder) == 200


def test_no_card_is_charged_by_voiding_or_by_an_operators_word(
    database: Database, stub: StripeStub, collector: Collector
) -> None:
    holder = world.open_account(database, credits=0)
    saved(database, stub, collector, holder)
    wished(database, holder)
    spend(database, holder, 50)
    sweeper = PaymentRounds(database, world.RecordedBell(), collector)
    for closes in ("void", "paid"):
        stub.trouble = lambda method, path: 503 if (method, path) == ("POST", "/v1/payment_intents") else None
        sweeper.run_once()
        stub.trouble = lambda method, path: None
        (id,) = [row["id"] for row in world.rows(database, m.invoices) if row["status"] == "open"]
        assert collector.withdraw(id) == [] and shown(database, holder, id)["status"] == "open"
        if closes == "void":
            database.write_sync(void_invoice, holder.account_id, id)
            wished(database, holder)
        else:
            database.write_sync(purchases.pay, id, note="wire 17")
        assert shown(database, holder, id)["status"] == closes and len(stub.intents) == 1
        later(database, 700)
    assert available(database, holder) == 250 and world.violations(database) == []


def test_without_a_saved_card_the_invoice_waits_for_the_customer(
    database: Database, stub: StripeStub, collector: Collector
) -> None:
    holder = world.open_account(database, credits=50)
    wished(database, holder)
    sweeper = PaymentRounds(database, world.RecordedBell(), collector)
    for _ in range(3):
        sweeper.run_once()
    (invoice,) = world.rows(database, m.invoices)
    assert shown(database, holder, invoice["id"])["checkout_url"] and told(database, "invoice.created") == 1
    stub.expire(session_of(database, invoice["id"]))
    later(database, 100)
    sweeper.run_once()
    sweeper.run_once()
    assert len(world.rows(database, m.invoices)) == 1  # nobody wanted it: it is not made again and again
    assert database.read_sync(show, holder.account_id)["status"] == "stopped"
    wished(database, holder)
    sweeper.run_once()
    assert len(world.rows(database, m.invoices)) == 2


def test_a_saved_card_that_is_no_more_gives_way_to_a_page(
    database: Database, stub: StripeStub, collector: Collector
) -> None:
    holder = world.open_account(database, credits=0)
    saved(database, stub, collector, holder)
    wished(database, holder)
    stub.intents.clear()
    spend(database, holder, 50)
    sweeper = PaymentRounds(database, world.RecordedBell(), collector)
    for _ in range(3):
        sweeper.run_once()
    (invoice,) = [row for row in world.rows(database, m.invoices) if row["status"] == "open"]
    assert shown(database, holder, invoice["id"])["checkout_url"] and told(database, "invoice.payment_failed") == 1
    page = stub.sessions[session_of(database, invoice["id"])]
    assert page["_given"]["payment_intent_data[setup_future_usage]"] == "off_session" and page["customer"]


def test_one_whose_price_is_too_high_holds_up_nobody(
    database: Database, stub: StripeStub, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator has raised the price since it was wished."""
    holders = [world.open_account(database, credits=0) for _ in range(3)]
    for holder, credits in zip(holders, (900, 200, 900), strict=True):
        wished(database, holder, credits=credits, monthly_limit=10_000)
    open_one = bought(database, holders[0], 100)
    monkeypatch.setattr(purchases, "MOST_AMOUNT", 500)
    with pytest.raises(InvalidRequest, match="price"):
        wished(database, holders[0], credits=900, monthly_limit=10_000)
    sweeper = PaymentRounds(database, world.RecordedBell(), collector)
    later(database, 100)
    sweeper.run_once()
    states = [database.read_sync(show, holder.account_id) for holder in holders]
    assert [state["status"] for state in states] == ["stopped", "active", "stopped"]
    assert "price" in str(states[0]["reason"]) and shown(database, holders[0], open_one)["checkout_url"]
    made = [row["account_id"] for row in world.rows(database, m.purchases) if row["auto_top_up"]]
    assert made == [holders[1].account_id]


def test_locks_are_taken_in_one_order(database: Database) -> None:
    """The account's before its top-up's, as where the wish is changed: else the two wait for each other."""
    holder = world.open_account(database, credits=0)
    wished(database, holder)
    database.write_sync(top_ups.make, holder.account_id, "manual")
    (made,) = world.rows(database, m.purchases)
    id, locks = made["invoice_id"], list[str]()

    def hear(_: object, __: object, statement: str, *___: object) -> None:
        if statement.startswith("UPDATE auto_top_ups") or "FROM accounts" in statement:
            locks.append("top-up" if statement.startswith("UPDATE") else "account")

    event.listen(database.engine, "before_cursor_execute", hear)
    try:
        database.write_sync(purchases.fail, id, "declined", "")
        wished(database, holder)
        database.write_sync(purchases.pay, id)
    finally:
        event.remove(database.engine, "before_cursor_execute", hear)
    assert locks == ["account", "top-up"] * 3


def test_a_top_up_that_cannot_be_made_holds_up_no_other(
    database: Database, stub: StripeStub, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    dear, cheap = (world.open_account(database, credits=1) for _ in range(2))
    wished(database, dear, credits=100_000, monthly_limit=100_000)
    wished(database, cheap)
    waiting = bought(database, cheap)
    later(database, 60)
    monkeypatch.setattr(settings(), "price_amount", 10**6)  # 100,000 credits are above the largest price by now
    sweeper = PaymentRounds(database, world.RecordedBell(), collector)
    sweeper.run_once()
    assert shown(database, cheap, waiting)["checkout_url"]
    made = [row["account_id"] for row in world.rows(database, m.purchases) if row["auto_top_up"]]
    assert made == [cheap.account_id] and world.violations(database) == []


def test_a_look_is_at_some_accounts_and_the_next_at_the_following(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(top_ups, "LOOKED", 2)
    holders = [world.open_account(database, credits=1) for _ in range(5)]
    for holder in holders:
        wished(database, holder)
    wished(database, holders[1], enabled=False)
    seen, after = list[list[str]](), "begin"
    while after:
        found, after = database.read_sync(top_ups.lacking, (), "" if after == "begin" else after)
        seen.append(found)
    accounts = [holder.account_id for holder in holders]
    assert seen == [[accounts[0], accounts[2]], [accounts[3], accounts[4]], []]


def test_an_account_s_purchases_are_looked_at_without_its_other_invoices(database: Database) -> None:
    """It may have one for each of a million batches; one look is under its lock, one is of each sweep."""
    holder, made = world.open_account(database, credits=1), list[Any]()
    wished(database, holder)
    bought(database, holder)

    def hear(connection: Any, cursor: Any, statement: str, given: Any, *_: Any) -> None:
        made.append((statement, given))

    def look(connection: Connection) -> str:
        event.listen(database.engine, "before_cursor_execute", hear)
        assert purchases.open_count(connection, holder.account_id) == 1
        assert top_ups.lacking(connection) == ([holder.account_id], "")
        event.remove(database.engine, "before_cursor_execute", hear)
        if not database.is_sqlite:  # which it would choose of tables that are this small
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        words = "EXPLAIN QUERY PLAN" if database.is_sqlite else "EXPLAIN"
        return "".join(str(connection.exec_driver_sql(f"{words} {one}", given).all()) for one, given in made)

    plans = database.read_sync(look)
    assert "invoices_of_account" not in plans and "purchases_of_account" in plans
