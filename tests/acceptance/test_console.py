"""The console over HTTP: signing in, forms from elsewhere, pages of jobs and usage, the operator, read-only."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from typing import Any, ClassVar

import httpx
import pytest
from sqlalchemy import Connection, select

from shared import accounts, audit, clock, console_sessions, key_limits
from shared.db import models as m
from shared.environment import inherited
from shared.key_limits import Change
from tests import starting
from tests.acceptance.command import Command
from tests.acceptance.stack import OPERATOR_PASSWORD, Account, Stack, chat, image, own_stack
from tests.conditions import await_condition
from tests.servers import free_port

PASSWORD = OPERATOR_PASSWORD
#: What a customer may write anywhere, and no browser may run.
NASTY = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose console is on."""
    directory = tmp_path_factory.mktemp("console")
    with own_stack(directory, CONSOLE="true", OPERATOR="ada") as running:
        yield running


class Browser:
    """A client with cookies that says where its requests come from, as browsers do."""

    #: Those of the test that runs, which are closed at its end.
    opened: ClassVar[list["Browser"]] = []

    def __init__(self, url: str) -> None:
        self.opened.append(self)
        self.http = httpx.Client(base_url=url, headers={"origin": url}, timeout=40, trust_env=False)
        self.page = ""

    def get(self, path: str, **more: Any) -> httpx.Response:
        answer = self.http.get(path, **more)
        self.page = answer.text
        return answer

    def sign_in(self, **form: str) -> httpx.Response:
        return self.http.post("/console/sign-in", data=form)

    def csrf(self) -> str:
        """The token of the last page."""
        found = re.search(r'name="csrf" value="([^"]+)"', self.page)
        assert found is not None, self.page[:500]
        return found[1]

    def post(self, path: str, **form: str) -> httpx.Response:
        return self.http.post(path, data={"csrf": self.csrf(), **form})


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Every browser is closed at the test's end."""
    yield
    while Browser.opened:
        Browser.opened.pop().http.close()


@pytest.fixture
def browser(stack: Stack, account: Account) -> Browser:
    """One that is signed in with the account's live key, at its overview."""
    made = Browser(stack.url)
    assert made.sign_in(key=account.live_key).status_code == 303
    assert made.get("/console").status_code == 200
    return made


def test_a_browser_is_led_to_the_console_and_a_program_is_not(stack: Stack) -> None:
    led = httpx.get(stack.url + "/", headers={"accept": "text/html,*/*"}, trust_env=False)
    assert (led.status_code, led.headers["location"]) == (303, "/console")
    assert httpx.get(stack.url + "/", trust_env=False).status_code == 404
    signed_out = httpx.get(stack.url + "/console/jobs?status=failed", trust_env=False)
    assert signed_out.headers["location"] == "/console/sign-in?next=%2Fconsole%2Fjobs%3Fstatus%3Dfailed"


def test_every_answer_has_a_strict_policy_and_is_kept_by_nobody(browser: Browser) -> None:
    for path in ("/console", "/console/jobs", "/console/nowhere", "/console/sign-in", "/console/jobs/job_none"):
        headers = browser.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert headers["cache-control"] == "no-store" and headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-opener-policy"] == "same-origin"
    browser.get("/console")
    for url in re.findall(r'(?:href|src)="(/console/assets/[^"]+)"', browser.page):
        asset = browser.http.get(url)
        assert asset.status_code == 200 and "immutable" in asset.headers["cache-control"], url


def test_the_session_is_a_cookie_that_no_script_reads_and_no_row_has(stack: Stack, account: Account) -> None:
    browser = Browser(stack.url)
    browser.http.cookies.set("fusionai_session", "planted", path="/console")
    answer = browser.sign_in(key=account.live_key)
    cookie = answer.headers["set-cookie"]
    assert {"HttpOnly", "Path=/console", "SameSite=strict"} <= {part.strip() for part in cookie.split(";")}
    token = cookie.partition("=")[2].partition(";")[0]
    assert len(token) >= 43 and token != "planted"
    rows = stack.database.read_sync(lambda connection: list(connection.execute(select(m.console_sessions))))
    assert all(token not in str(row) and account.live_key not in str(row) for row in rows)
    assert account.live_key not in Browser.get(browser, "/console").text
    assert token not in stack.log.read_text() and account.live_key not in stack.log.read_text()


@pytest.mark.parametrize("key", ["", "nonsense", "fusionai_live_" + "a" * 38])
def test_a_wrong_key_is_refused(stack: Stack, key: str) -> None:
    answer = Browser(stack.url).sign_in(key=key)
    assert answer.status_code == 401 and "invalid API key" in answer.text
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "following",
    ["https://evil.example", "//evil.example", "/console/../v1", "/consoles", "/\\evil", "/console\r\nX: y"],
)
def test_signing_in_leads_into_the_console_alone(stack: Stack, account: Account, following: str) -> None:
    answer = Browser(stack.url).sign_in(key=account.live_key, next=following)
    assert httpx.URL(stack.url).join(answer.headers["location"]).path.startswith("/console")
    assert "evil" not in answer.headers["location"] and "/v1" not in answer.headers["location"]


def test_a_revoked_key_ends_its_sessions(stack: Stack, account: Account, browser: Browser) -> None:
    stack.write(accounts.revoke_key, account.live_key)
    answer = browser.get("/console/jobs")
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/sign-in?next=%2Fconsole%2Fjobs")
    refreshed = browser.get("/console/jobs", headers={"hx-request": "true"})
    assert refreshed.headers["hx-redirect"].startswith("/console/sign-in")


def test_signing_out_ends_the_session_for_good(browser: Browser) -> None:
    token = browser.http.cookies["fusionai_session"]
    answer = browser.post("/console/sign-out")
    assert answer.status_code == 303 and "fusionai_session" not in browser.http.cookies
    browser.http.cookies.set("fusionai_session", token, path="/console")
    assert browser.get("/console").status_code == 303


def test_sessions_expire_and_are_swept(stack: Stack, browser: Browser) -> None:
    def age(connection: Any) -> None:
        connection.execute(m.console_sessions.update().values(expires_at=clock.now_micros() - 1))

    stack.write(age)
    assert browser.get("/console").status_code == 303
    rows = select(m.console_sessions.c.id)
    await_condition(
        lambda: not stack.database.read_sync(lambda connection: connection.execute(rows).all()), what="the sweep"
    )


def test_a_key_has_so_many_sessions(stack: Stack, account: Account) -> None:
    key_id = stack.write(accounts.named_key, account.live_key)
    tokens = [stack.write(lambda c: console_sessions.begin(c, key_id=key_id)) for _ in range(22)]
    found = [stack.database.read_sync(console_sessions.find, token) is not None for token in tokens]
    assert found == [False] * 2 + [True] * console_sessions.MOST_SESSIONS


FOREIGN = [
    {"origin": "https://evil.example"},
    {"sec-fetch-site": "cross-site"},
    {"origin": "null"},
    {"origin": ""},
]


@pytest.mark.parametrize("headers", FOREIGN)
def test_a_form_of_another_site_changes_nothing(account: Account, browser: Browser, headers: dict[str, str]) -> None:
    job = account.run(chat("to be repeated"))["id"]
    before = account.live.get("/jobs").json()["first_id"]
    for path in (f"/console/jobs/{job}/again", "/console/sign-out", "/console/sign-in"):
        answer = browser.http.post(path, data={"csrf": browser.csrf(), "key": account.live_key}, headers=headers)
        assert answer.status_code == 403, path
    assert account.live.get("/jobs").json()["first_id"] == before
    assert browser.get("/console").status_code == 200, "still signed in"


def test_a_form_without_its_token_changes_nothing(account: Account, browser: Browser, stack: Stack) -> None:
    job = account.run(chat("to be repeated"))["id"]
    stranger = Browser(stack.url)
    stranger.sign_in(key=account.live_key)
    stranger.get("/console")
    for token in ("", "wrong", stranger.csrf()):
        answer = browser.http.post(f"/console/jobs/{job}/again", data={"csrf": token})
        assert answer.status_code == 403
    assert account.live.get("/jobs").json()["first_id"] == job


def test_no_http_request_can_say_whose_it_is(stack: Stack) -> None:
    """What the console puts in the scope has no way in over HTTP: no header, parameter or path becomes a key of it."""
    names = ("fusionai_holder", "fusionai-holder", "fusionai_operator", "x-fusionai-holder", "fusionai.holder")
    for name in names:
        for path in ("/v1/jobs", "/v1/credits", "/v1/operator/queues"):
            answer = httpx.get(stack.url + path, params={name: "x"}, headers={name: "x"}, trust_env=False)
            assert answer.status_code == 401, (name, path)


def test_what_customers_write_is_text(account: Account, browser: Browser) -> None:
    with account.stack.script({"contains": "refused", "fault": {"status": 400, "message": NASTY}}):
        failed = account.run(chat(f"refused {NASTY}", metadata={NASTY[:60]: NASTY}))["id"]
    done = account.run(chat(NASTY, user=NASTY, metadata={"a": NASTY}))["id"]
    for path in (f"/console/jobs/{failed}", f"/console/jobs/{done}", "/console/jobs", "/console"):
        browser.get(path)
        assert browser.page.count("<script") == browser.page.count("<script src="), path
        assert "<img src=x" not in browser.page and "onerror=alert" not in _attributes(browser.page), path
    assert NASTY in unescape(browser.get(f"/console/jobs/{done}").text)
    for name in ("status", "model", "metadata", "batch_id", "after", "from", "key_id", "type"):
        browser.get("/console/jobs", params={name: NASTY})
        assert "<script>alert" not in browser.page and "<img src=x" not in browser.page, name
    browser.get("/console/usage", params={"by": "tag", "tag": NASTY[:60], "model": NASTY})
    assert "<script>alert" not in browser.page
    browser.get(f"/console/{NASTY}")
    assert "<script>alert" not in browser.page


def _attributes(page: str) -> str:
    """The page without its texts: what tags have in themselves, but for the values in quotation marks."""
    return re.sub(r'"[^"]*"', '""', " ".join(re.findall(r"<[^>]*>", page)))


def test_a_job_is_shown_with_its_request_answer_cost_and_timeline(account: Account, browser: Browser) -> None:
    with account.stack.script({"contains": "twice", "fault": {"status": 503}, "times": 1}):
        job = account.run(chat("tried twice", metadata={"team": "growth"}))
    text = unescape(browser.get(f"/console/jobs/{job['id']}").text)
    for words in ("tried twice", job["result"]["choices"][0]["message"]["content"], "growth", "503", "Pause before"):
        assert words in text, words
    assert f"{job['usage']['credits_used']}" in text
    assert "curl -X POST" in text and "client.chat.completions.create(" in text


def test_a_picture_is_shown_by_its_bytes(account: Account, browser: Browser) -> None:
    job = account.run(image())
    source = f"/console/jobs/{job['id']}/pictures/0"
    assert f'src="{source}"' in browser.get(f"/console/jobs/{job['id']}").text
    picture = browser.http.get(source)
    assert picture.headers["content-type"] == "image/png" and picture.content.startswith(b"\x89PNG")
    assert browser.http.get(source.replace("/0", "/1")).status_code == 404


def test_running_again_is_done_once_a_form_and_every_button_has_its_curl(account: Account, browser: Browser) -> None:
    job = account.run(chat("once"))["id"]
    page = browser.get(f"/console/jobs/{job}").text
    assert f"/v1/jobs/{job}" in page and "/v1/jobs \\" in page, "the page's own call, and that of Run again"
    once = re.search(r'name="once" value="([^"]+)"', page)
    assert once is not None
    made = {browser.post(f"/console/jobs/{job}/again", once=once[1]).headers["location"] for _ in range(2)}
    assert len(made) == 1 and account.live.get("/jobs/count").json()["count"] == 2
    counted = account.live.get("/jobs/count", params={"status": "queued", "unknown": "1"})
    assert counted.status_code == 400 and counted.json()["error"]["param"] == "unknown"
    assert account.live.get("/jobs", params={"include_results": "perhaps"}).status_code == 400


def test_a_job_is_run_again_and_cancelled_and_who_did_is_written_down(account: Account, browser: Browser) -> None:
    with account.stack.script({"contains": "slowly", "fault": {"latency_seconds": 30}}):
        first = account.submit(chat("go slowly"))["id"]
        browser.get(f"/console/jobs/{first}")
        answer = browser.post(f"/console/jobs/{first}/again")
        again = answer.headers["location"].rpartition("/")[2]
        assert again != first and answer.status_code == 303
        for id in (first, again):
            browser.get(f"/console/jobs/{id}")
            assert browser.post(f"/console/jobs/{id}/cancel").status_code == 303
            assert account.finished(id)["status"] == "cancelled"
    asked = [account.live.get(f"/jobs/{id}/input").json()["body"] for id in (first, again)]
    assert asked[0] == asked[1]
    entries = account.stack.database.read_sync(audit.entries, account.id)
    done = [(one["action"], one["subject"]["id"], one["operator"]) for one in entries]
    who = f"key {account.live_key[:18]}"
    assert ("console.jobs.create", again, who) in done and ("console.jobs.cancel", again, who) in done
    assert account.live_key not in str(entries)


def test_an_account_sees_its_own(account: Account, other: Account, browser: Browser) -> None:
    theirs = other.run(chat("secret of another"))["id"]
    for path in (f"/console/jobs/{theirs}", f"/console/jobs/{theirs}/pictures/0"):
        assert browser.http.get(path).status_code == 404
    assert browser.post(f"/console/jobs/{theirs}/again").status_code == 404
    assert theirs not in browser.get("/console/jobs").text


def test_usage_is_what_the_ledger_charged(account: Account, browser: Browser) -> None:
    for _ in range(3):
        account.run(chat("charged", metadata={"team": "growth"}))
    spent = account.live.get("/credits").json()["spent"]["credits"]
    for by in ("model", "key", "tag"):
        text = browser.get("/console/usage", params={"by": by, "tag": "team"}).text
        assert f">{spent:,.6f}".rstrip("0") in text, by
    browser.get("/console/usage")
    link = re.search(r'href="(/console/usage/csv[^"]+)"', browser.page)
    assert link is not None
    file = browser.http.get(unescape(link[1]))
    assert file.headers["content-type"].startswith("text/csv") and "attachment" in file.headers["content-disposition"]
    assert file.text.startswith("day,model,jobs,") and ",3," in file.text


def test_a_batch_that_waits_for_a_budget_and_an_invoice_without_a_price_say_what_to_do(stack: Stack) -> None:
    account, browser = stack.account(), Browser(stack.url)
    browser.sign_in(key=account.live_key)

    def limit(connection: Connection) -> None:
        (id,) = (row["id"] for row in accounts.list_keys(connection, account.id) if row["mode"] == "live")
        key_limits.change(connection, id, Change(budgets={"month": 1}))

    stack.write(limit)
    body = {name: value for name, value in chat().items() if name != "type"}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body}
    batch = account.live.post("/batches", json={"requests": [line], "hold": "slices"}).json()["id"]
    await_condition(lambda: account.live.get(f"/batches/{batch}").json()["waiting_for"], what="that it waits")
    browser.get(f"/console/batches/{batch}")
    assert "wait until a budget of the batch’s API key has room for them; it renews <time" in browser.page
    browser.get("/console/batches")
    assert "waits for its key’s budget" in unescape(browser.page)
    summary = account.live.get("/jobs/summary").json()
    assert summary["batches"] == {"unfinished": 1, "waiting_for_credits": 0, "waiting_for_budget": 1}
    assert re.search(
        r"Unfinished batches</span><span [^>]*>1</span>.*1 waits for a key’s budget", browser.get("/console").text
    )
    assert "unfinished batches  1, 1 waiting for a budget" in Command(stack, account)("jobs", "--summary").output
    account.live.post(f"/batches/{batch}/cancel")
    invoice = account.live.post("/invoices", json={"credits": 5}).json()
    browser.get(f"/console/credits/invoices/{invoice['id']}")
    assert invoice["how_to_pay"] in unescape(browser.page) and "is not set here: ask them" in browser.page
    shown = Command(stack, account)("invoices", "show", invoice["id"]).output
    assert invoice["how_to_pay"] in shown
    account.close()


def test_what_the_api_refuses_is_shown_where_it_was_written(browser: Browser) -> None:
    answer = browser.get("/console/usage", params={"from": "2026-13-01"})
    assert answer.status_code == 400 and "“From” must be a date" in answer.text
    answer = browser.get("/console/jobs", params={"metadata": "team"})
    assert answer.status_code == 400 and 'aria-describedby="e-metadata"' in answer.text


def test_a_test_key_sees_test_jobs(account: Account, stack: Stack) -> None:
    browser = Browser(stack.url)
    browser.sign_in(key=account.test_key)
    live = account.run(chat("live"))["id"]
    page = browser.get("/console").text
    assert live not in page and "Credits available" not in page and ">test<" in page


def test_an_operator_looks_at_an_account(stack: Stack, account: Account) -> None:
    job = account.run(chat("seen by the operator"))["id"]
    browser = Browser(stack.url)
    assert browser.sign_in(password="wrong", name="ada").status_code == 401
    assert browser.sign_in(password=PASSWORD, name="grace").status_code == 303
    assert browser.get("/console").headers["location"] == "/console/account"
    assert account.id in browser.get("/console/account").text
    assert browser.post("/console/account", account_id="acct_none").status_code == 404
    assert browser.post("/console/account", account_id=account.id).headers["location"] == "/console"
    assert f"{account.id}</b>" in browser.get("/console").text and "operator grace" in browser.page
    browser.get(f"/console/jobs/{job}")
    again = browser.post(f"/console/jobs/{job}/again").headers["location"].rpartition("/")[2]
    assert account.finished(again)["status"] == "succeeded"
    entries = account.stack.database.read_sync(audit.entries, account.id)
    assert {("console.look_at", "grace"), ("console.jobs.create", "grace")} <= {
        (one["action"], one["operator"]) for one in entries
    }
    browser.get("/console")
    browser.post("/console/account")
    assert browser.get("/console/jobs").headers["location"] == "/console/account"
    assert not stack.violations()


def test_a_customer_is_no_operator(browser: Browser, other: Account) -> None:
    assert browser.get("/console/account").status_code == 404
    browser.get("/console")
    assert browser.post("/console/account", account_id=other.id).status_code == 404
    assert "operator" not in browser.get("/console").text


@contextmanager
def beside(stack: Stack, **given: str) -> Iterator[str]:
    """Another web process of the stack's, with settings of its own; its URL."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    own = {"FUSIONAI_PORT": str(port), "FUSIONAI_PUBLIC_URL": url, **{f"FUSIONAI_{k}": v for k, v in given.items()}}
    with stack.log.open("ab") as log:
        process = starting.start("producer.app", {**inherited(), **stack.environment, **own}, log)
    try:
        await_condition(lambda: _is_ready(url), what="the other web process")
        yield url
    finally:
        process.terminate()
        process.wait(10)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(url + "/readyz", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def test_a_read_only_console_changes_nothing(stack: Stack, account: Account) -> None:
    job = account.run(chat("to look at"))["id"]
    with beside(stack, CONSOLE_READ_ONLY="true") as url:
        browser = Browser(url)
        assert browser.sign_in(key=account.live_key).status_code == 303
        page = browser.get(f"/console/jobs/{job}").text
        assert "Run again" not in page and "read-only" in page
        refused = browser.post(f"/console/jobs/{job}/again")
        assert refused.status_code == 403 and "read-only" in refused.text
        assert browser.post("/console/sign-out").status_code == 303
    assert account.live.get("/jobs").json()["first_id"] == job


def test_without_the_setting_there_is_no_console(stack: Stack) -> None:
    with beside(stack, CONSOLE="false") as url:
        assert httpx.get(url + "/console", trust_env=False).status_code == 404
        assert httpx.get(url + "/", headers={"accept": "text/html"}, trust_env=False).status_code == 404


def test_sign_ins_are_limited_by_address(stack: Stack) -> None:
    browser = Browser(stack.url)
    codes = [browser.sign_in(key="nonsense").status_code for _ in range(125)]
    assert codes[-1] == 429 and "too many sign-ins" in browser.sign_in(key="nonsense").text
