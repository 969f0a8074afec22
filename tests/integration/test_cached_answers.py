"""Answers from the cache on both databases: what is a hit, what it costs, and whose it is."""

import asyncio
from dataclasses import replace
from typing import Any

import orjson
import pytest
from sqlalchemy import update

from producer.admission.accept import Accepted, Acceptor, PreparedJobs
from producer.admission.cached_answers import CacheUse, cache_use
from producer.admission.idempotency import Claim
from producer.operations import jobs
from shared import clock
from shared.accounts import KeyHolder
from shared.db import Database
from shared.db import models as m
from shared.jobs.outcomes import Ending
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
    """The catalogue as it is, with a fee for cached answers of gpt-4."""
    usual = catalogue.catalogue()
    row = usual.models["gpt-4"].model_copy(update={"cached_answer": FEE})
    made: Catalogue = replace(usual, models={**usual.models, "gpt-4": row})
    monkeypatch.setattr("producer.admission.accept.catalogue", lambda: made)


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
