"""The console under attack: forms of another account, of any size and kind; pages of what is large; many sign-ins."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from producer.admission.limits import Limits
from producer.admission.limits.rates import RateLimit
from producer.console import signing
from shared import accounts, clock, key_limits
from shared.db import models as m
from shared.key_limits import Change
from tests.acceptance.stack import Account, Stack, chat, own_stack
from tests.acceptance.test_console import PASSWORD, Browser, browser, closed

__all__ = ["browser", "closed"]
FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose console is on, beside a dialect with a host of its own."""
    given = {"CONSOLE": "true", "DIALECT_HOSTS": "fluence=api.fluence.ai"}
    with own_stack(tmp_path_factory.mktemp("attacked"), **given) as running:
        yield running


def look_at(operator: Browser, account: Account) -> None:
    operator.get("/console/account")
    assert operator.post("/console/account", account_id=account.id).status_code == 303


def test_a_form_changes_the_account_that_its_page_showed(stack: Stack, account: Account, other: Account) -> None:
    operator = Browser(stack.url)
    assert operator.sign_in(password=PASSWORD, name="ann").status_code == 303
    look_at(operator, account)
    operator.get("/console/keys")
    of_the_first = operator.csrf()
    look_at(operator, other)
    for path in ("/console/keys", "/console/credits/thresholds", "/console/credits/buy", "/console/new"):
        refused = operator.http.post(path, data={"csrf": of_the_first, "credits": "1", "do": "send"})
        assert refused.status_code == 409 and account.id in refused.text and other.id in refused.text, path
    count = len(stack.database.read_sync(accounts.list_keys, other.id))
    assert count == 2, "the two that it began with"
    operator.get("/console/keys")
    assert operator.post("/console/keys", name="second").status_code == 200
    operator.page = f'name="csrf" value="{of_the_first}"'
    assert operator.post("/console/sign-out").status_code == 303
    assert operator.get("/console").headers["location"].startswith("/console/sign-in")


def test_the_console_is_the_same_at_a_dialects_host(browser: Browser) -> None:
    for path in ("/console", "/console/jobs", "/console/models", "/console/webhooks"):
        assert browser.get(path, headers={"host": "api.fluence.ai"}).status_code == 200, path


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/console/credits/buy", {"credits": "1e300", "description": ""}),
        ("/console/credits/buy", {"credits": "nan"}),
        ("/console/credits/buy", {"credits": "9" * 40}),
        ("/console/credits/buy", {"credits": "1\x00"}),
        ("/console/credits/thresholds", {"kind": "remaining", "level": "inf"}),
        ("/console/new", {"do": "remove-²", "role": "user", "content": "a"}),
        ("/console/new", {"do": "remove-" + "9" * 5000, "role": "user", "content": "a"}),
        ("/console/webhooks/{webhook}/redeliver", {"period": "abc"}),
        ("/console/webhooks/{webhook}/redeliver", {"since": "9" * 40, "which": "all"}),
        ("/console/webhooks/{webhook}/redeliver", {"since": "²", "which": "all"}),
    ],
)
def test_no_form_is_an_error_of_ours(account: Account, browser: Browser, path: str, form: dict[str, str]) -> None:
    webhook = account.live.post("/webhooks", json={"url": "https://example.com/x", "events": ["*"]}).json()["id"]
    answer = browser.post(path.format(webhook=webhook), **form)
    assert answer.status_code in (200, 303, 400), answer.text


@pytest.mark.parametrize("path", ["/keys?after=%00", "/jobs/%00", f"/jobs/x/pictures/{'9' * 5_000}"])
def test_no_address_is_an_error_of_ours(browser: Browser, path: str) -> None:
    assert browser.get("/console" + path).status_code == 404


def test_an_operators_amounts_are_no_error_of_ours(stack: Stack, account: Account) -> None:
    operator = Browser(stack.url)
    operator.sign_in(password=PASSWORD)
    look_at(operator, account)
    operator.get("/console/keys")
    assert operator.post("/console/keys", budget_day="1e999999").status_code == 400
    assert operator.post("/console/accounts", name="a", plan="1\x00").status_code == 400


@pytest.mark.parametrize("path", ["/console/sign-in", "/console/sign-out", "/console/jobs/job_1/cancel"])
def test_a_form_is_read_up_to_a_size(browser: Browser, path: str) -> None:
    def endless() -> Iterator[bytes]:
        yield b"csrf="
        for _ in range(6):
            yield b"a" * 1_000_000

    whole = b"".join(endless())
    for content in (whole, endless()):
        assert browser.http.post(path, content=content, headers=FORM).status_code in (400, 413)
    refused = browser.http.post(path, content=b"csrf=a&" * 800_000, headers=FORM)
    assert refused.status_code in (400, 413)


def test_a_form_without_a_place_for_a_file_takes_none(browser: Browser) -> None:
    files = {"file": ("x.jsonl", b"{}", "application/jsonl")}
    answer = browser.http.post("/console/jobs/job_1/cancel", files=files, data={"csrf": browser.csrf()})
    assert answer.status_code == 400 and "files" in answer.text


def shown(browser: Browser, account: Account, body: dict[str, Any]) -> httpx.Response:
    job = account.run(body)
    began = clock.monotonic()
    answer = browser.get(f"/console/jobs/{job['id']}")
    assert answer.status_code == 200, answer.text
    assert clock.monotonic() - began < 5 and len(answer.content) < 3_000_000
    return answer


def test_a_page_of_a_large_job_is_small_and_soon_made(account: Account, browser: Browser) -> None:
    long = {"messages": [{"role": "user", "content": f"{number} " * 100} for number in range(5_000)]}
    answer = shown(browser, account, chat() | long)
    assert "4,900 earlier messages are not shown" in answer.text and "@request.json" in answer.text
    tokens = [list(range(1_000)) for _ in range(300)]
    shown(browser, account, {"type": "embedding", "model": "text-embedding-3-large", "input": tokens})


def test_deep_arguments_of_a_call_are_shown_as_they_are(account: Account, browser: Browser) -> None:
    deep = "[" * 5_000 + "]" * 5_000
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": deep}}
    messages = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "x"},
    ]
    assert deep in shown(browser, account, chat() | {"messages": messages}).text


def test_a_restricted_key_sees_itself_alone(stack: Stack, account: Account) -> None:
    def make(connection: Any) -> str:
        id, key = accounts.create_key(connection, account.id, "live", name="reader")
        key_limits.change(connection, id, Change({"permissions": ["jobs:read"]}, {}))
        return key

    browser = Browser(stack.url)
    assert browser.sign_in(key=stack.write(make)).status_code == 303
    page = browser.get("/console/keys").text
    assert "reader" in page and account.live_key[:19] not in page and account.test_key[:19] not in page


async def _wrong_sign_ins(redis_url: str, number: int) -> None:
    """Count so many of them as the web process does: as many by HTTP may take longer than the minute of the limit."""
    limits = Limits(redis_url)
    try:
        for _ in range(number):
            await limits.admit(RateLimit("console.sign_in", signing.TRIES, 60.0))
    finally:
        await limits.close()


def test_wrong_sign_ins_of_many_addresses_lock_nobody_out(stack: Stack, account: Account) -> None:
    asyncio.run(_wrong_sign_ins(stack.environment["FUSIONAI_REDIS_URL"], signing.TRIES))
    attacker = Browser(stack.url)
    attacker.http.headers["x-forwarded-for"] = "203.0.113.1"
    assert attacker.sign_in(key="nonsense").status_code == 429, "they are too many together"
    mine = Browser(stack.url)
    mine.http.headers["x-forwarded-for"] = "198.51.100.1"
    assert mine.sign_in(key=account.live_key).status_code == 303


def test_a_session_is_gone_with_its_row(stack: Stack, browser: Browser) -> None:
    stack.write(lambda connection: connection.execute(m.console_sessions.delete()))
    assert browser.get("/console").status_code == 303
