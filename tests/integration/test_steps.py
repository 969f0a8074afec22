"""Jobs of several calls on a real database: each step is taken once, charged once, in the job's own hold."""

import asyncio
import doctest
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from sqlalchemy import update

from producer.admission.accept import Acceptor
from producer.dialects.euqai import manners
from shared.answers.streams import part
from shared.db import Database, counters
from shared.db import models as m
from shared.errors import ProviderError
from shared.jobs import relayed, transitions
from shared.jobs.leases import Leased
from shared.jobs.outcomes import Ending, Requeue
from shared.submissions.schemas import Usage
from shared.submissions.steps import json_answers
from shared.submissions.steps import pictures as steps_pictures
from shared.submissions.steps.course import COURSE
from tests import pictures
from tests.integration import world
from tests.integration.attempts import NOWHERE
from workers.maintenance.overdue import end_overdue
from workers.maintenance.row_retention import delete_jobs
from workers.pacing import Pace, PaceStore
from workers.providers import ProviderAnswer, ProviderCall
from workers.running import job_rows, outcomes
from workers.running.attempts import Attempts
from workers.running.job_rows import UnreadableError
from workers.running.partial_answer import PartialAnswer, SentAnswer
from workers.simulator import conducted

MODEL = "euqai-fusion-v1"


class Team:
    """Every provider in one: says what a test wants of each call, and notes the calls."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.calls: list[ProviderCall] = []

    async def call(self, call: ProviderCall) -> ProviderAnswer:
        self.calls.append(call)
        found = self.answers.pop(0)
        if isinstance(found, Exception):
            raise found
        if call.type == "image":
            body = {"created": 7, "data": [{"b64_json": "iVBORw0KGgo="}]}
            return ProviderAnswer(body, Usage(images=1, size="1024x1024"))
        message = {"role": "assistant", "content": found, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 7, "model": call.offer.model}
        return ProviderAnswer({**head, "choices": [choice]}, Usage(prompt_tokens=100, completion_tokens=10))

    def attempts(self) -> Attempts:
        names = ("openai", "mistral", "deepinfra", "sandbox")
        return Attempts(dict.fromkeys(names, self), Pace(PaceStore(NOWHERE), "w"))


def accepted(database: Database, *, test: bool = False, **changes: Any) -> str:
    """A job of the model, accepted as any other is."""
    holder = world.open_account(database, test=test)
    asked = world.submission(model=MODEL, max_tokens=50, **changes)
    made = Acceptor(database, world.RecordedBell()).prepare(holder, [asked], listed=False, claim=None)
    world.accept_all(database, [made])
    return str(made.rows[0]["id"])


def step(database: Database, id: str, team: Team, *, worker: str | None = None) -> tuple[Leased, Ending | Requeue]:
    """Lease it and take its next step; nothing is settled yet."""
    (job,) = world.take(database, worker or world.new_worker(database), [id])
    return job, asyncio.run(team.attempts().run(job, job_rows.attempts(job), PartialAnswer()))


def settled(database: Database, *outcomes: Ending | Requeue) -> Mapping[str, str]:
    return database.write_sync(transitions.settle, outcomes).verdicts


def walked(database: Database, id: str, team: Team) -> dict[str, Any]:
    """Take every step to the end; the job's result."""
    while world.row(database, id)["status"] == "queued":
        _, outcome = step(database, id, team)
        assert settled(database, outcome) == {id: "done"}
    assert world.violations(database) == []
    (found,) = world.rows(database, m.job_results, job_id=id)
    return found


def steps_of(database: Database, id: str) -> list[dict[str, Any]]:
    return sorted(world.rows(database, m.job_steps, job_id=id), key=lambda row: row["number"])


def test_a_question_goes_to_the_conductor_and_then_to_the_text_specialist(database: Database) -> None:
    team = Team("TEXT", "Paris")
    id = accepted(database)
    assert world.row(database, id)["queue"] == "mistral.realtime" and world.row(database, id)["offer"] == COURSE
    result = walked(database, id, team)
    assert [call.offer.model for call in team.calls] == ["mistral-small-2603", "deepinfra.deepseek-r1"]
    assert world.row(database, id)["queue"] == "deepinfra.realtime"
    body = orjson.loads(result["response"])
    assert body["model"] == MODEL and body["choices"][0]["message"]["content"] == "Paris"
    assert body["usage"]["prompt_tokens"] == 210 and body["usage"]["completion_tokens"] == 10
    assert body["usage_details"] == {"text_prompt_tokens": 210, "text_completion_tokens": 10}
    assert result["charged_micros"] == -(-(210 * 100 + 10 * 1200) // 1) and result["model"] == MODEL
    assert [row["step"] for row in steps_of(database, id)] == ["conductor", "text"]
    assert {row["answer"] for row in steps_of(database, id)} == {None}


def test_the_specialist_is_asked_with_the_defaults_of_the_model(database: Database) -> None:
    """The conductor is not: it says one word, always the same for the same question."""
    given = {"temperature": 0.1, "top_p": 0.5, "repetition_penalty": 1.5, "stop": ["never"]}
    for asked in ({}, given):
        team = Team("TEXT", "Paris")
        walked(database, accepted(database, **asked), team)
        defaults = {"temperature": 0.7, "top_p": 0.8, "repetition_penalty": 1.1}
        sent = team.calls[1].request
        assert {name: sent[name] for name in defaults | asked} == defaults | asked and sent["max_tokens"] == 50
        assert team.calls[0].request["temperature"] == 0


def test_a_picture_that_is_asked_for_is_made(database: Database) -> None:
    team = Team("IMAGE: a red lighthouse at dusk", None)
    id = accepted(database)
    result = walked(database, id, team)
    assert [call.offer.model for call in team.calls] == ["mistral-small-2603", "image-gen-2"]
    assert team.calls[1].request["prompt"] == "a red lighthouse at dusk" and team.calls[1].type == "image"
    (choice,) = orjson.loads(result["response"])["choices"]
    assert choice["message"]["images"][0]["revised_prompt"] == "a red lighthouse at dusk"
    assert (result["prompt_tokens"], result["completion_tokens"]) == (110, 10486)
    assert result["charged_micros"] == 110 * 100 + 10486 * 1200
    (_, image) = steps_of(database, id)
    assert image["cost_micros"] == 10_000_000 and orjson.loads(image["used"]) == {"images": 1, "size": "1024x1024"}


def test_a_picture_that_is_shown_is_charged_by_its_pixels(database: Database) -> None:
    team = Team("a cat")
    url = pictures.data_url(pictures.png(1024, 1024))
    content = [{"type": "text", "text": "What is in this image?"}, {"type": "image_url", "image_url": {"url": url}}]
    result = walked(database, accepted(database, messages=[{"role": "user", "content": content}]), team)
    assert [call.offer.model for call in team.calls] == ["mistral-large-4"]
    details = orjson.loads(result["response"])["usage_details"]
    assert details["input_image_tokens"] == 1049 and details["text_completion_tokens"] == 10
    assert result["prompt_tokens"] == 1049 + details["text_prompt_tokens"] < 1049 + 100
    assert result["charged_micros"] == result["prompt_tokens"] * 100 + 10 * 1200


JSON: dict[str, Any] = {"response_format": {"type": "json_object"}}


def test_json_that_is_none_is_repaired_once(database: Database) -> None:
    team = Team("no JSON", '```json\n{"a": 1}\n```')
    id = accepted(database, **JSON)
    result = walked(database, id, team)
    assert [row["step"] for row in steps_of(database, id)] == ["text", "repair"]
    assert orjson.loads(result["response"])["choices"][0]["message"]["content"] == '{"a": 1}'
    assert team.calls[1].request["messages"][-2]["content"] == "no JSON"
    assert result["charged_micros"] == 200 * 100 + 20 * 1200


def test_json_that_cannot_be_had_is_an_error_that_costs_nothing(database: Database) -> None:
    id = accepted(database, **JSON)
    result = walked(database, id, Team("no JSON", "[1]"))
    error = orjson.loads(result["error"])
    assert error["code"] == 502 and error["reason"] == "invalid_json"
    assert result["charged_micros"] == result["prompt_tokens"] == 0


def test_a_worker_that_dies_at_any_step_repeats_no_finished_one(database: Database) -> None:
    """Its answer is late: another has taken the step, which then counts, once."""
    id, team = accepted(database), Team("TEXT", "TEXT", "Paris", "Paris")
    for name in ("conductor", "text"):
        job, late = step(database, id, team)
        world.change(database, id, status="queued", worker_id=None, lease_epoch=job.epoch + 1)  # taken back
        _, outcome = step(database, id, team)
        assert settled(database, outcome) == {id: "done"}
        assert settled(database, late) == {id: "stale"}
        assert settled(database, outcome)[id] == "done", "it finds what it did itself"
        assert [row["step"] for row in steps_of(database, id)][-1] == name
    assert world.row(database, id)["status"] == "succeeded" and len(steps_of(database, id)) == 2
    assert world.violations(database) == [] and team.answers == []


def test_what_fails_and_is_cancelled_midway_costs_nothing(database: Database) -> None:
    for fault in (ProviderError("no", upstream_status=400), None):
        id = accepted(database)
        _, outcome = step(database, id, Team("TEXT"))
        settled(database, outcome)
        job, outcome = step(database, id, Team(fault or "Paris"))
        end = outcome if fault else Ending(id, job.epoch, "cancelled", takes=True)
        assert isinstance(end, Ending) and settled(database, end) == {id: "done"}
        (result,) = world.rows(database, m.job_results, job_id=id)
        assert result["charged_micros"] == 0 and world.violations(database) == []


def test_what_was_sent_on_of_the_last_step_is_charged_with_those_before_it(database: Database) -> None:
    """Its worker is not there any more to end it: another does, with what the row knows."""
    id = accepted(database, stream=True)
    _, outcome = step(database, id, Team("TEXT"))
    settled(database, outcome)
    (job,) = world.take(database, world.new_worker(database), [id])
    work, partial, sent = job_rows.work(job), PartialAnswer(), SentAnswer()
    assert work.walk is not None and work.request["stream"] is True
    partial.begin(work.walk.charged_by(work.offers[0]), work.request, sent, work.walk)
    sent.take({"id": "c", "created": 1, "model": MODEL}, [part(0, {"content": "Paris, I think."})])
    noted = outcomes.progress(job, partial)
    assert noted is not None and noted.completion_tokens == 4 and noted.prompt_tokens > 110
    database.write_sync(relayed.note, [noted])
    settled(database, Ending(id, job.epoch, "expired", takes=True))
    (result,) = world.rows(database, m.job_results, job_id=id)
    assert result["charged_micros"] == noted.charge_micros == noted.prompt_tokens * 100 + 4 * 1200
    assert world.violations(database) == []


def test_the_hold_covers_the_dearest_way(database: Database) -> None:
    """A picture costs more than fifty tokens of text; a long text more than a picture."""
    bound = world.row(database, accepted(database))["bound_micros"]
    assert 10486 * 1200 < bound < 10486 * 1200 + 1_000_000
    long = world.row(database, accepted(database, **JSON))["bound_micros"]
    assert 2 * 50 * 1200 < long < bound


def test_a_provider_that_says_too_much_is_charged_up_to_the_hold(database: Database) -> None:
    class Excessive(Team):
        async def call(self, call: ProviderCall) -> ProviderAnswer:
            answer = await super().call(call)
            return ProviderAnswer(answer.body, Usage(prompt_tokens=10**9, completion_tokens=10**9))

    id = accepted(database)
    result = walked(database, id, Excessive("TEXT", "Paris"))
    assert result["charged_micros"] == world.row(database, id)["bound_micros"] and result["excess_micros"] > 0


def test_a_test_key_walks_the_same_way_for_nothing(database: Database) -> None:
    id = accepted(database, test=True)
    assert world.row(database, id)["queue"] == "sandbox.realtime"
    result = walked(database, id, Team("TEXT", "Paris"))
    assert result["charged_micros"] == 0 and {row["provider"] for row in steps_of(database, id)} == {"sandbox"}


def test_an_earlier_release_leaves_such_a_job_to_others(database: Database) -> None:
    """It looks for the offer of that index, and finds none; so does this one with a conductor that it does not know."""
    id = accepted(database)
    (payload,) = world.rows(database, m.job_payloads, job_id=id)
    offers = orjson.loads(payload["offers"])
    assert not 0 <= world.row(database, id)["offer"] < len(offers)
    offers[0]["course"]["conductor"] = "one to come"
    statement = update(m.job_payloads).where(m.job_payloads.c.job_id == id).values(offers=orjson.dumps(offers).decode())
    database.write_sync(lambda connection: connection.execute(statement).rowcount)
    with pytest.raises(UnreadableError):
        step(database, id, Team())


def test_verify_sees_a_charge_that_is_not_that_of_the_steps(database: Database) -> None:
    id = accepted(database)
    walked(database, id, Team("TEXT", "Paris"))
    for change in ({"prompt_tokens": 1}, {"number": 5}, {"answer": "{}"}, {"job_id": "job_none"}):
        with_fault = update(m.job_steps).where(m.job_steps.c.job_id == id, m.job_steps.c.step == "text").values(change)
        before = steps_of(database, id)[1]
        database.write_sync(lambda connection, one=with_fault: connection.execute(one).rowcount)
        assert world.violations(database), change
        back = update(m.job_steps).where(m.job_steps.c.step == "text").values(before)
        database.write_sync(lambda connection, one=back: connection.execute(one).rowcount)
    assert world.violations(database) == []


def test_examples_in_docstrings() -> None:
    for module in (json_answers, steps_pictures, conducted, manners):
        assert not doctest.testmod(module).failed


def test_one_whose_deadline_passes_between_two_steps_expires_for_nothing(database: Database) -> None:
    id = accepted(database)
    _, outcome = step(database, id, Team("TEXT"))
    settled(database, outcome)
    world.change(database, id, expires_at=1)
    for sweeper in range(2):  # a second one finds nothing to do
        assert database.write_sync(end_overdue, [id])[0] == 1 - sweeper
    assert world.row(database, id)["status"] == "expired"
    assert [(row["step"], row["answer"]) for row in steps_of(database, id)] == [("conductor", None)]
    assert world.violations(database) == []


def test_a_failure_at_one_step_is_tried_again_there(database: Database) -> None:
    """The attempts of all steps are the job's; a fallback of a step is one of that step's offers."""
    team = Team("TEXT", ProviderError("busy", upstream_status=503, code="overloaded"), "Paris")
    id = accepted(database)
    result = walked(database, id, team)
    attempts = orjson.loads(result["attempts"])
    assert [(one["step"], one["model"], one["error"]) for one in attempts] == [
        ("conductor", "mistral-small-2603", None),
        ("text", "deepinfra.deepseek-r1", "overloaded"),
        ("text", "deepinfra.deepseek-r1", None),
    ]
    retries = database.read_sync(lambda connection: counters.totals(connection, "job_retries"))
    assert sum(retries.values()) == 1


def test_what_steps_cost_is_counted_by_who_served(database: Database) -> None:
    walked(database, accepted(database), Team("IMAGE: a cat", None))
    found = database.read_sync(lambda connection: counters.totals(connection, "job_step_micros"))
    spent = {tuple(sorted(orjson.loads(labels).items())): micros for labels, micros in found.items()}
    assert spent[("model", "image-gen-2"), ("provider", "openai")] == 10_000_000
    assert spent[("model", "mistral-small-2603"), ("provider", "mistral")] == 100 * 15 + 10 * 60


def test_the_steps_go_with_their_job(database: Database) -> None:
    id = accepted(database)
    walked(database, id, Team("TEXT", "Paris"))
    database.write_sync(delete_jobs, [id], 2**62)
    assert steps_of(database, id) == []
