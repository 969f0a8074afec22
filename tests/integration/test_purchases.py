"""Purchases: an invoice is paid once and granted once, whoever pays at the same moment; what is closed stays unpaid."""

import threading
from typing import Any

import pytest
from sqlalchemy import Connection, text

from producer.operations import invoices as operations
from producer.operations.invoices import PurchaseSpec
from producer.operations.pages import PageQuery
from shared.db import Database
from shared.db import models as m
from shared.errors import Conflict, InvalidRequest, NotFound
from shared.key_holders import KeyHolder
from shared.money import payment_doubts, purchases
from shared.money.invoices import state_month
from shared.money.ledger import Book
from shared.objects.invoices import amount_line
from shared.settings import settings
from tests import contract
from tests.integration import world


def spec(credits: int = 500, **more: Any) -> PurchaseSpec:
    return PurchaseSpec.model_validate({"credits": credits, **more})


def bought(database: Database, holder: KeyHolder, credits: int = 500, **more: Any) -> dict[str, Any]:
    wanted = operations.read_purchase(spec(credits, **more))
    made, _ = database.write_sync(purchases.create, holder.account_id, wanted)
    return dict(made)


def told(database: Database) -> list[str]:
    return [row["type"] for row in sorted(world.rows(database, m.events), key=lambda row: row["sequence"])]


def available(database: Database, holder: KeyHolder) -> int:
    return next(row["available_micros"] for row in world.rows(database, m.accounts) if row["id"] == holder.account_id)


def status(database: Database, id: str) -> str:
    return str(next(row["status"] for row in world.rows(database, m.invoices) if row["id"] == id))


def test_a_purchase_is_open_until_it_is_paid_and_grants_once(database: Database) -> None:
    holder = world.open_account(database, credits=0)
    made = bought(database, holder, description="December", metadata={"team": "a"})
    contract.check_object("Invoice", made)
    assert (made["number"], made["kind"], made["status"], made["paid_at"]) == (1, "purchase", "open", None)
    assert (made["credits"], made["total"], made["batch_id"]) == (500, 500, None)
    assert made["lines"] == [amount_line("purchase", "Prepaid credits", 500_000_000)]
    assert (made["description"], made["metadata"], made["auto_top_up"]) == ("December", {"team": "a"}, False)
    assert made["price"] is None is made["checkout_url"] is made["expires_at"]
    assert "What the credits cost in money is not set here: ask" in (made["how_to_pay"] or "")
    assert available(database, holder) == 0 and told(database) == ["invoice.created"]
    database.write_sync(purchases.pay, made["id"], note="bank transfer 17")
    database.write_sync(purchases.pay, made["id"], note="again")
    shown = database.read_sync(operations.show_invoice, holder.account_id, made["id"])
    contract.check_object("Invoice", shown)
    assert shown["status"] == "paid" and shown["paid_at"]
    assert available(database, holder) == 500 * world.CREDIT
    grants = [row for row in world.rows(database, m.transfers) if row["subject_type"] == "invoice"]
    assert [(row["subject_id"], row["note"]) for row in grants] == [(made["id"], "bank transfer 17")]
    assert told(database) == ["invoice.created", "invoice.paid"]
    assert world.violations(database) == []


def test_two_who_pay_at_once_grant_once(database: Database) -> None:
    holder = world.open_account(database, credits=0)
    ids = [bought(database, holder, 7)["id"] for _ in range(5)]
    start = threading.Barrier(4)

    def pay() -> None:
        start.wait()
        for id in ids:
            database.write_sync(purchases.pay, id)

    threads = [threading.Thread(target=pay) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert available(database, holder) == 35 * world.CREDIT
    assert told(database).count("invoice.paid") == 5
    assert world.violations(database) == []


def test_money_that_comes_for_what_an_operator_marked_paid_is_logged(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """It has to be given back, and nobody else would know."""
    holder = world.open_account(database, credits=0)
    made = bought(database, holder, 5)
    database.write_sync(purchases.pay, made["id"], note="bank transfer 17")
    database.write_sync(purchases.pay, made["id"], note="again")
    assert "paid twice" not in caplog.text
    database.write_sync(purchases.pay, made["id"], payment="pi_1", proven=True)
    assert "paid twice: give back payment pi_1" in caplog.text and available(database, holder) == 5 * world.CREDIT


def test_what_is_void_is_not_paid_by_an_operator_but_by_money_that_is_there(database: Database) -> None:
    holder = world.open_account(database, credits=0)
    made = bought(database, holder)
    gone = database.write_sync(operations.void_invoice, holder.account_id, made["id"])
    assert gone["status"] == "void" and gone["paid_at"] is None
    assert database.write_sync(operations.void_invoice, holder.account_id, made["id"]) == gone
    with pytest.raises(Conflict):
        database.write_sync(purchases.pay, made["id"])
    assert available(database, holder) == 0
    database.write_sync(purchases.pay, made["id"], payment="pi_1", proven=True)
    assert available(database, holder) == 500 * world.CREDIT and status(database, made["id"]) == "paid"
    with pytest.raises(Conflict):
        database.write_sync(operations.void_invoice, holder.account_id, made["id"])
    assert world.violations(database) == []


def test_money_for_what_an_operator_has_marked_paid_is_to_be_given_back(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    holder = world.open_account(database, credits=0)
    by_hand, by_page = bought(database, holder)["id"], bought(database, holder)["id"]
    database.write_sync(purchases.pay, by_hand, note="wire 17")
    database.write_sync(purchases.pay, by_hand, note="wire 17")
    for _ in range(2):
        database.write_sync(purchases.pay, by_page, payment="pi_2", proven=True)
    assert "paid twice" not in caplog.text
    database.write_sync(purchases.pay, by_hand, payment="pi_1", proven=True)
    assert f"invoice {by_hand} was paid twice: give back payment pi_1" in caplog.text
    assert available(database, holder) == 1000 * world.CREDIT and world.violations(database) == []


def stated(database: Database, account_id: str) -> str:
    """The id of a statement of a month without jobs."""

    def write(connection: Connection) -> str:
        book = Book(connection, [account_id])
        id = state_month(book, connection, account_id, "2026-11", [])
        book.close()
        return id

    return database.write_sync(write)


def test_a_stranger_voids_nothing_and_a_statement_is_no_purchase(database: Database) -> None:
    holder, stranger = world.open_account(database), world.open_account(database)
    made = bought(database, holder)
    with pytest.raises(NotFound):
        database.write_sync(operations.void_invoice, stranger.account_id, made["id"])
    with pytest.raises(NotFound):
        database.write_sync(purchases.pay, "inv_none")
    assert status(database, made["id"]) == "open"
    statement = stated(database, holder.account_id)
    for decide in (purchases.pay, purchases.shown, payment_doubts.accept, payment_doubts.given_back):
        words = [] if decide in (purchases.pay, purchases.shown) else ["why"]
        with pytest.raises(Conflict, match="is a statement, paid as its jobs ran"):
            database.write_sync(decide, statement, *words)
    page = database.read_sync(operations.list_invoices, holder.account_id, PageQuery(), kind="purchase")
    assert [row["id"] for row in page["data"]] == [made["id"]]


def test_the_price_is_fixed_when_it_is_made_and_rounded_up(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings(), "price_amount", 199)
    monkeypatch.setattr(settings(), "price_credits", 100)
    holder = world.open_account(database)
    made = bought(database, holder, 3)
    assert made["price"] == {"amount": 6, "currency": "usd"}
    monkeypatch.setattr(settings(), "price_amount", 1)
    assert database.read_sync(operations.show_invoice, holder.account_id, made["id"])["price"]["amount"] == 6
    monkeypatch.setattr(settings(), "price_amount", 10**9)
    with pytest.raises(InvalidRequest) as refused:
        bought(database, holder, 1000)
    assert refused.value.param == "credits"


@pytest.mark.parametrize("credits", [0, 9, 1001, 10**9])
def test_bounds_of_a_purchase(monkeypatch: pytest.MonkeyPatch, credits: int) -> None:
    monkeypatch.setattr(settings(), "purchase_least_credits", 10)
    monkeypatch.setattr(settings(), "purchase_most_credits", 1000)
    wanted = PurchaseSpec.model_construct(credits=credits, description=None, metadata=None, save_payment_method=False)
    with pytest.raises(InvalidRequest) as refused:
        operations.read_purchase(wanted)
    assert refused.value.param == "credits"


def test_few_may_be_open_at_a_time(database: Database) -> None:
    holder = world.open_account(database)
    for _ in range(purchases.MOST_OPEN):
        last = bought(database, holder, 1)
    with pytest.raises(Conflict):
        bought(database, holder, 1)
    database.write_sync(purchases.pay, last["id"])
    bought(database, holder, 1)
    numbers = sorted(row["number"] for row in world.rows(database, m.invoices))
    assert numbers == list(range(1, purchases.MOST_OPEN + 2))


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE invoices SET status = 'paid' WHERE number = 2", "a paid purchase without its grant"),
        ("UPDATE invoices SET status = 'open' WHERE number = 1", "grant differs from its invoice"),
        ("UPDATE invoices SET status = 'open' WHERE number = 1", "stands otherwise than its payment"),
        ("UPDATE invoices SET total_micros = 5 WHERE number = 1", "grant differs from its invoice"),
        ("UPDATE purchases SET closed_at = 1 WHERE closed_at IS NULL", "stands otherwise than its payment"),
        ("UPDATE purchases SET account_id = 'acct_other' WHERE closed_at IS NULL", "of another account"),
        ("UPDATE purchases SET open_top_up = true WHERE closed_at IS NOT NULL", "stands otherwise than its payment"),
        ("DELETE FROM transfers WHERE subject_type = 'invoice'", "a paid purchase without its grant"),
    ],
)
def test_verify_names_what_is_off(database: Database, statement: str, named: str) -> None:
    holder = world.open_account(database, credits=0)
    database.write_sync(purchases.pay, bought(database, holder)["id"])
    bought(database, holder)
    assert world.violations(database) == []
    database.write_sync(lambda connection: connection.execute(text(statement)))
    assert any(named in found for found in world.violations(database))
