"""Credits, invoices and keys: what is bought, set and shown, by the forms of their pages."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.acceptance.stack import Account
from tests.console.visitor import Visitor
from tests.console.world import World


@pytest.mark.parametrize("javascript", [True, False], ids=["with a script", "without one"])
def test_credits_are_bought_with_an_invoice(account: Account, visit: Callable[..., Visitor], javascript: bool) -> None:
    visitor = visit(account.live_key, java_script_enabled=javascript)
    page = visitor.open("/console/credits")
    page.get_by_label("Credits", exact=True).fill("125")
    page.get_by_label("Description (optional)").fill("For <b>December</b>")
    page.get_by_role("button", name="Make the invoice").click()
    expect(page.locator("h1")).to_contain_text("Invoice No.")
    expect(page.locator("main")).to_contain_text("For <b>December</b>")
    (invoice,) = account.live.get("/invoices").json()["data"]
    assert (invoice["credits"], invoice["status"], invoice["description"]) == (125, "open", "For <b>December</b>")
    if not javascript:
        return
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Void").click()
    expect(page.locator("main")).to_contain_text("The invoice is void.")
    assert account.live.get(f"/invoices/{invoice['id']}").json()["status"] == "void"


def test_what_the_api_refuses_is_said_beside_the_field(account: Account, visit: Callable[..., Visitor]) -> None:
    visitor = visit(account.live_key)
    visitor.watch.expect("status of 400")
    page = visitor.open("/console/credits")
    page.get_by_label("Credits", exact=True).fill("0")
    page.get_by_role("button", name="Make the invoice").click()
    expect(page.locator("#e-credits")).to_contain_text("“Credits”")
    assert account.live.get("/invoices").json()["data"] == []


def test_thresholds_are_set_and_taken_away(account: Account, visit: Callable[..., Visitor]) -> None:
    page = visit(account.live_key).open("/console/credits")
    page.get_by_label("Credits of threshold 1").fill("")
    page.get_by_label("Kind of threshold 2").select_option("spent")
    page.get_by_label("Credits of threshold 2").fill("250.5")
    page.locator("section", has_text="Thresholds").get_by_role("button", name="Save").click()
    expect(page.locator("main")).to_contain_text("The thresholds are set.")
    assert account.live.get("/credits").json()["thresholds"] == [{"kind": "spent", "credits": 250.5}]


def test_the_automatic_top_up_is_switched_on_and_off(account: Account, visit: Callable[..., Visitor]) -> None:
    page = visit(account.live_key).open("/console/credits")
    page.get_by_label("When fewer are available than").fill("100")
    page.get_by_label("Buy", exact=True).fill("500")
    page.get_by_label("At most in a calendar month").fill("2000")
    page.get_by_role("button", name="Switch on").click()
    expect(page.locator("main")).to_contain_text("The automatic top-up is on.")
    assert account.live.get("/credits/auto_top_up").json()["enabled"] is True
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Switch off").click()
    expect(page.locator("main")).to_contain_text("The automatic top-up is off.")
    assert account.live.get("/credits/auto_top_up").json()["enabled"] is False


def test_the_documents_of_an_invoice_are_there(world: World, visit: Callable[..., Visitor]) -> None:
    shop = world.customers["shop"]
    page = visit(shop.live_key).open(f"/console/credits/invoices/{shop.ids['invoice']}")
    for name, kind in (("PDF", "application/pdf"), ("Document", "text/html")):
        link = page.get_by_role("link", name=name, exact=True).get_attribute("href")
        answer = page.request.get(str(link))
        assert answer.ok and answer.headers["content-type"].startswith(kind)


def test_a_customer_sees_keys_and_makes_none(account: Account, visit: Callable[..., Visitor]) -> None:
    page = visit(account.live_key).open("/console/keys")
    expect(page.locator("table")).to_contain_text("this session")
    assert page.get_by_role("button", name="Make the key").count() == 0
    assert account.live_key not in page.content()


def test_a_test_key_sees_no_money(account: Account, visit: Callable[..., Visitor]) -> None:
    page = visit(account.test_key).open("/console/credits")
    expect(page.locator("main")).to_contain_text("A test key has no credits.")


def test_a_balance_is_on_one_line_on_a_telephone(world: World, visit: Callable[..., Visitor]) -> None:
    account = world.account(credits=1_234_567.123456)
    page = visit(account.live_key, width=360).open("/console/credits")
    value = page.get_by_text("1,234,567.123456").first
    assert value.evaluate("one => one.getClientRects().length && one.offsetHeight < 30")
    account.close()


def test_every_tab_is_seen_on_a_telephone(world: World, visit: Callable[..., Visitor]) -> None:
    page = visit(world.customers["shop"].live_key, width=360).open("/console/new")
    expect(page.get_by_role("link", name="Batch from a file")).to_be_in_viewport(ratio=1)
