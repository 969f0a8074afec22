"""New work at the console: without scripts, sent twice, with a hostile name, refused; and which lines a retry takes."""

import json
from collections.abc import Callable
from typing import Any

from playwright.sync_api import FilePayload, expect

from tests.acceptance.stack import Account
from tests.console.filling import REFUSED, descriptions, ended, line, submit_batch
from tests.console.hostile import NAME
from tests.console.visitor import Visitor

#: Sends a form twice at the same time, as an impatient hand does; where each led.
_TWICE = """async (id) => {
    const form = document.getElementById(id);
    const send = () => fetch(form.action, {method: "POST", body: new URLSearchParams(new FormData(form))});
    return (await Promise.all([send(), send()])).map(answer => answer.url);
}"""


def payload(lines: list[dict[str, Any]], name: str = "catalogue.jsonl") -> FilePayload:
    """A file to choose."""
    text = "\n".join(json.dumps(one) for one in lines)
    return {"name": name, "mimeType": "application/jsonl", "buffer": text.encode()}


def test_without_scripts_a_file_is_checked_and_sent(account: Account, visit: Callable[..., Visitor]) -> None:
    visitor = visit(account.live_key, java_script_enabled=False)
    page = visitor.open("/console/new?type=batch")
    page.locator("#f-file").set_input_files(payload(descriptions(3)))
    page.get_by_role("button", name="Check the file").click()
    expect(page.get_by_role("status")).to_contain_text("3 lines are valid")
    page.get_by_label("Metadata").fill("run=night")
    page.get_by_role("button", name="Send 3 lines").click()
    visitor.heading("Batch")
    (made,) = account.live.get("/batches").json()["data"]
    assert made["metadata"] == {"run": "night"} and made["completion_window"] == "24h"


def test_a_batch_and_a_job_that_are_sent_twice_are_made_once(account: Account, visit: Callable[..., Visitor]) -> None:
    visitor = visit(account.live_key)
    page = visitor.open("/console/new?type=batch")
    page.locator("#f-file").set_input_files(payload(descriptions(2)))
    page.locator("#check-file").click()
    expect(page.locator("#send")).to_be_visible()
    first, second = page.evaluate(_TWICE, "send-batch")
    assert first == second and "/console/batches/batch_" in first
    assert len(account.live.get("/batches").json()["data"]) == 1


def test_a_file_with_a_hostile_name_is_shown_as_text(account: Account, visit: Callable[..., Visitor]) -> None:
    visitor = visit(account.live_key)
    page = visitor.open("/console/new?type=batch")
    page.locator("#f-file").set_input_files(payload([line(0, NAME, metadata={"a": NAME})], f"{NAME}.jsonl"))
    page.locator("#check-file").click()
    expect(page.locator("#send")).to_be_visible()
    assert visitor.attacks() == []
    page.locator("#send").click()
    visitor.heading("Batch")
    page.locator("#download-output").wait_for()
    assert visitor.attacks() == []


def test_a_retry_takes_the_lines_that_are_chosen(account: Account, visit: Callable[..., Visitor]) -> None:
    id = submit_batch(account, [line(0, "Describe a vase."), line(1, f"Describe {REFUSED} shoes.")])
    ended(account, id)
    visitor = visit(account.live_key)
    page = visitor.open(f"/console/batches/{id}")
    page.get_by_role("link", name="Retry these").click()
    expect(page.locator("#retry-page")).to_contain_text("At most")
    assert len(account.live.get("/batches").json()["data"]) == 1, "asking for the price has made a batch"
    visitor.open(f"/console/batches/{id}/retry?reason=weather")
    expect(page.get_by_role("alert")).to_contain_text("no line of batch")
    expect(page.locator("#retry-form")).to_have_count(0)


def test_what_is_refused_is_said_at_its_field(account: Account, visit: Callable[..., Visitor]) -> None:
    visitor = visit(account.live_key)
    visitor.watch.expect("status of 400")
    page = visitor.open("/console/new")
    page.get_by_label("Text of message 2").fill("Name three colours.")
    page.get_by_label("Temperature").fill("9")
    page.locator("#check-price").click()
    expect(page.locator("#e-temperature")).to_contain_text("“Temperature”")
    expect(page.get_by_label("Text of message 2")).to_have_value("Name three colours.")
    page.get_by_role("button", name="Add a message").click()
    expect(page.get_by_label("Text of message 3")).to_be_visible()
    page.get_by_role("button", name="Remove message 1").click()
    expect(page.get_by_label("Text of message 1")).to_have_value("Name three colours.")
