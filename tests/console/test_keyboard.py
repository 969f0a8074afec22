"""The console by the keyboard alone: Tab, Shift+Tab, Enter, Space and letters; what has the focus is seen."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.acceptance.stack import Account, chat
from tests.console import pages
from tests.console.filling import HELD, REFUSED, line, submit_batch
from tests.console.pages import ConsolePage
from tests.console.test_refreshing import requests_of_a_minute
from tests.console.visitor import Visitor
from tests.console.world import World

#: More presses of Tab than any page takes.
MOST = 150
_FOCUSED = """() => {
    const at = document.activeElement;
    if (!at || at === document.body) return null;
    const style = getComputedStyle(at), box = at.getBoundingClientRect();
    const name = at.getAttribute("aria-label") || at.labels?.[0]?.innerText || at.innerText || at.value || "";
    const ringed = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
    return {name: name.trim().slice(0, 80), tag: at.tagName, seen: ringed && box.width > 0 && box.height > 0};
}"""


def tab_to(page: Page, name: str, *, tag: str = "") -> None:
    """Press Tab until what has this name has the focus; each stop on the way is to be seen."""
    for _ in range(MOST):
        page.keyboard.press("Tab")
        at = page.evaluate(_FOCUSED)
        if at is None:
            continue
        assert at["seen"], f"the focus is not seen on {at}"
        if name in at["name"] and tag in ("", at["tag"]):
            return
    raise AssertionError(f"Tab does not lead to {name!r}")


@pytest.mark.parametrize("row", pages.PAGES, ids=lambda row: row.name)
def test_the_first_stop_skips_to_the_content(row: ConsolePage, world: World, visit: Callable[..., Visitor]) -> None:
    shop = world.customers["shop"]
    visitor = visit(shop.live_key, operator=row.operator)
    page = visitor.open(row.url(shop.ids))
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()


@pytest.mark.parametrize("width", [360, 768])
def test_the_first_stop_is_the_same_where_the_menu_is_scrolled(
    width: int, world: World, visit: Callable[..., Visitor]
) -> None:
    visitor = visit(world.customers["shop"].live_key, width=width)
    page = visitor.open("/console/keys")
    expect(page.locator(".nav [aria-current]")).to_be_in_viewport(ratio=1)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()


def test_a_wrong_operator_password_is_typed_again_at_once(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    visitor.watch.expect("status of 401")
    page = visitor.open("/console/sign-in")
    page.get_by_text("Sign in as the operator").first.click()
    page.get_by_label("Operator password").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Operator password")).to_be_focused()


def test_from_signing_in_to_signing_out(account: Account, visit: Callable[..., Visitor]) -> None:
    held = account.submit(chat(f"this one {HELD}"))["id"]
    lines = [line(0, "Describe a vase."), line(1, f"Describe {REFUSED} shoes of {account.id}.")]
    batch = submit_batch(account, lines)
    visitor = visit()
    page = visitor.open("/console/sign-in")
    expect(page.get_by_label("API key")).to_be_focused()  # which a browser does only when it has drawn the page
    page.keyboard.type(account.live_key)
    page.keyboard.press("Enter")
    visitor.heading("Overview")
    tab_to(page, "Jobs")
    page.keyboard.press("Enter")
    visitor.heading("Jobs")
    tab_to(page, held[-8:])
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/console/jobs/{held}")
    tab_to(page, "Cancel", tag="BUTTON")
    page.keyboard.press("Enter")
    expect(page.locator("#job")).to_contain_text("cancelled", timeout=60_000)
    tab_to(page, "Batches")
    page.keyboard.press("Enter")
    visitor.heading("Batches")
    expect(page.get_by_role("main")).to_contain_text("completed", timeout=60_000)
    tab_to(page, batch[-8:])
    page.keyboard.press("Enter")
    visitor.heading("Batch")
    tab_to(page, "Retry failed lines")
    page.keyboard.press("Enter")
    visitor.heading("Retry failed lines")
    tab_to(page, "Retry", tag="BUTTON")
    page.keyboard.press("Space")
    expect(page.locator("#batch")).to_contain_text("1 of 1 line has ended", timeout=60_000)
    tab_to(page, "Sign out")
    page.keyboard.press("Enter")
    visitor.heading("Sign in")


def test_a_list_is_not_refreshed_under_the_keyboard(world: World, visit: Callable[..., Visitor]) -> None:
    visitor = visit(world.customers["shop"].live_key)
    visitor.page.clock.install()
    page = visitor.open("/console/jobs")
    for _ in range(MOST):
        page.keyboard.press("Tab")
        if page.evaluate("document.querySelector('#list').contains(document.activeElement)"):
            break
    name = page.evaluate("document.activeElement.innerText")
    assert requests_of_a_minute(visitor) == []
    assert page.evaluate("document.activeElement.innerText") == name
    page.evaluate("document.activeElement.blur()")
    assert requests_of_a_minute(visitor) != []
