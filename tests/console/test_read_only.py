"""A read-only console: it shows everything, offers nothing that changes something, and refuses what is sent anyway."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.console import pages
from tests.console.pages import ConsolePage
from tests.console.visitor import Visitor
from tests.console.world import World

#: Forms that change nothing: signing out, an operator's choice of an account to look at, the price of a request.
_ALLOWED = ("/console/sign-out", "/console/account", "/console/new")
_SEND = """csrf => fetch("/console/jobs/anything/cancel", {
    method: "POST", headers: {"content-type": "application/x-www-form-urlencoded"}, body: new URLSearchParams({csrf}),
}).then(answer => answer.status)"""


@pytest.mark.parametrize("row", pages.PAGES, ids=lambda row: row.name)
def test_no_page_offers_a_change(row: ConsolePage, world: World, visit: Callable[..., Visitor]) -> None:
    shop = world.customers["shop"]
    visitor = visit(shop.live_key, at=world.read_only_url, operator=row.operator)
    page = visitor.open(row.url(shop.ids))
    expect(page.get_by_role("status").filter(has_text="read-only")).to_be_visible()
    actions = page.locator("form[method=post]").evaluate_all("forms => forms.map(one => one.getAttribute('action'))")
    assert [one for one in actions if one not in _ALLOWED] == []


def test_a_change_that_is_sent_anyway_is_refused(world: World, visit: Callable[..., Visitor]) -> None:
    visitor = visit(world.customers["shop"].live_key, at=world.read_only_url)
    visitor.watch.expect("status of 403")
    page = visitor.open("/console")
    csrf = page.locator("[name=csrf]").first.input_value()
    assert page.evaluate(_SEND, csrf) == 403
