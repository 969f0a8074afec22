"""The simulator answers OpenAI's own client, also as the other providers that speak its protocol."""

import base64
import json
import math
import struct
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from workers.simulator.server import simulator

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 2}},
    "required": ["city"],
}
OPENAI_TOOL: Any = {"type": "function", "function": {"name": "get_weather", "parameters": WEATHER}}
HELLO: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello there, how are you?"}]
ASKING: Any = [{"role": "user", "content": "Please use get_weather for Paris"}]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with simulator() as base:
        yield base


@pytest.fixture(scope="module")
def oai(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{url}/openai/v1", api_key="key", max_retries=0) as client:
        yield client


def script(url: str, *rules: dict[str, Any]) -> None:
    httpx.post(f"{url}/_simulator/script", json={"rules": list(rules)}).raise_for_status()


@pytest.fixture(autouse=True)
def clean(url: str) -> Iterator[None]:
    yield
    httpx.delete(f"{url}/_simulator/script")


def test_chat_echoes_the_question_and_counts_consistently(oai: openai.OpenAI) -> None:
    first = oai.chat.completions.create(model="gpt-4o", messages=HELLO)
    again = oai.chat.completions.create(model="gpt-4o", messages=HELLO)
    text = first.choices[0].message.content
    assert text is not None and text.endswith("to: Hello there, how are you?")
    assert text == again.choices[0].message.content
    assert first.choices[0].finish_reason == "stop"
    assert first.usage is not None and first.usage.completion_tokens == math.ceil(len(text) / 4)
    assert first.usage.total_tokens == first.usage.prompt_tokens + first.usage.completion_tokens


@pytest.mark.parametrize("model", ["gpt-5.5", "gpt-6-luna", "gpt-6.1-sol", "o3"])
@pytest.mark.parametrize(("refused", "code"), [("max_tokens", "unsupported_parameter"), ("top_p", "unsupported_value")])
def test_reasoning_models_refuse_what_the_real_ones_do(oai: openai.OpenAI, model: str, refused: str, code: str) -> None:
    given: Any = {"max_tokens": 5} if refused == "max_tokens" else {"top_p": 0.5}
    with pytest.raises(openai.BadRequestError) as wrong:
        oai.chat.completions.create(model=model, messages=HELLO, **given)
    assert (wrong.value.code, wrong.value.param) == (code, refused)
    assert oai.chat.completions.create(model="gpt-4.1", messages=HELLO, **given).choices
    assert oai.chat.completions.create(model=model, messages=HELLO, max_completion_tokens=50).choices


def test_a_stream_says_what_the_whole_answer_says(oai: openai.OpenAI) -> None:
    whole = oai.chat.completions.create(model="gpt-4o", messages=HELLO)
    with oai.chat.completions.create(
        model="gpt-4o", messages=HELLO, stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert len([chunk for chunk in chunks if chunk.choices]) > 4
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage == whole.usage and not chunks[-1].choices


def test_n_and_limits_and_stops(oai: openai.OpenAI) -> None:
    several = oai.chat.completions.create(model="gpt-4o", messages=HELLO, n=3)
    assert len({choice.message.content for choice in several.choices}) == 3
    short = oai.chat.completions.create(model="gpt-4o", messages=HELLO, max_tokens=2)
    assert short.choices[0].finish_reason == "length"
    assert short.usage is not None and short.usage.completion_tokens == 2
    stopped = oai.chat.completions.create(model="gpt-4o", messages=HELLO, stop=[" to:"])
    assert str(stopped.choices[0].message.content).startswith("Simulated answer")
    assert " to:" not in str(stopped.choices[0].message.content)


def test_a_tool_is_called_when_the_question_names_it_and_answered_after(oai: openai.OpenAI) -> None:
    called = oai.chat.completions.create(model="gpt-4o", messages=ASKING, tools=[OPENAI_TOOL])
    message = called.choices[0].message
    assert called.choices[0].finish_reason == "tool_calls" and message.tool_calls
    call: Any = message.tool_calls[0]
    assert json.loads(call.function.arguments) == {"city": "simulated city", "days": 2}
    result: Any = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    turn: Any = message.model_dump(exclude_none=True)
    final = oai.chat.completions.create(model="gpt-4o", messages=[*ASKING, turn, result], tools=[OPENAI_TOOL])
    assert final.choices[0].finish_reason == "stop" and final.choices[0].message.content


@pytest.mark.parametrize(
    ("choice", "calls"),
    [("auto", False), ("required", True), ({"type": "function", "function": {"name": "get_weather"}}, True)],
)
def test_tool_choice(oai: openai.OpenAI, choice: Any, calls: bool) -> None:
    answer = oai.chat.completions.create(model="gpt-4o", messages=HELLO, tools=[OPENAI_TOOL], tool_choice=choice)
    assert bool(answer.choices[0].message.tool_calls) is calls


def test_tool_choice_none_and_streamed_tool_calls(oai: openai.OpenAI) -> None:
    none = oai.chat.completions.create(model="gpt-4o", messages=ASKING, tools=[OPENAI_TOOL], tool_choice="none")
    assert none.choices[0].message.tool_calls is None
    with oai.chat.completions.stream(model="gpt-4o", messages=ASKING, tools=[OPENAI_TOOL]) as stream:
        final = stream.get_final_completion()
    calls = final.choices[0].message.tool_calls
    assert calls and json.loads(calls[0].function.arguments)["days"] == 2


def test_structured_answers_are_json(oai: openai.OpenAI) -> None:
    loose = oai.chat.completions.create(model="gpt-4o", messages=HELLO, response_format={"type": "json_object"})
    assert "answer" in json.loads(loose.choices[0].message.content or "")
    form: Any = {"type": "json_schema", "json_schema": {"name": "w", "schema": WEATHER}}
    strict = oai.chat.completions.create(model="gpt-4o", messages=HELLO, response_format=form)
    assert json.loads(strict.choices[0].message.content or "") == {"city": "simulated city", "days": 2}


def test_embeddings_are_unit_vectors_in_both_encodings(oai: openai.OpenAI, url: str) -> None:
    plain = oai.embeddings.create(model="m", input=["a", "b"], encoding_format="float")
    packed = oai.embeddings.create(model="m", input=["a", "b"])
    assert [round(math.hypot(*one.embedding), 5) for one in plain.data] == [1.0, 1.0]
    assert plain.data[0].embedding != plain.data[1].embedding and len(plain.data[0].embedding) == 256
    assert packed.data[1].embedding == pytest.approx(plain.data[1].embedding)
    body = {"model": "m", "input": "a", "encoding_format": "base64", "dimensions": 8}
    raw = httpx.post(f"{url}/openai/v1/embeddings", json=body, headers={"authorization": "Bearer k"}).json()
    assert len(struct.unpack("<8f", base64.b64decode(raw["data"][0]["embedding"]))) == 8
    large = oai.embeddings.create(model="text-embedding-3-large", input=[[1, 2, 3], [4]])
    assert len(large.data[0].embedding) == 3072 and large.usage.prompt_tokens == 4


def test_images_are_valid_png_of_the_size_asked(oai: openai.OpenAI) -> None:
    gpt = oai.images.generate(model="gpt-image-1", prompt="a cat", size="1024x1536", n=2)
    assert gpt.data and len(gpt.data) == 2 and gpt.usage is not None
    assert gpt.usage.total_tokens == gpt.usage.input_tokens + gpt.usage.output_tokens
    picture = base64.b64decode(gpt.data[0].b64_json or "")
    linked = oai.images.generate(model="dall-e-3", prompt="a cat", size="1024x1536")
    assert linked.data and linked.data[0].url
    assert httpx.get(linked.data[0].url).content == picture
    assert picture.startswith(b"\x89PNG") and struct.unpack(">II", picture[16:24]) == (1024, 1536)
    with pytest.raises(openai.BadRequestError):
        oai.images.generate(model="gpt-image-1", prompt="a cat", size="7x7")
    with pytest.raises(openai.BadRequestError, match="response_format"):
        oai.images.generate(model="gpt-image-1", prompt="a cat", response_format="b64_json")


def test_models(oai: openai.OpenAI) -> None:
    assert "gpt-4o" in [model.id for model in oai.models.list()]
    assert oai.models.retrieve("gpt-4o").id == "gpt-4o"


def test_openai_errors_are_the_classes_that_its_users_catch(oai: openai.OpenAI, url: str) -> None:
    with (
        openai.OpenAI(base_url=f"{url}/openai/v1", api_key="invalid-key", max_retries=0) as wrong,
        pytest.raises(openai.AuthenticationError),
    ):
        wrong.models.list()
    with pytest.raises(openai.BadRequestError) as bad:
        oai.chat.completions.create(model="gpt-4o", messages=[])
    assert bad.value.param == "messages"
    with pytest.raises(openai.BadRequestError, match="Unrecognized request argument"):
        oai.chat.completions.create(model="gpt-4o", messages=HELLO, extra_body={"colour": 1})
    script(url, {"fault": {"status": 429, "code": "insufficient_quota", "retry_after": 2}})
    with pytest.raises(openai.RateLimitError) as poor:
        oai.chat.completions.create(model="gpt-4o", messages=HELLO)
    assert (poor.value.code, poor.value.type) == ("insufficient_quota", "insufficient_quota")
    assert poor.value.response.headers["retry-after"] == "2"
    script(url, {"fault": {"status": 503}})
    with pytest.raises(openai.InternalServerError):
        oai.chat.completions.create(model="gpt-4o", messages=HELLO)


@pytest.mark.parametrize(
    "path", ["google/v1beta/openai", "anthropic/v1", "deepinfra/v1/openai", "deepinfra/v1", "mistral/v1"]
)
def test_other_providers_speak_openai_too(url: str, path: str) -> None:
    with openai.OpenAI(base_url=f"{url}/{path}", api_key="key", max_retries=0) as client:
        assert client.chat.completions.create(model="m", messages=HELLO).choices
        assert client.embeddings.create(model="m", input="x").data
        assert client.images.generate(model="m", prompt="x", size="512x512").data


def test_a_stream_of_mistral_has_its_usage_in_its_last_chunk_unasked(url: str) -> None:
    with openai.OpenAI(base_url=f"{url}/mistral/v1", api_key="key", max_retries=0) as client:
        whole = client.chat.completions.create(model="m", messages=HELLO)
        chunks = list(client.chat.completions.create(model="m", messages=HELLO, stream=True))
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert [one.usage for one in chunks] == [None] * (len(chunks) - 1) + [whole.usage]


def test_googles_openai_endpoint_wraps_errors_in_a_list(url: str) -> None:
    answer = httpx.post(f"{url}/google/v1beta/openai/chat/completions", json={})
    assert answer.status_code == 401
    assert answer.json()[0]["error"]["status"] == "UNAUTHENTICATED"
