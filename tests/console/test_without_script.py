"""The console without JavaScript: signing in, lists and their filters, sending, cancelling; all by links and forms."""

import json
import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.acceptance.stack import Account, chat
from tests.conditions import await_condition
from tests.console import pages
from tests.console.filling import HELD, line
from tests.console.pages import ConsolePage
from tests.console.test_signing_in import sign_in
from tests.console.visitor import Visitor
from tests.console.world import World


@pytest.mark.parametrize("row", pages.PAGES, ids=lambda row: row.name)
def test_a_page_is_there(row: ConsolePage, world: World, visit: Callable[..., Visitor]) -> None:
    shop = world.customers["shop"]
    visitor = visit(shop.live_key, operator=row.operator, java_script_enabled=False, width=360)
    visitor.open(row.url(shop.ids))
    expect(visitor.page.get_by_role("heading", level=1)).to_be_visible()
    assert all(one.resource_type != "fetch" for one in visitor.watch.requests)


def test_a_job_is_found_and_cancelled(account: Account, visit: Callable[..., Visitor]) -> None:
    account.run(chat("this one is over"))
    held = account.submit(chat(f"this one {HELD}"))["id"]
    visitor = visit(java_script_enabled=False)
    page = visitor.open("/console/sign-in")
    sign_in(visitor, account.live_key)
    visitor.heading("Overview")
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Jobs").click()
    visitor.heading("Jobs")
    page.get_by_label("Status").select_option("succeeded")
    page.get_by_role("button", name="Filter").click()
    assert "status=succeeded" in page.url
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("link", name="Clear").click()
    expect(page.locator("tbody tr")).to_have_count(2)
    page.get_by_role("link", name=re.compile(held[-8:])).click()
    page.get_by_role("button", name="Cancel").click()
    visitor.heading("chat.completion")

    def cancelled() -> bool:
        visitor.open(f"/console/jobs/{held}")
        return "cancelled" in page.get_by_role("main").inner_text()

    await_condition(cancelled, what="the end of a job whose worker hears of it")
    page.get_by_role("button", name="Sign out").click()
    visitor.heading("Sign in")


def test_a_file_is_sent(account: Account, visit: Callable[..., Visitor]) -> None:
    visitor = visit(account.live_key, java_script_enabled=False)
    page = visitor.open("/console/new?type=batch")
    content = json.dumps(line(0, "Describe a vase.")).encode()
    file = {"name": "one.jsonl", "mimeType": "application/jsonl", "buffer": content}
    page.get_by_label("Drop a JSONL file here").set_input_files(file)  # type: ignore[arg-type]
    page.get_by_role("button", name="Check the file").click()
    page.get_by_role("button", name="Send 1 line").click()
    visitor.heading("Batch")
    assert len(account.live.get("/batches").json()["data"]) == 1
