"""Results of a batch while it runs, in the order in which its lines end, on both databases."""

from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from sqlalchemy import text

from producer.operations import batch_results, batches
from producer.operations.pages import PageQuery
from shared import clock
from shared.batches import result_lines
from shared.db import Database
from shared.errors import InvalidRequest, NotFound
from shared.jobs.outcomes import Ending
from shared.key_holders import KeyHolder
from tests import contract
from tests.integration import batch_world, world
from tests.integration.batch_world import chat, files_of_its_own  # noqa: F401


@pytest.fixture(autouse=True)
def _virtual() -> Any:
    with world.virtual_time():
        yield


def made(database: Database, holder: KeyHolder, names: str) -> tuple[str, dict[str, str]]:
    """A batch of lines of these names; its id, and its jobs by the names."""
    id = batch_world.new_batch(database, holder, [chat(name) for name in names])
    batch_world.take_turns(database)
    return id, dict(zip(names, batch_world.job_ids(database, id), strict=True))


def end(database: Database, ids: Sequence[str], *, fail: bool = False) -> None:
    """End jobs, all at the same instant, and let as much time pass as their results are held back."""
    leased = world.take(database, world.new_worker(database), ids)
    error = {"message": "no", "type": "invalid_request", "code": 400, "reason": "content_filter"}
    bad = [Ending(job.id, job.epoch, "failed", error=error) for job in leased]
    world.settle(database, *(bad if fail else [world.good_end(job, 5, model=job.model) for job in leased]))
    clock.shift(held_back(database))


def held_back(database: Database) -> int:
    return batch_results.HOLD_BACK_MICROS if database.is_sqlite else batch_results.HOLD_BACK_LOCKED_MICROS


def page(database: Database, holder: KeyHolder, id: str, after: str | None = None, limit: int = 100) -> Any:
    """A page of results."""
    asked = PageQuery(limit=limit, after=after)
    return orjson.loads(orjson.dumps(database.read_sync(batch_results.list_results, holder, id, asked)))


def names(found: Any) -> str:
    return "".join(line["custom_id"] for line in found["data"])


def test_each_line_comes_once_in_the_order_of_the_ends(database: Database) -> None:
    holder = world.open_account(database)
    id, jobs = made(database, holder, "abcd")
    nothing = page(database, holder, id)
    assert nothing == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}
    end(database, [jobs["c"]])
    first = page(database, holder, id)
    assert names(first) == "c" and not first["has_more"]
    end(database, [jobs["d"]], fail=True)
    end(database, [jobs["a"]])
    then = page(database, holder, id, first["last_id"])
    assert names(then) == "da"
    for line in then["data"]:
        contract.check_object("BatchResult", line)
    again = page(database, holder, id, then["last_id"])
    assert again["data"] == [] and again["last_id"] == then["last_id"]
    assert names(page(database, holder, id)) == "cda"


def test_a_page_is_as_the_files_are(database: Database) -> None:
    holder = world.open_account(database)
    id, jobs = made(database, holder, "ab")
    end(database, [jobs["b"]], fail=True)
    end(database, [jobs["a"]])
    shown = {line["custom_id"]: line for line in page(database, holder, id)["data"]}
    batch_world.take_turns(database)
    batch = batch_world.row(database, id)
    (output,), (failed,) = (batch_world.lines_of(database, batch[kind]) for kind in ("output_file_id", "error_file_id"))
    assert shown["b"] == {name: value for name, value in failed.items() if name != "request"}
    assert shown["a"] == output


def test_lines_of_one_instant_are_paged_without_a_gap(database: Database) -> None:
    holder = world.open_account(database)
    id, jobs = made(database, holder, "abcde")
    end(database, list(jobs.values()))
    found, after = "", None
    for _ in range(5):
        shown = page(database, holder, id, after, limit=2)
        found, after = found + names(shown), shown["last_id"]
        if not shown["has_more"]:
            break
    assert found == "abcde"


def test_what_has_just_ended_is_held_back_until_nothing_can_be_before_it(database: Database) -> None:
    holder = world.open_account(database)
    id, jobs = made(database, holder, "a")
    end(database, list(jobs.values()))
    clock.shift(-held_back(database))
    assert page(database, holder, id)["data"] == []
    clock.shift(held_back(database))
    assert names(page(database, holder, id)) == "a"


def test_of_a_batch_that_is_over_nothing_is_held_back(database: Database) -> None:
    holder = world.open_account(database)
    id, jobs = made(database, holder, "ab")
    end(database, list(jobs.values()))
    clock.shift(-held_back(database))
    assert page(database, holder, id)["data"] == []
    batch_world.take_turns(database)
    assert database.read_sync(batches.visible, holder, id)["status"] == "completed"
    assert sorted(names(page(database, holder, id))) == ["a", "b"]


def test_ends_of_others_are_passed_over_and_looked_through_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder, stranger = world.open_account(database), world.open_account(database)
    id, jobs = made(database, holder, "ab")
    other, others = made(database, holder, "uvwxyz")
    _, strange = made(database, stranger, "s")
    end(database, [jobs["a"], *others.values(), *strange.values()])
    assert names(page(database, holder, id)) == "a" and names(page(database, holder, other)) == "uvwxyz"
    monkeypatch.setattr(batch_results, "CHUNK", 2)
    monkeypatch.setattr(batch_results, "LOOK_SECONDS", -1)
    found, after, pages = "", None, 0
    while True:
        shown = page(database, holder, id, after)
        found, after, pages = found + names(shown), shown["last_id"], pages + 1
        if not shown["has_more"]:
            break
    assert (found, pages) == ("a", 4)  # seven ends of the account, two at a time
    end(database, [jobs["b"]])
    assert names(page(database, holder, id, after)) == "b"
    with pytest.raises(NotFound):
        page(database, stranger, id)


def test_a_page_ends_at_its_bytes(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    holder = world.open_account(database)
    id, jobs = made(database, holder, "abc")
    end(database, list(jobs.values()))
    monkeypatch.setattr(result_lines, "MOST_BYTES", 1)
    first = page(database, holder, id)
    assert names(first) == "a" and first["has_more"]
    assert names(page(database, holder, id, first["last_id"])) == "b"


def test_lines_that_retention_takes_meanwhile_are_passed_over(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = world.open_account(database)
    id, _ = made(database, holder, "a")
    gone = clock.new_id("job")
    monkeypatch.setattr(batch_results, "_find", lambda *_: ([gone], (clock.now_micros(), gone), True))
    found = page(database, holder, id)
    assert found["data"] == [] and found["last_id"] == f"{result_lines.PREFIX}{gone.removeprefix('job_')}"


def test_the_ends_of_an_account_are_found_by_their_index(database: Database) -> None:
    statement = batch_results.ends_after(world.open_account(database), (1, "job_1"), 2)
    asked = statement.compile(database.engine, compile_kwargs={"literal_binds": True})
    with database.engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            found = [row[3] for row in connection.execute(text(f"EXPLAIN QUERY PLAN {asked}"))]
        else:
            for never in ("seqscan", "bitmapscan"):
                connection.execute(text(f"SET LOCAL enable_{never} = off"))
            found = [row[0] for row in connection.execute(text(f"EXPLAIN {asked}"))]
        assert "jobs_ended_of_account" in "\n".join(found)
        connection.rollback()


@pytest.mark.parametrize("after", ["batch_req_", "batch_req_0", "job_0", "no"])
def test_a_place_that_is_none_is_refused(database: Database, after: str) -> None:
    holder = world.open_account(database)
    id, _ = made(database, holder, "a")
    with pytest.raises(InvalidRequest, match="after"):
        page(database, holder, id, after)
