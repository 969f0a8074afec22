"""Keys: a typo fails the checksum, only a keyed hash is stored, and an end is an end."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, select

from shared import accounts, clock
from shared.db import Database
from shared.db.models import api_keys, thresholds
from shared.errors import InvalidRequest, NotFound
from shared.key_holders import find_key
from shared.key_texts import Mode, key_hash, new_key, well_formed
from shared.money import ledger
from shared.settings import settings
from tests.servers import migrated_sqlite

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    """An empty database."""
    database = Database(migrated_sqlite(tmp_path / "accounts.sqlite3"), threads=1)
    with database.engine.connect() as opened:
        yield opened
    database.close()


@pytest.mark.parametrize("mode", ["live", "test"])
def test_a_key_says_its_mode_and_is_well_formed(mode: Mode) -> None:
    keys = {new_key(mode) for _ in range(200)}
    assert len(keys) == 200
    assert all(key.startswith(f"fusionai_{mode}_") and well_formed(key) for key in keys)


def test_every_single_wrong_character_is_caught() -> None:
    key = new_key("live")
    for at in range(len(key)):
        for other in ALPHABET + "_-é \x00":
            if other != key[at]:
                assert not well_formed(key[:at] + other + key[at + 1 :])


def test_every_swap_omission_and_doubling_is_caught() -> None:
    for key in (new_key("live"), new_key("test")):
        for at in range(len(key) - 1):
            swapped = key[:at] + key[at + 1] + key[at] + key[at + 2 :]
            assert swapped == key or not well_formed(swapped)
            assert not well_formed(key[:at] + key[at + 1 :])
            assert not well_formed(key[:at] + key[at] + key[at:])


def test_live_and_test_never_cross() -> None:
    assert not well_formed(new_key("live").replace("_live_", "_test_"))


@given(st.text(max_size=60))
def test_anything_may_be_asked_about(text: str) -> None:
    well_formed(text)
    well_formed("fusionai_live_" + text)


@pytest.mark.parametrize("text", ["", "fusionai_live_", "sk-1234", "fusionai_live_" + "a" * 38, "Fusionai_live_" * 4])
def test_what_is_no_key(text: str) -> None:
    assert not well_formed(text)


def test_only_a_keyed_hash_is_stored(connection: Connection) -> None:
    account = accounts.create_account(connection, "a")
    id, key = accounts.create_key(connection, account, "live", name="ci")
    (row,) = connection.execute(select(api_keys)).mappings()
    secret = key[len("fusionai_live_") :]
    assert row["hash"] == key_hash(key) and row["prefix"] == key[:18]
    assert not any(secret[4:] in str(value) for value in row.values())
    (shown,) = accounts.list_keys(connection, account)
    assert "hash" not in shown and shown["id"] == id


def test_the_hash_depends_on_the_deployments_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    key = new_key("live")
    before = key_hash(key)
    monkeypatch.setattr(settings(), "key_secret", "another")
    assert key_hash(key) != before


def test_a_key_finds_its_holder(connection: Connection) -> None:
    account = accounts.create_account(connection, "a")
    for mode in ("live", "test"):
        id, key = accounts.create_key(connection, account, mode)  # type: ignore[arg-type]
        holder = find_key(connection, key)
        assert holder is not None
        assert (holder.key_id, holder.account_id, holder.mode, holder.test) == (id, account, mode, mode == "test")
    assert find_key(connection, new_key("live")) is None


def test_an_expired_key_opens_nothing(connection: Connection) -> None:
    account = accounts.create_account(connection, "a")
    hour = 3600 * clock.MICROS
    _, key = accounts.create_key(connection, account, "live", expires_at=clock.now_micros() + hour)
    assert find_key(connection, key) is not None
    clock.shift(hour)
    try:
        assert find_key(connection, key) is None
    finally:
        clock.shift(-hour)


@pytest.mark.parametrize("by", ["id", "prefix"])
def test_a_revoked_key_opens_nothing(connection: Connection, by: str) -> None:
    account = accounts.create_account(connection, "a")
    id, key = accounts.create_key(connection, account, "live")
    _, other = accounts.create_key(connection, account, "live")
    assert accounts.revoke_key(connection, id if by == "id" else key[:18]) == id
    assert find_key(connection, key) is None and find_key(connection, other) is not None


def test_the_time_of_a_revocation_stays_the_first(connection: Connection) -> None:
    account = accounts.create_account(connection, "a")
    id, _ = accounts.create_key(connection, account, "live")
    accounts.revoke_key(connection, id)
    first = connection.execute(select(api_keys.c.revoked_at)).scalar_one()
    accounts.revoke_key(connection, id)
    assert connection.execute(select(api_keys.c.revoked_at)).scalar_one() == first


def test_what_cannot_be_made_or_ended(connection: Connection) -> None:
    with pytest.raises(InvalidRequest) as refused:
        accounts.create_account(connection, "a", "platinum")
    assert refused.value.param == "plan"
    with pytest.raises(NotFound):
        accounts.create_key(connection, "acct_none", "live")
    with pytest.raises(NotFound):
        accounts.revoke_key(connection, "key_none")


def test_a_new_account_is_watched_at_a_hundred_credits(connection: Connection) -> None:
    account = accounts.create_account(connection, "a")
    (row,) = connection.execute(select(thresholds)).mappings()
    assert (row["kind"], row["level_micros"], row["armed"]) == ("remaining", 100_000_000, False)
    ledger.grant(connection, account, 100_000_001)
    assert connection.execute(select(thresholds.c.armed)).scalar_one() is True


def test_a_key_is_found_by_its_name_and_by_the_end_of_its_id(connection: Connection) -> None:
    account = accounts.create_account(connection, "named")
    id, _ = accounts.create_key(connection, account, "live", name="team-a")
    accounts.create_key(connection, account, "live", name="twice")
    accounts.create_key(connection, account, "live", name="twice")
    assert accounts.named_key(connection, "team-a") == id
    assert accounts.named_key(connection, f"…{id[-8:]}") == accounts.named_key(connection, f"...{id[-8:]}") == id
    other, _ = accounts.create_key(connection, account, "live", name=id)
    assert accounts.named_key(connection, id) == id and accounts.named_key(connection, other) == other
    for wrong in ("twice", "team-b", "…", "…%", "…_"):
        with pytest.raises(NotFound, match="keys match"):
            accounts.named_key(connection, wrong)
