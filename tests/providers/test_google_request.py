"""Gemini's own protocol, towards it: what of a canonical request is sent, and in which words."""

import base64
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest
from google.genai import types

from shared.errors import ProviderError
from shared.submissions.catalogue import catalogue
from shared.submissions.offers import Offer
from shared.submissions.schemas import ChatRequest, read_submission
from shared.submissions.sending import Sending
from tests.providers.official_gemini import Recorder, recorder, settled
from tests.unit.test_openai_protocol import FULL, UNSERVED
from workers.providers import ProviderCall
from workers.providers.google import embeddings, images
from workers.providers.google.contents import UNSIGNED
from workers.providers.google.request import composed, left_out

TAKES = frozenset("extra_content provider_specific_fields thought_signature extra_body top_k thinking".split())
NEW, OLD, PRO = "gemini-3-flash-preview", "gemini-2.5-flash", "gemini-2.5-pro"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "additionalProperties": False}
TOOL = {"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": SCHEMA}}
SAY = {"role": "user", "content": "hi"}


def ask(upstream: str = NEW, type: Any = "chat.completion", **body: Any) -> ProviderCall:
    offer = Offer(
        provider="google", model="ours", upstream=upstream, input=1, output=1, version="v", max_output=99,
        bound_micros=1, images={"1024x1024": 1},
    )  # fmt: skip
    if type == "chat.completion":
        body.setdefault("messages", [SAY])
    request = read_submission(type, {"model": "m", **body}).request
    return ProviderCall("job_1", type, request, offer)


def sent(upstream: str = NEW, **body: Any) -> dict[str, Any]:
    return composed(ask(upstream, **body), Sending(takes=TAKES))


def contents(*messages: Any, upstream: str = NEW) -> list[dict[str, Any]]:
    return list(sent(upstream, messages=list(messages))["contents"])


def config(upstream: str = NEW, **body: Any) -> dict[str, Any]:
    return {name: value for name, value in sent(upstream, **body)["generationConfig"].items() if name[:3] != "max"}


def called(id: str, name: str = "look", arguments: str = '{"x":1}', **beside: Any) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}, **beside}


def signed(signature: str) -> dict[str, Any]:
    return {"extra_content": {"google": {"thought_signature": signature}}}


def test_a_text_is_a_turn_of_the_user() -> None:
    assert sent() == {
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
        "generationConfig": {"maxOutputTokens": 99},
    }


# What the official client writes, and the canonical request that asks for the same.

_FUNCTION = types.FunctionDeclaration(name="look", description="Looks.", parameters_json_schema=SCHEMA)
_CALLED = [
    types.Content(role="user", parts=[types.Part(text="q")]),
    types.Content(
        role="model",
        parts=[
            types.Part(text="Let me look."),
            types.Part(function_call=types.FunctionCall(id="c1", name="look", args={"x": 1}), thought_signature=b"one"),
            types.Part(function_call=types.FunctionCall(id="c2", name="see", args={})),
        ],
    ),
    types.Content(
        role="user",
        parts=[
            types.Part(function_response=types.FunctionResponse(id="c1", name="look", response={"y": [2]})),
            types.Part(function_response=types.FunctionResponse(id="c2", name="see", response={"output": "no"})),
        ],
    ),
    types.Content(role="model", parts=[types.Part(text="Seen.", thought_signature=b"two")]),
    types.Content(role="user", parts=[types.Part(text="and?")]),
]
_CALLED_HERE = [
    {"role": "user", "content": "q"},
    {
        "role": "assistant",
        "content": "Let me look.",
        "tool_calls": [called("c1", **signed("b25l")), called("c2", "see", "{}")],
    },
    {"role": "tool", "tool_call_id": "c1", "content": '{"y":[2]}'},
    {"role": "tool", "tool_call_id": "c2", "content": "no"},
    {"role": "assistant", "content": "Seen.", **signed("dHdv")},
    {"role": "user", "content": "and?"},
]
_SHOWN = [
    types.Part.from_bytes(data=b"\x89PNG", mime_type="image/png"),
    types.Part.from_uri(
        file_uri="https://x.org/a.png", mime_type="image/png", media_resolution="MEDIA_RESOLUTION_HIGH"
    ),
    "what?",
]
_FORM = {"type": "json_schema", "json_schema": {"name": "city", "schema": SCHEMA, "strict": True}}
_SAFE = {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_ONLY_HIGH"}
OFFICIAL: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "settings": (
        "hi",
        {
            **dict(temperature=0.5, top_p=0.9, top_k=5, candidate_count=2, stop_sequences=["x"], seed=7),
            **dict(presence_penalty=0.1, frequency_penalty=0.2, response_logprobs=True, logprobs=3),
            "system_instruction": "Be brief.",
        },
        {
            "messages": [{"role": "developer", "content": "Be brief."}, SAY],
            **dict(temperature=0.5, top_p=0.9, top_k=5, n=2, stop="x", seed=7),
            **dict(presence_penalty=0.1, frequency_penalty=0.2, logprobs=True, top_logprobs=3),
        },
    ),
    "a schema": (
        "hi",
        {"response_mime_type": "application/json", "response_json_schema": SCHEMA},
        {"response_format": _FORM},
    ),
    "any json": ("hi", {"response_mime_type": "application/json"}, {"response_format": {"type": "json_object"}}),
    "a named function": (
        "hi",
        {
            "tools": [types.Tool(function_declarations=[_FUNCTION])],
            "tool_config": {"function_calling_config": {"mode": "ANY", "allowed_function_names": ["look"]}},
        },
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "look"}}},
    ),
    "no function": (
        "hi",
        {
            "tools": [types.Tool(function_declarations=[_FUNCTION])],
            "tool_config": {"function_calling_config": {"mode": "NONE"}},
        },
        {"tools": [TOOL], "tool_choice": "none"},
    ),
    "calls and results": (_CALLED, {}, {"messages": _CALLED_HERE}),
    "pictures": (
        [types.Part.from_bytes(data=base64.b64decode(PIXEL), mime_type="image/png"), *_SHOWN[1:]],
        {},
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
                        {"type": "image_url", "image_url": {"url": "https://x.org/a.png", "detail": "high"}},
                        {"type": "text", "text": "what?"},
                    ],
                }
            ]
        },
    ),
    "thoughts": (
        "hi",
        {"thinking_config": types.ThinkingConfig(thinking_level=types.ThinkingLevel.LOW, include_thoughts=True)},
        {"reasoning_effort": "low"},
    ),
    "thoughts in Google's own words": (
        "hi",
        {"thinking_config": types.ThinkingConfig(thinking_budget=-1), "safety_settings": [_SAFE]},
        {"extra_body": {"google": {"thinking_config": {"thinking_budget": -1}, "safety_settings": [_SAFE]}}},
    ),
}


@pytest.fixture(scope="module")
def official() -> Iterator[Recorder]:
    with recorder() as kept:
        yield kept


@pytest.mark.parametrize("name", OFFICIAL)
def test_the_official_clients_own_request_is_what_is_sent(name: str, official: Recorder) -> None:
    said, settings, canonical = OFFICIAL[name]

    def generate(client: Any) -> Any:
        given = types.GenerateContentConfig(**settings, max_output_tokens=99)
        return client.models.generate_content(model=NEW, contents=said, config=given)

    assert settled(official.sent(generate)) == settled(sent(**canonical))


def test_the_official_clients_other_requests_are_what_is_sent(official: Recorder) -> None:
    def embed(client: Any) -> Any:
        size = types.EmbedContentConfig(output_dimensionality=16)
        return client.models.embed_content(model="gemini-embedding-001", contents=["a", "b"], config=size)

    asked = ask("gemini-embedding-001", type="embedding", input=["a", "b"], dimensions=16)
    (body,) = embeddings.payloads(asked)
    assert official.sent(embed) == orjson.loads(body) and official.path.endswith(f":{embeddings.METHOD}")

    def draw(client: Any) -> Any:
        drawn = types.ImageConfig(aspect_ratio="3:2", image_size="2K")
        given = types.GenerateContentConfig(response_modalities=["IMAGE"], image_config=drawn)
        return client.models.generate_content(model="gemini-3-pro-image", contents="a cat", config=given)

    asked = ask("gemini-3-pro-image", type="image", prompt="a cat", size="2496x1664")
    assert official.sent(draw) == orjson.loads(images.payload(asked)) and official.headers["x-goog-api-key"] == "key"


# What stands where in a conversation.


def test_instructions_stand_apart_wherever_they_are_said() -> None:
    body = sent(messages=[SAY, {"role": "system", "content": "A"}, {"role": "developer", "content": [TEXT]}])
    assert body["systemInstruction"] == {"parts": [{"text": "A"}, {"text": "B"}]}
    assert body["contents"] == [{"role": "user", "parts": [{"text": "hi"}]}]


TEXT = {"type": "text", "text": "B"}


def test_a_request_of_instructions_alone_is_the_users() -> None:
    body = sent(messages=[{"role": "system", "content": "A"}])
    assert body["contents"] == [{"role": "user", "parts": [{"text": "A"}]}] and "systemInstruction" not in body


def test_neighbours_of_one_role_are_one_turn() -> None:
    spoken = {"role": "assistant", "content": "yes"}
    found = contents(SAY, {"role": "user", "content": [TEXT]}, spoken, {**spoken, "refusal": "no"}, SAY)
    assert [(one["role"], [part["text"] for part in one["parts"]]) for one in found] == [
        ("user", ["hi", "B"]),
        ("model", ["yes", "yes", "no"]),
        ("user", ["hi"]),
    ]


def test_results_stand_together_and_apart_from_what_follows() -> None:
    asking = {"role": "assistant", "content": None, "tool_calls": [called("a"), called("b", "see")]}
    results = [{"role": "tool", "tool_call_id": id, "content": text} for id, text in (("b", "[1]"), ("a", "7"))]
    found = contents(SAY, asking, *results, SAY)
    assert [one["role"] for one in found] == ["user", "model", "user", "user"]
    assert [part["functionResponse"] for part in found[2]["parts"]] == [
        {"id": "b", "name": "see", "response": {"output": "[1]"}},
        {"id": "a", "name": "look", "response": {"output": "7"}},
    ]


@pytest.mark.parametrize(
    ("arguments", "args"), [("", {}), ("{}", {}), ('{"a":1.5}', {"a": 1.5}), ('{"a', {"arguments": '{"a'})]
)
def test_arguments_are_an_object(arguments: str, args: dict[str, Any]) -> None:
    found = contents(SAY, {"role": "assistant", "tool_calls": [called("a", arguments=arguments)]})
    assert found[1]["parts"][0]["functionCall"] == {"id": "a", "name": "look", "args": args}


def test_a_picture_in_a_result_is_where_the_model_takes_it() -> None:
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    turn = [
        SAY,
        {"role": "assistant", "tool_calls": [called("a")]},
        {"role": "tool", "tool_call_id": "a", "content": [TEXT, picture]},
    ]
    inline = {"inlineData": {"mimeType": "image/png", "data": PIXEL}}
    (newer,) = contents(*turn)[2]["parts"]
    assert newer["functionResponse"] == {"id": "a", "name": "look", "response": {"output": "B"}, "parts": [inline]}
    older, beside = contents(*turn, upstream=OLD)[2]["parts"]
    assert beside == inline and "parts" not in older["functionResponse"]


@pytest.mark.parametrize(
    "beside",
    [
        signed("AA=="),
        {"provider_specific_fields": {"thought_signature": "AA=="}},
        {"provider_specific_fields": {"thought_signatures": ["BB==", "AA=="]}},
        {"thought_signature": "AA=="},
        {"extra_content": {"other": 1}, "thought_signature": "AA=="},
    ],
)
def test_a_signature_is_given_back_where_it_came_from(beside: dict[str, Any]) -> None:
    found = contents(SAY, {"role": "assistant", "content": None, "tool_calls": [called("a", **beside), called("b")]})
    assert [part.get("thoughtSignature") for part in found[1]["parts"]] == ["AA==", None]
    found = contents(SAY, {"role": "assistant", "content": "yes", **beside})
    assert found[1]["parts"] == [{"text": "yes", "thoughtSignature": "AA=="}]


@pytest.mark.parametrize(("upstream", "signature"), [(NEW, UNSIGNED), ("gemini-flash-latest", UNSIGNED), (OLD, None)])
def test_calls_of_another_model_say_that_they_have_no_signature(upstream: str, signature: str | None) -> None:
    found = contents(SAY, {"role": "assistant", "tool_calls": [called("a"), called("b")]}, upstream=upstream)
    assert [part.get("thoughtSignature") for part in found[1]["parts"]] == [signature, None]


def test_resolution_is_asked_for_where_the_model_takes_it() -> None:
    def part(upstream: str, detail: str) -> Any:
        shown = {"type": "image_url", "image_url": {"url": "https://x.org/a", "detail": detail}}
        return contents({"role": "user", "content": [shown]}, upstream=upstream)[0]["parts"][0]

    assert part(NEW, "low")["mediaResolution"] == {"level": "MEDIA_RESOLUTION_LOW"}
    assert part(NEW, "auto") == {"fileData": {"fileUri": "https://x.org/a", "mimeType": "image/jpeg"}}
    assert "mediaResolution" not in part(OLD, "low")


# How much it is to think.

EFFORTS = {
    "none": ({"thinkingBudget": 0}, {"thinkingBudget": 128}, {"thinkingLevel": "MINIMAL"}, {"thinkingLevel": "LOW"}),
    "minimal": ({"thinkingBudget": 1024}, {"thinkingBudget": 1024}, {"thinkingLevel": "MINIMAL"}, "LOW"),
    "low": ({"thinkingBudget": 1024}, {"thinkingBudget": 1024}, {"thinkingLevel": "LOW"}, "LOW"),
    "medium": ({"thinkingBudget": 8192}, {"thinkingBudget": 8192}, {"thinkingLevel": "MEDIUM"}, "MEDIUM"),
    "high": ({"thinkingBudget": 24576}, {"thinkingBudget": 24576}, {"thinkingLevel": "HIGH"}, "HIGH"),
    "xhigh": ({"thinkingBudget": 24576}, {"thinkingBudget": 24576}, {"thinkingLevel": "HIGH"}, "HIGH"),
}


@pytest.mark.parametrize("effort", EFFORTS)
def test_an_effort_is_a_budget_or_a_level(effort: str) -> None:
    shown = {} if effort == "none" else {"includeThoughts": True}
    for upstream, wanted in zip((OLD, PRO, NEW, "gemini-3.1-pro-preview"), EFFORTS[effort], strict=True):
        wanted = {"thinkingLevel": wanted} if isinstance(wanted, str) else wanted
        assert config(upstream, reasoning_effort=effort)["thinkingConfig"] == {**wanted, **shown}


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({"reasoning": {"max_tokens": 500}}, {"thinkingBudget": 500, "includeThoughts": True}),
        ({"reasoning": {"effort": "low", "exclude": True}}, {"thinkingBudget": 1024}),
        ({"reasoning": {"enabled": False}}, {"thinkingBudget": 0}),
        ({"reasoning": {"enabled": True}}, {"includeThoughts": True}),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, {"thinkingBudget": 2000, "includeThoughts": True}),
        ({"thinking": {"type": "disabled"}}, {"thinkingBudget": 0}),
        ({}, None),
    ],
)
def test_other_ways_to_say_it(asked: dict[str, Any], wanted: dict[str, Any] | None) -> None:
    assert config(OLD, **asked).get("thinkingConfig") == wanted


@pytest.mark.parametrize(
    ("tokens", "third", "fourth"),
    [
        (0, {"thinkingBudget": 0}, {"thinkingLevel": "LOW"}),
        (1024, {"thinkingBudget": 1024}, {"thinkingLevel": "LOW"}),
        (1025, {"thinkingBudget": 1025}, {"thinkingLevel": "MEDIUM"}),
        (8193, {"thinkingBudget": 8193}, {"thinkingLevel": "HIGH"}),
        (-1, {"thinkingBudget": -1}, {}),
    ],
)
def test_a_budget_is_a_level_where_none_is_taken(tokens: int, third: dict[str, Any], fourth: dict[str, Any]) -> None:
    for upstream, wanted in ((NEW, third), ("gemini-4-argon", fourth), ("gemini-flash-latest", fourth)):
        for asked in (
            {"reasoning": {"max_tokens": tokens}},
            {"thinking": {"type": "enabled", "budget_tokens": tokens}},
        ):
            assert config(upstream, **asked)["thinkingConfig"] == {**wanted, "includeThoughts": True}


def test_gemini_4_is_not_sent_what_it_passes_over_and_the_job_lists_it() -> None:
    sampling = {"temperature": 0.5, "top_p": 0.9, "top_k": 3}
    asked, row = ask("gemini-4-argon", **sampling), catalogue().sending("gemini-4-argon")
    assert not {"temperature", "topP", "topK"} & set(composed(asked, row)["generationConfig"])
    assert set(left_out(asked, row)) == set(sampling)


# The rest.


def test_a_stricter_function_is_validated() -> None:
    strict = {"type": "function", "function": {**TOOL["function"], "strict": True}}  # type: ignore[dict-item]
    calling = "functionCallingConfig"
    assert sent(tools=[strict])["toolConfig"] == {calling: {"mode": "VALIDATED"}}
    assert sent(tools=[strict], tool_choice="required")["toolConfig"] == {calling: {"mode": "ANY"}}
    assert sent(tools=[TOOL], tool_choice="auto")["toolConfig"] == {calling: {"mode": "AUTO"}}
    assert "toolConfig" not in sent(tools=[TOOL])


def test_a_seed_of_more_bits_is_one_of_32() -> None:
    assert config(seed=2**31 - 1)["seed"] == 2**31 - 1
    assert config(seed=2**40 + 5)["seed"] == config(seed=2**40 + 5)["seed"] < 2**31


def test_a_tier_goes_to_whoever_sells_it() -> None:
    flex = ask(service_tier="flex")
    assert composed(flex, Sending(takes=TAKES | {"service_tier"}))["serviceTier"] == "flex"
    assert composed(ask(service_tier="auto"), Sending(takes=TAKES | {"service_tier"}))["serviceTier"] == "standard"
    flex.offer.service_tier = "default"
    usual = composed(flex, Sending(takes=TAKES | {"service_tier"}))
    assert usual["serviceTier"] == "standard", "the offer's tier goes before what the request says"
    flex.offer.service_tier = ""
    assert "serviceTier" not in composed(flex, Sending(takes=TAKES))
    assert list(left_out(flex, Sending(takes=TAKES))) == ["service_tier"]


def test_what_a_row_says_of_fields_holds() -> None:
    plain = Sending(defaults={"temperature": 0.7}, omit=frozenset({"seed"}), either=("temperature", "top_p"))
    assert composed(ask(seed=7), plain)["generationConfig"] == {"maxOutputTokens": 99, "temperature": 0.7}
    assert composed(ask(top_p=0.5), plain)["generationConfig"] == {"maxOutputTokens": 99, "topP": 0.5}
    assert list(left_out(ask(seed=7), plain)) == ["seed"]


def test_every_field_is_sent_or_listed() -> None:
    asked = {**FULL, **UNSERVED, "extra_body": {"google": {"cached_content": "cachedContents/x"}, "mine": 1}}
    named = [{**SAY, "name": "Ann", "cache_control": {"type": "ephemeral"}}]
    call = ask(**{**asked, "messages": named})
    listed = set(left_out(call, Sending(takes=TAKES)))
    unknown = {"extra_body.mine", "extra_body.google.cached_content", "messages[0].name", "messages[0].cache_control"}
    assert listed == unknown | {
        *("parallel_tool_calls", "user", "logit_bias", "prediction", "verbosity", "web_search_options", "moderation"),
        *("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "safety_identifier", "cache_control"),
        *("chat_template_kwargs", "enable_thinking", "min_p", "repetition_penalty", "service_tier", "store"),
    }
    assert set(ChatRequest.model_fields) >= set(asked)


def test_many_texts_are_embedded_in_several_requests() -> None:
    bodies = [orjson.loads(body) for body in embeddings.payloads(ask(type="embedding", input=["x"] * 230))]
    assert [len(body["requests"]) for body in bodies] == [100, 100, 30]
    with pytest.raises(ProviderError, match="not arrays of tokens"):
        list(embeddings.payloads(ask(type="embedding", input=[1, 2])))


def test_an_image_is_asked_for_by_its_ratio_and_its_size() -> None:
    def drawn(size: str) -> Any:
        return orjson.loads(images.payload(ask(type="image", prompt="a", size=size)))["generationConfig"]["imageConfig"]

    assert drawn("1024x1024") == {"aspectRatio": "1:1"} == drawn("auto")
    assert drawn("1024x1536") == {"aspectRatio": "2:3"}
    assert drawn("4096x4096") == {"aspectRatio": "1:1", "imageSize": "4K"}
    asked = ask(type="image", prompt="a", n=2, quality="high", user="u")
    assert images.left_out(asked) == ["user", "quality"]


def test_a_picture_is_read_or_said_to_be_filtered() -> None:
    seen: Callable[[Any], dict[str, Any]] = images.picture
    parts = [{"text": "thinking"}, {"inlineData": {"data": "AA==", "mimeType": "image/png"}, "thought": True}]
    parts.append({"inlineData": {"data": "BB==", "mimeType": "image/png"}})
    assert seen({"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}]}) == {"b64_json": "BB=="}
    for body, code in (
        ({"candidates": [{"finishReason": "IMAGE_SAFETY"}]}, "content_filter"),
        ({"promptFeedback": {"blockReason": "SAFETY"}}, "content_filter"),
        ({"candidates": [{"finishReason": "NO_IMAGE"}]}, "empty"),
        ({}, "empty"),
    ):
        with pytest.raises(ProviderError) as error:
            seen(body)
        assert error.value.code == code
