"""Every named crash point: a process dies there, another takes its place, and no promise is broken."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from shared import clock, crash
from shared.audit import Action
from shared.money import corrections, ledger
from tests.chaos.batch_scenarios import (
    batch_held_for_later,
    batch_in_slices,
    batches_of_all_kinds,
    cancelled_batch,
    cancelled_where_it_died,
    expired_batch,
    expired_where_it_died,
    large_batch,
    retried_batch,
)
from tests.chaos.conftest import Stacks
from tests.chaos.console_scenarios import cancelled_in_the_console
from tests.chaos.purchase_scenarios import SCENARIOS, paid_by_asking, paid_by_message, paying_stack, topped_up
from tests.harness import HASTY, Account, Stack, chat
from tests.receiver import Answer

ROOT = Path(__file__).parents[2]
STACK = {**HASTY, "CONSOLE": "true"}
Scenario = Callable[[Stack, Account, str], None]


@dataclass(frozen=True)
class Case:
    """A point, the process that dies there, what makes it pass the point, and the n-th passing that kills."""

    point: str
    process: str
    scenario: Scenario
    nth: int = 1

    def __str__(self) -> str:
        return f"{self.point}:{self.nth}-{self.process}-{self.scenario.__name__}"


def one_job(stack: Stack, account: Account, mark: str) -> None:
    stack.submit(account, [chat(mark)])


def jobs_of_all_kinds(stack: Stack, account: Account, mark: str) -> None:
    """Lists and single jobs of three providers, live and test; some fail at first, one falls back, one fails."""
    stack.script(
        {"fault": {"status": 503}, "contains": f"{mark} flaky", "times": 2, "each": True},
        {"fault": {"status": 400}, "contains": f"{mark} bad"},
        {"fault": {"status": 401}, "contains": f"{mark} elsewhere", "provider": "openai"},
    )
    models = ("gpt-4", "claude-3-sonnet", "gemini-pro")
    stack.submit(account, [chat(f"{mark} {n}", model=models[n % 3]) for n in range(20)])
    stack.submit(account, [chat(f"{mark} flaky {n}") for n in range(5)])
    stack.submit(account, [{"type": "embedding", "model": "text-embedding-3-large", "input": mark}])
    stack.submit(account, [{"type": "image", "model": "image-gen-2", "prompt": mark}])
    stack.submit(account, [chat(f"{mark} bad")])
    stack.submit(account, [chat(f"{mark} elsewhere", routing={"fallbacks": ["claude-3-sonnet"]})])
    stack.submit(account, [chat(f"{mark} {n}") for n in range(3)], test=True)


def awaited_calls(stack: Stack, account: Account, mark: str) -> None:
    """Callers who wait, so that doorbells are first leases; those of the slow calls are written late."""
    stack.script({"fault": {"latency_seconds": 1.5}, "contains": f"{mark} slow"})
    bodies = [chat(f"{mark} {'slow' if n % 2 else 'quick'} {n}") for n in range(6)]
    ask, asked = partial(stack.call, account.live_key, "POST", "/v1/chat/completions"), 0
    with ThreadPoolExecutor(len(bodies)) as callers:

        def answered(jobs: Sequence[Mapping[str, Any]]) -> bool:
            nonlocal asked
            asked += len(jobs)
            calls = [callers.submit(ask, {name: job[name] for name in job if name != "type"}) for job in jobs]
            stack.until(lambda: all(call.done() for call in calls), seconds=120, what="the answers")
            return all(call.result()["choices"] for call in calls)

        while not stack.rows("SELECT id FROM jobs WHERE run_at > created_at AND account_id = :id", id=account.id):
            assert answered(bodies[:1])
        assert answered(bodies)
    made = [row.id for row in stack.rows("SELECT id FROM jobs WHERE account_id = :id", id=account.id)]
    assert len(made) == asked, "each call has made one job"
    stack.accepted += made


def retry_in_an_hour(stack: Stack, account: Account, mark: str) -> None:
    """The provider asks for a wait so long that the job goes back to the queue; then the wait is over."""
    stack.script({"fault": {"status": 429, "retry_after": 900}, "contains": mark, "times": 1})
    (id,) = stack.submit(account, [chat(mark)])
    later = "SELECT id FROM jobs WHERE id = :id AND status = 'queued' AND run_at > :now"
    stack.until(lambda: stack.rows(later, id=id, now=clock.now_micros()), what="the long wait")
    stack.change("UPDATE jobs SET run_at = :now WHERE id = :id", id=id, now=clock.now_micros())


def waiting_for_credit(stack: Stack, account: Account, mark: str) -> None:
    """Jobs of a customer who has too little, and then enough."""
    poor = stack.open_account(credits=1)
    ids = stack.submit(poor, [chat(f"{mark} {n}", max_tokens=4000, on_insufficient_credits="wait") for n in range(6)])
    stack.until(lambda: all(stack.job(id).wanted_micros for id in ids), what="jobs that wait")
    for _ in range(3):
        stack.database.write_sync(ledger.grant, poor.id, 50 * clock.MICROS)
    stack.await_all_terminal(ids)
    assert {stack.job(id).status for id in ids} == {"succeeded"}


def expiring_grant(stack: Stack, account: Account, mark: str) -> None:
    """A grant expires while a job holds some of it: the rest leaves the account once, and that when it is released."""
    stack.script({"fault": {"latency_seconds": 3}, "contains": mark})
    poor = stack.open_account(credits=1)
    until = clock.now_micros() + 2 * clock.MICROS
    grant = Action("chaos", "credits.grant")
    stack.database.write_sync(corrections.grant, grant, poor.id, 50 * clock.MICROS, until)
    ids = stack.submit(poor, [chat(mark, max_tokens=1000)])
    left = "SELECT id FROM credit_grants WHERE account_id = :id AND due_at IS NOT NULL"
    stack.until(lambda: not stack.rows(left, id=poor.id), what="the end of the grant")
    stack.await_all_terminal(ids)
    (row,) = stack.rows("SELECT available_micros, expired_micros FROM accounts WHERE id = :id", id=poor.id)
    expired = "SELECT coalesce(sum(amount_micros), 0) FROM transfers WHERE account_id = :id AND kind = :kind"
    gone = [stack.rows(expired, id=poor.id, kind=kind)[0][0] for kind in ("expire", "charge")]
    assert tuple(row) == (clock.MICROS, 0) and sum(gone) == 50 * clock.MICROS and all(gone)


def cancel_queued(stack: Stack, account: Account, mark: str) -> None:
    stack.take_down("worker")
    (id,) = stack.submit(account, [chat(mark)])
    stack.call(account.live_key, "POST", f"/v1/jobs/{id}/cancel")
    stack.start("worker")
    stack.await_all_terminal([id])
    assert stack.job(id).status == "cancelled"


def cancel_running(stack: Stack, account: Account, mark: str) -> None:
    stack.script({"fault": {"latency_seconds": 6}, "contains": mark})
    (id,) = stack.submit(account, [chat(mark)])
    stack.until(lambda: stack.calls(mark), what="the call")
    stack.call(account.live_key, "POST", f"/v1/jobs/{id}/cancel")
    stack.await_all_terminal([id])
    assert stack.job(id).status == "cancelled"


def cancel_queued_by_filter(stack: Stack, account: Account, mark: str) -> None:
    stack.take_down("worker")
    ids = stack.submit(account, [chat(f"{mark} {n}") for n in range(3)])
    stack.call(account.live_key, "POST", "/v1/jobs/cancel", {"status": ["queued"]})
    stack.start("worker")
    stack.await_all_terminal(ids)
    assert {stack.job(id).status for id in ids} == {"cancelled"}


def cancel_running_by_filter(stack: Stack, account: Account, mark: str) -> None:
    stack.script({"fault": {"latency_seconds": 6}, "contains": mark})
    (id,) = stack.submit(account, [chat(mark)])
    stack.until(lambda: stack.calls(mark), what="the call")
    stack.call(account.live_key, "POST", "/v1/jobs/cancel", {"status": ["running"]})
    stack.await_all_terminal([id])
    assert stack.job(id).status == "cancelled"


def cancelled_while_lost(stack: Stack, account: Account, mark: str) -> None:
    """A running job is flagged, and its worker dies before it hears."""
    stack.script({"fault": {"latency_seconds": 2}, "contains": mark})
    (id,) = stack.submit(account, [chat(mark)])
    stack.until(lambda: stack.calls(mark), what="the call")
    stack.kill("worker")
    stack.call(account.live_key, "POST", f"/v1/jobs/{id}/cancel")
    stack.await_all_terminal([id])
    assert stack.job(id).status == "cancelled"


def failing_receiver(stack: Stack, account: Account, mark: str) -> None:
    """Each event is refused, then hung up on, then taken."""
    answers = {1: Answer(503), 2: Answer(close=True)}
    stack.inbox.answer = lambda _, times: answers.get(times, Answer())
    stack.submit(account, [chat(f"{mark} {n}") for n in range(10)])


def more_than_it_sends(stack: Stack, account: Account, mark: str) -> None:
    """Of what a worker has settled, it takes no more to send than it has room for: it rings for the rest."""
    stack.inbox.answer = lambda *_: Answer(delay_seconds=1.0)
    stack.submit(account, [chat(f"{mark} {n}", max_tokens=16) for n in range(300)])


def overdue_in_the_queue(stack: Stack, account: Account, mark: str) -> None:
    stack.take_down("worker")
    stack.restart("web", JOB_EXPIRES_SECONDS="1")
    ids = stack.submit(account, [chat(f"{mark} {n}") for n in range(20)])
    stack.await_all_terminal(ids)
    assert {stack.job(id).status for id in ids} == {"expired"}
    stack.restart("web")
    stack.start("worker")


def overdue_while_running(stack: Stack, account: Account, mark: str) -> None:
    """The deadline passes during the call; its late answer is refused."""
    refused = stack.counter("stale_answers_refused")
    stack.script({"fault": {"latency_seconds": 4}, "contains": mark})
    stack.restart("web", JOB_EXPIRES_SECONDS="1")
    (id,) = stack.submit(account, [chat(mark)])
    stack.await_all_terminal([id])
    assert stack.job(id).status == "expired"
    stack.until(lambda: stack.counter("stale_answers_refused") > refused, what="the late answer's refusal")
    stack.restart("web")


def lost_worker(stack: Stack, account: Account, mark: str) -> None:
    """A worker is killed in mid-call; the sweeper finds out."""
    stack.script({"fault": {"latency_seconds": 1}, "contains": mark})
    ids = stack.submit(account, [chat(f"{mark} {n}") for n in range(8)])
    stack.until(lambda: stack.calls(mark) >= len(ids), what="the calls")
    stack.kill("worker")


def job_of_steps(stack: Stack, account: Account, mark: str) -> None:
    """A conductor's call and a specialist's: at most the one that a kill kept from being written down is made again."""
    (id,) = stack.submit(account, [chat(mark, model="euqai-fusion-v1")])
    stack.await_all_terminal([id])
    steps = stack.rows("SELECT step FROM job_steps WHERE job_id = :id ORDER BY number", id=id)
    assert [row.step for row in steps] == ["conductor", "text"] and stack.job(id).status == "succeeded"
    assert 2 <= stack.calls(mark) <= 3


#: What a worker passes at each step.
OF_STEPS = (
    *("lease.before_commit", "lease.after_commit", "call.before", "call.after", "settle.before_commit"),
    *("settle.after_commit", "requeue.after_commit", "tell.after"),
)
#: What a purchase passes at each step at its provider.
OF_PAYMENTS = ("pay.after_begin", "pay.after_call", "pay.before_commit", "pay.after_commit")
CASES = (
    Case("accept.before_commit", "web", one_job),
    Case("accept.after_commit", "web", one_job),
    Case("wake.after_publish", "web", one_job),
    Case("wake.after_publish", "sweeper", jobs_of_all_kinds),
    Case("wake.after_publish", "worker", more_than_it_sends),
    Case("defer.after_end", "sweeper", jobs_of_all_kinds),
    Case("feed.after_mark", "sweeper", jobs_of_all_kinds),
    Case("feed.after_publish", "sweeper", jobs_of_all_kinds),
    Case("lease.before_commit", "worker", one_job),
    Case("lease.after_commit", "worker", jobs_of_all_kinds),
    *(Case(f"lease.{place}", "worker", awaited_calls) for place in ("first", "before_late", "after_late")),
    *(Case(point, "worker", awaited_calls) for point in ("call.before", "call.after", "settle.after_commit")),
    *(Case(point, "web", awaited_calls) for point in ("accept.after_commit", "wake.after_publish")),
    Case("settle.before_commit", "worker", awaited_calls),
    Case("call.before", "worker", jobs_of_all_kinds),
    Case("call.after", "worker", jobs_of_all_kinds),
    Case("requeue.after_commit", "worker", retry_in_an_hour),
    Case("settle.before_commit", "worker", jobs_of_all_kinds),
    Case("settle.after_commit", "worker", jobs_of_all_kinds),
    Case("tell.after", "worker", jobs_of_all_kinds),
    Case("cancel.after_commit", "web", cancel_queued),
    Case("cancel.after_commit", "web", cancel_running),
    Case("cancel.after_commit", "web", cancelled_in_the_console),
    Case("audit.before_commit", "web", cancelled_in_the_console),
    Case("cancel_several.after_commit", "web", cancel_queued_by_filter),
    Case("cancel_several.after_commit", "web", cancel_running_by_filter),
    Case("credit.before_commit", "sweeper", waiting_for_credit),
    Case("credit.after_commit", "sweeper", waiting_for_credit),
    Case("deliver.after_claim", "worker", failing_receiver),
    Case("deliver.after_send", "worker", failing_receiver),
    Case("deliver.after_record", "worker", failing_receiver),
    Case("lapse.before_commit", "sweeper", lost_worker),
    Case("lapse.after_commit", "sweeper", cancelled_while_lost),
    Case("expire.after_commit", "sweeper", overdue_in_the_queue),
    Case("expire.after_commit", "sweeper", overdue_while_running),
    Case("grant.before_commit", "sweeper", expiring_grant),
    Case("grant.after_commit", "sweeper", expiring_grant),
    Case("batch.after_plan", "batches", batches_of_all_kinds),
    Case("batch.after_plan", "batches", cancelled_where_it_died),
    Case("batch.after_plan", "batches", expired_where_it_died),
    Case("batch.after_begin", "batches", batches_of_all_kinds),
    Case("batch.after_begin", "batches", cancelled_where_it_died),
    Case("batch.after_begin", "batches", expired_where_it_died),
    Case("batch.after_hold", "batches", batch_held_for_later),
    Case("batch.after_slice", "batches", batch_in_slices),
    Case("batch.after_release", "batches", batches_of_all_kinds),
    Case("batch.after_release", "batches", large_batch),
    Case("batch.after_release", "batches", cancelled_where_it_died),
    Case("batch.after_release", "batches", expired_where_it_died),
    Case("batch.after_end", "batches", cancelled_batch),
    Case("batch.before_finish", "batches", batches_of_all_kinds),
    Case("batch.before_finish", "batches", retried_batch, nth=2),
    Case("batch.before_finish", "batches", cancelled_batch),
    Case("batch.before_finish", "batches", expired_batch),
    Case("batch.after_finish", "batches", batches_of_all_kinds),
    Case("batch.after_finish", "batches", retried_batch, nth=2),
    Case("batch.after_finish", "batches", cancelled_batch),
    Case("batch.after_finish", "batches", expired_batch),
    *(Case(point, "worker", job_of_steps) for point in OF_STEPS),
    *(Case(point, "web", paid_by_message) for point in OF_PAYMENTS),
    *(Case(point, "sweeper", paid_by_asking) for point in OF_PAYMENTS),
    *(Case(point, "sweeper", topped_up) for point in OF_PAYMENTS),
)
#: What the default suite arms: a kill in each process, in each kind of transaction. `make chaos-short` arms every point
#: once, `make chaos` every passing of it.
USUAL = (
    ("sqlite", "accept.after_commit", one_job),
    ("sqlite", "lease.after_commit", jobs_of_all_kinds),
    ("sqlite", "lease.after_late", awaited_calls),
    ("sqlite", "settle.after_commit", jobs_of_all_kinds),
    ("sqlite", "requeue.after_commit", job_of_steps),
    ("sqlite", "deliver.after_send", failing_receiver),
    ("sqlite", "lapse.before_commit", lost_worker),
    ("sqlite", "batch.before_finish", batches_of_all_kinds),
    ("sqlite", "pay.after_call", topped_up),
    ("postgresql", "settle.before_commit", jobs_of_all_kinds),
    ("postgresql", "batch.after_release", large_batch),
)
#: How often a scenario passes its point at least, where that is more than once: claims and sends go in groups.
PASSES = {
    batch_in_slices: 3,
    expiring_grant: 2,
    jobs_of_all_kinds: 5,
    job_of_steps: 2,
    failing_receiver: 3,
    batches_of_all_kinds: 4,
    large_batch: 4,
}
#: The same for a scenario that passes its points unequally often: jobs are made and ended in chunks.
PASSES_OF = {
    ("requeue.after_commit", job_of_steps): 1,
    **{(f"pay.{place}", paid_by_message): 2 for place in ("before_commit", "after_commit")},
    **{(point, paid_by_asking): 2 for point in OF_PAYMENTS},
    ("defer.after_end", jobs_of_all_kinds): 2,
    ("batch.after_end", cancelled_batch): 4,
    ("batch.after_release", cancelled_where_it_died): 3,
    ("batch.after_release", expired_where_it_died): 3,
}


def _later(case: Case) -> Iterator[Case]:
    """The same, killed at a later passing of its point."""
    passes = PASSES_OF.get((case.point, case.scenario)) or PASSES.get(case.scenario, 1)
    for nth in range(2, passes + 1):
        yield replace(case, nth=nth)


def _table() -> Iterator[object]:
    """Every case on both databases; the short form has the latest passing of each point where the databases differ."""
    every = [one for case in CASES for one in (case, *_later(case))]
    latest = {case.point: case for case in sorted(every, key=lambda case: case.nth)}
    for case in every:
        for kind in ("sqlite", "postgresql"):
            usual = case.nth == 1 and (kind, case.point, case.scenario) in USUAL
            marks = [] if usual else [pytest.mark.chaos]
            if case is latest[case.point] and kind == "postgresql":
                marks.append(pytest.mark.chaos_short)
            yield pytest.param(kind, case, id=f"{kind}-{case}", marks=marks)


@pytest.mark.parametrize(("kind", "case"), list(_table()))
def test_nothing_is_lost_or_doubled_at(stacks: Stacks, kind: str, case: Case) -> None:
    pays = case.scenario in SCENARIOS
    with paying_stack(stacks, kind) if pays else stacks.shared(kind) as stack:
        account = stack.open_account(counted=True)
        stack.script()
        stack.arm(case.process, f"{case.point}:{case.nth}")
        case.scenario(stack, account, clock.new_id("mark"))
        stack.until(lambda: stack.hit(case.process), what=f"{case.point} in {case.process}")
        assert stack.hit(case.process) == case.point
        stack.ready()
        stack.end_claims()
        stack.quiet()
        stack.inbox.answer = lambda *_: Answer()
        stack.check()


def test_the_list_of_points_is_the_code_s() -> None:
    found = [
        name
        for room in ("producer", "workers", "shared")
        for file in (ROOT / room).rglob("*.py")
        for name in re.findall(r'crash\.point\("([^"]+)"\)', file.read_text())
    ]
    assert sorted(found) == sorted(set(found)), "a point is passed at one place"
    assert set(found) == set(crash.POINTS)


def test_every_point_is_armed_here() -> None:
    assert {case.point for case in CASES} == set(crash.POINTS)
