"""Senders are killed while receivers fail three times in ten: every event comes, signed, whichever secret is known.

Half of the jobs name a callback, too; all secrets are rotated three times meanwhile, and no receiver learns of that
before the end. An independent library verifies each delivery.
"""

import random
import threading
from collections import Counter

import orjson
import pytest
from standardwebhooks import Webhook

from shared import clock
from tests.chaos.conftest import Stacks
from tests.harness import HASTY, Stack, chat
from tests.marks import SHORT
from tests.receiver import Answer, Delivery, Receiver

#: Short pauses, so that the fifth attempt of one that is unlucky does not take minutes.
SCHEDULE = {"WEBHOOK_SCHEDULE": ",".join(["1", "2", *["5"] * 12]), "WEBHOOK_PACE": "0.1"}
FULL = [pytest.mark.chaos, pytest.mark.timeout(1200)]
#: Calls of a redelivery, of a thousand events each: fewer than a webhook may have in a minute.
PARTS = 5
#: How often a worker, which sends as well, is killed for a thousand events.
KILLS = 10
FAULTS = (Answer(500, body=b"try again"), Answer(503), Answer(close=True))


class Callbacks:
    """What came to callbacks: how often each event was taken, and whatever was wrong with one."""

    def __init__(self, secret: str) -> None:
        self.secret, self.taken, self.wrong = secret, Counter[str](), list[str]()

    def __call__(self, delivery: Delivery) -> Answer:
        try:
            Webhook(self.secret).verify(delivery.body, dict(delivery.headers))
        except Exception as error:
            self.wrong.append(f"{delivery.path}: {error}")
        event = orjson.loads(delivery.body)
        fault = fault_of(event["id"], self.taken[event["id"]] + hash(delivery.at))
        if fault is None:
            self.taken[event["data"]["job"]["id"]] += 1
        return fault or Answer()


def fault_of(event_id: str, number: int) -> Answer | None:
    """Three times in ten a fault."""
    drawn = random.Random(f"{event_id} {number}")
    return drawn.choice(FAULTS) if drawn.random() < 0.3 else None


@pytest.mark.parametrize("count", [pytest.param(1000, marks=SHORT), pytest.param(10_000, marks=FULL)])
@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.chaos)])
def test_every_event_comes_signed(stacks: Stacks, kind: str, count: int) -> None:
    names = ("web", "worker", "worker2", "sweeper")
    with stacks.own(kind, names=names, **HASTY, **SCHEDULE) as stack, Receiver() as receiver:
        account = stack.open_account()
        (hook,) = stack.call(account.live_key, "GET", "/v1/webhooks")["data"]
        callbacks = Callbacks(stack.call(account.live_key, "POST", "/v1/webhook_secret/rotate")["secret"])
        receiver.answer = callbacks
        stack.inbox.answer = lambda id, times: fault_of(id, times) or Answer()
        jobs = [chat(f"n{n}", **({"callback_url": f"{receiver.url}/{n}"} if n % 2 else {})) for n in range(count)]
        ids = [id for at in range(0, count, 500) for id in stack.submit(account, jobs[at : at + 500])]
        newest = storm(stack, account.live_key, hook["id"], KILLS * count // 1000)
        stack.end_claims()
        stack.quiet(seconds=300)
        assert callbacks.wrong == [] and set(callbacks.taken) == set(ids[1::2])
        stack.check()
        again = redelivered(stack, account.live_key, hook["id"], account.id, newest)
        print(
            f"\n{count} events, {stack.kills('worker')} senders killed, {again} sent again with the newest secret alone"
        )


def storm(stack: Stack, key: str, hook: str, kills: int) -> str:
    """Kill senders while there is something to send, and rotate all secrets three times; the newest of the webhook."""
    pause, drawn, secret = threading.Event(), random.Random(7), ""
    pending = "SELECT count(*) FROM deliveries WHERE status = 'pending'"
    sent = "SELECT count(*) FROM deliveries WHERE status = 'delivered'"
    for number in range(kills):
        before = stack.rows(sent)[0][0]
        stack.until(lambda: stack.rows(pending)[0][0], seconds=60, what="something to send")
        stack.until(lambda before=before: stack.rows(sent)[0][0] > before, seconds=90, what="a delivery")
        pause.wait(drawn.random() * 0.2)
        stack.kill(drawn.choice(("worker", "worker2")))
        if number in (kills // 4, kills // 2, 3 * kills // 4):
            secret = stack.call(key, "POST", f"/v1/webhooks/{hook}/rotate")["secret"]
            stack.call(key, "POST", "/v1/webhook_secret/rotate")
    return secret


def redelivered(stack: Stack, key: str, hook: str, place: str, secret: str) -> int:
    """Have events sent again to a receiver that knows the newest secret alone; how many came."""
    stack.inbox.expect(place, secret)
    stack.inbox.arrivals.clear()
    total, after = 0, None
    for _ in range(PARTS):
        body = {"since": clock.now_seconds() - 3600, "status": "all", **({"after": after} if after else {})}
        part = stack.call(key, "POST", f"/v1/webhooks/{hook}/redeliver", body)
        total, after = total + part["redelivered"], part["last_id"]
    stack.quiet(seconds=300)
    assert len(stack.inbox.arrivals) == total and stack.inbox.violations == []
    return total
