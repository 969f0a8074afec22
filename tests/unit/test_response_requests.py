"""Requests of the Responses API as native ones, and stored jobs as responses."""

from typing import Any

import pytest

from shared.dialects.messages import seals
from shared.dialects.responses import requests, turns
from shared.dialects.responses.making import begun, response
from shared.dialects.responses.requests import Before
from shared.errors import InvalidRequest
from shared.submissions import extras

CALL = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}", "status": "completed"}
WANTED = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]}
SAID = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "Yes.", "annotations": [], "logprobs": []}],
}
YES = [{"type": "output_text", "text": "Yes."}]
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "3"}


def read(body: dict[str, Any], before: Before | None = None, *, ignore_unknown: bool = False) -> dict[str, Any]:
    whole = {"model": "gpt-4", "input": "Hi", **body}
    return requests.read(whole, before, ignore_unknown=ignore_unknown).request


@pytest.mark.parametrize(
    "given, made",
    [
        ("Hi", [{"role": "user", "content": "Hi"}]),
        ([{"role": "user", "content": "Hi"}], [{"role": "user", "content": "Hi"}]),
        ([SAID], [{"role": "assistant", "content": YES}]),
        ([THOUGHT, SAID], [{"role": "assistant", "content": YES, "reasoning_content": "Hm."}]),
        ([CALL], [{"role": "assistant", "content": None, "tool_calls": [WANTED]}]),
        ([SAID, CALL], [{"role": "assistant", "content": YES, "tool_calls": [WANTED]}]),
        ([CALL, CALL], [{"role": "assistant", "content": None, "tool_calls": [WANTED, WANTED]}]),
        (
            [THOUGHT, CALL, OUTPUT],
            [
                {"role": "assistant", "content": None, "tool_calls": [WANTED], "reasoning_content": "Hm."},
                {"role": "tool", "tool_call_id": "c1", "content": "3"},
            ],
        ),
    ],
)
def test_items_become_messages(given: Any, made: list[dict[str, Any]]) -> None:
    assert [message for _, message in turns.messages(given)] == made


def test_fields_get_their_native_names() -> None:
    schema = {"type": "object", "properties": {}}
    made = read(
        {
            "instructions": "Be brief.",
            "max_output_tokens": 9,
            "reasoning": {"effort": "low", "summary": "auto"},
            "text": {
                "format": {"type": "json_schema", "name": "x", "schema": schema, "strict": True},
                "verbosity": "low",
            },
            "tools": [{"type": "function", "name": "f", "parameters": schema}],
            "tool_choice": {"type": "function", "name": "f"},
            "parallel_tool_calls": False,
        }
    )
    assert made["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert (made["max_tokens"], made["reasoning_effort"], made["verbosity"]) == (9, "low", "low")
    named = {"name": "x", "schema": schema, "strict": True}
    assert made["response_format"] == {"type": "json_schema", "json_schema": named}
    assert made["tools"] == [{"type": "function", "function": {"name": "f", "parameters": schema}}]
    assert made["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    assert made["parallel_tool_calls"] is False
    assert made[extras.KEY] == {extras.RESPONSE: {"instructions": True, "summary": "auto"}}


def test_what_says_nothing_without_tools_is_left_out() -> None:
    made = read({"tools": [], "tool_choice": "auto", "parallel_tool_calls": True, "text": {"format": {"type": "text"}}})
    assert set(made) == {"messages", extras.KEY}


def test_a_conversation_goes_before_the_input() -> None:
    before = Before("resp_1", [{"role": "user", "content": "One"}, {"role": "assistant", "content": "Two"}])
    made = read({"instructions": "New."}, before)
    assert [message["content"] for message in made["messages"]] == ["New.", "One", "Two", "Hi"]
    assert made[extras.KEY][extras.RESPONSE] == {"instructions": True, "previous_response_id": "resp_1"}


def test_faults_of_a_message_are_named_by_its_item() -> None:
    before = Before("resp_1", [{"role": "user", "content": "One"}])
    with pytest.raises(InvalidRequest) as wrong:
        read({"input": [{"role": "user", "content": "Hi"}, {"role": "nobody", "content": "Hi"}]}, before)
    assert wrong.value.param == "input[1].role" and "input[1].role" in wrong.value.message


def test_an_account_may_ignore_unknown_fields() -> None:
    with pytest.raises(InvalidRequest):
        read({"new_thing": 1})
    assert read({"new_thing": 1}, ignore_unknown=True)[extras.KEY]["new_thing"] is None
    with pytest.raises(InvalidRequest):
        read({"messages": []}, ignore_unknown=True)


def test_providers_are_not_sent_what_is_kept_of_a_response_and_it_is_not_ignored() -> None:
    kept = read({"include": ["file_search_call.results"], "truncation": "auto"})[extras.KEY]
    assert extras.taken(kept, frozenset({"cache_control"})) == {}
    assert set(extras.left(kept, frozenset())) == {"include", "truncation"}


def test_hints_of_tools_are_ignored_and_told() -> None:
    tool = {"type": "function", "name": "f", "parameters": {}, "defer_loading": True, "output_schema": None}
    made = read({"tools": [tool]})
    assert made["tools"] == [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    assert set(extras.left(made[extras.KEY], frozenset())) == {"tools[0].defer_loading"}


def row(**changes: Any) -> dict[str, Any]:
    """The row of a chat job that has just been accepted."""
    result = dict.fromkeys(
        "response error partial model service_tier prompt_tokens completion_tokens cached_tokens cache_creation_tokens "
        "cache_creation_1h_tokens reasoning_tokens charged_micros estimated".split()
    )
    job = {"id": "job_1", "status": "queued", "test": False, "created_at": 5_000_000, "finished_at": None}
    asked = {"asked_model": "gpt-4", "request": '{"messages":[{"role":"user","content":"Hi"}]}', "labels": None}
    return {**result, **job, **asked, "cancel_requested": False, **changes}


@pytest.mark.parametrize(
    "status, shown",
    [("queued", "queued"), ("running", "in_progress"), ("cancelled", "cancelled"), ("expired", "failed")],
)
def test_the_status_of_a_job_is_that_of_its_response(status: str, shown: str) -> None:
    made = response(row(status=status))
    assert (made["id"], made["status"], made["created_at"], made["output"]) == ("resp_1", shown, 5, [])
    assert (made["error"] is not None) == (shown == "failed")


def test_errors_have_openai_s_codes() -> None:
    codes = {
        '{"message":"m","type":"invalid_request","code":400}': "invalid_prompt",
        '{"message":"m","type":"upstream_error","code":502,"reason":"rate_limit_exceeded"}': "rate_limit_exceeded",
        '{"message":"m","type":"upstream_error","code":502}': "server_error",
    }
    for error, code in codes.items():
        assert response(row(status="failed", error=error))["error"] == {"code": code, "message": "m"}


def test_what_was_answered_of_a_job_that_was_cancelled_is_shown_as_incomplete() -> None:
    partial = '{"choices":[{"index":0,"message":{"role":"assistant","content":"Hel"},"finish_reason":null}]}'
    (item,) = response(row(status="cancelled", partial=partial))["output"]
    assert item["type"] == "message" and item["status"] == "incomplete"


def test_before_its_answer_a_response_looks_the_same_whenever_it_is_asked() -> None:
    later = row(status="succeeded", model="other", finished_at=9_000_000, charged_micros=3, prompt_tokens=1)
    assert begun(later) == begun(row()) and begun(later)["status"] == "in_progress"


@pytest.mark.parametrize("data", ["fusionai.é", "fusionai.\ud800", "fusionai.=", "fusionai.W10=", "fusionai.\x00"])
def test_a_seal_that_is_broken_is_passed_over(data: str) -> None:
    broken = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": data}
    assert read({"input": [broken, SAID]}) == read({"input": [SAID]})
    assert seals.unsealed(data) is None
