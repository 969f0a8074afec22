"""FUSIONAI_KEY_SECRET changed step by step, on both databases: no key is refused, each ends under the new secret."""

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import orjson
import pytest
from sqlalchemy import update

from producer.admission import auth, kept_secrets
from producer.admission.auth import Keys
from producer.operations import webhooks
from producer.operations.webhooks import WebhookSpec
from shared import accounts, console_sessions, key_holders, key_secrets, key_standing
from shared.db import Database
from shared.db import models as m
from shared.errors import Conflict, Unauthorized
from shared.settings import settings
from tests.integration import world
from tests.integration.test_keys import Counted, counted, texts, until

__all__ = ["counted"]

OLD, NEW, OTHER = "the old secret" * 3, "the new one" * 3, "another one" * 3
#: What processes know in each step of a change; in a rolling restart those of two neighbouring steps run side by side.
STEPS = ((OLD, "", ""), (OLD, NEW, ""), (NEW, "", f'["{OLD}"]'), (NEW, "", ""))
Put = Callable[..., None]


@pytest.fixture
def put(monkeypatch: pytest.MonkeyPatch) -> Put:
    """The settings of this process from now on: the secret in force, the next, those of before."""

    def change(in_force: str, following: str = "", old: str = "") -> None:
        for name, value in {"key_secret": in_force, "key_secret_next": following, "key_secrets_old": old}.items():
            monkeypatch.setattr(settings(), name, value)

    return change


def new_key(database: Database) -> tuple[str, str]:
    """A key of a new account, which has no other: its id, and the key."""
    account = database.write_sync(accounts.create_account, "a customer")
    return database.write_sync(accounts.create_key, account, "live")


def mark_of(database: Database, id: str) -> str | None:
    (row,) = world.rows(database, m.api_keys, id=id)
    mark: str | None = row["hashed_by"]
    return mark


def use(database: Database, key: str) -> None:
    """A request with this key at a process that has just started, and that ends."""

    async def scene() -> None:
        keys = Keys(database)
        await keys.holder(key)
        await keys.close()

    asyncio.run(scene())


def standing(database: Database) -> dict[str, int]:
    return {one.standing: one.keys for one in database.read_sync(key_standing.counts)}


def test_no_key_is_refused_by_neighbours_of_a_step_and_all_end_under_the_new_secret(
    database: Database, put: Put
) -> None:
    made: list[tuple[str, str]] = []
    for before, after in pairwise(STEPS):
        for at in (before, after):  # each process makes a key
            put(*at)
            made.append(new_key(database))
        for at in (before, after, before, after):  # and each sees every key, whichever has seen it last
            put(*at)
            for _, key in made:
                use(database, key)
            if before == STEPS[2]:
                assert standing(database)["in_force"] == len(made)
    assert {mark_of(database, id) for id, _ in made} == {key_secrets.mark(NEW)}
    put(NEW)
    assert standing(database) == {"in_force": len(made)}


def test_what_a_process_ahead_has_changed_one_behind_leaves_alone(database: Database, put: Put) -> None:
    put(*STEPS[1])
    id, key = new_key(database)
    put(*STEPS[2])
    use(database, key)
    put(*STEPS[1])
    use(database, key)
    assert mark_of(database, id) == key_secrets.mark(NEW)
    assert standing(database) == {"in_force": 0, "next": 1}


def test_the_command_counts_what_still_needs_the_old_secret(database: Database, put: Put) -> None:
    put(OLD)
    (_, key), (unused, _), (revoked, _), (earlier, older) = (new_key(database) for _ in range(4))
    database.write_sync(accounts.revoke_key, revoked)
    forget = update(m.api_keys).where(m.api_keys.c.id == earlier).values(hashed_by=None)
    database.write_sync(lambda connection: connection.execute(forget).rowcount)  # as an earlier version makes one
    put(*STEPS[2])
    use(database, key)
    assert standing(database) == {"in_force": 1, "old": 1, "unnoted": 1}
    left = [row["id"] for row in database.read_sync(accounts.list_keys, left=True)]
    assert left == sorted([unused, earlier])
    use(database, older)
    assert standing(database) == {"in_force": 2, "old": 1}
    put(NEW)
    assert standing(database) == {"in_force": 2, "unknown": 1}


def test_an_earlier_versions_key_is_noted_when_it_is_used(database: Database, put: Put) -> None:
    put(OLD)
    id, key = new_key(database)
    database.write_sync(lambda connection: connection.execute(update(m.api_keys).values(hashed_by=None)).rowcount)
    use(database, key)
    assert mark_of(database, id) == key_secrets.mark(OLD)
    (row,) = world.rows(database, m.api_keys, id=id)
    assert row["hash"] == hmac.new(OLD.encode(), key.encode(), hashlib.sha256).hexdigest(), "earlier versions find it"


def test_a_key_is_looked_up_once_whichever_secret_it_stands_under(counted: Counted, put: Put) -> None:
    put(OLD)
    _, key = new_key(counted)
    put(OTHER, NEW, f'["{OLD}"]')

    async def scene() -> None:
        keys = Keys(counted)
        await asyncio.gather(*(keys.holder(key) for _ in range(20)))
        assert (counted.reads, counted.writes) == (1, 0)
        await keys.close()
        assert (counted.reads, counted.writes) == (1, 2), "its use, and its new hash"

    asyncio.run(scene())
    use(counted, key)
    assert counted.writes == 3, "it stands under the secret in force"


def test_a_revoked_key_stays_so_and_is_changed_no_more(
    database: Database, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "TRUST_SECONDS", 0.1)
    put(OLD)
    _, key = new_key(database)
    put(*STEPS[2])

    async def scene() -> None:
        keys = Keys(database)
        await keys.holder(key)
        await asyncio.to_thread(database.write_sync, accounts.revoke_key, key)
        async with asyncio.timeout(10):
            with pytest.raises(Unauthorized):
                while True:
                    await keys.holder(key)
                    await asyncio.sleep(0.01)
        await keys.close()

    asyncio.run(scene())
    with pytest.raises(Unauthorized):
        use(database, key)


def test_two_that_put_a_key_do_it_once(database: Database, put: Put) -> None:
    put(OLD)
    id, key = new_key(database)
    put(*STEPS[2])
    found = database.read_sync(key_holders.find_key, key)
    assert found is not None and found.rehash is not None
    for _ in range(2):
        database.write_sync(key_standing.put, [found.rehash])
    assert database.read_sync(key_holders.find_key, key) == found
    put(OTHER, "", NEW.replace(" ", "_"))
    database.write_sync(key_standing.put, [found.rehash])  # what was noted before, and comes late
    assert mark_of(database, id) == key_secrets.mark(NEW)


def test_a_process_says_that_keys_are_refused_for_want_of_their_secret(
    database: Database, put: Put, caplog: pytest.LogCaptureFixture
) -> None:
    put(OLD)
    new_key(database)

    async def start() -> None:
        running = asyncio.create_task(Keys(database).run())
        await until(lambda: "API keys" in caplog.text)
        running.cancel()

    put(NEW)
    asyncio.run(start())
    assert "which refuses them: 1; see `fusionai keys secrets`" in caplog.text
    assert not any(secret in caplog.text for secret in (OLD, NEW))
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_a_dump_has_no_secret_and_nothing_by_which_to_guess_a_key(database: Database, put: Put) -> None:
    put(OLD)
    _, key = new_key(database)
    put(*STEPS[2])
    use(database, key)
    dump = "\n".join(texts(database))
    assert key[18:] not in dump and not any(secret in dump for secret in (OLD, NEW))
    assert key_secrets.mark(NEW) in dump and hashlib.sha256(NEW.encode()).hexdigest()[:8] not in dump


def test_sessions_of_the_console_outlive_a_change(
    database: Database, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = "the-first-password", "the-second-password"
    monkeypatch.setattr(settings(), "operator_password", first)
    put(OLD)
    id, _ = new_key(database)
    begun = [
        database.write_sync(lambda c: console_sessions.begin(c, key_id=id)),
        database.write_sync(lambda c: console_sessions.begin(c, operator="ann", password=first)),
    ]

    def good(*tokens: str) -> list[bool]:
        return [database.read_sync(console_sessions.find, token) is not None for token in tokens]

    monkeypatch.setattr(settings(), "operator_password", f"{first} {second}")
    for at in STEPS[:3]:
        put(*at)
        assert good(*begun) == [True, True], at
    later = database.write_sync(lambda c: console_sessions.begin(c, operator="bob", password=second))
    monkeypatch.setattr(settings(), "operator_password", second)
    assert good(*begun, later) == [True, False, True], "a password that is taken away ends its own sessions alone"
    put(NEW)
    assert good(*begun, later) == [False, False, True]


def test_a_secret_that_an_idempotency_key_names_is_shown_again_in_each_step(database: Database, put: Put) -> None:
    put(OLD)
    holder = world.open_account(database)
    made: Any = database.write_sync(webhooks.create, holder, WebhookSpec(url="https://a.example/"))
    kept = orjson.dumps(kept_secrets.hidden(made)).decode()
    assert made["secret"] not in kept
    for at in STEPS[:3]:
        put(*at)
        assert orjson.loads(database.read_sync(kept_secrets.shown, kept))["secret"] == made["secret"]
    put(NEW)
    with pytest.raises(Conflict):
        database.read_sync(kept_secrets.shown, kept)
