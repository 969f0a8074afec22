"""A rolling update: each process is told to stop and followed by another, while all kinds of work are under way."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import orjson
import pytest
from openai import OpenAI

from tests.acceptance.sse import events
from tests.acceptance.stack import PROCESSES, Account, Stack, embedding
from tests.acceptance.test_stopping import Callers, body, check_log, slow, stoppable
from tests.conditions import await_condition
from tests.receiver import Receiver

__all__ = ["stoppable"]

LINES = 400


@pytest.fixture
def account(stoppable: Stack) -> Iterator[Account]:
    """A customer of it."""
    made = stoppable.account()
    yield made
    made.close()


class Load:
    """Callers that go on and on, each kind in a thread of its own; what came of each call."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self.callers = Callers(account)
        self._over = threading.Event()
        self.outcomes: list[tuple[str, str]] = []
        self._url = f"{account.stack.url}/v1"
        kinds = (self._wait, self._stream, self._submit)
        self._threads = [threading.Thread(target=self._go_on, args=(kind,)) for kind in kinds]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def goes_on(self) -> None:
        """Until more calls have come to something."""
        seen = len(self.outcomes)
        await_condition(lambda: len(self.outcomes) > seen + 4, what="work under way")

    def stop(self) -> None:
        """Begin no more calls, and let those under way end."""
        self._over.set()
        for thread in self._threads:
            thread.join(60)

    def _go_on(self, kind: Callable[[int], str]) -> None:
        number = 0
        while not self._over.is_set():
            number += 1
            try:
                outcome = kind(number)
            except httpx.ConnectError:  # one process: between two of them there is none to connect to
                outcome = "refused"
                self._over.wait(0.05)
            self.outcomes.append((kind.__name__, outcome))

    def _post(self, path: str, content: dict[str, Any]) -> httpx.Response:
        return httpx.post(self._url + path, json=content, headers=self.callers.headers, timeout=60, trust_env=False)

    def _wait(self, number: int) -> str:
        return told(self._post("/chat/completions", body(f"slowly {number}")))

    def _submit(self, number: int) -> str:
        return told(self._post("/jobs", embedding()))

    def _stream(self, number: int) -> str:
        with httpx.stream(
            "POST",
            self._url + "/chat/completions",
            json=body(f"slowly {number}", stream=True),
            headers=self.callers.headers,
            timeout=60,
            trust_env=False,
        ) as response:
            if response.status_code != 200:
                response.read()
                return told(response)
            last = list(events(response))[-1].data
        if last == "[DONE]":
            return "done"
        error = orjson.loads(last)["error"]
        assert error["job_id"] in error["message"] and "/stream" in error["message"], error
        return "told"


def told(answer: httpx.Response) -> str:
    """Done; or refused in a way that says when to come again, or which job goes on."""
    if answer.status_code in (200, 202):
        return "done"
    assert answer.status_code in (503, 504), answer.text
    if answer.headers.get("x-should-retry") == "false":
        assert answer.headers["fusionai-job-id"] in answer.text, answer.text
    else:
        assert int(answer.headers["retry-after"]) <= 10
    return "told"


@pytest.mark.chaos
@pytest.mark.chaos_short
@pytest.mark.parametrize("module", [*PROCESSES])
def test_each_process_in_turn(stoppable: Stack, account: Account, module: str) -> None:
    rules = [slow("slowly", kind="slow_body", seconds=1.0), slow("of the batch", latency_seconds=0.2)]
    line = {"method": "POST", "url": "/v1/chat/completions"}
    requests = [{**line, "custom_id": str(n), "body": body(f"of the batch {n}")} for n in range(LINES)]
    with ExitStack() as opened:
        receiver = opened.enter_context(Receiver())
        opened.enter_context(stoppable.script(*rules))
        hook = {"url": receiver.url, "events": ["job.completed", "batch.completed"]}
        assert account.live.post("/webhooks", json=hook).status_code == 200
        load = opened.enter_context(Load(account))  # what ends before there is a webhook is sent to none
        for _ in range(2):
            batch = account.live.post("/batches", json={"requests": requests}).json()
            load.goes_on()
            upload = load.callers.upload(1.0)
            stoppable.terminate(module)
            stoppable.start_again(module)
            assert told(upload.result(30)) in ("done", "told")
            check_batch(account, batch["id"])
        load.goes_on()
        load.stop()
        await_condition(lambda: all_ended(account), what="the end of all jobs")
        await_condition(lambda: event_ids(account) <= received(receiver), what="every event's delivery")
    outcomes = Counter(outcome for _, outcome in load.outcomes)
    if module != "producer.app":
        assert "refused" not in outcomes
    assert outcomes["done"] > 10
    check_once(stoppable, account)
    check_log(stoppable)


def check_batch(account: Account, id: str) -> None:
    """It ends with every line succeeded."""
    client = OpenAI(base_url=account.stack.url + "/v1", api_key=account.live_key)
    await_condition(lambda: client.batches.retrieve(id).status == "completed", what="the batch's end")
    counts = client.batches.retrieve(id).request_counts
    assert counts is not None and (counts.completed, counts.failed) == (LINES, 0)
    client.close()


def event_ids(account: Account) -> set[str]:
    """Of all the events that a webhook is told."""
    found: set[str] = set()
    after = None
    while True:
        page = account.live.get("/events", params={"limit": 100, **({"after": after} if after else {})}).json()
        found |= {one["id"] for one in page["data"] if one["type"] in ("job.completed", "batch.completed")}
        if not page["has_more"]:
            return found
        after = page["last_id"]


def received(receiver: Receiver) -> set[str]:
    return {delivery.headers["webhook-id"] for delivery in receiver.deliveries}


def all_ended(account: Account) -> bool:
    return not any(
        account.live.get("/jobs", params={"status": status}).json()["data"] for status in ("queued", "running")
    )


def check_once(stack: Stack, account: Account) -> None:
    """Each job succeeded, and was charged once, as were the batches' lines."""
    for status in ("failed", "expired", "cancelled"):
        assert account.live.get("/jobs", params={"status": status}).json()["data"] == []
    assert account.live.get("/credits").json()["held"] == 0
    assert stack.violations() == []
