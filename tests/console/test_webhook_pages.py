"""The pages of webhooks and events: endpoints are made, changed, tested, sent to again; a secret is shown once."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from standardwebhooks import Webhook

from tests.acceptance.stack import Account, chat
from tests.console.visitor import Visitor
from tests.console.world import World
from tests.receiver import Answer, Receiver

Visit = Callable[..., Visitor]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def made(account: Account, receiver: Receiver, **more: Any) -> dict[str, Any]:
    """A webhook to the receiver, by the API."""
    answer = account.live.post("/webhooks", json={"url": receiver.url, **more})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def secret_on(page: Page, world: World) -> str:
    """The secret that the page shows."""
    secret = page.locator("pre", has_text="whsec_").first.inner_text()
    world.keep_secret(secret)
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/=]{44}", secret) and secret not in page.url
    return secret


def added(visitor: Visitor, url: str) -> tuple[Page, str]:
    """An endpoint that is made by the form: its page, and its secret."""
    page = visitor.open("/console/webhooks")
    page.locator("#add-webhook").click()
    page.get_by_label("URL").fill(url)
    page.get_by_role("button", name="Add").click()
    visitor.heading("The secret")
    secret = secret_on(page, visitor.world)
    page.get_by_role("link", name="I have copied it").click()
    visitor.heading(url)
    return page, secret


def test_an_endpoint_is_added_and_its_secret_is_shown_once(visit: Visit, account: Account, receiver: Receiver) -> None:
    visitor = visit(account.live_key)
    page, secret = added(visitor, receiver.url)
    assert "whsec_" not in page.content()
    page.get_by_role("button", name="Send a test event").click()
    expect(page.locator("#delivery-list .badge").first).to_have_text("delivered")
    (came,) = receiver.wait_for(lambda seen: len(seen) == 1)
    assert Webhook(secret).verify(came.body, dict(came.headers))["type"] == "webhook.test"
    expect(page.locator("#delivery-list").get_by_text("200").first).to_be_visible()


def test_what_is_wrong_with_an_address_is_said_beside_it(visit: Visit, account: Account) -> None:
    visitor = visit(account.live_key)
    visitor.watch.expect("400")
    page = visitor.open("/console/webhooks/new")
    page.get_by_label("URL").fill("http://metadata.google.internal/hooks")
    page.get_by_label("job.failed").check()
    page.get_by_label("All, including").uncheck()
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_label("URL")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("URL")).to_have_value("http://metadata.google.internal/hooks")
    expect(page.get_by_label("job.failed")).to_be_checked()
    assert account.live.get("/webhooks").json()["data"] == [] or len(account.live.get("/webhooks").json()["data"]) == 1


def test_it_is_changed_disabled_and_deleted(visit: Visit, account: Account, receiver: Receiver) -> None:
    visitor = visit(account.live_key)
    page, _ = added(visitor, receiver.url)
    page.locator("#edit").click()
    page.get_by_label("Description").fill("Order system")
    page.get_by_label("All, including").uncheck()
    page.get_by_label("job.completed").check()
    page.get_by_role("button", name="Save").click()
    visitor.heading(receiver.url)
    expect(page.get_by_text("Order system")).to_be_visible()
    page.get_by_role("button", name="Disable").click()
    expect(page.locator("h1 .badge")).to_have_text("disabled")
    page.get_by_role("button", name="Enable").click()
    expect(page.locator("h1 .badge")).to_have_text("enabled")
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete").click()
    visitor.heading("Webhooks")
    assert receiver.url not in [one["url"] for one in account.live.get("/webhooks").json()["data"]]


def test_what_failed_is_sent_again(visit: Visit, account: Account, receiver: Receiver) -> None:
    receiver.answer = Answer(410, body=b"moved away")
    visitor = visit(account.live_key)
    page, _ = added(visitor, receiver.url)
    page.get_by_role("button", name="Send a test event").click()
    expect(page.locator("#delivery-list .badge").first).to_have_text("failed")
    expect(page.locator("#delivery-list").get_by_text("moved away")).to_be_visible()
    receiver.answer = Answer()
    page.reload()
    page.get_by_role("button", name="Enable").click()
    page.get_by_label("What").select_option("failed")
    page.locator("aside").get_by_role("button", name="Send again").click()
    expect(page.locator(".notice")).to_contain_text("1 delivery is sent again.")
    expect(page.locator("#delivery-list .badge").first).to_have_text("delivered")
    page.locator("#delivery-list").get_by_role("button", name="Send again").first.click()
    receiver.wait_for(lambda seen: len(seen) == 3)


def test_the_secret_is_rotated_and_a_leaked_one_ended(visit: Visit, account: Account, receiver: Receiver) -> None:
    visitor = visit(account.live_key)
    page, first = added(visitor, receiver.url)
    page.get_by_role("button", name="Rotate").click()
    second = secret_on(page, visitor.world)
    page.get_by_role("link", name="I have copied it").click()
    page.get_by_role("button", name="Send a test event").click()
    (came,) = receiver.wait_for(lambda seen: len(seen) == 1)
    for secret in (first, second):
        Webhook(secret).verify(came.body, dict(came.headers))
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="It has leaked").click()
    third = secret_on(page, visitor.world)
    page.get_by_role("link", name="I have copied it").click()
    page.get_by_role("button", name="Send a test event").click()
    (_, came) = receiver.wait_for(lambda seen: len(seen) == 2)
    Webhook(third).verify(came.body, dict(came.headers))
    for secret in (first, second):
        with pytest.raises(Exception, match=r"[Nn]o matching signature"):
            Webhook(secret).verify(came.body, dict(came.headers))


def test_the_catalog_shows_the_body_of_each_event(visit: Visit, account: Account) -> None:
    page = visit(account.live_key).open("/console/webhooks")
    types = [one["id"] for one in account.live.get("/events/types").json()["data"]]
    assert page.locator(".catalog-row summary .mono").all_inner_texts() == types
    row = page.locator("[id='type-credit.expiring']")
    row.locator("summary").click()
    expect(row.get_by_text('"expires_at"')).to_be_visible()


def test_an_event_shows_its_body_and_every_attempt(visit: Visit, account: Account, receiver: Receiver) -> None:
    visitor = visit(account.live_key)
    page, _ = added(visitor, receiver.url)
    page.get_by_role("button", name="Send a test event").click()
    expect(page.locator("#delivery-list .badge").first).to_have_text("delivered")
    page.goto("/console/events")
    page.locator("#event-list a").first.click()
    visitor.heading("webhook.test")
    expect(page.get_by_text('"object": "event"')).to_be_visible()
    expect(page.locator(".attempts").get_by_text("200")).to_be_visible()
    page.get_by_role("button", name="Send again").click()
    receiver.wait_for(lambda seen: len(seen) == 2)


@pytest.mark.parametrize("width", [1024, 1280])
def test_deliveries_are_seen_whole(world: World, visit: Visit, width: int) -> None:
    shop = world.customers["shop"]
    page = visit(shop.live_key, width=width).open(f"/console/webhooks/{shop.ids['webhook']}")
    cut = page.locator("#deliveries .scroll").evaluate("one => one.scrollWidth - one.clientWidth")
    assert cut <= 0, f"{cut} pixels are to the right of what is seen"


def test_an_event_is_sent_again(account: Account, receiver: Receiver, visit: Visit) -> None:
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


def test_what_failed_is_seen_to_be_delivered(account: Account, receiver: Receiver, visit: Visit) -> None:
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


def test_ticking_a_type_unticks_all_and_the_other_way_round(visit: Visit, account: Account) -> None:
    page = visit(account.live_key).open("/console/webhooks/new")
    every, failed = page.get_by_label("All, including"), page.get_by_label("job.failed", exact=True)
    expect(every).to_be_checked()
    failed.check()
    expect(every).not_to_be_checked()
    every.check()
    expect(failed).not_to_be_checked()
