"""Processes and brokers killed, stopped, wiped and doubled while jobs run: all end, charged once, in time."""

import signal

import pytest
import redis

from shared import clock
from tests.chaos.conftest import Stacks
from tests.harness import HASTY, Stack, chat
from tests.marks import SHORT
from tests.receiver import Answer

#: The longest that a killed worker may hold up its jobs, at the default lease of 30 s and beat of 10 s.
RECOVERY_SECONDS = 45.0
#: The longest that consuming may take to begin again after the broker hung up on everybody.
RECONNECT_SECONDS = 30.0


def statuses(stack: Stack) -> dict[str, int]:
    """How many jobs stand how."""
    return {row.status: row.n for row in stack.rows("SELECT status, count(*) AS n FROM jobs GROUP BY status")}


@pytest.mark.chaos  # it takes as long as that lease
def test_killed_in_mid_call_at_the_default_lease(stacks: Stacks) -> None:
    """Twenty calls and a webhook's send are under way; nothing makes time pass but time."""
    with stacks.own(LEASE_SECONDS="30", BEAT_SECONDS="10") as stack:
        account = stack.open_account()
        stack.inbox.answer = lambda _, times: Answer(delay_seconds=5 if times == 1 else 0)
        stack.submit(account, [chat("told")])
        stack.until(lambda: stack.inbox.arrivals, what="a send")
        stack.script({"fault": {"latency_seconds": 3}, "contains": "slow"})
        ids = stack.submit(account, [chat(f"slow {n}") for n in range(20)])
        stack.until(lambda: stack.calls("slow") == 20, what="the calls")
        stack.kill("worker")
        killed = clock.monotonic()
        stack.await_all_terminal(ids, seconds=RECOVERY_SECONDS)
        print(f"\n20 jobs of a worker killed in mid-call: all done after {clock.monotonic() - killed:.1f} s")
        stack.quiet(seconds=60)
        assert statuses(stack) == {"succeeded": 21} and stack.calls("slow") == 40
        stack.check()


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=SHORT)])
def test_a_stopped_worker_s_late_answers_are_refused(stacks: Stacks, kind: str) -> None:
    with stacks.shared(kind) as stack:
        account, refused = stack.open_account(), stack.counter("stale_answers_refused")
        stack.script({"fault": {"latency_seconds": 2}, "contains": "late"})
        ids = stack.submit(account, [chat(f"late {n}") for n in range(20)])
        stack.until(lambda: stack.calls("late") == 20, what="the calls")
        stack.pause("worker")
        stack.start("worker2")
        stack.await_all_terminal(ids)
        stack.send("worker", signal.SIGCONT)
        stack.until(lambda: stack.counter("stale_answers_refused") == refused + 20, what="20 refusals")
        stack.until(lambda: 75 in stack.processes["worker"].ends, what="the end of the lapsed incarnation")
        stack.quiet()
        assert {stack.job(id).status for id in ids} == {"succeeded"}
        stack.terminate("worker2")
        stack.check()


@pytest.mark.parametrize("kind", [pytest.param("sqlite", marks=SHORT), pytest.param("postgresql", marks=SHORT)])
def test_a_late_answer_is_refused_while_another_holds_the_job(stacks: Stacks, kind: str) -> None:
    """The state of the row alone would let it in: running, as when it was taken. The epoch does not."""
    with stacks.shared(kind) as stack:
        account, refused = stack.open_account(), stack.counter("stale_answers_refused")
        stack.script(
            {"fault": {"latency_seconds": 2}, "contains": "fenced", "times": 1, "each": True},
            {"fault": {"latency_seconds": 5}, "contains": "fenced"},
        )
        ids = stack.submit(account, [chat(f"fenced {n}") for n in range(20)])
        stack.until(lambda: stack.calls("fenced") == 20, what="the calls")
        stack.pause("worker")
        stack.start("worker2")
        stack.until(lambda: stack.calls("fenced") == 40, what="all of them called for again")
        stack.send("worker", signal.SIGCONT)
        stack.until(lambda: stack.counter("stale_answers_refused") == refused + 20, what="20 refusals")
        held = {stack.job(id).status for id in ids}
        assert held <= {"running", "queued"}, "a stale answer was let in"
        stack.quiet()
        assert {stack.job(id).status for id in ids} == {"succeeded"} and stack.calls("fenced") == 40
        stack.terminate("worker2")
        stack.check()


@pytest.mark.parametrize("count", [pytest.param(500, marks=SHORT), pytest.param(5000, marks=pytest.mark.chaos)])
def test_a_wiped_broker(stacks: Stacks, count: int) -> None:
    with stacks.own() as stack:
        account = stack.open_account(10 * count)
        stack.take_down("worker")
        for start in range(0, count, 250):
            stack.submit(account, [chat(f"{start + n}") for n in range(250)])
        for n in range(10):
            stack.submit(account, [chat(f"alone {n}")])
        with redis.Redis(port=stack.redis.port) as broker:
            stack.until(lambda: broker.llen("openai.batch") and broker.llen("openai.realtime"), what="messages")
        stack.redis.flush()
        stack.start("worker")
        began = clock.monotonic()
        stack.await_all_terminal(seconds=60)
        print(f"\nbroker wiped with {count + 10} queued: all done after {clock.monotonic() - began:.1f} s")
        stack.quiet()
        assert statuses(stack) == {"succeeded": count + 10}
        stack.check()


@pytest.mark.chaos
@pytest.mark.chaos_short
def test_a_broker_that_dies_while_jobs_run(stacks: Stacks) -> None:
    """Jobs are accepted and run to their end without it; those that need a doorbell wait until it is back."""
    with stacks.own() as stack:
        account = stack.open_account()
        stack.script({"fault": {"latency_seconds": 1}, "contains": "running"})
        running = stack.submit(account, [chat(f"running {n}") for n in range(20)])
        stack.until(lambda: stack.calls("running") == 20, what="the calls")
        stack.redis.kill()
        began = clock.monotonic()
        waiting = stack.submit(account, [chat(f"list {n}") for n in range(50)]) + stack.submit(account, [chat("one")])
        assert clock.monotonic() - began < 2, "a request waited for the broker"
        stack.await_all_terminal(running, seconds=20)
        stack.await_all_terminal(waiting, seconds=30)  # its workers look for them in the rows meanwhile
        stack.redis.start()
        stack.quiet(seconds=RECONNECT_SECONDS + 15)
        assert statuses(stack) == {"succeeded": 71}
        stack.check()


@pytest.mark.parametrize("times", [5, pytest.param(100, marks=[pytest.mark.chaos, pytest.mark.timeout(900)])])
def test_the_broker_hangs_up_on_everybody(stacks: Stacks, times: int) -> None:
    with stacks.shared("sqlite") as stack, redis.Redis(port=stack.redis.port) as broker:
        account, longest = stack.open_account(), 0.0
        for n in range(times):
            broker.execute_command("CLIENT", "KILL", "TYPE", "pubsub" if n % 4 == 0 else "normal")
            began = clock.monotonic()
            ids = stack.submit(account, [chat(f"reset {n}")])
            stack.await_all_terminal(ids, seconds=RECONNECT_SECONDS)
            longest = max(longest, clock.monotonic() - began)
        print(f"\n{times} resets of every broker connection: a job done after {longest:.1f} s at most")
        stack.quiet()
        stack.check()


@pytest.mark.parametrize(
    "count",
    [pytest.param(200, marks=SHORT), pytest.param(2000, marks=[pytest.mark.chaos, pytest.mark.timeout(600)])],
)
def test_a_job_that_kills_its_worker(stacks: Stacks, count: int) -> None:
    """Whichever process calls for the poison job is killed in that call: nobody else's job fails."""
    with stacks.own(**HASTY) as stack:
        account = stack.open_account(10 * count)
        stack.script(
            {"fault": {"latency_seconds": 10}, "contains": "poison"},
            {"fault": {"latency_seconds": 5}, "contains": "neighbour", "times": 1, "each": True},
            {"fault": {"latency_seconds": 0.5}, "contains": "neighbour"},
        )
        bodies = [chat(f"neighbour {n}") for n in range(count)]
        bodies[count // 2] = chat("poison")
        ids = [id for at in range(0, count, 500) for id in stack.submit(account, bodies[at : at + 500])]
        poison, deaths = ids[count // 2], 0

        def over() -> bool:
            nonlocal deaths
            called = stack.calls("poison")
            if called > deaths and stack.calls() >= count and (pid := caller(stack, poison)):
                stack.send_pid(pid, signal.SIGKILL)
                deaths = called
            return stack.job(poison).status == "failed"

        stack.until(over, seconds=150, what="the poison job's end")
        assert stack.counter("jobs_taken_back") >= count, "not all were in flight when the poison struck"
        stack.quiet(seconds=120)
        assert statuses(stack) == {"succeeded": count - 1, "failed": 1}
        error = stack.rows("SELECT error FROM job_results WHERE job_id = :id", id=poison)[0].error
        assert '"worker_lost"' in error
        print(f"\na poison job among {count}: it died with {deaths} processes, {stack.calls()} calls were made")
        stack.check()


def caller(stack: Stack, job_id: str) -> int:
    """The pid of the process that holds a job, or 0."""
    query = "SELECT w.pid FROM jobs j JOIN workers w ON w.id = j.worker_id WHERE j.id = :id AND w.lapsed_at IS NULL"
    return next((row.pid for row in stack.rows(query, id=job_id)), 0)


@pytest.mark.chaos
@pytest.mark.chaos_short
def test_a_terminated_worker_drains_and_hands_back(stacks: Stacks) -> None:
    """Running calls end well, what waited for a slot goes back, and nobody lapses."""
    with stacks.own() as stack:
        account = stack.open_account()
        stack.script({"fault": {"latency_seconds": 1.5}, "contains": "drain"})
        stack.restart("worker", SLOTS_REALTIME="5")
        ids = [stack.submit(account, [chat(f"drain {n}")])[0] for n in range(30)]
        stack.until(lambda: stack.calls("drain") == 5, what="five calls")
        stack.terminate("worker")
        assert stack.processes["worker"].ends[-1] == 0
        assert statuses(stack) == {"succeeded": 5, "queued": 25}
        stack.start("worker")
        stack.await_all_terminal(ids, seconds=20)
        assert stack.calls("drain") == 30, "a handed-back job was called twice"
        assert stack.counter("workers_lapsed") == stack.counter("jobs_taken_back") == 0
        stack.quiet()
        stack.check()


@pytest.mark.chaos
@pytest.mark.chaos_short
def test_a_terminated_worker_hands_back_what_outlasts_its_drain(stacks: Stacks) -> None:
    with stacks.own(DRAIN_SECONDS="0.5") as stack:
        account = stack.open_account()
        stack.script({"fault": {"latency_seconds": 6}, "contains": "long", "times": 10})
        stack.submit(account, [chat(f"long {n}") for n in range(10)])
        stack.until(lambda: stack.calls("long") == 10, what="ten calls")
        began = clock.monotonic()
        stack.terminate("worker")
        assert clock.monotonic() - began < 4 and stack.processes["worker"].ends[-1] == 0
        assert statuses(stack) == {"queued": 10}
        stack.start("worker")
        stack.quiet()
        assert statuses(stack) == {"succeeded": 10} and stack.counter("jobs_taken_back") == 0
        stack.check()


@pytest.mark.parametrize("number", [pytest.param(signal.SIGTERM, marks=SHORT), signal.SIGKILL])
def test_a_lost_job_survives_its_sweeper(stacks: Stacks, number: signal.Signals) -> None:
    """It runs again, alone, in the sweeper's probation process when the sweeper goes: that is not its fault."""
    with stacks.own() as stack:
        account = stack.open_account()
        stack.script({"fault": {"latency_seconds": 2}, "contains": "innocent"})
        (id,) = stack.submit(account, [chat("innocent")])
        for calls in (1, 2):
            stack.until(lambda calls=calls: stack.calls("innocent") == calls, what=f"call {calls}")
            stack.send("worker" if calls == 1 else "sweeper", signal.SIGKILL if calls == 1 else number)
        stack.await_all_terminal([id])
        assert stack.job(id).status == "succeeded"
        stack.quiet()
        stack.check()


@pytest.mark.parametrize(
    "kind", [pytest.param("sqlite", marks=pytest.mark.chaos), pytest.param("postgresql", marks=SHORT)]
)
def test_everything_doubled(stacks: Stacks, kind: str) -> None:
    """Two producers, two workers, two sweepers; one of each pair is killed in turn."""
    names = ("web", "web2", "worker", "worker2", "sweeper", "sweeper2")
    with stacks.own(kind, names=names, **HASTY) as stack:
        account = stack.open_account()
        stack.script({"fault": {"latency_seconds": 0.3}, "contains": "doubled"})
        for round, victim in enumerate(("worker", "web", "sweeper2", "worker2", "web2", "sweeper")):
            stack.submit(account, [chat(f"doubled {round} {n}") for n in range(40)])
            for n in range(10):
                stack.submit(account, [chat(f"doubled {round} alone {n}")])
            stack.until(lambda round=round: stack.calls(f"doubled {round}"), what="a call")
            stack.kill(victim)
        stack.end_claims()
        stack.quiet()
        assert statuses(stack) == {"succeeded": 300}
        stack.check()
