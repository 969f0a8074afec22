"""Jobs that wait for credit: in line, held for in their order, never leased before, cancelled and expired as others."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson
import pytest
from sqlalchemy import event

from producer.admission.accept import Acceptor
from producer.admission.idempotency import Claim
from producer.admission.prepared import Accepted, PreparedJobs
from producer.operations import jobs as jobs_ops
from shared import clock
from shared.db import Database
from shared.db import models as m
from shared.errors import InsufficientCredits, InvalidRequest
from shared.jobs import credit_waits
from shared.key_holders import KeyHolder
from shared.money import ledger
from shared.submissions.schemas import read_submission
from tests.integration import world
from tests.integration.world import CREDIT
from workers.maintenance import credit_admission, feeder
from workers.maintenance.credit_admission import CreditAdmission
from workers.maintenance.overdue import end_overdue


def patient(database: Database, holder: KeyHolder, *bounds: int, listed: bool = False) -> PreparedJobs:
    """Jobs that may wait, with these bounds in credits."""
    asked = [world.submission(on_insufficient_credits="wait") for _ in bounds]
    made = Acceptor(database, world.RecordedBell()).prepare(holder, asked, listed=listed, claim=None)
    for row, bound in zip(made.rows, bounds, strict=True):
        row["bound_micros"] = bound * CREDIT
    return made


def post(database: Database, holder: KeyHolder, bound: int) -> str:
    """The id of a job that may wait, and that is accepted."""
    made = patient(database, holder, bound)
    (outcome,) = world.accept_all(database, [made])
    assert isinstance(outcome, Accepted)
    return str(made.rows[0]["id"])


def waits(database: Database) -> list[str]:
    """The jobs that wait, or did when they ended."""
    return [row["id"] for row in world.rows(database, m.jobs) if row["wanted_micros"] is not None]


def balance(database: Database, holder: KeyHolder) -> tuple[float, float]:
    (row,) = world.rows(database, m.accounts, id=holder.account_id)
    return row["available_micros"] / CREDIT, row["held_micros"] / CREDIT


def grant(database: Database, holder: KeyHolder, credits: int) -> None:
    database.write_sync(ledger.grant, holder.account_id, credits * CREDIT)


def finish(database: Database, id: str, charge: int = 0) -> None:
    (job,) = world.take(database, world.new_worker(database), [id])
    world.settle(database, world.good_end(job, charge * CREDIT))


def test_what_is_there_is_held_at_once(database: Database) -> None:
    holder = world.open_account(database, 10)
    post(database, holder, 4)
    assert waits(database) == [] and balance(database, holder) == (6, 4)


def test_a_job_waits_is_shown_so_and_is_let_in_when_credit_is_released(database: Database) -> None:
    holder = world.open_account(database, 10)
    first = post(database, holder, 7)
    made = patient(database, holder, 5)
    (outcome,) = world.accept_all(database, [made])
    assert (
        isinstance(outcome, Accepted) and outcome.waits and orjson.loads(outcome.response)["waiting_for"] == "credits"
    )
    second = made.rows[0]["id"]
    shown = database.read_sync(jobs_ops.show_job, holder, second)
    assert (shown["status"], shown["waiting_for"]) == ("queued", "credits")
    assert balance(database, holder) == (3, 7) and world.violations(database) == []
    CreditAdmission(database).run_once()
    assert waits(database) == [second]
    finish(database, first, charge=1)
    CreditAdmission(database).run_once()
    assert waits(database) == [] and balance(database, holder) == (4, 5)
    assert "waiting_for" not in database.read_sync(jobs_ops.show_job, holder, second)
    finish(database, second, charge=2)
    assert balance(database, holder) == (7, 0) and world.violations(database) == []


def test_nothing_leases_or_wakes_it_meanwhile_whatever_its_version(database: Database) -> None:
    holder = world.open_account(database, 1)
    id = post(database, holder, 5)
    assert world.take(database, world.new_worker(database), [id]) == []
    assert database.read_sync(feeder.survey) == ({}, set())
    assert not database.read_sync(feeder.is_any_due) and database.write_sync(feeder.end_deferrals) == 0
    with world.virtual_time():
        clock.shift(3600 * clock.MICROS)
        assert not database.read_sync(feeder.is_any_due)


def test_the_order_is_that_in_which_they_came(database: Database) -> None:
    holder = world.open_account(database, 1)
    dear, cheap, last = (post(database, holder, bound) for bound in (50, 1, 2))
    CreditAdmission(database).run_once()
    assert waits(database) == [dear, cheap, last]
    grant(database, holder, 50)
    CreditAdmission(database).run_once()
    assert waits(database) == [last] and balance(database, holder) == (0, 51)
    grant(database, holder, 1)
    assert not database.read_sync(credit_waits.payable)[0]
    grant(database, holder, 1)
    CreditAdmission(database).run_once()
    assert waits(database) == [] and world.violations(database) == []


def test_one_look_at_many_lines_is_one_statement(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """At two for each of a thousand accounts, a look on PostgreSQL took longer than the time between two of them."""
    monkeypatch.setattr(credit_waits, "ACCOUNTS", 3)
    holders = sorted((world.open_account(database, 0) for _ in range(5)), key=lambda holder: holder.account_id)
    for holder in holders:
        post(database, holder, 5)
        post(database, holder, 1)
        grant(database, holder, 4)
    for number in (1, 4):
        grant(database, holders[number], 1)
    made: list[str] = []

    def hear(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        made.append(statement)

    event.listen(database.engine, "before_cursor_execute", hear)
    first, after = database.read_sync(credit_waits.payable)
    event.remove(database.engine, "before_cursor_execute", hear)
    assert sum("jobs" in one for one in made) == 1
    assert first == [holders[1].account_id] and after == holders[2].account_id
    assert database.read_sync(credit_waits.payable, after) == ([holders[4].account_id], "")
    assert database.read_sync(credit_waits.payable, holders[4].account_id) == ([], "")


def test_who_does_not_wait_takes_what_is_there(database: Database) -> None:
    holder = world.open_account(database, 10)
    post(database, holder, 20)
    (taken,) = world.accept_all(database, [world.order(database, holder, bound=3 * CREDIT)])
    (refused,) = world.accept_all(database, [world.order(database, holder, bound=8 * CREDIT)])
    assert isinstance(taken, Accepted) and isinstance(refused, InsufficientCredits)


def test_in_one_group_who_comes_after_a_waiting_job_waits_too(database: Database) -> None:
    holder = world.open_account(database, 10)
    orders = [patient(database, holder, bound) for bound in (8, 5, 1)]
    outcomes = world.accept_all(database, orders)
    assert [outcome.waits for outcome in outcomes if isinstance(outcome, Accepted)] == [False, True, True]


def test_whoever_asks_again_is_answered_that_it_waits(database: Database) -> None:
    holder = world.open_account(database, 1)
    claim = Claim(holder.account_id, "live:a", "fingerprint")
    orders = [replace(patient(database, holder, 5), claim=claim) for _ in range(2)]
    first, second = world.accept_all(database, orders)
    (unheard,) = world.accept_all(database, [orders[0]])  # its COMMIT took effect, of which nobody has heard
    (later,) = world.accept_all(database, [replace(patient(database, holder, 5), claim=claim)])
    answers = [one.response for one in (first, second, unheard, later) if isinstance(one, Accepted)]
    assert len(set(answers)) == 1 and len(answers) == 4 and "waiting_for" in answers[0]
    assert isinstance(unheard, Accepted) and unheard.waits and waits(database) == [orders[0].rows[0]["id"]]


def test_a_list_waits_as_a_whole_and_is_let_in_job_by_job(database: Database) -> None:
    holder = world.open_account(database, 10)
    made = patient(database, holder, 6, 6, 6, listed=True)
    (outcome,) = world.accept_all(database, [made])
    assert isinstance(outcome, Accepted) and outcome.waits
    assert all(job["waiting_for"] == "credits" for job in orjson.loads(outcome.response)["data"])
    CreditAdmission(database).run_once()
    assert waits(database) == [row["id"] for row in made.rows[1:]]
    assert balance(database, holder) == (4, 6) and world.violations(database) == []


def test_a_list_in_which_one_job_may_not_wait_is_refused(database: Database) -> None:
    holder = world.open_account(database, 10)
    asked = [world.submission(on_insufficient_credits=what) for what in ("wait", "fail")]
    made = Acceptor(database, world.RecordedBell()).prepare(holder, asked, listed=True, claim=None)
    for row in made.rows:
        row["bound_micros"] = 6 * CREDIT
    (outcome,) = world.accept_all(database, [made])
    assert isinstance(outcome, InsufficientCredits) and world.rows(database, m.jobs) == []


def test_one_that_is_cancelled_or_expires_frees_nothing_and_lets_the_next_in(database: Database) -> None:
    holder = world.open_account(database, 3)
    first, second, third = (post(database, holder, bound) for bound in (30, 20, 2))
    job, _ = database.write_sync(jobs_ops.cancel_job, holder, first)
    assert job["status"] == "cancelled" and "waiting_for" not in job
    world.change(database, second, expires_at=1)
    database.write_sync(end_overdue)
    assert world.row(database, second)["status"] == "expired" and balance(database, holder) == (3, 0)
    CreditAdmission(database).run_once()
    assert waits(database) == [first, second] and balance(database, holder) == (1, 2)  # those two are over
    finish(database, third)
    assert world.violations(database) == []


def test_so_many_may_wait_and_no_more(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credit_waits, "MOST", 3)
    holder, other = world.open_account(database, 1), world.open_account(database, 1)
    orders = [patient(database, who, 5) for who in (holder, holder, other, holder, holder)]
    outcomes = world.accept_all(database, orders)
    assert [isinstance(outcome, Accepted) for outcome in outcomes] == [True, True, True, True, False]
    refused = outcomes[-1]
    assert isinstance(refused, InsufficientCredits) and "3 jobs wait for credit already" in refused.message
    (again,) = world.accept_all(database, [patient(database, holder, 5)])
    assert isinstance(again, InsufficientCredits)


def test_test_keys_never_wait(database: Database) -> None:
    holder = world.open_account(database, 0, test=True)
    made = Acceptor(database, world.RecordedBell()).prepare(
        holder, [world.submission(on_insufficient_credits="wait")], listed=False, claim=None
    )
    (outcome,) = world.accept_all(database, [made])
    assert isinstance(outcome, Accepted) and not outcome.waits


def test_two_sweepers_beside_a_crowd_never_hold_more_than_there_is(database: Database) -> None:
    holder = world.open_account(database, 0)
    ids = [post(database, holder, 1) for _ in range(60)]
    grants = [threading.Thread(target=grant, args=(database, holder, 5)) for _ in range(4)]
    sweeps = [threading.Thread(target=CreditAdmission(database).run_once) for _ in range(4)]
    for thread in (*grants, *sweeps):
        thread.start()
    for thread in (*grants, *sweeps):
        thread.join()
    CreditAdmission(database).run_once()
    assert waits(database) == ids[20:] and balance(database, holder) == (0, 20)
    assert world.violations(database) == []


def test_an_account_whose_line_never_ends_takes_one_turn(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of accounts that can pay, the first in the order has more to let in than there is time for, again and again."""
    busy, *others = sorted((world.open_account(database, 0) for _ in range(3)), key=lambda one: one.account_id)
    ids = [post(database, other, 1) for other in others]

    class Slow(CreditAdmission):
        """Each of its transactions lasts as long as a turn."""

        now = 0.0

        def monotonic(self) -> float:
            return self.now

        def _admit(self, accounts: Sequence[str]) -> tuple[list[str], list[str]]:
            self.now += 1
            done = super()._admit(accounts)
            if accounts[0] == busy.account_id:
                grant(database, busy, 1)
            return done

    for _ in range(9):
        post(database, busy, 1)
    for holder in (busy, *others):
        grant(database, holder, 1)
    admission = Slow(database)
    monkeypatch.setattr(credit_admission, "clock", admission)
    for _ in range(4):
        admission.run_once()
    assert not set(ids) & set(waits(database)) and world.violations(database) == []


@pytest.mark.parametrize(("value", "said"), [("later", "fail or wait"), (True, "fail or wait"), ({}, "fail or wait")])
def test_another_value_is_a_400(value: Any, said: str) -> None:
    body = {"model": "gpt-4", "messages": [{"role": "user", "content": "hi"}], "on_insufficient_credits": value}
    with pytest.raises(InvalidRequest, match=said):
        read_submission("chat.completion", body)
