"""The simulator answers Google's own client."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from google import genai
from google.genai import errors as google_errors
from google.genai import types

from workers.simulator.server import simulator

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 2}},
    "required": ["city"],
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with simulator() as base:
        yield base


@pytest.fixture(scope="module")
def gemini(url: str) -> Iterator[genai.Client]:
    client = genai.Client(api_key="key", http_options=types.HttpOptions(base_url=f"{url}/google"))
    yield client
    client.close()


def script(url: str, *rules: dict[str, Any]) -> None:
    httpx.post(f"{url}/_simulator/script", json={"rules": list(rules)}).raise_for_status()


@pytest.fixture(autouse=True)
def clean(url: str) -> Iterator[None]:
    yield
    httpx.delete(f"{url}/_simulator/script")


def test_gemini_answers_and_streams_the_same(gemini: genai.Client) -> None:
    whole = gemini.models.generate_content(model="gemini-x", contents="Hello there")
    assert whole.text is not None and whole.text.endswith("to: Hello there")
    chunks = list(gemini.models.generate_content_stream(model="gemini-x", contents="Hello there"))
    assert "".join(chunk.text or "" for chunk in chunks) == whole.text and len(chunks) > 2
    assert chunks[-1].candidates and chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP
    usage = whole.usage_metadata
    assert usage is not None and usage.total_token_count == (usage.prompt_token_count or 0) + (
        usage.candidates_token_count or 0
    )


def test_gemini_config(gemini: genai.Client) -> None:
    config = types.GenerateContentConfig(max_output_tokens=2, system_instruction="Be brief.", candidate_count=2)
    short = gemini.models.generate_content(model="g", contents="Hello", config=config)
    assert short.candidates and len(short.candidates) == 2
    assert short.candidates[0].finish_reason == types.FinishReason.MAX_TOKENS
    form = types.GenerateContentConfig(response_mime_type="application/json", response_json_schema=WEATHER)
    assert json.loads(gemini.models.generate_content(model="g", contents="Hi", config=form).text or "")["days"] == 2


def test_gemini_calls_functions(gemini: genai.Client) -> None:
    declared = types.FunctionDeclaration(name="get_weather", parameters_json_schema=WEATHER)
    config = types.GenerateContentConfig(
        tools=[types.Tool(function_declarations=[declared])],
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    called = gemini.models.generate_content(model="g", contents="use get_weather", config=config)
    assert called.function_calls and called.function_calls[0].args == {"city": "simulated city", "days": 2}


def test_gemini_embeds(gemini: genai.Client, url: str) -> None:
    two = gemini.models.embed_content(
        model="g", contents=["a", "b"], config=types.EmbedContentConfig(output_dimensionality=16)
    )
    assert two.embeddings and [len(one.values or []) for one in two.embeddings] == [16, 16]
    body = {"content": {"parts": [{"text": "a"}]}, "output_dimensionality": 16}
    one = httpx.post(f"{url}/google/v1beta/models/g:embedContent?key=k", json=body).json()
    assert one["embedding"]["values"] == pytest.approx(two.embeddings[0].values)


def test_gemini_errors(gemini: genai.Client, url: str) -> None:
    script(url, {"provider": "google", "fault": {"status": 429, "retry_after": 3}})
    with pytest.raises(google_errors.ClientError) as busy:
        gemini.models.generate_content(model="g", contents="Hello")
    assert (busy.value.code, busy.value.status) == (429, "RESOURCE_EXHAUSTED")
    script(url, {"provider": "google", "fault": {"status": 503}})
    with pytest.raises(google_errors.ServerError) as down:
        gemini.models.generate_content(model="g", contents="Hello")
    assert down.value.status == "UNAVAILABLE"
    script(url)
    bare = httpx.post(f"{url}/google/v1beta/models/g:generateContent", json={})
    assert (bare.status_code, bare.json()["error"]["status"]) == (401, "UNAUTHENTICATED")
    wrong = httpx.post(f"{url}/google/v1beta/models/g:generateContent?key=invalid", json={})
    assert (wrong.status_code, wrong.json()["error"]["details"][0]["reason"]) == (400, "API_KEY_INVALID")
    empty = httpx.post(f"{url}/google/v1beta/models/g:generateContent?key=k", json={})
    assert (empty.status_code, empty.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")


def asked(
    url: str, body: Any, model: str = "gemini-3-flash-preview", method: str = "generateContent"
) -> httpx.Response:
    return httpx.post(f"{url}/google/v1beta/models/{model}:{method}", json=body, headers={"x-goog-api-key": "k"})


SAY = {"role": "user", "parts": [{"text": "hi"}]}
CALL = {"functionCall": {"id": "a", "name": "f", "args": {}}, "thoughtSignature": "skip_thought_signature_validator"}
RESULT = {"functionResponse": {"id": "a", "name": "f", "response": {"output": 1}}}


def turn(role: str, *parts: Any) -> dict[str, Any]:
    return {"role": role, "parts": list(parts)}


#: Bodies that the real one refuses, and the beginning of its words.
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown field": (
        {"contents": [SAY], "foo": 1},
        'Invalid JSON payload received. Unknown name "foo": Cannot find field.',
    ),
    "an unknown setting": (
        {"contents": [SAY], "generationConfig": {"max_tokens": 5}},
        "Invalid JSON payload received. Unknown name \"maxTokens\" at 'generation_config': Cannot find field.",
    ),
    "an unknown field of a part": (
        {"contents": [turn("user", {"text": "a", "detail": 1})]},
        "Invalid JSON payload received. Unknown name \"detail\" at 'contents[0].parts[0]': Cannot find field.",
    ),
    "a text for a number": (
        {"contents": [SAY], "generationConfig": {"maxOutputTokens": "x"}},
        "Invalid value at 'generation_config.max_output_tokens' (TYPE_INT32)",
    ),
    "a seed of more than 32 bits": (
        {"contents": [SAY], "generationConfig": {"seed": 2**31}},
        "Invalid value at 'generation_config.seed' (TYPE_INT32)",
    ),
    "a part without data": ({"contents": [turn("user", {})]}, "* GenerateContentRequest.contents[].parts[].data"),
    "no parts": ({"contents": [{"role": "user", "parts": []}]}, "* GenerateContentRequest.contents[].parts"),
    "a role of OpenAI's": ({"contents": [turn("assistant", {"text": "a"})]}, "Please use a valid role: user, model."),
    "a result without its call": (
        {"contents": [SAY, turn("user", RESULT)]},
        "Please ensure that function response turn comes immediately after a function call turn.",
    ),
    "a call without its result": (
        {"contents": [SAY, turn("model", CALL), SAY]},
        "Please ensure that the number of function response parts",
    ),
    "too few results": (
        {"contents": [SAY, turn("model", CALL, CALL), turn("user", RESULT)]},
        "Please ensure that the number of function response parts",
    ),
    "a call at the beginning": (
        {"contents": [turn("model", CALL), turn("user", RESULT)]},
        "Please ensure that function call turn comes immediately after a user turn",
    ),
    "a result of another function": (
        {
            "contents": [
                SAY,
                turn("model", CALL),
                turn("user", {"functionResponse": {"name": "g", "response": {"output": 1}}}),
            ]
        },
        "Function response name g does not match",
    ),
    "no signature": (
        {"contents": [SAY, turn("model", {"functionCall": CALL["functionCall"]}), turn("user", RESULT)]},
        "Function call is missing a thought_signature in functionCall parts.",
    ),
    "a signature of somebody else's": (
        {"contents": [SAY, turn("model", {**CALL, "thoughtSignature": "AAAA"}), turn("user", RESULT)]},
        "Corrupted thought signature.",
    ),
    "a budget and a level": (
        {
            "contents": [SAY],
            "generationConfig": {"thinkingConfig": {"thinkingBudget": 5, "thinkingLevel": "low"}},
        },
        "You can only set only one of thinking budget and thinking level.",
    ),
    "names of functions in another mode": (
        {
            "contents": [SAY],
            "tools": [{"functionDeclarations": [{"name": "f"}]}],
            "toolConfig": {"functionCallingConfig": {"mode": "AUTO", "allowedFunctionNames": ["f"]}},
        },
        "allowed_function_names should only be set",
    ),
    "a schema without its type": (
        {"contents": [SAY], "generationConfig": {"responseJsonSchema": {"type": "object"}}},
        "Response schema is only supported with response mime type",
    ),
    "an unknown tier": ({"contents": [SAY], "serviceTier": "fast"}, "Invalid value at 'service_tier'"),
    "a picture of a model of texts": (
        {"contents": [SAY], "generationConfig": {"responseModalities": ["IMAGE"]}},
        "Model does not support the requested response modalities: image",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_gemini_refuses_what_the_real_one_does(name: str, url: str) -> None:
    body, words = REFUSED[name]
    answer = asked(url, body)
    assert (answer.status_code, answer.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert answer.json()["error"]["message"].startswith(words)


def test_gemini_before_3_wants_no_signatures(url: str) -> None:
    turns = [SAY, turn("model", {"functionCall": CALL["functionCall"]}), turn("user", RESULT)]
    assert asked(url, {"contents": turns}, "gemini-2.5-flash").status_code == 200
    level = {"thinkingConfig": {"thinkingLevel": "low"}}
    wrong = asked(url, {"contents": [SAY], "generationConfig": level}, "gemini-2.5-pro")
    assert (wrong.status_code, wrong.json()["error"]["message"]) == (
        400,
        "Thinking level is not supported for this model.",
    )


def test_gemini_4_takes_levels_alone(url: str) -> None:
    budget = {"contents": [SAY], "generationConfig": {"thinkingConfig": {"thinkingBudget": 1024}}}
    wrong = asked(url, budget, "gemini-4-argon")
    assert (wrong.status_code, wrong.json()["error"]["message"]) == (
        400,
        "Thinking budget is not supported for this model. Use thinking level instead.",
    )
    assert asked(url, budget, "gemini-3.8-flash").status_code == 200


def test_gemini_3_goes_on_in_a_chat_of_the_official_client(gemini: genai.Client) -> None:
    """Its chat keeps what the model said, with its signatures, and gives it back."""
    declared = types.FunctionDeclaration(name="get_weather", parameters_json_schema=WEATHER)
    config = types.GenerateContentConfig(
        tools=[types.Tool(function_declarations=[declared])],
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    chat = gemini.chats.create(model="gemini-3-flash-preview", config=config)
    first = chat.send_message("use get_weather")
    assert first.function_calls and first.function_calls[0].id
    call = first.function_calls[0]
    part = types.Part(
        function_response=types.FunctionResponse(id=call.id, name=call.name, response={"output": "22 degrees"})
    )
    pieces = list(chat.send_message_stream(part))
    assert "".join(piece.text or "" for piece in pieces).startswith("Simulated answer")
    assert chat.send_message("and now?").text


def test_gemini_thinks(gemini: genai.Client) -> None:
    config = types.GenerateContentConfig(
        thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_level=types.ThinkingLevel.LOW)
    )
    whole = gemini.models.generate_content(model="gemini-3-flash-preview", contents="Hello", config=config)
    assert whole.candidates and whole.candidates[0].content and whole.candidates[0].content.parts
    thought, said = whole.candidates[0].content.parts
    assert thought.thought and said.thought_signature and (whole.text or "").endswith("to: Hello")
    usage = whole.usage_metadata
    assert usage is not None and usage.thoughts_token_count
    assert usage.total_token_count == sum(
        (usage.prompt_token_count or 0, usage.candidates_token_count or 0, usage.thoughts_token_count)
    )


def test_gemini_draws(gemini: genai.Client) -> None:
    config = types.GenerateContentConfig(
        response_modalities=["IMAGE"], image_config=types.ImageConfig(aspect_ratio="3:2")
    )
    drawn = gemini.models.generate_content(model="gemini-3.1-flash-image", contents="a cat", config=config)
    assert drawn.parts and drawn.parts[0].inline_data and drawn.parts[0].inline_data.mime_type == "image/png"


def test_gemini_says_which_tier_served(gemini: genai.Client, url: str) -> None:
    served = gemini.models.generate_content(
        model="g", contents="Hello", config=types.GenerateContentConfig(service_tier=types.ServiceTier.FLEX)
    )
    assert served.sdk_http_response is not None and served.sdk_http_response.headers is not None
    assert served.sdk_http_response.headers["x-gemini-service-tier"] == "flex"
    assert asked(url, {"contents": [SAY]}).headers["x-gemini-service-tier"] == "standard"


def test_gemini_blocks_prompts(gemini: genai.Client, url: str) -> None:
    script(url, {"provider": "google", "fault": {"kind": "content_filter"}})
    blocked = gemini.models.generate_content(model="g", contents="Hello")
    assert not blocked.candidates and blocked.prompt_feedback is not None
    assert blocked.prompt_feedback.block_reason == types.BlockedReason.SAFETY


def test_gemini_says_which_quota_is_used_up(url: str) -> None:
    for code, window in (("", "Minute"), ("daily_quota_exceeded", "Day")):
        script(url, {"provider": "google", "fault": {"status": 429, "code": code, "retry_after": 7}})
        quota, wait = asked(url, {"contents": [SAY]}).json()["error"]["details"]
        assert quota["violations"][0]["quotaId"] == f"GenerateRequestsPer{window}PerProjectPerModel"
        assert wait["retryDelay"] == "7s"


def test_gemini_embeds_a_hundred_at_most(url: str) -> None:
    one = {"model": "models/g", "content": SAY}
    assert asked(url, {"requests": [one] * 100}, "g", "batchEmbedContents").status_code == 200
    assert asked(url, {"requests": [one] * 101}, "g", "batchEmbedContents").status_code == 400
