"""The operator's pages in a browser: pausing and resuming a provider, making an account and granting it credit."""

from collections.abc import Callable

from playwright.sync_api import expect

from tests.console.visitor import Visitor


def test_a_provider_is_paused_and_goes_on(visit: Callable[..., Visitor]) -> None:
    visitor = visit(operator=True)
    page = visitor.open("/console/queues")
    visitor.heading("Queues and workers")
    page.get_by_label("Provider").select_option("mistral")
    page.get_by_label("Reason").fill("a test of <b>the console</b>")
    page.get_by_role("button", name="Pause", exact=True).click()
    expect(page.locator(".notice")).to_contain_text("mistral is paused")
    expect(page.locator("#pause-mistral")).to_contain_text("a test of <b>the console</b>")
    page.get_by_role("button", name="Resume mistral").click()
    expect(page.locator(".notice")).to_contain_text("mistral goes on")


def test_an_account_is_made_and_granted_credit_once(visit: Callable[..., Visitor]) -> None:
    visitor = visit(operator=True)
    page = visitor.open("/console/accounts")
    page.get_by_label("Name").fill("Fabrikam")
    page.get_by_role("button", name="Create").click()
    visitor.heading("Fabrikam")
    page.get_by_label("Credits").fill("1,000.5")
    page.get_by_label("Reason").fill("welcome")
    page.get_by_role("button", name="Grant").click()
    expect(page.locator(".notice")).to_contain_text("1,000.5 credits are granted")
    expect(page.locator(".stats")).to_contain_text("1,000.50")
    expect(page.locator("table")).to_contain_text("credits.grant")
