"""A batch made at the console: a file dropped, checked, sent, watched, downloaded, its failures retried."""

import json
import re
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, expect

from tests.acceptance.stack import Account
from tests.console.filling import HELD, REFUSED, SLOW, descriptions, line, submit_batch
from tests.console.visitor import Visitor

#: Makes a file of a text and drops it where the page takes files, as a hand would.
_DROP = """([text, name]) => {
    const dropped = new DataTransfer();
    dropped.items.add(new File([text], name, {type: "application/jsonl"}));
    const place = document.querySelector("[data-drop]");
    for (const type of ["dragenter", "dragover", "drop"])
        place.dispatchEvent(new DragEvent(type, {dataTransfer: dropped, bubbles: true, cancelable: true}));
}"""


def drop(page: Page, lines: list[Any], name: str = "catalogue.jsonl") -> None:
    """Drop a file of lines; what is a text already stays as it is."""
    texts = [one if isinstance(one, str) else json.dumps(one) for one in lines]
    page.evaluate(_DROP, ["\n".join(texts), name])


def test_a_dropped_file_becomes_a_batch_that_is_watched_downloaded_and_retried(
    account: Account, visit: Callable[..., Visitor]
) -> None:
    visitor = visit(account.live_key)
    page = visitor.open("/console/new?type=batch")
    lines = [
        line(0, "Describe a vase."),
        line(1, f"Describe a {SLOW} bowl."),
        line(2, f"Describe {REFUSED} shoes of {account.id}."),
    ]
    drop(page, lines)
    expect(page.get_by_role("status").filter(has_text="3 lines are valid")).to_be_visible()
    expect(page.get_by_role("main")).to_contain_text("catalogue.jsonl")
    page.get_by_role("button", name="Send 3 lines").click()
    visitor.heading("Batch")
    page.evaluate("window.same = true")
    expect(page.locator("#batch")).to_contain_text("in progress")
    expect(page.locator("#batch")).to_contain_text("3 of 3 lines have ended", timeout=60_000)
    expect(page.locator("h1")).to_contain_text("completed")
    assert page.evaluate("window.same") is True, "the page was loaded anew"
    expect(page.locator("#failures")).to_contain_text("refused")

    with page.expect_download() as download:
        page.get_by_role("link", name="Download output").click()
    rows = [json.loads(row) for row in download.value.path().read_text().splitlines()]
    assert [row["custom_id"] for row in rows] == ["sku-4100", "sku-4101"]
    with page.expect_download() as download:
        page.get_by_role("link", name="Download errors").click()
    (row,) = [json.loads(row) for row in download.value.path().read_text().splitlines()]
    assert row["custom_id"] == "sku-4102"

    page.get_by_role("link", name="Retry failed lines").click()
    page.get_by_role("main").get_by_role("button", name="Retry").first.click()
    visitor.heading("Batch")
    expect(page.locator("#batch")).to_contain_text("1 of 1 line has ended", timeout=60_000)
    expect(page.locator("h1")).to_contain_text("completed")
    expect(page.locator("#failures")).to_have_count(0)
    newest = account.live.get("/batches").json()["data"][0]
    assert newest["retry_of"] and newest["request_counts"] == {"total": 1, "completed": 1, "failed": 0}


def test_a_file_that_is_wrong_is_refused_line_by_line(account: Account, visit: Callable[..., Visitor]) -> None:
    visitor = visit(account.live_key)
    visitor.watch.expect("status of 4..")
    page = visitor.open("/console/new?type=batch")
    twice = line(0, "Describe a vase.")
    drop(page, [twice, "{not json", twice, line(3, "x", model="no-such-model")])
    expect(page.get_by_role("alert").filter(has_text="cannot be sent")).to_be_visible()
    faults = page.locator("#faults")
    for number in ("2", "3", "4"):
        expect(faults.get_by_role("row").filter(has=page.get_by_role("cell", name=number, exact=True))).to_be_visible()
    assert account.live.get("/batches").json()["data"] == []


def test_a_batch_is_cancelled(account: Account, visit: Callable[..., Visitor]) -> None:
    id = submit_batch(account, descriptions(2, word=f"that {HELD}"))
    visitor = visit(account.live_key)
    page = visitor.open(f"/console/batches/{id}")
    page.get_by_role("button", name="Cancel batch").click()
    expect(page.locator("h1")).to_contain_text("cancel")
    assert len(visitor.watch.questions) == 1
    expect(page.locator("h1")).to_contain_text("cancelled", timeout=60_000)


def test_a_request_is_composed_priced_and_sent(account: Account, visit: Callable[..., Visitor]) -> None:
    visitor = visit(account.live_key)
    page = visitor.open("/console/new")
    page.get_by_label("Text of message", exact=False).last.fill("Name three colours.")
    page.locator("#check-price").click()
    expect(page.get_by_role("main")).to_contain_text("curl")
    page.locator("#send").click()
    expect(page).to_have_url(re.compile("/console/jobs/job_"))
    expect(page.locator("#job")).to_contain_text("succeeded", timeout=60_000)
    expect(page.locator("#job")).to_contain_text("Name three colours.")
