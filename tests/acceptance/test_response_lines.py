"""Lines of batches with the url /v1/responses, as the official SDK sends and reads them, against running processes."""

from typing import Any

import pytest
from openai import OpenAI
from openai.types.responses import Response

from tests.acceptance.stack import Account
from tests.acceptance.test_batches import CHAT, client, ended, jsonl, line, rows_of, submitted  # noqa: F401
from tests.acceptance.test_retries import refusing, retry

RESPONSES = "/v1/responses"
TOOL: Any = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}, "strict": False}


def asked(custom_id: str, **body: Any) -> dict[str, Any]:
    """A line that asks for a response."""
    whole = {"model": "gpt-4", "input": f"hello {custom_id}", "max_output_tokens": 20, **body}
    return {"custom_id": custom_id, "method": "POST", "url": RESPONSES, "body": whole}


def test_every_line_is_answered_by_a_response(client: OpenAI, account: Account) -> None:  # noqa: F811
    lines = [
        asked("a", instructions="Be brief.", metadata={"k": "v"}, reasoning={"effort": "low"}, store=True),
        asked("b", input=[{"role": "user", "content": [{"type": "input_text", "text": "b"}]}], tools=[TOOL]),
    ]
    made = submitted(client, jsonl(*lines), endpoint=RESPONSES)
    assert made.endpoint == RESPONSES
    done = ended(lambda: client.batches.retrieve(made.id))
    assert done.status == "completed" and done.request_counts.completed == 2, done.errors
    for name, row in rows_of(client, done.output_file_id).items():
        assert set(row) == {"id", "custom_id", "response", "error"} and row["error"] is None
        assert set(row["response"]) == {"status_code", "request_id", "body"} and row["response"]["status_code"] == 200
        body = row["response"]["body"]
        response = Response.model_validate(body, strict=True)
        assert response.object == "response" and response.status == "completed" and response.output_text
        assert response.id.removeprefix("resp_") == row["response"]["request_id"].removeprefix("job_")
        assert response.model_dump() == client.responses.retrieve(response.id).model_dump(), name
    body = rows_of(client, done.output_file_id)["a"]["response"]["body"]
    assert (body["instructions"], body["metadata"], body["reasoning"]["effort"]) == ("Be brief.", {"k": "v"}, "low")
    assert account.stack.violations() == []


def test_lines_of_all_kinds_mix_and_what_failed_is_sent_again(client: OpenAI, account: Account) -> None:  # noqa: F811
    with refusing(account):
        made = submitted(client, jsonl(asked("a"), asked("refuse me"), line("chat")), endpoint=None)
        done = ended(lambda: client.batches.retrieve(made.id))
    output = rows_of(client, done.output_file_id)
    assert {name: row["response"]["body"]["object"] for name, row in output.items()} == {
        "a": "response",
        "chat": "chat.completion",
    }
    bad = rows_of(client, done.error_file_id)["refuse me"]
    assert bad["response"]["status_code"] == 400 and bad["error"] is None
    assert bad["response"]["body"]["error"]["type"] == "invalid_request"
    wanted = asked("refuse me")
    assert bad["request"] == {name: wanted[name] for name in ("method", "url", "body")}
    again = retry(account, made.id).json()["id"]
    done = ended(lambda: client.batches.retrieve(again))
    merged = rows_of(client, done.output_file_id)
    assert list(merged) == ["a", "refuse me", "chat"] and done.error_file_id is None
    assert merged["refuse me"]["response"]["body"]["object"] == "response"
    assert account.stack.violations() == []


def test_what_is_wrong_is_named_by_line_and_field(client: OpenAI) -> None:  # noqa: F811
    odd = [{"type": "web_search_call"}]
    content = jsonl(
        asked("a", input=odd),
        asked("b", max_output_tokens=0),
        asked("c", background=True),
        asked("d", text={"format": {"type": "json_schema", "name": "n n", "schema": {}}}),
        line("e"),
        asked("f", model="no-such-model"),
    )
    made = submitted(client, content, endpoint=RESPONSES)
    done = ended(lambda: client.batches.retrieve(made.id))
    assert done.status == "failed"
    found = {error.line: error for error in done.errors.data}
    assert {number: error.param for number, error in found.items()} == {
        1: "body.input[0].type",
        2: "body.max_output_tokens",
        3: "body.background",
        4: "body.text.format.name",
        5: "url",
        6: "body.model",
    }
    assert "body.input[0].type" in found[1].message and "does not match the batch's endpoint" in found[5].message


@pytest.mark.parametrize("given", [{}, {"tools": [TOOL]}])
def test_a_dry_run_holds_what_the_same_chat_line_holds(account: Account, given: dict[str, Any]) -> None:
    def price(*requests: Any) -> Any:
        said = account.live.post("/batches", json={"requests": requests, "dry_run": True}).json()
        assert said["valid"], said
        return said["credits_worst_case"]

    function = {name: value for name, value in TOOL.items() if name != "type"}
    tools = {"tools": [{"type": "function", "function": function}]} if given else {}
    native = line("a", CHAT, **tools)
    assert price(native) <= price(asked("a", **given)) < 1.2 * price(native)
