"""Purchases paid by Stripe over HTTP: a stack of its own whose payments are a local stand-in's."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests import contract
from tests.acceptance.command import Command
from tests.acceptance.stack import Account, Stack, own_stack
from tests.conditions import await_condition
from tests.receiver import Receiver
from tests.stripe_stub import SECRET_KEY, SIGNING_SECRET, StripeStub, signed


@pytest.fixture(scope="module")
def stub() -> Iterator[StripeStub]:
    with StripeStub() as running:
        yield running


@pytest.fixture(scope="module")
def paying(tmp_path_factory: pytest.TempPathFactory, stub: StripeStub) -> Iterator[Stack]:
    given = {**stub.settings, "PAYMENT_ASK_SECONDS": "0.2", "SWEEP_SECONDS": "0.2"}
    with own_stack(tmp_path_factory.mktemp("paying"), **given) as running:
        yield running
        assert running.violations() == []
        log = running.log.read_text()
        assert SECRET_KEY not in log and SIGNING_SECRET not in log


@pytest.fixture
def customer(paying: Stack) -> Iterator[Account]:
    made = paying.account(credits=0)
    yield made
    made.close()


def bought(account: Account, credits: int = 500, **more: Any) -> dict[str, Any]:
    answer = account.live.post("/invoices", json={"credits": credits, **more})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def shown(account: Account, id: str) -> dict[str, Any]:
    return dict(account.live.get(f"/invoices/{id}").json())


def page_of(invoice: dict[str, Any]) -> str:
    return str(invoice["checkout_url"]).rpartition("/")[2]


def told(stack: Stack, body: str, **headers: str) -> httpx.Response:
    answer = httpx.post(f"{stack.url}/payments/stripe", content=body, headers=headers or signed(body))
    contract.check("POST", "/v1/payments/stripe", answer)
    return answer


def available(account: Account) -> float:
    return float(account.live.get("/credits").json()["available"])


def test_a_customer_pays_and_is_told(paying: Stack, customer: Account, stub: StripeStub) -> None:
    with Receiver() as receiver:
        customer.live.post("/webhooks", json={"url": receiver.url, "events": ["invoice.paid"]})
        made = bought(customer, description="December")
        assert made["checkout_url"].startswith("https://checkout.stripe.com/")
        stub.pay(page_of(made))
        body = stub.completed(page_of(made))
        for _ in range(2):
            answer = told(paying, body)
            assert (answer.status_code, answer.json()) == (200, {"received": True})
        receiver.wait_for(lambda found: len(found) >= 1)
        assert available(customer) == 500 and shown(customer, made["id"])["status"] == "paid"
        assert len(receiver.deliveries) == 1
    events = [event["type"] for event in customer.live.get("/events").json()["data"]]
    assert events == ["invoice.created", "invoice.paid"]


def test_the_same_key_gives_the_same_page(customer: Account, stub: StripeStub) -> None:
    pages = len(stub.sessions)
    key = {"Idempotency-Key": "once"}
    first, again = (customer.live.post("/invoices", json={"credits": 70}, headers=key) for _ in range(2))
    assert first.json() == again.json() and again.headers["Idempotent-Replayed"] == "true"
    assert len(stub.sessions) == pages + 1


def test_a_payment_of_which_nothing_was_told_is_found(customer: Account, stub: StripeStub) -> None:
    made = bought(customer)
    stub.pay(page_of(made))
    await_condition(lambda: shown(customer, made["id"])["status"] == "paid", what="the sweeper to ask")
    assert available(customer) == 500


@pytest.mark.parametrize("trouble", [503, "drop"])
def test_while_stripe_is_away_the_link_comes_later(customer: Account, stub: StripeStub, trouble: int | str) -> None:
    stub.trouble = lambda method, path: trouble
    try:
        made = bought(customer)
        assert (made["status"], made["checkout_url"]) == ("open", None)
        gone = customer.live.post(f"/invoices/{made['id']}/void")
        assert gone.status_code == 503 and "payment provider" in gone.json()["error"]["message"]
    finally:
        stub.trouble = lambda method, path: None
    await_condition(lambda: shown(customer, made["id"])["checkout_url"], what="the link", seconds=30)
    stub.pay(page_of(shown(customer, made["id"])))
    await_condition(lambda: shown(customer, made["id"])["status"] == "paid", what="the payment", seconds=30)
    assert available(customer) == 500


def test_what_stripe_refuses_is_a_502_and_void(customer: Account) -> None:
    answer = customer.live.post("/invoices", json={"credits": 1})
    assert answer.status_code == 502 and "amount_too_small" in answer.json()["error"]["message"]
    assert [row["status"] for row in customer.live.get("/invoices").json()["data"]] == ["void"]


def test_a_voided_page_is_closed_and_a_paid_one_is_not_voided(customer: Account, stub: StripeStub) -> None:
    gone, paid = bought(customer), bought(customer)
    assert customer.live.post(f"/invoices/{gone['id']}/void").json()["status"] == "void"
    assert stub.sessions[page_of(gone)]["status"] == "expired"
    stub.pay(page_of(paid))
    assert customer.live.post(f"/invoices/{paid['id']}/void").status_code == 409
    assert available(customer) == 500


def test_an_operator_marks_one_paid_and_nobody_pays_it_again(
    paying: Stack, customer: Account, stub: StripeStub
) -> None:
    made = bought(customer)
    Command(paying, customer)("invoices", "pay", made["id"], "--note", "wire 17")
    assert stub.sessions[page_of(made)]["status"] == "expired" and available(customer) == 500


def test_forged_messages_grant_nothing(paying: Stack, customer: Account, stub: StripeStub) -> None:
    made = bought(customer)
    session = dict(stub.sessions[page_of(made)], payment_status="paid", status="complete")
    body = stub.event("checkout.session.completed", session)
    forged = [
        {"Content-Type": "application/json"},
        {"Stripe-Signature": ""},
        {"Stripe-Signature": "t=1,v1=00"},
        signed(body, secret="whsec_of_somebody_else_entirely"),
        signed(body, secret=""),
        signed(body, age=400),
        signed(body.replace("750", "751")),
    ]
    for headers in forged:
        assert told(paying, body, **headers).status_code == 400
    live = stub.event("checkout.session.completed", session, livemode=True)
    assert told(paying, live, **signed(live)).status_code == 400
    assert told(paying, "x" * 600_000, **signed("x" * 600_000)).status_code == 413
    assert httpx.get(f"{paying.url}/payments/stripe").status_code == 405
    assert available(customer) == 0 and shown(customer, made["id"])["status"] == "open"
    assert told(paying, stub.event("customer.created", {"id": "cus_1", "object": "customer"})).status_code == 200


def test_a_card_is_saved_and_charged_when_little_is_left(customer: Account, stub: StripeStub) -> None:
    wish = {"enabled": True, "threshold": 600, "credits": 800, "monthly_limit": 800}
    made = bought(customer, save_payment_method=True)
    stub.pay(page_of(made))
    await_condition(lambda: available(customer) == 500, what="the first payment")
    answer = customer.live.put("/credits/auto_top_up", json=wish)
    assert answer.status_code == 200 and answer.json()["status"] in ("active", "limited")
    await_condition(lambda: available(customer) == 1300, what="the top-up")
    state = customer.live.get("/credits/auto_top_up").json()
    assert (state["status"], state["bought_this_month"], state["reason"]) == ("limited", 800, None)
    off = customer.live.put("/credits/auto_top_up", json={"enabled": False}).json()
    assert (off["status"], off["threshold"]) == ("off", 600)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"threshold": None}, "threshold"),
        ({"monthly_limit": None}, "monthly_limit"),
        ({"credits": 50}, "credits"),
        ({"credits": 10**9, "monthly_limit": 10**9}, "credits"),
        ({"monthly_limit": 100}, "monthly_limit"),
        ({"threshold": 1.5}, "threshold"),
        ({"often": True}, "often"),
    ],
)
def test_wishes_that_cannot_be_are_named(customer: Account, change: dict[str, Any], param: str) -> None:
    wish = {"enabled": True, "threshold": 100, "credits": 200, "monthly_limit": 1000, **change}
    answer = customer.live.put("/credits/auto_top_up", json=wish)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert customer.live.get("/credits/auto_top_up").json()["status"] == "off"
    assert customer.test.put("/credits/auto_top_up", json=wish).status_code in (400, 403)
    assert customer.test.get("/credits/auto_top_up").status_code == 403


def test_the_command_sets_a_top_up(paying: Stack, customer: Account) -> None:
    command = Command(paying, customer)
    assert "off" in command("credits", "top-up").stdout
    words = ("--below", 10, "--buy", 100, "--monthly", 1000)
    assert command.json("credits", "top-up", *words)["status"] in ("active", "limited")
    assert "1,000" in command("credits", "top-up").stdout
    command("credits", "top-up", "--below", 10, status=2)
    assert command.json("credits", "top-up", "--off")["status"] == "off"
