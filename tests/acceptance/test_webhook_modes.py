"""Webhooks and events of test keys and of live keys do not meet, and test keys see nothing of money."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from shared.db import models as m
from tests import contract
from tests.acceptance.stack import Account, Stack, embedding
from tests.acceptance.test_webhooks import verified
from tests.conditions import await_condition
from tests.receiver import Answer, Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture
def tested() -> Iterator[Receiver]:
    """Where the test webhook sends."""
    with Receiver() as running:
        yield running


def made(client: httpx.Client, receiver: Receiver, **more: Any) -> dict[str, Any]:
    answer = client.post("/webhooks", json={"url": receiver.url, **more})
    contract.check("POST", "/v1/webhooks", answer)
    assert answer.status_code == 200
    return dict(answer.json())


def ids(client: httpx.Client, path: str) -> list[str]:
    answer = client.get(path)
    assert answer.status_code == 200
    return [row["id"] for row in answer.json()["data"]]


def test_each_mode_has_its_webhooks_and_events(account: Account, receiver: Receiver, tested: Receiver) -> None:
    live, test = made(account.live, receiver), made(account.test, tested)
    for client in (account.live, account.test):
        for _ in range(2):
            client.get(f"/jobs/{client.post('/jobs', json=embedding()).json()['id']}", params={"wait": 20})
    for came, webhook, client in ((receiver, live, account.live), (tested, test, account.test)):
        sent = [verified(one, webhook["secret"]) for one in came.wait_for(lambda seen: len(seen) == 2)]
        assert [event.get("test") for event in sent] == [True if came is tested else None] * 2
        answer = client.get("/events")
        contract.check("GET", "/v1/events", answer)
        told = answer.json()["data"]
        assert sorted(told, key=lambda event: event["id"]) == sorted(sent, key=lambda event: event["id"])
        assert [event["sequence"] for event in told] == [1, 2]
        assert ids(client, "/webhooks") == [webhook["id"]]
    after = account.test.get("/events", params={"after": ids(account.live, "/events")[0]})
    assert after.status_code == 400, "an event of the other mode is none to go on from"


def test_neither_governs_the_others(account: Account, receiver: Receiver, tested: Receiver) -> None:
    live, test = made(account.live, receiver), made(account.test, tested)
    account.run(embedding())
    (event,) = ids(account.live, "/events")
    for client, id in ((account.test, live["id"]), (account.live, test["id"])):
        tries = [
            client.get(f"/webhooks/{id}"),
            client.patch(f"/webhooks/{id}", json={"url": "http://127.0.0.1:9/", "status": "disabled"}),
            client.post(f"/webhooks/{id}/rotate"),
            client.post(f"/webhooks/{id}/test"),
            client.get(f"/webhooks/{id}/deliveries"),
            client.delete(f"/webhooks/{id}"),
        ]
        assert [answer.status_code for answer in tries] == [404] * 6
        assert not any("whsec_" in answer.text for answer in tries)
    assert account.test.post(f"/events/{event}/redeliver").status_code == 404
    for client, webhook in ((account.live, live), (account.test, test)):
        kept = {name: value for name, value in webhook.items() if name != "secret"}
        assert client.get(f"/webhooks/{webhook['id']}").json() == kept


def test_a_test_of_a_test_webhook_says_that_it_is_one(account: Account, tested: Receiver) -> None:
    webhook = made(account.test, tested)
    account.test.post(f"/webhooks/{webhook['id']}/test")
    (delivery,) = tested.wait_for(lambda seen: len(seen) == 1)
    event = verified(delivery, webhook["secret"])
    assert event["type"] == "webhook.test" and event["test"] is True
    await_condition(lambda: deliveries(account.test, webhook["id"])[0]["status"] == "delivered")
    assert account.test.post(f"/events/{event['id']}/redeliver").json() == event
    assert len(tested.wait_for(lambda seen: len(seen) == 2)) == 2
    assert account.live.get("/events").json()["data"] == []


def deliveries(client: httpx.Client, webhook: str) -> list[dict[str, Any]]:
    return list(client.get(f"/webhooks/{webhook}/deliveries").json()["data"])


def test_a_test_batch_tells_test_webhooks(account: Account, receiver: Receiver, tested: Receiver) -> None:
    made(account.live, receiver)
    webhook = made(account.test, tested)
    line = {"custom_id": "é", "url": "/v1/embeddings", "body": {"model": "text-embedding-3-large", "input": "hi"}}
    account.test.post("/batches", json={"requests": [line], "notify_each": True})
    sent = [verified(one, webhook["secret"]) for one in tested.wait_for(lambda seen: len(seen) == 2, timeout=30)]
    assert {event["type"] for event in sent} == {"job.completed", "batch.completed"}
    assert all(event["test"] is True for event in sent) and receiver.deliveries == []


#: What shows or governs money.
MONEY = [
    ("GET", "/credits"),
    ("GET", "/credits/transfers"),
    ("GET", "/credits/history"),
    ("PUT", "/credits/thresholds"),
    ("GET", "/invoices"),
    ("GET", "/invoices/inv_0"),
]


@pytest.mark.parametrize(("method", "path"), MONEY)
def test_money_is_not_for_test_keys(account: Account, method: str, path: str) -> None:
    body = {"json": {"thresholds": []}} if method == "PUT" else {}
    answer = account.test.request(method, path, **body)
    contract.check(method, "/v1" + path.replace("inv_0", "{invoice_id}"), answer)
    assert answer.status_code == 403 and answer.json()["error"]["type"] == "forbidden"
    assert account.live.request(method, path, **body).status_code in (200, 404)


def test_a_test_dry_run_shows_no_live_balance(account: Account) -> None:
    line = {"custom_id": "a", "url": "/v1/embeddings", "body": {"model": "text-embedding-3-large", "input": "hi"}}
    wanted = {"requests": [line], "dry_run": True}
    answer = account.test.post("/batches", json=wanted)
    contract.check("POST", "/v1/batches", answer)
    assert answer.json()["credits_available"] is None and answer.json()["credits_worst_case"] == 0
    assert account.live.post("/batches", json=wanted).json()["credits_available"] == 10_000


@pytest.mark.parametrize("mode", ["live", "test"])
def test_asked_for_sends_are_a_few_a_minute_a_webhook(account: Account, receiver: Receiver, mode: str) -> None:
    client = getattr(account, mode)
    one, other = made(client, receiver), made(client, receiver)
    answers = [client.post(f"/webhooks/{one['id']}/test") for _ in range(14)]
    assert [answer.status_code for answer in answers] == [200] * 10 + [429] * 4
    refused = answers[-1]
    contract.check("POST", "/v1/webhooks/{id}/test", refused)
    assert refused.json()["error"]["type"] == "rate_limit_exceeded" and 1 <= int(refused.headers["retry-after"]) <= 61
    assert client.post(f"/webhooks/{other['id']}/test").status_code == 200, "another webhook has its own"
    (event, *_) = ids(client, "/events")
    assert client.post(f"/events/{event}/redeliver").status_code == 429, "it would be sent to the same webhook"
    client.get(f"/jobs/{client.post('/jobs', json=embedding()).json()['id']}", params={"wait": 20})
    receiver.wait_for(lambda seen: len(seen) == 13)
    assert len(ids(client, "/events")) == 12


def test_what_is_refused_for_pace_is_not_kept_for_its_key(account: Account, receiver: Receiver) -> None:
    webhook = made(account.live, receiver)
    answers = [
        account.live.post(f"/webhooks/{webhook['id']}/test", headers={"Idempotency-Key": f"k{n}"}) for n in range(11)
    ]
    assert answers[10].status_code == 429 and "idempotent-replayed" not in answers[10].headers


@pytest.mark.parametrize("path", ["", "/rotate"])
def test_a_kept_answer_names_its_secret_and_a_replay_shows_it(
    stack: Stack, account: Account, receiver: Receiver, path: str
) -> None:
    webhook = made(account.live, receiver)
    headers, url = {"Idempotency-Key": "s"}, f"/webhooks/{webhook['id']}/rotate" if path else "/webhooks"
    send = lambda: account.live.post(url, json=None if path else {"url": receiver.url}, headers=headers)  # noqa: E731
    first, again = send(), send()
    assert first.json()["secret"].startswith("whsec_") and again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"
    where = select(m.idempotency_keys.c.response).where(m.idempotency_keys.c.account_id == account.id)
    kept = stack.write(lambda connection: list(connection.execute(where).scalars()))
    assert len(kept) == 1 and "whsec_" not in kept[0] and json.loads(kept[0])["id"] == first.json()["id"]
    account.live.post(f"/webhooks/{first.json()['id']}/rotate")
    assert send().content == first.content, "it signs for a day, and so it can be told again"


def test_redirects_say_where_to(account: Account, receiver: Receiver) -> None:
    receiver.answer = Answer(307, headers={"Location": "/hook/"})
    webhook = made(account.live, receiver)
    account.live.post(f"/webhooks/{webhook['id']}/test")
    await_condition(lambda: (rows := deliveries(account.live, webhook["id"])) and rows[0]["status"] == "failed")
    (row,) = deliveries(account.live, webhook["id"])
    assert (row["attempts"], row["last_status_code"]) == (2, 307) and row["next_attempt_at"] is None
    assert row["last_error"] == (
        "the receiver redirects to /hook/; redirects are not followed, register that URL instead"
    )
    assert {delivery.path for delivery in receiver.deliveries} == {"/hook"} and len(receiver.deliveries) == 2


NOT_ACCEPTED = """
https://xn--a/ http://xn--0.com/ http://xn--zz9a.com/ http://xn--a-ecp.ru/ http://metadata.google.internal/x
http://METADATA.GOOGLE.INTERNAL./ http://kubernetes.default.svc/ http://host.docker.internal:8080/ http://a.b.local/
http://svc.cluster.local/ https://[2001:4860::5efe:7f00:1]/ http://[2001:4860:0:0:200:5efe:a00:1]/ ftp://127.0.0.1/
http://user:pass@127.0.0.1/ http://127.0.0.1:70000/ http://127.0.0.1:0/ http://127.0.0.1/#x http://bücher.example/
http://169.254.169.254/ http://10.0.0.1/ http://2130706433/ http://0x7f.1/
""".split()


@pytest.mark.parametrize("url", [*NOT_ACCEPTED, "http://127.0.0.1/a\r\nX: y", "http://127.0.0.1/a b", ""])
def test_addresses_that_are_not_accepted(account: Account, receiver: Receiver, url: str) -> None:
    webhook = made(account.live, receiver)
    for answer in (
        account.live.post("/webhooks", json={"url": url}),
        account.live.patch(f"/webhooks/{webhook['id']}", json={"url": url}),
    ):
        assert answer.status_code == 400 and answer.json()["error"]["param"] == "url", url
    assert account.live.get(f"/webhooks/{webhook['id']}").json()["url"] == receiver.url
