"""The simulator answers Anthropic's own client."""

from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import pytest
from anthropic._exceptions import OverloadedError

from workers.simulator.server import simulator

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 2}},
    "required": ["city"],
}
HELLO: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello there, how are you?"}]
ASKING: Any = [{"role": "user", "content": "Please use get_weather for Paris"}]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with simulator() as base:
        yield base


@pytest.fixture(scope="module")
def claude(url: str) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=f"{url}/anthropic", api_key="key", max_retries=0) as client:
        yield client


def script(url: str, *rules: dict[str, Any]) -> None:
    httpx.post(f"{url}/_simulator/script", json={"rules": list(rules)}).raise_for_status()


@pytest.fixture(autouse=True)
def clean(url: str) -> Iterator[None]:
    yield
    httpx.delete(f"{url}/_simulator/script")


def test_claude_answers_and_streams_the_same(claude: anthropic.Anthropic) -> None:
    asked: Any = {"model": "claude-x", "max_tokens": 100, "messages": HELLO[1:], "system": "Be brief."}
    whole = claude.messages.create(**asked)
    assert whole.content[0].type == "text" and "Hello there" in whole.content[0].text
    assert whole.stop_reason == "end_turn" and whole.usage.output_tokens <= 100
    with claude.messages.stream(**asked) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_message()
    assert final.content[0].type == "text" and final.content[0].text == whole.content[0].text
    assert final.usage.output_tokens == whole.usage.output_tokens
    assert kinds[:2] == ["message_start", "content_block_start"] and kinds[-1] == "message_stop"


def test_claude_limits_and_stops(claude: anthropic.Anthropic) -> None:
    short = claude.messages.create(model="c", max_tokens=2, messages=ASKING)
    assert (short.stop_reason, short.usage.output_tokens) == ("max_tokens", 2)
    stopped = claude.messages.create(model="c", max_tokens=99, messages=ASKING, stop_sequences=["to:"])
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", "to:")
    assert claude.messages.count_tokens(model="c", messages=ASKING).input_tokens == short.usage.input_tokens


def test_claude_uses_tools(claude: anthropic.Anthropic) -> None:
    tools: Any = [{"name": "get_weather", "input_schema": WEATHER}]
    called = claude.messages.create(model="c", max_tokens=99, messages=ASKING, tools=tools)
    block = called.content[0]
    assert called.stop_reason == "tool_use" and block.type == "tool_use"
    assert block.input == {"city": "simulated city", "days": 2}
    with claude.messages.stream(model="c", max_tokens=99, messages=ASKING, tools=tools) as stream:
        streamed = stream.get_final_message().content[0]
    assert streamed.type == "tool_use" and streamed.input == block.input
    history: Any = [
        *ASKING,
        {"role": "assistant", "content": [block.model_dump(include={"type", "id", "name", "input"})]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": block.id, "content": "sunny"}]},
    ]
    final = claude.messages.create(model="c", max_tokens=99, messages=history, tools=tools)
    assert final.stop_reason == "end_turn"
    with pytest.raises(anthropic.BadRequestError):
        claude.messages.create(model="c", max_tokens=99, messages=[history[0], history[2]], tools=tools)


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (529, "overloaded_error", OverloadedError),
        (429, "", anthropic.RateLimitError),
        (401, "", anthropic.AuthenticationError),
        (400, "", anthropic.BadRequestError),
    ],
)
def test_claude_errors(
    claude: anthropic.Anthropic, url: str, status: int, code: str, error: type[anthropic.APIStatusError]
) -> None:
    script(url, {"provider": "anthropic", "fault": {"status": status, "code": code}})
    with pytest.raises(error) as found:
        claude.messages.create(model="c", max_tokens=9, messages=ASKING)
    body: Any = found.value.body
    assert body["type"] == "error" and body["error"]["type"].endswith("_error")


def test_claude_takes_its_key_in_either_header(url: str) -> None:
    body = {"model": "c", "max_tokens": 9, "messages": ASKING}
    for key in ({"x-api-key": "k"}, {"authorization": "Bearer k"}):
        headers = {"anthropic-version": "2023-06-01", **key}
        assert httpx.post(f"{url}/anthropic/v1/messages", json=body, headers=headers).status_code == 200


def test_claude_needs_its_headers(url: str) -> None:
    body = {"model": "c", "max_tokens": 9, "messages": ASKING}
    bare = httpx.post(f"{url}/anthropic/v1/messages", json=body)
    assert (bare.status_code, bare.json()["error"]["type"]) == (401, "authentication_error")
    unversioned = httpx.post(f"{url}/anthropic/v1/messages", json=body, headers={"x-api-key": "k"})
    assert (unversioned.status_code, unversioned.json()["error"]["type"]) == (400, "invalid_request_error")


THINKING: Any = {"type": "enabled", "budget_tokens": 1024}


def test_claude_thinks_and_gets_its_thoughts_back(claude: anthropic.Anthropic) -> None:
    asked: Any = {"model": "claude-haiku-4-5", "max_tokens": 2000, "messages": ASKING, "thinking": THINKING}
    whole = claude.messages.create(**asked)
    assert [block.type for block in whole.content] == ["thinking", "text"]
    details = whole.usage.output_tokens_details
    assert details is not None and 0 < details.thinking_tokens < whole.usage.output_tokens
    with claude.messages.stream(**asked) as stream:
        final = stream.get_final_message()
    assert final.to_dict()["content"] == whole.to_dict()["content"]
    assert final.usage.output_tokens == whole.usage.output_tokens
    more: Any = [*ASKING, {"role": "assistant", "content": whole.content}, {"role": "user", "content": "And then?"}]
    assert claude.messages.create(**{**asked, "messages": more}).stop_reason == "end_turn"
    forged: Any = {"type": "thinking", "thinking": "Something else.", "signature": "EqsB"}
    more[1] = {"role": "assistant", "content": [forged, whole.content[1]]}
    with pytest.raises(anthropic.BadRequestError, match="Invalid `signature`"):
        claude.messages.create(**{**asked, "messages": more})


def test_newer_models_think_unasked_and_keep_it_to_themselves(claude: anthropic.Anthropic) -> None:
    asked: Any = {"model": "claude-opus-5-5", "max_tokens": 2000, "messages": ASKING}
    silent = claude.messages.create(**asked).content[0]
    assert silent.type == "thinking" and silent.thinking == "" and silent.signature
    shown = claude.messages.create(**asked, thinking={"type": "adaptive", "display": "summarized"}).content[0]
    assert shown.type == "thinking" and shown.thinking


def test_claude_says_what_it_read_from_the_cache_and_wrote_into_it(claude: anthropic.Anthropic) -> None:
    hour: Any = {"type": "ephemeral", "ttl": "1h"}
    system: Any = [{"type": "text", "text": "A long rule. " * 800, "cache_control": hour}]
    turn: Any = [{"type": "text", "text": "A long question. " * 800, "cache_control": {"type": "ephemeral"}}]
    asked: Any = {
        "model": "claude-haiku-4-5",
        "max_tokens": 9,
        "system": system,
        "messages": [{"role": "user", "content": turn}],
    }
    first, again = (claude.messages.create(**asked).usage for _ in range(2))
    made = first.cache_creation
    assert made is not None and made.ephemeral_1h_input_tokens > 2000 and made.ephemeral_5m_input_tokens > 2000
    both = made.ephemeral_1h_input_tokens + made.ephemeral_5m_input_tokens
    assert (first.cache_creation_input_tokens, first.cache_read_input_tokens) == (both, 0)
    assert (again.cache_creation_input_tokens, again.cache_read_input_tokens) == (0, both)
    assert first.input_tokens == again.input_tokens
    assert claude.messages.count_tokens(**{k: v for k, v in asked.items() if k != "max_tokens"}).input_tokens == (
        first.input_tokens + both
    )


def test_claude_declines_by_its_own_magic_words(claude: anthropic.Anthropic) -> None:
    declined = claude.messages.create(
        model="claude-haiku-4-5",
        max_tokens=99,
        messages=[
            {"role": "user", "content": "ANTHROPIC_MAGIC_STRING_TRIGGER_REFUSAL_1FAEFB6177B4672DEE07F9D3AFC62588"}
        ],
    )
    assert declined.stop_reason == "refusal" and declined.stop_details is not None
    assert declined.stop_details.explanation


def _user(*blocks: Any) -> Any:
    return {"role": "user", "content": list(blocks)}


CALL: Any = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
TOOLS: Any = [{"name": "f", "input_schema": {"type": "object"}}]
MARKED: Any = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}
HI: Any = {"role": "user", "content": "hi"}
OPEN: Any = {"type": "json_schema", "schema": {"type": "object", "properties": {}}}


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"messages": []}, "at least one message is required"),
        ({"messages": [_user({"type": "text", "text": ""})]}, "must be non-empty"),
        ({"messages": [_user({"type": "text", "text": " "})]}, "must contain non-whitespace"),
        ({"messages": [{"role": "user", "content": ""}]}, "non-empty content"),
        ({"messages": [{**HI, "name": "bob"}]}, r"messages\.0\.name: Extra inputs are not permitted"),
        ({"extra_body": {"seed": 7}}, "seed: Extra inputs are not permitted"),
        ({"messages": [_user(*[MARKED] * 5)]}, "maximum of 4 blocks with cache_control may be provided. Found 5"),
        ({"messages": [HI, {"role": "assistant", "content": [CALL]}, HI], "tools": TOOLS}, "ids were found without"),
        ({"messages": [HI, {"role": "assistant", "content": "So "}]}, "cannot end with trailing whitespace"),
        ({"extra_body": {"temperature": 1.5}}, "range: 0..1"),
        ({"extra_body": {"temperature": 0.5, "top_p": 0.9}}, "cannot both be specified"),
        ({"extra_body": {"temperature": 0.5}, "thinking": THINKING}, "only be set to 1 when thinking is enabled"),
        ({"thinking": {"type": "enabled", "budget_tokens": 9}}, "greater than or equal to 1024"),
        ({"thinking": THINKING, "max_tokens": 1024}, "must be greater than `thinking.budget_tokens`"),
        ({"thinking": THINKING, "tools": TOOLS, "tool_choice": {"type": "any"}}, "forces tool use"),
        ({"thinking": THINKING, "model": "claude-opus-5-5"}, "is not supported for this model"),
        ({"extra_body": {"temperature": 0.5}, "model": "claude-opus-5-5"}, "is deprecated for this model"),
        ({"tools": TOOLS, "tool_choice": {"type": "any"}, "model": "claude-sonnet-5-5"}, "is not supported"),
        ({"messages": [HI, {"role": "assistant", "content": "So"}], "model": "claude-opus-5"}, "prefill"),
        ({"tools": [{"name": "f", "input_schema": {}}]}, "input_schema.type: Field required"),
        ({"output_config": {"format": OPEN}}, "must be explicitly set to false"),
        ({"stop_sequences": [" "]}, "non-whitespace"),
        ({"metadata": {"user_id": "x" * 257}}, "at most 256 characters"),
        ({"service_tier": "flex"}, "Input should be 'auto' or 'standard_only'"),
    ],
)
def test_claude_is_as_strict_as_the_real_one(claude: anthropic.Anthropic, given: Any, why: str) -> None:
    usual: Any = {"model": "claude-haiku-4-5", "max_tokens": 2000, "messages": [HI]}
    with pytest.raises(anthropic.BadRequestError, match=why) as error:
        claude.messages.create(**{**usual, **given})
    body: Any = error.value.body
    assert body["error"]["type"] == "invalid_request_error"
