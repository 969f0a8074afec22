"""GET /invoices over HTTP: the account's own, newest first; everybody else's is not there."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from fusionai.plain import PlainClient
from producer import cli
from tests import contract
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


@pytest.mark.parametrize(
    ("path", "accept", "kind"),
    [
        ("", "*/*", "application/json"),
        ("?format=json", "text/html", "application/json"),
        ("?format=html", "*/*", "text/html; charset=utf-8"),
        ("?format=pdf", "*/*", "application/pdf"),
        ("", "text/html,application/xhtml+xml,*/*;q=0.8", "text/html; charset=utf-8"),
        ("", "application/pdf", "application/pdf"),
        ("", "application/pdf;q=0.5, application/json", "application/json"),
        ("/pdf", "*/*", "application/pdf"),
    ],
)
def test_an_invoice_is_had_as_a_document(invoiced: Account, path: str, accept: str, kind: str) -> None:
    found = listed(invoiced)["data"][0]
    answer = invoiced.live.get(f"/invoices/{found['id']}{path}", headers={"Accept": accept})
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    if kind == "application/json":
        assert answer.json() == found
        return
    assert answer.headers["content-disposition"].startswith(f'inline; filename="invoice-{found["number"]}.')
    assert answer.headers["x-content-type-options"] == "nosniff" and "no-store" in answer.headers["cache-control"]
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    if kind == "application/pdf":
        assert answer.content.startswith(b"%PDF-")
    else:
        assert found["batch_id"] in answer.text and f"{found['total']:.6f}".rstrip("0") in answer.text


@pytest.fixture
def invoiced(account: Account) -> Account:
    """An account with a statement."""
    stated(account, 1)
    return account


def test_a_signed_link_needs_no_key_and_is_of_one_document(invoiced: Account, other: Account) -> None:
    (id,) = [row["id"] for row in listed(invoiced)["data"]]
    links = invoiced.live.get(f"/invoices/{id}/links").json()
    contract.check_object("InvoiceLinks", links)
    page, pdf = httpx.get(links["html"]), httpx.get(links["pdf"])
    assert (page.status_code, pdf.status_code) == (200, 200) and pdf.content.startswith(b"%PDF-")
    assert "no-referrer" in page.headers["referrer-policy"] and id in page.text
    for broken in (links["pdf"][:-1] + "x", links["pdf"].replace(".pdf", ".html"), links["pdf"].partition("&")[0]):
        check(httpx.get(broken), 404, "not_found")
    for path in ("/pdf", "/links", "?format=pdf", "?format=html"):
        check(other.live.get(f"/invoices/{id}{path}"), 404, "not_found")
        check(invoiced.test.get(f"/invoices/{id}{path}"), 403, "forbidden")


def test_a_format_that_there_is_not_is_named(invoiced: Account) -> None:
    id = listed(invoiced)["data"][0]["id"]
    check(invoiced.live.get(f"/invoices/{id}?format=docx"), 400, "invalid_request", "format")


def test_filters_by_status_day_and_month(invoiced: Account) -> None:
    today = datetime.now(UTC).date()
    tomorrow, ids = today + timedelta(days=1), [row["id"] for row in listed(invoiced)["data"]]
    assert [row["id"] for row in listed(invoiced, status="paid")["data"]] == ids
    assert [
        row["id"] for row in listed(invoiced, **{"from": str(today - timedelta(days=1)), "to": str(tomorrow)})["data"]
    ] == ids
    for nothing in (
        {"status": "open"},
        {"period": "2026-01"},
        {"from": str(tomorrow + timedelta(days=1))},
        {"to": "2026-01-31"},
    ):
        assert listed(invoiced, **nothing)["data"] == []


def test_the_client_and_the_command_write_documents(invoiced: Account, tmp_path: Path) -> None:
    found = listed(invoiced)["data"][0]
    with PlainClient(invoiced.stack.url, invoiced.live_key) as fusion:
        assert fusion.invoice_document(found["id"], tmp_path / "a.pdf") == (tmp_path / "a.pdf").stat().st_size
        assert fusion.invoice_links(found["id"])["object"] == "invoice.links"
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF-")
    files = {name: tmp_path / f"b.{name}" for name in ("pdf", "html")}
    options = [word for name, path in files.items() for word in (f"--{name}", str(path))]
    result = CliRunner().invoke(
        cli.main,
        ["invoices", "show", found["id"], *options, "--base-url", invoiced.stack.url, "--key", invoiced.live_key],
    )
    assert result.exit_code == 0, result.output
    assert files["pdf"].read_bytes() == (tmp_path / "a.pdf").read_bytes()
    assert files["html"].read_text().startswith("<!DOCTYPE html>")
