"""Buying credits over HTTP and by the command, where an operator says that an invoice is paid."""

from typing import Any

import pytest

from tests.acceptance.command import Command
from tests.acceptance.stack import Account, Stack


def bought(account: Account, credits: int = 25, **headers: str) -> dict[str, Any]:
    answer = account.live.post("/invoices", json={"credits": credits}, headers=headers)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def audited(command: Command, account: Account) -> list[dict[str, Any]]:
    """What operators did to the account."""
    return list(command.json("accounts", "audit", account.id))


def test_credits_are_bought_once_for_a_key_and_paid_by_the_operator(stack: Stack, account: Account) -> None:
    command = Command(stack, account)
    before = account.live.get("/credits").json()["available"]
    made = bought(account, **{"Idempotency-Key": "buy-1"})
    assert made == bought(account, **{"Idempotency-Key": "buy-1"})
    other = account.live.post("/invoices", json={"credits": 26}, headers={"Idempotency-Key": "buy-1"})
    assert other.status_code == 422
    assert (made["status"], made["credits"], made["checkout_url"]) == ("open", 25, None)
    assert [row["id"] for row in account.live.get("/invoices", params={"kind": "purchase"}).json()["data"]] == [
        made["id"]
    ]
    words = ("invoices", "pay", made["id"], "--note", "wire 17", "--operator", "ada")
    first, second = (command(*words) for _ in range(2))
    assert "25 credits granted" in first.stdout and "paid already" in second.stdout
    assert account.live.get("/credits").json()["available"] == before + 25
    assert account.live.get(f"/invoices/{made['id']}").json()["status"] == "paid"
    (entry,) = [one for one in audited(command, account) if one["subject"]["id"] == made["id"]]
    assert (entry["operator"], entry["action"], entry["reason"]) == ("ada", "invoices.pay", "wire 17")
    types = [event["type"] for event in account.live.get("/events").json()["data"]]
    assert types == ["invoice.created", "invoice.paid"]
    assert account.live.post(f"/invoices/{made['id']}/void").status_code == 409


def test_an_open_one_can_be_voided(stack: Stack, account: Account) -> None:
    made = bought(account)
    assert account.live.post(f"/invoices/{made['id']}/void").json()["status"] == "void"
    assert account.live.post(f"/invoices/{made['id']}/void").json()["status"] == "void"
    assert "is void" in Command(stack, account).error("invoices", "pay", made["id"])["message"]
    assert account.live.get(f"/invoices/{made['id']}").json()["status"] == "void"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "credits"),
        ({"credits": 0}, "credits"),
        ({"credits": 1.5}, "credits"),
        ({"credits": "10"}, "credits"),
        ({"credits": True}, "credits"),
        ({"credits": 10**18}, "credits"),
        ({"credits": 2_000_000}, "credits"),
        ({"credits": 1, "metadata": {"a": 1}}, "metadata"),
        ({"credits": 1, "description": ""}, "description"),
        ({"credits": 1, "amount": 1}, "amount"),
    ],
)
def test_what_cannot_be_bought_is_named(account: Account, body: dict[str, Any], param: str) -> None:
    answer = account.live.post("/invoices", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert account.live.get("/invoices").json()["data"] == []


def test_the_command_buys_shows_and_voids(stack: Stack, account: Account) -> None:
    command = Command(stack, account)
    made = command.json("invoices", "buy", 40, "--description", "Winter")
    assert (made["status"], made["credits"], made["description"]) == ("open", 40, "Winter")
    assert "Winter" in command("invoices", "show", made["id"]).stdout
    assert "purchase" in command("invoices").stdout
    assert command("invoices", "void", made["id"]).stdout == f"invoice {made['number']} is void\n"
    assert command.error("invoices", "buy", 2_000_000)["param"] == "credits"


def test_test_keys_buy_nothing(account: Account) -> None:
    for path in ("/invoices", "/invoices/inv_x/void"):
        assert account.test.post(path, json={"credits": 1}).status_code == 403


def test_the_automatic_top_up_is_set_a_few_times_a_minute(account: Account) -> None:
    """Each time a card that was declined is tried again, which is what those do who test stolen ones."""
    body = {"enabled": True, "threshold": 1, "credits": 2, "monthly_limit": 4}
    codes = [account.live.put("/credits/auto_top_up", json=body).status_code for _ in range(11)]
    assert codes == [200] * 10 + [429]
    assert account.live.get("/credits/auto_top_up").json()["enabled"] is True
