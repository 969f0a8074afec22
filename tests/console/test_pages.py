"""Every page at three widths, light and dark: a picture of it, no grave fault by axe-core, no scrolling sideways."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from shared import clock
from tests.acceptance.stack import Account, chat
from tests.console import axe, pages
from tests.console.pages import ConsolePage
from tests.console.visitor import WIDTHS, Visitor
from tests.console.world import World

#: Where the pictures are; git does not see it.
PICTURES = Path(__file__).parents[2] / ".screenshots"
SCHEMES = ("light", "dark")
#: Keeps what is written upon canvases.
NOTE_TEXTS = """() => {
    const write = CanvasRenderingContext2D.prototype.fillText;
    window.written = [];
    CanvasRenderingContext2D.prototype.fillText = function (text, ...where) {
        window.written.push(text);
        return write.call(this, text, ...where);
    };
}"""


def test_every_page_is_looked_at() -> None:
    assert pages.modules_without() == []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("row", pages.PAGES, ids=lambda row: row.name)
def test_a_page_is_whole(row: ConsolePage, width: int, world: World, visit: Callable[..., Visitor]) -> None:
    shop = world.customers["shop"]
    visitor = visit(shop.live_key, operator=row.operator, width=width)
    page = visitor.open(row.url(shop.ids))
    expect(page.locator("h1")).to_have_count(1)
    _look(visitor, row.name, width)


@pytest.mark.parametrize("width", WIDTHS)
def test_signing_in_is_whole(width: int, visit: Callable[..., Visitor]) -> None:
    visitor = visit(width=width)
    visitor.open("/console/sign-in")
    _look(visitor, "sign-in", width)


@pytest.mark.parametrize("row", pages.CUSTOMERS, ids=lambda row: row.name)
def test_a_page_of_a_new_account_says_what_to_do(row: ConsolePage, world: World, visit: Callable[..., Visitor]) -> None:
    if "{" in row.path:
        return
    account = world.account()
    account.close()
    visitor = visit(account.live_key, width=360)
    visitor.open(row.path)
    _look(visitor, f"{row.name}-empty", 360)


def test_what_is_not_there_is_a_page_too(world: World, visit: Callable[..., Visitor]) -> None:
    visitor = visit(world.customers["shop"].live_key)
    visitor.watch.expect("status of 404")
    visitor.open("/console/jobs/job_nobodys")
    expect(visitor.page.get_by_role("heading", level=1)).to_have_text("Not found")
    _look(visitor, "not-found", 1440)


def _look(visitor: Visitor, name: str, width: int) -> None:
    faults = []
    for scheme in SCHEMES:
        visitor.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        picture(visitor.page, f"{name}-{width}-{scheme}")
        faults += [f"{scheme}: {fault}" for fault in axe.faults(visitor.page)]
    assert faults == []
    assert visitor.overflow() == []


def picture(page: Page, name: str) -> None:
    """Take a picture of the whole page."""
    PICTURES.mkdir(exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}.png", full_page=True)


def test_a_chart_of_days_names_today(account: Account, visit: Callable[..., Visitor]) -> None:
    account.run(chat("charged"))
    visitor = visit(account.live_key)
    visitor.page.add_init_script(f"({NOTE_TEXTS})()")
    visitor.page.goto("/console")
    expect(visitor.page.locator("figure.chart canvas").first).to_be_visible()
    today = clock.utc(clock.now_micros())
    assert f"{today:%b} {today.day}" in visitor.page.evaluate("window.written")
