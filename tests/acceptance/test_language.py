"""`language`: the model is told in which language to answer, in every dialect, job and batch, and nobody else is."""

import json
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from producer.dialects import DIALECTS
from shared.db.models import job_payloads
from tests.acceptance.extras import ask, read_stream, text_of
from tests.acceptance.stack import Account, chat

TOLD = "Answer in Dutch (language code nl), whatever language you are asked in."
every_dialect = pytest.mark.parametrize("dialect", DIALECTS, ids=[dialect.name for dialect in DIALECTS])


def kept(account: Account, job_id: str) -> list[dict[str, Any]]:
    """The messages of a job's request."""
    statement = select(job_payloads.c.request).where(job_payloads.c.job_id == job_id)
    request = account.stack.database.read_sync(lambda connection: connection.execute(statement).scalar_one())
    return list(json.loads(request)["messages"])


@every_dialect
def test_the_model_is_told(account: Account, dialect: Any) -> None:
    answer = ask(account, dialect, "hello there", language="nl")
    assert answer.status_code == 200, answer.text
    told, *rest = kept(account, answer.headers["fusionai-job-id"])
    assert told == {"role": "system", "content": TOLD} and [one["content"] for one in rest] == ["hello there"]
    bare = ask(account, dialect, "hello there")
    assert len(kept(account, bare.headers["fusionai-job-id"])) == 1, "nothing is sent that nobody asked for"
    assert text_of(answer.json()) and read_stream(account, dialect, "hello there", language="nl")


@every_dialect
@pytest.mark.parametrize("value", ["xx", "Dutch", 5])
def test_what_is_no_code_is_a_400_that_names_the_field(account: Account, dialect: Any, value: Any) -> None:
    answer = ask(account, dialect, "hello", language=value)
    assert answer.status_code == 400 and "language" in answer.text, answer.text
    assert account.live.get("/jobs").json()["data"] == []


def test_it_reaches_the_provider_and_is_counted(account: Account) -> None:
    with account.stack.script():
        told, bare = account.run(chat("hoe laat is het", language="nl")), account.run(chat("hoe laat is het"))
        calls = httpx.get(account.stack.simulator + "/_simulator/calls", params={"contains": TOLD}).json()
    assert calls["count"] == 1
    assert told["usage"]["prompt_tokens"] > bare["usage"]["prompt_tokens"]
    assert told["usage"]["credits_used"] > bare["usage"]["credits_used"]


def test_a_response_shows_what_its_caller_sent(account: Account) -> None:
    body = {"model": "gpt-4", "input": "hello", "instructions": "Be brief.", "language": "nl", "max_output_tokens": 50}
    first = account.live.post("/responses", json=body).json()
    assert first["instructions"] == "Be brief."
    items = account.live.get(f"/responses/{first['id']}/input_items").json()["data"]
    assert [part["text"] for item in items for part in item["content"]] == ["hello"]
    next = account.live.post("/responses", json={**body, "input": "again", "previous_response_id": first["id"]}).json()
    messages = kept(account, f"job_{next['id'].removeprefix('resp_')}")
    assert [TOLD in str(one["content"]) for one in messages].count(True) == 1 and messages[0]["content"] == TOLD


def test_euqai_detects_what_is_not_named(account: Account) -> None:
    euqai = next(dialect for dialect in DIALECTS if dialect.name == "euqai")
    question = "Wat is de hoofdstad van Frankrijk?"
    for more, told in (({}, TOLD), ({"language": None}, TOLD), ({"language": "fr"}, "Answer in French")):
        answer = ask(account, euqai, question, **more)
        assert kept(account, answer.headers["fusionai-job-id"])[0]["content"].startswith(told)
    for dialect in DIALECTS:
        if dialect.name != "euqai":
            answer = ask(account, dialect, question)
            assert len(kept(account, answer.headers["fusionai-job-id"])) == 1, dialect.name
