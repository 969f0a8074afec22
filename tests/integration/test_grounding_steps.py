"""Jobs with `grounding` on a real database: no step twice, one charge, exact from the rows; and searches over HTTP."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import pytest

from producer.admission.accept import Acceptor
from shared import clock
from shared.db import Database
from shared.db import models as m
from shared.jobs import transitions
from shared.jobs.outcomes import Ending, Requeue
from shared.settings import Settings, settings
from shared.submissions.offers import Offer, read_offer
from shared.submissions.schemas import Usage
from shared.submissions.steps.grounding import SEARCH, TOKENS
from tests.integration import world
from tests.integration.attempts import NOWHERE
from workers.pacing import Pace, PaceStore
from workers.providers import ProviderAnswer, ProviderCall
from workers.running import job_rows
from workers.running.attempts import Attempts
from workers.running.partial_answer import PartialAnswer
from workers.search.upstream import WebSearch
from workers.simulator.server import SimulatorProcess

ITEM = {"title": "News", "url": "https://example.com/1", "text": "They did."}


@pytest.fixture(autouse=True)
def configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings(), "search_kind", "tavily")


class Searcher:
    """A model that says what it is told to, and a search; both note their calls."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.calls: list[ProviderCall] = []

    async def call(self, call: ProviderCall) -> ProviderAnswer:
        self.calls.append(call)
        found = self.answers.pop(0)
        if call.type == SEARCH:
            results = [
                {"query": query, "items": found, "error": None if found else "away"}
                for query in call.request["queries"]
            ]
            return ProviderAnswer({"object": SEARCH, "results": results}, Usage(prompt_tokens=len(found)))
        message: dict[str, Any] = {"role": "assistant", "content": found, "refusal": None}
        if found is None:
            function = {"name": "web_search", "arguments": '{"query": "who won"}'}
            message["tool_calls"] = [{"id": "c", "type": "function", "function": function}]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 7, "model": call.offer.model}
        return ProviderAnswer({**head, "choices": [choice]}, Usage(prompt_tokens=100, completion_tokens=10))

    def attempts(self) -> Attempts:
        names = ("openai", "anthropic", "sandbox", SEARCH)
        return Attempts(dict.fromkeys(names, self), Pace(PaceStore(NOWHERE), "w"))


def accepted(database: Database, *, test: bool = False) -> str:
    holder = world.open_account(database, test=test)
    asked = world.submission(model="claude-3-sonnet", max_tokens=50, grounding=True)
    made = Acceptor(database, world.RecordedBell()).prepare(holder, [asked], listed=False, claim=None)
    world.accept_all(database, [made])
    return str(made.rows[0]["id"])


def step(database: Database, id: str, team: Searcher) -> tuple[Any, Ending | Requeue]:
    (job,) = world.take(database, world.new_worker(database), [id])
    return job, asyncio.run(team.attempts().run(job, job_rows.attempts(job), PartialAnswer()))


def settled(database: Database, *outcomes: Ending | Requeue) -> Any:
    return database.write_sync(transitions.settle, outcomes).verdicts


def walked(database: Database, id: str, team: Searcher) -> dict[str, Any]:
    while world.row(database, id)["status"] == "queued":
        _, outcome = step(database, id, team)
        assert settled(database, outcome) == {id: "done"}
    assert world.violations(database) == []
    (found,) = world.rows(database, m.job_results, job_id=id)
    return found


def price(database: Database, id: str) -> Offer:
    (payload,) = world.rows(database, m.job_payloads, job_id=id)
    return read_offer(orjson.loads(payload["offers"])[0])


def cost(offer: Offer, prompt: int, completion: int) -> int:
    return -(-(prompt * offer.input + completion * offer.output) // 1_000_000)


def steps_of(database: Database, id: str) -> list[str]:
    rows = sorted(world.rows(database, m.job_steps, job_id=id), key=lambda row: row["number"])
    return [row["step"] for row in rows]


def test_a_search_is_charged_once_and_only_when_it_was_made(database: Database) -> None:
    ways: list[tuple[tuple[Any, ...], int, list[str]]] = [
        (("Nobody.",), 100, ["ask"]),
        ((None, [ITEM], "They did."), 200 + TOKENS, ["ask", "search", "answer"]),
        ((None, [], "Who knows."), 200, ["ask", "search", "answer"]),
    ]
    for answers, prompt, names in ways:
        id = accepted(database)
        result = walked(database, id, Searcher(*answers))
        tokens = 10 * (2 if len(names) > 1 else 1)
        assert (result["prompt_tokens"], result["completion_tokens"]) == (prompt, tokens)
        assert result["charged_micros"] == cost(price(database, id), prompt, tokens) > 0
        assert steps_of(database, id) == names
        assert world.row(database, id)["bound_micros"] >= result["charged_micros"] and result["excess_micros"] == 0
        message = orjson.loads(result["response"])["choices"][0]["message"]
        assert message["content"] == answers[-1] and bool(message.get("annotations")) == (
            len(answers) > 1 and bool(answers[1])
        )


def test_a_worker_that_dies_at_any_step_repeats_no_finished_one(database: Database) -> None:
    id = accepted(database)
    team = Searcher(None, None, [ITEM], [ITEM], "They did.", "They did.")
    for name in ("ask", "search", "answer"):
        job, late = step(database, id, team)
        world.change(database, id, status="queued", worker_id=None, lease_epoch=job.epoch + 1)  # taken back
        _, outcome = step(database, id, team)
        assert settled(database, outcome) == {id: "done"} and settled(database, late) == {id: "stale"}
        assert steps_of(database, id)[-1] == name
    (result,) = world.rows(database, m.job_results, job_id=id)
    assert result["charged_micros"] == cost(price(database, id), 200 + TOKENS, 20)
    assert world.violations(database) == [] and team.answers == []


def test_a_test_key_searches_in_the_sandbox(database: Database) -> None:
    id = accepted(database, test=True)
    team = Searcher(None, [ITEM], "They did.")
    result = walked(database, id, team)
    assert {call.offer.provider for call in team.calls} == {"sandbox"} and result["charged_micros"] == 0


def test_the_job_says_who_searched(database: Database) -> None:
    id = accepted(database)
    result = walked(database, id, Searcher(None, [ITEM], "They did."))
    made = [(one["provider"], one["model"], one["step"]) for one in orjson.loads(result["attempts"])]
    assert made[1] == (SEARCH, "tavily", "search") and [one[2] for one in made] == ["ask", "search", "answer"]


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorProcess]:
    with SimulatorProcess() as running:
        yield running


def search(simulator: SimulatorProcess, kind: str, *queries: str, **changes: Any) -> ProviderAnswer:
    given = {"search_key": "key", "search_url": f"{simulator.url}/{kind}", "search_allow_loopback": True}
    own = Settings(**{"search_kind": kind, "search_seconds": 1.0, **given, **changes})
    upstream = WebSearch(own)
    offer = Offer(provider=SEARCH, model=kind, upstream=kind, input=0, output=0, version="", bound_micros=0)
    try:
        return asyncio.run(upstream.call(ProviderCall("job_1", SEARCH, {"queries": list(queries)}, offer)))
    finally:
        upstream.close()


@pytest.mark.parametrize("kind", ["searxng", "brave", "tavily"])
def test_each_search_is_asked_in_its_own_words(simulator: SimulatorProcess, kind: str) -> None:
    answer = search(simulator, kind, "ünïcode & more", "nothing", search_results=2)
    first, second = answer.body["results"]
    assert first["error"] is None and [one["title"] for one in first["items"]] == [
        "Page 1 about ünïcode & more",
        "Page 2 about ünïcode & more",
    ]
    assert "Simulated fact 1" in first["items"][0]["text"] and "<" not in first["items"][0]["text"]
    assert second == {"query": "nothing", "items": [], "error": None} and answer.usage.prompt_tokens == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"search_key": "invalid-canary"},
        {"search_url": "http://127.0.0.1:9/"},
        {"search_allow_loopback": False},
        {"search_url": "http://169.254.169.254/"},
    ],
    ids=["wrong key", "nobody there", "loopback", "metadata"],
)
def test_a_search_that_fails_says_so_and_names_nothing(simulator: SimulatorProcess, changes: Any, caplog: Any) -> None:
    answer = search(simulator, "tavily", "a", **changes)
    (result,) = answer.body["results"]
    assert (
        result == {"query": "a", "items": [], "error": "the search is unavailable"} and not answer.usage.prompt_tokens
    )
    assert "canary" not in caplog.text and "127.0.0.1" not in caplog.text and "169.254" not in caplog.text


def test_a_search_of_another_kind_than_the_jobs_is_not_made(simulator: SimulatorProcess) -> None:
    own = Settings(
        search_kind="tavily", search_key="k", search_url=f"{simulator.url}/tavily", search_allow_loopback=True
    )
    upstream = WebSearch(own)
    offer = Offer(provider=SEARCH, model="brave", upstream="brave", input=0, output=0, version="", bound_micros=0)
    answer = asyncio.run(upstream.call(ProviderCall("job_1", SEARCH, {"queries": ["a", ""]}, offer)))
    upstream.close()
    assert [one["error"] for one in answer.body["results"]] == ["the search is not configured", "the query is missing"]


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "slow_body", "seconds": 30},
        {"latency_seconds": 30},
        {"kind": "slow_head", "seconds": 30},
        {"kind": "malformed_json"},
        {"kind": "html"},
        {"kind": "not_http"},
        {"kind": "reset_mid_body"},
        {"status": 302},
        {"status": 429},
    ],
    ids=str,
)
def test_a_search_that_answers_late_or_wrongly_is_over_in_its_time(simulator: SimulatorProcess, fault: Any) -> None:
    rules = {"rules": [{"provider": "tavily", "fault": fault}]}
    httpx.post(f"{simulator.url}/_simulator/script", json=rules).raise_for_status()
    began = clock.monotonic()
    try:
        (result,) = search(simulator, "tavily", "a", search_seconds=0.5).body["results"]
    finally:
        httpx.delete(f"{simulator.url}/_simulator/script").raise_for_status()
    assert result["error"] and result["items"] == [] and clock.monotonic() - began < 10
