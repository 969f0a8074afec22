"""Hostile texts on every page that shows them: none becomes an element, none runs, even if no policy stops it."""

from collections.abc import Callable
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from tests.console import pages
from tests.console.hostile import MARKUP, NAME
from tests.console.pages import ConsolePage
from tests.console.visitor import Visitor
from tests.console.world import World

#: Where texts of customers come from, and a page of each that must show it, as text.
SHOWN = {
    "job": "{{ 7*'7' }}",
    "job-failed": "</textarea></script>",
}


#: Parameters of any page's address.
PARAMETERS = (
    "status type model key_id batch_id after before from to metadata group_by by tag kind period next page".split()
)


@pytest.mark.parametrize("row", pages.PAGES, ids=lambda row: row.name)
def test_no_text_of_a_customer_runs(row: ConsolePage, world: World, visit: Callable[..., Visitor]) -> None:
    attacker = world.customers["attacker"]
    visitor = visit(attacker.live_key, operator=row.operator, looking_at=attacker.id, bypass_csp=True)
    visitor.open(row.url(attacker.ids))
    visitor.open_details()
    assert visitor.attacks() == []
    expect(visitor.page.get_by_role("heading", level=1)).to_be_visible()
    if row.name in SHOWN:
        expect(visitor.page.get_by_role("main")).to_contain_text(SHOWN[row.name])


@pytest.mark.parametrize("row", pages.PAGES, ids=lambda row: row.name)
def test_no_parameter_of_an_address_runs(row: ConsolePage, world: World, visit: Callable[..., Visitor]) -> None:
    attacker = world.customers["attacker"]
    visitor = visit(attacker.live_key, operator=row.operator, looking_at=attacker.id, bypass_csp=True)
    visitor.watch.expect("status of 4..|The specified value")
    path = row.url(attacker.ids).partition("?")[0]
    visitor.open(f"{path}?" + "&".join(f"{name}={quote(MARKUP[:900])}" for name in PARAMETERS))
    assert visitor.attacks() == []
    for name in PARAMETERS:
        answer = visitor.context.request.get(f"{path}?{name}={quote(NAME)}")
        assert answer.status < 500
        assert "<img data-pwned" not in answer.text(), name


@pytest.mark.parametrize(
    "path",
    ["/console/{}", "/console/jobs/{}", "/console/batches/{}", "/console/sign-in?next={}", "/console/assets/{}/x"],
)
def test_no_path_runs(path: str, world: World, visit: Callable[..., Visitor]) -> None:
    visitor = visit(world.customers["attacker"].live_key, bypass_csp=True)
    visitor.watch.expect("status of 4..")
    visitor.open(path.format(quote(NAME, safe="")))
    assert visitor.attacks() == []


def test_what_ran_would_be_found(world: World, visit: Callable[..., Visitor]) -> None:
    """The test's own texts: in a page that does not escape them they do run."""
    visitor = visit(bypass_csp=True)
    visitor.watch.expect("")
    visitor.open("/console/sign-in")
    visitor.page.evaluate("text => { document.querySelector('h1').innerHTML = text }", MARKUP)
    visitor.watch.await_fault(visitor.page, "an attack ran: 1")
    assert len(visitor.attacks()) > 5
