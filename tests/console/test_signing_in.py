"""Signing in and out by the form: with a good key, with a bad one, and what is left when the visitor has gone."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.acceptance.stack import Account
from tests.console import pages
from tests.console.visitor import Visitor
from tests.console.world import World


def sign_in(visitor: Visitor, key: str) -> None:
    """Fill in the form and send it."""
    visitor.page.get_by_label("API key").fill(key)
    visitor.page.get_by_role("button", name="Sign in").click()


def test_a_browser_is_led_to_the_form_and_on_to_what_it_asked_for(
    account: Account, visit: Callable[..., Visitor]
) -> None:
    visitor = visit()
    visitor.open("/")
    assert visitor.page.url.endswith("/console/sign-in")
    visitor.open("/console/jobs?status=failed")
    sign_in(visitor, account.live_key)
    visitor.heading("Jobs")
    assert visitor.page.url.endswith("/console/jobs?status=failed")


def test_a_bad_key_is_refused_and_says_so(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    visitor.watch.expect("status of 401")
    visitor.open("/console/sign-in")
    sign_in(visitor, "fusionai_live_of-nobody")
    expect(visitor.page.get_by_role("alert")).to_contain_text("invalid API key")
    assert visitor.context.cookies() == []
    assert "of-nobody" not in visitor.page.content()


@pytest.mark.parametrize(
    "target", ["https://other.example/", "//other.example/", "/\\other.example", "/console//other.example"]
)
def test_after_signing_in_nobody_is_led_elsewhere(target: str, account: Account, visit: Callable[..., Visitor]) -> None:
    visitor = visit(account.live_key)
    cookies = visitor.context.cookies()
    visitor.context.clear_cookies()
    visitor.page.goto(f"/console/sign-in?next={target}")
    assert visitor.page.locator("[name=next]").first.input_value() == "/console"
    visitor.context.add_cookies(cookies)  # type: ignore[arg-type]


def test_the_session_is_new_and_no_script_can_read_it(account: Account, visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    planted = {"name": "fusionai_session", "value": "planted" * 6, "domain": "127.0.0.1", "path": "/console"}
    visitor.context.add_cookies([planted])  # type: ignore[list-item]
    visitor.open("/console/sign-in")
    sign_in(visitor, account.live_key)
    visitor.heading("Overview")
    (cookie,) = [one for one in visitor.context.cookies() if one["name"] == "fusionai_session"]
    assert cookie["value"] != planted["value"] and len(cookie["value"]) >= 43
    assert cookie["httpOnly"] and cookie["sameSite"] == "Strict" and cookie["path"] == "/console"
    assert visitor.page.evaluate("document.cookie") == ""


def test_after_signing_out_nothing_is_shown_nor_by_going_back(account: Account, visit: Callable[..., Visitor]) -> None:
    job = account.run(
        {
            "type": "chat.completion",
            "model": "gpt-4",
            "max_tokens": 9,
            "messages": [{"role": "user", "content": "a secret of ours"}],
        }
    )
    visitor = visit(account.live_key)
    (cookie,) = visitor.context.cookies()
    visitor.open("/console/jobs")
    expect(visitor.page.get_by_role("main")).to_contain_text(job["id"][-6:])
    visitor.page.get_by_role("button", name="Sign out").click()
    visitor.heading("Sign in")
    visitor.page.go_back()
    visitor.heading("Sign in")
    assert job["id"][-6:] not in visitor.page.content()
    visitor.context.add_cookies([cookie])  # type: ignore[list-item]
    visitor.open("/console/jobs")
    visitor.heading("Sign in")


def test_a_revoked_key_ends_its_sessions(account: Account, world: World, visit: Callable[..., Visitor]) -> None:
    visitor = visit(account.live_key)
    visitor.open("/console")
    visitor.heading("Overview")
    world.write(
        lambda connection: connection.exec_driver_sql(
            "UPDATE api_keys SET revoked_at = 1 WHERE account_id = ?", (account.id,)
        )
    )
    visitor.open("/console/jobs")
    visitor.heading("Sign in")


@pytest.mark.parametrize("row", pages.PAGES, ids=lambda row: row.name)
def test_no_page_is_shown_to_a_stranger(row: pages.ConsolePage, world: World, visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    visitor.open(row.url(world.customers["shop"].ids))
    visitor.heading("Sign in")


def test_the_key_is_in_no_page_nor_kept_by_the_browser(world: World, visit: Callable[..., Visitor]) -> None:
    shop = world.customers["shop"]
    visitor = visit()
    visitor.open("/console/sign-in")
    sign_in(visitor, shop.live_key)
    visitor.heading("Overview")
    for row in pages.CUSTOMERS:
        visitor.open(row.url(shop.ids))
        kept = visitor.page.evaluate(
            "JSON.stringify([location.href, {...localStorage}, {...sessionStorage}, history.state])"
        )
        shown = [visitor.page.content(), kept, *visitor.watch.said, *(one.url for one in visitor.watch.requests)]
        for key in (shop.live_key, shop.test_key):
            assert not [text for text in shown if key in text], row.name
