"""fusionai keys: the list tells what a key may use, and whose budget is used up."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from producer import cli
from producer.cli.keys import _state
from shared import clock
from shared.settings import settings


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("FUSIONAI_DATABASE_URL", raising=False)
    monkeypatch.setenv("FUSIONAI_STATE_DIRECTORY", str(tmp_path / "state"))
    settings.cache_clear()
    yield
    settings.cache_clear()


def run(*words: str) -> str:
    result = CliRunner().invoke(cli.main, list(words))
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_list_says_what_is_limited(database: None) -> None:
    run("migrate")
    account = run("accounts", "create", "Acme", "--json")
    run("keys", "create", "--name", "free")
    limits = ("--model", "gpt-4", "--model", "claude-*", "--budget", "5/month", "--permission", "jobs:write")
    run("keys", "create", "--name", "narrow", *limits, "--requests-per-minute", "60")
    for words in (["keys"], ["accounts", "show", account.split('"id": "')[1].split('"')[0]]):
        free, narrow = run(*words).splitlines()[-2:]
        assert "gpt-4, claude-*; " in narrow and "0 of 5/month; 60 requests/min" in narrow and "jobs:write" in narrow
        assert narrow.endswith("active") and free.split()[-2:] == ["-", "active"]
    assert '"budgets": []' in run("keys", "--json") and '"models": [' in run("keys", "--json")


def test_a_key_whose_budget_is_used_up_is_not_simply_active() -> None:
    budget = {"period": "month", "credits": 5, "used_credits": 4, "held_credits": 0.5}
    key = {"revoked_at": None, "expires_at": None, "budgets": [budget]}
    assert _state(key) == "active"
    used = {**key, "budgets": [budget, {**budget, "held_credits": 1}]}
    assert _state(used) == "budget used up"
    assert _state({**used, "expires_at": clock.now_seconds() + 9}) == "budget used up"
    assert _state({**used, "expires_at": 5}).startswith("expired ")
    assert _state({**used, "revoked_at": 5}).startswith("revoked ")
