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
