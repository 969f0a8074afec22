"""Only the failed again, on both databases: which lines, once, at their own hold, and one merged output."""

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import delete, update

from producer.operations import batch_retries, retried_lines
from producer.operations import batches as producer_batches
from producer.operations import files as producer_files
from producer.operations.batch_retries import RetrySpec
from producer.operations.pages import PageQuery
from shared import clock
from shared.batches.linked_lines import LinkedLines
from shared.db import Database
from shared.db import models as m
from shared.errors import Conflict, InvalidRequest, NotFound
from shared.files import blobs
from shared.jobs.outcomes import Ending
from shared.key_holders import KeyHolder
from shared.settings import settings
from shared.submissions.schemas import read_submission
from tests.integration import batch_world, world
from tests.integration.batch_world import chat, draw, embed, files_of_its_own  # noqa: F401
from workers.batches import merging, releasing
from workers.batches.scheduler import BatchScheduler
from workers.maintenance import overdue

HOUR = 3600 * clock.MICROS
ERRORS: dict[str, dict[str, Any]] = {
    "bad": {"message": "not that", "type": "invalid_request", "code": 400, "reason": "invalid_request"},
    "late": {"message": "the provider returned status 503", "type": "upstream_error", "code": 502, "reason": "503"},
}


@pytest.fixture(autouse=True)
def _virtual() -> Any:
    with world.virtual_time():
        yield


def serve(database: Database, id: str, **errors: str) -> None:
    """End every job of a batch: those named (by custom_id) with that error, the others well, at a price of 5."""
    leased = world.take(database, world.new_worker(database), batch_world.job_ids(database, id, "queued"))
    names = {job.id: world.row(database, job.id)["custom_id"] for job in leased}
    for job in leased:
        name = names[job.id]
        if why := errors.get(name):
            world.settle(database, Ending(job.id, job.epoch, "failed", error=ERRORS[why]))
        else:
            body = json.dumps({"of": id, "line": name})
            end = Ending(
                job.id, job.epoch, "succeeded", response=body, charge_micros=0 if job.test else 5, model=job.model
            )
            world.settle(database, end)


def run(database: Database, id: str, **errors: str) -> dict[str, Any]:
    """A batch's row after all of its turns, with these lines failing."""
    batch_world.take_turns(database)
    serve(database, id, **errors)
    batch_world.take_turns(database)
    return dict(batch_world.row(database, id))


def first(database: Database, holder: KeyHolder, names: str = "abcde", **errors: str) -> str:
    """A finished batch of chat lines with these names."""
    id = batch_world.new_batch(database, holder, [chat(name) for name in names])
    assert run(database, id, **errors)["status"] == "completed"
    return id


def retry(database: Database, holder: KeyHolder, id: str, **spec: Any) -> str:
    """The id of a retry, made as its route makes it."""
    wanted = RetrySpec(**spec)
    wanted.check()
    repeated = database.read_sync(batch_retries.repeatable, holder, id)
    return str(buy(database, holder, wanted, repeated)["id"])


def buy(database: Database, holder: KeyHolder, spec: RetrySpec, repeated: retried_lines.Repeated) -> dict[str, Any]:
    file = database.write_sync(producer_files.begin, holder, filename="r", purpose="batch", expires_at=2**60)
    written = retried_lines.write(database, repeated, spec.reasons, file["blob"])
    return database.write_sync(batch_retries.create, holder, spec, repeated, file["id"], written)


def files(database: Database, id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The lines of a batch's output and error files, by custom_id and in their order."""
    row = batch_world.row(database, id)
    both = [batch_world.lines_of(database, row[name]) for name in ("output_file_id", "error_file_id")]
    for lines in both:
        assert len({line["id"] for line in lines}) == len(lines) == len({line["custom_id"] for line in lines})
    output, errors = ({line["custom_id"]: line for line in lines} for lines in both)
    return output, errors


def test_a_dry_run_of_a_retry_says_what_it_holds_and_makes_nothing(database: Database) -> None:
    holder = world.open_account(database)
    id = first(database, holder, "abcde", b="bad", d="late", e="bad")

    def quoted(**spec: Any) -> tuple[int, int]:
        wanted, linked = RetrySpec(dry_run=True, **spec), LinkedLines(lambda keys: {})
        found, need = asyncio.run(batch_retries.quote(database, asyncio.Semaphore(1), holder, id, wanted, linked))
        assert found["valid"] and found["credits_worst_case"] == need.micros / 1_000_000
        return found["request_counts"]["total"], need.micros

    before = batch_ids(database, holder)
    lines, most = quoted()
    assert lines == 3 and (quoted(reasons=["503"]))[0] == 1
    with pytest.raises(InvalidRequest, match="existing reasons"):
        quoted(reasons=["weather"])
    assert batch_ids(database, holder) == before
    made = retry(database, holder, id)
    batch_world.take_turns(database)
    row = batch_world.row(database, made)
    assert (row["total"], row["bound_micros"]) == (lines, most) and most > 0
    with pytest.raises(Conflict, match=made):
        quoted()


def batch_ids(database: Database, holder: KeyHolder) -> list[str]:
    page = producer_batches.list_all
    return [one["id"] for one in database.read_sync(page, holder, PageQuery())["data"]]


def test_the_failed_lines_alone_are_bought_again_and_the_output_is_whole(database: Database) -> None:
    holder = world.open_account(database)
    lines = [chat("a"), embed("b", metadata={"k": "v"}), draw("c"), chat("d", routing={"fallbacks": ["gemini-pro"]})]
    id = batch_world.new_batch(
        database, holder, lines, metadata={"night": "1"}, priority=4, notify_each=True, completion_window="5h"
    )
    assert run(database, id, b="bad", d="late")["status"] == "completed"
    _, errors = files(database, id)
    assert {name: line["request"]["url"] for name, line in errors.items()} == {
        "b": "/v1/embeddings",
        "d": "/v1/chat/completions",
    }
    made = retry(database, holder, id)
    seen = batch_world.shown(database, holder, made)
    assert (seen["retry_of"], seen["status"], seen["completion_window"]) == (id, "validating", "5h")
    assert (seen["metadata"], seen["priority"], seen["notify_each"]) == ({"night": "1"}, 4, True)
    assert seen["expires_at"] == seen["created_at"] + 5 * 3600
    again = batch_world.lines_of(database, seen["input_file_id"])
    assert [line["custom_id"] for line in again] == ["b", "d"], "in the order of the input"
    assert again[0] == {"custom_id": "b", **errors["b"]["request"]}
    assert again[0]["body"]["metadata"] == {"k": "v"} and again[1]["body"]["routing"] == {"fallbacks": ["gemini-pro"]}
    batch_world.take_turns(database)
    seen = batch_world.shown(database, holder, made)
    assert seen["request_counts"] == {"total": 2, "completed": 0, "failed": 0}
    (hold,) = world.rows(database, m.transfers, subject_id=made)
    of_lines = sum(world.row(database, job)["bound_micros"] for job in batch_world.job_ids(database, made))
    assert (hold["kind"], hold["amount_micros"]) == ("hold", of_lines)
    assert world.violations(database) == []
    before = [world.row(database, job) for job in batch_world.job_ids(database, id)]
    now = [world.row(database, job) for job in batch_world.job_ids(database, made)]
    assert [(job["type"], job["model"], job["bound_micros"]) for job in now] == [
        (job["type"], job["model"], job["bound_micros"]) for job in before if job["status"] == "failed"
    ]
    serve(database, made, d="late")
    batch_world.take_turns(database)
    seen = batch_world.shown(database, holder, made)
    assert seen["status"] == "completed" and seen["request_counts"] == {"total": 2, "completed": 1, "failed": 1}
    assert seen["credits_used"] == 0.000005 and seen["errors"] is None
    output, errors = files(database, made)
    assert list(output) == ["a", "b", "c"] and list(errors) == ["d"]
    assert [output[name]["response"]["body"]["of"] for name in "abc"] == [id, made, id]
    invoices = {row["batch_id"]: row["total_micros"] for row in world.rows(database, m.invoices)}
    assert invoices == {id: 10, made: 5}
    assert world.violations(database) == []


def test_a_line_of_the_error_file_is_read_as_it_was(database: Database) -> None:
    """What was priced and sent the second time is what was the first time."""
    holder = world.open_account(database)
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    format = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    asked = chat("a", tools=tools, tool_choice="auto", response_format=format, stop=["x"], metadata={"k": "\t\n"})
    id = batch_world.new_batch(database, holder, [asked])
    run(database, id, a="bad")
    _, errors = files(database, id)
    read = [read_submission("chat.completion", body) for body in (asked["body"], errors["a"]["request"]["body"])]
    assert read[0] == read[1]


def test_reasons_choose_lines_and_unknown_ones_are_told_which_there_are(database: Database) -> None:
    holder = world.open_account(database)
    id = first(database, holder, b="bad", d="late", e="late")
    with pytest.raises(InvalidRequest, match=r"'weather'; existing reasons: 503 \(2\), invalid_request \(1\)") as told:
        retry(database, holder, id, reasons=["503", "weather"])
    assert told.value.param == "reasons"
    made = retry(database, holder, id, reasons=["503"], metadata={}, completion_window="1h")
    seen = batch_world.shown(database, holder, made)
    assert seen["metadata"] is None and seen["completion_window"] == "1h"
    run(database, made)
    output, errors = files(database, made)
    assert list(output) == ["a", "c", "d", "e"] and list(errors) == ["b"], "what was not retried still failed"
    other = retry(database, holder, id, reasons=["invalid_request"])
    run(database, other)
    output, errors = files(database, other)
    assert list(output) == ["a", "b", "c", "d", "e"] and errors == {}, (
        "other lines of the first batch are another retry"
    )
    assert world.violations(database) == []


def test_what_cannot_be_retried(database: Database) -> None:
    holder, stranger = world.open_account(database), world.open_account(database)
    good = first(database, holder)
    with pytest.raises(InvalidRequest, match="nothing to retry"):
        retry(database, holder, good)
    with pytest.raises(NotFound):
        retry(database, stranger, good)
    running = batch_world.new_batch(database, holder, [chat("a")])
    with pytest.raises(Conflict, match="is validating; only a finished batch can be retried"):
        retry(database, holder, running)
    refused = batch_world.new_batch(database, holder, [b"{"])
    batch_world.take_turns(database)
    with pytest.raises(InvalidRequest, match="ended before any of its lines started"):
        retry(database, holder, refused)
    with pytest.raises(InvalidRequest, match="completion_window"):
        retry(database, holder, good, completion_window="2d")


def test_the_same_lines_are_not_bought_twice(database: Database) -> None:
    holder = world.open_account(database)
    id = first(database, holder, b="bad", d="late")
    made = retry(database, holder, id)
    with pytest.raises(Conflict, match=f"batch {made} already retries lines of this batch; its status is validating"):
        retry(database, holder, id)
    run(database, made, d="late")
    with pytest.raises(Conflict, match=f"batch {made} has already retried these lines, and line 'b' succeeded in it"):
        retry(database, holder, id)
    third = retry(database, holder, made)
    assert batch_world.shown(database, holder, third)["retry_of"] == made
    assert batch_world.row(database, third)["retry_root"] == id
    with pytest.raises(Conflict, match=third):
        retry(database, holder, id, reasons=["503"])
    run(database, third)
    output, errors = files(database, third)
    assert list(output) == list("abcde") and errors == {}
    assert [output[name]["response"]["body"]["of"] for name in "abcde"] == [id, made, id, third, id]
    with pytest.raises(InvalidRequest, match="nothing to retry"):
        retry(database, holder, third)
    with pytest.raises(Conflict, match=third):
        retry(database, holder, made)
    assert world.violations(database) == []


def test_a_line_that_failed_in_both_may_be_retried_from_either_once(database: Database) -> None:
    holder = world.open_account(database)
    id = first(database, holder, b="bad", d="late")
    run(database, retry(database, holder, id), b="bad", d="late")
    again = retry(database, holder, id)
    run(database, again, d="late")
    output, errors = files(database, again)
    assert list(output) == list("abce") and list(errors) == ["d"]
    assert world.violations(database) == []


def test_of_many_at_once_one_is_made(database: Database) -> None:
    holder = world.open_account(database)
    id = first(database, holder, b="bad", d="late")
    start = threading.Barrier(4)

    def one(_: int) -> str:
        repeated = database.read_sync(batch_retries.repeatable, holder, id)
        start.wait(20)
        try:
            return str(buy(database, holder, RetrySpec(), repeated)["id"])
        except Conflict as error:
            return error.message

    with ThreadPoolExecutor(4) as threads:
        told = list(threads.map(one, range(4)))
    (made,) = [text for text in told if text.startswith("batch_")]
    assert sum(f"batch {made} already retries" in text for text in told) == 3
    assert len(world.rows(database, m.batches, retry_of=id)) == 1
    assert {row["status"] for row in world.rows(database, m.files, filename="r")} == {"uploading", "processed"}
    run(database, made)
    assert world.violations(database) == []


def test_the_lock_aside_the_database_takes_no_second_one(database: Database) -> None:
    holder = world.open_account(database)
    id = first(database, holder, b="bad")
    row = dict(batch_world.row(database, retry(database, holder, id)))
    with pytest.raises(Exception, match=r"(?i)unique"):
        database.write_sync(lambda c: c.execute(m.batches.insert(), [{**row, "id": "batch_other"}]))


def test_expired_lines_are_retried_also_those_that_never_became_jobs(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(releasing, "CHUNK", 2)
    monkeypatch.setattr(releasing, "SLICE_SECONDS", 0.0)
    holder = world.open_account(database)
    lines = [chat(name, routing={"fallbacks": ["gemini-pro"]}, metadata={"k": name}) for name in "abcdefg"]
    id = batch_world.new_batch(database, holder, lines, completion_window="1h")
    taking_turns = BatchScheduler(database, world.RecordedBell())
    while len(batch_world.job_ids(database, id)) < 2:
        taking_turns.run_once()
    taking_turns.close()
    serve(database, id, b="bad")
    made_jobs = len(batch_world.job_ids(database, id))
    clock.shift(HOUR + clock.MICROS)
    database.write_sync(overdue.end_overdue)
    assert run(database, id)["status"] == "expired" and made_jobs < 7
    blobs.delete(f"files/{batch_world.row(database, id)['input_file_id']}")
    _, errors = files(database, id)
    assert all(line["request"]["body"]["metadata"] == {"k": name} for name, line in errors.items())
    made = retry(database, holder, id, reasons=["expired"])
    again = batch_world.lines_of(database, batch_world.row(database, made)["input_file_id"])
    assert [line["custom_id"] for line in again] == list("cdefg")
    assert all(line["body"]["routing"] == {"fallbacks": ["gemini-pro"]} for line in again)
    run(database, made, f="late")
    output, errors = files(database, made)
    assert list(output) == list("acdeg") and list(errors) == ["b", "f"]
    assert world.violations(database) == []
    blobs.delete(batch_world.row(database, id)["plan"])
    last = retry(database, holder, made)
    run(database, last)
    output, errors = files(database, last)
    assert list(output) == list("acdefg"), "lines whose first plan is lost are told by their retries"
    assert list(errors) == ["b"] and batch_world.shown(database, holder, last)["errors"] is None
    with pytest.raises(Conflict, match="never started and are no longer stored"):
        retry(database, holder, id)


def test_a_retry_that_expires_leaves_what_it_did_not_do_to_the_next(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = world.open_account(database)
    id = first(database, holder, "abcdefg", b="bad", c="bad", d="bad", f="bad")
    monkeypatch.setattr(releasing, "CHUNK", 2)
    monkeypatch.setattr(releasing, "SLICE_SECONDS", 0.0)
    made = retry(database, holder, id, completion_window="1h")
    taking_turns = BatchScheduler(database, world.RecordedBell())
    while len(batch_world.job_ids(database, made)) < 2:
        taking_turns.run_once()
    taking_turns.close()
    clock.shift(HOUR + clock.MICROS)
    database.write_sync(overdue.end_overdue)
    assert run(database, made)["status"] == "expired"
    output, errors = files(database, made)
    assert list(output) == ["a", "e", "g"] and list(errors) == ["b", "c", "d", "f"]
    assert {line["error"]["code"] for line in errors.values()} == {"batch_expired"}
    assert errors["f"]["request"]["body"]["messages"] == [{"role": "user", "content": "hi"}]
    last = retry(database, holder, made)
    run(database, last, f="late")
    output, errors = files(database, last)
    assert list(output) == list("abcdeg") and errors["f"]["response"]["body"]["error"]["reason"] == "503"
    assert world.violations(database) == []


def test_cancelled_lines_are_retried_only_when_they_are_asked_for(database: Database) -> None:
    holder = world.open_account(database)
    id = batch_world.new_batch(database, holder, [chat(name) for name in "abc"])
    batch_world.take_turns(database)
    database.write_sync(producer_batches.cancel, holder, id)
    for _ in range(2):
        batch_world.take_turns(database)
    assert batch_world.row(database, id)["status"] == "cancelled"
    with pytest.raises(InvalidRequest, match='to retry cancelled lines, use "reasons"'):
        retry(database, holder, id)
    made = retry(database, holder, id, reasons=["cancelled"])
    run(database, made)
    assert list(files(database, made)[0]) == ["a", "b", "c"] and world.violations(database) == []


def test_a_retry_of_a_test_batch_costs_nothing(database: Database) -> None:
    holder = world.open_account(database, 0, test=True)
    id = first(database, holder, b="bad")
    made = retry(database, holder, id)
    assert run(database, made)["bound_micros"] == 0 and world.rows(database, m.transfers) == []


def test_a_retry_without_the_credit_for_it_fails_and_may_be_made_again(database: Database) -> None:
    holder = world.open_account(database)
    id = first(database, holder, b="bad")
    database.write_sync(lambda c: c.execute(update(m.files).values(expires_at=1)).rowcount)
    made = retry(database, holder, id)
    database.write_sync(lambda c: c.execute(delete(m.files).where(m.files.c.filename == "r")).rowcount)
    batch_world.take_turns(database)
    assert batch_world.row(database, made)["status"] == "failed"
    run(database, retry(database, holder, id))
    assert world.violations(database) == []


@pytest.mark.parametrize("steps", range(1, 12, 2))
def test_a_process_that_goes_while_it_renders(database: Database, monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    monkeypatch.setattr(releasing, "SLICE_SECONDS", 0.0)
    monkeypatch.setattr(merging, "PAGE", 2)
    monkeypatch.setattr(merging, "NAMES", 2)
    holder = world.open_account(database)
    names = "abcdefghij"
    id = first(database, holder, names, **dict.fromkeys("acegi", "bad"))
    made = retry(database, holder, id)
    batch_world.take_turns(database)
    serve(database, made, e="late")
    both = [BatchScheduler(database, world.RecordedBell()) for _ in range(2)]
    for _ in range(steps):
        both[0].run_once()
    while both[1].run_once():
        pass
    while both[0].run_once():
        pass
    output, errors = files(database, made)
    assert list(output) == list("abcdfghij") and list(errors) == ["e"]
    assert {output[name]["response"]["body"]["of"] for name in "acgi"} == {made}
    assert world.events(database, holder.account_id).count("batch.completed") == 2
    assert world.violations(database) == []


def test_lines_that_are_kept_no_longer_once_their_file_is_written(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retention takes them meanwhile: a batch of them could not have their answers in its output."""
    holder = world.open_account(database)
    id = first(database, holder, a="bad")
    repeated = database.read_sync(batch_retries.repeatable, holder, id)
    monkeypatch.setattr(settings(), "keep_jobs_days", 2)
    clock.shift(3 * 86_400 * clock.MICROS)
    with pytest.raises(Conflict, match="no longer stored"):
        buy(database, holder, RetrySpec(), repeated)


def test_lines_whose_rows_are_gone_are_told_of(database: Database) -> None:
    holder = world.open_account(database)
    id = first(database, holder, b="bad", d="late")
    made = retry(database, holder, id)
    batch_world.take_turns(database)
    serve(database, made)
    ids = batch_world.job_ids(database, id)[:2]
    database.write_sync(lambda c: c.execute(delete(m.jobs).where(m.jobs.c.id.in_(ids))).rowcount)
    batch_world.take_turns(database)
    output, _ = files(database, made)
    assert list(output) == ["c", "d", "e", "b"], "the retry's own lines are all there"
    (fault,) = batch_world.shown(database, holder, made)["errors"]["data"]
    assert fault["code"] == "lines_lost" and fault["message"].startswith(f"1 lines of {id}")
