"""Streams by the official OpenAI SDK, unchanged: sync and async, tools, several choices, usage, every kind of error."""

import asyncio
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionChunk

from tests.acceptance.sse import added_up
from tests.acceptance.stack import Account, Stack

TOOLS: Any = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}]


@pytest.fixture
def client(account: Account) -> Iterator[OpenAI]:
    """The official SDK with its default retries."""
    with OpenAI(base_url=account.stack.url + "/v1", api_key=account.live_key) as made:
        yield made


def asked(content: str, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": content}]
    return {"model": "gpt-4", "messages": messages, "max_tokens": 50, "stream": True, **more}


def plain(chunks: list[ChatCompletionChunk]) -> list[dict[str, Any]]:
    return [chunk.model_dump(mode="json", exclude_unset=True) for chunk in chunks]


def only_job(account: Account) -> dict[str, Any]:
    """The account's one job, when it has ended."""
    (job,) = account.live.get("/jobs").json()["data"]
    return account.finished(job["id"])


@pytest.mark.parametrize(
    "more", [{}, {"n": 2}, {"tools": TOOLS, "tool_choice": "required"}, {"response_format": {"type": "json_object"}}]
)
def test_chunks_add_up_to_the_job(client: OpenAI, account: Account, more: dict[str, Any]) -> None:
    chunks = list(client.chat.completions.create(**asked("as it comes", **more)))
    job = only_job(account)
    assert added_up(plain(chunks)) == job["result"]["choices"]
    assert {chunk.id for chunk in chunks} == {job["result"]["id"]} and all(chunk.choices for chunk in chunks)
    assert "usage" not in plain(chunks)[0]


def test_usage_comes_last_when_it_is_asked_for(client: OpenAI, account: Account) -> None:
    *chunks, last = client.chat.completions.create(**asked("count", stream_options={"include_usage": True}))
    assert last.choices == [] and last.usage is not None
    assert last.usage.model_dump(exclude_unset=True) == only_job(account)["result"]["usage"]
    assert last.usage.model_extra is not None and last.usage.model_extra["credits_used"] > 0
    assert all(chunk.usage is None for chunk in chunks)


def test_the_sdks_own_accumulator_agrees(client: OpenAI, account: Account) -> None:
    request = {name: value for name, value in asked("gather", tools=TOOLS).items() if name != "stream"}
    with client.chat.completions.stream(**request) as stream:
        stream.until_done()
        whole = stream.get_final_completion()
    result = only_job(account)["result"]
    assert whole.choices[0].message.content == result["choices"][0]["message"]["content"]
    assert whole.choices[0].finish_reason == result["choices"][0]["finish_reason"]


def test_async(account: Account) -> None:
    async def main() -> list[list[ChatCompletionChunk]]:
        async with AsyncOpenAI(base_url=account.stack.url + "/v1", api_key=account.test_key) as client:

            async def one(number: int) -> list[ChatCompletionChunk]:
                stream = await client.chat.completions.create(**asked(f"number {number}"))
                return [chunk async for chunk in stream]

            return await asyncio.gather(*map(one, range(20)))

    for chunks in asyncio.run(main()):
        assert chunks[-1].choices[0].finish_reason == "stop"


def test_a_refusal_before_the_first_token_is_its_error_class(client: OpenAI, account: Account, stack: Stack) -> None:
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(**asked("wrong", temperature=9))
    with stack.script({"contains": "unlucky", "fault": {"status": 400, "message": "no"}}):
        with pytest.raises(openai.BadRequestError) as refused:
            client.chat.completions.create(**asked("unlucky"))
    with stack.script({"contains": "broken", "fault": {"kind": "error_in_200", "code": "insufficient_quota"}}):
        with pytest.raises(openai.InternalServerError) as failed:
            client.chat.completions.create(**asked("broken"))
    assert failed.value.status_code == 502
    for error in (refused.value, failed.value):
        assert error.response.headers["x-should-retry"] == "false" and error.response.headers["fusionai-job-id"]
    assert len(account.live.get("/jobs").json()["data"]) == 2, "no retry bought the work again"


def test_an_error_in_mid_stream_is_raised_where_it_happens(client: OpenAI, account: Account, stack: Stack) -> None:
    with stack.script({"contains": "interrupt", "fault": {"kind": "slow_body", "seconds": 20}}):
        stream = client.chat.completions.create(**asked("interrupt"))
        seen = [next(stream), next(stream)]
        id = account.live.get("/jobs").json()["data"][0]["id"]
        account.live.post(f"/jobs/{id}/cancel").raise_for_status()
        with pytest.raises(openai.APIError) as error:
            seen += stream
    assert id in error.value.message and isinstance(error.value.body, dict) and error.value.body["type"] == "conflict"
    used = only_job(account)["usage"]
    assert used["credits_used"] > 0 and used["estimated"] is True, "what was sent of it is paid for"


def test_a_client_that_hangs_up_is_billed_once_and_can_read_on(client: OpenAI, account: Account, stack: Stack) -> None:
    with stack.script({"contains": "hang up", "fault": {"kind": "slow_body", "seconds": 2}}):
        with client.chat.completions.create(**asked("hang up")) as stream:
            next(stream)
            id = stream.response.headers["fusionai-job-id"]
        again: Any = client.get(
            f"/jobs/{id}/stream", cast_to=object, stream=True, stream_cls=openai.Stream[ChatCompletionChunk]
        )
        chunks = plain(list(again))
    job = only_job(account)
    assert job["id"] == id and job["status"] == "succeeded" and len(job["attempts"]) == 1
    assert added_up(chunks[:-1]) == job["result"]["choices"] and chunks[-1]["usage"] == job["result"]["usage"]
    assert account.stack.violations() == []


def test_the_same_idempotency_key_streams_the_same_job(client: OpenAI, account: Account) -> None:
    headers = {"Idempotency-Key": "one stream"}
    streams = [client.chat.completions.create(**asked("once"), extra_headers=headers) for _ in range(2)]
    one, other = ([chunk for chunk in stream] for stream in streams)
    assert added_up(plain(one)) == added_up(plain(other)) == only_job(account)["result"]["choices"]
    assert streams[1].response.headers["idempotent-replayed"] == "true"


def test_prefer_respond_async_gives_the_job(client: OpenAI, account: Account) -> None:
    headers = {"Prefer": "respond-async"}
    body = asked("later")
    answer = account.live.post("/chat/completions", json=body, headers=headers)
    assert answer.status_code == 202 and answer.json()["object"] == "job"
    whole = account.live.get(f"/jobs/{answer.json()['id']}/stream").text
    assert whole.endswith("data: [DONE]\n\n")
