"""The rows of entities on both databases: whose is whose, what an import replaces, and what linking reads of them."""

import asyncio
import dataclasses

import pytest

from producer.admission import linking
from producer.admission.accept import Acceptor
from producer.admission.linking import Linking
from shared.db import Database
from shared.entities import store
from shared.entities.resolving import Resolver
from shared.errors import Forbidden, Unavailable
from shared.submissions.linked_context import Entity
from tests.integration import world

SHARED = Entity("ORG", "1", "shared", {"a": 1}, "t")
OWN = Entity("ORG", "1", "own")
OTHER = Entity("PERSON", "2", "another's")


def test_an_account_finds_its_own_then_the_shared_ones(database: Database) -> None:
    database.write_sync(store.save, store.SHARED, [SHARED])
    database.write_sync(store.save, "acct_a", [OWN])
    database.write_sync(store.save, "acct_b", [OTHER])
    keys = [SHARED.key, OTHER.key, ("org", "1")]
    assert database.read_sync(store.find, "acct_a", keys) == {OWN.key: OWN}
    assert database.read_sync(store.find, "acct_b", keys) == {SHARED.key: SHARED, OTHER.key: OTHER}
    assert database.write_sync(store.remove, "acct_a", OWN.key)
    assert not database.write_sync(store.remove, "acct_a", OWN.key)
    assert database.read_sync(store.find, "acct_a", keys) == {SHARED.key: SHARED}


def test_an_import_replaces_and_the_last_of_several_counts(database: Database) -> None:
    database.write_sync(store.save, "", [OWN, SHARED, OTHER])
    assert database.read_sync(store.get, "", SHARED.key) == SHARED
    database.write_sync(store.save, "", [OWN])
    assert database.read_sync(store.get, "", OWN.key) == OWN
    database.write_sync(store.save, "", [])


def test_pages_go_on_where_they_ended(database: Database) -> None:
    many = [Entity("T", f"{number:03}") for number in range(450)]
    database.write_sync(store.save, "", many)
    assert len(database.read_sync(store.find, "x", [one.key for one in many])) == 450
    first = database.read_sync(store.page, "", "T", None, 400)
    rest = database.read_sync(store.page, "", "T", ("", "T", first[-1]["id"]), 400)
    assert [row["id"] for row in [*first, *rest]] == [one.id for one in many]
    assert database.read_sync(store.page, "acct_a", None, None, 10) == []


def test_linking_needs_access(database: Database) -> None:
    holder = world.open_account(database)
    linked = world.submission(linked_context=[{"type": "ORG", "id": "1"}])
    database.write_sync(store.save, "", [SHARED])
    ways = Linking(database, Resolver(database))

    async def found(who: world.KeyHolder) -> linking.FoundEntities:
        return await ways.find(who, [world.submission(), linked], listed=True, claim=None)

    with pytest.raises(Forbidden) as error:
        asyncio.run(found(holder))
    assert error.value.param == "jobs[1].linked_context"
    known = asyncio.run(found(dataclasses.replace(holder, linked_context=True)))
    plain, whole = known.put_into([world.submission(), linked], listed=True)
    assert plain.linked_bytes == () and "shared" in whole.request["messages"][0]["content"]


def test_what_was_prepared_for_an_earlier_answer_alone_is_never_accepted(database: Database) -> None:
    holder = world.open_account(database)
    made = Acceptor(database, world.RecordedBell()).prepare(holder, [world.submission()], listed=False, claim=None)
    made.answered = True
    (outcome,) = world.accept_all(database, [made])
    assert isinstance(outcome, Unavailable) and outcome.retry_after_seconds == 1
