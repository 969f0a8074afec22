"""The life of a key over HTTP and by the command: made, listed, used, expired, revoked; live and test apart."""

import json
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from sqlalchemy import select

from producer import cli
from shared import accounts, clock
from shared.db.models import api_keys
from shared.key_texts import new_key
from shared.settings import settings
from tests.acceptance.stack import Account, Stack, chat
from tests.conditions import await_condition

Run = Callable[..., Any]


@pytest.fixture
def run(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs an operator's command on the stack's database; its JSON, or its words for people with `words=True`."""
    url = stack.database.engine.url.render_as_string(hide_password=False)
    monkeypatch.setattr(settings(), "database_url", url)

    def command(*arguments: str, words: bool = False) -> Any:
        result = CliRunner().invoke(cli.main, [*arguments, *([] if words else ["--json"])])
        assert result.exit_code == 0, result.output
        return result.output if words else json.loads(result.output)

    return command


def status(stack: Stack, key: str) -> int:
    return httpx.get(stack.url + "/v1/credits", headers={"authorization": f"Bearer {key}"}).status_code


def test_a_key_from_its_making_to_its_end(stack: Stack, account: Account, run: Run) -> None:
    made = run("keys", "create", "--account", account.id, "--name", "ci", "--expires", "2999-12-31")
    key, prefix = made["key"], made["key"][:18]
    assert key not in run("keys", "list", words=True)
    (listed,) = run("keys", "list", "--prefix", prefix)
    assert (listed["id"], listed["mode"], listed["name"]) == (made["id"], "live", "ci")
    assert listed["expires_at"] == 32_503_593_600 and listed["last_used_at"] is None and listed["revoked_at"] is None
    assert "never" in run("keys", "list", "--prefix", prefix, words=True)
    before = clock.now_seconds()
    assert status(stack, key) == 200
    used = lambda: run("keys", "list", "--prefix", key)[0]["last_used_at"]  # noqa: E731
    assert before <= await_condition(used, what="its last use") <= clock.now_seconds()
    assert run("keys", "revoke", key[:18]) == {"id": made["id"], "revoked": True, "already": False}
    revoked = clock.monotonic()
    await_condition(lambda: status(stack, key) == 401, seconds=5)
    assert clock.monotonic() - revoked < 2
    assert run("keys", "list", "--prefix", prefix)[0]["revoked_at"] >= before


def test_a_key_that_was_found_lying_about_is_ended_by_itself(stack: Stack, account: Account, run: Run) -> None:
    made = run("keys", "create", "--account", account.id)
    assert run("keys", "revoke", made["key"])["id"] == made["id"]
    for words in ("fusionai_live_", "fusionai_", "key_none", new_key("live"), "%", ""):
        assert CliRunner().invoke(cli.main, ["keys", "revoke", words]).exit_code == 1, words
    assert status(stack, account.live_key) == 200


def test_limits_and_plans_by_command(account: Account, run: Run) -> None:
    made = run("accounts", "create", "Acme", "--plan", "enterprise", "--requests-per-minute", "7000")
    assert made["requests_per_minute"] == 7000
    assert run("accounts", "plan", made["id"], "starter")["requests_per_minute"] == 7000
    assert run("accounts", "limit", made["id"], "plan")["requests_per_minute"] == 100
    shown = run("accounts", "limit", made["id"], "5")
    assert (shown["requests_per_minute"], shown["requests_per_minute_is_own"]) == (5, True)
    assert "5, its own" in run("accounts", "show", made["id"], words=True)
    for words in (["limit", made["id"], "0"], ["limit", made["id"], "many"], ["limit", made["id"], "10000001"]):
        assert CliRunner().invoke(cli.main, ["accounts", *words]).exit_code == 2, words
    for words in (["limit", "acct_none", "5"], ["plan", "acct_none", "starter"]):
        assert CliRunner().invoke(cli.main, ["accounts", *words]).exit_code == 1, words


def test_a_revocation_ends_no_request_under_way(stack: Stack, account: Account) -> None:
    id, key = stack.write(lambda c: accounts.create_key(c, account.id, "live"))
    answers: list[httpx.Response] = []
    headers = {"authorization": f"Bearer {key}"}
    with stack.script({"contains": "meanwhile revoked", "fault": {"latency_seconds": 5}}):
        job = account.submit(chat("meanwhile revoked"))["id"]

        def poll() -> None:
            url = f"{stack.url}/v1/jobs/{job}"
            answers.append(httpx.get(url, params={"wait": 20}, headers=headers, timeout=40))

        waiting = threading.Thread(target=poll)
        waiting.start()
        used = select(api_keys.c.last_used_at).where(api_keys.c.id == id)
        await_condition(lambda: stack.database.read_sync(lambda c: c.execute(used).scalar()), what="the poll")
        stack.write(accounts.revoke_key, id)
        await_condition(lambda: status(stack, key) == 401, seconds=5)
        waiting.join()
    assert answers[0].status_code == 200 and answers[0].json()["status"] == "succeeded"
