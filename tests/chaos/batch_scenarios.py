"""What makes the `batches` process pass its crash points: batches read, made, stopped in every state, and rendered."""

from typing import Any

from shared import clock
from shared.money import ledger
from tests.harness import Account, Stack, line
from workers.batches.releasing import CHUNK

#: The latency of a call that only its end by another cause ends: longer than any machine needs until then, in seconds.
UNANSWERED = 600
#: Jobs are made in chunks: four of a large batch.
LARGE = 3 * CHUNK + CHUNK // 2


def lines(mark: str, count: int, **more: Any) -> list[dict[str, Any]]:
    """Lines whose calls have the mark in their text."""
    return [line(f"{mark} {n}", **more) for n in range(count)]


def batches_of_all_kinds(stack: Stack, account: Account, mark: str) -> None:
    """Inline and uploaded, live and test, told of line by line; some lines fail, and one batch is refused."""
    stack.script(
        {"fault": {"status": 503}, "contains": f"{mark} flaky", "times": 1, "each": True},
        {"fault": {"status": 400}, "contains": f"{mark} bad"},
    )
    mixed = [*lines(mark, 20), line(f"{mark} flaky"), line(f"{mark} bad")]
    stack.submit_batch(account, mixed, notify_each=True)
    stack.submit_batch(account, mixed, upload=True, priority=3)
    stack.submit_batch(account, lines(mark, 3), test=True)
    stack.submit_batch(account, [line(f"{mark} bad")])
    stack.submit_batch(account, [*lines(mark, 3), line(mark, temperature=9)], refused=True)


def large_batch(stack: Stack, account: Account, mark: str) -> None:
    stack.submit_batch(account, lines(mark, LARGE), upload=True)


def batch_in_slices(stack: Stack, account: Account, mark: str) -> None:
    """A customer who can hold for some lines at a time: what these release does for more, a grant for the rest."""
    poor = stack.open_account(credits=1)
    id = stack.submit_batch(poor, lines(mark, 60, max_tokens=1000), hold="slices")
    stack.until(lambda: stack.batch(id).released > 0, what="the first lines")
    stack.database.write_sync(ledger.grant, poor.id, clock.MICROS)
    ended = stack.await_batch(id)
    assert (ended.status, ended.succeeded) == ("completed", 60)


def batch_held_for_later(stack: Stack, account: Account, mark: str) -> None:
    """A customer who can hold for none of it, and then for all."""
    poor = stack.open_account(credits=1)
    id = stack.submit_batch(poor, lines(mark, 20, max_tokens=1000), on_insufficient_credits="wait")
    stack.until(lambda: stack.batch(id).short_micros, what="that it waits")
    stack.database.write_sync(ledger.grant, poor.id, 100 * clock.MICROS)
    ended = stack.await_batch(id)
    assert (ended.status, ended.succeeded) == ("completed", 20)


def retried_batch(stack: Stack, account: Account, mark: str) -> None:
    """Some lines fail, are retried, fail in part again, and are retried once more."""
    stack.script({"fault": {"status": 400}, "contains": f"{mark} bad"})
    given = [*lines(mark, 10), *lines(f"{mark} bad", 3), *lines(f"{mark} x", 3), line(f"{mark} bad worse")]
    id = stack.submit_batch(account, given)
    stack.await_batch(id)
    stack.script({"fault": {"status": 400}, "contains": "worse"})
    again = retry(stack, account, id)
    assert stack.await_batch(again).succeeded == 3
    stack.script()
    assert stack.await_batch(retry(stack, account, again)).succeeded == 1


def retry(stack: Stack, account: Account, id: str) -> str:
    """Ask over HTTP; the new batch, whose files have all lines of the first."""
    made = str(stack.call(account.live_key, "POST", f"/v1/batches/{id}/retry")["id"])
    stack.submitted[made] = stack.submitted[id]
    return made


def cancelled_batch(stack: Stack, account: Account, mark: str) -> None:
    """Ten lines run, and so many wait that ending them takes four chunks (`workers.batches.cancelling.END_CHUNK`)."""
    with_ten_slots(stack)
    stack.script({"fault": {"latency_seconds": UNANSWERED}, "contains": mark})
    id = stack.submit_batch(account, lines(mark, 1310))
    stack.until(lambda: stack.calls(mark) >= 10 and stack.batch(id).released == 1310, what="ten calls")
    cancel(stack, account, id)
    ended = stack.await_batch(id)
    assert (ended.status, ended.cancelled) == ("cancelled", 1310)
    stack.restart("worker")


def expired_batch(stack: Stack, account: Account, mark: str) -> None:
    """The window ends while some lines run and others wait."""
    with_ten_slots(stack)
    stack.script({"fault": {"latency_seconds": 15}, "contains": mark})
    id = stack.submit_batch(account, lines(mark, 50))
    stack.until(lambda: stack.calls(mark) >= 10, what="ten calls")
    end_window(stack, id)
    ended = stack.await_batch(id)
    assert (ended.status, ended.expired) == ("expired", 50)
    stack.restart("worker")


def with_ten_slots(stack: Stack) -> None:
    """A worker that makes ten calls of batches at once; at the pace that scenarios before have left it may be fewer."""
    stack.terminate("worker")
    stack.forget_pace()
    stack.start("worker", SLOTS_BATCH="10")
    stack.ready()


def cancelled_where_it_died(stack: Stack, account: Account, mark: str) -> None:
    """Before another process goes on with it."""
    id = left_alone(stack, account, mark)
    cancel(stack, account, id)
    stack.start("batches")
    ended = stack.await_batch(id)
    assert ended.status == "cancelled" and ended.released < LARGE


def expired_where_it_died(stack: Stack, account: Account, mark: str) -> None:
    """Before another process goes on with it."""
    id = left_alone(stack, account, mark)
    end_window(stack, id)
    stack.start("batches")
    ended = stack.await_batch(id)
    assert ended.status == "expired" and ended.released < LARGE


def left_alone(stack: Stack, account: Account, mark: str) -> str:
    """The id of a large batch whose process has died, and has no successor yet."""
    stack.leave_down("batches")
    id = stack.submit_batch(account, lines(mark, LARGE), upload=True)
    stack.until(lambda: stack.processes["batches"].popen is None, what="the process's end")
    return id


def cancel(stack: Stack, account: Account, id: str) -> None:
    """Ask over HTTP."""
    stack.call(account.live_key, "POST", f"/v1/batches/{id}/cancel")


def end_window(stack: Stack, id: str) -> None:
    """Let the completion window pass."""
    now = clock.now_micros()
    stack.change("UPDATE batches SET expires_at = :now WHERE id = :id", id=id, now=now)
    stack.change("UPDATE jobs SET expires_at = :now WHERE batch_id = :id", id=id, now=now)
