"""Rows that other versions wrote (tests/recorded), and rows of versions yet to come: no job fails of them."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, update

from producer.admission.idempotency import Claim
from producer.admission.prepared import Accepted
from producer.operations import events as events_ops
from producer.operations import jobs as jobs_ops
from producer.operations import pages as pages_ops
from shared import clock
from shared.batches.plan_lines import PLAN_COLUMNS, unplanned
from shared.db import Database
from shared.db import models as m
from shared.files import blobs
from shared.objects.batches import request_counts
from shared.providers import states
from shared.providers.states import ProviderState
from shared.settings import settings
from shared.submissions.catalogue import catalogue
from tests.integration import batch_world, world
from tests.integration.attempts import NOWHERE
from tests.integration.batch_world import files_of_its_own  # noqa: F401
from tests.integration.test_engine import Silent
from tests.recorded.__main__ import record
from workers.maintenance.sweep import Sweeper
from workers.pacing import Pace, PaceStore
from workers.process import tasks
from workers.providers.sandbox import Sandbox
from workers.running.attempts import Attempts
from workers.running.engine import Engine
from workers.running.settler import Settler
from workers.running.slots import Slots

RECORDED = Path(__file__).parent.parent / "recorded"
VERSIONS = sorted(path.parent.name for path in RECORDED.glob("*/rows.json"))
#: What a later version might add to each JSON document that it keeps.
_NEWER = {"invented_later": {"deep": [1, None, "x"]}}


def as_recorded(recorded: dict[str, Any]) -> dict[str, Any]:
    return recorded


def as_of_a_later_version(recorded: dict[str, Any]) -> dict[str, Any]:
    """The same rows with fields in all their documents, and columns in plans, that nobody knows yet."""
    rows = recorded["rows"]
    for row in rows["job_payloads"]:
        row["request"] = _more(row["request"])
        row["offers"] = json.dumps([{**offer, **_NEWER} for offer in json.loads(row["offers"])])
        row["routing"] = _more(row["routing"]) if row["routing"] else None
        row["attempts"] = json.dumps([_NEWER, *json.loads(row["attempts"] or "[]")])
    for row in rows["job_results"]:
        row["response"], row["attempts"] = _more(row["response"]), json.dumps([*json.loads(row["attempts"]), _NEWER])
    for row in rows["events"]:
        row["data"] = _more(row["data"])
    for row in rows["webhooks"]:
        row["events"] = json.dumps([*json.loads(row["events"]), "job.invented"])
    for row in rows["accounts"]:
        row["plan"] = "invented"
    for name, text in recorded["blobs"].items():
        if name.startswith("plans/"):
            recorded["blobs"][name] = "".join(f"{_whole(line)}\tlater\t{{}}\n" for line in text.splitlines())
    recorded["pace"] = _more(recorded["pace"])
    for message in recorded["messages"]:
        message["args"].append({"later": True})
    return recorded


def _whole(line: str) -> str:
    """A line of a plan with every column of today, so that what follows is a later release's."""
    return line + "\t" * (PLAN_COLUMNS - 1 - line.count("\t"))


def _more(document: str) -> str:
    return json.dumps({**json.loads(document), **_NEWER})


@pytest.fixture(params=VERSIONS)
def recorded(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """What a version recorded; it is the time of the recording."""
    found: dict[str, Any] = json.loads((RECORDED / request.param / "rows.json").read_text())
    with world.virtual_time():
        clock.shift(found["recorded_at"] + 5 * clock.MICROS - clock.now_micros())
        yield found


def load(database: Database, recorded: dict[str, Any]) -> None:
    """Put the rows into a migrated database, and the blobs where they belong."""

    def work(connection: Connection) -> None:
        for name, rows in recorded["rows"].items():
            if rows:
                connection.execute(insert(m.metadata.tables[name]), rows)

    database.write_sync(work)
    for name, content in recorded["blobs"].items():
        with blobs.writer(name) as blob:
            blob.write(content.encode())


def run_all(database: Database, sweeper: Sweeper, *, rounds: int = 12) -> None:
    """Sweep, feed and run until no job is left, with every provider answering."""

    async def engine_turn() -> None:
        queues = {row["queue"] for row in world.rows(database, m.jobs)}
        slots, worker = Slots(dict.fromkeys(queues, 50)), world.new_worker(database)
        by = Attempts(dict.fromkeys(catalogue().providers, Sandbox()), Pace(PaceStore(NOWHERE), "w"))
        engine = Engine(database, worker, by, slots, Settler(database, Silent(), lambda deliveries: None))
        engine.start()
        for row in world.rows(database, m.jobs, status="queued"):
            engine.offer(row["queue"], [row["id"]])
        async with asyncio.timeout(30):
            await engine.quiet()
            await engine.stop(5)

    for _ in range(rounds):
        sweeper.run_once()
        if not world.rows(database, m.jobs, status="queued"):
            return
        asyncio.run(engine_turn())
        clock.shift(5 * clock.MICROS)


@pytest.mark.parametrize("written", [as_recorded, as_of_a_later_version])
def test_rows_of_another_version_are_finished(
    database: Database, recorded: dict[str, Any], written: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    load(database, written(recorded))
    monkeypatch.setattr(settings(), "redis_url", NOWHERE)
    batch_world.take_turns(database)
    run_all(database, Sweeper(database, world.RecordedBell()))
    batch_world.take_turns(database)
    assert {row["status"] for row in world.rows(database, m.jobs)} == {"succeeded"}
    assert {row["status"] for row in world.rows(database, m.batches)} == {"completed"}
    assert world.violations(database) == []
    _everything_can_be_shown(database, recorded)
    _keys_are_replayed(database, recorded)


def _everything_can_be_shown(database: Database, recorded: dict[str, Any]) -> None:
    holder = _holder(database, recorded)
    for row in world.rows(database, m.jobs):
        assert database.read_sync(jobs_ops.show_job, holder, row["id"])["status"] == "succeeded"
    for row in world.rows(database, m.batches):
        lines = batch_world.lines_of(database, row["output_file_id"])
        assert [line["custom_id"] for line in lines] == ["line 0", "line 1", "line 2"]
        assert request_counts(dict(row))["completed"] == 3
    page = database.read_sync(events_ops.list_events, holder, pages_ops.PageQuery(limit=100))
    assert len(page["data"]) == len(world.rows(database, m.events))


def _keys_are_replayed(database: Database, recorded: dict[str, Any]) -> None:
    holder, kept = _holder(database, recorded), world.rows(database, m.idempotency_keys)
    assert len(kept) >= 5
    for row in kept:
        order = world.order(database, holder)
        order.claim = Claim(row["account_id"], row["key"], row["fingerprint"])
        (again,) = world.accept_all(database, [order])
        assert again == Accepted(row["response"], row["status_code"], replayed=True)


def _holder(database: Database, recorded: dict[str, Any]) -> Any:
    holder = world.open_account(database)
    return type(holder)(**{**_fields(holder), **recorded["holder"]})


def _fields(holder: Any) -> dict[str, Any]:
    return {name: getattr(holder, name) for name in type(holder).__dataclass_fields__}


@pytest.mark.parametrize(
    "changes",
    [
        {"offers": '[{"provider": "openai"}]'},
        {"offers": "{}"},
        {"offers": "broken"},
        {"request": '["another", "form"]'},
        {"request": "broken"},
        {"routing": "[]"},
        {"attempts": '{"another": "form"}'},
        {"attempts": "[broken"},
        {"type": "video"},
        {"offer": 7},
    ],
    ids=str,
)
def test_what_cannot_be_read_is_handed_back_and_never_ended(database: Database, changes: dict[str, Any]) -> None:
    """A version that can read it will come to it."""
    with world.virtual_time():
        (id,) = world.queued(database, world.open_account(database))
        whole = world.rows(database, m.job_payloads, job_id=id)[0], world.row(database, id)
        _write(database, id, changes)
        sweeper = Sweeper(database, world.RecordedBell())
        run_all(database, sweeper, rounds=2)
        row = world.row(database, id)
        assert (row["status"], row["deferred_for"], row["worker_id"]) == ("queued", "unreadable", None)
        assert 0 < row["run_at"] - clock.now_micros() < 60 * clock.MICROS, "it is not taken again at once"
        _write(database, id, {name: (whole[0] if name in whole[0] else whole[1])[name] for name in changes})
        run_all(database, sweeper, rounds=6)
        assert world.row(database, id)["status"] == "succeeded" and world.violations(database) == []


def _write(database: Database, id: str, changes: dict[str, Any]) -> None:
    table = m.jobs if changes.keys() <= set(m.jobs.c.keys()) else m.job_payloads
    key = table.c.id if table is m.jobs else table.c.job_id
    database.write_sync(lambda connection: connection.execute(update(table).where(key == id).values(changes)).rowcount)


def test_lines_of_plans_of_any_version_are_read(recorded: dict[str, Any]) -> None:
    (plan,) = [text for name, text in recorded["blobs"].items() if name.startswith("plans/")]
    for line in plan.encode().splitlines(keepends=True):
        known = unplanned(line)
        assert unplanned(_whole(line.decode().rstrip("\n")).encode() + b"\tlater\n") == known
        assert unplanned(b"\t".join(line.split(b"\t")[:8])).offers == known.offers, "the first release's end earlier"


def test_a_document_of_a_providers_pace_of_any_version_is_read(recorded: dict[str, Any]) -> None:
    state = states.load(recorded["pace"])
    assert state is not None and state.rate == 3.0
    assert states.load(_more(recorded["pace"])) == state
    assert states.load("{}") == ProviderState(), "what is missing has its default"


def test_messages_of_any_version_are_understood(recorded: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Any] = []

    class Runtime:
        def offer(self, queue: str, ids: list[str], *, first: bool) -> None:
            assert not first
            heard.append((queue, ids))

        def deliver(self, ids: list[str]) -> None:
            heard.append(("", ids))

    monkeypatch.setattr(tasks, "current", [Runtime()])
    for message in recorded["messages"]:
        task: Any = {"offer": tasks.offer, "deliver": tasks.deliver}[message["task"]]
        task(*message["args"])
        task(*message["args"], {"later": 1}, priority=3)
    assert heard == [("openai.batch", ["job_x"])] * 2 + [("", ["job_x"])] * 2


def test_a_message_for_a_queue_that_is_not_served_here_is_left_to_the_feeder(database: Database) -> None:
    (id,) = world.queued(database, world.open_account(database))
    world.change(database, id, woken_at=clock.now_micros())

    async def main() -> None:
        by = Attempts({"openai": Sandbox()}, Pace(PaceStore(NOWHERE), "w"))
        settler = Settler(database, Silent(), lambda deliveries: None)
        engine = Engine(database, world.new_worker(database), by, Slots({"openai.batch": 1}), settler)
        engine.start()
        engine.offer("invented.realtime", [id])
        await engine.stop(1)

    asyncio.run(main())
    assert world.woken(database) == set()


def test_this_version_can_be_recorded(database: Database) -> None:
    """As `python -m tests.recorded` does at a release; rows of every table that a job passes through."""
    rows = record(database)
    assert all(rows[name] for name in ("jobs", "job_payloads", "batches", "events", "deliveries", "idempotency_keys"))
