"""Lines of batches with the url /v1/messages: each answered by a message, against running processes."""

from typing import Any

from anthropic.types import Message
from openai import OpenAI

from tests.acceptance.stack import Account
from tests.acceptance.test_batches import client, ended, jsonl, line, rows_of, submitted  # noqa: F401
from tests.acceptance.test_retries import refusing, retry

MESSAGES = "/v1/messages"
TOOL: Any = {"name": "look", "description": "Looks.", "input_schema": {"type": "object", "properties": {}}}


def asked(custom_id: str, **body: Any) -> dict[str, Any]:
    """A line that asks for a message."""
    said = [{"role": "user", "content": [{"type": "text", "text": f"hello {custom_id}"}]}]
    whole = {"model": "claude-haiku-4-5", "messages": said, "max_tokens": 20, **body}
    return {"custom_id": custom_id, "method": "POST", "url": MESSAGES, "body": whole}


def test_every_line_is_answered_by_a_message(client: OpenAI, account: Account) -> None:  # noqa: F811
    lines = [
        asked("a", system="Be brief.", metadata={"user_id": "u", "k": "v"}, thinking={"type": "disabled"}),
        asked("b", model="gpt-4", tools=[TOOL], tool_choice={"type": "any"}, max_tokens=900),
        asked("c", model="gemini-pro", max_tokens=900),
    ]
    made = submitted(client, jsonl(*lines), endpoint=MESSAGES)
    assert made.endpoint == MESSAGES
    done = ended(lambda: client.batches.retrieve(made.id))
    assert done.status == "completed" and done.request_counts.completed == 3, done.errors
    found = rows_of(client, done.output_file_id)
    for row in found.values():
        assert row["error"] is None and row["response"]["status_code"] == 200
        message = Message.model_validate(row["response"]["body"], strict=True)
        assert message.type == "message" and message.usage.output_tokens > 0
        job = account.live.get(f"/jobs/{row['response']['request_id']}").json()
        assert row["response"]["body"]["usage"]["credits_used"] == job["usage"]["credits_used"] > 0
    assert found["b"]["response"]["body"]["stop_reason"] == "tool_use"
    assert account.stack.violations() == []


def test_lines_of_all_kinds_mix_and_what_failed_is_sent_again(client: OpenAI, account: Account) -> None:  # noqa: F811
    with refusing(account):
        made = submitted(client, jsonl(asked("a"), asked("refuse me"), line("chat")), endpoint=None)
        done = ended(lambda: client.batches.retrieve(made.id))
    bad = rows_of(client, done.error_file_id)["refuse me"]
    assert bad["response"]["status_code"] == 400 and bad["error"] is None
    body = bad["response"]["body"]
    assert (body["type"], body["error"]["type"]) == ("error", "invalid_request_error")
    assert body["request_id"] == bad["response"]["request_id"]
    wanted = asked("refuse me")
    assert bad["request"] == {name: wanted[name] for name in ("method", "url", "body")}
    again = retry(account, made.id).json()["id"]
    done = ended(lambda: client.batches.retrieve(again))
    merged = rows_of(client, done.output_file_id)
    assert list(merged) == ["a", "refuse me", "chat"] and done.error_file_id is None
    assert merged["refuse me"]["response"]["body"]["type"] == "message"
    assert account.stack.violations() == []


def test_what_is_wrong_is_named_by_line_and_field(client: OpenAI) -> None:  # noqa: F811
    broken = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    content = jsonl(
        asked("a", max_tokens=0),
        asked("b", stream=True),
        asked("c", messages=[{"role": "user", "content": [broken]}], system="x"),
        asked("d", tools=[{"type": "web_search_20250305", "name": "web_search"}]),
        line("e"),
        asked("f", model="no-such-model"),
        asked("g", max_tokens=5000, model="claude-3-opus"),
    )
    made = submitted(client, content, endpoint=MESSAGES)
    done = ended(lambda: client.batches.retrieve(made.id))
    assert done.status == "failed"
    found = {error.line: error for error in done.errors.data}
    assert {number: error.param for number, error in found.items()} == {
        1: "body.max_tokens",
        2: "body.stream",
        3: "body.messages[0].content[0].source",
        4: "body.tools[0].type",
        5: "url",
        6: "body.model",
        7: "body.max_tokens",
    }
    assert all(error.param == "url" or error.param in error.message for error in found.values())
