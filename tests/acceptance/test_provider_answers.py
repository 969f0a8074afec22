"""Answers that providers write oddly, as the official SDK gets them: unstreamed, streamed, as jobs and in batches."""

import csv
import json
from collections.abc import Iterator
from typing import Any

import openai
import orjson
import pytest
from openai import OpenAI

from shared import clock
from tests.acceptance.sse import added_up
from tests.acceptance.stack import Account, Stack, chat
from tests.conditions import await_condition
from workers.simulator.odd_replies import THOUGHTS

FIND = {"name": "find", "parameters": {"type": "object", "properties": {"path": {"type": "string"}}}}
TOOLS: Any = [{"type": "function", "function": FIND}]
ARGUMENTS = {"path": "simulated path"}


@pytest.fixture
def client(account: Account) -> Iterator[OpenAI]:
    """The official SDK, which tells every failure at once."""
    with OpenAI(base_url=account.stack.url + "/v1", api_key=account.live_key, max_retries=0) as made:
        yield made


def asked(content: str = "hello", **more: Any) -> Any:
    return {"model": "gpt-4", "messages": [{"role": "user", "content": content}], "max_tokens": 200, **more}


def both_ways(client: OpenAI, request: Any) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
    """The choice and the usage of an answer, the same streamed and unstreamed; and the deltas of the stream."""
    whole = client.chat.completions.create(**request)
    *chunks, last = client.chat.completions.create(**request, stream=True, stream_options={"include_usage": True})
    plain = [chunk.model_dump(mode="json", exclude_unset=True) for chunk in chunks]
    assert all(chunk.choices for chunk in chunks) and last.choices == [] and last.usage is not None
    assert whole.usage is not None
    choice = whole.choices[0].model_dump(mode="json", exclude_unset=True)
    (streamed,) = added_up(plain)
    assert _without_ids(streamed) == _without_ids(choice)
    usage = whole.usage.model_dump(mode="json", exclude_unset=True)
    assert last.usage.model_dump(mode="json", exclude_unset=True) == usage
    return choice, usage, [part["delta"] for one in plain for part in one["choices"]]


def _without_ids(choice: dict[str, Any]) -> dict[str, Any]:
    """The same without the ids of its calls, which are other ones in another answer where they are made here."""
    calls = [{**call, "id": ""} for call in choice["message"].get("tool_calls", ())]
    return {**choice, "message": {**choice["message"], "tool_calls": calls}}


def in_a_batch(account: Account, *bodies: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The finished batch of these requests, and what its lines were answered."""
    requests = [{"custom_id": f"c{at}", "url": "/v1/chat/completions", "body": body} for at, body in enumerate(bodies)]
    id = account.live.post("/batches", json={"requests": requests}).json()["id"]

    def ended() -> Any:
        batch = account.live.get(f"/batches/{id}").json()
        return batch if batch["status"] == "completed" else None

    batch = await_condition(ended, seconds=30, what="the batch")
    lines = []
    for name in ("output_file_id", "error_file_id"):
        if batch[name]:
            text = account.live.get(f"/files/{batch[name]}/content").text
            lines += [orjson.loads(line)["response"]["body"] for line in text.splitlines()]
    return batch, lines


@pytest.mark.parametrize("kind", ["reasoning", "reasoning_renamed"])
def test_thoughts_are_returned_streamed_stored_and_counted(
    client: OpenAI, account: Account, stack: Stack, kind: str
) -> None:
    with stack.script({"fault": {"kind": kind}}):
        choice, usage, deltas = both_ways(client, asked())
        batch, (line,) = in_a_batch(account, asked())
    assert choice["message"]["reasoning_content"] == THOUGHTS and choice["message"]["content"]
    assert deltas[0]["role"] == "assistant" and deltas[1]["reasoning_content"]
    thought = usage["completion_tokens_details"]["reasoning_tokens"]
    assert 0 < thought < usage["completion_tokens"]
    assert line["choices"][0] == choice and line["usage"] == usage
    assert batch["usage"]["output_tokens_details"] == {"reasoning_tokens": thought}
    for job in account.live.get("/jobs").json()["data"]:
        found = account.live.get(f"/jobs/{job['id']}").json()
        assert found["result"]["choices"][0] == choice
        assert found["usage"]["completion_tokens_details"] == {"reasoning_tokens": thought}


def test_a_stream_of_thoughts_is_resumed_in_their_midst(account: Account, stack: Stack) -> None:
    with stack.script({"fault": {"kind": "reasoning"}}):
        id = account.submit(chat(stream=True, max_tokens=200))["id"]
        account.finished(id)
    with account.live.stream("GET", f"/jobs/{id}/stream") as answer:
        lines = [line for line in answer.iter_lines() if line]
    ids = [line.removeprefix("id: ") for line in lines if line.startswith("id: ")]
    chunks = [one for line in lines if line.startswith("data: {") and (one := orjson.loads(line[6:]))["choices"]]
    assert any(chunk["choices"][0]["delta"].get("reasoning_content") for chunk in chunks)
    assert any("g=" in one for one in ids)
    for at, last in enumerate(ids[:-1]):
        with account.live.stream("GET", f"/jobs/{id}/stream", headers={"last-event-id": last}) as answer:
            rest = [orjson.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: {")]
        assert added_up([*chunks[: at + 1], *rest]) == added_up(chunks)


def test_cached_tokens_are_told_everywhere(client: OpenAI, account: Account, stack: Stack) -> None:
    with stack.script({"fault": {"kind": "cached_usage"}}):
        _, usage, _ = both_ways(client, asked("a long prompt " * 20))
        batch, lines = in_a_batch(account, asked("a long prompt " * 20), asked("another one " * 20))
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    assert cached == usage["prompt_tokens"] * 9 // 10 > 0 and "estimated" not in usage
    order = ["prompt_tokens", "completion_tokens", "total_tokens"]
    assert list(lines[0]["usage"]) == [*order, "prompt_tokens_details", "completion_tokens_details", "credits_used"]
    told = sum(line["usage"]["prompt_tokens_details"]["cached_tokens"] for line in lines)
    assert batch["usage"]["input_tokens_details"] == {"cached_tokens": told} and told > cached
    rows = account.live.get("/usage").json()["data"]
    assert sum(row["prompt_tokens_details"]["cached_tokens"] for row in rows) == 2 * cached + told
    cells = list(csv.DictReader(account.live.get("/usage", headers={"accept": "text/csv"}).text.splitlines()))
    assert sum(int(row["cached_tokens"]) for row in cells) == 2 * cached + told
    assert {(row["cache_creation_tokens"], row["estimated"]) for row in cells} == {("", "false")}


@pytest.mark.parametrize("kind", ["missing_usage", "zero_usage", "odd_usage"])
def test_usage_that_is_not_told_is_estimated_and_said_to_be(
    client: OpenAI, account: Account, stack: Stack, kind: str
) -> None:
    with stack.script({"fault": {"kind": kind}}):
        _, usage, _ = both_ways(client, asked("x" * 400))
        batch, (line,) = in_a_batch(account, asked("x" * 400))
    assert usage["estimated"] is True and 100 <= usage["prompt_tokens"] <= 110 and usage["completion_tokens"] > 0
    assert "prompt_tokens_details" not in usage and "completion_tokens_details" not in usage
    assert line["usage"] == usage
    assert batch["usage"] == {
        "input_tokens": usage["prompt_tokens"],
        "output_tokens": usage["completion_tokens"],
        "total_tokens": usage["total_tokens"],
        "estimated": True,
    }
    assert all(row["estimated"] is True for row in account.live.get("/usage").json()["data"])
    jobs = [account.live.get(f"/jobs/{job['id']}").json() for job in account.live.get("/jobs").json()["data"]]
    assert all(job["usage"]["estimated"] is True for job in jobs)
    assert stack.violations() == []


@pytest.mark.parametrize(
    ("kind", "count", "arguments"),
    [
        ("object_arguments", 1, ARGUMENTS),
        ("no_arguments", 1, {}),
        ("same_index", 2, ARGUMENTS),
        ("no_ids", 2, ARGUMENTS),
        ("function_call", 1, ARGUMENTS),
        ("odd_finish", 1, ARGUMENTS),
        ("odd_lines", 1, ARGUMENTS),
        ("other_form", 1, ARGUMENTS),
    ],
)
def test_tool_calls_are_put_right(
    client: OpenAI, account: Account, stack: Stack, kind: str, count: int, arguments: Any
) -> None:
    request = asked("find it", tools=TOOLS)
    with stack.script({"fault": {"kind": kind}}):
        choice, _, _ = both_ways(client, request)
        with client.chat.completions.stream(**request) as stream:
            stream.until_done()
            gathered = stream.get_final_completion().choices[0]
        _, (line,) = in_a_batch(account, request)
        assert len(stack.seen("openai")) == 4
    calls = choice["message"]["tool_calls"]
    assert choice["finish_reason"] == "tool_calls" and len({call["id"] for call in calls}) == count
    assert [call["function"]["name"] for call in calls] == ["find"] * count
    assert [json.loads(call["function"]["arguments"]) for call in calls] == [arguments] * count
    assert _without_ids(line["choices"][0]) == _without_ids(choice)
    told = [(call.function.name, call.function.arguments) for call in gathered.message.tool_calls or ()]
    assert told == [(call["function"]["name"], call["function"]["arguments"]) for call in calls]
    answers = [{"role": "tool", "tool_call_id": call["id"], "content": "found"} for call in calls]
    again = {**request, "messages": [*request["messages"], choice["message"], *answers]}
    assert client.chat.completions.create(**again).choices[0].finish_reason == "stop"


@pytest.mark.parametrize("kind", ["content_parts", "odd_finish", "odd_lines", "other_form"])
def test_texts_are_put_right(client: OpenAI, stack: Stack, kind: str) -> None:
    with stack.script({"fault": {"kind": kind}}):
        choice, _, _ = both_ways(client, asked("how are you"))
    assert choice["message"]["content"].endswith("to: how are you") and choice["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("kind", "what"), [("broken_arguments", "arguments is not JSON"), ("wrong_shape", "is no object")]
)
def test_a_wrong_shape_is_paid_for_once_and_told(
    client: OpenAI, account: Account, stack: Stack, kind: str, what: str
) -> None:
    request = asked("find it", tools=TOOLS)
    with stack.script({"provider": "openai", "fault": {"kind": kind}}):
        began = clock.monotonic()
        with pytest.raises(openai.APIStatusError) as told:
            client.chat.completions.create(**request)
        assert told.value.status_code == 502 and "choices[0]" in told.value.message and what in told.value.message
        assert told.value.body["reason"] == "shape"  # type: ignore[index]
        with pytest.raises(openai.APIError, match="choices"):
            list(client.chat.completions.create(**request, stream=True))
        batch, (line,) = in_a_batch(account, request)
        assert line["error"]["reason"] == "shape" and batch["request_counts"]["failed"] == 1
        assert len(stack.seen("openai")) == 3 and clock.monotonic() - began < 20
        elsewhere = client.chat.completions.create(**request, extra_body={"routing": {"fallbacks": ["claude-3-opus"]}})
        assert elsewhere.model == "claude-3-opus"
        held = {"routing": {"fallbacks": ["claude-3-opus"], "hold_stream": True}}
        chunks = list(client.chat.completions.create(**request, stream=True, extra_body=held))
        assert chunks[-1].choices[0].finish_reason == "tool_calls"
    assert account.live.get("/credits").json()["held"] == 0 and stack.violations() == []
