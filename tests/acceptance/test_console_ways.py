"""Ways through the console over HTTP: back and reload, nearly right addresses, signed out meanwhile, paying by hand."""

import re
from html import unescape
from typing import Any

import pytest

from producer.console.pages import BUILT
from shared import accounts, audit, clock, key_limits
from shared.key_limits import Change
from tests.acceptance.stack import Account, Stack, chat
from tests.acceptance.test_console import PASSWORD, Browser, browser, closed
from tests.conditions import await_condition

__all__ = ["browser", "closed"]


@pytest.fixture
def operator(stack: Stack, account: Account) -> Browser:
    """The operator grace, who looks at the account."""
    made = Browser(stack.url)
    assert made.sign_in(password=PASSWORD, name="grace").status_code == 303
    made.get("/console/account")
    assert made.post("/console/account", account_id=account.id).status_code == 303
    return made


def actions(account: Account, name: str) -> list[dict[str, Any]]:
    """The entries of the audit log of this name."""
    entries = account.stack.database.read_sync(audit.entries, account.id)
    return [one for one in entries if one["action"] == name]


def bought(account: Account) -> dict[str, Any]:
    return dict(account.live.post("/invoices", json={"credits": 25}).json())


def test_every_address_of_a_form_leads_to_a_page(browser: Browser, operator: Browser) -> None:
    given = {(one.method, one.path) for _, router in BUILT for one in router.routes}
    paths = [path for method, path in sorted(given) if method == "POST" and ("GET", path) not in given]
    assert len(paths) > 10
    for path in [*paths, "/console/sign-out", "/console/new/file"]:
        answer = operator.http.get(re.sub(r"{\w+}", "some_1", path))
        assert answer.status_code == 303, path
        assert path.startswith(re.sub(r"some_1", "{", answer.headers["location"]).partition("{")[0].partition("?")[0])
    assert browser.get("/console/credits/buy").headers["location"] == "/console/credits"
    assert browser.get("/console/new/file").headers["location"] == "/console/new?type=batch"


@pytest.mark.parametrize("path", ["/console/", "/console//", "/console/jobs/"])
def test_a_slash_at_the_end_is_passed_over(browser: Browser, path: str) -> None:
    assert browser.get(path, params={"a": "b"}).headers["location"] == path.rstrip("/") + "?a=b"


def test_what_is_refused_is_said_beside_the_menu(browser: Browser, operator: Browser) -> None:
    for path in ("/console/nowhere", "/console/jobs/job_none", "/console/accounts"):
        assert browser.get(path).status_code == 404
        assert 'aria-label="Pages"' in browser.page, path
    browser.get("/console")
    assert browser.post("/console/keys").status_code == 404
    refused = operator.http.post("/console/keys", data={"csrf": "wrong"})
    assert refused.status_code == 403 and 'aria-label="Pages"' in refused.text


@pytest.mark.parametrize("page", ["jobs", "usage"])
@pytest.mark.parametrize("name", ["from", "to"])
@pytest.mark.parametrize("value", ["2026-13-01", "yesterday", "10000-01-01"])
def test_a_day_that_is_none_is_said_at_its_field(browser: Browser, page: str, name: str, value: str) -> None:
    assert browser.get(f"/console/{page}", params={name: value}).status_code == 400
    (field,) = re.findall(rf'<input id="f-{name}"[^>]*>', browser.page)
    assert 'type="date"' in field and 'value=""' in field and f'aria-describedby="e-{name}"' in field
    assert f'id="e-{name}"' in browser.page


def test_the_overview_counts_what_its_lists_show(stack: Stack, account: Account) -> None:
    for _ in range(2):
        account.run(chat("counted"))

    def make(connection: Any) -> str:
        id, key = accounts.create_key(connection, account.id, "live", name="without money")
        key_limits.change(connection, id, Change({"permissions": ["jobs:read"]}, {}))
        return key

    browser = Browser(stack.url)
    browser.sign_in(key=stack.write(make))
    tiles = dict(
        re.findall(r'<a class="stat[^"]*" href="([^"]+)">\s*<span[^>]*>([^<]+)<', browser.get("/console").text)
    )
    by_name = {name: unescape(link) for link, name in tiles.items()}
    assert re.search(r'Done today</span><span class="stat-value">2<', browser.page)
    page = browser.get(by_name["Done today"]).text
    assert len(set(re.findall(r"/console/jobs/(job_\w+)", page))) == 2
    since = int(by_name["Failed in 24 hours"].rpartition("since=")[2])
    assert abs(since - (clock.now_seconds() - 86_400)) < 60
    assert browser.get(by_name["Failed in 24 hours"]).status_code == 200 and "Created after" in browser.page
    assert browser.get("/console/jobs?since=abc").status_code == 400


def test_who_was_signed_out_is_told_and_led_back(stack: Stack, account: Account, browser: Browser) -> None:
    page = stack.url + "/console/jobs?status=failed"
    stack.write(accounts.revoke_key, account.live_key)
    token = browser.csrf()
    sent = browser.http.post("/console/jobs/job_1/cancel", data={"csrf": token}, headers={"referer": page})
    assert sent.headers["location"] == "/console/sign-in?next=%2Fconsole%2Fjobs%3Fstatus%3Dfailed"
    told = browser.get(sent.headers["location"]).text
    assert "You were signed out." in told and 'value="/console/jobs?status=failed"' in told
    stranger = Browser(stack.url)
    assert "You were signed out" not in stranger.get("/console/sign-in?next=/console/jobs").text
    assert "You were signed out" in stranger.get("/console/sign-in", headers={"referer": page}).text
    elsewhere = {"referer": "https://evil.example/console/jobs"}
    assert "You were signed out" not in stranger.get("/console/sign-in", headers=elsewhere).text
    sent = browser.http.post("/console/jobs/job_1/cancel", data={"csrf": token}, headers=elsewhere)
    assert sent.headers["location"] == "/console/sign-in"


def test_a_live_jobs_address_says_which_key_sees_it(stack: Stack, account: Account) -> None:
    job = account.run(chat("live"))["id"]
    browser = Browser(stack.url)
    browser.sign_in(key=account.test_key)
    assert browser.get(f"/console/jobs/{job}").status_code == 404
    assert "sign in with a live key" in browser.page
    assert "sign in with" not in browser.get("/console/nowhere").text


def test_a_wrong_operator_password_is_logged_and_has_the_focus(stack: Stack) -> None:
    answer = Browser(stack.url).sign_in(password="not the password", name="grace")
    assert answer.status_code == 401
    (focused,) = re.findall(r"<input[^>]* autofocus[^>]*>", answer.text)
    assert 'id="password"' in focused and 'value="grace"' in answer.text
    log = stack.log.read_text()
    assert "a wrong operator password from 127.0.0.1" in log and "not the password" not in log


def test_what_is_done_once_is_in_the_audit_log_once(account: Account, browser: Browser, operator: Browser) -> None:
    webhook = account.live.post("/webhooks", json={"url": "https://example.com/x", "events": ["*"]}).json()["id"]
    browser.get(f"/console/webhooks/{webhook}")
    pages = [browser.post(f"/console/webhooks/{webhook}/rotate", once="a").text for _ in range(2)]
    assert all("whsec_" in page for page in pages)
    assert len(actions(account, "console.webhooks.rotate")) == 1
    invoice = bought(account)["id"]
    for _ in range(2):
        assert browser.post(f"/console/credits/invoices/{invoice}/void").status_code == 303
    assert len(actions(account, "console.invoices.void")) == 1
    done = account.run(chat("ended"))["id"]
    assert browser.post(f"/console/jobs/{done}/cancel").status_code == 303
    assert actions(account, "console.jobs.cancel") == []
    (key,) = [
        one["id"] for one in account.stack.database.read_sync(accounts.list_keys, account.id) if one["mode"] == "test"
    ]
    operator.get("/console/keys")
    for _ in range(2):
        assert operator.post(f"/console/keys/{key}/revoke").status_code == 303
    assert len(actions(account, "console.keys.revoke")) == 1


def test_an_invoice_is_marked_as_paid_by_the_operator(account: Account, browser: Browser, operator: Browser) -> None:
    invoice, before = bought(account), account.live.get("/credits").json()["available"]
    place = f"/console/credits/invoices/{invoice['id']}"
    assert f"name invoice No. {invoice['number']}" in browser.get(place).text and "Mark as paid" not in browser.page
    assert browser.post(f"{place}/pay", note="mine").status_code == 404
    assert f"fusionai invoices pay {invoice['id']}" in operator.get(place).text and "Mark as paid" in operator.page
    assert operator.post(f"{place}/pay", note="x" * 501).status_code == 400
    assert account.live.get("/credits").json()["available"] == before
    for _ in range(2):
        assert operator.post(f"{place}/pay", note="wire 17").headers["location"] == place
    assert account.live.get("/credits").json()["available"] == before + 25
    (entry,) = actions(account, "invoices.pay")
    assert (entry["operator"], entry["reason"], entry["subject"]["id"]) == ("grace", "wire 17", invoice["id"])
    assert "Mark as paid" not in operator.get(place).text
    void = bought(account)["id"]
    account.live.post(f"/invoices/{void}/void")
    assert operator.post(f"/console/credits/invoices/{void}/pay").status_code == 409
    assert not account.stack.violations()


def test_an_operator_pays_invoices_of_the_account_that_is_looked_at(other: Account, operator: Browser) -> None:
    theirs = bought(other)["id"]
    operator.get("/console/credits")
    assert operator.post(f"/console/credits/invoices/{theirs}/pay").status_code == 404
    assert other.live.get(f"/invoices/{theirs}").json()["status"] == "open"


def test_a_statement_has_a_page(account: Account, browser: Browser) -> None:
    body = {name: value for name, value in chat("billed").items() if name != "type"}
    lines = [{"custom_id": "1", "url": "/v1/chat/completions", "body": body}]
    batch = account.live.post("/batches", json={"requests": lines})
    assert batch.status_code < 300, batch.text
    path, of_batch = f"/batches/{batch.json()['id']}", {"kind": "statement"}
    await_condition(lambda: account.live.get(path).json()["status"] == "completed", what="the batch")
    await_condition(lambda: account.live.get("/invoices", params=of_batch).json()["data"], what="its invoice")
    statement = account.live.get("/invoices", params=of_batch).json()["data"][0]
    assert browser.get(f"/console/credits/invoices/{statement['id']}").status_code == 200
    assert "Mark as paid" not in browser.page


def test_without_a_payment_provider_it_is_said_that_nobody_is_charged(browser: Browser) -> None:
    page = browser.get("/console/credits").text
    assert "Nobody is charged by it here" in page and "save_payment_method" not in page


def test_the_operator_sees_the_accounts_name_and_what_a_new_key_may(account: Account, operator: Browser) -> None:
    row = account.stack.database.read_sync(accounts.read_account, account.id)
    assert f"<b>{row['name']}</b>" in unescape(operator.get("/console/keys").text)
    made = operator.post("/console/keys", name="for <reports>", permission="jobs:read", budget_day="5")
    shown = unescape(made.text)
    assert made.status_code == 200 and "for <reports>" in shown and "for <reports>" not in made.text
    assert ">jobs:read<" in shown and "of 5.00 a day" in shown
