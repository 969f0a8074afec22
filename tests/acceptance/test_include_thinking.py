"""`include_thinking`: the model's reasoning before its answer, in every dialect, job, stream and batch."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from producer.dialects import DIALECTS
from tests.acceptance.extras import ask, read_stream, text_of
from tests.acceptance.stack import Account, Stack, chat
from tests.acceptance.test_provider_answers import in_a_batch
from tests.conditions import await_condition
from workers.simulator.odd_replies import THOUGHTS

HEAD = f"<thinking>{THOUGHTS}</thinking>\n\n"
THINK = {"contains": "think first", "fault": {"kind": "reasoning"}}
every_dialect = pytest.mark.parametrize("dialect", DIALECTS, ids=[dialect.name for dialect in DIALECTS])


@pytest.fixture(autouse=True)
def thinking(stack: Stack) -> Iterator[None]:
    """A model that thinks before it answers what says so."""
    with stack.script(THINK):
        yield


def native(content: str = "think first", **more: Any) -> dict[str, Any]:
    body = chat(content, **{"max_tokens": 200, "include_thinking": True, **more})
    return {name: value for name, value in body.items() if name != "type"}


@every_dialect
@pytest.mark.parametrize("content", ["think first", "do not"])
def test_it_stands_before_the_answer_streamed_or_not(account: Account, dialect: Any, content: str) -> None:
    answer = ask(account, dialect, content, include_thinking=True)
    assert answer.status_code == 200, answer.text
    text = text_of(answer.json())
    if content == "think first":
        assert text.startswith(HEAD) and len(text) > len(HEAD)
    else:
        assert "<thinking>" not in text, "this model has none"
    assert read_stream(account, dialect, content, include_thinking=True) == text
    bare = text_of(ask(account, dialect, content).json())
    assert bare == text.removeprefix(HEAD) and "<thinking>" not in bare


def test_a_job_shows_what_the_call_would_have_answered(account: Account) -> None:
    answer = account.live.post("/chat/completions", json=native()).json()
    job = account.run({"type": "chat.completion", **native()})
    (message,) = [choice["message"] for choice in job["result"]["choices"]]
    assert message == answer["choices"][0]["message"] and "reasoning_content" not in message
    assert message["content"].startswith(HEAD)
    listed = account.live.get("/jobs", params={"ids": job["id"]}).json()["data"]
    assert listed[0]["result"] == job["result"] and job["ignored"] == []
    kept = account.run({"type": "chat.completion", **native(), "include_thinking": False})["result"]
    assert kept["choices"][0]["message"]["reasoning_content"] == THOUGHTS


def test_it_costs_what_the_same_answer_costs_without(account: Account) -> None:
    dressed, bare = (
        account.run({"type": "chat.completion", **native(), "include_thinking": wanted}) for wanted in (True, False)
    )
    assert dressed["usage"] == bare["usage"] and dressed["charge"] == bare["charge"]


def test_a_line_of_a_batch_has_it_too(account: Account) -> None:
    _, (with_it, without) = in_a_batch(account, native(), native(include_thinking=False))
    assert with_it["choices"][0]["message"]["content"].startswith(HEAD)
    assert without["choices"][0]["message"]["reasoning_content"] == THOUGHTS
    assert with_it["usage"] == without["usage"]


def test_a_line_that_failed_is_given_back_as_it_was(account: Account, stack: Stack) -> None:
    with stack.script({"contains": "think first", "fault": {"kind": "error", "status": 400}}):
        body = {"requests": [{"custom_id": "a", "url": "/v1/chat/completions", "body": native()}]}
        id = account.live.post("/batches", json=body).json()["id"]
        line = error_line(account, id)
    assert line["request"]["body"]["include_thinking"] is True


def error_line(account: Account, id: str) -> Any:
    def ended() -> Any:
        batch = account.live.get(f"/batches/{id}").json()
        return batch if batch["status"] == "completed" else None

    batch = await_condition(ended, seconds=30, what="the batch")
    return orjson.loads(account.live.get(f"/files/{batch['error_file_id']}/content").text)


def test_a_resumed_stream_is_the_same_bytes(account: Account) -> None:
    id = account.submit({"type": "chat.completion", **native(stream=True)})["id"]
    job = account.finished(id)
    lines = stream_lines(account, id)
    ids = [line.removeprefix("id: ") for line in lines if line.startswith("id: ")]
    events = [line for line in lines if line.startswith("data: ")]
    text = "".join(delta_of(line) for line in events)
    assert text == job["result"]["choices"][0]["message"]["content"] and text.startswith(HEAD)
    assert not any("reasoning_content" in line for line in events)
    for at, last in enumerate(ids[:-1]):
        rest = [line for line in stream_lines(account, id, last) if line.startswith("data: ")]
        assert rest == events[at + 1 :], f"after {last}"


def stream_lines(account: Account, id: str, after: str = "") -> list[str]:
    headers = {"last-event-id": after} if after else {}
    with account.live.stream("GET", f"/jobs/{id}/stream", headers=headers) as answer:
        return list(answer.iter_lines())


def delta_of(line: str) -> str:
    data = line.removeprefix("data: ")
    choices = [] if data == "[DONE]" else orjson.loads(data)["choices"]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def test_an_answer_in_json_stays_json(account: Account) -> None:
    job = account.run({"type": "chat.completion", **native(response_format={"type": "json_object"})})
    message = job["result"]["choices"][0]["message"]
    assert not message["content"].startswith("<thinking>") and message["reasoning_content"] == THOUGHTS
    assert job["ignored"] == ["include_thinking"]


@every_dialect
def test_what_is_no_flag_is_refused_by_name(account: Account, dialect: Any) -> None:
    answer = ask(account, dialect, "think first", include_thinking="yes")
    assert answer.status_code == 400 and "include_thinking" in answer.text
