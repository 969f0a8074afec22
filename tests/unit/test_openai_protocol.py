"""The OpenAI wire protocol: which fields are sent, and what counts as an answer."""

import asyncio
from typing import Any

import httpx
import orjson
import pytest

from shared.errors import ProviderError
from shared.submissions import quote
from shared.submissions.catalogue import Endpoint, Provider, catalogue
from shared.submissions.offers import Offer
from shared.submissions.schemas import ChatRequest, read_submission
from tests.scripted_client import ScriptedClient
from workers.providers import ProviderCall, openai, sandbox
from workers.running.retry import GiveUp, Situation, decide
from workers.upstream.post import refused

TOOL = {"type": "function", "function": {"name": "find"}}
#: One value for every field of a chat request.
FULL: dict[str, Any] = {
    "messages": [{"role": "user", "content": "hi"}],
    "temperature": 0.1,
    "top_p": 0.2,
    "max_tokens": 33,
    "n": 2,
    "stop": ["x"],
    "presence_penalty": 0.3,
    "frequency_penalty": 0.4,
    "seed": 5,
    "logprobs": True,
    "top_logprobs": 3,
    "tools": [TOOL],
    "tool_choice": "auto",
    "parallel_tool_calls": False,
    "response_format": {"type": "json_object"},
    "user": "u",
    "logit_bias": {"50256": -100},
    "prediction": {"type": "content", "content": "a"},
    "reasoning_effort": "low",
    "verbosity": "low",
    "web_search_options": {},
    "moderation": {"model": "omni-moderation-latest"},
    "prompt_cache_key": "k",
    "prompt_cache_options": {"mode": "explicit"},
    "prompt_cache_retention": "24h",
    "safety_identifier": "s",
    "stream": True,
    "stream_options": {"include_usage": True},
}
#: One value for every field that a provider is sent only when its catalogue row says so.
UNSERVED: dict[str, Any] = {
    "cache_control": {"type": "ephemeral"},
    "chat_template_kwargs": {"enable_thinking": False},
    "enable_thinking": False,
    "extra_body": {"google": {}},
    "min_p": 0.1,
    "reasoning": {"max_tokens": 5},
    "repetition_penalty": 1.1,
    "service_tier": "auto",
    "store": True,
    "thinking": {"type": "enabled"},
    "top_k": 5,
}
GOOD: dict[str, dict[str, Any]] = {
    "chat.completion": {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
    },
    "embedding": {"data": [{"index": 0, "embedding": [0.5]}], "usage": {"prompt_tokens": 4, "total_tokens": 4}},
    "image": {"created": 5, "data": [{"b64_json": "AA==", "extra": 1}, {"url": "https://x"}]},
}
REQUESTS: dict[str, dict[str, Any]] = {
    "chat.completion": FULL,
    "embedding": {"input": "a", "encoding_format": "float", "dimensions": 3, "user": "u"},
    "image": {"prompt": "a", "size": "1024x1024", "n": 2, "response_format": "url", "user": "u"},
}


def ask(type: str = "chat.completion", omit: tuple[str, ...] = (), **changes: Any) -> ProviderCall:
    offer = Offer(
        provider="p", model="catalogue-id", upstream="up-1", input=1, output=1, version="v", max_output=99,
        omit=list(omit), bound_micros=1,
    )  # fmt: skip
    request = {name: value for name, value in {**REQUESTS[type], **changes}.items() if value is not None}
    return ProviderCall("job_1", type, request, offer)


def sent(what: ProviderCall) -> dict[str, Any]:
    return dict(orjson.loads(openai.payload(what)))


def answered(type: str, **changes: Any) -> Any:
    body = {name: value for name, value in {**GOOD[type], **changes}.items() if value is not ...}
    return openai.read(ask(type), 200, orjson.dumps(body))


def test_every_field_of_a_chat_request_is_tried_here() -> None:
    elsewhere = {"max_completion_tokens", "modalities", "grounding"}  # read as others, or served by steps
    assert set(FULL) | set(UNSERVED) == set(ChatRequest.model_fields) - elsewhere


def test_fields_that_no_row_asks_for_are_listed_and_never_sent() -> None:
    request = read_submission("chat.completion", {"model": "m", "messages": FULL["messages"], **UNSERVED}).request
    asked = ProviderCall("job_1", "chat.completion", request, ask().offer)
    assert not set(sent(asked)) & set(UNSERVED)
    assert set(openai.read(asked, 200, orjson.dumps(GOOD["chat.completion"])).ignored) == set(UNSERVED)


def test_a_chat_request_is_sent_with_the_fields_of_the_protocol_and_no_other() -> None:
    ours = {"stream", "stream_options"}
    assert sent(ask()) == {"model": "up-1", **{name: value for name, value in FULL.items() if name not in ours}}


def test_max_tokens_is_always_sent() -> None:
    assert sent(ask(max_tokens=None))["max_tokens"] == 99


@pytest.mark.parametrize(("model", "goes"), [("gpt-6-luna", True), ("gpt-4", True), ("gpt-5.5", False)])
def test_breakpoints_of_the_prompt_cache_go_to_the_models_that_know_them(model: str, goes: bool) -> None:
    """In explicit mode nothing is cached without them."""
    mark = {"prompt_cache_breakpoint": {"mode": "explicit"}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "long", **mark}]}]
    submission = read_submission("chat.completion", {"model": model, "messages": messages})
    (offer,) = quote.offers(submission, catalogue(), test=False)
    asked = ProviderCall("job_1", "chat.completion", submission.request, offer)
    assert ("prompt_cache_breakpoint" in sent(asked)["messages"][0]["content"][0]) is goes
    listed = openai.read(asked, 200, orjson.dumps(GOOD["chat.completion"])).ignored
    assert listed == ([] if goes else ["messages[0].content[0].prompt_cache_breakpoint"])


@pytest.mark.parametrize("type", ["embedding", "image"])
def test_other_requests_are_sent_whole(type: str) -> None:
    assert sent(ask(type)) == {"model": "up-1", **REQUESTS[type]}


def test_a_field_that_a_model_refuses_is_left_out_and_listed() -> None:
    without = ask("image", ("response_format",))
    assert "response_format" not in sent(without)
    assert openai.read(without, 200, orjson.dumps(GOOD["image"])).ignored == ["response_format"]
    assert openai.read(ask(n=1), 200, orjson.dumps(GOOD["chat.completion"])).ignored == []
    assert openai.read(ask(n=2), 200, orjson.dumps(GOOD["chat.completion"])).ignored == ["n"]


@pytest.mark.parametrize(
    ("type", "body"),
    [("chat.completion", {"messages": FULL["messages"]}), ("embedding", {"input": "a"}),
     ("image", {"prompt": "a", "size": "1024x1024"})],
)  # fmt: skip
def test_nothing_is_sent_that_nobody_asked_for(type: Any, body: dict[str, Any]) -> None:
    """A limit always is, and the size of a picture: both are what is paid for at most."""
    request = read_submission(type, {"model": "m", **body}).request
    always = {"max_tokens": 99} if type == "chat.completion" else {}
    asked = ProviderCall("job_1", type, request, ask().offer)
    assert sent(asked) == {"model": "up-1", **body, **always}
    assert openai.read(asked, 200, orjson.dumps(GOOD[type])).ignored == []


def test_a_chat_answer_has_our_ids_and_the_catalogues_model() -> None:
    answer = answered("chat.completion")
    assert answer.body["id"] == "chatcmpl-1" and answer.body["model"] == "catalogue-id"
    assert answer.body["choices"][0]["message"] == {"role": "assistant", "content": "yes", "refusal": None}
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.estimated) == (7, 3, False)


def test_a_tool_call_can_be_sent_back_as_a_turn_whatever_the_provider_adds_or_leaves_out() -> None:
    given = [
        {
            "id": "",
            "type": "function",
            "function": {"name": "find", "arguments": "{}"},
            "extra_content": {"google": {}},
        },
        {"index": 1, "function": {"name": "find", "arguments": None}},
        {"id": "call_x", "type": "function", "function": {"name": "find", "arguments": "{}"}},
    ]
    choice = {"index": 0, "message": {"content": None, "tool_calls": given}, "finish_reason": "tool_calls"}
    message = answered("chat.completion", choices=[choice]).body["choices"][0]["message"]
    assert [call["id"] for call in message["tool_calls"]] == ["call_1_0_0", "call_1_0_1", "call_x"]
    turns = [*FULL["messages"], message]
    assert read_submission("chat.completion", {"model": "m", "messages": turns}).request["messages"][1]["tool_calls"]


@pytest.mark.parametrize(
    ("given", "wanted"), [("a", 1), (["a", "b"], 2), ([1, 2, 3], 1), ([[1], [2, 3]], 2), (["a"] * 2048, 2048)]
)
def test_every_input_has_its_embedding(given: Any, wanted: int) -> None:
    data = [{"index": n, "embedding": [0.5]} for n in reversed(range(wanted))]
    body = {"data": data, "usage": {"prompt_tokens": 1, "total_tokens": 1}}
    assert len(openai.read(ask("embedding", input=given), 200, orjson.dumps(body)).body["data"]) == wanted


def test_an_image_answer_counts_its_pictures_and_keeps_known_fields() -> None:
    answer = answered("image")
    assert answer.body["data"] == [{"b64_json": "AA=="}, {"url": "https://x"}]
    assert (answer.usage.images, answer.usage.size) == (2, "1024x1024")


@pytest.mark.parametrize("usage", [..., None, {}])
@pytest.mark.parametrize("type", ["chat.completion", "embedding"])
def test_missing_usage_is_counted_and_flagged(type: str, usage: Any) -> None:
    used = answered(type, usage=usage).usage
    assert used.estimated and used.prompt_tokens > 0


def test_total_tokens_alone_is_enough() -> None:
    used = answered("chat.completion", usage={"completion_tokens": 3, "total_tokens": 10}).usage
    assert (used.prompt_tokens, used.completion_tokens) == (7, 3)


#: A 200 that is none: (type, what is changed, the code)
NOT_ANSWERS: list[tuple[str, dict[str, Any], str]] = [
    ("chat.completion", {"choices": []}, "empty"),
    ("chat.completion", {"choices": ...}, "shape"),
    ("chat.completion", {"choices": None}, "shape"),
    ("chat.completion", {"choices": [{"index": 0}]}, "shape"),
    ("chat.completion", {"choices": ["hello"]}, "shape"),
    ("chat.completion", {"choices": [{"message": "hello"}]}, "shape"),
    ("chat.completion", {"choices": [{"message": {"content": ["hello"]}}]}, "shape"),
    ("chat.completion", {"choices": [{"message": {"content": "hello"}, "finish_reason": 7}]}, "shape"),
    ("chat.completion", {"choices": [{"message": {"tool_calls": ["hello"]}}]}, "shape"),
    ("chat.completion", {"choices": [{"message": {"tool_calls": [{"id": "a"}]}}]}, "shape"),
    ("embedding", {"data": [{"index": 0, "embedding": None}]}, "shape"),
    ("embedding", {"data": [{"index": 0, "embedding": []}]}, "shape"),
    ("embedding", {"data": [{"index": 1, "embedding": [1.0]}]}, "shape"),
    ("embedding", {"data": [{"index": n, "embedding": [1.0]} for n in (0, 1)]}, "shape"),
    ("image", {"data": [{}]}, "shape"),
    ("embedding", {"data": []}, "empty"),
    ("embedding", {"data": [{"index": 0}]}, "shape"),
    ("image", {"data": []}, "empty"),
    ("image", {"data": None}, "shape"),
    ("image", {"data": [None]}, "shape"),
]


@pytest.mark.parametrize(("type", "changes", "code"), NOT_ANSWERS)
def test_a_200_that_is_no_answer_is_an_error_that_says_why(type: str, changes: dict[str, Any], code: str) -> None:
    with pytest.raises(ProviderError) as error:
        answered(type, **changes)
    assert error.value.code == code and error.value.upstream_status == 200
    assert code != "shape" or "does not follow the protocol" not in error.value.message


def test_a_wrong_shape_is_not_asked_for_again_but_elsewhere() -> None:
    with pytest.raises(ProviderError) as error:
        answered("chat.completion", choices=[{"message": {"content": "a", "tool_calls": [{"id": "x"}]}}])
    assert error.value.message.endswith("choices[0].message.tool_calls[0].function.name is missing")
    for lane in ("realtime", "batch"):
        verdict = decide(error.value, Situation(lane), base_seconds=1.0, jitter=0.0)
        assert verdict == GiveUp("shape", elsewhere=True)


@pytest.mark.parametrize("usage", [{"prompt_tokens": -5, "completion_tokens": -1}, {"prompt_tokens": "many"}, "7", [7]])
def test_usage_that_makes_no_sense_is_no_reason_to_lose_a_sound_answer(usage: Any) -> None:
    answer = answered("chat.completion", usage=usage, created="yesterday")
    assert answer.body["choices"][0]["message"]["content"] == "yes" and answer.body["created"] > 0
    assert answer.usage.estimated and answer.usage.completion_tokens == 1


def test_embeddings_without_numbers_are_in_the_order_of_their_inputs() -> None:
    assert answered("embedding", data=[{"embedding": [1.0]}]).body["data"][0]["index"] == 0


@pytest.mark.parametrize(
    ("content", "code"),
    [
        *((one, "protocol") for one in (b"", b"<html>", b'{"choices": [', b"\xff")),
        *((one, "shape") for one in (b"null", b"[]", b"[1]", b"[{}]", b'"yes"')),
    ],
)
def test_a_200_that_is_not_an_object(content: bytes, code: str) -> None:
    with pytest.raises(ProviderError) as error:
        openai.read(ask(), 200, content)
    assert error.value.code == code


#: (the body of a 200, the status and code that it means)
HIDDEN: list[tuple[Any, int | None, str | None]] = [
    ({"error": {"message": "m", "type": "server_error", "code": None}}, None, "server_error"),
    ({"error": {"message": "m", "code": "insufficient_quota"}}, None, "insufficient_quota"),
    ({"error": {"message": "m", "code": 429, "status": "RESOURCE_EXHAUSTED"}}, 429, "RESOURCE_EXHAUSTED"),
    ({"error": [{"message": "m", "code": 503}]}, 503, None),
    ({"error": {"message": "m", "code": 401}}, 401, None),
    ({"error": {"message": "m", "code": 5, "type": {"a": 1}}}, None, "protocol"),
    ([{"error": {"message": "m", "code": 403, "status": "PERMISSION_DENIED"}}], 403, "PERMISSION_DENIED"),
    ({"error": {"message": "m"}}, None, "protocol"),
    ({"error": "broken"}, 200, None),
]


@pytest.mark.parametrize(("body", "status", "code"), HIDDEN)
def test_an_error_hidden_in_a_200(body: Any, status: int | None, code: str | None) -> None:
    with pytest.raises(ProviderError) as error:
        openai.read(ask(), 200, orjson.dumps(body))
    assert (error.value.upstream_status, error.value.code) == (status, code)


#: (status, body, headers, code, seconds to wait)
REFUSALS: list[tuple[int, bytes, dict[str, str], str | None, float | None]] = [
    (429, b'{"error":{"message":"m","type":"requests","code":"rate_limit_exceeded"}}', {}, "rate_limit_exceeded", None),
    (429, b'{"error":{"message":"m","type":"insufficient_quota","code":null}}', {}, "insufficient_quota", None),
    (429, b"{}", {"retry-after": "7"}, None, 7.0),
    (429, b"{}", {"retry-after": "0.5"}, None, 0.5),
    (429, b"{}", {"retry-after-ms": "250", "retry-after": "9"}, None, 0.25),
    (429, b"{}", {"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, None, 0.0),
    (429, b"{}", {"retry-after": "-5"}, None, None),
    (429, b"{}", {"retry-after": "nan"}, None, None),
    (429, b"{}", {"retry-after": "inf"}, None, None),
    (502, b"<html>", {}, None, None),
    (500, b"", {}, None, None),
    (503, b'[{"error":{"code":503,"message":"m","status":"UNAVAILABLE"}}]', {}, "UNAVAILABLE", None),
    (529, b'{"type":"error","error":{"type":"overloaded_error","message":"m"}}', {}, "overloaded_error", None),
    (400, b'{"error":"bad"}', {}, None, None),
    (400, b"[]", {}, None, None),
]


@pytest.mark.parametrize(("status", "body", "headers", "code", "wait"), REFUSALS)
def test_an_error_status_says_its_code_and_its_wait(
    status: int, body: bytes, headers: dict[str, str], code: str | None, wait: float | None
) -> None:
    error = refused(status, httpx.Headers(headers), body)
    assert (error.upstream_status, error.code, error.wait_seconds) == (status, code, wait)


@pytest.mark.parametrize(
    ("param", "told"), [("temperature", "temperature"), ("a" * 9999, "a" * 500), ("", None), (None, None), (7, None)]
)
def test_an_error_says_which_field_its_provider_names(param: Any, told: str | None) -> None:
    body = {"error": {"message": "m", "type": "invalid_request_error", "param": param}}
    assert refused(400, httpx.Headers(), orjson.dumps(body)).param == told
    assert openai.failure(200, body).param == told


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_not_repeated(status: int) -> None:
    body = b'{"error":{"message":"Incorrect API key provided: sk-canary-1"}}'
    assert "canary" not in refused(status, httpx.Headers(), body).message


#: Error objects that say our key is wrong, whatever their answer's status.
WRONG_KEYS: list[dict[str, Any]] = [
    {"code": "invalid_api_key", "type": "invalid_request_error"},
    {"code": None, "type": "authentication_error"},
    {"code": 401, "status": "UNAUTHENTICATED"},
    {"code": 403},
    {"code": 400, "status": "INVALID_ARGUMENT", "details": [{"@type": "x"}, {"reason": "API_KEY_INVALID"}]},
]


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("error", WRONG_KEYS)
def test_a_refused_key_inside_a_200_is_told_as_any_other_and_not_tried_again(
    error: dict[str, Any], wrapped: bool
) -> None:
    body = {"error": {"message": "Incorrect API key provided: sk-canary-1", **error}}
    with pytest.raises(ProviderError) as raised:
        openai.read(ask(), 200, orjson.dumps([body] if wrapped else body))
    assert raised.value.message == "the provider rejected the operator's API key"
    verdict = decide(raised.value, Situation(), base_seconds=1.0, jitter=0.0)
    assert isinstance(verdict, GiveUp) and verdict.elsewhere


def test_a_wrong_key_that_google_calls_an_invalid_argument_is_not_the_callers_fault() -> None:
    error = {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT"}
    error["details"] = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]
    found = refused(400, httpx.Headers(), orjson.dumps([{"error": error}]))
    assert (found.message, found.code) == ("the provider rejected the operator's API key", "API_KEY_INVALID")
    verdict = decide(found, Situation(), base_seconds=1.0, jitter=0.0)
    assert verdict == GiveUp("API_KEY_INVALID", elsewhere=True)


@pytest.mark.parametrize(
    ("status", "code", "passed_on"),
    [
        (400, "invalid_value", True),
        (413, None, True),
        (422, None, True),
        (400, "billing_hard_limit_reached", False),
        (404, "model_not_found", False),
        (429, "rate_limit_exceeded", False),
        (429, "insufficient_quota", False),
        (503, None, False),
    ],
)
def test_only_what_is_wrong_with_the_request_is_told_in_the_providers_words(
    status: int, code: str | None, passed_on: bool
) -> None:
    body = {"error": {"message": "in organization org-canary", "code": code}}
    said = refused(status, httpx.Headers(), orjson.dumps(body)).message
    assert said == ("in organization org-canary" if passed_on else f"the provider returned status {status}")
    hidden = {"error": {"message": "in organization org-canary", "code": status, "type": code}}
    with pytest.raises(ProviderError) as raised:
        openai.read(ask(), 200, orjson.dumps(hidden))
    assert raised.value.message == said


async def _call(handler: Any, what: ProviderCall) -> Any:
    provider = Provider(name="p", protocol="openai")
    client = ScriptedClient(handler)
    return await openai.connect(provider, Endpoint("https://p.example/v1/", "k", False), client).call(what)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (httpx.ConnectError("refused"), "connect"),
        (httpx.ConnectTimeout("slow"), "connect"),
        (httpx.ReadTimeout("slow"), "idle"),
        (httpx.DecodingError("cut"), "protocol"),
        (httpx.ReadError("reset"), "reset"),
        (httpx.RemoteProtocolError("odd"), "reset"),
    ],
)
def test_a_broken_exchange_has_a_code(error: Exception, code: str) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise error

    with pytest.raises(ProviderError) as raised:
        asyncio.run(_call(handler, ask()))
    assert raised.value.code == code and raised.value.upstream_status is None


def test_a_call_goes_to_its_path_with_the_key() -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=GOOD["embedding"])

    asyncio.run(_call(handler, ask("embedding")))
    assert str(seen[0].url) == "https://p.example/v1/embeddings" and seen[0].headers["authorization"] == "Bearer k"


@pytest.mark.parametrize(
    ("type", "changes"),
    [
        ("chat.completion", {"max_tokens": None, "n": 3}),
        ("chat.completion", {"max_tokens": 2}),
        ("embedding", {"input": ["a", "b"], "dimensions": 7}),
        ("embedding", {"input": [1, 2], "encoding_format": "base64"}),
        ("embedding", {"input": [[1], [2]]}),
        ("image", {"n": 3, "response_format": "b64_json"}),
    ],
)
def test_the_sandbox_says_the_same_to_the_same_request(type: str, changes: dict[str, Any]) -> None:
    async def twice() -> list[Any]:
        box = sandbox.Sandbox()
        return [await box.call(ask(type, **changes)) for _ in range(2)]

    one, other = asyncio.run(twice())
    for answer in (one, other):
        answer.body.pop("created", None)
    assert one.body == other.body and one.usage == other.usage
    parts = one.body.get("choices") or one.body["data"]
    assert len(parts) == {"chat.completion": changes.get("n", 2), "image": 3}.get(type, len(parts))
    if type == "chat.completion" and changes.get("max_tokens"):
        assert parts[0]["finish_reason"] == "length" and one.usage.completion_tokens == 4
