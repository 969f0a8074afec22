"""Gemini's own protocol through the adapter, against the simulator over HTTP."""

import asyncio
import base64
from collections.abc import Iterator
from typing import Any
from urllib.request import Request, urlopen

import httpx
import orjson
import pytest

from shared.errors import ProviderError
from shared.submissions.catalogue import Endpoint, catalogue
from tests.providers.test_call_limits import PATIENT
from tests.providers.test_google_request import NEW, OLD, ask
from tests.providers.test_google_stream import Parts, message
from workers.providers import ProviderAnswer, ProviderCall, google
from workers.simulator.google_odd import THOUGHTS
from workers.simulator.server import simulator
from workers.upstream.faults import classify
from workers.upstream.transport import ProviderClient

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}
HELLO = [{"role": "user", "content": "Hello there"}]
WEATHER: list[dict[str, Any]] = [{"role": "user", "content": "use get_weather"}]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with simulator() as base:
        yield base


@pytest.fixture(autouse=True)
def clean(url: str) -> Iterator[None]:
    yield
    script(url, method="DELETE")


def script(url: str, *rules: dict[str, Any], method: str = "POST") -> None:
    """Set the simulator's script; by urllib, since a client of httpx takes longer to make than a test to run."""
    body = orjson.dumps({"rules": rules}) if rules else None
    urlopen(Request(f"{url}/_simulator/script", body, method=method)).close()


def order(url: str, **fault: Any) -> None:
    script(url, {"provider": "google", "fault": fault})


def called(url: str, call: ProviderCall, sink: Parts | None = None, key: str = "simulated") -> ProviderAnswer:
    """The answer to a call over HTTP."""

    async def main() -> ProviderAnswer:
        async with ProviderClient(2) as client:
            endpoint = Endpoint(f"{url}/google/v1beta", key, simulated=True)
            upstream = google.connect(catalogue().providers["google"], endpoint, client)
            asked = ProviderCall(call.job_id, call.type, call.request, call.offer, sink, PATIENT)
            return await upstream.call(asked)

    return asyncio.run(main())


def failed(url: str, call: ProviderCall, sink: Parts | None = None, key: str = "simulated") -> ProviderError:
    with pytest.raises(ProviderError) as error:
        called(url, call, sink, key)
    return error.value


#: A model of the catalogue with no field left out.
TAKES_ALL = "gemini-3.1-pro-preview"


def gemini(upstream: str = NEW, **body: Any) -> ProviderCall:
    """A call of a model that the catalogue has, so that its row is what decides."""
    call = ask(upstream, **body)
    call.offer.model = TAKES_ALL
    return call


def choice(answer: ProviderAnswer) -> dict[str, Any]:
    (one,) = answer.body["choices"]
    return dict(one)


@pytest.mark.parametrize("upstream", [NEW, OLD])
def test_a_text_is_answered_whole_and_streamed_the_same(url: str, upstream: str) -> None:
    call, sink = gemini(upstream, messages=HELLO), Parts()
    whole, streamed = called(url, call), called(url, call, sink)
    assert message(whole)["content"].endswith("to: Hello there") and choice(whole)["finish_reason"] == "stop"
    assert choice(whole) == choice(streamed) and sink.text("content") == message(whole)["content"]
    assert (whole.body["model"], whole.status_code, whole.ignored) == (TAKES_ALL, 200, [])
    assert whole.usage == streamed.usage and whole.usage.prompt_tokens > 0 and not whole.usage.estimated
    assert ("extra_content" in message(whole)) == (upstream == NEW)


@pytest.mark.parametrize("upstream", [NEW, OLD])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_conversation_with_tools_goes_on_as_its_caller_gives_it_back(url: str, upstream: str, streamed: bool) -> None:
    sink = Parts() if streamed else None
    first = called(url, gemini(upstream, messages=WEATHER, tools=[TOOL]), sink)
    (call,) = message(first)["tool_calls"]
    assert choice(first)["finish_reason"] == "tool_calls"
    assert call["function"] == {"name": "get_weather", "arguments": '{"city":"simulated city"}'}
    assert ("extra_content" in call) == (upstream == NEW)
    result = {"role": "tool", "tool_call_id": call["id"], "content": "22 degrees"}
    turn = gemini(upstream, messages=[*WEATHER, message(first), result], tools=[TOOL])
    second = called(url, turn, sink)
    assert choice(second)["finish_reason"] == "stop" and second.ignored == []


def test_a_conversation_that_another_model_began_goes_on(url: str) -> None:
    asked = {"role": "assistant", "content": None, "tool_calls": [{**CALL}]}
    result = {"role": "tool", "tool_call_id": "call_x", "content": "22 degrees"}
    answer = called(url, gemini(messages=[*WEATHER, asked, result], tools=[TOOL]))
    assert choice(answer)["finish_reason"] == "stop"
    signed = {**CALL, "extra_content": {"google": {"thought_signature": base64.b64encode(b"theirs").decode()}}}
    error = failed(url, gemini(messages=[*WEATHER, {**asked, "tool_calls": [signed]}, result], tools=[TOOL]))
    assert classify(error) == "callers" and "signature" in str(error)


CALL = {"id": "call_x", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("upstream", [NEW, OLD])
def test_thoughts_are_shown_and_counted(url: str, upstream: str, streamed: bool) -> None:
    sink = Parts() if streamed else None
    answer = called(url, gemini(upstream, messages=HELLO, reasoning_effort="medium"), sink)
    assert message(answer)["reasoning_content"] == THOUGHTS
    assert answer.usage.reasoning_tokens and answer.usage.completion_tokens > answer.usage.reasoning_tokens
    assert sink is None or sink.text("reasoning_content") == THOUGHTS
    silent = called(url, gemini(upstream, messages=HELLO, reasoning={"effort": "medium", "exclude": True}))
    assert "reasoning_content" not in message(silent)
    assert silent.usage.reasoning_tokens == answer.usage.reasoning_tokens


def test_everything_that_a_request_may_say_is_taken(url: str) -> None:
    picture = {"type": "image_url", "image_url": {"url": "https://x.org/a.png", "detail": "high"}}
    answer = called(
        url,
        gemini(
            messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": [picture]}],
            tools=[TOOL],
            tool_choice="none",
            temperature=0.5,
            top_p=0.9,
            top_k=3,
            n=2,
            seed=2**40,
            stop=["x"],
            presence_penalty=0.1,
            frequency_penalty=0.2,
            logprobs=True,
            top_logprobs=2,
            response_format={"type": "json_schema", "json_schema": {"name": "city", "schema": SCHEMA}},
            reasoning_effort="high",
        ),
    )
    assert len(answer.body["choices"]) == 2 and answer.ignored == []
    assert message(answer)["content"] == '{"city":"simulated city"}'


def test_embeddings(url: str) -> None:
    texts = [f"text {number}" for number in range(230)]
    answer = called(url, ask("gemini-embedding-001", type="embedding", input=texts, dimensions=16))
    assert [row["index"] for row in answer.body["data"]] == list(range(230))
    alone = called(url, ask("gemini-embedding-001", type="embedding", input=texts[201], dimensions=16))
    assert alone.body["data"][0]["embedding"] == answer.body["data"][201]["embedding"]
    assert answer.usage.prompt_tokens == 230 * alone.usage.prompt_tokens and not answer.usage.estimated
    packed = called(
        url, ask("gemini-embedding-001", type="embedding", input="a", dimensions=16, encoding_format="base64")
    )
    assert len(base64.b64decode(packed.body["data"][0]["embedding"])) == 4 * 16


def test_images(url: str) -> None:
    answer = called(url, ask("gemini-3.1-flash-image", type="image", prompt="a cat", n=2, response_format="b64_json"))
    assert [base64.b64decode(one["b64_json"])[:4] for one in answer.body["data"]] == [b"\x89PNG"] * 2
    assert (answer.usage.images, answer.usage.size, answer.ignored) == (2, "1024x1024", ["response_format"])
    order(url, kind="content_filter")
    error = failed(url, ask("gemini-3.1-flash-image", type="image", prompt="a cat"))
    assert (error.code, classify(error)) == ("content_filter", "content_filter")


def test_pictures_that_were_made_are_given(url: str) -> None:
    script(url, {"provider": "google", "fault": {"status": 429}, "times": 1})
    answer = called(url, ask("gemini-3.1-flash-image", type="image", prompt="a cat", n=3))
    assert (len(answer.body["data"]), answer.usage.images) == (2, 2) and "n" in answer.ignored


#: What is ordered of the provider, and what the adapter makes of it: the kind of fault, whole and streamed.
FAULTS: dict[str, tuple[dict[str, Any], str, str]] = {
    "429": ({"status": 429, "retry_after": 3}, "rate", "rate"),
    "429 of the day": ({"status": 429, "code": "daily_quota_exceeded"}, "quota", "quota"),
    "400": ({"status": 400}, "callers", "callers"),
    "403": ({"status": 403}, "key", "key"),
    "403 billing": ({"status": 403, "code": "BILLING_DISABLED"}, "quota", "quota"),
    "404": ({"status": 404}, "missing", "missing"),
    "500": ({"status": 500}, "broken", "broken"),
    "503": ({"status": 503}, "overload", "overload"),
    "504": ({"status": 504}, "unreachable", "unreachable"),
    "html": ({"kind": "html"}, "unreachable", "unreachable"),
    "error_in_200": ({"kind": "error_in_200", "status": 503}, "overload", "overload"),
    "error_mid_stream": ({"kind": "error_mid_stream", "status": 503}, "overload", "overload"),
    "content_filter": ({"kind": "content_filter"}, "content_filter", "content_filter"),
    "empty": ({"kind": "empty_choices"}, "broken", "broken"),
    "too long": ({"kind": "context_length", "window": 1}, "too_long", "too_long"),
    "malformed_json": ({"kind": "malformed_json"}, "broken", "broken"),
    "truncated_stream": ({"kind": "truncated_stream"}, "", "broken"),
    "no end": ({"kind": "no_done"}, "", "broken"),
    "reset": ({"kind": "reset"}, "unreachable", "unreachable"),
    "reset_mid_body": ({"kind": "reset_mid_body"}, "broken", "broken"),
    "wrong_content_length": ({"kind": "wrong_content_length"}, "broken", ""),
    "wrong_shape": ({"kind": "wrong_shape"}, "shape", "shape"),
    "slow_body": ({"kind": "slow_body", "seconds": 0.1}, "", ""),
    "refusal": ({"kind": "refusal"}, "", ""),
    "other_form": ({"kind": "other_form"}, "", ""),
    "odd_lines": ({"kind": "odd_lines"}, "", ""),
    "odd_finish": ({"kind": "odd_finish"}, "", ""),
    "content_parts": ({"kind": "content_parts"}, "", ""),
    "reasoning": ({"kind": "reasoning"}, "", ""),
    "cached_usage": ({"kind": "cached_usage"}, "", ""),
    "zero_usage": ({"kind": "zero_usage"}, "", ""),
    "odd_usage": ({"kind": "odd_usage"}, "", ""),
    "missing_usage": ({"kind": "missing_usage"}, "", ""),
}


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("fault", FAULTS)
def test_faults(url: str, fault: str, streamed: bool) -> None:
    ordered, whole, of_stream = FAULTS[fault]
    order(url, **ordered)
    sink = Parts() if streamed else None
    kind = of_stream if streamed else whole
    if not kind:
        answer = called(url, gemini(messages=HELLO), sink)
        assert choice(answer)["finish_reason"] == ("content_filter" if fault == "refusal" else "stop")
        assert answer.usage.estimated == (fault in ("zero_usage", "odd_usage", "missing_usage"))
        return
    error = failed(url, gemini(messages=HELLO), sink)
    assert classify(error) == kind
    assert fault != "429" or error.wait_seconds == 3


@pytest.mark.parametrize("streamed", [False, True])
def test_what_is_read_from_the_cache_is_part_of_the_prompt(url: str, streamed: bool) -> None:
    plain = called(url, gemini(messages=HELLO)).usage
    order(url, kind="cached_usage")
    cached = called(url, gemini(messages=HELLO), Parts() if streamed else None).usage
    assert cached.prompt_tokens == plain.prompt_tokens and cached.cached_tokens == plain.prompt_tokens * 9 // 10


@pytest.mark.parametrize("streamed", [False, True])
def test_odd_calls(url: str, streamed: bool) -> None:
    def asked(kind: str) -> list[dict[str, Any]]:
        order(url, kind=kind)
        answer = called(url, gemini(messages=WEATHER, tools=[TOOL]), Parts() if streamed else None)
        return list(message(answer)["tool_calls"])

    assert [call["function"]["arguments"] for call in asked("no_arguments")] == ["{}"]
    first, second = asked("no_ids")
    assert first["id"] != second["id"] and first["function"] == second["function"]
    order(url, kind="broken_arguments")
    error = failed(url, gemini(messages=WEATHER, tools=[TOOL]), Parts() if streamed else None)
    assert classify(error) == "shape"


def test_a_wrong_key_and_no_key_in_the_address(url: str) -> None:
    error = failed(url, gemini(messages=HELLO), key="invalid-key")
    assert classify(error) == "key" and "invalid-key" not in str(error)
    report = httpx.get(f"{url}/_simulator/calls").text
    assert "invalid-key" not in report and "key=" not in report
