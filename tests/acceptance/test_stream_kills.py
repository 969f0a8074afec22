"""Streams while the processes that carry them are killed: the reader is told, or reads on; the job is done once."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.acceptance.sse import Event, added_up, events
from tests.acceptance.stack import Account, Stack, chat, own_stack
from tests.conditions import await_condition


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose leases are short; its processes can be killed."""
    with own_stack(tmp_path_factory.mktemp("hasty"), LEASE_SECONDS="3", BEAT_SECONDS="1") as running:
        yield running


@pytest.fixture
def account(hasty: Stack) -> Iterator[Account]:
    """A customer of it."""
    made = hasty.account()
    yield made
    made.close()


def slow(contains: str, seconds: float, **more: Any) -> dict[str, Any]:
    return {"contains": contains, "fault": {"kind": "slow_body", "seconds": seconds}, **more}


def test_a_worker_killed_in_mid_stream_ends_the_stream_and_not_the_job(hasty: Stack, account: Account) -> None:
    with hasty.script(slow("killed", 60, times=1)):
        id = account.submit(chat("the worker is killed", stream=True))["id"]
        found: list[Event] = []
        with account.live.stream("GET", f"/jobs/{id}/stream") as response:
            for event in events(response):
                found.append(event)
                if len(found) == 3:
                    hasty.replace("workers.app")
        error = found[-1].json["error"]
        assert id in error["message"] and error["job_id"] == id and all(event.data != "[DONE]" for event in found)
        job = account.finished(id)
        assert job["status"] == "succeeded"
        assert account.live.get(f"/jobs/{id}/stream", headers={"last-event-id": str(found[2].id)}).status_code == 409
        with account.live.stream("GET", f"/jobs/{id}/stream") as response:
            anew = list(events(response))
    assert anew[-1].data == "[DONE]" and added_up(event.json for event in anew[:-2]) == job["result"]["choices"]
    assert hasty.violations() == []


def test_a_stream_is_resumed_when_its_producer_has_been_killed(hasty: Stack, account: Account) -> None:
    with hasty.script(slow("resumed", 6)):
        id = account.submit(chat("the stream is resumed", stream=True))["id"]
        found: list[Event] = []
        with pytest.raises(httpx.TransportError), account.live.stream("GET", f"/jobs/{id}/stream") as response:
            for event in events(response):
                found.append(event)
                if len(found) == 3:
                    hasty.replace("producer.app")
        await_condition(hasty._ready, what="the new producer")
        headers = {"last-event-id": str(found[-1].id)}
        with account.live.stream("GET", f"/jobs/{id}/stream", headers=headers) as response:
            found += events(response)
    job = account.finished(id)
    assert found[-1].data == "[DONE]" and added_up(event.json for event in found[:-2]) == job["result"]["choices"]
    assert len(job["attempts"]) == 1 and hasty.violations() == []
