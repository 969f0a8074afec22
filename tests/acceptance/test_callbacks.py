"""Callbacks over real HTTP: every native door takes a `callback_url`, and its receiver verifies what comes."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests import contract
from tests.acceptance.route_table import LINE
from tests.acceptance.stack import Account, chat, embedding, image
from tests.acceptance.test_webhooks import register, verified
from tests.conditions import await_condition
from tests.receiver import Answer, Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver of callbacks."""
    with Receiver() as running:
        yield running


def bare(body: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "type"} | more


def secret_of(account: Account) -> str:
    answer = account.live.post("/webhook_secret/rotate")
    contract.check("POST", "/v1/webhook_secret/rotate", answer)
    return str(answer.json()["secret"])


def test_a_job_calls_back_and_shows_it(account: Account, receiver: Receiver) -> None:
    secret, url = secret_of(account), f"{receiver.url}?order=1815"
    answer = account.live.post("/jobs", json=chat(callback_url=url))
    contract.check("POST", "/v1/jobs", answer)
    job = answer.json()
    assert job["callback_url"] == url
    (came,) = receiver.wait_for(lambda seen: len(seen) == 1)
    event = verified(came, secret)
    assert came.path == "/hook?order=1815"
    assert (event["type"], event["data"]["job"]["id"]) == ("job.completed", job["id"])
    assert account.live.get(f"/jobs/{job['id']}").json()["callback_url"] == url

    def delivered() -> Any:
        page = account.live.get(f"/jobs/{job['id']}/deliveries")
        contract.check("GET", "/v1/jobs/{job_id}/deliveries", page)
        return [one for one in page.json()["data"] if one["status"] == "delivered"]

    (one,) = await_condition(delivered)
    assert (one["callback_url"], one["webhook_id"], one["event_id"]) == (url, None, event["id"])
    assert one["log"][0]["status_code"] == 200 and one["log"][0]["response"] == "{}"
    of_event = account.live.get(f"/events/{event['id']}/deliveries")
    contract.check("GET", "/v1/events/{event_id}/deliveries", of_event)
    assert [row["id"] for row in of_event.json()["data"]] == [one["id"]]


def test_every_native_door_takes_one(account: Account, receiver: Receiver) -> None:
    secret_of(account)
    to = {"callback_url": receiver.url}
    later = {"Prefer": "respond-async"}
    ids = [one["id"] for one in account.live.post("/jobs", json={"jobs": [chat(**to), embedding(**to)]}).json()["data"]]
    ids.append(account.live.post("/chat/completions", json=bare(chat(), **to), headers=later).json()["id"])
    for path, body in (
        ("/chat/completions", bare(chat(), **to)),
        ("/chat/completions", bare(chat(), stream=True, **to)),
        ("/embeddings", bare(embedding(), **to)),
        ("/images", bare(image(), **to)),
    ):
        answer = account.live.post(path, json=body)
        assert answer.status_code == 200, answer.text
        ids.append(answer.headers["fusionai-job-id"])
    came = receiver.wait_for(lambda seen: len(seen) >= len(ids), timeout=30)
    assert sorted(json.loads(one.body)["data"]["job"]["id"] for one in came) == sorted(ids)


def test_a_webhook_that_subscribes_it_has_it_too(account: Account, receiver: Receiver) -> None:
    webhook = register(account, receiver)
    secret = secret_of(account)
    account.live.post("/jobs", json=chat(callback_url=receiver.url + "/callback"))
    came = receiver.wait_for(lambda seen: len(seen) == 2)
    by_path = {one.path: one for one in came}
    assert len({one.headers["webhook-id"] for one in came}) == 1
    assert verified(by_path["/hook"], webhook["secret"]) == verified(by_path["/hook/callback"], secret)


def test_a_batch_calls_back(account: Account, receiver: Receiver) -> None:
    secret = secret_of(account)
    answer = account.live.post("/batches", json={"requests": [LINE], "callback_url": receiver.url})
    contract.check("POST", "/v1/batches", answer)
    (came,) = receiver.wait_for(lambda seen: len(seen) == 1, timeout=30)
    event = verified(came, secret)
    assert event["type"] == "batch.completed" and event["data"]["batch"]["id"] == answer.json()["id"]
    page = account.live.get(f"/batches/{answer.json()['id']}/deliveries")
    contract.check("GET", "/v1/batches/{id}/deliveries", page)
    assert [one["callback_url"] for one in page.json()["data"]] == [receiver.url]


def test_a_test_keys_callback_has_a_secret_of_its_own(account: Account, receiver: Receiver) -> None:
    live, test = secret_of(account), account.test.post("/webhook_secret/rotate").json()["secret"]
    account.test.post("/jobs", json=chat(callback_url=receiver.url))
    (came,) = receiver.wait_for(lambda seen: len(seen) == 1)
    assert verified(came, test)["test"] is True
    with pytest.raises(Exception, match=r"[Nn]o matching signature"):
        Webhook(live).verify(came.body, dict(came.headers))
    assert account.live.get("/webhook_secret").json()["id"] != account.test.get("/webhook_secret").json()["id"]


def test_a_rotation_rejects_none(account: Account, receiver: Receiver) -> None:
    receiver.answer = lambda _: Answer(500 if len(receiver.deliveries) < 2 else 200)
    old = secret_of(account)
    account.live.post("/jobs", json=chat(callback_url=receiver.url))
    receiver.wait_for(lambda seen: len(seen) == 1)
    fresh = secret_of(account)
    (first, second) = receiver.wait_for(lambda seen: len(seen) == 2)[:2]
    assert verified(first, old) == verified(second, old) == verified(second, fresh)
    assert account.live.get("/webhook_secret").json()["valid"] >= 2


def test_a_rotation_is_idempotent(account: Account) -> None:
    headers = {"Idempotency-Key": "rotate-1"}
    first, again = (account.live.post("/webhook_secret/rotate", headers=headers) for _ in range(2))
    assert first.json() == again.json() and again.headers["idempotent-replayed"] == "true"


WRONG = [
    ("https://10.0.0.1/x", "private use"),
    ("http://metadata.google.internal/", "cloud metadata"),
    ("ftp://user.example/", "must begin with https://"),
    ("https://a:b@user.example/", "user name or password"),
    (7, "must be a string"),
]


@pytest.mark.parametrize(("url", "said"), WRONG)
def test_it_is_checked_as_a_webhooks(account: Account, url: Any, said: str) -> None:
    for path, body, param in (
        ("/jobs", chat(callback_url=url), "callback_url"),
        ("/jobs", {"jobs": [chat(), chat(callback_url=url)]}, "jobs[1].callback_url"),
        ("/chat/completions", bare(chat(), callback_url=url), "callback_url"),
        ("/batches", {"requests": [LINE], "callback_url": url}, "callback_url"),
    ):
        answer = account.live.post(path, json=body)
        assert answer.status_code == 400, answer.text
        error = answer.json()["error"]
        assert error["param"] == param and ("string" in error["message"] or said in error["message"]), error


def test_null_is_none_and_a_line_has_none(account: Account) -> None:
    assert "callback_url" not in account.live.post("/jobs", json=chat(callback_url=None)).json()
    line = {**LINE, "body": {**LINE["body"], "callback_url": "https://user.example/"}}  # type: ignore[dict-item]
    batch = account.live.post("/batches", json={"requests": [line]}).json()
    ended = await_condition(
        lambda: (b := account.live.get(f"/batches/{batch['id']}").json())["status"] == "failed" and b
    )
    assert "callback_url" in ended["errors"]["data"][0]["message"]


def test_what_a_webhook_missed_is_redelivered_in_parts(account: Account, receiver: Receiver) -> None:
    for _ in range(3):
        account.run(embedding())
    webhook = register(account, receiver)
    path = f"/webhooks/{webhook['id']}/redeliver"
    assert account.live.post(path, json={"since": 0}).json()["redelivered"] == 0, "nothing has failed"
    answer = account.live.post(path, json={"since": 0, "status": "missing"})
    contract.check("POST", "/v1/webhooks/{id}/redeliver", answer)
    seen = answer.json()
    assert (seen["redelivered"], seen["has_more"]) == (3, False)
    came = receiver.wait_for(lambda seen: len(seen) == 3)
    assert sorted(json.loads(one.body)["sequence"] for one in came) == [1, 2, 3]
    assert account.live.post(path, json={"since": 0, "status": "missing"}).json()["redelivered"] == 0
    await_condition(lambda: _statuses(account, webhook["id"]) == ["delivered"] * 3)
    assert account.live.post(path, json={"since": 0, "status": "all"}).json()["redelivered"] == 3
    receiver.wait_for(lambda seen: len(seen) == 6)
    account.live.patch(f"/webhooks/{webhook['id']}", json={"status": "disabled"})
    refused = account.live.post(path, json={"since": 0, "status": "all"})
    assert refused.status_code == 409 and "enable it first" in refused.text
    for wrong in ({}, {"since": -1}, {"since": 0, "status": "pending"}, {"since": 0, "after": "evt_x"}):
        answer = account.live.post(path, json=wrong)
        assert answer.status_code in (400, 409), answer.text


def _statuses(account: Account, id: str) -> list[str]:
    return [one["status"] for one in account.live.get(f"/webhooks/{id}/deliveries").json()["data"]]
