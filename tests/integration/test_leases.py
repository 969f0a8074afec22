"""What is leased: each job once, as its rows are, in the order that was asked for, on either database."""

import pytest
from sqlalchemy import update

from shared import clock
from shared.db import Database
from shared.db import models as m
from shared.jobs import leases
from shared.jobs.leases import Leased
from tests.integration import world


def payload(database: Database, id: str, **values: object) -> None:
    database.write_sync(lambda c: c.execute(update(m.job_payloads).where(m.job_payloads.c.job_id == id).values(values)))


def test_a_job_is_leased_as_its_rows_are_however_long_its_request_is(database: Database) -> None:
    ids = world.queued(database, world.open_account(database), 3)
    long = '{"messages": [{"content": "' + "é\\n\\u2028\\\\" * 9000 + '"}]}'
    other = {"attempts": '[{"error": "\\"429\\""}]', "wait_until": 2**52, "routing": "{}", "trace": "00-1"}
    payload(database, ids[1], request=long, **other)
    before = {id: world.row(database, id) for id in ids}
    jobs = world.take(database, world.new_worker(database), ids)
    assert sorted(job.id for job in jobs) == ids
    for job in jobs:
        was, (kept,) = before[job.id], world.rows(database, m.job_payloads, job_id=job.id)
        assert (job.epoch, job.test, job.bound_micros) == (1, False, was["bound_micros"]) and job.test is False
        for name in ("account_id", "batch_id", "type", "model", "queue", "lane", "created_at", "expires_at"):
            assert getattr(job, name) == was[name]
        for name in ("request", "offers", "attempts", "wait_until", "routing", "trace"):
            assert getattr(job, name) == kept[name]


def test_an_id_that_is_named_twice_is_leased_once(database: Database) -> None:
    (id,) = world.queued(database, world.open_account(database))
    worker = world.new_worker(database)
    found: list[Leased] = database.write_sync(leases.lease, worker, {world.QUEUE: [id, id]})
    assert [(job.id, job.epoch) for job in found] == [(id, 1)] and world.row(database, id)["lease_epoch"] == 1


@pytest.mark.parametrize(
    "change",
    [{"status": "running"}, {"run_at": 2**60}, {"queue": "other.batch"}, {"status": "cancelled"}],
)
def test_what_is_not_queued_there_and_due_is_left_as_it_is(database: Database, change: dict[str, object]) -> None:
    one, other = world.queued(database, world.open_account(database), 2)
    queue = world.row(database, other)["queue"]
    world.change(database, one, **change)
    before = world.row(database, one)
    jobs = database.write_sync(leases.lease, world.new_worker(database), {queue: [one, other]})
    assert [job.id for job in jobs] == [other]
    assert {**world.row(database, one), "woken_at": None} == {**before, "woken_at": None}


def test_a_lapsed_worker_leases_nothing(database: Database) -> None:
    ids, worker = world.queued(database, world.open_account(database), 2), world.new_worker(database)
    late = clock.now_micros() - 1
    database.write_sync(lambda c: c.execute(update(m.workers).where(m.workers.c.id == worker).values(lease_until=late)))
    assert world.take(database, worker, ids) == []
    assert {world.row(database, id)["status"] for id in ids} == {"queued"}
