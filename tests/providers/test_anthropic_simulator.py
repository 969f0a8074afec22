"""The Anthropic adapter against the simulator over real HTTP: streamed or not, tools, thoughts, the cache, faults."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from shared.errors import ProviderError
from tests.pictures import data_url, png
from tests.providers.claude import answer, call, user
from tests.providers.heard import Heard
from workers.simulator.anthropic import MAGIC_REDACTED, MAGIC_REFUSAL
from workers.simulator.server import simulator
from workers.upstream.faults import classify

HELLO = {"messages": [{"role": "system", "content": "Be brief."}, user("Hello there, how are you?")]}
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
ASKING = [user("Please use get_weather for Paris")]


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    with simulator() as base:
        yield base


@pytest.fixture
def url(base: str) -> Iterator[str]:
    yield f"{base}/anthropic/v1"
    httpx.delete(f"{base}/_simulator/script")


def script(base: str, **fault: Any) -> None:
    rule = {"provider": "anthropic", "fault": fault}
    httpx.post(f"{base}/_simulator/script", json={"rules": [rule]}).raise_for_status()


def message(url: str, body: dict[str, Any], **given: Any) -> dict[str, Any]:
    """The message that is answered, the same streamed and whole."""
    sink = Heard()
    whole, streamed = answer(url, call(body, **given)), answer(url, call(body, sink=sink, **given))
    assert streamed.body["choices"] == whole.body["choices"]
    assert whole.ignored == []
    found: dict[str, Any] = whole.body["choices"][0]["message"]
    shown = sink.sent.choices()[0]
    assert shown["finish_reason"] == whole.body["choices"][0]["finish_reason"]
    for name in ("content", "reasoning_content", "tool_calls", "refusal"):
        assert shown["message"].get(name) == found.get(name)
    return found


def test_a_text_is_answered_whole(url: str) -> None:
    found = answer(url, call(HELLO))
    choice = found.body["choices"][0]
    assert "Hello there" in choice["message"]["content"]
    assert choice["finish_reason"] == "stop"
    assert found.usage.prompt_tokens > 0 and found.usage.completion_tokens > 0 and not found.usage.estimated
    assert found.ignored == []


def test_a_stream_adds_up_to_the_whole(url: str) -> None:
    sink = Heard()
    found, whole = answer(url, call(HELLO, sink=sink)), answer(url, call(HELLO))
    assert found.body["choices"] == whole.body["choices"]
    assert found.usage == whole.usage
    assert "".join(sink.all_of("content")) == whole.body["choices"][0]["message"]["content"]
    assert [part["finish_reason"] for part in sink.parts][-2:] == [None, "stop"]


def test_a_tool_loop_with_thoughts_that_go_back(url: str) -> None:
    asked: dict[str, Any] = {"messages": ASKING, "tools": [TOOL], "reasoning_effort": "low"}
    calling = message(url, asked)
    assert calling["tool_calls"][0]["function"] == {"name": "get_weather", "arguments": '{"city":"simulated city"}'}
    assert calling["reasoning_content"] and calling["thinking_blocks"][0]["signature"]
    result = {"role": "tool", "tool_call_id": calling["tool_calls"][0]["id"], "content": "sunny"}
    assert message(url, {**asked, "messages": [*ASKING, calling, result]})["content"]
    forged = {**calling, "thinking_blocks": [{"type": "thinking", "thinking": "Hm.", "signature": "EqsB"}]}
    with pytest.raises(ProviderError, match="Invalid `signature`") as error:
        answer(url, call({**asked, "messages": [*ASKING, forged, result]}))
    assert classify(error.value) == "callers"


@pytest.mark.parametrize("upstream", ["claude-opus-5", "claude-opus-5-5"])
def test_a_newer_model_thinks_unasked_and_what_it_signed_goes_back(url: str, upstream: str) -> None:
    said = message(url, {"messages": ASKING}, upstream=upstream)
    assert "reasoning_content" not in said and said["thinking_blocks"][0]["thinking"] == ""
    assert message(url, {"messages": [*ASKING, said, user("And?")]}, upstream=upstream)["content"]
    shown = message(url, {"messages": ASKING, "reasoning_effort": "high"}, upstream=upstream)
    assert shown["reasoning_content"]


def test_thoughts_in_secret_go_back(url: str) -> None:
    asked = {"messages": [user(MAGIC_REDACTED)], "reasoning_effort": "low"}
    said = message(url, asked)
    assert said["thinking_blocks"][0]["type"] == "redacted_thinking" and "reasoning_content" not in said
    assert message(url, {**asked, "messages": [*asked["messages"], said, user("And?")]})["content"]


def test_what_is_declined_says_so(url: str) -> None:
    said = message(url, {"messages": [user(MAGIC_REFUSAL)]})
    assert said["refusal"] and said["content"] is None


def test_the_cache_is_part_of_the_prompt(url: str) -> None:
    mark = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    system = {"role": "system", "content": [{"type": "text", "text": "A rule for the cache. " * 400, **mark}]}
    body = {"messages": [system, user("Hello there.")]}
    first, again = (answer(url, call(body)).usage for _ in range(2))
    assert first.prompt_tokens == again.prompt_tokens > 2000
    assert first.cache_creation_1h_tokens == first.cache_creation_tokens == again.cached_tokens
    assert first.cached_tokens == again.cache_creation_tokens == again.cache_creation_1h_tokens == 0


#: One request with everything that the simulator checks.
EVERYTHING = {
    "messages": [
        {"role": "developer", "content": "Be brief.", "cache_control": {"type": "ephemeral"}},
        user("One."),
        user({"type": "text", "text": " "}, {"type": "image_url", "image_url": {"url": data_url(png())}}),
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {"id": "call:1", "type": "function", "function": {"name": "get_weather", "arguments": "{"}},
            ],
        },
        user("Two."),
        {"role": "tool", "tool_call_id": "call:1", "content": [{"type": "text", "text": "no"}], "is_error": True},
        {"role": "system", "content": "Also be kind."},
    ],
    "tools": [{**TOOL, "cache_control": {"type": "ephemeral"}}, {"type": "function", "function": {"name": "now"}}],
    "tool_choice": "auto",
    "parallel_tool_calls": False,
    "stop": ["END", "\n"],
    "temperature": 1.9,
    "top_k": 40,
    "safety_identifier": "s-1",
    "service_tier": "default",
}


@pytest.mark.parametrize("upstream", ["claude-3-opus-20240229", "claude-haiku-4-5", "claude-opus-5", "claude-opus-5-5"])
@pytest.mark.parametrize("effort", [None, "none", "low", "high"])
@pytest.mark.parametrize("choice", ["auto", "none", "required"])
def test_whatever_is_asked_is_asked_so_that_the_provider_takes_it(
    url: str, upstream: str, effort: str | None, choice: str
) -> None:
    body = {**EVERYTHING, "tool_choice": choice, **({"reasoning_effort": effort} if effort else {})}
    assert answer(url, call(body, upstream=upstream)).body["choices"]


def test_a_schema_is_answered_by_json(url: str) -> None:
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    assert message(url, {"messages": [user("Who?")], "response_format": form})["content"].startswith('{"name":')


def test_several_choices_are_one(url: str) -> None:
    found = answer(url, call({**HELLO, "n": 3}))
    assert len(found.body["choices"]) == 1 and found.ignored == ["n"]


#: (what the script orders, the kind of fault it is)
FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"status": 400, "message": "messages: at least one message is required"}, "callers"),
    ({"status": 400, "message": "Your credit balance is too low to access the Anthropic API."}, "quota"),
    ({"status": 401}, "key"),
    ({"status": 402}, "quota"),
    ({"status": 403}, "key"),
    ({"status": 404}, "missing"),
    ({"status": 413}, "too_long"),
    ({"status": 429, "retry_after": 7}, "rate"),
    ({"status": 500}, "broken"),
    ({"status": 503}, "overload"),
    ({"status": 529}, "overload"),
    ({"kind": "html", "status": 502}, "unreachable"),
    ({"kind": "context_length", "window": 1}, "too_long"),
    ({"kind": "content_filter"}, "content_filter"),
    ({"kind": "error_in_200", "status": 529}, "overload"),
    ({"kind": "malformed_json"}, "broken"),
    ({"kind": "reset"}, "unreachable"),
    ({"kind": "reset_mid_body"}, "broken"),
    ({"kind": "wrong_content_length"}, "broken"),
]


@pytest.mark.parametrize(("fault", "kind"), FAULTS)
def test_faults_before_or_within_a_whole_answer(base: str, url: str, fault: dict[str, Any], kind: str) -> None:
    script(base, **fault)
    with pytest.raises(ProviderError) as error:
        answer(url, call(HELLO))
    assert classify(error.value) == kind
    assert error.value.wait_seconds == fault.get("retry_after")


#: The same of a stream, after some of it.
STREAM_FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"status": 529}, "overload"),
    ({"kind": "error_in_200", "status": 529}, "overload"),
    ({"kind": "error_mid_stream", "status": 529, "tokens": 2}, "overload"),
    ({"kind": "error_mid_stream", "status": 500, "tokens": 2}, "broken"),
    ({"kind": "truncated_stream", "tokens": 2}, "broken"),
    ({"kind": "malformed_json", "tokens": 2}, "broken"),
    ({"kind": "reset_mid_body", "tokens": 2}, "broken"),
]


@pytest.mark.parametrize(("fault", "kind"), STREAM_FAULTS)
def test_faults_of_a_stream(base: str, url: str, fault: dict[str, Any], kind: str) -> None:
    script(base, **fault)
    sink = Heard()
    with pytest.raises(ProviderError) as error:
        answer(url, call(HELLO, sink=sink))
    assert classify(error.value) == kind
    assert error.value.head is ("tokens" in fault) is bool(sink.all_of("content"))


@pytest.mark.parametrize("kind", ["no_done", "odd_lines", "wrong_content_length", "slow_start"])
def test_what_is_borne(base: str, url: str, kind: str) -> None:
    whole = answer(url, call(HELLO))
    script(base, kind=kind, seconds=0.1)
    found = answer(url, call(HELLO, sink=Heard()))
    assert (found.body["choices"], found.usage) == (whole.body["choices"], whole.usage)


def test_usage_that_is_not_told_or_absurd(base: str, url: str) -> None:
    script(base, kind="missing_usage")
    for sink in (None, Heard()):
        assert answer(url, call(HELLO, sink=sink)).usage.estimated
    script(base, kind="excess_usage")
    for sink in (None, Heard()):
        assert answer(url, call(HELLO, sink=sink)).usage.prompt_tokens == 1_000_000_000


@pytest.mark.parametrize("kind", ["cached_usage", "zero_usage", "odd_usage", "odd_finish", "other_form"])
def test_what_is_oddly_written_is_the_same_answer(base: str, url: str, kind: str) -> None:
    usual = answer(url, call(HELLO))
    script(base, kind=kind)
    for sink in (None, Heard()):
        found = answer(url, call(HELLO, sink=sink))
        assert found.body["choices"] == usual.body["choices"]
        assert found.usage.estimated is (kind in ("zero_usage", "odd_usage"))
        if kind == "cached_usage":
            assert found.usage.prompt_tokens == usual.usage.prompt_tokens
            assert found.usage.cached_tokens == usual.usage.prompt_tokens * 9 // 10


def test_calls_without_arguments_have_an_empty_object(base: str, url: str) -> None:
    script(base, kind="no_arguments")
    for sink in (None, Heard()):
        said = answer(url, call({"messages": ASKING, "tools": [TOOL]}, sink=sink)).body["choices"][0]["message"]
        assert said["tool_calls"][0]["function"]["arguments"] == "{}"


def test_a_wrong_shape_is_no_answer(base: str, url: str) -> None:
    script(base, kind="wrong_shape")
    for sink in (None, Heard()):
        with pytest.raises(ProviderError) as error:
            answer(url, call(HELLO, sink=sink))
        assert classify(error.value) == "shape"


def test_rate_limits_are_read_from_its_headers(base: str, url: str) -> None:
    limits = [{"provider": "anthropic", "requests_per_minute": 60, "request_burst": 1}]
    httpx.post(f"{base}/_simulator/script", json={"rules": [], "limits": limits}).raise_for_status()
    first = answer(url, call(HELLO))
    assert first.limits is not None and first.limits.requests is not None and first.limits.requests.remaining == 0
    with pytest.raises(ProviderError) as error:
        answer(url, call(HELLO))
    assert classify(error.value) == "rate" and (error.value.wait_seconds or 0) > 0


def test_a_wrong_key_is_not_told_to_the_customer(url: str) -> None:
    with pytest.raises(ProviderError) as error:
        answer(url, call(HELLO), key="invalid-key-of-ours")
    assert classify(error.value) == "key" and "invalid-key-of-ours" not in str(error.value)
