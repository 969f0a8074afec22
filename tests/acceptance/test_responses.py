"""OpenAI's Responses API with the official SDK, over a running stack; only base URL and key are ours."""

import asyncio
import json
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel
from sqlalchemy import update

from shared.db import models as m
from tests import contract
from tests.acceptance.stack import Account
from tests.conditions import await_condition

STORY = "Write a one-sentence bedtime story about a unicorn."


def client(account: Account, key: str = "") -> OpenAI:
    """The SDK as its users make it."""
    return OpenAI(base_url=account.stack.url + "/v1", api_key=key or account.live_key, max_retries=0)


def get(account: Account, path: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {account.live_key}"}
    return httpx.get(f"{account.stack.url}/v1/responses{path}", headers=headers, timeout=40, trust_env=False)


def test_a_text_is_answered_and_retrieved(account: Account) -> None:
    with client(account) as sdk:
        made = sdk.responses.create(
            model="gpt-4",
            input=STORY,
            instructions="Be brief.",
            max_output_tokens=300,
            temperature=0.5,
            metadata={"order": "7"},
        )
        again = sdk.responses.retrieve(made.id)
    assert made.object == "response" and made.status == "completed" and made.output_text
    assert (made.instructions, made.max_output_tokens, made.temperature) == ("Be brief.", 300, 0.5)
    assert made.metadata == {"order": "7"} and made.error is None and made.incomplete_details is None
    assert made.usage is not None and made.usage.total_tokens == made.usage.input_tokens + made.usage.output_tokens > 0
    assert made.usage.input_tokens_details.cached_tokens >= 0 <= made.usage.output_tokens_details.reasoning_tokens
    assert made.model_dump() == again.model_dump()
    job = account.live.get(f"/jobs/{made.id.replace('resp_', 'job_')}").json()
    assert job["status"] == "succeeded" and job["ignored"] == ["temperature"]
    contract.check("GET", "/v1/responses/{response_id}", get(account, f"/{made.id}"))


TOOL: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a place.",
    "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
    "strict": False,
}
LONG = "a question with a good many words in it, so that its answer comes in a good many pieces"
DELTAS = ("response.output_text.delta", "response.function_call_arguments.delta")


def slowly(contains: str, seconds: float) -> dict[str, Any]:
    return {"contains": contains, "fault": {"kind": "slow_body", "seconds": seconds}}


def test_a_stream_has_the_typed_events_and_ends_with_what_is_stored(account: Account) -> None:
    with client(account) as sdk:
        found = list(sdk.responses.create(model="gpt-4", input=LONG, stream=True))
        assert [event.type for event in found[:4]] == [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
        ]
        assert [event.type for event in found[-4:]] == [
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        ]
        assert [event.sequence_number for event in found] == list(range(len(found)))
        last = found[-1]
        assert last.type == "response.completed"
        text = "".join(event.delta for event in found if event.type == "response.output_text.delta")
        assert text == last.response.output_text != ""
        assert sdk.responses.retrieve(last.response.id).model_dump() == last.response.model_dump()
        plain = sdk.responses.create(model="gpt-4", input=LONG)
    assert plain.output_text == text


def test_the_sdk_gathers_a_stream(account: Account) -> None:
    with client(account) as sdk, sdk.responses.stream(model="gpt-4", input=LONG) as stream:
        told = [event.snapshot for event in stream if event.type == "response.output_text.delta"]
        whole = stream.get_final_response()
    assert len(told) > 3 and told[-1] == whole.output_text and whole.status == "completed"


def test_the_asynchronous_sdk_does_the_same(account: Account) -> None:
    asyncio.run(_asynchronous(account))


async def _asynchronous(account: Account) -> None:
    async with AsyncOpenAI(base_url=account.stack.url + "/v1", api_key=account.live_key, max_retries=0) as sdk:
        made = await sdk.responses.create(model="gpt-4", input=LONG)
        async with sdk.responses.stream(model="gpt-4", input=LONG) as stream:
            kinds = [event.type async for event in stream]
            whole = await stream.get_final_response()
        again = await sdk.responses.retrieve(made.id)
        queued = await sdk.responses.create(model="gpt-4", input=LONG, background=True)
        ended = await sdk.responses.cancel(queued.id)
    assert kinds[-1] == "response.completed" and whole.output_text == made.output_text == again.output_text
    assert queued.id == ended.id


class Weather(BaseModel):
    """What is asked for."""

    place: str
    degrees: int


def test_a_schema_is_parsed(account: Account) -> None:
    with client(account) as sdk:
        made = sdk.responses.parse(model="gpt-4", input="The weather?", text_format=Weather)
        object = sdk.responses.create(model="gpt-4", input="Answer in JSON.", text={"format": {"type": "json_object"}})
    assert isinstance(made.output_parsed, Weather)
    assert made.text is not None and made.text.format is not None and made.text.format.type == "json_schema"
    assert isinstance(json.loads(object.output_text), dict)


@pytest.mark.parametrize("streams", [False, True])
def test_a_function_is_called_and_its_answer_taken(account: Account, streams: bool) -> None:
    asked: Any = {"model": "gpt-4", "tools": [TOOL], "tool_choice": {"type": "function", "name": "get_weather"}}
    with client(account) as sdk:
        if streams:
            with sdk.responses.stream(input="Weather in Rome?", **asked) as stream:
                told = "".join(event.delta for event in stream if event.type == DELTAS[1])
                made: Any = stream.get_final_response()
        else:
            made = sdk.responses.create(input="Weather in Rome?", **asked)
            told = made.output[0].arguments
        (call,) = made.output
        assert (call.type, call.name, call.arguments, call.status) == (
            "function_call",
            "get_weather",
            told,
            "completed",
        )
        assert isinstance(json.loads(call.arguments), dict)
        assert made.tools[0].name == "get_weather" and made.tool_choice.name == "get_weather"
        answer: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
        question = {"role": "user", "content": "Weather in Rome?"}
        items: Any = [question, call.model_dump(exclude_none=True), answer]
        stateless = sdk.responses.create(model="gpt-4", tools=[TOOL], input=items)
        stateful = sdk.responses.create(model="gpt-4", tools=[TOOL], previous_response_id=made.id, input=[answer])
    assert stateless.output_text == stateful.output_text != ""
    assert stateful.previous_response_id == made.id


def test_a_conversation_goes_on_without_its_old_instructions(account: Account) -> None:
    with client(account) as sdk:
        first = sdk.responses.create(model="gpt-4", input="My name is Ada.", instructions="Old orders.")
        second = sdk.responses.create(
            model="gpt-4", input="What is my name?", instructions="New orders.", previous_response_id=first.id
        )
        hidden = sdk.responses.create(model="gpt-4", input="Keep nothing.", store=False)
        for other in (hidden.id, "resp_0", "job_0"):
            with pytest.raises(openai.BadRequestError) as wrong:
                sdk.responses.create(model="gpt-4", input="Go on.", previous_response_id=other)
            assert wrong.value.param == "previous_response_id"
            with pytest.raises(openai.NotFoundError):
                sdk.responses.retrieve(other)
    job = account.live.get(f"/jobs/{second.id.replace('resp_', 'job_')}").json()
    assert job["status"] == "succeeded" and second.usage is not None and first.usage is not None
    assert second.usage.input_tokens > first.usage.input_tokens
    with client(account, account.test_key) as sdk, pytest.raises(openai.BadRequestError):
        sdk.responses.create(model="gpt-4", input="Go on.", previous_response_id=first.id)


def test_the_items_of_the_input_are_listed(account: Account) -> None:
    with client(account) as sdk:
        first = sdk.responses.create(model="gpt-4", input="One.", instructions="Orders.")
        call: Any = {"type": "function_call", "call_id": "c1", "name": "get_weather", "arguments": "{}"}
        answer: Any = {"type": "function_call_output", "call_id": "c1", "output": "sunny"}
        more: Any = [{"role": "user", "content": "Two."}, call, answer]
        second = sdk.responses.create(model="gpt-4", input=more, tools=[TOOL], previous_response_id=first.id)
        found = list(sdk.responses.input_items.list(second.id, order="asc", limit=2))  # pages until the last
        newest = sdk.responses.input_items.list(second.id, limit=1)
    assert [item.type for item in found] == ["message", "message", "message", "function_call", "function_call_output"]
    assert len({item.id for item in found}) == 5 and newest.data[0].id == found[-1].id and newest.has_more
    contract.check("GET", "/v1/responses/{response_id}/input_items", get(account, f"/{second.id}/input_items"))


def test_a_deleted_response_is_gone_and_its_job_is_not(account: Account) -> None:
    with account.stack.script({"contains": "not yet", "fault": {"latency_seconds": 30}}), client(account) as sdk:
        made = sdk.responses.create(model="gpt-4", input="Hello.", instructions="Orders.")
        sdk.responses.delete(made.id)
        with pytest.raises(openai.NotFoundError):
            sdk.responses.retrieve(made.id)
        with pytest.raises(openai.NotFoundError):
            sdk.responses.delete(made.id)
        with pytest.raises(openai.BadRequestError):
            sdk.responses.create(model="gpt-4", input="Go on.", previous_response_id=made.id)
        under_way = sdk.responses.create(model="gpt-4", input="not yet", background=True)
        with pytest.raises(openai.ConflictError):
            sdk.responses.delete(under_way.id)
        assert sdk.responses.cancel(under_way.id).status == "cancelled"
    assert account.live.get(f"/jobs/{made.id.replace('resp_', 'job_')}").json()["status"] == "succeeded"


def test_in_the_background_it_is_polled(account: Account) -> None:
    with account.stack.script(slowly("in the background", 1.0)), client(account) as sdk:
        made = sdk.responses.create(model="gpt-4", input="in the background", background=True)
        assert made.status in ("queued", "in_progress") and made.background and made.output == []
        ended = await_condition(lambda: _ended(sdk, made.id), what="the response")
    assert ended.status == "completed" and ended.output_text and ended.usage is not None


def _ended(sdk: OpenAI, id: str) -> Any:
    found = sdk.responses.retrieve(id)
    return found if found.status not in ("queued", "in_progress") else None


def test_in_the_background_it_is_cancelled(account: Account) -> None:
    with account.stack.script({"contains": "never mind", "fault": {"latency_seconds": 30}}), client(account) as sdk:
        made = sdk.responses.create(model="gpt-4", input="never mind", background=True)
        ended = sdk.responses.cancel(made.id)
        assert ended.status == "cancelled" == sdk.responses.cancel(made.id).status
        waited = sdk.responses.create(model="gpt-4", input="Hello.")
        with pytest.raises(openai.BadRequestError):
            sdk.responses.cancel(waited.id)
        last = list(sdk.responses.retrieve(made.id, stream=True))[-1]
        assert last.type == "response.failed" and last.response.status == "cancelled"


def test_a_dropped_stream_goes_on_after_the_last_event(account: Account) -> None:
    with account.stack.script(slowly("come back", 1.5)), client(account) as sdk:
        read: list[Any] = []
        with sdk.responses.create(model="gpt-4", input=f"come back {LONG}", background=True, stream=True) as stream:
            for event in stream:
                read.append(event)
                if event.type == DELTAS[0]:
                    break
        id, at = read[0].response.id, read[-1].sequence_number
        live = list(sdk.responses.retrieve(id, stream=True, starting_after=at))
        stored = list(sdk.responses.retrieve(id, stream=True, starting_after=at))
        whole = list(sdk.responses.retrieve(id, stream=True))
        with sdk.responses.stream(response_id=id, starting_after=at) as gathered:
            assert next(event.sequence_number for event in gathered) == at + 1
    assert [event.model_dump() for event in read + live] == [event.model_dump() for event in whole]
    assert [event.model_dump() for event in live] == [event.model_dump() for event in stored]
    text = "".join(event.delta for event in whole if event.type == DELTAS[0])
    last = whole[-1]
    assert last.type == "response.completed" and text == last.response.output_text


def test_a_limit_makes_it_incomplete(account: Account) -> None:
    with client(account) as sdk:
        made = sdk.responses.create(model="gpt-4", input=LONG, max_output_tokens=3)
        found = list(sdk.responses.create(model="gpt-4", input=LONG, max_output_tokens=3, stream=True))
    assert made.status == "incomplete" and made.incomplete_details is not None
    assert made.incomplete_details.reason == "max_output_tokens" and made.output_text
    assert found[-1].type == "response.incomplete" and found[-1].response.output[0].status == "incomplete"


def test_reasoning_is_an_item_of_its_own(account: Account) -> None:
    with account.stack.script({"contains": "think first", "fault": {"kind": "reasoning"}}), client(account) as sdk:
        made: Any = sdk.responses.create(model="gpt-4", input="think first")
        short: Any = sdk.responses.create(model="gpt-4", input="think first", reasoning={"summary": "auto"})
        kinds = {event.type for event in sdk.responses.create(model="gpt-4", input="think first", stream=True)}
        items: Any = [{"role": "user", "content": "think first"}, *made.output, {"role": "user", "content": "And?"}]
        sent = [item if isinstance(item, dict) else item.model_dump(exclude_none=True) for item in items]
        assert sdk.responses.create(model="gpt-4", input=sent).output_text
    assert [item.type for item in made.output] == ["reasoning", "message"]
    assert made.output[0].content[0].text == short.output[0].summary[0].text != ""
    assert {"response.reasoning_text.delta", "response.reasoning_text.done"} <= kinds


def test_a_refusal_is_a_part_of_the_message(account: Account) -> None:
    with account.stack.script({"contains": "no thanks", "fault": {"kind": "refusal"}}), client(account) as sdk:
        made: Any = sdk.responses.create(model="gpt-4", input="no thanks")
        kinds = {event.type for event in sdk.responses.create(model="gpt-4", input="no thanks", stream=True)}
    assert made.output[0].content[0].type == "refusal" and made.output[0].content[0].refusal
    assert "response.refusal.done" in kinds


def test_a_failure_is_an_error_or_in_the_background_a_failed_response(account: Account) -> None:
    with account.stack.script({"contains": "break here", "fault": {"status": 500}}), client(account) as sdk:
        with pytest.raises(openai.APIStatusError) as broken:
            sdk.responses.create(model="gpt-4", input="break here")
        assert broken.value.status_code == 502
        made = sdk.responses.create(model="gpt-4", input="break here", background=True)
        ended = await_condition(lambda: _ended(sdk, made.id), what="the response")
        last = list(sdk.responses.retrieve(made.id, stream=True))[-1]
    assert ended.status == "failed" and ended.error.code == "server_error" and ended.error.message
    assert last.type == "response.failed" and last.response.error is not None


IMAGE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5E"
    "rkJggg=="
)


def test_an_image_is_shown(account: Account) -> None:
    parts: Any = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": IMAGE, "detail": "low"},
    ]
    with client(account) as sdk:
        assert sdk.responses.create(model="gemini-pro", input=[{"role": "user", "content": parts}]).output_text


PICTURE = {"role": "user", "content": [{"type": "input_image", "image_url": IMAGE}]}
SHOWN = "input[0].content[0].image_url"


@pytest.mark.parametrize(
    "changes, param, said",
    [
        ({"tools": [{"type": "web_search"}]}, "tools[0].type", "web_search"),
        ({"tools": [{"type": "mcp", "server_label": "x"}]}, "tools[0].type", "mcp"),
        ({"tool_choice": {"type": "file_search"}}, "tool_choice.type", "file_search"),
        ({"input": [{"type": "computer_call_output"}]}, "input[0].type", "computer_call_output"),
        ({"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, "input[0].content[0].type", "input_file"),
        ({"input": [{"role": "user", "content": 1}]}, "input[0].content", ""),
        ({"conversation": "conv_1"}, "conversation", ""),
        ({"messages": []}, "messages", ""),
        ({"max_tokens": 3}, "max_tokens", ""),
        ({"max_output_tokens": 0}, "max_output_tokens", ""),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema", ""),
        ({"background": True, "store": False}, "background", ""),
        ({"tools": [{**TOOL, "name": "no name"}]}, "tools[0].name", ""),
        ({"input": []}, "input", ""),
        ({"model": None}, "model", ""),
        ({"max_output_tokens": 10**9}, "max_output_tokens", ""),
        ({"model": "deepinfra.deepseek-r1", "instructions": "Look.", "input": [PICTURE]}, SHOWN, "images"),
        ({"model": "deepinfra.deepseek-r1", "input": [PICTURE], "background": True}, SHOWN, "images"),
    ],
)
def test_what_is_not_supported_is_named(account: Account, changes: dict[str, Any], param: str, said: str) -> None:
    body = {"model": "gpt-4", "input": "Hello.", **changes}
    headers = {"Authorization": f"Bearer {account.live_key}"}
    answer = httpx.post(f"{account.stack.url}/v1/responses", json=body, headers=headers, timeout=40, trust_env=False)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["param"] == param and said in error["message"] and param in error["message"], error
    contract.check("POST", "/v1/responses", answer)


def test_what_changes_nothing_is_listed(account: Account) -> None:
    with client(account) as sdk:
        made = sdk.responses.create(
            model="gpt-4", input="Hello.", include=["file_search_call.results"], truncation="auto", user="ada"
        )
    job = account.live.get(f"/jobs/{made.id.replace('resp_', 'job_')}").json()
    assert {"include", "truncation"} <= set(job["ignored"]) and made.truncation == "auto"


def test_other_accounts_and_modes_see_none_of_it(account: Account) -> None:
    other = account.stack.account()
    with client(account) as sdk:
        made = sdk.responses.create(model="gpt-4", input="Hello.", background=True)
    for key in (account.test_key, other.live_key):
        with client(account, key) as sdk:
            with pytest.raises(openai.NotFoundError):
                sdk.responses.retrieve(made.id)
            with pytest.raises(openai.NotFoundError):
                sdk.responses.retrieve(made.id, stream=True)
            with pytest.raises(openai.NotFoundError):
                sdk.responses.cancel(made.id)
    other.close()


def test_an_idempotency_key_buys_once_in_the_background_too(account: Account) -> None:
    with client(account) as sdk:
        body: Any = {"model": "gpt-4", "input": "Hello.", "background": True}
        ids = {sdk.responses.create(**body, extra_headers={"Idempotency-Key": "one"}).id for _ in range(2)}
    assert len(ids) == 1 and len(account.live.get("/jobs").json()["data"]) == 1


def test_a_stream_that_breaks_off_ends_with_a_failed_response(account: Account) -> None:
    fault = {"contains": "break off", "fault": {"kind": "error_mid_stream", "tokens": 4}}
    with account.stack.script(fault), client(account) as sdk:
        asked = f"break off {LONG}"
        found = list(sdk.responses.create(model="gpt-4", input=asked, stream=True, background=True))
        last = found[-1]
        assert last.type == "response.failed" and last.response.error is not None
        assert [event.sequence_number for event in found] == list(range(len(found)))
        assert sdk.responses.retrieve(last.response.id).model_dump() == last.response.model_dump()


def test_routing_may_stand_beside_the_format_s_own_fields(account: Account) -> None:
    with account.stack.script({"provider": "openai", "contains": "elsewhere", "fault": {"status": 500}}):
        with client(account) as sdk:
            routing = {"routing": {"fallbacks": ["claude-3-sonnet"]}}
            made = sdk.responses.create(model="gpt-4", input="elsewhere", extra_body=routing)
    assert made.model == "claude-3-sonnet" and made.output_text


def test_a_conversation_has_the_bounds_of_a_body(account: Account) -> None:
    with client(account) as sdk:
        made = sdk.responses.create(model="gpt-4", input=STORY)
        stored = {"messages": [{"role": "user", "content": "x" * 7_000_000}] * 8}
        payload = update(m.job_payloads).where(m.job_payloads.c.job_id == made.id.replace("resp_", "job_"))
        account.stack.write(lambda connection: connection.execute(payload.values(request=json.dumps(stored))))
        with pytest.raises(openai.APIStatusError) as caught:
            sdk.responses.create(model="gpt-4", input="And then?", previous_response_id=made.id)
    assert caught.value.status_code == 413 and caught.value.param == "previous_response_id"
    assert len(account.live.get("/jobs").json()["data"]) == 1


def test_an_item_is_as_large_as_often_as_it_is_referred_to(account: Account) -> None:
    with client(account, account.test_key) as sdk:
        made = sdk.responses.create(model="gpt-4", input=[{"role": "user", "content": "x" * 2_000_000}])
        reference: Any = {"type": "item_reference", "id": f"{made.id.replace('resp_', 'msg_')}_in0"}
        assert sdk.responses.create(model="gpt-4", input=[reference] * 2).status == "completed"
        with pytest.raises(openai.APIStatusError) as caught:
            sdk.responses.create(model="gpt-4", input=[reference] * 30)
    assert caught.value.status_code == 413 and caught.value.param == "input"
