"""What an engine makes of failed attempts on a real database: put off, turned elsewhere, given up."""

import asyncio
import gc
import weakref
from typing import Any

import orjson
import pytest

from producer.waiting.waiters import JobState
from shared import clock
from shared.db import Database
from shared.errors import ProviderError
from shared.settings import settings
from tests.catalogues import dear_gpt_4  # noqa: F401
from tests.integration import attempts, world
from tests.integration.test_engine import Provider, Silent, good
from workers.pacing import Pace
from workers.providers import ProviderAnswer, ProviderCall
from workers.running.attempts import Attempts
from workers.running.engine import Engine
from workers.running.partial_answer import PartialAnswer
from workers.running.settler import Settler
from workers.running.slots import Slots

BATCH = "openai.batch"


class Scripted:
    """A provider that fails as a test says, then answers; it counts its calls."""

    def __init__(self, *errors: ProviderError) -> None:
        self.errors, self.calls = list(errors), 0

    async def call(self, ask: ProviderCall) -> ProviderAnswer:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return await good(ask)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings(), "retry_base_seconds", 0.01)


def run(database: Database, ids: list[str], queue: str, **providers: Any) -> None:
    """Offer jobs once, until nothing waits or runs here."""

    async def main() -> None:
        made = attempts.of(providers["openai"])
        every = Attempts(providers, made.pace)
        slots = Slots({BATCH: 10, "openai.realtime": 10, "anthropic.realtime": 10, "anthropic.batch": 10})
        settler = Settler(database, Silent(), lambda deliveries: None)
        engine = Engine(database, world.new_worker(database), every, slots, settler)
        engine.start()
        async with asyncio.timeout(20):
            engine.offer(queue, ids)
            await engine.quiet()
            await engine.stop(5)
        assert not slots.busy()
        await made.pace.close()

    asyncio.run(main())


def job(database: Database, *, batch: bool, **more: Any) -> str:
    holder = world.open_account(database)
    wanted = world.submission(**more)
    order = world.Acceptor(database, world.RecordedBell()).prepare(holder, [wanted], listed=batch, claim=None)
    world.accept_all(database, [order])
    return str(order.rows[0]["id"])


def tried(database: Database, id: str) -> list[tuple[str, Any]]:
    (payload,) = world.rows(database, world.m.job_payloads, job_id=id)
    (result,) = world.rows(database, world.m.job_results, job_id=id) or [{"attempts": None}]
    made = orjson.loads(result["attempts"] or payload["attempts"] or "[]")
    return [(one["provider"], one["error"]) for one in made]


@pytest.mark.parametrize(
    ("error", "reason", "least"),
    [
        (ProviderError("", upstream_status=503), "503", 0.01),
        (ProviderError("", upstream_status=429, retry_after_seconds=500.0), "429", 499.0),
        (ProviderError("", upstream_status=401), "401", 0.01),
        (ProviderError("", code="connect"), "connect", 0.01),
        (ProviderError("", code="first_byte"), "first_byte", 0.01),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else None,
)
def test_a_batch_line_is_put_off_without_slot_or_message(
    database: Database, error: ProviderError, reason: str, least: float
) -> None:
    id, before = job(database, batch=True), clock.now_micros()
    provider = Scripted(error)
    run(database, [id], BATCH, openai=provider)
    row = world.row(database, id)
    assert (row["status"], row["deferred_for"], row["woken_at"], row["worker_id"]) == ("queued", reason, None, None)
    assert row["run_at"] >= before + least * clock.MICROS and row["failures"] == 1 and provider.calls == 1
    assert len(tried(database, id)) == 1 and world.violations(database) == []


def test_a_line_that_has_waited_runs_and_is_charged_once(database: Database) -> None:
    id = job(database, batch=True)
    for _ in range(7):
        run(database, [id], BATCH, openai=Scripted(ProviderError("", upstream_status=503)))
        assert world.row(database, id)["status"] == "queued"
        world.change(database, id, run_at=0)
    run(database, [id], BATCH, openai=Scripted())
    assert world.row(database, id)["status"] == "succeeded"
    assert len(tried(database, id)) == 8 and world.violations(database) == []


def test_a_caller_s_job_turns_to_its_fallback_at_once_and_is_charged_at_its_price(database: Database) -> None:
    id = job(database, batch=False, routing={"fallbacks": ["claude-3-sonnet"]})
    down, spare = Scripted(*[ProviderError("", upstream_status=500)] * 9), Scripted()
    run(database, [id], "openai.realtime", openai=down, anthropic=spare)
    assert world.row(database, id)["status"] == "succeeded" and (down.calls, spare.calls) == (3, 1)
    (result,) = world.rows(database, world.m.job_results, job_id=id)
    assert (result["provider"], result["model"]) == ("anthropic", "claude-3-sonnet")
    assert world.violations(database) == []


@pytest.mark.usefixtures("dear_gpt_4")
def test_a_request_too_long_turns_to_a_larger_window_and_is_the_caller_s_fault_without_one(
    database: Database,
) -> None:
    long = ProviderError("too long", upstream_status=400, code="context_length_exceeded")
    id = job(database, batch=False, routing={"fallbacks": ["claude-3-sonnet"]})
    run(database, [id], "openai.realtime", openai=Scripted(long), anthropic=Scripted())
    assert world.row(database, id)["status"] == "succeeded"
    id = job(database, batch=False)
    run(database, [id], "openai.realtime", openai=Scripted(long))
    (result,) = world.rows(database, world.m.job_results, job_id=id)
    error = orjson.loads(result["error"])
    assert (error["code"], error["reason"]) == (400, "context_length_exceeded")


@pytest.mark.parametrize("param", ["temperature", None])
def test_the_field_that_a_provider_refuses_is_named_to_the_caller(database: Database, param: str | None) -> None:
    no = ProviderError("not with this model", upstream_status=400, code="unsupported_parameter", param=param)
    id = job(database, batch=False)
    run(database, [id], "openai.realtime", openai=Scripted(no))
    (result,) = world.rows(database, world.m.job_results, job_id=id)
    refusal = JobState(id, "failed", error=result["error"]).refusal()
    assert (refusal.status, refusal.reason, refusal.param) == (400, "unsupported_parameter", param)
    assert ("param" in orjson.loads(result["error"])) == (param is not None)


def test_answers_that_are_none_are_asked_for_twice_over_all_deferrals(database: Database) -> None:
    id = job(database, batch=True)
    for _ in range(2):
        nonsense = ProviderError("", upstream_status=200, code="protocol", head=True)
        run(database, [id], BATCH, openai=Scripted(nonsense))
        world.change(database, id, run_at=0)
    row = world.row(database, id)
    (result,) = world.rows(database, world.m.job_results, job_id=id)
    assert row["status"] == "failed" and orjson.loads(result["error"])["reason"] == "broken_answer"
    assert len(tried(database, id)) == 2 and world.violations(database) == []


def test_a_refused_key_is_told_to_the_caller_at_once(database: Database) -> None:
    id = job(database, batch=False)
    provider = Scripted(*[ProviderError("", upstream_status=401)] * 9)
    run(database, [id], "openai.realtime", openai=provider)
    assert world.row(database, id)["status"] == "failed" and provider.calls == 1


def test_offers_that_a_newer_version_wrote_are_read(database: Database) -> None:
    id = job(database, batch=False)
    (payload,) = world.rows(database, world.m.job_payloads, job_id=id)
    offers = [offer | {"invented": 1} for offer in orjson.loads(payload["offers"])]
    statement = world.m.job_payloads.update().values(offers=orjson.dumps(offers).decode())
    database.write_sync(lambda connection: connection.execute(statement).rowcount)
    run(database, [id], "openai.realtime", openai=Scripted())
    assert world.row(database, id)["status"] == "succeeded"


def test_a_line_turns_to_its_fallback_when_its_provider_refuses_our_key(database: Database) -> None:
    ids = [job(database, batch=True, routing={"fallbacks": ["claude-3-sonnet"]}) for _ in range(3)]
    refusing, spare = Scripted(*[ProviderError("", upstream_status=401)] * 9), Scripted()
    run(database, ids, BATCH, openai=refusing, anthropic=spare)
    assert {world.row(database, id)["status"] for id in ids} == {"succeeded"} and spare.calls == 3
    assert refusing.calls <= 3 and world.violations(database) == []


def test_a_model_that_is_not_there_puts_a_line_off_and_fails_a_caller_at_once(database: Database) -> None:
    gone = ProviderError("", upstream_status=404, code="model_not_found")
    line, called = job(database, batch=True), job(database, batch=False)
    run(database, [line], BATCH, openai=Scripted(gone))
    run(database, [called], "openai.realtime", openai=Scripted(gone))
    assert world.row(database, line)["deferred_for"] == "404"
    assert world.row(database, called)["status"] == "failed"


def test_a_line_is_tried_once_more_before_its_window_ends_whatever_the_provider_asks(database: Database) -> None:
    id = job(database, batch=True)
    run(database, [id], BATCH, openai=Scripted(ProviderError("", upstream_status=429, retry_after_seconds=1e7)))
    row = world.row(database, id)
    assert clock.now_micros() < row["run_at"] < row["expires_at"]


def test_a_caller_of_the_whole_is_served_by_a_stream_while_another_offer_is_left(database: Database) -> None:
    streamed: list[bool] = []

    class Noting(Scripted):
        async def call(self, ask: ProviderCall) -> ProviderAnswer:
            streamed.append(ask.sink is not None and not ask.sink.began)
            assert ask.limits.first_seconds == (settings().stream_turn_seconds if streamed[-1] else 600)
            return await Scripted.call(self, ask)

    with_another = job(database, batch=False, routing={"fallbacks": ["claude-3-sonnet"]})
    alone, line = job(database, batch=False), job(database, batch=True, routing={"fallbacks": ["claude-3-sonnet"]})
    for id, queue in ((with_another, "openai.realtime"), (alone, "openai.realtime"), (line, BATCH)):
        run(database, [id], queue, openai=Noting())
    assert streamed == [True, False, False]


def test_a_limit_of_something_else_is_not_the_end_of_the_jobs_time(database: Database) -> None:
    async def late(ask: ProviderCall) -> ProviderAnswer:
        raise TimeoutError

    (id,) = world.queued(database, world.open_account(database))
    (job,) = world.take(database, world.new_worker(database), [id])
    with pytest.raises(TimeoutError):
        asyncio.run(attempts.of(Provider(late)).run(job, [], PartialAnswer()))


class Spacious:
    """A provider whose answers are read into much memory, and are none; it says what of that memory is still held."""

    def __init__(self) -> None:
        self.read: list[weakref.ref[Any]] = []

    async def call(self, ask: ProviderCall) -> ProviderAnswer:
        content = Content()
        self.read.append(weakref.ref(content))
        try:
            raise OSError("too large")
        except OSError:
            raise ProviderError("too large", upstream_status=200, code="protocol") from None


class Content:
    """What was read of an answer."""


def test_a_failed_attempt_keeps_nothing_of_what_was_read(database: Database) -> None:
    id, provider = job(database, batch=False), Spacious()
    gc.collect()
    gc.disable()
    try:
        run(database, [id], "openai.realtime", openai=provider)
        assert len(provider.read) == 4 and [one() for one in provider.read] == [None] * 4
    finally:
        gc.enable()


def test_a_job_tells_the_pace_when_it_failed_once_and_that_it_fails_again_and_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[float | None] = []
    enter = Pace.enter

    async def noting(pace: Pace, *args: Any, failed_at: float | None = None) -> Any:
        told.append(failed_at)
        return await enter(pace, *args, failed_at=failed_at)

    monkeypatch.setattr(Pace, "enter", noting)
    errors = [ProviderError("", upstream_status=500) for _ in range(4)]
    run(database, [job(database, batch=False)], "openai.realtime", openai=Scripted(*errors))
    first, second, *later = told
    assert first is None and second is not None and second > 0 and later == [0.0, 0.0]
