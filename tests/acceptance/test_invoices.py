"""GET /invoices over HTTP: the account's own, newest first; everybody else's is not there."""

from typing import Any

import httpx
import pytest

from tests.acceptance.stack import Account
from tests.acceptance.test_every_route import check
from tests.acceptance.test_stopping import body
from tests.conditions import await_condition


def stated(account: Account, count: int) -> list[str]:
    """The ids of the statements of so many batches of one line, newest first."""
    made = []
    for number in range(count):
        line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body(f"line {number}")}
        batch = account.live.post("/batches", json={"requests": [line]}).json()["id"]
        await_condition(lambda id=batch: statement_of(account, id), what="the batch's statement")
        made.append(statement_of(account, batch))
    return made[::-1]


def statement_of(account: Account, batch_id: str) -> str | None:
    found = listed(account, batch_id=batch_id)["data"]
    return found[0]["id"] if found else None


def listed(account: Account, **params: Any) -> dict[str, Any]:
    answer = account.live.get("/invoices", params=params)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_invoices_are_listed_and_shown(account: Account) -> None:
    ids = stated(account, 3)
    found = listed(account)
    assert [row["id"] for row in found["data"]] == ids and found["has_more"] is False
    numbers = [row["number"] for row in found["data"]]
    assert numbers == sorted(numbers, reverse=True) and min(numbers) >= 1
    for row in found["data"]:
        assert account.live.get(f"/invoices/{row['id']}").json() == row
        assert (row["object"], row["kind"], row["status"]) == ("invoice", "statement", "paid")
        assert row["total"] > 0
    events = [event for event in account.live.get("/events").json()["data"] if event["type"] == "invoice.paid"]
    told = [event["data"]["invoice"] for event in events]
    assert {row["id"]: row for row in told} == {row["id"]: row for row in found["data"]}


def test_pages_and_filters_over_http(account: Account) -> None:
    ids = stated(account, 3)
    first = listed(account, limit=2)
    assert [row["id"] for row in first["data"]] == ids[:2] and first["has_more"] is True
    rest = listed(account, limit=2, after=first["last_id"])
    assert [row["id"] for row in rest["data"]] == ids[2:] and rest["has_more"] is False
    assert listed(account, limit=3)["has_more"] is False
    batch = first["data"][1]["batch_id"]
    assert [row["id"] for row in listed(account, batch_id=batch, kind="statement")["data"]] == [ids[1]]
    assert listed(account, kind="purchase")["data"] == []


def test_anothers_invoice_is_as_absent_as_an_absent_one(account: Account, other: Account) -> None:
    (id,) = stated(account, 1)
    absent = id[:-8] + "00000000"
    foreign = check(other.live.get(f"/invoices/{id}"), 404, "not_found")["message"]
    assert foreign == check(other.live.get(f"/invoices/{absent}"), 404, "not_found")["message"].replace(absent, id)
    batch = listed(account)["data"][0]["batch_id"]
    for params in ({}, {"batch_id": batch}, {"after": id[:-1] + "g"}):
        assert listed(other, **params)["data"] == []


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=x", "limit"),
        ("kind=gift", "kind"),
        ("kind=", "kind"),
        ("batch_id=", "batch_id"),
        ("batch_id=" + "b" * 201, "batch_id"),
        ("after=" + "a" * 101, "after"),
        ("status=unpaid", "status"),
        ("period=2026-13", "period"),
        ("period=november", "period"),
        ("from=2026-02-30", "from"),
        ("from=2026-03-01&to=2026-02-01", "from"),
        ("state=paid", "state"),
    ],
)
def test_a_bad_parameter_is_named(account: Account, query: str, param: str) -> None:
    check(account.live.get("/invoices?" + query), 400, "invalid_request", param)


@pytest.mark.parametrize("path", ["/invoices/%00", "/invoices/a%00b", "/invoices/%ff", "/invoices/" + "a" * 5000])
def test_no_such_invoice(account: Account, path: str) -> None:
    assert len(check(account.live.get(path), 404, "not_found")["message"]) < 500


@pytest.mark.parametrize("prefix", ["/v1", ""])
@pytest.mark.parametrize("path", ["/invoices", "/invoices/inv_1"])
def test_a_key_is_needed(account: Account, prefix: str, path: str) -> None:
    check(httpx.get(account.stack.url + prefix + path), 401, "unauthorized")
