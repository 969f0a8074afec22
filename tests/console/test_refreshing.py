"""Pages refresh themselves while something is active and the tab is seen, and at no other time."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Request, expect

from tests.acceptance.stack import Account, chat
from tests.console import pages
from tests.console.pages import ConsolePage
from tests.console.visitor import Visitor
from tests.console.world import World

#: A minute of the page's own clock, which stands still but for this.
MINUTE_MS = 60_000
#: What a browser says of a tab that is behind others.
HIDE = """() => {
    Object.defineProperty(document, "hidden", {get: () => true, configurable: true});
    Object.defineProperty(document, "visibilityState", {get: () => "hidden", configurable: true});
    document.dispatchEvent(new Event("visibilitychange"));
}"""
SHOW = """() => {
    delete document.hidden;
    delete document.visibilityState;
    document.dispatchEvent(new Event("visibilitychange"));
}"""
#: What a test asks for itself, to know that the page's own requests have begun.
_ASIDE = "/healthz"
#: Requests of a minute: every two seconds.
MOST = 31
#: Pages that are active while a delivery is to be tried again, as the attacker's are.
RETRYING = ("webhook", "event")
LISTS = ("jobs", "overview", "batches")


def requests_of_a_minute(visitor: Visitor) -> list[str]:
    """What the page asks for while its clock goes on by a minute, all of it answered and shown when this comes back."""
    before = len(visitor.watch.requests)
    visitor.page.clock.run_for(MINUTE_MS)
    _round_trip(visitor.page)
    asked = [one for one in visitor.watch.requests[before:] if one.resource_type in ("fetch", "xhr", "document")]
    _await_answers(visitor.page, asked)
    return [one.url for one in asked if not one.url.endswith(_ASIDE)]


def _await_answers(page: Page, asked: list[Request]) -> None:
    """A page whose minute takes milliseconds asks for nothing more while the last minute's answer is still to come."""
    for one in asked:
        answer = one.response()
        if answer is not None:
            answer.finished()
    _round_trip(page)


def _round_trip(page: Page) -> None:
    """Whatever the page has begun to ask for has been noted when this comes back."""
    page.evaluate("path => fetch(path).then(answer => answer.text())", _ASIDE)


def _opened(visit: Callable[..., Visitor], key: str, path: str, *, operator: bool = False) -> Visitor:
    visitor = visit(key, operator=operator)
    visitor.page.clock.install()
    visitor.open(path)
    return visitor


@pytest.mark.parametrize("row", pages.PAGES, ids=lambda row: row.name)
def test_a_tab_that_is_hidden_asks_for_nothing(row: ConsolePage, world: World, visit: Callable[..., Visitor]) -> None:
    shop = world.customers["shop"]
    visitor = _opened(visit, shop.live_key, row.url(shop.ids), operator=row.operator)
    visitor.page.evaluate(HIDE)
    _round_trip(visitor.page)
    found = requests_of_a_minute(visitor)
    assert found == []


@pytest.mark.parametrize("row", [row for row in pages.CUSTOMERS if row.name not in RETRYING], ids=lambda row: row.name)
def test_where_nothing_is_active_nothing_is_asked_for(
    row: ConsolePage, world: World, visit: Callable[..., Visitor]
) -> None:
    owner = world.customers["attacker"]
    visitor = _opened(visit, owner.live_key, row.url(owner.ids))
    found = requests_of_a_minute(visitor)
    assert found == []


@pytest.mark.parametrize("row", [row for row in pages.CUSTOMERS if row.name in LISTS], ids=lambda row: row.name)
def test_while_something_is_active_a_list_is_asked_for(
    row: ConsolePage, world: World, visit: Callable[..., Visitor]
) -> None:
    shop = world.customers["shop"]
    visitor = _opened(visit, shop.live_key, row.url(shop.ids))
    found = requests_of_a_minute(visitor)
    assert 1 <= len(found) <= MOST, found
    visitor.page.evaluate(HIDE)
    assert requests_of_a_minute(visitor) == []
    visitor.page.evaluate(SHOW)
    assert requests_of_a_minute(visitor) != []


def test_a_job_is_seen_to_end_without_a_reload(account: Account, visit: Callable[..., Visitor], world: World) -> None:
    id = account.submit(chat("this one is handmade"))["id"]
    visitor = visit(account.live_key)
    visitor.open("/console/jobs")
    visitor.page.evaluate("window.same = true")
    row = visitor.page.get_by_role("row").filter(has_text=id[-8:])
    expect(row).to_contain_text("succeeded")
    assert visitor.page.evaluate("window.same") is True
    assert visitor.page.locator("time:not([title])").count() == 0
