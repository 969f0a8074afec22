"""Events of responses in the background: written once, by who ends the job, or by the sweeper after an older one."""

import json
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import insert

from shared import clock
from shared.db import Database
from shared.db import models as m
from shared.jobs import response_events
from shared.jobs.outcomes import Ending
from shared.submissions.job_types import RESPONSE_EVENTS
from tests.integration import world
from workers.maintenance.sweep import Sweeper


@pytest.fixture(autouse=True)
def _virtual() -> Any:
    with world.virtual_time():
        yield


def owing(database: Database, holder: Any, count: int) -> list[str]:
    """Ids of queued jobs of responses in the background."""
    ids = world.queued(database, holder, count)
    for id in ids:
        world.change(database, id, owed_events=RESPONSE_EVENTS)
    return ids


def well(job: Any, finish: str = "stop") -> Ending:
    """A success."""
    choice = {"index": 0, "message": {"content": "Hi"}, "finish_reason": finish}
    return replace(world.good_end(job), response=json.dumps({"choices": [choice]}))


def told(database: Database) -> list[tuple[str, str]]:
    """Type and response of each event of a response, in order."""
    rows = sorted(world.rows(database, m.events), key=lambda row: int(row["sequence"]))
    return [(row["type"], json.loads(row["data"])["id"]) for row in rows if row["type"].startswith("response.")]


def of(id: str) -> str:
    return id.replace("job_", "resp_")


def subscribe(database: Database, holder: Any, *types: str) -> None:
    row = {
        "id": clock.new_id("wh"),
        "account_id": holder.account_id,
        "url": "https://example.com",
        "secret": "whsec_AAAA",
        "events": json.dumps(types),
        "status": "enabled",
        "created_at": clock.now_micros(),
    }
    database.write_sync(lambda connection: connection.execute(insert(m.webhooks), [row]))


def test_each_end_has_its_event_beside_the_jobs(database: Database) -> None:
    holder = world.open_account(database)
    whole, cut, bad, gone, late = ids = owing(database, holder, 5)
    (plain,) = world.queued(database, holder)
    jobs = {job.id: job for job in world.take(database, world.new_worker(database), [*ids, plain])}
    endings = [
        well(jobs[whole]),
        well(jobs[cut], "length"),
        Ending(bad, jobs[bad].epoch, "failed", error={"message": "no", "type": "upstream_error", "code": 502}),
        Ending(gone, jobs[gone].epoch, "cancelled"),
        Ending(late, jobs[late].epoch, "expired", takes=True),
        well(jobs[plain]),
    ]
    for _ in range(2):
        world.settle(database, *endings)
    assert sorted(told(database)) == sorted(
        [
            ("response.completed", of(whole)),
            ("response.incomplete", of(cut)),
            ("response.failed", of(bad)),
            ("response.cancelled", of(gone)),
            ("response.failed", of(late)),
        ]
    )
    assert len(world.events(database, holder.account_id)) == 11, "one of each job too, numbered without a gap"
    assert {world.row(database, id)["owed_events"] for id in ids} == {None}
    Sweeper(database, world.RecordedBell()).run_once()
    assert len(told(database)) == 5 and world.violations(database) == []


def test_what_an_older_worker_ended_is_told_by_the_sweeper_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = world.open_account(database)
    subscribe(database, holder, "response.incomplete", "response.cancelled")
    cut, gone, running = owing(database, holder, 3)
    held = {job.id: job for job in world.take(database, world.new_worker(database), [cut, gone, running])}
    with monkeypatch.context() as older:
        older.setattr(response_events, "emit", lambda *_: None)
        older.setattr(response_events, "settled", lambda *_: None)
        good = well(held[cut], "length")
        world.settle(database, good, Ending(gone, held[gone].epoch, "cancelled"))
    assert told(database) == []
    bells = [world.RecordedBell() for _ in range(2)]
    for bell in bells:
        Sweeper(database, bell).run_once()
    assert told(database) == [("response.incomplete", of(cut)), ("response.cancelled", of(gone))]
    assert len(world.rows(database, m.deliveries)) == 2
    assert database.write_sync(response_events.tell, [cut, gone]) == (0, []), "another sweeper was first"
    assert world.row(database, running)["owed_events"] == RESPONSE_EVENTS
    assert world.violations(database) == []


def test_what_a_later_version_owes_is_left_to_it(database: Database) -> None:
    holder = world.open_account(database)
    (id,) = world.queued(database, holder)
    world.change(database, id, owed_events="of_another_dialect")
    (job,) = world.take(database, world.new_worker(database), [id])
    world.settle(database, world.good_end(job))
    Sweeper(database, world.RecordedBell()).run_once()
    assert told(database) == [] and world.row(database, id)["owed_events"] == "of_another_dialect"
