"""Events of responses in the background, received over real HTTP and unwrapped by the official SDK."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from openai import InvalidWebhookSignatureError, OpenAI
from openai.types import webhooks

from tests.acceptance.stack import Account
from tests.acceptance.test_responses import LONG, client
from tests.acceptance.test_webhooks import receiver, register  # noqa: F401
from tests.receiver import Delivery, Receiver

ALL = ["response.completed", "response.incomplete", "response.failed", "response.cancelled"]


def unwrapped(sdk: OpenAI, deliveries: Sequence[Delivery], secret: str) -> list[Any]:
    """Each event, as the SDK has verified and read it."""
    return [sdk.webhooks.unwrap(one.body, dict(one.headers), secret=secret) for one in deliveries]


def count(number: int) -> Callable[[Sequence[Delivery]], bool]:
    return lambda seen: len(seen) == number


def test_each_end_of_a_background_response_is_told(account: Account, receiver: Receiver) -> None:  # noqa: F811
    secret = register(account, receiver, events=ALL)["secret"]
    ask: dict[str, Any] = {"model": "gpt-4", "background": True}
    script = [
        {"contains": "refuse me", "fault": {"status": 400, "message": "no"}},
        {"contains": "held up", "fault": {"latency_seconds": 30}},
    ]
    with client(account) as sdk, account.stack.script(*script):
        made = {text: sdk.responses.create(input=text, **ask).id for text in ("fine", "refuse me")}
        made["be cut"] = sdk.responses.create(input=LONG, max_output_tokens=3, **ask).id
        receiver.wait_for(count(3))
        made["held up"] = sdk.responses.create(input="held up", **ask).id
        assert sdk.responses.cancel(made["held up"]).status == "cancelled"
        sdk.responses.create(model="gpt-4", input="in the foreground")
        events = unwrapped(sdk, receiver.wait_for(count(4)), secret)
        with pytest.raises(InvalidWebhookSignatureError):
            unwrapped(sdk, receiver.deliveries[:1], "whsec_" + "A" * 32)
        assert {sdk.responses.retrieve(event.data.id).status for event in events} == {kind[9:] for kind in ALL}
    assert {event.data.id: type(event) for event in events} == {
        made["fine"]: webhooks.ResponseCompletedWebhookEvent,
        made["be cut"]: webhooks.ResponseIncompleteWebhookEvent,
        made["refuse me"]: webhooks.ResponseFailedWebhookEvent,
        made["held up"]: webhooks.ResponseCancelledWebhookEvent,
    }
    for delivery, event in zip(receiver.deliveries, events, strict=True):
        raw = json.loads(delivery.body)
        assert set(raw) == {"id", "object", "type", "created_at", "sequence", "data"} and set(raw["data"]) == {"id"}
        assert raw["object"] == "event" and event.id == delivery.headers["webhook-id"]
    listed = account.live.get("/events", params={"limit": 100}).json()["data"]
    assert sum(event["type"].startswith("response.") for event in listed) == 4
    assert sum(event["type"].startswith("job.") for event in listed) == 5
    assert account.stack.violations() == []


def test_a_test_keys_response_is_told_to_its_own_webhooks(account: Account, receiver: Receiver) -> None:  # noqa: F811
    register(account, receiver, events=["response.completed"])
    secret = account.test.post("/webhooks", json={"url": receiver.url, "events": ["*"]}).json()["secret"]
    with client(account, account.test_key) as sdk:
        made = sdk.responses.create(model="gpt-4", input="Hi", background=True)
        events = unwrapped(sdk, receiver.wait_for(count(2)), secret)
    assert {event.type for event in events} == {"job.completed", "response.completed"}
    assert {event.data.id for event in events if event.type == "response.completed"} == {made.id}
    assert all(json.loads(delivery.body)["test"] is True for delivery in receiver.deliveries)
