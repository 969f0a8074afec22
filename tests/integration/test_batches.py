"""A batch from its file to its files, on both databases: one hold, every line once, exact money."""

import json
from typing import Any

import pytest

from producer.operations import batches as producer_batches
from shared import clock
from shared.batches import transitions
from shared.db import Database
from shared.db import models as m
from shared.errors import Conflict
from shared.files import blobs
from shared.jobs.outcomes import TERMINAL, Ending
from tests.catalogues import dear_gpt_4  # noqa: F401
from tests.integration import batch_world, world
from tests.integration.batch_world import chat, draw, embed, files_of_its_own  # noqa: F401
from workers.batches import releasing
from workers.batches.scheduler import BatchScheduler
from workers.maintenance import overdue

HOUR = 3600 * clock.MICROS


@pytest.fixture(autouse=True)
def _virtual() -> Any:
    with world.virtual_time():
        yield


def serve(database: Database, ids: list[str], charge: int = 5, fail: int = 0) -> None:
    """Lease jobs and end them: the first `fail` of them badly, the others well at a price."""
    leased = world.take(database, world.new_worker(database), ids)
    error = {"message": "no", "type": "upstream_error", "code": 502}
    bad = [Ending(job.id, job.epoch, "failed", error=error) for job in leased[:fail]]
    good = [world.good_end(job, charge, model=job.model, prompt_tokens=2, completion_tokens=3) for job in leased[fail:]]
    world.settle(database, *bad, *good)


@pytest.mark.usefixtures("dear_gpt_4")
def test_details_of_usage_are_sums_of_what_is_known(database: Database) -> None:
    holder = world.open_account(database)
    id = batch_world.new_batch(database, holder, [chat(name) for name in "abcd"])

    def usage() -> Any:
        return batch_world.shown(database, holder, id)["usage"]

    def end(**more: Any) -> None:
        made = next(job for job in batch_world.job_ids(database, id) if world.row(database, job)["status"] == "queued")
        (job,) = world.take(database, world.new_worker(database), [made])
        world.settle(database, world.good_end(job, 5, prompt_tokens=10, completion_tokens=5, **more))

    nothing = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    none = {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    assert usage() == nothing | none
    batch_world.take_turns(database)
    end()
    assert usage() == {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
    end(cached_tokens=9, reasoning_tokens=0)
    end(cached_tokens=4, cache_creation_tokens=3, estimated=True)
    assert usage() == {
        "input_tokens": 30,
        "input_tokens_details": {"cached_tokens": 13, "cache_creation_tokens": 3},
        "output_tokens": 15,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 45,
        "estimated": True,
    }
    assert world.violations(database) == []


def test_from_file_to_files(database: Database) -> None:
    holder = world.open_account(database)
    lines = [chat("a"), embed("b"), draw("c"), chat("d", model="gpt-3.5-turbo")]
    id = batch_world.new_batch(database, holder, lines, metadata={"night": "1"})
    assert batch_world.shown(database, holder, id)["status"] == "validating"
    batch_world.take_turns(database)
    seen = batch_world.shown(database, holder, id)
    assert seen["status"] == "in_progress" and seen["request_counts"] == {"total": 4, "completed": 0, "failed": 0}
    (hold,) = world.rows(database, m.transfers, subject_id=id)
    assert (hold["kind"], hold["amount_micros"]) == ("hold", round(seen["credits_held"] * world.CREDIT))
    assert world.violations(database) == []
    made = [world.row(database, job) for job in batch_world.job_ids(database, id)]
    assert [job["custom_id"] for job in made] == ["a", "b", "c", "d"]
    assert {job["lane"] for job in made} == {"batch"} and {job["woken_at"] for job in made} == {None}
    serve(database, [job["id"] for job in made], fail=1)
    batch_world.take_turns(database)
    seen = batch_world.shown(database, holder, id)
    assert seen["status"] == "completed" and seen["request_counts"] == {"total": 4, "completed": 3, "failed": 1}
    assert seen["finalizing_at"] and seen["completed_at"] and seen["metadata"] == {"night": "1"}
    assert seen["usage"]["input_tokens"] == 6 and seen["usage"]["output_tokens"] == 9
    output = batch_world.lines_of(database, seen["output_file_id"])
    assert [line["custom_id"] for line in output] == ["b", "c", "d"]
    assert all(line["response"]["status_code"] == 200 and line["error"] is None for line in output)
    (bad,) = batch_world.lines_of(database, seen["error_file_id"])
    assert bad["custom_id"] == "a" and bad["response"]["status_code"] == 502
    assert bad["response"]["body"]["error"]["type"] == "upstream_error"
    assert blobs.size(batch_world.row(database, id)["plan"]) is None, "the plan is not kept"
    assert world.violations(database) == []


def test_one_statement_and_the_batchs_own_events(database: Database) -> None:
    holder = world.open_account(database)
    id = batch_world.new_batch(database, holder, [chat("a"), chat("b"), embed("c")])
    batch_world.take_turns(database)
    serve(database, batch_world.job_ids(database, id), charge=7)
    batch_world.take_turns(database)
    assert world.events(database, holder.account_id) == ["batch.completed", "invoice.created", "invoice.paid"]
    (invoice,) = world.rows(database, m.invoices)
    assert (invoice["number"], invoice["total_micros"], invoice["status"]) == (1, 21, "paid")
    assert [(line["model"], line["jobs"], line["credits"]) for line in json.loads(invoice["lines"])] == [
        ("gpt-4", 2, 0.000014),
        ("text-embedding-3-large", 1, 0.000007),
    ]
    shown = batch_world.shown(database, holder, id)
    assert shown["invoice_id"] == invoice["id"] and shown["credits_used"] == 0.000021 and shown["credits_held"] == 0
    event = world.rows(database, m.events, type="batch.completed")[0]
    assert json.loads(event["data"])["batch"]["output_file_id"] == shown["output_file_id"]


def test_each_line_is_told_of_when_asked(database: Database) -> None:
    holder = world.open_account(database)
    id = batch_world.new_batch(database, holder, [chat("a"), chat("b")], notify_each=True)
    batch_world.take_turns(database)
    serve(database, batch_world.job_ids(database, id), fail=1)
    batch_world.take_turns(database)
    told = world.events(database, holder.account_id)
    assert sorted(told[:2]) == ["job.completed", "job.failed"] and told[2] == "batch.completed"
    assert world.violations(database) == []


BAD: dict[str, tuple[Any, str, str | None]] = {
    "not json": (b"{", "invalid_json_line", None),
    "a list": (b"[1]", "invalid_json_line", None),
    "NaN": (b'{"custom_id": NaN}', "invalid_json_line", None),
    "not UTF-8": (b'{"custom_id": "\xff"}', "invalid_json_line", None),
    "a key twice": (b'{"custom_id": "a", "custom_id": "b"}', "invalid_json_line", None),
    "no custom_id": ({**chat("x"), "custom_id": None}, "missing_custom_id", "custom_id"),
    "a number for custom_id": ({**chat("x"), "custom_id": 7}, "invalid_custom_id", "custom_id"),
    "duplicate": (chat("good"), "duplicate_custom_id", "custom_id"),
    "GET": ({**chat("x"), "method": "GET"}, "invalid_method", "method"),
    "an unknown url": ({**chat("x"), "url": "/v1/moderations"}, "invalid_url", "url"),
    "no body": ({**chat("x"), "body": "hi"}, "invalid_body", "body"),
    "an unknown field": ({**chat("x"), "priority": 1}, "unknown_field", "priority"),
    "an unknown model": (chat("x", model="gpt-99"), "invalid_request", "body.model"),
    "a bad parameter": (chat("x", temperature=7), "invalid_request", "body.temperature"),
    "a message without content": (chat("x", messages=[{"role": "user"}]), "invalid_request", None),
    "too many tokens": (chat("x", max_tokens=10**9), "invalid_request", "body.max_tokens"),
    "a model of another type": (chat("x", model="image-gen-2"), "invalid_request", "body.model"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_line_fails_the_batch_and_costs_nothing(database: Database, case: str) -> None:
    holder = world.open_account(database)
    line, code, param = BAD[case]
    id = batch_world.new_batch(database, holder, [chat("good"), line])
    batch_world.take_turns(database)
    seen = batch_world.shown(database, holder, id)
    assert seen["status"] == "failed" and seen["failed_at"], seen
    (error,) = seen["errors"]["data"]
    assert (error["code"], error["line"]) == (code, 2), error
    assert param is None or error["param"] == param
    assert error["message"]
    assert batch_world.job_ids(database, id) == [] and world.rows(database, m.transfers, subject_type="batch") == []
    assert world.events(database, holder.account_id) == ["batch.failed"]
    assert world.violations(database) == []


def test_up_to_a_hundred_faults_with_their_lines(database: Database) -> None:
    holder = world.open_account(database)
    lines: list[Any] = [b"", chat("a")] + [chat(f"bad {n}", temperature=9) for n in range(150)]
    id = batch_world.new_batch(database, holder, lines)
    batch_world.take_turns(database)
    errors = batch_world.shown(database, holder, id)["errors"]["data"]
    assert [error["line"] for error in errors] == list(range(3, 103)), "blank lines count, and are no fault"


@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_an_empty_file(database: Database, content: bytes) -> None:
    holder = world.open_account(database)
    id = batch_world.new_batch(database, holder, [content])
    batch_world.take_turns(database)
    (error,) = batch_world.shown(database, holder, id)["errors"]["data"]
    assert error["code"] == "empty_file" and error["line"] is None


def test_more_lines_than_a_batch_has(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.batches.lines.MOST_LINES", 3)
    holder = world.open_account(database)
    exactly = batch_world.new_batch(database, holder, [embed(str(n)) for n in range(3)])
    more = batch_world.new_batch(database, holder, [embed(str(n)) for n in range(6)])
    batch_world.take_turns(database)
    assert batch_world.shown(database, holder, exactly)["status"] == "in_progress"
    (error,) = batch_world.shown(database, holder, more)["errors"]["data"]
    assert (error["code"], error["line"]) == ("too_many_lines", 4)


def test_every_line_must_be_of_the_endpoint(database: Database) -> None:
    holder = world.open_account(database)
    id = batch_world.new_batch(database, holder, [embed("a"), chat("b")], endpoint="/v1/embeddings")
    batch_world.take_turns(database)
    (error,) = batch_world.shown(database, holder, id)["errors"]["data"]
    assert (error["code"], error["line"]) == ("mismatched_url", 2)


def test_the_models_of_a_batch(database: Database) -> None:
    holder = world.open_account(database)
    same = batch_world.new_batch(database, holder, [chat("a"), chat("b")], endpoint="/v1/chat/completions")
    mixed = batch_world.new_batch(database, holder, [chat("a"), embed("b")])
    batch_world.take_turns(database)
    assert batch_world.shown(database, holder, same)["model"] == "gpt-4"
    assert batch_world.shown(database, holder, mixed)["model"] is None


def test_without_credit_for_all_of_it_nothing_is_taken(database: Database) -> None:
    holder = world.open_account(database, 0.05)
    id = batch_world.new_batch(database, holder, [chat(str(n)) for n in range(100)])
    batch_world.take_turns(database)
    seen = batch_world.shown(database, holder, id)
    assert seen["status"] == "failed" and seen["errors"]["data"][0]["code"] == "insufficient_credits"
    assert "0.05 are available" in seen["errors"]["data"][0]["message"]
    assert batch_world.job_ids(database, id) == []
    assert world.events(database, holder.account_id) == ["batch.failed"], "what it asked was too dear; credit is left"
    assert world.violations(database) == []


def test_a_test_key_holds_and_pays_nothing(database: Database) -> None:
    holder = world.open_account(database, 0, test=True)
    id = batch_world.new_batch(database, holder, [chat("a"), chat("b")])
    batch_world.take_turns(database)
    ids = batch_world.job_ids(database, id)
    assert {world.row(database, job)["queue"] for job in ids} == {"sandbox.batch"}
    serve(database, ids, charge=0)
    batch_world.take_turns(database)
    assert batch_world.shown(database, holder, id)["status"] == "completed"
    assert world.rows(database, m.transfers) == [] and world.rows(database, m.invoices) == []
    assert world.events(database, holder.account_id) == ["batch.completed"]
    assert world.violations(database) == []


class TestCancel:
    """A customer stops a batch: what is done is delivered and charged, the rest is released."""

    def test_before_it_is_read(self, database: Database) -> None:
        holder = world.open_account(database)
        id = batch_world.new_batch(database, holder, [chat("a")])
        seen = database.write_sync(producer_batches.cancel, holder, id)
        assert seen["status"] == "cancelling" and seen["cancelling_at"]
        batch_world.take_turns(database)
        seen = batch_world.shown(database, holder, id)
        assert seen["status"] == "cancelled" and seen["output_file_id"] is None and seen["error_file_id"] is None
        assert world.rows(database, m.invoices) == [], "nothing was held, so nothing is stated"
        assert world.violations(database) == []

    def test_while_it_is_read(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(releasing, "SLICE_SECONDS", 0.0)
        holder = world.open_account(database)
        id = batch_world.new_batch(database, holder, [chat(str(n)) for n in range(10)])
        taking_turns = BatchScheduler(database, world.RecordedBell())
        assert taking_turns.run_once() and taking_turns.run_once()
        database.write_sync(producer_batches.cancel, holder, id)
        while taking_turns.run_once():
            pass
        assert batch_world.shown(database, holder, id)["status"] == "cancelled"
        assert batch_world.job_ids(database, id) == [] and world.violations(database) == []

    def test_in_the_midst_of_making_its_jobs(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(releasing, "CHUNK", 3)
        monkeypatch.setattr(releasing, "SLICE_SECONDS", 0.0)
        holder = world.open_account(database)
        id = batch_world.new_batch(database, holder, [chat(str(n)) for n in range(10)])
        taking_turns = BatchScheduler(database, world.RecordedBell())
        while len(batch_world.job_ids(database, id)) < 6:
            taking_turns.run_once()
        first = batch_world.job_ids(database, id)
        serve(database, first[:2], charge=9)
        running = world.take(database, world.new_worker(database), [first[2]])
        database.write_sync(producer_batches.cancel, holder, id)
        assert world.violations(database) == [], "what was held for lines without a job is released at once"
        while taking_turns.run_once():
            pass
        made = len(batch_world.job_ids(database, id))
        assert made < 10 and world.row(database, first[2])["cancel_requested"]
        seen = batch_world.shown(database, holder, id)
        assert seen["status"] == "cancelling", "one line is still running"
        world.settle(database, *(world.good_end(job, 9) for job in running))
        batch_world.take_turns(database)
        seen = batch_world.shown(database, holder, id)
        assert seen["status"] == "cancelled" and seen["request_counts"] == {"total": 10, "completed": 3, "failed": 7}
        assert [line["custom_id"] for line in batch_world.lines_of(database, seen["output_file_id"])] == ["0", "1", "2"]
        dropped = batch_world.lines_of(database, seen["error_file_id"])
        assert [line["custom_id"] for line in dropped] == [str(n) for n in range(3, 10)]
        assert {line["error"]["code"] for line in dropped} == {"batch_cancelled"}
        assert len({line["id"] for line in dropped}) == 7
        assert seen["credits_used"] == 0.000027 and seen["credits_held"] == 0
        assert world.events(database, holder.account_id) == ["batch.cancelled", "invoice.created", "invoice.paid"]
        assert world.violations(database) == []

    def test_twice_is_once_and_after_the_end_is_refused(self, database: Database) -> None:
        holder = world.open_account(database)
        id = batch_world.new_batch(database, holder, [chat("a")])
        for _ in range(2):
            assert database.write_sync(producer_batches.cancel, holder, id)["status"] == "cancelling"
        batch_world.take_turns(database)
        assert database.write_sync(producer_batches.cancel, holder, id)["status"] == "cancelled"
        done = batch_world.new_batch(database, holder, [b"{"])
        batch_world.take_turns(database)
        with pytest.raises(Conflict, match="its status is failed"):
            database.write_sync(producer_batches.cancel, holder, done)


class TestExpiry:
    """The completion window ends: what is done is delivered, every other line says that it expired."""

    def test_some_of_it_done(self, database: Database) -> None:
        holder = world.open_account(database)
        id = batch_world.new_batch(database, holder, [chat(str(n)) for n in range(4)], completion_window="1h")
        batch_world.take_turns(database)
        ids = batch_world.job_ids(database, id)
        serve(database, ids[:1])
        world.take(database, world.new_worker(database), ids[1:2])
        clock.shift(HOUR + clock.MICROS)
        database.write_sync(overdue.end_overdue)
        batch_world.take_turns(database)
        seen = batch_world.shown(database, holder, id)
        assert seen["status"] == "expired" and seen["expired_at"] and seen["request_counts"]["completed"] == 1
        assert len(batch_world.lines_of(database, seen["output_file_id"])) == 1
        late = batch_world.lines_of(database, seen["error_file_id"])
        assert [line["custom_id"] for line in late] == ["1", "2", "3"]
        assert {line["error"]["code"] for line in late} == {"batch_expired"}
        assert world.events(database, holder.account_id)[0] == "batch.expired"
        assert world.violations(database) == []

    def test_before_all_its_jobs_are_made(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(releasing, "CHUNK", 2)
        monkeypatch.setattr(releasing, "SLICE_SECONDS", 0.0)
        holder = world.open_account(database)
        id = batch_world.new_batch(database, holder, [chat(str(n)) for n in range(6)], completion_window="1h")
        taking_turns = BatchScheduler(database, world.RecordedBell())
        while len(batch_world.job_ids(database, id)) < 2:
            taking_turns.run_once()
        taking_turns.close()
        clock.shift(HOUR + clock.MICROS)
        database.write_sync(overdue.end_overdue)
        batch_world.take_turns(database)
        seen = batch_world.shown(database, holder, id)
        assert seen["status"] == "expired" and seen["request_counts"] == {"total": 6, "completed": 0, "failed": 6}
        assert len(batch_world.lines_of(database, seen["error_file_id"])) == 6
        assert seen["credits_held"] == 0 and world.violations(database) == []

    def test_before_it_was_read(self, database: Database) -> None:
        holder = world.open_account(database)
        id = batch_world.new_batch(database, holder, [chat("a")], completion_window="1h")
        clock.shift(HOUR + clock.MICROS)
        batch_world.take_turns(database)
        assert batch_world.shown(database, holder, id)["status"] == "expired" and world.violations(database) == []


class TestResuming:
    """Another process goes on where one died, and two at once do nothing twice."""

    @pytest.mark.parametrize("steps", range(1, 14))
    def test_a_process_that_goes_at_any_step(
        self, database: Database, monkeypatch: pytest.MonkeyPatch, steps: int
    ) -> None:
        monkeypatch.setattr(releasing, "CHUNK", 2)
        monkeypatch.setattr(releasing, "SLICE_SECONDS", 0.0)
        holder = world.open_account(database)
        id = batch_world.new_batch(database, holder, [chat(str(n)) for n in range(7)])
        gone = BatchScheduler(database, world.RecordedBell())
        for _ in range(steps):
            gone.run_once()
        batch_world.take_turns(database)
        made = [world.row(database, job)["custom_id"] for job in batch_world.job_ids(database, id)]
        assert made == [str(n) for n in range(7)], "each line once, in order"
        while gone.run_once():
            pass
        assert len(batch_world.job_ids(database, id)) == 7
        assert len(world.rows(database, m.transfers, subject_id=id)) == 1 and world.violations(database) == []

    def test_two_processes_at_once(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(releasing, "CHUNK", 2)
        monkeypatch.setattr(releasing, "SLICE_SECONDS", 0.0)
        holder = world.open_account(database)
        id = batch_world.new_batch(database, holder, [chat(str(n)) for n in range(9)])
        both = [BatchScheduler(database, world.RecordedBell()) for _ in range(2)]
        while sum(one.run_once() for one in both):
            pass
        assert len(batch_world.job_ids(database, id)) == 9
        serve(database, batch_world.job_ids(database, id))
        while sum(one.run_once() for one in both):
            pass
        assert batch_world.shown(database, holder, id)["status"] == "completed"
        assert world.events(database, holder.account_id).count("batch.completed") == 1
        assert len(world.rows(database, m.invoices)) == 1 and world.violations(database) == []

    def test_a_catalogue_that_changes_meanwhile_changes_no_price(self, database: Database) -> None:
        holder = world.open_account(database)
        id = batch_world.new_batch(database, holder, [chat("a")])
        batch_world.take_turns(database)
        plan = batch_world.row(database, id)
        job = world.row(database, batch_world.job_ids(database, id)[0])
        assert job["bound_micros"] == plan["bound_micros"]

    def test_begin_again_after_an_ambiguous_commit(self, database: Database) -> None:
        holder = world.open_account(database)
        id = batch_world.new_batch(database, holder, [chat("a")])
        plan = transitions.Plan("plans/one", 1, 10, "gpt-4")
        assert database.write_sync(transitions.begin, id, plan)[0]
        assert database.write_sync(transitions.begin, id, plan)[0], "the same plan is the one that was taken"
        assert not database.write_sync(transitions.begin, id, transitions.Plan("plans/two", 1, 10, "gpt-4"))[0]


def test_accounts_take_turns(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small batch behind a large one of somebody else does not wait for it."""
    monkeypatch.setattr(releasing, "CHUNK", 5)
    monkeypatch.setattr(releasing, "SLICE_SECONDS", 0.0)
    big, small = world.open_account(database, 10_000), world.open_account(database)
    large = batch_world.new_batch(database, big, [chat(str(n)) for n in range(200)])
    little = batch_world.new_batch(database, small, [chat("x"), chat("y")])
    taking_turns = BatchScheduler(database, world.RecordedBell())
    while len(batch_world.job_ids(database, little)) < 2:
        assert taking_turns.run_once()
    assert len(batch_world.job_ids(database, large)) < 50


def test_priority_within_an_account(database: Database) -> None:
    holder = world.open_account(database, 10_000)
    low = batch_world.new_batch(database, holder, [chat("a")])
    high = batch_world.new_batch(database, holder, [chat("b")], priority=9)
    batch_world.take_turns(database)
    fed = process_order(database)
    assert fed.index(batch_world.job_ids(database, high)[0]) < fed.index(batch_world.job_ids(database, low)[0])


def process_order(database: Database) -> list[str]:
    """The order in which the feeder would ring for what waits."""
    from workers.maintenance.feeder import Feeder

    bell = world.RecordedBell()
    Feeder(database, bell).run_once(["openai.batch"])
    return bell.ids("openai.batch")


def test_a_cancel_of_one_line_counts_as_a_line_that_failed(database: Database) -> None:
    holder = world.open_account(database)
    id = batch_world.new_batch(database, holder, [chat("a"), chat("b")])
    batch_world.take_turns(database)
    first, second = batch_world.job_ids(database, id)
    world.settle(database, Ending(first, 0, "cancelled", came_from="queued", takes=True))
    serve(database, [second])
    batch_world.take_turns(database)
    seen = batch_world.shown(database, holder, id)
    assert seen["status"] == "completed" and seen["request_counts"] == {"total": 2, "completed": 1, "failed": 1}
    assert TERMINAL and world.violations(database) == []


def test_a_plan_that_cannot_be_found_is_looked_for_and_at_last_told_to_be_lost(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Storage is not mounted, or lost it: no shorter file is made of that, until a day has passed."""
    monkeypatch.setattr(releasing, "CHUNK", 2)
    monkeypatch.setattr(releasing, "SLICE_SECONDS", 0.0)
    holder = world.open_account(database)
    id = batch_world.new_batch(database, holder, [chat(str(n)) for n in range(6)])
    taking_turns = BatchScheduler(database, world.RecordedBell())
    while len(batch_world.job_ids(database, id)) < 2:
        taking_turns.run_once()
    taking_turns.close()
    serve(database, batch_world.job_ids(database, id))
    blobs.delete(batch_world.row(database, id)["plan"])
    database.write_sync(producer_batches.cancel, holder, id)
    clock.shift(23 * HOUR)
    batch_world.take_turns(database)
    assert batch_world.shown(database, holder, id)["status"] == "cancelling"
    clock.shift(2 * HOUR)
    batch_world.take_turns(database)
    seen = batch_world.shown(database, holder, id)
    assert seen["status"] == "cancelled" and len(batch_world.lines_of(database, seen["output_file_id"])) == 2
    (fault,) = seen["errors"]["data"]
    assert fault["code"] == "lines_lost" and world.violations(database) == []


def test_a_body_of_nothing_but_faults_is_refused_quickly(database: Database) -> None:
    """Telling a million faults would take a minute: only that there are many is told."""
    holder = world.open_account(database)
    body = {"model": "gpt-4", **{f"unknown{n}": 1 for n in range(4_000)}}
    id = batch_world.new_batch(database, holder, [{**chat("a"), "body": body}])
    batch_world.take_turns(database, most=40)
    (error,) = batch_world.shown(database, holder, id)["errors"]["data"]
    assert "more than 100 errors" in error["message"]


def test_blank_lines_are_bounded(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.batches.lines.MOST_WITH_BLANKS", 10)
    holder = world.open_account(database)
    id = batch_world.new_batch(database, holder, [chat("a"), b"\n" * 50])
    batch_world.take_turns(database)
    (error,) = batch_world.shown(database, holder, id)["errors"]["data"]
    assert (error["code"], error["line"]) == ("too_many_lines", 11)


def test_large_answers_are_rendered_page_by_page(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.batches.result_lines.MOST_BYTES", 5)
    holder = world.open_account(database)
    id = batch_world.new_batch(database, holder, [chat(str(n)) for n in range(7)])
    batch_world.take_turns(database)
    serve(database, batch_world.job_ids(database, id))
    batch_world.take_turns(database)
    seen = batch_world.shown(database, holder, id)
    output = batch_world.lines_of(database, seen["output_file_id"])
    assert [line["custom_id"] for line in output] == [str(n) for n in range(7)]
    assert world.violations(database) == []
