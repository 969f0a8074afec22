"""What was sent on of a streamed answer is paid for, however its job ends; what nobody could read is not."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest

from producer.operations import jobs as jobs_ops
from shared import clock
from shared.answers.streams import part
from shared.db import Database
from shared.errors import ProviderError
from shared.jobs import relayed, transitions
from shared.jobs.outcomes import Ending, RelayedPart
from shared.submissions.catalogue import Endpoint
from shared.submissions.catalogue import Provider as CatalogueProvider
from shared.submissions.schemas import Usage
from tests.integration import attempts, batch_world, world
from tests.integration.batch_world import files_of_its_own  # noqa: F401
from tests.integration.test_engine import Provider, Silent
from tests.integration.test_stream_engine import HEAD, accepted, say
from tests.providers.scripted import STALL, serving
from tests.servers import RedisServer
from workers.maintenance import overdue, recovery
from workers.providers import ProviderAnswer, ProviderCall, openai
from workers.running import progress_recorder
from workers.running.engine import Engine
from workers.running.publisher import Publisher
from workers.running.settler import Settler
from workers.running.slots import Slots
from workers.upstream.transport import ProviderClient

Behave = Callable[[ProviderCall], Awaitable[ProviderAnswer]]
Play = Callable[[Engine], Awaitable[None]]


def play(database: Database, url: str, behave: Behave, id: str, then: Play, drain: float = 0.05) -> str:
    """Run a job with an engine that streams to this Redis while something is done to it; the worker's id."""
    worker = world.new_worker(database)

    async def main() -> None:
        slots, publisher = Slots({world.QUEUE: 10, "openai.batch": 10}), Publisher(url)
        settler = Settler(database, Silent(), lambda deliveries: None)
        engine = Engine(database, worker, attempts.of(Provider(behave), publisher), slots, settler)
        engine.start()
        async with asyncio.timeout(30):
            engine.offer(world.row(database, id)["queue"], [id])
            await then(engine)
            await engine.stop(drain)
            await publisher.close()

    asyncio.run(main())
    return worker


class Speaker:
    """A provider that says something, then waits for a test; `after`: what it does when it may go on."""

    def __init__(self, *words: str, finish: str | None = None, after: Exception | None = None) -> None:
        self.words, self.finish, self.after = words, finish, after
        self.said, self.go_on = asyncio.Event(), asyncio.Event()
        self.calls = 0

    async def __call__(self, ask: ProviderCall) -> ProviderAnswer:
        self.calls += 1
        if ask.sink is not None:
            say(ask, *self.words)
            if self.finish:
                ask.sink.send(HEAD, [part(0, {}, self.finish)])
        self.said.set()
        await self.go_on.wait()
        if self.after is not None:
            raise self.after
        return ProviderAnswer({"choices": []}, Usage(prompt_tokens=10, completion_tokens=5))


def at(url: str) -> Endpoint:
    return Endpoint(url, "k", False)


def cancel(database: Database, speaker: Speaker, id: str) -> Play:
    """Cancel the job when something has been said."""

    async def then(engine: Engine) -> None:
        await speaker.said.wait()
        engine.cancel([id])
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        speaker.go_on.set()
        await engine.quiet()

    return then


def result(database: Database, id: str) -> dict[str, Any]:
    (found,) = world.rows(database, world.m.job_results, job_id=id)
    return found


def check_paid(database: Database, id: str, status: str, text: str | None) -> dict[str, Any]:
    """The job has ended so, was charged within its bound for what was sent on, and all rows agree."""
    row, found = world.row(database, id), result(database, id)
    assert row["status"] == status
    assert 0 < found["charged_micros"] <= row["bound_micros"]
    assert found["estimated"] and found["prompt_tokens"] > 0 and found["completion_tokens"] > 0
    (charge,) = world.rows(database, world.m.transfers, subject_id=id, kind="charge")
    assert charge["amount_micros"] == found["charged_micros"]
    if text is not None:
        assert orjson.loads(found["partial"])["choices"][0]["message"]["content"] == text
    assert found["response"] is None and world.violations(database) == []
    return found


def test_a_cancel_in_mid_stream_charges_what_was_sent(database: Database, redis_server: RedisServer) -> None:
    id, speaker = accepted(database), Speaker("Hello ", "world, this is ", "some text")
    play(database, redis_server.url, speaker, id, cancel(database, speaker, id))
    found = check_paid(database, id, "cancelled", "Hello world, this is some text")
    assert found["completion_tokens"] == 8 and found["provider"] == "openai"


def test_the_text_of_a_cancelled_job_is_in_its_result_and_its_usage_is_listed(
    database: Database, redis_server: RedisServer
) -> None:
    id, speaker = accepted(database), Speaker("Hello")
    play(database, redis_server.url, speaker, id, cancel(database, speaker, id))
    account = world.row(database, id)["account_id"]
    holder = world.KeyHolder("k", account, "live", None)
    shown = database.read_sync(jobs_ops.show_job, holder, id)
    body = orjson.loads(orjson.dumps(shown["result"]))
    assert body["choices"][0]["message"]["content"] == "Hello" and body["choices"][0]["finish_reason"] is None
    assert shown["usage"]["credits_used"] == body["usage"]["credits_used"] > 0
    (day,) = world.rows(database, world.m.daily_usage, account_id=account)
    assert day["charged_micros"] == result(database, id)["charged_micros"] and day["jobs"] == 1


def test_once_every_choice_has_its_finish_reason_a_cancel_comes_too_late(
    database: Database, redis_server: RedisServer
) -> None:
    id, speaker = accepted(database), Speaker("Hello", finish="stop")
    play(database, redis_server.url, speaker, id, cancel(database, speaker, id))
    found = result(database, id)
    assert world.row(database, id)["status"] == "succeeded" and not found["estimated"]
    assert found["charged_micros"] > 0 and world.violations(database) == []


def test_an_answer_that_has_come_whole_is_paid_for_as_its_provider_counts(
    database: Database, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text is there, the provider takes its time to end the stream: a cancel in between comes too late."""
    monkeypatch.setattr("workers.upstream.exchange.LINGER_SECONDS", 1.0)
    id = accepted(database)
    told = {"prompt_tokens": 10, "completion_tokens": 900, "completion_tokens_details": {"reasoning_tokens": 880}}
    text = {"choices": [{"index": 0, "delta": {"content": "All of it"}, "finish_reason": None}]}
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": told}
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    sent = asyncio.Event()

    async def lingering(ask: ProviderCall) -> ProviderAnswer:
        steps = (head, *(b"data: " + orjson.dumps(one) + b"\n\n" for one in (text, end)), STALL)
        async with serving(steps) as upstream, ProviderClient(2) as client:
            provider = openai.connect(CatalogueProvider(name="p", protocol="openai"), at(upstream.url), client)
            return await provider.call(dataclasses.replace(ask, on_whole=lambda: (ask.on_whole(), sent.set())[0]))

    async def then(engine: Engine) -> None:
        await sent.wait()
        engine.cancel([id])
        await engine.quiet()

    play(database, redis_server.url, lingering, id, then)
    found = result(database, id)
    assert world.row(database, id)["status"] == "succeeded"
    assert (found["completion_tokens"], found["reasoning_tokens"], found["estimated"]) == (900, 880, False)


def test_of_two_choices_the_end_of_one_does_not_make_it_too_late(database: Database, redis_server: RedisServer) -> None:
    id, speaker = accepted(database, n=2), Speaker("Hello", finish="stop")
    play(database, redis_server.url, speaker, id, cancel(database, speaker, id))
    check_paid(database, id, "cancelled", "Hello")


@pytest.mark.parametrize(
    ("after", "status_code"),
    [
        (ProviderError("it broke", code="reset"), 502),
        (ProviderError("", code="timeout"), 502),
        (KeyError("a fault"), 500),
    ],
    ids=["broken", "limit", "fault of ours"],
)
def test_a_failure_after_the_first_word_charges_what_was_sent(
    database: Database, redis_server: RedisServer, after: Exception, status_code: int
) -> None:
    id, speaker = accepted(database), Speaker("Hello", after=after)

    async def then(engine: Engine) -> None:
        await speaker.said.wait()
        speaker.go_on.set()
        await engine.quiet()

    play(database, redis_server.url, speaker, id, then)
    found = check_paid(database, id, "failed", "Hello")
    assert orjson.loads(found["error"])["code"] == status_code and speaker.calls == 1


def test_a_stream_that_outlives_its_deadline_is_ended_by_its_worker_and_charged(
    database: Database, redis_server: RedisServer
) -> None:
    id, speaker = accepted(database), Speaker("Hello")
    world.change(database, id, expires_at=clock.now_micros() + 3 * clock.MICROS)

    async def then(engine: Engine) -> None:
        await engine.quiet()

    play(database, redis_server.url, speaker, id, then)
    check_paid(database, id, "expired", "Hello")


@pytest.mark.parametrize("end", ["cancelled in the queue", "expired in the queue", "refused in the second run"])
def test_what_a_stopped_worker_had_sent_on_is_paid_for_when_the_job_does_not_succeed(
    database: Database, redis_server: RedisServer, end: str
) -> None:
    id, speaker = accepted(database), Speaker("Hello")

    async def then(engine: Engine) -> None:
        await speaker.said.wait()

    play(database, redis_server.url, speaker, id, then)
    assert world.row(database, id)["status"] == "queued" and world.row(database, id)["relayed_micros"] > 0
    account = world.row(database, id)["account_id"]
    holder = world.KeyHolder("k", account, "live", None)
    if end.startswith("cancelled"):
        database.write_sync(jobs_ops.cancel_job, holder, id)
    elif end.startswith("expired"):
        world.change(database, id, expires_at=0)
        database.write_sync(overdue.end_overdue)
    else:
        refused = ProviderError("no", upstream_status=400)
        refuses = Speaker(after=refused)
        refuses.go_on.set()
        play(database, redis_server.url, refuses, id, lambda engine: engine.quiet())
    check_paid(database, id, {"c": "cancelled", "e": "expired", "r": "failed"}[end[0]], None)


def test_a_job_that_runs_again_after_its_worker_is_charged_once(database: Database, redis_server: RedisServer) -> None:
    id, speaker = accepted(database), Speaker("Hello, this is much more text than the second answer has. " * 20)

    async def then(engine: Engine) -> None:
        await speaker.said.wait()

    play(database, redis_server.url, speaker, id, then)
    second = Speaker("Hi", finish="stop")
    second.go_on.set()
    play(database, redis_server.url, second, id, lambda engine: engine.quiet())
    (charge,) = world.rows(database, world.m.transfers, subject_id=id, kind="charge")
    found = result(database, id)
    assert found["completion_tokens"] == 5 and charge["amount_micros"] == found["charged_micros"]
    assert world.row(database, id)["status"] == "succeeded" and world.violations(database) == []


def test_a_killed_worker_s_row_knows_what_was_sent_on(
    database: Database, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after SIGKILL: the row is all that is left; a cancel that was asked for takes effect when it is taken back."""
    monkeypatch.setattr(progress_recorder, "EVERY_SECONDS", 0.01)
    id, speaker = accepted(database), Speaker("Hello")
    seen: dict[str, Any] = {}

    async def then(engine: Engine) -> None:
        await speaker.said.wait()
        while not (row := await asyncio.to_thread(world.row, database, id))["relayed_micros"]:
            await asyncio.sleep(0.01)
        seen.update(row)

    play(database, redis_server.url, speaker, id, then)
    seen.update(cancel_requested=True)
    world.change(database, seen.pop("id"), **seen)
    database.write_sync(recovery.lapse_one, str(seen["worker_id"]))
    database.write_sync(recovery.take_back)
    check_paid(database, id, "cancelled", None)


def test_a_stale_worker_s_note_changes_nothing(database: Database) -> None:
    (id,) = world.queued(database, world.open_account(database))
    (job,) = world.take(database, world.new_worker(database), [id])
    for epoch, told in ((job.epoch - 1, 0), (job.epoch, 70), (job.epoch, 70)):
        note = RelayedPart(id, epoch, "openai", "gpt-4", 1, 1, 70 if told != 70 or epoch == job.epoch else 0)
        database.write_sync(relayed.note, [note])
        assert world.row(database, id)["relayed_micros"] == told
    database.write_sync(relayed.note, [RelayedPart(id, job.epoch, "openai", "gpt-4", 1, 1, 30)])
    assert world.row(database, id)["relayed_micros"] == 70, "the most that was sent on stands"


@pytest.mark.parametrize("kind", ["held", "unstreamed"])
def test_what_nobody_could_read_is_not_charged(database: Database, redis_server: RedisServer, kind: str) -> None:
    more: dict[str, Any] = {"routing": {"hold_stream": True}} if kind == "held" else {}
    more |= {"routing": {"fallbacks": ["claude-3-opus"]}} if kind == "unstreamed" else {}
    id, speaker = accepted(database, stream=kind != "unstreamed", **more), Speaker("Hello")
    play(database, redis_server.url, speaker, id, cancel(database, speaker, id))
    found = result(database, id)
    assert world.row(database, id)["status"] == "cancelled" and found["charged_micros"] == 0
    assert found["partial"] is None and world.violations(database) == []


def test_a_batch_s_line_is_cancelled_for_nothing_whatever_its_provider_has_said(
    database: Database, redis_server: RedisServer
) -> None:
    holder = world.open_account(database)
    batch = batch_world.new_batch(database, holder, [batch_world.chat("a", stream=True)])
    batch_world.take_turns(database)
    (id,) = batch_world.job_ids(database, batch)
    speaker = Speaker("Hello")
    play(database, redis_server.url, speaker, id, cancel(database, speaker, id))
    batch_world.take_turns(database)
    assert world.row(database, id)["status"] == "cancelled" and result(database, id)["charged_micros"] == 0
    assert world.violations(database) == []


def test_an_answer_that_cannot_be_stored_is_paid_for_when_it_was_sent_on(
    database: Database, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    id, speaker = accepted(database), Speaker("Hello", finish="stop")
    speaker.go_on.set()
    stored = transitions.settle

    def refuses_answers(connection: Any, outcomes: Any) -> Any:
        if any(isinstance(one, Ending) and one.response for one in outcomes):
            raise ValueError("not this")
        return stored(connection, outcomes)

    monkeypatch.setattr(transitions, "settle", refuses_answers)
    play(database, redis_server.url, speaker, id, lambda engine: engine.quiet())
    monkeypatch.undo()
    row, found = world.row(database, id), result(database, id)
    assert row["status"] == "failed" and found["charged_micros"] > 0 and world.violations(database) == []
