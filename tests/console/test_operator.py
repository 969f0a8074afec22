"""The operator at the console: signs in by password, opens an account, grants credit, makes a key and revokes it."""

from collections.abc import Callable

import httpx
from playwright.sync_api import Page, expect

from tests.acceptance.command import Command
from tests.acceptance.stack import Account
from tests.conditions import await_condition
from tests.console.visitor import Visitor
from tests.console.world import World


def sign_in(page: Page, password: str) -> None:
    """By the second form, which is folded until it is asked for."""
    page.get_by_text("Sign in as the operator").first.click()
    page.get_by_label("Your name").fill("ada")
    page.get_by_label("Operator password").fill(password)
    page.get_by_role("button", name="Sign in as the operator").click()


def test_a_wrong_password_is_refused(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    visitor.watch.expect("status of 401")
    page = visitor.open("/console/sign-in")
    sign_in(page, "open sesame, please")
    expect(page.get_by_role("alert")).to_contain_text("wrong operator password")
    assert visitor.context.cookies() == []


def test_an_account_is_granted_credit_under_the_operators_name(
    account: Account, world: World, visit: Callable[..., Visitor]
) -> None:
    visitor = visit()
    page = visitor.open(f"/console/accounts/{account.id}")
    sign_in(page, world.operator_password)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    visitor.open(f"/console/accounts/{account.id}")
    granting = page.locator("form[action$='/grant']")
    granting.get_by_label("Credits").fill("250")
    granting.get_by_label("Reason").fill("for the trouble")
    granting.get_by_role("button").click()
    expect(page.get_by_role("status").first).to_be_visible()
    assert account.live.get("/credits").json()["available"] == 10_250
    entries = Command(world, account).json("accounts", "audit", account.id)  # type: ignore[arg-type]
    assert any(entry["operator"] == "ada" for entry in entries)
    assert world.operator_password not in page.content()


def test_a_key_is_shown_once_and_revoked(account: Account, world: World, visit: Callable[..., Visitor]) -> None:
    visitor = visit(operator=True, looking_at=account.id)
    page = visitor.open("/console/keys")
    page.locator("#new").get_by_label("Name").fill("nightly export")
    page.get_by_role("button", name="Make the key").click()
    visitor.heading("The new key")
    key = page.locator("pre").first.inner_text().strip()
    world.keep_secret(key)
    assert key not in page.url
    assert _status(world, key) == 200
    visitor.open("/console/keys")
    assert key not in page.content()
    row = page.get_by_role("row").filter(has_text="nightly export")
    row.get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("row").filter(has_text="nightly export")).to_contain_text("revoked")
    assert len(visitor.watch.questions) == 1
    await_condition(lambda: _status(world, key) == 401, seconds=10, what="the refusal of a key that was revoked")


def _status(world: World, key: str) -> int:
    headers = {"authorization": f"Bearer {key}"}
    return httpx.get(f"{world.url}/v1/credits", headers=headers, trust_env=False).status_code
