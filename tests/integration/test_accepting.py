"""Acceptance on both databases: idempotency through every race, and no account overdrawn by a crowd."""

import asyncio
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from producer.admission import idempotency
from producer.admission.accept import Acceptor
from producer.admission.idempotency import Claim
from producer.admission.prepared import Accepted
from shared import clock
from shared.db import AmbiguousCommitError, Database
from shared.db import models as m
from shared.errors import IdempotencyMismatch, InsufficientCredits
from shared.jobs import leases
from shared.key_holders import KeyHolder
from tests.integration import world
from workers.maintenance import purge

BOUND = 1000


def claim(holder: KeyHolder, key: str, body: Any = "a") -> Claim:
    made = idempotency.claim(holder, key, "POST", "/jobs", body)
    assert made is not None
    return made


def accepted_id(outcome: Accepted | Exception) -> str:
    assert isinstance(outcome, Accepted)
    return str(orjson.loads(outcome.response)["id"])


def test_the_same_key_in_the_same_group(database: Database) -> None:
    holder = world.open_account(database)
    bodies = ["a", "a", "b", "a"]
    orders = [world.order(database, holder, claim=claim(holder, "k", body)) for body in bodies]
    first, again, other, third = world.accept_all(database, orders)
    assert accepted_id(first) == accepted_id(again) == accepted_id(third)
    assert [o.replayed for o in (first, again, third) if isinstance(o, Accepted)] == [False, True, True]
    assert isinstance(other, IdempotencyMismatch) and len(world.rows(database, m.jobs)) == 1
    assert world.violations(database) == []


@pytest.mark.parametrize("bodies", [["a", "b"], ["b", "a"], ["b", "a", "b"]])
def test_the_same_key_in_a_later_group_is_judged_order_by_order(database: Database, bodies: list[str]) -> None:
    holder = world.open_account(database)
    (first,) = world.accept_all(database, [world.order(database, holder, claim=claim(holder, "k", "a"))])
    orders = [world.order(database, holder, claim=claim(holder, "k", body)) for body in bodies]
    for body, outcome in zip(bodies, world.accept_all(database, orders), strict=True):
        if body == "a":
            assert accepted_id(outcome) == accepted_id(first) and isinstance(outcome, Accepted) and outcome.replayed
        else:
            assert isinstance(outcome, IdempotencyMismatch)


def test_a_refused_order_leaves_its_key_free(database: Database) -> None:
    holder = world.open_account(database, 1)
    orders = [
        world.order(database, holder, claim=claim(holder, "k"), bound=bound) for bound in (5 * world.CREDIT, BOUND)
    ]
    refused, taken = world.accept_all(database, orders)
    assert isinstance(refused, InsufficientCredits) and isinstance(taken, Accepted) and not taken.replayed


def test_keys_are_kept_for_a_day_and_then_forgotten(database: Database) -> None:
    holder = world.open_account(database)
    (first,) = world.accept_all(database, [world.order(database, holder, claim=claim(holder, "k"))])
    with world.virtual_time():
        clock.shift(86_400 * clock.MICROS)
        purge.purge_all(database)
        (again,) = world.accept_all(database, [world.order(database, holder, claim=claim(holder, "k"))])
        assert accepted_id(again) == accepted_id(first)
        clock.shift(86_400 * clock.MICROS)
        purge.purge_all(database)
        (fresh,) = world.accept_all(database, [world.order(database, holder, claim=claim(holder, "k"))])
        assert accepted_id(fresh) != accepted_id(first)


def test_an_order_that_an_ambiguous_commit_left_there_is_found(database: Database) -> None:
    holder = world.open_account(database)
    order = world.order(database, holder, claim=claim(holder, "k"), bound=BOUND)
    (first,) = world.accept_all(database, [order])
    (again,) = world.accept_all(database, [order])
    assert isinstance(again, Accepted) and not again.replayed and accepted_id(again) == accepted_id(first)
    assert len(world.rows(database, m.jobs)) == 1 and world.violations(database) == []


def test_an_ambiguous_commit_through_the_door_accepts_once(database: Database) -> None:
    holder = world.open_account(database)

    class Flaky(Database):
        """Commits, and says that it does not know."""

        left = 2

        def write_sync(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
            value = super().write_sync(fn, *args, **kwargs)
            if self.left:
                self.left -= 1
                raise AmbiguousCommitError
            return value

    flaky = Flaky(database.engine.url.render_as_string(hide_password=False))

    async def scene() -> Accepted:
        acceptor = Acceptor(flaky, world.RecordedBell())
        outcome = await acceptor.accept(
            acceptor.prepare(holder, [world.submission()], listed=False, claim=claim(holder, "k"))
        )
        await acceptor.close()
        return outcome

    assert accepted_id(asyncio.run(scene())) == world.rows(database, m.jobs)[0]["id"]
    assert not flaky.left
    assert len(world.rows(database, m.jobs)) == 1 and world.violations(database) == []
    flaky.close()


def crowd(database: Database, posts: Sequence[tuple[KeyHolder, Claim | None]], acceptors: int = 2) -> list[Any]:
    """Each post through one of several acceptors, each acceptor a process's worth: own engine, own thread, own loop."""
    outcomes: list[Any] = []
    url = database.engine.url.render_as_string(hide_password=False)

    async def through(part: Sequence[tuple[KeyHolder, Claim | None]], own: Database) -> None:
        acceptor = Acceptor(own, world.RecordedBell())
        outcomes.extend(
            await asyncio.gather(
                *(
                    acceptor.accept(acceptor.prepare(holder, [world.submission()], listed=False, claim=mine))
                    for holder, mine in part
                ),
                return_exceptions=True,
            )
        )
        await acceptor.close()

    def run(part: Sequence[tuple[KeyHolder, Claim | None]]) -> None:
        own = Database(url)
        asyncio.run(through(part, own))
        own.close()

    threads = [threading.Thread(target=run, args=(posts[n::acceptors],)) for n in range(acceptors)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def test_fifty_posts_of_each_of_twenty_keys_over_two_processes_make_twenty_jobs(database: Database) -> None:
    holder = world.open_account(database, 100_000)
    posts = [(holder, claim(holder, f"key {n}", n)) for n in range(20)] * 50
    outcomes = crowd(database, posts)
    assert len(outcomes) == 1000 and all(isinstance(outcome, Accepted) for outcome in outcomes)
    replies = Counter(outcome.response for outcome in outcomes)
    assert len(replies) == 20 and set(replies.values()) == {50}
    assert sum(not outcome.replayed for outcome in outcomes) == 20
    assert len(world.rows(database, m.jobs)) == 20
    assert len(world.rows(database, m.transfers, kind="hold")) == 20 and world.violations(database) == []


def test_five_hundred_posts_on_credit_for_a_hundred(database: Database) -> None:
    price = world.order(database, world.open_account(database)).bound
    holder = world.open_account(database, 100 * price / world.CREDIT)
    outcomes = crowd(database, [(holder, None)] * 500, acceptors=3)
    kinds = Counter(type(outcome) for outcome in outcomes)
    assert kinds == {Accepted: 100, InsufficientCredits: 400}
    (account,) = world.rows(database, m.accounts, id=holder.account_id)
    assert (account["available_micros"], account["held_micros"]) == (0, 100 * price)
    assert world.events(database, holder.account_id) == ["credit.exhausted"], "told once, by one of three processes"
    assert world.violations(database) == []


def test_a_broker_that_is_down_leaves_the_jobs_to_the_feeder(database: Database) -> None:
    holder = world.open_account(database)
    bell = world.RecordedBell()
    bell.up = False

    async def scene() -> None:
        acceptor = Acceptor(database, bell)
        outcome = await acceptor.accept(acceptor.prepare(holder, [world.submission()], listed=False, claim=None))
        assert isinstance(outcome, Accepted)
        await acceptor.close()

    asyncio.run(scene())
    (row,) = world.rows(database, m.jobs)
    assert row["status"] == "queued" and row["woken_at"] is None


@pytest.mark.parametrize(("listed", "room", "rung"), [(False, True, 1), (False, False, 0), (True, True, 0)])
def test_who_rings(database: Database, listed: bool, room: bool, rung: int) -> None:
    """A single job is rung for at once while its queue is short; a list is the feeder's, on the batch lane."""
    holder = world.open_account(database)
    bell = world.RecordedBell()
    bell.room = room

    async def scene() -> None:
        acceptor = Acceptor(database, bell)
        await acceptor.accept(acceptor.prepare(holder, [world.submission()], listed=listed, claim=None))
        await acceptor.close()

    asyncio.run(scene())
    (row,) = world.rows(database, m.jobs)
    assert len(bell.rung) == rung and (row["woken_at"] is not None) == bool(rung)
    assert row["queue"] == ("openai.batch" if listed else "openai.realtime")
    assert not rung or bell.rung == [("openai.realtime", [row["id"]])]
    database.write_sync(leases.unwake, [row["id"]])
