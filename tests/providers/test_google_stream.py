"""Gemini's own protocol, streamed and whole: the chunks of public documentation, read as they come."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pytest

from shared.errors import ProviderError
from shared.submissions.catalogue import Endpoint, catalogue
from tests.providers.scripted import Step, serving
from tests.providers.test_call_limits import HEAD, PATIENT, STREAM
from tests.providers.test_google_request import ask
from workers.providers import ProviderAnswer, ProviderCall, google
from workers.upstream.faults import classify
from workers.upstream.transport import ProviderClient

SIGNATURE = "EjQKMgEMOdbHa0Gs+c30ed3hmpPf2c0L"
GOOGLE_SIGNED = {"google": {"thought_signature": SIGNATURE}}
TOOL = {"type": "function", "function": {"name": "check_flight", "parameters": {"type": "object"}}}
USAGE = {"promptTokenCount": 8, "candidatesTokenCount": 5, "thoughtsTokenCount": 20, "totalTokenCount": 33}


class Parts:
    """A sink that keeps every delta."""

    def __init__(self) -> None:
        self.deltas: list[Mapping[str, Any]] = []
        self.finish: list[str] = []

    @property
    def began(self) -> bool:
        return bool(self.deltas)

    def send(self, head: Mapping[str, Any], choices: Sequence[Mapping[str, Any]]) -> None:
        self.deltas += [choice["delta"] for choice in choices]
        self.finish += [choice["finish_reason"] for choice in choices if choice["finish_reason"]]

    def text(self, name: str) -> str:
        return "".join(delta.get(name) or "" for delta in self.deltas)


def candidate(*parts: Any, finish: str | None = None, **more: Any) -> dict[str, Any]:
    content = {"content": {"role": "model", "parts": list(parts)}} if parts else {}
    return {**content, **({"finishReason": finish} if finish else {}), **more}


def chunk(*parts: Any, finish: str | None = None, usage: Any = None, **more: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"candidates": [candidate(*parts, finish=finish, **more)], "modelVersion": "gemini-3"}
    return {**body, **({"usageMetadata": usage} if usage else {})}


def events(*chunks: Any, headers: bytes = b"") -> bytes:
    return STREAM % headers + b"".join(b"data: %s\r\n\r\n" % orjson.dumps(one) for one in chunks)


def whole(body: Any, headers: bytes = b"") -> bytes:
    content = orjson.dumps(body)
    return HEAD % (headers, len(content)) + content


def answered(*steps: Step, sink: Parts | None = None, call: ProviderCall | None = None) -> ProviderAnswer:
    """What the adapter makes of an upstream's bytes."""
    asked = call or ask(tools=[TOOL])

    async def main() -> ProviderAnswer:
        async with serving(steps) as upstream, ProviderClient(2) as client:
            provider = google.connect(catalogue().providers["google"], Endpoint(upstream.url, "k", False), client)
            return await provider.call(
                ProviderCall(asked.job_id, asked.type, asked.request, asked.offer, sink, PATIENT)
            )

    return asyncio.run(main())


def failed(*steps: Step, sink: Parts | None = None, call: ProviderCall | None = None) -> ProviderError:
    with pytest.raises(ProviderError) as error:
        answered(*steps, sink=sink, call=call)
    return error.value


def message(answer: ProviderAnswer, index: int = 0) -> dict[str, Any]:
    return dict(answer.body["choices"][index]["message"])


def test_a_stream_is_passed_on_and_adds_up_to_the_whole() -> None:
    sink = Parts()
    answer = answered(
        events(
            chunk({"text": "Let me see. ", "thought": True}, usage={**USAGE, "candidatesTokenCount": 0}),
            chunk({"text": "Hel"}),
            chunk({"text": "lo"}),
            chunk({"text": "", "thoughtSignature": SIGNATURE}, finish="STOP", usage=USAGE),
        ),
        sink=sink,
    )
    said = message(answer)
    assert (said["content"], said["reasoning_content"]) == ("Hello", "Let me see. ")
    assert said["extra_content"] == GOOGLE_SIGNED
    assert (sink.text("content"), sink.text("reasoning_content"), sink.finish) == ("Hello", "Let me see. ", ["stop"])
    assert [delta["extra_content"] for delta in sink.deltas if "extra_content" in delta] == [GOOGLE_SIGNED]
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (8, 25)
    assert answer.usage.reasoning_tokens == 20


def test_the_usage_of_the_last_chunk_counts() -> None:
    early = {"promptTokenCount": 900, "candidatesTokenCount": 700, "totalTokenCount": 1600}
    answer = answered(
        events(chunk({"text": "Hi"}, usage=early), chunk({"text": "!"}, finish="STOP", usage=USAGE)), sink=Parts()
    )
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (8, 25)


CALLS = (
    {"functionCall": {"name": "check_flight", "args": {"flight": "AA100"}}, "thoughtSignature": SIGNATURE},
    {"functionCall": {"id": "f2", "name": "check_flight", "args": {"flight": "AA101"}}},
)


@pytest.mark.parametrize("streamed", [False, True, None])
def test_calls_have_their_signatures_and_ids(streamed: bool | None) -> None:
    sink = Parts() if streamed is not False else None
    body = chunk(*CALLS, finish="STOP", usage=USAGE)
    split = events(chunk(CALLS[0]), chunk(CALLS[1]), chunk(finish="STOP", usage=USAGE))
    answer = answered(split if streamed is None else events(body) if streamed else whole(body), sink=sink)
    first, second = message(answer)["tool_calls"]
    assert first == {
        "id": "call_1_0_0",
        "type": "function",
        "function": {"name": "check_flight", "arguments": '{"flight":"AA100"}'},
        "extra_content": GOOGLE_SIGNED,
    }
    assert (second["id"], "extra_content" in second) == ("f2", False)
    assert answer.body["choices"][0]["finish_reason"] == "tool_calls"
    if sink is not None:
        heads = [call for delta in sink.deltas for call in delta.get("tool_calls", ()) if "id" in call]
        assert [(head["id"], head.get("extra_content")) for head in heads] == [
            ("call_1_0_0", GOOGLE_SIGNED),
            ("f2", None),
        ]
        assert sink.finish == ["tool_calls"]


def test_a_stream_without_its_end_is_an_error() -> None:
    error = failed(events(chunk({"text": "Hel"}, usage=USAGE)), sink=Parts())
    assert (error.code, classify(error), error.head) == ("protocol", "broken", True)


@pytest.mark.parametrize("listed", [False, True])
def test_an_error_in_a_stream_is_read(listed: bool) -> None:
    error = {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}
    found = failed(events(chunk({"text": "Hel"}), [error] if listed else error), sink=Parts())
    assert (found.upstream_status, found.code, classify(found)) == (503, "UNAVAILABLE", "overload")


def test_an_error_after_the_end_takes_nothing_back() -> None:
    error = {"error": {"code": 500, "message": "Internal", "status": "INTERNAL"}}
    answer = answered(events(chunk({"text": "Hello"}, finish="STOP", usage=USAGE), error), sink=Parts())
    assert message(answer)["content"] == "Hello"


@pytest.mark.parametrize("streamed", [False, True])
def test_a_blocked_prompt_is_its_callers_fault(streamed: bool) -> None:
    body = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 8}}
    error = failed(events(body) if streamed else whole(body), sink=Parts() if streamed else None)
    assert (error.upstream_status, error.code, classify(error)) == (400, "content_filter", "content_filter")
    assert "PROHIBITED_CONTENT" in str(error)


def test_an_answer_without_candidates_is_empty() -> None:
    error = failed(whole({"usageMetadata": {"promptTokenCount": 8}}))
    assert (error.code, classify(error)) == ("empty", "broken")


ENDS = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    "OTHER": "stop",
    "SOMETHING_NEW": "stop",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "LANGUAGE": "content_filter",
    "ESCALATION": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
}
FAILURES = {
    "OTHER": ("protocol", "broken"),
    "IMAGE_OTHER": ("protocol", "broken"),
    "NO_IMAGE": ("empty", "broken"),
    "MALFORMED_FUNCTION_CALL": ("shape", "shape"),
    "UNEXPECTED_TOOL_CALL": ("shape", "shape"),
    "MALFORMED_RESPONSE": ("shape", "shape"),
    "TOO_MANY_TOOL_CALLS": ("shape", "shape"),
    "MISSING_THOUGHT_SIGNATURE": ("INVALID_ARGUMENT", "callers"),
    "PUP_LIMITED_DISABLED": ("account_deactivated", "key"),
}


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("reason", ENDS)
def test_ends_of_an_answer(reason: str, streamed: bool) -> None:
    body = chunk({"text": "Once"}, finish=reason, usage=USAGE)
    answer = answered(events(body) if streamed else whole(body), sink=Parts() if streamed else None)
    assert (answer.body["choices"][0]["finish_reason"], message(answer)["content"]) == (ENDS[reason], "Once")


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("reason", FAILURES)
def test_ends_that_are_none(reason: str, streamed: bool) -> None:
    body = chunk(finish=reason, usage=USAGE)
    error = failed(events(body) if streamed else whole(body), sink=Parts() if streamed else None)
    assert (error.code, classify(error)) == FAILURES[reason]


def test_every_finish_reason_of_the_official_client_is_known_here() -> None:
    from google.genai import types

    known = ENDS.keys() | FAILURES.keys() | {"FINISH_REASON_UNSPECIFIED"}
    assert {reason.value for reason in types.FinishReason} <= known


def test_a_filtered_candidate_without_words_is_an_answer_that_says_so() -> None:
    answer = answered(whole(chunk(finish="SAFETY", usage={"promptTokenCount": 8, "totalTokenCount": 8})))
    assert (answer.body["choices"][0]["finish_reason"], message(answer)["content"]) == ("content_filter", "")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (8, 0)


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        # https://ai.google.dev/gemini-api/docs/caching: the cached tokens are in the prompt's.
        (
            {
                "promptTokenCount": 696219,
                "cachedContentTokenCount": 696190,
                "candidatesTokenCount": 214,
                "totalTokenCount": 696433,
            },
            (696219, 214, 696190, None),
        ),
        # Thoughts alone, when the limit came in their midst.
        ({"promptTokenCount": 9, "thoughtsTokenCount": 95, "totalTokenCount": 104}, (9, 95, None, 95)),
        # Results of Google's own tools are prompt, beside it.
        (
            {
                "promptTokenCount": 10,
                "toolUsePromptTokenCount": 30,
                "candidatesTokenCount": 4,
                "thoughtsTokenCount": 6,
                "totalTokenCount": 50,
            },
            (40, 10, None, 6),
        ),
    ],
)
def test_usage(usage: dict[str, Any], counts: tuple[Any, ...]) -> None:
    found = answered(whole(chunk({"text": "a"}, finish="MAX_TOKENS", usage=usage))).usage
    assert (found.prompt_tokens, found.completion_tokens, found.cached_tokens, found.reasoning_tokens) == counts
    assert found.prompt_tokens + found.completion_tokens == usage["totalTokenCount"] and not found.estimated


def test_sound_is_told() -> None:
    details = [{"modality": "TEXT", "tokenCount": 3}, {"modality": "AUDIO", "tokenCount": 5}]
    found = answered(whole(chunk({"text": "a"}, finish="STOP", usage={**USAGE, "promptTokensDetails": details}))).usage
    assert (found.prompt_audio_tokens, found.completion_audio_tokens) == (5, None)


@pytest.mark.parametrize(
    ("header", "body", "tier"),
    [
        (b"x-gemini-service-tier: flex\r\n", {}, "flex"),
        (b"x-gemini-service-tier: standard\r\n", {}, "default"),
        (b"", {"serviceTier": "priority"}, "priority"),
        (b"", {}, ""),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_the_tier_that_served_it(header: bytes, body: dict[str, Any], tier: str, streamed: bool) -> None:
    said = chunk({"text": "a"}, finish="STOP", usage={**USAGE, **body})
    sent = events(said, headers=header) if streamed else whole(said, header)
    assert answered(sent, sink=Parts() if streamed else None).usage.service_tier == tier


def test_several_candidates() -> None:
    body = {"candidates": [candidate({"text": "b"}, finish="STOP", index=1), candidate({"text": "a"}, finish="STOP")]}
    body["candidates"].reverse()
    answer = answered(whole({**body, "usageMetadata": USAGE}), call=ask(n=2))
    assert [message(answer, index)["content"] for index in (0, 1)] == ["a", "b"]
    pieces = [chunk({"text": "a"}), chunk({"text": "b"}, index=1), chunk({"text": "A"}, finish="STOP")]
    pieces.append(chunk({"text": "B"}, finish="STOP", index=1, usage=USAGE))
    answer = answered(events(*pieces), call=ask(n=2), sink=Parts())
    assert [message(answer, index)["content"] for index in (0, 1)] == ["aA", "bB"]
    answer = answered(whole(chunk({"text": "a"}, finish="STOP", usage=USAGE)), call=ask(n=2))
    assert answer.ignored == ["n"]


def test_logprobs() -> None:
    chosen = [{"token": "Hi", "tokenId": 7, "logProbability": -0.1}]
    rivals = [{"candidates": [*chosen, {"token": "Ho", "tokenId": 8, "logProbability": -2.5}]}]
    likely = {"logprobsResult": {"chosenCandidates": chosen, "topCandidates": rivals}}
    answer = answered(whole(chunk({"text": "Hi"}, finish="STOP", usage=USAGE, **likely)))
    (token,) = answer.body["choices"][0]["logprobs"]["content"]
    assert (token["token"], token["logprob"], token["bytes"]) == ("Hi", -0.1, [72, 105])
    assert [rival["token"] for rival in token["top_logprobs"]] == ["Hi", "Ho"]


def test_other_forms_of_an_answer_are_read() -> None:
    one, two = chunk({"text": "Hel"}), chunk({"text": "lo"}, finish="STOP", usage=USAGE)
    for sent in (events(one, two), whole([one, two])):
        for sink in (None, Parts()):
            assert message(answered(sent, sink=sink))["content"] == "Hello"
    assert message(answered(whole(chunk({"text": "Hello"}, finish="STOP")), sink=Parts()))["content"] == "Hello"


@pytest.mark.parametrize(
    "wrong",
    [
        {"candidates": "none"},
        {"candidates": ["hello"]},
        chunk(finish="STOP") | {"candidates": [{"content": "hello", "finishReason": "STOP"}]},
        chunk("hello", finish="STOP"),
        chunk({"text": 7}, finish="STOP"),
        chunk({"functionCall": {"name": "f", "args": "x"}}, finish="STOP"),
        chunk({"functionCall": {"args": {}}}, finish="STOP"),
        {"candidates": [{"content": {"parts": {}}, "finishReason": 7}]},
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_answers_of_a_wrong_shape(wrong: Any, streamed: bool) -> None:
    error = failed(events(wrong) if streamed else whole(wrong), sink=Parts() if streamed else None)
    assert classify(error) == "shape"


QUOTA = {
    "error": {
        "code": 429,
        "message": "You exceeded your current quota, please check your plan and billing details.",
        "status": "RESOURCE_EXHAUSTED",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.QuotaFailure",
                "violations": [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel"}],
            },
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.07s"},
        ],
    }
}


def refused(status: int, body: Any) -> bytes:
    content = orjson.dumps(body)
    return b"HTTP/1.1 %d No\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (
        status,
        len(content),
    ) + (content)


@pytest.mark.parametrize("streamed", [False, True])
def test_errors_are_googles(streamed: bool) -> None:
    sink = Parts() if streamed else None
    error = failed(refused(429, QUOTA), sink=sink)
    assert (classify(error), error.wait_seconds, error.head) == ("rate", 34.07, False)
    daily = orjson.loads(orjson.dumps(QUOTA).replace(b"PerMinute", b"PerDay"))
    assert classify(failed(refused(429, daily), sink=sink)) == "quota"
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
    wrong = {"error": {"code": 400, "message": "no", "status": "INVALID_ARGUMENT", "details": [info]}}
    assert classify(failed(refused(400, wrong), sink=sink)) == "key"
    unsigned = {"error": {"code": 400, "message": "Function call is missing a thought_signature", "status": "X"}}
    assert "thought_signature" in str(failed(refused(400, unsigned), sink=sink))
