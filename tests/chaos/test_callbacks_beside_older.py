"""An earlier version's worker settles jobs that name a callback, which it does not know: the sweeper has it told."""

from collections import Counter
from pathlib import Path

import orjson
import pytest
from standardwebhooks import Webhook

from tests.chaos.conftest import Stacks
from tests.chaos.older import source_of
from tests.harness import HASTY, chat
from tests.marks import SHORT
from tests.receiver import Answer, Delivery, Receiver

#: The last commit whose workers know no callbacks.
BEFORE = "09f39c28820e0ee1a7439e232e6c1a4df00f89b6"


@pytest.mark.history
@pytest.mark.parametrize("kind", [pytest.param("sqlite", marks=SHORT), pytest.param("postgresql", marks=SHORT)])
def test_it_loses_no_callback(stacks: Stacks, tmp_path: Path, kind: str) -> None:
    names, sources = ("web", "worker", "sweeper"), {"worker": source_of(BEFORE, tmp_path)}
    with stacks.own(kind, names=names, sources=sources, **HASTY) as stack, Receiver() as receiver:
        account = stack.open_account()
        verify, came = Webhook(stack.call(account.live_key, "POST", "/v1/webhook_secret/rotate")["secret"]), Counter()

        def heard(delivery: Delivery) -> Answer:
            came[verify.verify(delivery.body, dict(delivery.headers))["data"]["job"]["id"]] += 1
            return Answer()

        receiver.answer = heard
        ids = [stack.submit(account, [chat(f"n{n}", callback_url=f"{receiver.url}?n={n}")])[0] for n in range(20)]
        stack.await_all_terminal(ids)
        owed = "SELECT count(*) FROM jobs WHERE owed_events IS NOT NULL"
        stack.until(lambda: stack.rows(owed)[0][0] == 0, what="the sweeper's part")
        assert receiver.deliveries == [], "the worker knows no callbacks"
        stack.start("worker2")
        stack.until(lambda: len(came) == len(ids), what="every callback")
        assert set(came) == set(ids)
        stack.quiet()
        bodies = {orjson.loads(one.body)["id"] for one in receiver.deliveries}
        assert len(bodies) == len(ids), "one event each"
