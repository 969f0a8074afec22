"""Lists of jobs by filters, on both databases: what is found, in which order, page by page; and cancelling by them."""

import asyncio
from typing import Any

import pytest

from producer.operations import job_cancels, job_filters
from producer.operations import jobs as jobs_ops
from producer.operations.job_cancels import CancelSpec
from producer.operations.job_filters import find, read_filter
from producer.operations.pages import PageQuery
from shared import clock
from shared.db import Database
from shared.db import models as m
from shared.errors import InvalidRequest
from shared.key_holders import KeyHolder
from shared.notifier import Notifier
from tests.integration import world

NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def holder(database: Database) -> KeyHolder:
    return world.open_account(database, 100_000)


def listed(database: Database, holder: KeyHolder, limit: int = 20, **given: str) -> list[str]:
    page = database.read_sync(jobs_ops.list_jobs, holder, PageQuery(limit=limit), read_filter(given))
    return [job["id"] for job in page["data"]]


def test_each_filter_and_all_of_them_together(database: Database, holder: KeyHolder) -> None:
    chats = [world.queued(database, holder)[0] for _ in range(3)]
    others = world.queued(database, holder, 2, type="embedding")
    stranger = world.queued(database, world.open_account(database))
    world.change(database, chats[0], status="failed", finished_at=1)
    world.change(database, chats[1], status="succeeded", finished_at=1, key_id="key_other")
    world.change(database, others[0], created_at=clock.now_micros() - 3600 * clock.MICROS)
    label(database, chats[2], '{"team": "search", "order": "1"}')
    every = sorted([*chats, *others], reverse=True)
    assert listed(database, holder) == every
    assert listed(database, holder, type="embedding") == sorted(others, reverse=True)
    assert listed(database, holder, status="failed") == [chats[0]]
    assert listed(database, holder, status="failed,succeeded") == [chats[1], chats[0]]
    assert listed(database, holder, status="queued") == sorted([chats[2], *others], reverse=True)
    assert listed(database, holder, key_id="key_other") == [chats[1]]
    assert listed(database, holder, model="gpt-4", status="queued,running") == [chats[2]]
    now = clock.now_seconds()
    assert listed(database, holder, created_before=str(int(now) - 600)) == [others[0]]
    assert listed(database, holder, created_after=str(int(now) - 600)) == [id for id in every if id != others[0]]
    assert listed(database, holder, **{"metadata.team": "search"}) == [chats[2]]
    assert listed(database, holder, **{"metadata.team": "search", "metadata.order": "2"}) == []
    assert listed(database, holder, model="gpt-4", status="queued", **{"metadata.order": "1"}) == [chats[2]]
    page = database.read_sync(jobs_ops.list_jobs, holder, PageQuery(), read_filter({"type": "embedding"}), every)
    assert {job["id"] for job in page["data"]} == set(others)
    assert not set(stranger) & set(listed(database, holder, limit=100, type="chat.completion"))


def test_jobs_are_counted_up_to_a_number(
    database: Database, holder: KeyHolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.queued(database, holder, 5, type="embedding")
    world.queued(database, holder, 2)
    world.queued(database, world.open_account(database))

    def counted(**given: str) -> tuple[int, bool]:
        found = database.read_sync(job_filters.count, holder, read_filter(given))
        return found["count"], not found["exact"]

    assert counted() == (7, False)
    assert counted(status="queued", type="embedding") == (5, False)
    assert counted(status="running") == (0, False)
    monkeypatch.setattr(job_filters, "MOST_COUNTED", 5)
    assert counted(type="embedding") == (5, False)
    assert counted() == (5, True)


def test_a_list_without_results_does_not_read_them(database: Database, holder: KeyHolder) -> None:
    leased = world.take(database, world.new_worker(database), world.queued(database, holder))
    world.settle(database, *(world.good_end(job, 1) for job in leased))
    for filters in ({}, {"status": "succeeded"}):
        whole, alone = (
            database.read_sync(jobs_ops.list_jobs, holder, PageQuery(), read_filter(filters), results=results)
            for results in (True, False)
        )
        assert whole["data"][0]["result"] is not None and alone["data"][0]["result"] is None
        assert {**whole["data"][0], "result": None} == alone["data"][0]


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_a_page_that_ends_early_goes_on_where_it_ended(
    database: Database, holder: KeyHolder, monkeypatch: pytest.MonkeyPatch, order: Any
) -> None:
    monkeypatch.setattr(job_filters, "CHUNK", 7)
    ids = world.queued(database, holder, 50, type="embedding")
    wanted = ids[3::10]
    for id in wanted:
        world.change(database, id, model="another")
    seen, after, pages = [], None, 0
    while True:
        page = PageQuery(limit=2, after=after, order=order)
        found = database.read_sync(find, holder, read_filter({"model": "another"}), page, seconds=0.0)
        seen += found.ids[:2]
        pages += 1
        if found.until is None and len(found.ids) <= 2:
            break
        after = found.until or found.ids[1]
    assert seen == sorted(wanted, reverse=order == "desc") and pages > 5


def test_what_cannot_be_is_named() -> None:
    for given, param in (
        ({"status": "done"}, "status"),
        ({"type": "video"}, "type"),
        ({"created_after": "yesterday"}, "created_after"),
        ({"metadata.": "a"}, "metadata."),
    ):
        with pytest.raises(InvalidRequest) as refused:
            read_filter(given)
        assert refused.value.param == param


def test_cancelling_by_a_filter_cancels_what_waits_and_tells_what_runs(database: Database, holder: KeyHolder) -> None:
    ids = world.queued(database, holder, 6, type="embedding")
    kept = world.queued(database, holder)
    world.take(database, world.new_worker(database), ids[:2])

    async def cancel(**given: Any) -> Any:
        notifier = Notifier(NOWHERE)
        try:
            return await job_cancels.cancel_jobs(
                database, world.RecordedBell(), notifier, holder, CancelSpec.model_validate(given)
            )
        finally:
            await notifier.close()

    wanted = {"type": "embedding"}
    dry = asyncio.run(cancel(**wanted, dry_run=True))
    assert (dry["matched"], dry["cancelled"], dry["has_more"]) == (6, 0, False)
    done = asyncio.run(cancel(**wanted))
    assert (done["matched"], done["cancelled"], done["cancelling"]) == (6, 4, 2)
    again = asyncio.run(cancel(**wanted))
    assert (again["matched"], again["cancelled"], again["cancelling"]) == (2, 0, 2)
    states = {row["id"]: (row["status"], row["cancel_requested"]) for row in world.rows(database, m.jobs)}
    assert [states[id] for id in ids] == [("running", True)] * 2 + [("cancelled", False)] * 4
    assert states[kept[0]] == ("queued", False)
    for wrong in ({}, {"dry_run": True}, {"status": ["failed"]}):
        with pytest.raises(InvalidRequest):
            asyncio.run(cancel(**wrong))


def label(database: Database, id: str, labels: str) -> None:
    def work(connection: Any) -> None:
        connection.execute(m.job_payloads.update().where(m.job_payloads.c.job_id == id).values(labels=labels))

    database.write_sync(work)
