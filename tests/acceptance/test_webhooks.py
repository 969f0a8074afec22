"""Webhooks over real HTTP: registered, delivered to a real receiver, signed both ways, retried, rotated, disabled."""

import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any

import pytest
from standardwebhooks import Webhook

from shared import clock
from shared.webhooks import signing
from tests.acceptance.route_table import LINE
from tests.acceptance.stack import Account, Stack, chat, embedding
from tests.conditions import await_condition
from tests.receiver import Answer, Delivery, Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver of webhooks."""
    with Receiver() as running:
        yield running


def register(account: Account, receiver: Receiver, **more: Any) -> dict[str, Any]:
    answer = account.live.post("/webhooks", json={"url": receiver.url, **more})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def verified(delivery: Delivery, secret: str) -> dict[str, Any]:
    """The event, after an independent library and a hand-made check of the native signature have agreed to it."""
    Webhook(secret).verify(delivery.body, dict(delivery.headers))
    parts = [part.partition("=") for part in delivery.headers["fusionai-signature"].split(",")]
    stamp = next(value for name, _, value in parts if name == "t")
    wanted = hmac.new(secret.encode(), f"{stamp}.".encode() + delivery.body, hashlib.sha256).hexdigest()
    assert wanted in [value for name, _, value in parts if name == "v1"]
    assert abs(int(stamp) - clock.now_seconds()) < 60
    event = dict(json.loads(delivery.body))
    assert event["id"] == delivery.headers["webhook-id"] and delivery.headers["content-type"] == "application/json"
    return event


def test_a_finished_job_is_told_signed_both_ways(account: Account, receiver: Receiver) -> None:
    webhook = register(account, receiver)
    assert webhook["object"] == "webhook" and webhook["secret"].startswith("whsec_") and webhook["events"] == ["*"]
    job = account.run(chat())
    (delivery,) = receiver.wait_for(lambda seen: len(seen) == 1)
    event = verified(delivery, webhook["secret"])
    assert set(event) == {"id", "object", "type", "created_at", "sequence", "data"} and delivery.method == "POST"
    assert event["type"] == "job.completed" and event["data"]["job"]["id"] == job["id"]
    assert event == account.live.get("/events").json()["data"][0]
    assert (
        signing.headers(event["id"], delivery.body, int(delivery.headers["webhook-timestamp"]), [webhook["secret"]])[
            "webhook-signature"
        ]
        == delivery.headers["webhook-signature"]
    )


def test_only_what_was_subscribed_to_comes(account: Account, receiver: Receiver, stack: Stack) -> None:
    register(account, receiver, events=["job.failed"])
    account.run(chat("fine"))
    with stack.script({"contains": "wrong", "fault": {"status": 400}}):
        account.run(chat("wrong"))
    (delivery,) = receiver.wait_for(lambda seen: len(seen) == 1)
    assert json.loads(delivery.body)["type"] == "job.failed"


def test_a_secret_is_shown_once(account: Account, receiver: Receiver) -> None:
    webhook = register(account, receiver)
    secret = webhook.pop("secret")
    assert account.live.get(f"/webhooks/{webhook['id']}").json() == webhook
    assert account.live.get("/webhooks").json()["data"] == [webhook]
    assert secret not in account.live.get("/webhooks").text


def test_a_description_is_kept_shown_and_changed(account: Account, receiver: Receiver) -> None:
    webhook = register(account, receiver, description="Rechnungen für alle")
    path = f"/webhooks/{webhook['id']}"
    assert webhook["description"] == account.live.get(path).json()["description"] == "Rechnungen für alle"
    assert account.live.patch(path, json={"events": ["job.failed"]}).json()["description"] == webhook["description"]
    assert account.live.patch(path, json={"description": "refunds"}).json()["description"] == "refunds"
    assert account.live.get("/webhooks").json()["data"][0]["description"] == "refunds"
    for nothing in (None, ""):
        account.live.patch(path, json={"description": "for a moment"})
        assert account.live.patch(path, json={"description": nothing}).json()["description"] is None
    assert register(account, receiver)["description"] is None
    assert account.live.patch(path, json={"description": "x" * 501}).status_code == 400


def test_registering_is_idempotent(account: Account, receiver: Receiver) -> None:
    headers = {"Idempotency-Key": "hook-1"}
    first = account.live.post("/webhooks", json={"url": receiver.url}, headers=headers)
    again = account.live.post("/webhooks", json={"url": receiver.url}, headers=headers)
    assert again.content == first.content and again.headers["idempotent-replayed"] == "true"
    other = account.live.post("/webhooks", json={"url": receiver.url + "/b"}, headers=headers)
    assert other.status_code == 422 and len(account.live.get("/webhooks").json()["data"]) == 1


def test_a_rotated_secret_signs_beside_the_old_one(account: Account, receiver: Receiver) -> None:
    webhook = register(account, receiver)
    fresh = account.live.post(f"/webhooks/{webhook['id']}/rotate").json()
    assert fresh["secret"] != webhook["secret"]
    account.live.post(f"/webhooks/{webhook['id']}/test")
    (delivery,) = receiver.wait_for(lambda seen: len(seen) == 1)
    assert verified(delivery, webhook["secret"]) == verified(delivery, fresh["secret"])


def test_a_test_event_goes_to_its_webhook_alone(account: Account, receiver: Receiver) -> None:
    one, other = register(account, receiver, events=["job.failed"]), register(account, receiver)
    answer = account.live.post(f"/webhooks/{one['id']}/test")
    assert answer.status_code == 200 and answer.json()["id"] == one["id"]
    (delivery,) = receiver.wait_for(lambda seen: len(seen) == 1)
    event = verified(delivery, one["secret"])
    assert event["type"] == "webhook.test" and event["data"]["webhook"]["id"] == one["id"]
    assert account.live.get(f"/webhooks/{other['id']}/deliveries").json()["data"] == []


def test_a_failing_receiver_is_tried_again_with_the_same_id(account: Account, receiver: Receiver) -> None:
    answers = iter([Answer(500), Answer(302, headers={"location": receiver.url}), Answer(close=True)])
    receiver.answer = lambda delivery: next(answers, Answer())
    webhook = register(account, receiver)
    account.live.post(f"/webhooks/{webhook['id']}/test")
    with_redirects = receiver.wait_for(lambda seen: len(seen) >= 2, timeout=15)
    assert len({delivery.headers["webhook-id"] for delivery in with_redirects}) == 1
    seen = await_condition(
        lambda: _delivery(account, webhook["id"])["attempts"] >= 2 and _delivery(account, webhook["id"])
    )
    assert seen["last_status_code"] in (500, 302) and seen["status"] == "pending" and seen["next_attempt_at"]
    for delivery in receiver.deliveries:
        verified(delivery, webhook["secret"])


def _delivery(account: Account, webhook: str) -> dict[str, Any]:
    rows = account.live.get(f"/webhooks/{webhook}/deliveries").json()["data"]
    return dict(rows[0]) if rows else {"attempts": 0}


def test_a_delivery_is_recorded(account: Account, receiver: Receiver) -> None:
    webhook = register(account, receiver)
    account.run(embedding())
    await_condition(lambda: _delivery(account, webhook["id"]).get("status") == "delivered")
    row = _delivery(account, webhook["id"])
    assert (row["object"], row["attempts"], row["last_status_code"]) == ("webhook.delivery", 1, 200)
    assert row["last_error"] is None and row["delivered_at"] and row["next_attempt_at"] is None


def test_410_disables_the_webhook_and_says_so(account: Account, receiver: Receiver) -> None:
    receiver.answer = Answer(410)
    webhook = register(account, receiver)
    account.live.post(f"/webhooks/{webhook['id']}/test")
    await_condition(lambda: account.live.get(f"/webhooks/{webhook['id']}").json()["status"] == "disabled")
    assert [e["type"] for e in account.live.get("/events").json()["data"]] == ["webhook.test", "webhook.disabled"]
    account.run(embedding())
    assert len(receiver.deliveries) == 1


def test_a_deleted_webhook_is_gone(account: Account, receiver: Receiver) -> None:
    webhook = register(account, receiver)
    answer = account.live.delete(f"/webhooks/{webhook['id']}")
    assert answer.json() == {"id": webhook["id"], "object": "webhook", "deleted": True}
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/rotate"), ("POST", "/test"), ("GET", "/deliveries")):
        assert account.live.request(method, f"/webhooks/{webhook['id']}{path}").status_code == 404
    account.run(embedding())
    assert account.live.get("/webhooks").json()["data"] == [] and receiver.deliveries == []


def test_an_event_is_delivered_again_when_asked(account: Account, receiver: Receiver) -> None:
    webhook = register(account, receiver)
    account.run(embedding())
    receiver.wait_for(lambda seen: len(seen) == 1)
    await_condition(lambda: _delivery(account, webhook["id"]).get("status") == "delivered")
    event = account.live.get("/events").json()["data"][0]
    assert account.live.post(f"/events/{event['id']}/redeliver").json() == event
    one, again = receiver.wait_for(lambda seen: len(seen) == 2)
    assert one.body == again.body and verified(again, webhook["secret"]) == event


def test_unknown_events_and_too_many_webhooks(account: Account, receiver: Receiver) -> None:
    bad = account.live.post("/webhooks", json={"url": receiver.url, "events": ["job.done"]})
    assert bad.status_code == 400 and bad.json()["error"]["param"] == "events"
    for _ in range(20):
        register(account, receiver)
    assert account.live.post("/webhooks", json={"url": receiver.url}).status_code == 409


def test_with_a_key_a_test_and_a_redelivery_are_sent_once(account: Account, receiver: Receiver) -> None:
    webhook = register(account, receiver)
    path = f"/webhooks/{webhook['id']}/test"
    first, again = (account.live.post(path, headers={"Idempotency-Key": "t"}) for _ in range(2))
    assert first.status_code == 200 and again.content == first.content
    assert again.headers["idempotent-replayed"] == "true" and "idempotent-replayed" not in first.headers
    (delivery,) = receiver.wait_for(lambda seen: len(seen) == 1)
    path = f"/events/{json.loads(delivery.body)['id']}/redeliver"
    first, again = (account.live.post(path, headers={"Idempotency-Key": "r"}) for _ in range(2))
    assert first.status_code == 200 and again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"
    assert len(account.live.get("/events").json()["data"]) == 1
    assert len(receiver.wait_for(lambda seen: len(seen) >= 2)) == 2


def test_every_attempt_of_an_event_verifies(account: Account, receiver: Receiver) -> None:
    """The first three calls fail; the secret is rotated between two of them; at last it is redelivered."""
    answers: dict[int, Answer] = {}
    receiver.answer = lambda _: answers.get(len(receiver.deliveries), Answer(500))
    first = register(account, receiver, events=["job.completed"])
    line = {**LINE, "custom_id": "🎉 & é\u2028 <ü>"}
    account.live.post("/batches", json={"requests": [line], "notify_each": True})
    receiver.wait_for(lambda seen: len(seen) >= 1, timeout=30)
    fresh = account.live.post(f"/webhooks/{first['id']}/rotate").json()
    answers.update(dict.fromkeys(range(4, 10), Answer()))
    receiver.wait_for(lambda seen: len(seen) >= 4, timeout=60)
    await_condition(lambda: _delivery(account, first["id"]).get("status") == "delivered")
    (event,) = [one for one in account.live.get("/events").json()["data"] if one["type"] == "job.completed"]
    assert account.live.post(f"/events/{event['id']}/redeliver").json() == event
    calls = receiver.wait_for(lambda seen: len(seen) >= 5, timeout=30)
    assert len({call.body for call in calls}) == 1 and {call.headers["webhook-id"] for call in calls} == {event["id"]}
    for number, call in enumerate(calls):
        assert verified(call, first["secret"]) == event and event["data"]["job"]["custom_id"] == line["custom_id"]
        assert abs(int(call.headers["webhook-timestamp"]) - call.at) < 5, "signed anew"
        if number >= 3:
            verified(call, fresh["secret"])
