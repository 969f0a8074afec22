"""Anthropic's Messages, spoken by the official SDK, unmodified, to a running stack."""

import asyncio
import base64
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

from shared.submissions.catalogue import catalogue
from tests.acceptance.stack import Account
from tests.pictures import png

HELLO: Any = [{"role": "user", "content": "Hello, world"}]


def client(account: Account, **more: Any) -> anthropic.Anthropic:
    """The official client with the account's live key."""
    return anthropic.Anthropic(**{"base_url": account.stack.url, "api_key": account.live_key, "max_retries": 0, **more})


@pytest.fixture
def claude(account: Account) -> Iterator[anthropic.Anthropic]:
    with client(account) as made:
        yield made


@pytest.mark.parametrize("model", ["claude-3-opus", "gpt-4", "gemini-pro", "deepinfra.deepseek-r1"])
def test_any_model_answers_with_a_message(account: Account, claude: anthropic.Anthropic, model: str) -> None:
    answer = claude.messages.create(model=model, max_tokens=100, messages=HELLO, system="Answer in one sentence.")
    assert answer.type == "message" and answer.role == "assistant" and answer.id.startswith("msg_")
    assert answer.stop_reason == "end_turn" and answer.stop_sequence is None
    assert answer.content[-1].type == "text" and answer.content[-1].text
    (job,) = account.live.get("/jobs").json()["data"]
    assert answer.model == job["served_by"]["model"]
    used = job["usage"]
    read, written = answer.usage.cache_read_input_tokens or 0, answer.usage.cache_creation_input_tokens or 0
    assert answer.usage.input_tokens + read + written == used["prompt_tokens"] > 0
    assert answer.usage.output_tokens == used["completion_tokens"] > 0


def test_the_async_client_too(account: Account) -> None:
    async def main() -> Any:
        async with anthropic.AsyncAnthropic(base_url=account.stack.url, api_key=account.live_key) as made:
            return await made.messages.create(model="claude-3-opus", max_tokens=100, messages=HELLO)

    assert asyncio.run(main()).content[-1].text


@pytest.mark.parametrize("model", ["claude-3-opus", "gpt-4", "gemini-pro", "deepinfra.deepseek-r1"])
def test_a_stream_adds_up_to_the_whole_answer(claude: anthropic.Anthropic, model: str) -> None:
    asked: Any = {
        "model": model,
        "max_tokens": 100,
        "messages": HELLO,
        "system": [{"type": "text", "text": "Be brief."}],
    }
    whole = claude.messages.create(**asked)
    with claude.messages.stream(**asked) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_message()
    assert final.to_dict()["content"] == whole.to_dict()["content"]
    assert (final.stop_reason, final.model, final.id[:4]) == ("end_turn", whole.model, "msg_")
    assert final.usage.output_tokens == whole.usage.output_tokens
    assert final.usage.input_tokens == whole.usage.input_tokens > 0
    assert kinds[0] == "message_start" and kinds[-1] == "message_stop"
    assert kinds.count("content_block_start") == kinds.count("content_block_stop") == len(final.content)


def test_raw_events_and_the_async_stream(account: Account, claude: anthropic.Anthropic) -> None:
    asked: Any = {"model": "gpt-4", "max_tokens": 100, "messages": HELLO}
    raw = [event.type for event in claude.messages.create(**asked, stream=True)]
    once = [kind for at, kind in enumerate(raw) if at == 0 or raw[at - 1] != kind]
    assert once == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]

    async def main() -> Any:
        async with anthropic.AsyncAnthropic(base_url=account.stack.url, auth_token=account.live_key) as made:
            async with made.messages.stream(**asked) as stream:
                return await stream.get_final_message()

    assert asyncio.run(main()).content[0].text


WEATHER: Any = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
ASKING: Any = [{"role": "user", "content": "Please use get_weather for Paris"}]


@pytest.mark.parametrize("model", ["claude-3-opus", "gpt-4", "gemini-pro"])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_tool_is_called_and_its_result_read(claude: anthropic.Anthropic, model: str, streamed: bool) -> None:
    asked: Any = {"model": model, "max_tokens": 2000, "tools": [WEATHER], "messages": ASKING}
    called = said(claude, streamed, **asked)
    block = called.content[-1]
    assert called.stop_reason == "tool_use" and block.type == "tool_use" and block.name == "get_weather"
    assert block.input == {"city": "simulated city"}
    result: Any = {"type": "tool_result", "tool_use_id": block.id, "content": [{"type": "text", "text": "sunny"}]}
    asked["messages"] = [
        *ASKING,
        {"role": "assistant", "content": called.content},
        {"role": "user", "content": [result]},
    ]
    final = said(claude, streamed, **asked)
    assert final.stop_reason == "end_turn" and final.content[-1].type == "text"


def said(claude: anthropic.Anthropic, streamed: bool, **asked: Any) -> anthropic.types.Message:
    """The message, whole or put together of its events."""
    if not streamed:
        return claude.messages.create(**asked)
    with claude.messages.stream(**asked) as stream:
        return stream.get_final_message()


@pytest.mark.parametrize("streamed", [False, True])
def test_thoughts_come_signed_and_go_back(account: Account, claude: anthropic.Anthropic, streamed: bool) -> None:
    asked: Any = {
        "model": "claude-haiku-4-5",
        "max_tokens": 3000,
        "messages": HELLO,
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    }
    first = said(claude, streamed, **asked)
    assert [block.type for block in first.content] == ["thinking", "text"]
    thought = first.content[0]
    assert thought.type == "thinking" and thought.thinking and thought.signature
    details = first.usage.output_tokens_details
    assert details is not None and 0 < details.thinking_tokens < first.usage.output_tokens
    more: Any = [*HELLO, {"role": "assistant", "content": first.content}, {"role": "user", "content": "And then?"}]
    assert said(claude, streamed, **{**asked, "messages": more}).stop_reason == "end_turn"
    forged: Any = {"type": "thinking", "thinking": "Something else.", "signature": "EqsB"}
    more[1] = {"role": "assistant", "content": [forged, first.content[1]]}
    assert claude.messages.create(**{**asked, "messages": more}).stop_reason == "end_turn"
    first_job, *others = account.live.get("/jobs").json()["data"]
    assert any("thinking_blocks" in path for path in first_job["ignored"]), "a forged thought is left out, and told"
    assert not any(job.get("ignored") for job in others), "those that are not were sent"


@pytest.mark.parametrize("streamed", [False, True])
def test_a_secret_thought_goes_back_too(claude: anthropic.Anthropic, streamed: bool) -> None:
    magic = "ANTHROPIC_MAGIC_STRING_TRIGGER_REDACTED_THINKING"
    asked: Any = {
        "model": "claude-haiku-4-5",
        "max_tokens": 3000,
        "messages": [{"role": "user", "content": magic}],
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    }
    first = said(claude, streamed, **asked)
    assert [block.type for block in first.content] == ["redacted_thinking", "text"]
    asked["messages"] += [{"role": "assistant", "content": first.content}, {"role": "user", "content": "And then?"}]
    assert said(claude, streamed, **asked).stop_reason == "end_turn"


def test_where_it_stopped_is_told(claude: anthropic.Anthropic) -> None:
    for streamed in (False, True):
        asked: Any = {"model": "claude-haiku-4-5", "messages": ASKING}
        short = said(claude, streamed, **asked, max_tokens=2)
        assert (short.stop_reason, short.usage.output_tokens) == ("max_tokens", 2)
        stopped = said(claude, streamed, **asked, max_tokens=99, stop_sequences=["never", "to:"])
        assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", "to:")
        magic = "ANTHROPIC_MAGIC_STRING_TRIGGER_REFUSAL"
        declined = said(claude, streamed, **{**asked, "messages": [{"role": "user", "content": magic}]}, max_tokens=99)
        assert declined.stop_reason == "refusal" and declined.stop_details is not None
        assert declined.stop_details.type == "refusal" and declined.stop_details.explanation


@pytest.mark.parametrize("model", ["claude-3-opus", "gpt-4", "gemini-pro"])
def test_images_are_seen_in_turns_and_in_results(claude: anthropic.Anthropic, model: str) -> None:
    data = base64.b64encode(png()).decode()
    shown: Any = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}
    linked: Any = {"type": "image", "source": LINK}
    turn: Any = {"role": "user", "content": [{"type": "text", "text": "What is this?"}, shown, linked]}
    answer = claude.messages.create(model=model, max_tokens=200, messages=[turn])
    assert answer.stop_reason == "end_turn"
    call: Any = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}}
    result: Any = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [shown], "is_error": True}
    turns: Any = [*ASKING, {"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    answer = claude.messages.create(model=model, max_tokens=200, messages=turns, tools=[WEATHER])
    assert answer.stop_reason == "end_turn"


def test_the_cache_is_accounted_for_to_the_micro_credit(account: Account, claude: anthropic.Anthropic) -> None:
    """The three counts of input exclude each other; the charge is theirs at their prices, rounded up once."""
    texts = [f"{account.id} {word} " + "Know this well. " * 500 for word in ("first", "second")]
    system: Any = [
        {"type": "text", "text": texts[0], "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {"type": "text", "text": texts[1], "cache_control": {"type": "ephemeral"}},
    ]
    asked: Any = {"model": "claude-haiku-4-5", "max_tokens": 50, "messages": HELLO, "system": system}
    written = claude.messages.create(**asked).usage
    read = said(claude, True, **asked).usage
    assert written.cache_creation is not None and written.cache_read_input_tokens == 0
    hour, minutes = written.cache_creation.ephemeral_1h_input_tokens, written.cache_creation.ephemeral_5m_input_tokens
    assert hour > 1024 and minutes > 1024 and written.cache_creation_input_tokens == hour + minutes
    assert read.cache_read_input_tokens == hour + minutes and read.cache_creation_input_tokens == 0
    assert read.input_tokens == written.input_tokens < 100
    row = catalogue().models["claude-haiku-4-5"]
    second, first = account.live.get("/jobs").json()["data"]
    costs = [
        (first, written, hour * (row.cache_write_1h or 0) + minutes * (row.cache_write or 0)),
        (second, read, (hour + minutes) * (row.cached_input or 0)),
    ]
    for job, used, of_cache in costs:
        micros = used.input_tokens * (row.input or 0) + used.output_tokens * (row.output or 0) + of_cache
        assert round(job["usage"]["credits_used"] * 1_000_000) == -(-micros // 1_000_000)
    assert written.to_dict()["credits_used"] == first["usage"]["credits_used"]


def test_tokens_are_counted_about(account: Account, claude: anthropic.Anthropic) -> None:
    asked: Any = {"model": "claude-3-opus", "messages": HELLO, "system": "Be brief. " * 100, "tools": [WEATHER]}
    counted = claude.messages.count_tokens(**asked).input_tokens
    used = claude.messages.create(**asked, max_tokens=50).usage.input_tokens
    assert used / 2 < counted < used * 2
    assert claude.beta.messages.count_tokens(**asked, betas=["token-counting-2024-11-01"]).input_tokens == counted
    for wrong in ({"model": "nothing"}, {"messages": []}, {"max_tokens": 5}):
        with pytest.raises(anthropic.BadRequestError):
            claude.messages.count_tokens(**asked, extra_body=wrong)
    with client(account, api_key="wrong") as stranger, pytest.raises(anthropic.AuthenticationError):
        stranger.messages.count_tokens(**asked)
    assert len(account.live.get("/jobs").json()["data"]) == 1, "to count makes no job"


def test_errors_are_of_its_kinds(account: Account, claude: anthropic.Anthropic) -> None:
    asked: Any = {"model": "claude-3-opus", "max_tokens": 50, "messages": HELLO}
    bad = refusal(claude, anthropic.BadRequestError, **{**asked, "max_tokens": 5000})
    assert bad.type == "invalid_request_error" and bad.request_id and bad.request_id.startswith("req_")
    assert bad.body == {"type": "error", "error": bad.body["error"], "request_id": bad.request_id}  # type: ignore[index,call-overload]
    with client(account, api_key="wrong") as stranger:
        assert refusal(stranger, anthropic.AuthenticationError, **asked).type == "authentication_error"
    with client(account.stack.account(credits=0)) as poor:
        assert refusal(poor, anthropic.PaymentRequiredError, **asked).type == "billing_error"
    with client(account, default_headers={"x-api-key": "x"}) as twice:
        assert "more than one authentication header" in refusal(twice, anthropic.BadRequestError, **asked).message
    with client(account, default_headers={"anthropic-version": ""}) as unversioned:
        assert "anthropic-version" in refusal(unversioned, anthropic.BadRequestError, **asked).message
    with pytest.raises(anthropic.NotFoundError) as missing:
        claude.messages.batches.retrieve("msgbatch_1")
    assert missing.value.type == "not_found_error"
    limited = account.stack.account(plan="starter")
    with client(limited) as hurried, pytest.raises(anthropic.RateLimitError) as late:
        for _ in range(101):
            refusal(hurried, anthropic.BadRequestError, **{**asked, "max_tokens": 5000})
    headers = late.value.response.headers
    assert late.value.type == "rate_limit_error" and int(headers["retry-after"]) > 0
    assert headers["anthropic-ratelimit-requests-limit"] == "100"
    assert headers["anthropic-ratelimit-requests-remaining"] == "0"
    assert headers["anthropic-ratelimit-requests-reset"].endswith("Z")


def refusal(
    claude: anthropic.Anthropic, kind: type[anthropic.APIStatusError], **asked: Any
) -> anthropic.APIStatusError:
    """The error of a call that is refused."""
    with pytest.raises(kind) as found:
        claude.messages.create(**asked)
    return found.value


def test_a_provider_that_fails_and_a_stream_that_breaks(account: Account, claude: anthropic.Anthropic) -> None:
    words = f"break {account.id}"
    asked: Any = {"model": "claude-haiku-4-5", "max_tokens": 50, "messages": [{"role": "user", "content": words}]}
    with account.stack.script({"contains": words, "fault": {"status": 500}}):
        assert refusal(claude, anthropic.InternalServerError, **asked).type == "api_error"
        with pytest.raises(anthropic.InternalServerError):
            said(claude, True, **asked)
    with account.stack.script({"contains": words, "fault": {"kind": "error_mid_stream", "tokens": 3}}):
        with pytest.raises(anthropic.APIStatusError) as broken:
            said(claude, True, **asked)
        assert broken.value.type == "api_error"


LINK: Any = {"type": "url", "url": "https://pictures.example/cat.png"}
LINKED: Any = {"type": "image", "source": LINK}

SHOWN: Any = [{"role": "user", "content": [LINKED]}]
BROKEN: Any = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": [{"type": "sound"}]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "nobody", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "assistant", "content": [LINKED]}]}, "messages[0].content[0].type"),
        ({"tools": [{"name": "a b", "input_schema": {}}]}, "tools[0].name"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
        ({"tools": [WEATHER], "tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"thinking": {"type": "enabled", "budget_tokens": 5}}, "thinking.budget_tokens"),
        ({"system": [{"type": "image"}]}, "system[0].type"),
        ({"metadata": {"user_id": 5}}, "metadata.user_id"),
        ({"messages": [{"role": "user", "content": [BROKEN]}], "system": "x"}, "messages[0].content[0].source"),
        ({"messages": SHOWN, "system": "x", "model": "deepinfra.deepseek-r1"}, "messages[0].content[0].source"),
        ({"n": 2}, "n"),
        ({"nothing_known": 1}, "nothing_known"),
        ({"temperature": 1.5}, "temperature"),
        ({"stop_sequences": "x"}, "stop_sequences"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_as_it_was_sent(claude: anthropic.Anthropic, change: dict[str, Any], where: str) -> None:
    asked: Any = {"model": "gpt-4", "max_tokens": 50, "messages": HELLO}
    found: Any = refusal(claude, anthropic.BadRequestError, **asked, extra_body=change).body
    assert found["error"]["param"] == where, found


def test_an_idempotency_key_and_a_retry_buy_once(account: Account, claude: anthropic.Anthropic) -> None:
    asked: Any = {"model": "claude-haiku-4-5", "max_tokens": 50, "messages": HELLO}
    first, again = [claude.messages.create(**asked, extra_headers={"Idempotency-Key": "one"}) for _ in range(2)]
    assert first.to_dict() == again.to_dict()
    with pytest.raises(anthropic.UnprocessableEntityError):
        claude.messages.create(**{**asked, "max_tokens": 51}, extra_headers={"Idempotency-Key": "one"})
    assert len(account.live.get("/jobs").json()["data"]) == 1
