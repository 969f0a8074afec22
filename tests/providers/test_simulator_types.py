"""What the simulator says is of the types that the clients publish, read strictly: they forgive what is missing."""

from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import pytest
from google.genai import types
from openai.types import CreateEmbeddingResponse, ImagesResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import TypeAdapter

from workers.simulator.server import simulator

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 2}},
    "required": ["city"],
}
OPENAI_TOOL: Any = {"type": "function", "function": {"name": "get_weather", "parameters": WEATHER}}
HELLO: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello there, how are you?"}]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with simulator() as base:
        yield base


def test_answers_are_of_the_published_types(url: str) -> None:
    headers = {"authorization": "Bearer k", "anthropic-version": "2023-06-01", "x-goog-api-key": "k"}
    with httpx.Client(base_url=url, headers=headers) as http:
        asked = {"model": "m", "messages": HELLO[1:], "max_tokens": 50}
        chat = http.post("/openai/v1/chat/completions", json=asked).content
        ChatCompletion.model_validate_json(chat)
        CreateEmbeddingResponse.model_validate_json(
            http.post("/openai/v1/embeddings", json={"model": "m", "input": "x"}).content
        )
        ImagesResponse.model_validate_json(
            http.post("/openai/v1/images/generations", json={"model": "gpt-image-1", "prompt": "x"}).content
        )
        anthropic.types.Message.model_validate_json(http.post("/anthropic/v1/messages", json=asked).content)
        for tools in ([], [OPENAI_TOOL]):
            more = {"stream": True, "stream_options": {"include_usage": True}, "tool_choice": "required"}
            more = more if tools else more | {"tool_choice": None}
            for data in _events(http.post("/openai/v1/chat/completions", json=asked | more | {"tools": tools}).text):
                ChatCompletionChunk.model_validate_json(data)
        event: Any = TypeAdapter(anthropic.types.RawMessageStreamEvent)
        for data in _events(http.post("/anthropic/v1/messages", json=asked | {"stream": True}).text):
            assert '"ping"' in data or event.validate_json(data)
        gemini = {"contents": [{"parts": [{"text": "x"}]}]}
        types.GenerateContentResponse.model_validate_json(
            http.post("/google/v1beta/models/g:generateContent", json=gemini).content
        )


def _events(text: str) -> list[str]:
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    return [line for line in lines if line != "[DONE]"]
