"""Answers from the cache on both databases: what is a hit, what it costs, and whose it is."""

import asyncio
import doctest
from dataclasses import replace
from typing import Any

import orjson
import pytest
from sqlalchemy import event

from producer.admission import cached_answers
from producer.admission.accept import Acceptor
from producer.admission.cached_answers import CacheUse, cache_use
from producer.admission.idempotency import Claim
from producer.admission.prepared import Accepted, PreparedJobs
from producer.context import Context
from producer.objects.models import model_object
from producer.operations import jobs
from shared import clock
from shared.db import AmbiguousCommitError, Database, counters
from shared.db import models as m
from shared.errors import InsufficientCredits, Unavailable
from shared.jobs import transitions
from shared.jobs.outcomes import Ending
from shared.key_holders import KeyHolder
from shared.settings import settings
from shared.submissions import catalogue
from shared.submissions.catalogue import Catalogue
from tests.integration import world
from tests.integration.test_accepting import accepted_id, claim
from workers.maintenance import purge, row_retention

USE = CacheUse(3600.0)
FEE = 250
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5, "credits_used": 0.0007},
}


def order(
    database: Database, holder: KeyHolder, use: CacheUse | None = USE, mine: Claim | None = None, **changes: Any
) -> PreparedJobs:
    """A request whose answer may be cached, unless its changes forbid it."""
    wanted = world.submission(**{"temperature": 0, **changes})
    return Acceptor(database, world.RecordedBell()).prepare(holder, [wanted], listed=False, claim=mine, cache=use)


def asked(database: Database, holder: KeyHolder, use: CacheUse | None = USE, **changes: Any) -> tuple[str, bool]:
    """The id of such a request's job, and whether the cache has answered it."""
    (outcome,) = world.accept_all(database, [order(database, holder, use, **changes)])
    assert isinstance(outcome, Accepted), outcome
    return accepted_id(outcome), outcome.over


def answer(database: Database, id: str, *, test: bool = False, **more: Any) -> None:
    """Run a job to its end as a worker does."""
    (job,) = world.take(database, world.new_worker(database), [id])
    provider = "sandbox" if test else "openai"
    given: dict[str, Any] = {"provider": provider, "model": "gpt-4", "prompt_tokens": 3, "completion_tokens": 2}
    given |= {"charge_micros": 0 if test else 700, "response": orjson.dumps(ANSWER).decode(), **more}
    world.settle(database, Ending(id, job.epoch, "succeeded", **given))


def cached(database: Database, holder: KeyHolder, **changes: Any) -> str:
    """The id of a job that has answered such a request."""
    id, hit = asked(database, holder, **changes)
    assert not hit
    answer(database, id, test=holder.test)
    return id


def with_fee(monkeypatch: pytest.MonkeyPatch) -> None:
    """The catalogue as it is, with a fee for cached answers of gpt-4, which customers see."""
    usual = catalogue.catalogue()
    row = usual.models["gpt-4"].model_copy(update={"cached_answer": FEE})
    assert model_object(row, "v")["price"]["cached_answer"] == FEE
    made: Catalogue = replace(usual, models={**usual.models, "gpt-4": row})
    monkeypatch.setattr("producer.admission.accept.catalogue", lambda: made)


def test_the_examples_in_the_docstrings_hold() -> None:
    results = doctest.testmod(cached_answers)
    assert results.attempted and not results.failed


@pytest.mark.parametrize("test", [False, True])
def test_the_second_of_two_equal_requests_is_answered_from_the_first(database: Database, test: bool) -> None:
    holder = world.open_account(database, test=test)
    first = cached(database, holder)
    before = world.rows(database, m.accounts, id=holder.account_id)[0]["available_micros"]
    second, hit = asked(database, holder, stream=True, stream_options={"include_usage": True}, metadata={"a": "b"})
    assert hit and second != first
    assert world.rows(database, m.accounts, id=holder.account_id)[0]["available_micros"] == before
    job: Any = database.read_sync(jobs.show_job, holder, second)
    assert (job["status"], job["cached"], job["attempts"]) == ("succeeded", True, [])
    assert job["served_by"] == {"provider": "sandbox" if test else "openai", "model": "gpt-4"}
    assert job["usage"]["total_tokens"] == 5 and job["usage"]["credits_used"] == 0
    assert job["charge"]["reason"] == ("test_key" if test else "cached") and job["metadata"] == {"a": "b"}
    (kept,) = world.rows(database, m.job_results, job_id=second)
    expected = {**ANSWER, "usage": {**ANSWER["usage"], "credits_used": 0}, "cached": True}  # type: ignore[dict-item]
    assert orjson.loads(kept["response"]) == expected and kept["cached_from"] == first
    assert "cached" not in database.read_sync(jobs.show_job, holder, first)
    assert world.events(database, holder.account_id) == ["job.completed", "job.completed"]
    assert world.violations(database) == []


@pytest.mark.parametrize(
    "use", [USE, None, cache_use(["no-cache"]), cache_use(["max-age=0"]), cache_use(["No-Store"])], ids=str
)
def test_a_request_that_differs_or_may_not_be_cached_runs(database: Database, use: CacheUse | None) -> None:
    holder = world.open_account(database)
    cached(database, holder)
    changes: list[dict[str, Any]] = [{}]
    if use == USE:
        changes = [{"temperature": 0.1}, {"temperature": None}, {"n": 2}, {"max_tokens": 11}, {"seed": 1}]
        changes += [{"messages": [{"role": "user", "content": "hi "}]}, {"model": "gpt-3.5-turbo"}]
    for change in changes:
        id, hit = asked(database, holder, use, **change)
        assert not hit and world.row(database, id)["status"] == "queued", change
    assert world.violations(database) == []


def test_what_does_not_follow_from_the_request_is_never_kept(database: Database) -> None:
    holder = world.open_account(database)
    picture = {"type": "image_url", "image_url": {"url": "https://a.bc/d.png"}}
    for change in ({"temperature": 1e-9}, {"n": 2}, {"messages": [{"role": "user", "content": [picture]}]}):
        assert not asked(database, holder, **change)[1]
    assert world.rows(database, m.cached_answers) == []


def test_accounts_and_live_and_test_keys_have_caches_of_their_own(database: Database) -> None:
    holder = world.open_account(database)
    cached(database, holder)
    assert not asked(database, world.open_account(database))[1]
    assert not asked(database, replace(holder, mode="test"))[1]
    assert asked(database, holder)[1] and asked(database, replace(holder, key_id="key_other"))[1]


@pytest.mark.parametrize("status", ["queued", "running", "failed", "cancelled", "expired"])
def test_only_what_has_succeeded_is_an_answer(database: Database, status: Any) -> None:
    holder = world.open_account(database)
    id, _ = asked(database, holder)
    if status != "queued":
        (job,) = world.take(database, world.new_worker(database), [id])
        ending = Ending(id, job.epoch, status, error={"code": 502}, partial=orjson.dumps(ANSWER).decode())
        ending = replace(ending, provider="openai", model="gpt-4", prompt_tokens=3, relayed=True, charge_micros=7)
        if status != "running":
            world.settle(database, ending)
    later, hit = asked(database, holder)
    assert not hit
    answer(database, later)
    assert asked(database, holder)[1] and world.violations(database) == []


def test_the_answer_of_a_fallback_is_not_that_of_the_model_asked_for(database: Database) -> None:
    holder = world.open_account(database)
    id, _ = asked(database, holder)
    answer(database, id, model="gpt-3.5-turbo")
    assert not asked(database, holder)[1]


def test_an_answer_is_kept_for_its_time_and_then_forgotten(database: Database) -> None:
    holder = world.open_account(database)
    with world.virtual_time():
        cached(database, holder)
        clock.shift(60 * clock.MICROS)
        assert asked(database, holder, cache_use(["max-age=70"]))[1]
        clock.shift(3500 * clock.MICROS)
        assert asked(database, holder)[1]
        purge.purge_all(database)
        assert len(world.rows(database, m.cached_answers)) == 1
        clock.shift(60 * clock.MICROS)  # a hit does not make it last longer
        purge.purge_all(database)
        assert world.rows(database, m.cached_answers) == []
        id, hit = asked(database, holder)
        assert not hit
        answer(database, id)
        clock.shift(60 * clock.MICROS)
        later, hit = asked(database, holder, cache_use(["max-age=59"]))
        assert not hit
        assert [row["job_id"] for row in world.rows(database, m.cached_answers)] == [later]


def test_an_expired_row_that_is_still_there_answers_nothing(database: Database) -> None:
    holder = world.open_account(database)
    with world.virtual_time():
        cached(database, holder)
        clock.shift(3600 * clock.MICROS)
        assert not asked(database, holder, CacheUse(10_000.0))[1]


def test_a_setting_of_0_caches_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings(), "cache_seconds", 0)
    assert cache_use([]) is None and cache_use(["max-age=60"]) is None


def test_the_answer_of_a_job_that_retention_has_removed_is_none(database: Database) -> None:
    holder = world.open_account(database)
    first = cached(database, holder)
    hit, _ = asked(database, holder)
    database.write_sync(row_retention.delete_jobs, [first], clock.now_micros())
    assert not asked(database, holder)[1] and world.violations(database) == []
    job: Any = database.read_sync(jobs.show_job, holder, hit)
    assert job["cached"] and job["status"] == "succeeded"


def test_an_answer_that_a_worker_of_an_earlier_version_wrote_is_one(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not know the new column."""
    holder = world.open_account(database)
    made = transitions._result
    with monkeypatch.context() as patch:
        patch.setattr(
            transitions, "_result", lambda *given: {k: v for k, v in made(*given).items() if k != "cached_from"}
        )
        cached(database, holder)
    assert asked(database, holder)[1] and world.violations(database) == []


def test_equal_requests_at_the_same_time_all_run(database: Database) -> None:
    holder = world.open_account(database)
    outcomes = world.accept_all(database, [order(database, holder) for _ in range(3)])
    ids = [accepted_id(outcome) for outcome in outcomes]
    assert not any(outcome.over for outcome in outcomes if isinstance(outcome, Accepted))
    answer(database, ids[0])
    assert not asked(database, holder)[1], "the latest of them is not there yet"
    (kept,) = world.rows(database, m.cached_answers)
    answer(database, kept["job_id"])
    hits = world.accept_all(database, [order(database, holder), order(database, holder, None), order(database, holder)])
    assert [outcome.over for outcome in hits if isinstance(outcome, Accepted)] == [True, False, True]
    assert world.violations(database) == []


def test_a_hit_costs_what_the_catalogue_says(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with_fee(monkeypatch)
    holder = world.open_account(database)
    cached(database, holder)
    id, hit = asked(database, holder)
    assert hit
    job: Any = database.read_sync(jobs.show_job, holder, id)
    assert job["usage"]["credits_used"] == FEE / world.CREDIT and job["result"] is not None
    assert [line["item"] for line in job["charge"]["lines"]][-1] == "request" and job["charge"]["reason"] is None
    (account,) = world.rows(database, m.accounts, id=holder.account_id)
    assert account["available_micros"] == 1000 * world.CREDIT - 700 - FEE and account["held_micros"] == 0
    assert world.violations(database) == []


def test_an_account_without_the_fee_is_refused_as_without_a_cache(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_fee(monkeypatch)
    bound = order(database, world.open_account(database)).bound
    holder = world.open_account(database, bound / world.CREDIT)
    answer(database, asked(database, holder)[0], charge_micros=bound - FEE + 1)
    (refused,) = world.accept_all(database, [order(database, holder)])
    assert isinstance(refused, InsufficientCredits) and refused.details["required_credits"] == bound / world.CREDIT
    monkeypatch.undo()
    assert asked(database, holder)[1], "without a fee it needs nothing"
    assert world.violations(database) == []


def test_a_key_gets_the_same_hit_again(database: Database) -> None:
    holder = world.open_account(database)
    cached(database, holder)
    keyed = [order(database, holder, mine=claim(holder, "k")) for _ in range(2)]
    first, again = world.accept_all(database, keyed)
    (later,) = world.accept_all(database, [order(database, holder, mine=claim(holder, "k"))])
    assert accepted_id(first) == accepted_id(again) == accepted_id(later)
    assert [(one.over, one.replayed) for one in (first, again, later) if isinstance(one, Accepted)] == [
        (True, False),
        (False, True),
        (False, True),
    ]
    assert len(world.rows(database, m.jobs)) == 2 and world.violations(database) == []


def through_the_door(database: Database, holder: KeyHolder) -> tuple[Accepted, world.RecordedBell]:
    """Such a request through an acceptor, and what was rung."""
    bell = world.RecordedBell()

    async def scene() -> Accepted:
        acceptor = Acceptor(database, bell)
        wanted = acceptor.prepare(holder, [world.submission(temperature=0)], listed=False, claim=None, cache=USE)
        outcome = await acceptor.accept(wanted)
        await acceptor.close()
        return outcome

    return asyncio.run(scene()), bell


def test_a_hit_rings_for_nothing_also_after_an_ambiguous_commit(database: Database) -> None:
    holder = world.open_account(database)

    class Flaky(Database):
        """Commits, and says that it does not know."""

        left = 1

        def write_sync(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
            value = super().write_sync(fn, *args, **kwargs)
            self.left -= 1
            if self.left >= 0:
                raise AmbiguousCommitError
            return value

    outcome, bell = through_the_door(database, holder)
    assert not outcome.over and len(bell.rung) == 1
    answer(database, accepted_id(outcome))
    flaky = Flaky(database.engine.url.render_as_string(hide_password=False))
    for door in (database, flaky):
        outcome, bell = through_the_door(door, holder)
        assert outcome.over and not outcome.replayed and bell.rung == []
    flaky.close()
    assert len(world.rows(database, m.jobs)) == 3 and world.violations(database) == []


def test_a_hit_is_answered_however_much_waits(database: Database) -> None:
    holder = world.open_account(database)
    cached(database, holder)

    async def scene() -> None:
        context = Context(database, world.RecordedBell())
        context.overload.look({world.QUEUE: clock.now_micros() - 300 * clock.MICROS})
        for wanted, use in (
            (world.submission(temperature=0), None),
            (world.submission(temperature=0, n=1, seed=7), USE),
        ):
            with pytest.raises(Unavailable):
                await context.placer.place(holder, wanted, None, waits=28, cache=use)
        placed = await context.placer.place(holder, world.submission(temperature=0), None, waits=28, cache=USE)
        assert placed.accepted.over and (await context.placer.wait(placed)).response is not None
        context.placer.release(placed)
        await context.close()

    asyncio.run(scene())
    assert world.violations(database) == []


def test_a_transaction_that_fails_leaves_nothing_of_a_hit(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    holder = world.open_account(database)
    cached(database, holder)
    wanted = order(database, holder)

    def fail(name: str) -> None:
        raise RuntimeError(name)

    with monkeypatch.context() as patch:
        patch.setattr("producer.admission.accept.crash.point", fail)
        with pytest.raises(RuntimeError, match=r"accept\.before_commit"):
            world.accept_all(database, [wanted])
    assert len(world.rows(database, m.jobs)) == 1 and world.violations(database) == []
    (outcome,) = world.accept_all(database, [wanted])
    assert isinstance(outcome, Accepted) and outcome.over and world.violations(database) == []


def test_who_does_not_ask_for_the_cache_pays_nothing_for_it(database: Database) -> None:
    holder = world.open_account(database)
    cached(database, holder)
    said: list[str] = []

    def hear(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        said.append(statement)

    event.listen(database.engine, "before_cursor_execute", hear)
    plain, kept = order(database, holder, None), order(database, holder, temperature=0.5)
    world.accept_all(database, [plain, kept])
    assert said and not [statement for statement in said if "cached" in statement or "counters" in statement]
    event.remove(database.engine, "before_cursor_execute", hear)


def test_hits_and_misses_are_counted_and_their_tokens_are_no_providers(database: Database) -> None:
    holder = world.open_account(database)
    cached(database, holder)
    asked(database, holder)
    asked(database, holder)

    def totals(name: str) -> dict[str, int]:
        return database.read_sync(counters.totals, name)

    assert totals("cache_lookups") == {'{"outcome":"hit"}': 2, '{"outcome":"miss"}': 1}
    assert {orjson.loads(at)["provider"]: n for at, n in totals("jobs_settled").items()} == {"openai": 1, "cache": 2}
    assert sum(totals("tokens").values()) == 5
