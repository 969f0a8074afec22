"""Batches that hold as they advance, or later: never more than there is, in line, and exact whatever ends them."""

import threading
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from producer.objects.batch_progress import progress_object
from producer.operations import batch_progress, batches, files
from producer.operations.batches import BatchSpec
from shared.batches import credit, transitions
from shared.db import Database
from shared.db import models as m
from shared.errors import Conflict, InvalidRequest
from shared.jobs import credit_waits
from shared.key_holders import KeyHolder
from shared.money import ledger
from shared.submissions import quote
from shared.submissions import rows as intake
from shared.submissions.catalogue import catalogue
from tests.integration import batch_world, world
from tests.integration.batch_world import chat, files_of_its_own  # noqa: F401
from tests.integration.test_credit_waits import balance, patient
from tests.integration.test_retries import retry
from tests.integration.world import CREDIT
from workers.maintenance.credit_admission import CreditAdmission


def bound_of_a_line(database: Database) -> int:
    """What is held for a line like `chat`, in micro-credits."""
    id = batch_world.new_batch(database, world.open_account(database), [chat("a")])
    batch_world.take_turns(database)
    return int(batch_world.row(database, id)["bound_micros"])


@pytest.fixture
def line(database: Database) -> int:
    return bound_of_a_line(database)


def account_with(database: Database, micros: int) -> KeyHolder:
    holder = world.open_account(database, 0)
    if micros:
        database.write_sync(ledger.grant, holder.account_id, micros)
    return holder


def end_jobs(database: Database, id: str, charge: int = 0, most: int = 100) -> int:
    """Let the jobs of a batch that wait succeed; how many."""
    leased = world.take(database, world.new_worker(database), batch_world.job_ids(database, id, "queued")[:most])
    world.settle(database, *(world.good_end(job, charge) for job in leased))
    return len(leased)


def sliced(database: Database, holder: KeyHolder, count: int, **more: Any) -> str:
    return batch_world.new_batch(database, holder, [chat(f"l{n}") for n in range(count)], hold="slices", **more)


def state(database: Database, id: str) -> tuple[str, int, bool]:
    row = batch_world.row(database, id)
    return row["status"], row["released"], row["short_micros"] is not None


def test_it_holds_for_as_many_lines_as_there_is_credit_for(database: Database, line: int) -> None:
    holder = account_with(database, 3 * line + line // 2)
    id = sliced(database, holder, 10)
    shown = batch_world.shown(database, holder, id)
    assert (shown["status"], shown["hold"], shown["waiting_for"]) == ("validating", "slices", None)
    batch_world.take_turns(database)
    assert state(database, id) == ("in_progress", 3, True)
    row, shown = batch_world.row(database, id), batch_world.shown(database, holder, id)
    assert row["bound_micros"] == row["released_micros"] == 3 * line
    assert shown["credits_held"] == 3 * line / CREDIT
    assert world.violations(database) == []


def drive(database: Database, id: str, charge: int, most: int = 100) -> None:
    """Until it is over, or waits for what nobody gives."""
    for _ in range(100):
        batch_world.take_turns(database)
        assert world.violations(database) == []
        if batch_world.row(database, id)["status"] in ("completed", "expired", "cancelled"):
            return
        if not end_jobs(database, id, charge, most):
            return


def test_it_goes_on_with_what_its_own_lines_release_and_ends_whole(database: Database, line: int) -> None:
    holder = account_with(database, 3 * line)
    id = sliced(database, holder, 10)
    drive(database, id, charge=line // 5)
    row = batch_world.row(database, id)
    assert (row["status"], row["succeeded"], row["charged_micros"]) == ("completed", 10, 10 * (line // 5))
    assert row["bound_micros"] == row["resolved_micros"] == 10 * line
    assert balance(database, holder) == ((3 * line - 10 * (line // 5)) / CREDIT, 0)
    assert len(batch_world.lines_of(database, row["output_file_id"])) == 10
    (invoice,) = world.rows(database, m.invoices, batch_id=id)
    assert invoice["total_micros"] == 10 * (line // 5)


def test_it_pauses_says_so_and_goes_on_when_credit_comes(database: Database, line: int) -> None:
    holder = account_with(database, 2 * line)
    id = sliced(database, holder, 5)
    batch_world.take_turns(database)
    end_jobs(database, id, charge=line)
    batch_world.take_turns(database)
    assert state(database, id) == ("in_progress", 2, True)
    assert batch_world.shown(database, holder, id)["waiting_for"] == "credits"
    visible = database.read_sync(batches.visible, holder, id)
    counts = database.read_sync(batch_progress.count, visible)
    assert progress_object(visible, counts.providers, counts.reasons)["waiting_for"] == "credits"
    assert "credit.exhausted" in world.events(database, holder.account_id)
    database.write_sync(ledger.grant, holder.account_id, 3 * line)
    drive(database, id, charge=line)
    assert state(database, id) == ("completed", 5, False) and balance(database, holder) == (0, 0)


def test_no_more_than_a_slice_is_held_for_at_once(
    database: Database, line: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credit, "SLICE", 4)
    holder = account_with(database, 100 * line)
    id = sliced(database, holder, 10)
    released = []
    for _ in range(5):
        batch_world.take_turns(database)
        released.append(batch_world.row(database, id)["released"])
        end_jobs(database, id, most=1)
    assert released == [4, 8, 8, 8, 8]  # the next when fewer than a slice have not ended


def test_at_the_end_of_its_window_the_rest_expires(database: Database, line: int) -> None:
    holder = account_with(database, 2 * line)
    id = sliced(database, holder, 5)
    batch_world.take_turns(database)
    end_jobs(database, id, charge=line)
    batch_world.take_turns(database)
    database.write_sync(lambda c: c.execute(update(m.batches).where(m.batches.c.id == id).values(expires_at=1)))
    batch_world.take_turns(database)
    row = batch_world.row(database, id)
    assert (row["status"], row["succeeded"], row["expired"]) == ("expired", 2, 3)
    assert len(batch_world.lines_of(database, row["error_file_id"])) == 3
    assert world.violations(database) == []


@pytest.mark.parametrize("hold", ["slices", "later"])
def test_a_cancel_while_it_waits_leaves_nothing(database: Database, line: int, hold: str) -> None:
    holder = account_with(database, line // 2)
    spec = {"hold": "slices"} if hold == "slices" else {"on_insufficient_credits": "wait"}
    id = batch_world.new_batch(database, holder, [chat("a"), chat("b")], **spec)
    batch_world.take_turns(database)
    assert state(database, id) == ("in_progress", 0, True)
    database.write_sync(batches.cancel, holder, id)
    assert batch_world.shown(database, holder, id)["waiting_for"] is None
    batch_world.take_turns(database)
    row = batch_world.row(database, id)
    assert (row["status"], row["cancelled"]) == ("cancelled", 2) and balance(database, holder)[1] == 0
    assert world.violations(database) == []


@pytest.mark.parametrize("when", ["before it is read", "in a slice"])
def test_a_cancel_at_another_time(database: Database, line: int, when: str) -> None:
    holder = account_with(database, 2 * line)
    id = sliced(database, holder, 5)
    if when == "in a slice":
        batch_world.take_turns(database)
        end_jobs(database, id, charge=1, most=1)
    database.write_sync(batches.cancel, holder, id)
    drive(database, id, charge=0)
    batch_world.take_turns(database)
    assert batch_world.row(database, id)["status"] == "cancelled" and balance(database, holder)[1] == 0
    assert world.violations(database) == []


def test_one_that_waits_for_all_of_it_is_held_for_once_and_then_runs(database: Database, line: int) -> None:
    holder = account_with(database, line)
    id = batch_world.new_batch(database, holder, [chat("a"), chat("b")], on_insufficient_credits="wait")
    batch_world.take_turns(database)
    assert state(database, id) == ("in_progress", 0, True) and balance(database, holder)[1] == 0
    database.write_sync(ledger.grant, holder.account_id, line)
    drive(database, id, charge=line)
    assert state(database, id) == ("completed", 2, False) and balance(database, holder) == (0, 0)
    assert len(world.rows(database, m.transfers, kind="hold", subject_id=id)) == 1


def test_the_line_of_an_account_is_its_jobs_then_its_batches_in_order(database: Database, line: int) -> None:
    holder = account_with(database, 0)
    first = sliced(database, holder, 2)
    second = batch_world.new_batch(database, holder, [chat("a")], on_insufficient_credits="wait")
    urgent = sliced(database, holder, 1, priority=5)
    batch_world.take_turns(database)
    job = patient(database, holder, 1)
    job.rows[0]["bound_micros"] = line
    world.accept_all(database, [job])
    assert [state(database, id)[2] for id in (first, second, urgent)] == [True] * 3

    def released() -> list[int]:
        CreditAdmission(database).run_once()
        batch_world.take_turns(database)
        return [int(database.read_sync(credit_waits.is_any, holder.account_id))] + [
            batch_world.row(database, id)["released"] for id in (urgent, first, second)
        ]

    assert released() == [1, 0, 0, 0]
    for expected in ([0, 0, 0, 0], [0, 1, 0, 0], [0, 1, 1, 0], [0, 1, 2, 0], [0, 1, 2, 1]):
        database.write_sync(ledger.grant, holder.account_id, line)
        assert released() == expected
    assert world.violations(database) == []


def test_a_dear_line_pauses_what_comes_after_it(database: Database, line: int) -> None:
    holder = account_with(database, 2 * line)
    id = batch_world.new_batch(database, holder, [chat("a"), chat("b", max_tokens=4000), chat("c")], hold="slices")
    batch_world.take_turns(database)
    assert state(database, id) == ("in_progress", 1, True)


def test_two_batches_processes_make_each_line_one_job(database: Database, line: int) -> None:
    holder = account_with(database, 7 * line)
    id = sliced(database, holder, 20)
    threads = [threading.Thread(target=batch_world.take_turns, args=(database,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    jobs = world.rows(database, m.jobs, batch_id=id)
    assert sorted(job["custom_id"] for job in jobs) == [f"l{n}" for n in range(7)]
    assert world.violations(database) == []


def test_a_slice_that_another_has_made_is_not_made_again(database: Database, line: int) -> None:
    holder = account_with(database, 100 * line)
    id = sliced(database, holder, 2)
    batch_world.take_turns(database)
    row = batch_world.row(database, id)
    assert database.write_sync(credit.release_slice, id, 0, []) == (None, [])
    assert batch_world.row(database, id) == row


@pytest.mark.parametrize("spec", [{"hold": "slices"}, {"on_insufficient_credits": "wait"}])
def test_the_version_before_can_make_no_job_of_it(database: Database, line: int, spec: dict[str, Any]) -> None:
    """It knows neither column: it does not see a batch that is to be read, and its way to make jobs is refused."""
    holder = account_with(database, line // 2)
    id = batch_world.new_batch(database, holder, [chat("a")], **spec)
    assert batch_world.row(database, id)["status"] not in ("validating", "in_progress", "finalizing", "cancelling")
    batch_world.take_turns(database)
    owner = intake.Owner(holder.account_id, holder.key_id, False, batch_id=id)
    made = [intake.rows(owner, intake.priced(*_offered(world.submission())))]
    with pytest.raises(IntegrityError, match="released_within_hold"):
        database.write_sync(transitions.release, id, (0, 10), made)
    assert world.rows(database, m.jobs, batch_id=id) == [] and world.violations(database) == []


def _offered(submission: Any) -> Any:
    return submission, quote.offers(submission, catalogue(), test=False)


def test_a_retry_holds_as_the_batch_did(database: Database, line: int) -> None:
    holder = account_with(database, line)
    id = sliced(database, holder, 3)
    drive(database, id, charge=line)
    database.write_sync(lambda c: c.execute(update(m.batches).where(m.batches.c.id == id).values(expires_at=1)))
    batch_world.take_turns(database)
    assert batch_world.row(database, id)["status"] == "expired"
    again = retry(database, holder, id)
    assert batch_world.row(database, again)["hold"] == "slices"
    database.write_sync(ledger.grant, holder.account_id, 2 * line)
    drive(database, again, charge=line)
    row = batch_world.row(database, again)
    assert (row["status"], row["succeeded"]) == ("completed", 2) and world.violations(database) == []
    assert len(batch_world.lines_of(database, row["output_file_id"])) == 3


def test_a_test_key_s_batch_is_an_ordinary_one(database: Database) -> None:
    holder = world.open_account(database, 0, test=True)
    id = sliced(database, holder, 2)
    assert batch_world.row(database, id)["hold"] is None
    batch_world.take_turns(database)
    assert batch_world.row(database, id)["released"] == 2


def test_slices_and_fail_contradict_each_other() -> None:
    with pytest.raises(InvalidRequest, match="waits for credit"):
        BatchSpec(input_file_id="file_1", hold="slices", on_insufficient_credits="fail").check()


def test_a_line_cannot_wait_by_itself(database: Database) -> None:
    holder = world.open_account(database)
    id = batch_world.new_batch(database, holder, [chat("a", on_insufficient_credits="wait")])
    batch_world.take_turns(database)
    assert "is a field of the batch" in batch_world.row(database, id)["errors"]


def test_a_file_that_is_to_be_read_is_kept(database: Database) -> None:
    holder = world.open_account(database)
    id = sliced(database, holder, 1)
    file = batch_world.row(database, id)["input_file_id"]
    with pytest.raises(Conflict, match="is being read by batch"):
        database.write_sync(files.doom, holder, file)
