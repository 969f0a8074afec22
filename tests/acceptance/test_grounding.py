"""`grounding`: a model may search the web, in every dialect, job, stream and batch; only a search made is paid."""

from decimal import Decimal
from typing import Any

import httpx
import orjson
import pytest
from openai import OpenAI
from sqlalchemy import select

from producer.dialects import DIALECTS
from shared.db.models import job_payloads, job_results, job_steps
from shared.submissions.offers import read_offer
from shared.submissions.steps.grounding import TOKENS
from tests.acceptance.extras import ask, read_stream, text_of
from tests.acceptance.stack import SEARCH_KEY, Account, Stack, chat
from tests.acceptance.test_provider_answers import in_a_batch

#: The simulated model calls a tool that the question names.
SEARCHED, PLAIN = "use web_search: who won today?", "who won in 1954?"
every_dialect = pytest.mark.parametrize("dialect", DIALECTS, ids=[dialect.name for dialect in DIALECTS])


def steps(account: Account, job_id: str) -> list[dict[str, Any]]:
    statement = select(job_steps).where(job_steps.c.job_id == job_id).order_by(job_steps.c.number)
    return rows(account, statement)


def rows(account: Account, statement: Any) -> list[dict[str, Any]]:
    return account.stack.database.read_sync(
        lambda connection: [dict(r) for r in connection.execute(statement).mappings()]
    )


def check_money(account: Account, job_id: str, *, searched: bool) -> None:
    """The charge is that of the tokens in the rows, with those of a search once."""
    taken = steps(account, job_id)
    first = ["conductor", "text"] if taken[0]["step"] == "conductor" else ["ask"]
    assert [one["step"] for one in taken] == first + (["search", "answer"] if searched else [])
    assert sum(one["prompt_tokens"] for one in taken if one["step"] == "search") == (TOKENS if searched else 0)
    (result,) = rows(account, select(job_results).where(job_results.c.job_id == job_id))
    (payload,) = rows(account, select(job_payloads).where(job_payloads.c.job_id == job_id))
    price = read_offer(orjson.loads(payload["offers"])[0]).price
    for name in ("prompt_tokens", "completion_tokens"):
        assert result[name] == sum(one[name] for one in taken) > 0
    expected = -(-(result["prompt_tokens"] * price.input + result["completion_tokens"] * price.output) // 1_000_000)
    assert result["charged_micros"] == expected > 0 and result["excess_micros"] == 0
    charge = account.live.get(f"/jobs/{job_id}").json()["charge"]
    assert [*dict.fromkeys(line["step"] for line in charge["lines"] if "step" in line)] == [
        one["step"] for one in taken
    ]
    assert sum(Decimal(line["credits"]) for line in charge["lines"]) == Decimal(str(charge["credits"]))
    assert "other" not in {line["item"] for line in charge["lines"]}
    assert account.stack.violations() == []


@every_dialect
def test_a_search_is_made_when_the_model_wants_it(account: Account, dialect: Any) -> None:
    answer = ask(account, dialect, SEARCHED, grounding=True)
    assert answer.status_code == 200, answer.text
    assert text_of(answer.json()) and "web_search" not in str(answer.json().get("tools", ""))
    job_id = answer.headers["fusionai-job-id"]
    check_money(account, job_id, searched=True)
    job = account.live.get(f"/jobs/{job_id}").json()
    assert ("web_search", "tavily") in [(one["provider"], one["model"]) for one in job["attempts"]]
    (message,) = [choice["message"] for choice in job["result"]["choices"]]
    assert message["annotations"][0]["url_citation"]["title"].startswith("Page 1 about ")
    assert "tool_calls" not in message
    if dialect.name == "responses":
        (said,) = [part for item in answer.json()["output"] if item["type"] == "message" for part in item["content"]]
        assert [one["url"] for one in said["annotations"]] == [
            one["url_citation"]["url"] for one in message["annotations"]
        ]


@every_dialect
def test_no_search_is_made_and_paid_when_it_does_not(account: Account, dialect: Any) -> None:
    for more in ({"grounding": True}, {"grounding": False}, {}):
        answer = ask(account, dialect, PLAIN, **more)
        assert answer.status_code == 200, answer.text
        job_id = answer.headers["fusionai-job-id"]
        if more.get("grounding"):
            check_money(account, job_id, searched=False)
        else:
            assert not any("search" in one["step"] for one in steps(account, job_id))
    assert "annotations" not in answer.text or dialect.name == "responses"


@every_dialect
def test_a_stream_has_the_text_of_the_last_call_alone(account: Account, dialect: Any) -> None:
    for question in (SEARCHED, PLAIN):
        whole = text_of(ask(account, dialect, question, grounding=True).json())
        assert read_stream(account, dialect, question, grounding=True) == whole


def test_a_stream_shows_no_call_of_the_search(account: Account) -> None:
    body = {**chat(SEARCHED, grounding=True, stream=True)}
    del body["type"]
    with account.live.stream("POST", "/chat/completions", json=body) as answer:
        lines = [line for line in answer.iter_lines() if line.startswith("data: ")]
    assert lines[-1] == "data: [DONE]" and not any("tool_calls" in line for line in lines)
    job_id = answer.headers["fusionai-job-id"]
    result = account.finished(job_id)["result"]["choices"][0]["message"]["content"]
    chunks = [orjson.loads(line[6:]) for line in lines[:-1]]
    assert "".join(c["delta"].get("content") or "" for one in chunks for c in one["choices"]) == result
    check_money(account, job_id, searched=True)


def test_a_response_cites_what_was_found(account: Account) -> None:
    """In the form of its own API, streamed or not; the last event has the whole response."""
    with OpenAI(base_url=account.stack.url + "/v1", api_key=account.live_key, max_retries=0) as sdk:
        asked: Any = {"model": "claude-3-sonnet", "input": SEARCHED, "extra_body": {"grounding": True}}
        whole = sdk.responses.create(**asked)
        last: Any = list(sdk.responses.create(**asked, stream=True))[-1]
    for made in (whole, last.response):
        (text,) = made.output[-1].content
        cited = text.annotations[0]
        assert cited.type == "url_citation" and cited.title.startswith("Page 1 about ") and cited.url
        assert (cited.start_index, cited.end_index) == (0, len(text.text))


def test_lines_of_a_batch_and_jobs_search_too(account: Account) -> None:
    line, bare = (
        {name: value for name, value in chat(question, grounding=True).items() if name != "type"}
        for question in (SEARCHED, PLAIN)
    )
    _, (searched, plain) = in_a_batch(account, line, bare)
    assert searched["choices"][0]["message"]["annotations"] and "annotations" not in plain["choices"][0]["message"]
    for job in account.live.get("/jobs").json()["data"]:
        check_money(account, job["id"], searched="annotations" in str(job["result"]))
    check_money(account, account.run(chat(SEARCHED, grounding=True))["id"], searched=True)


def test_a_search_that_fails_is_told_to_the_model_and_is_free(account: Account, stack: Stack) -> None:
    with stack.script({"provider": "tavily", "fault": {"kind": "error", "status": 500}}):
        job = account.run(chat(SEARCHED, grounding=True))
        told = httpx.get(f"{stack.simulator}/_simulator/calls", params={"contains": "The search failed"}).json()
    assert job["status"] == "succeeded" and job["result"]["choices"][0]["message"]["content"] and told["count"] == 1
    assert [one["prompt_tokens"] for one in steps(account, job["id"]) if one["step"] == "search"] == [0]
    assert "annotations" not in job["result"]["choices"][0]["message"]


def test_what_is_found_goes_to_the_model_as_the_result_of_its_call(account: Account, stack: Stack) -> None:
    with stack.script():
        account.run(chat(SEARCHED, grounding=True))
        told = httpx.get(f"{stack.simulator}/_simulator/calls", params={"contains": "Simulated fact 1"}).json()
        searched = stack.seen("tavily")
    assert told["count"] == 1 and len(searched) == 1


def test_a_test_key_is_served_by_the_sandbox_and_pays_nothing(account: Account, stack: Stack) -> None:
    with stack.script():
        body = {name: value for name, value in chat(SEARCHED, grounding=True).items() if name != "type"}
        answer = account.test.post("/chat/completions", json=body)
        assert answer.status_code == 200 and answer.json()["usage"]["credits_used"] == 0
        assert stack.seen("tavily") == []


@every_dialect
@pytest.mark.parametrize("more", [{"grounding": "yes"}, {"grounding": 1}], ids=str)
def test_what_is_no_flag_is_refused_by_name(account: Account, dialect: Any, more: Any) -> None:
    answer = ask(account, dialect, PLAIN, **more)
    assert answer.status_code == 400 and "grounding" in answer.text


def test_it_goes_together_with_the_other_options(account: Account, stack: Stack) -> None:
    with stack.script({"contains": "use web_search", "fault": {"kind": "reasoning"}}):
        job = account.run(chat(SEARCHED, grounding=True, include_thinking=True, language="nl", max_tokens=200))
    message = job["result"]["choices"][0]["message"]
    assert message["content"].startswith("<thinking>")
    place = message["annotations"][0]["url_citation"]
    assert (
        place["end_index"] == len(message["content"]) and message["content"][place["start_index"] :][:9] == "Simulated"
    )
    check_money(account, job["id"], searched=True)


def test_the_key_of_the_search_is_seen_nowhere(account: Account, stack: Stack) -> None:
    job = account.run(chat(SEARCHED, grounding=True))
    assert SEARCH_KEY not in str(job) and SEARCH_KEY not in stack.log.read_text()


def test_euqai_itemises_the_search_and_guarantees_json_after_it(account: Account) -> None:
    euqai = next(dialect for dialect in DIALECTS if dialect.name == "euqai")
    for more in ({}, {"response_format": {"type": "json_object"}}):
        made = ask(account, euqai, SEARCHED, grounding=True, **more).json()
        assert made["usage_details"]["grounding_tokens"] == TOKENS
        prompt = made["usage_details"]["text_prompt_tokens"] + TOKENS
        assert made["usage"]["prompt_tokens"] == prompt
        assert not more or orjson.loads(text_of(made))
    assert "grounding_tokens" not in ask(account, euqai, PLAIN, grounding=True).json()["usage_details"]


@pytest.mark.parametrize("model", ["gpt-4", "claude-3-sonnet", "gemini-pro", "mistral-large-4"])
def test_every_protocol_is_offered_the_search_and_told_what_it_found(
    account: Account, stack: Stack, model: str
) -> None:
    with stack.script():
        job = account.run(chat(SEARCHED, model=model, grounding=True))
        told = httpx.get(f"{stack.simulator}/_simulator/calls", params={"contains": "Simulated fact 1"}).json()
    assert job["status"] == "succeeded" and told["count"] == 1, job["error"]
    assert job["result"]["choices"][0]["message"]["annotations"] and job["served_by"]["model"] == model
    check_money(account, job["id"], searched=True)


def test_a_selected_model_searches_and_its_fallback_does(account: Account, stack: Stack) -> None:
    selected = chat(SEARCHED, grounding=True) | {"model": {"llms": ["gpt-4", "claude-3-sonnet"]}}
    assert account.run(selected)["status"] == "succeeded"
    with stack.script({"provider": "openai", "fault": {"status": 500}}):
        job = account.run(chat(SEARCHED, grounding=True, routing={"fallbacks": ["claude-3-sonnet"]}))
    assert job["status"] == "succeeded" and job["served_by"]["model"] == "claude-3-sonnet"
    assert [line["item"] for line in job["charge"]["lines"] if "step" not in line] in ([], ["rounding"])
    assert account.stack.violations() == []


def test_a_tool_of_the_callers_own_is_called_by_the_caller(account: Account) -> None:
    own = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
    job = account.run(chat("get_weather in Rome", grounding=True, tools=[own]))
    (call,) = job["result"]["choices"][0]["message"]["tool_calls"]
    assert call["function"]["name"] == "get_weather" and [one["step"] for one in steps(account, job["id"])] == ["ask"]
