"""Webhooks at the console: an event is sent again, and what failed is seen to be delivered."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.acceptance.stack import Account, chat
from tests.console.visitor import Visitor
from tests.receiver import Answer, Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver of webhooks."""
    with Receiver() as running:
        yield running


def made(account: Account, receiver: Receiver, **more: Any) -> dict[str, Any]:
    """A webhook to the receiver, by the API."""
    answer = account.live.post("/webhooks", json={"url": receiver.url, **more})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_an_event_is_sent_again(account: Account, receiver: Receiver, visit: Callable[..., Visitor]) -> None:
    webhook = made(account, receiver, events=["job.completed"])
    account.run(chat("hello"))
    receiver.wait_for(lambda seen: len(seen) == 1)
    visitor = visit(account.live_key)
    page = visitor.open(f"/console/webhooks/{webhook['id']}")
    row = page.get_by_role("row").filter(has_text="job.completed")
    expect(row).to_contain_text("delivered")
    row.get_by_role("button", name="Send again").click()
    first, second = receiver.wait_for(lambda seen: len(seen) == 2, timeout=30)
    assert first.headers["webhook-id"] == second.headers["webhook-id"] and first.body == second.body


def test_what_failed_is_seen_to_be_delivered(
    account: Account, receiver: Receiver, visit: Callable[..., Visitor]
) -> None:
    receiver.answer = Answer(503, body=b"come back later")
    webhook = made(account, receiver, events=["job.completed"])
    account.run(chat("hello"))
    receiver.wait_for(lambda seen: len(seen) >= 1)
    visitor = visit(account.live_key)
    page = visitor.open(f"/console/webhooks/{webhook['id']}")
    expect(page.locator("#deliveries")).to_contain_text("come back later")
    page.evaluate("window.same = true")
    receiver.answer = Answer()
    expect(page.locator("#deliveries")).to_contain_text("delivered", timeout=60_000)
    assert page.evaluate("window.same") is True
