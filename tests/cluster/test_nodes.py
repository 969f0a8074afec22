"""RabbitMQ's nodes go and come, one, the leader, all, and take nothing for want of memory: under load, nothing is lost.

The tests share one system; each ends with everything at rest, and every promise kept.
"""

import signal
from collections.abc import Callable, Collection

import pytest

from shared import clock
from shared.queues import TASKS
from shared.submissions.catalogue import job_queues
from shared.verify import verify_all
from tests.cluster.callers import Callers
from tests.cluster.cluster import Cluster
from tests.cluster.conftest import FOREIGN
from tests.harness import Account, Stack, line

pytestmark = pytest.mark.timeout(900)

#: Every queue of ours.
EVERY = {*job_queues(), *TASKS}
#: Lines of a batch: they take longer than a node takes to come back.
LINES = 4_000
#: How long an answer to a submission may take while RabbitMQ is in trouble, in seconds, on a machine that is busy.
ACCEPTED_SECONDS = 10.0
#: How long a node that wakes up, and was declared down meanwhile, may take to pause, start and join the others again.
TAKEN_BACK_SECONDS = 30.0


@pytest.fixture
def account(stack: Stack) -> Account:
    return stack.open_account()


def test_a_queue_has_a_copy_on_each_node(servers: Cluster, stack: Stack) -> None:
    """But for those that were there before, which are used as they are."""
    consumed(servers, stack)
    queues = servers.rabbit.queues("type", "members", "online", "arguments")
    names = {node.name for node in servers.rabbit.nodes}
    ours = [row for name, row in queues.items() if name in EVERY and name not in FOREIGN]
    assert len(ours) == len(EVERY) - len(FOREIGN)
    for row in ours:
        assert row["type"] == "quorum" and set(row["members"]) == set(row["online"]) == names, row
    assert queues["anthropic.realtime"]["type"] == "classic"


def test_nodes_go_and_come_under_load(servers: Cluster, stack: Stack, account: Account) -> None:
    """The leader of the busiest queue is killed, then another node ends well; each is started again."""
    rabbit = servers.rabbit
    batch = stack.submit_batch(account, [line(f"first {n}") for n in range(LINES)], upload=True)
    leader = leader_of(servers, "openai.batch")
    with Callers(stack, account) as callers:
        callers.go_on(5)
        stack.until(lambda: released(stack, batch) > LINES // 20, what="the batch under way")
        gone(servers, stack, callers, leader, rabbit.kill)
        other = stack.submit_batch(account, [line(f"second {n}") for n in range(LINES // 4)], notify_each=True)
        gone(servers, stack, callers, 0 if leader else 1, rabbit.stop)  # on 0 is the queue that has no other copy
    print(f"callers: {dict(callers.outcomes)}, the slowest acceptance {callers.slowest:.2f} s")
    assert callers.slowest < ACCEPTED_SECONDS
    for id in (batch, other):
        stack.await_batch(id, seconds=240)
    at_rest(stack)


def test_a_node_that_hangs_is_left(servers: Cluster, stack: Stack, account: Account) -> None:
    """It keeps its connections, and answers nothing: who waits for it does so for some seconds, and goes to another."""
    rabbit = servers.rabbit
    leader = leader_of(servers, "openai.realtime")
    with Callers(stack, account) as callers:
        callers.go_on(5)
        rabbit.nodes[leader].process.send(signal.SIGSTOP)
        try:
            batch = stack.submit_batch(account, [line(f"hangs {n}") for n in range(300)])
            callers.go_on()
            stack.await_batch(batch, seconds=120)
        finally:
            rabbit.nodes[leader].process.send(signal.SIGCONT)
        rabbit.await_node(leader)
        began = clock.monotonic()
        callers.go_on(10)  # of every queue, whether or not RabbitMQ takes the node back
        print(f"callers were answered 10 times each within {clock.monotonic() - began:.1f} s of its end")
        taken_back(servers, stack, leader)
        consumed(servers, stack)
        callers.go_on(5)
    print(f"callers: {dict(callers.outcomes)}, the slowest acceptance {callers.slowest:.2f} s")
    assert callers.slowest < ACCEPTED_SECONDS
    at_rest(stack)


def test_jobs_go_on_when_all_nodes_were_away(servers: Cluster, stack: Stack, account: Account) -> None:
    rabbit = servers.rabbit
    with Callers(stack, account) as callers:
        callers.go_on(5)
        for number in range(3):
            rabbit.kill(number)
        batch = stack.submit_batch(account, [line(f"away {n}") for n in range(300)])
        callers.go_on(5)
        for number in range(3):
            rabbit.start_node(number, wait=False)
        for number in range(3):
            rabbit.await_node(number)
        consumed(servers, stack)
        callers.go_on()
    print(f"callers: {dict(callers.outcomes)}, the slowest acceptance {callers.slowest:.2f} s")
    assert callers.slowest < ACCEPTED_SECONDS
    stack.await_batch(batch, seconds=120)
    at_rest(stack)


def test_a_broker_without_memory_slows_nobody_down_for_long(servers: Cluster, stack: Stack, account: Account) -> None:
    """It answers, and takes no message: jobs are taken from the database, and doorbells are rung again when it does."""
    with Callers(stack, account) as callers:
        callers.go_on(5)
        servers.rabbit.ctl("set_vm_memory_high_watermark", "0")
        try:
            stack.until(lambda: said(stack, "web", "has no memory or disk left"), what="the web's line about the alarm")
            stack.submit_batch(account, [line(f"alarm {n}") for n in range(100)])
            callers.go_on()
        finally:
            servers.rabbit.ctl("set_vm_memory_high_watermark", "0.4")
        stack.until(lambda: stack.log("web").read_text().rstrip().endswith("available again"), what="the end of it")
        callers.go_on()
    print(f"callers: {dict(callers.outcomes)}, the slowest acceptance {callers.slowest:.2f} s")
    assert callers.slowest < ACCEPTED_SECONDS
    at_rest(stack)


def test_a_queue_with_other_properties_is_named_and_made_anew_when_it_is_deleted(
    servers: Cluster, stack: Stack, account: Account
) -> None:
    for worker in ("worker", "worker2", "worker3"):
        text = stack.log(worker).read_text()
        for queue in FOREIGN:
            assert text.count(f"queue {queue} has other properties than FusionAI gives it") == 1
        assert "delayed delivery" not in text.lower() and "Traceback" not in text
    with Callers(stack, account) as callers:
        callers.go_on(5)
        for queue in FOREIGN:
            servers.rabbit.ctl("delete_queue", queue)
        callers.go_on()
        consumed(servers, stack)
        callers.go_on(5)
    queues = servers.rabbit.queues("type", "members")
    for queue in FOREIGN:
        assert queues[queue]["type"] == "quorum" and len(queues[queue]["members"]) == 3, queues[queue]
    at_rest(stack)


def test_queues_may_be_deleted_one_after_the_other(servers: Cluster, stack: Stack, account: Account) -> None:
    """While workers come back to the first: RabbitMQ then loses a consumer of the next, and tells it nothing."""
    with Callers(stack, account) as callers, servers.rabbit.connect() as connection:
        channel = connection.channel()
        for name in ("anthropic.realtime", "webhooks", "openai.batch", "google.realtime", "maintenance"):
            channel.queue_delete(name)
            callers.go_on(3)
        consumed(servers, stack)
        callers.go_on(5)
    at_rest(stack)


# -- what they are made of ----------------------------------------------------------------------------------------


def gone(servers: Cluster, stack: Stack, callers: Callers, number: int, end: Callable[[int], None]) -> None:
    """A node goes, and comes back when the others have taken over."""
    began = clock.monotonic()
    end(number)
    callers.go_on(5)
    consumed(servers, stack, besides=("anthropic.realtime",))  # which may have gone with its one node
    print(f"node {number}: all queues consumed elsewhere {clock.monotonic() - began:.1f} s after its end")
    callers.go_on(5)
    servers.rabbit.start_node(number)
    callers.go_on()
    consumed(servers, stack)


def taken_back(servers: Cluster, stack: Stack, number: int) -> None:
    """A node that hung belongs to the cluster again; where RabbitMQ leaves it apart, by what `deploy/cluster.md` says.

    A node that the others declared down, and that is back before it has noticed, is paused by nobody, and Mnesia does
    not join it again: https://github.com/rabbitmq/rabbitmq-server/issues/17319
    """
    rabbit, by_itself = servers.rabbit, clock.monotonic() + TAKEN_BACK_SECONDS

    def state() -> str:
        if rabbit.is_whole(number):
            return "whole"
        return "apart" if clock.monotonic() > by_itself else ""

    if stack.until(state, seconds=120, what="what becomes of the node") == "apart":
        print(f"RabbitMQ leaves node {number} apart: it is started again")
        rabbit.ctl("stop_app", at=number)
        rabbit.ctl("start_app", at=number)
        stack.until(lambda: state() == "whole", seconds=120, what="a whole cluster")


def consumed(servers: Cluster, stack: Stack, besides: Collection[str] = ()) -> None:
    """Until every worker takes messages from every queue, but for some."""
    workers = sum(name.startswith("worker") for name in stack.processes)

    wrong: dict[str, int | None] = {}

    def all_are() -> bool:
        queues = servers.rabbit.queues("consumers")
        counts = {name: queues.get(name, {}).get("consumers") for name in EVERY - {*besides}}
        wrong.clear()
        wrong.update({name: count for name, count in counts.items() if count != workers})
        return not wrong

    try:
        stack.until(all_are, seconds=120, what="consumers of every queue")
    except AssertionError as error:
        told = f"consumers, where there should be {workers}: {wrong}\n{servers.rabbit.report()}"
        raise AssertionError(f"{told}\n{error}") from None


def leader_of(servers: Cluster, queue: str) -> int:
    leader = servers.rabbit.queues("leader")[queue]["leader"]
    return next(node.number for node in servers.rabbit.nodes if node.name == leader)


def released(stack: Stack, batch: str) -> int:
    """Lines of a batch that have ended."""
    ended = "SELECT count(*) FROM jobs WHERE batch_id = :id AND status NOT IN ('queued', 'running')"
    return int(stack.rows(ended, id=batch)[0][0])


def said(stack: Stack, name: str, text: str) -> bool:
    return text in stack.log(name).read_text()


def at_rest(stack: Stack) -> None:
    """Everything ends, and every promise is kept: by our own `verify --at-rest`, and by the crash tests' audit."""
    stack.quiet(seconds=120)
    assert verify_all(stack.database, at_rest=True) == []
    stack.check()
