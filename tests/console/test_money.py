"""Money at the console: a threshold is edited, credits are bought and paid by hand, usage comes as a file."""

from collections.abc import Callable

from playwright.sync_api import expect

from tests.acceptance.command import Command
from tests.acceptance.stack import Account, chat
from tests.console.visitor import Visitor
from tests.console.world import World


def test_a_threshold_is_edited(account: Account, visit: Callable[..., Visitor]) -> None:
    thresholds = [{"kind": "remaining", "credits": 100}]
    account.live.put("/credits/thresholds", json={"thresholds": thresholds}).raise_for_status()
    visitor = visit(account.live_key)
    page = visitor.open("/console/credits")
    field = page.get_by_label("Credits of threshold 1")
    expect(field).to_have_value("100")
    field.fill("250")
    page.get_by_role("region", name="Thresholds").get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_be_visible()
    expect(page.get_by_label("Credits of threshold 1")).to_have_value("250")
    (saved,) = account.live.get("/credits").json()["thresholds"]
    assert (saved["kind"], saved["credits"]) == ("remaining", 250)


def test_a_threshold_that_cannot_be_is_refused_in_words(account: Account, visit: Callable[..., Visitor]) -> None:
    before = account.live.get("/credits").json()["thresholds"]
    visitor = visit(account.live_key)
    visitor.watch.expect("status of 4..")
    page = visitor.open("/console/credits")
    page.get_by_label("Credits of threshold 1").evaluate("field => { field.type = 'text'; field.value = '-3' }")
    page.get_by_role("region", name="Thresholds").get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert account.live.get("/credits").json()["thresholds"] == before


def test_credits_are_bought_and_paid_by_hand(account: Account, world: World, visit: Callable[..., Visitor]) -> None:
    visitor = visit(account.live_key)
    page = visitor.open("/console/credits")
    buying = page.get_by_role("region", name="Buy credits")
    buying.get_by_label("Credits").fill("25")
    buying.get_by_label("Description").fill("For the winter")
    buying.get_by_role("button", name="Make the invoice").click()
    expect(page.get_by_role("main")).to_contain_text("open")
    (invoice,) = account.live.get("/invoices", params={"kind": "purchase"}).json()["data"]
    assert (invoice["credits"], invoice["status"]) == (25, "open")
    Command(world, account)("invoices", "pay", invoice["id"], "--note", "wire 17", "--operator", "ada")  # type: ignore[arg-type]
    visitor.open(f"/console/credits/invoices/{invoice['id']}")
    expect(page.get_by_role("main")).to_contain_text("paid")
    visitor.open("/console/credits")
    expect(page.get_by_role("region", name="Balance")).to_contain_text("10,025")


def test_usage_is_the_ledgers_and_comes_as_a_file(account: Account, visit: Callable[..., Visitor]) -> None:
    job = account.run(chat("hello"))
    visitor = visit(account.live_key)
    page = visitor.open("/console/usage")
    charged = f"{job['usage']['credits_used']:.6f}".rstrip("0")
    expect(page.locator(".table").get_by_role("row").filter(has_text="gpt-4")).to_contain_text(charged)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download CSV").click()
    assert "gpt-4" in download.value.path().read_text()
