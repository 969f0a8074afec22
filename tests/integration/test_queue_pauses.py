"""A provider whose queues an operator has paused, on both databases: nothing is leased, lost, failed or rung for."""

import asyncio

import pytest
from sqlalchemy import Connection

from producer.admission.accept import Acceptor
from producer.context import Context
from shared import audit
from shared.audit import Action
from shared.db import Database
from shared.db import models as m
from shared.errors import Unavailable
from shared.jobs import pauses
from tests.integration import world
from workers.maintenance.sweep import Sweeper

WHY = Action("ada", pauses.PAUSED, "maintenance")
DONE = Action("ada", pauses.RESUMED)


def pause(database: Database, provider: str = "openai") -> None:
    database.write_sync(pauses.pause, WHY, provider)


def resume(database: Database, provider: str = "openai") -> bool:
    return database.write_sync(pauses.resume, DONE, provider)


def test_what_is_paused_is_not_leased_and_goes_back_to_the_feeder(database: Database) -> None:
    holder, worker = world.open_account(database), world.new_worker(database)
    ids = world.queued(database, holder, 3, type="embedding")
    pause(database)
    for id in ids:
        world.change(database, id, woken_at=1)
    assert world.take(database, worker, ids) == []
    assert {(row["status"], row["woken_at"]) for row in world.rows(database, m.jobs)} == {("queued", None)}
    assert resume(database) and not resume(database)
    assert {one.id for one in world.take(database, worker, ids)} == set(ids)


def test_the_sweeper_rings_for_it_when_it_is_resumed(database: Database) -> None:
    holder, bell = world.open_account(database), world.RecordedBell()
    ids = world.queued(database, holder, 3, type="embedding")
    sweeper = Sweeper(database, bell)
    pause(database)
    sweeper.run_once()
    assert bell.rung == []
    resume(database)
    sweeper.run_once()
    assert bell.ids("openai.batch") == ids


def test_a_job_with_another_offer_goes_on_with_that_one(database: Database) -> None:
    holder, bell = world.open_account(database), world.RecordedBell()
    submission = world.submission("chat.completion", routing={"fallbacks": ["gpt-3.5-turbo", "claude-3-opus"]})
    acceptor = Acceptor(database, world.RecordedBell())
    prepared = acceptor.prepare(holder, [submission], listed=False, claim=None)
    world.accept_all(database, [prepared])
    assert prepared.rows[0]["queue"] == "openai.realtime"
    pause(database)
    assert world.take(database, world.new_worker(database), [prepared.rows[0]["id"]]) == []
    Sweeper(database, bell).run_once()
    (row,) = world.rows(database, m.jobs)
    assert (row["queue"], row["offer"], row["status"]) == ("anthropic.realtime", 2, "queued")
    assert bell.ids("anthropic.realtime") == [row["id"]]
    assert bell.paused == {"openai"}
    acceptor.bell.paused = bell.paused
    later = acceptor.prepare(holder, [submission], listed=False, claim=None).rows[0]
    assert (later["queue"], later["offer"]) == ("anthropic.realtime", 2)
    pause(database, "anthropic")
    acceptor.bell.paused = frozenset({"openai", "anthropic"})
    waits = acceptor.prepare(holder, [submission], listed=False, claim=None).rows[0]
    assert (waits["queue"], waits["offer"]) == ("openai.realtime", 0), "it waits for its first where none is left"


def test_a_caller_who_waits_is_refused_and_one_who_does_not_is_accepted(database: Database) -> None:
    holder, submission = world.open_account(database), world.submission()

    async def work() -> None:
        context = Context(database, world.RecordedBell())
        context.overload.pause(database.read_sync(pauses.paused_providers))
        with pytest.raises(Unavailable, match="provider openai is paused by the operator") as refused:
            await context.placer.place(holder, submission, None, waits=28)
        assert refused.value.retry_after_seconds == 10
        accepted = await context.placer.submit(holder, [submission], listed=False, claim=None)
        assert accepted.status_code == 202
        context.overload.pause(frozenset())
        await context.placer.place(holder, submission, None, waits=28)
        await context.close()

    pause(database)
    asyncio.run(work())


def test_each_change_is_in_the_audit_log_once(database: Database) -> None:
    pause(database)
    pause(database)
    database.write_sync(pauses.pause, Action("bob", pauses.PAUSED, "their outage"), "openai")
    (kept,) = database.read_sync(pauses.current).values()
    assert (kept.operator, kept.reason) == ("bob", "their outage")
    resume(database)
    resume(database)

    def entries(connection: Connection) -> list[tuple[str, str, str | None]]:
        found = [one for one in audit.entries(connection) if one["subject"] == {"type": "queue", "id": "openai"}]
        return [(one["action"], one["operator"], one["reason"]) for one in reversed(found)]

    assert database.read_sync(entries) == [
        ("queues.pause", "ada", "maintenance"),
        ("queues.pause", "bob", "their outage"),
        ("queues.resume", "ada", None),
    ]


def test_two_operators_pause_at_the_same_moment(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    database.write_sync(pauses.pause, WHY, "openai")
    read, looks = pauses.current, iter([{}])
    monkeypatch.setattr(pauses, "current", lambda connection: next(looks, None) or read(connection))
    made = database.write_sync(pauses.pause, Action("bob", pauses.PAUSED, "their outage"), "openai")
    assert (made.operator, made.reason) == ("bob", "their outage")
    assert [(one.provider, one.operator) for one in database.read_sync(read).values()] == [("openai", "bob")]
