"""Message batches on both databases: such as were never read, were refused, expired, or are no longer kept; pages."""

import asyncio
import dataclasses
import json
from typing import Any

import pytest

from producer.dialects.messages import batch_results, batch_rows
from producer.dialects.messages.batch_making import MessageBatchRequest
from producer.dialects.messages.pages import PageAsked
from producer.operations import retried_lines
from producer.operations.batch_making import make_once
from shared import clock
from shared.batches import result_lines
from shared.db import Database
from shared.errors import Conflict, NotFound
from shared.jobs.outcomes import Ending
from shared.key_holders import KeyHolder
from tests.integration import batch_world, world
from tests.integration.batch_world import files_of_its_own  # noqa: F401
from workers.batches import merging

HOUR = 3600 * clock.MICROS
SAID = {"role": "assistant", "content": "Yes.", "refusal": None}
ANSWER = json.dumps({"id": "chatcmpl-1", "model": "gpt-4", "choices": [{"message": SAID, "finish_reason": "stop"}]})


@pytest.fixture(autouse=True)
def _virtual() -> Any:
    with world.virtual_time():
        yield


def made(database: Database, holder: KeyHolder, *names: str) -> str:
    """A message batch of so many requests; its id."""
    params = {"model": "gpt-4", "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}]}
    asked = MessageBatchRequest.model_validate({"requests": [{"custom_id": name, "params": params} for name in names]})
    answer, _ = asyncio.run(make_once(database, holder, None, asked.spec(), batch_rows.create))
    return str(json.loads(answer)["id"])


def shown(database: Database, holder: KeyHolder, id: str) -> Any:
    """The message batch."""
    return database.read_sync(batch_rows.show, holder, id)


def results(database: Database, holder: KeyHolder, id: str) -> dict[str, Any]:
    """What came of its requests, by custom_id."""

    async def read() -> bytes:
        row = await database.read(batch_rows.visible, holder, id)
        first, rest = await batch_results.stream(database, holder, row)
        return first + b"".join([piece async for piece in rest])

    rows = [json.loads(line) for line in asyncio.run(read()).splitlines()]
    return {row["custom_id"]: row["result"] for row in rows}


def test_one_that_is_canceled_before_it_was_read(database: Database) -> None:
    holder = world.open_account(database)
    id = made(database, holder, "a", "b")
    assert database.write_sync(batch_rows.cancel, holder, id)["processing_status"] == "canceling"
    with pytest.raises(Conflict, match="cancel it first"):
        database.write_sync(batch_rows.delete, holder, id)
    batch_world.take_turns(database)
    done = shown(database, holder, id)
    assert done["processing_status"] == "ended" and done["request_counts"]["canceled"] == 2
    assert results(database, holder, id) == {"a": {"type": "canceled"}, "b": {"type": "canceled"}}


def test_one_whose_credit_has_gone_meanwhile(database: Database) -> None:
    """It was checked when it was made; the hold is taken when it is read."""
    holder = world.open_account(database, credits=0)
    id = made(database, holder, "a", "b")
    batch_world.take_turns(database)
    done = shown(database, holder, id)
    assert done["processing_status"] == "ended" and done["request_counts"]["errored"] == 2
    found = results(database, holder, id)
    assert {one["type"] for one in found.values()} == {"errored"}
    assert found["a"]["error"]["error"]["type"] == "billing_error"
    assert "are available" in found["a"]["error"]["error"]["message"]


def test_one_that_was_never_read_in_its_day(database: Database) -> None:
    holder = world.open_account(database)
    id = made(database, holder, "a")
    clock.shift(25 * HOUR)
    batch_world.take_turns(database)
    done = shown(database, holder, id)
    assert done["request_counts"]["expired"] == 1 and done["ended_at"] is not None
    assert results(database, holder, id) == {"a": {"type": "expired"}}
    with pytest.raises(Conflict, match="cannot be canceled"):
        database.write_sync(batch_rows.cancel, holder, id)


def test_results_are_kept_for_so_long(database: Database) -> None:
    holder = world.open_account(database)
    id = made(database, holder, "a")
    batch_world.take_turns(database)
    (job,) = batch_world.job_ids(database, "batch_" + id.removeprefix("msgbatch_"))
    leased = world.take(database, world.new_worker(database), [job])
    world.settle(database, *(dataclasses.replace(world.good_end(one, 5), response=ANSWER) for one in leased))
    batch_world.take_turns(database)
    assert results(database, holder, id)["a"]["message"]["content"] == [{"type": "text", "text": "Yes."}]
    assert shown(database, holder, id)["results_url"].endswith(f"/v1/messages/batches/{id}/results")
    clock.shift(31 * 24 * HOUR)
    archived = shown(database, holder, id)
    assert archived["archived_at"] is not None and archived["results_url"] is None
    with pytest.raises(NotFound, match="no longer kept"):
        results(database, holder, id)


def test_pages_have_message_batches_alone(database: Database) -> None:
    holder = world.open_account(database)
    native = batch_world.new_batch(database, holder, [batch_world.chat("a")])
    ids = [made(database, holder, "a") for _ in range(3)][::-1]
    stranger = world.open_account(database)
    made(database, stranger, "a")

    def listed(**asked: Any) -> list[str]:
        return [one["id"] for one in database.read_sync(batch_rows.list_all, holder, PageAsked(**asked))["data"]]

    assert listed() == ids and listed(limit=1, after_id=ids[0]) == [ids[1]]
    assert listed(limit=1, before_id=ids[2]) == [ids[1]] and listed(before_id=ids[0]) == []
    with pytest.raises(NotFound):
        shown(database, holder, native.replace("batch_", "msgbatch_"))
    with pytest.raises(NotFound):
        shown(database, stranger, ids[0])


@pytest.mark.parametrize("rendered", [True, False], ids=["rendered", "retried"])
def test_a_page_counts_the_bodies_as_they_were_sent(
    database: Database, rendered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which may be much larger than what is made of them, as where a block of attribution is left out."""
    holder = world.open_account(database)
    system = "x-anthropic-billing-header: " + "x" * 3000
    params = {
        "model": "gpt-4",
        "max_tokens": 10,
        "messages": [{"role": "user", "content": "hi"}],
        "system": [{"type": "text", "text": system}],
    }
    lines = [{"custom_id": name, "method": "POST", "url": "/v1/messages", "body": params} for name in "abc"]
    id = batch_world.new_batch(database, holder, lines)
    batch_world.take_turns(database)
    ids = batch_world.job_ids(database, id)
    leased = world.take(database, world.new_worker(database), ids)
    error = {"message": "no", "type": "upstream_error", "code": 502}
    world.settle(database, *(Ending(job.id, job.epoch, "failed", error=error) for job in leased))
    monkeypatch.setattr(result_lines, "MOST_BYTES", 5000)
    monkeypatch.setattr(retried_lines, "PAGE_BYTES", 5000)
    page = database.read_sync(*((merging._page, id, "") if rendered else (retried_lines._requests, ids)))
    assert len(page) == 1
