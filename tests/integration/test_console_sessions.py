"""Sign-ins to the console as rows: another operator's password, or none, ends those of operators, and nobody else's."""

import pytest

from shared import accounts, console_sessions
from shared.db import Database
from shared.settings import settings
from tests.integration import world


def test_an_operators_session_is_as_good_as_the_password(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    holder = world.open_account(database)
    key_id, _ = database.write_sync(accounts.create_key, holder.account_id, "live")
    monkeypatch.setattr(settings(), "operator_password", "an-operators-password")
    operators = database.write_sync(lambda c: console_sessions.begin(c, operator="ann"))
    keys = database.write_sync(lambda c: console_sessions.begin(c, key_id=key_id))
    found = database.read_sync(console_sessions.find, operators)
    assert found is not None and found.operator == "ann"
    for other in ("another-operators-password", ""):
        monkeypatch.setattr(settings(), "operator_password", other)
        assert database.read_sync(console_sessions.find, operators) is None
        assert database.read_sync(console_sessions.find, keys) is not None
    monkeypatch.setattr(settings(), "operator_password", "an-operators-password")
    database.write_sync(console_sessions.end, operators)
    assert database.read_sync(console_sessions.find, operators) is None


def test_a_keys_session_is_no_operators(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings(), "operator_password", "p" * 20)
    token = database.write_sync(lambda c: console_sessions.begin(c, operator="ann"))
    assert console_sessions.token_hash(token) != console_sessions.operator_hash(token)
    assert database.read_sync(console_sessions.find, f"{token}:{'p' * 20}") is None, "its hash is that of an operator"
