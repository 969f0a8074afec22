"""What Anthropic's own client sends, recorded, is what the adapter sends for the same in canonical terms."""

from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, ClassVar

import anthropic
import orjson
import pytest

from tests.pictures import data_url, png
from tests.providers.claude import composed_of
from tests.providers.heard import Heard

DATA = data_url(png()).partition(",")[2]
MARK = {"type": "ephemeral"}
TEXT = {"type": "text", "text": "A book."}
HOUR = {"type": "ephemeral", "ttl": "1h"}
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER = {"name": "get_weather", "description": "The weather of a city.", "input_schema": SCHEMA}
ASKED = {"role": "user", "content": "What is the weather in Oslo and in Rome?"}
CALLS = [
    {"type": "tool_use", "id": "toolu_01A", "name": "get_weather", "input": {"city": "Oslo"}},
    {"type": "tool_use", "id": "toolu_01B", "name": "get_weather", "input": {"city": "Rome"}},
]
THOUGHT = {"type": "thinking", "thinking": "Two calls.", "signature": "EqQBCgIYAhIM1gbcDa9GJwZA2b3h"}
SECRET = {"type": "redacted_thinking", "data": "EmwKAhgBEgy3va3pzix"}
RESULTS = [
    {"type": "tool_result", "tool_use_id": "toolu_01A", "content": "-3 degrees"},
    {"type": "tool_result", "tool_use_id": "toolu_01B", "content": "no answer", "is_error": True},
]

#: What the client is asked for; each is one call of `messages.create`, or of `messages.stream` where it says so.
CALLED: dict[str, dict[str, Any]] = {
    "a text": {"messages": [{"role": "user", "content": "Hello, Claude"}]},
    "a conversation": {
        "system": "Be brief.",
        "messages": [
            {"role": "user", "content": "Hello there."},
            {"role": "assistant", "content": "Hi, I'm Claude. How can I help you?"},
            {"role": "user", "content": [{"type": "text", "text": "Explain LLMs."}]},
        ],
        "stop_sequences": ["END", "STOP"],
        "metadata": {"user_id": "u-17"},
        "extra_body": {"temperature": 0.5, "top_k": 5},
        "service_tier": "standard_only",
    },
    "an answer that was begun": {
        "messages": [
            {"role": "user", "content": "The Greek name of the sun?"},
            {"role": "assistant", "content": "It is ("},
        ],
        "extra_body": {"top_p": 0.9},
        "service_tier": "auto",
    },
    "pictures": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DATA}},
                    {"type": "image", "source": {"type": "url", "url": "https://example.com/ant.jpg"}},
                    {"type": "text", "text": "What is above?"},
                ],
            }
        ]
    },
    "a tool": {"messages": [ASKED], "tools": [WEATHER]},
    "a tool that must be called, once": {
        "messages": [ASKED],
        "tools": [{**WEATHER, "strict": True}],
        "tool_choice": {"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True},
    },
    "any tool": {"messages": [ASKED], "tools": [WEATHER], "tool_choice": {"type": "any"}},
    "no tool": {"messages": [ASKED], "tools": [WEATHER], "tool_choice": {"type": "none"}},
    "results of tools, and more": {
        "messages": [
            ASKED,
            {"role": "assistant", "content": [{"type": "text", "text": "I look."}, *CALLS]},
            {"role": "user", "content": [*RESULTS, {"type": "text", "text": "Be quick."}]},
        ],
        "tools": [WEATHER],
    },
    "a picture as a result": {
        "messages": [
            ASKED,
            {"role": "assistant", "content": CALLS[:1]},
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "toolu_01A",
                        "content": [
                            {"type": "text", "text": "A map:"},
                            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DATA}},
                        ],
                    }
                ],
            },
        ],
        "tools": [WEATHER],
    },
    "thoughts that go back": {
        "model": "claude-haiku-4-5",
        "messages": [
            ASKED,
            {"role": "assistant", "content": [THOUGHT, SECRET, {"type": "text", "text": "I look."}, *CALLS]},
            {"role": "user", "content": RESULTS},
        ],
        "tools": [WEATHER],
        "thinking": {"type": "enabled", "budget_tokens": 2000},
    },
    "thoughts of a newer model": {
        "model": "claude-opus-5",
        "messages": [ASKED],
        "thinking": {"type": "adaptive", "display": "summarized"},
        "output_config": {"effort": "xhigh"},
    },
    "a schema": {
        "messages": [ASKED],
        "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
    },
    "marks for the cache": {
        "system": [{"type": "text", "text": "Long rules."}, {"type": "text", "text": "More.", "cache_control": HOUR}],
        "messages": [
            {"role": "user", "content": [{**TEXT, "cache_control": MARK}, {"type": "text", "text": "Why?"}]},
            {"role": "assistant", "content": [{**CALLS[0], "cache_control": MARK}]},
            {"role": "user", "content": [{**RESULTS[0], "tool_use_id": "toolu_01A"}]},
        ],
        "tools": [{**WEATHER, "cache_control": HOUR}],
    },
    "the cache by itself": {"messages": [ASKED], "cache_control": MARK},
    "a stream": {"messages": [ASKED], "stream": True},
}  # fmt: skip


class Capture(BaseHTTPRequestHandler):
    """Keeps what it is sent, and refuses it."""

    kept: ClassVar[list[bytes]] = []

    def do_POST(self) -> None:
        self.kept.append(self.rfile.read(int(self.headers["content-length"])))
        refusal = b'{"type": "error", "error": {"type": "invalid_request_error", "message": "kept"}}'
        self.send_response(400)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(refusal)))
        self.end_headers()
        self.wfile.write(refusal)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def claude() -> Iterator[anthropic.Anthropic]:
    """The client, whose provider is a capture."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Capture) as server:
        serving = Thread(target=server.serve_forever)
        serving.start()
        url = f"http://127.0.0.1:{server.server_port}"
        with anthropic.Anthropic(base_url=url, api_key="k", max_retries=0) as client:
            yield client
        server.shutdown()
        serving.join()


def recorded(claude: anthropic.Anthropic, given: Mapping[str, Any]) -> dict[str, Any]:
    """The body that the client sends."""
    usual: dict[str, Any] = {"model": "claude-haiku-4-5", "max_tokens": 4096}
    with pytest.raises(anthropic.BadRequestError):
        claude.messages.create(**{**usual, **given})
    return dict(orjson.loads(Capture.kept.pop()))


def blocks(content: Any) -> list[dict[str, Any]]:
    """A text is short for one block of it."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def spelled(body: dict[str, Any]) -> dict[str, Any]:
    """A body with its texts as the blocks that they are short for."""
    turns = [{**turn, "content": blocks(turn["content"])} for turn in body["messages"]]
    system = {"system": blocks(body["system"])} if "system" in body else {}
    return {**body, **system, "messages": turns}


def canonical(body: dict[str, Any]) -> dict[str, Any]:
    """The same in OpenAI's fields."""
    asked: dict[str, Any] = {"messages": list(_messages(body)), "max_tokens": body["max_tokens"]}
    same = ("temperature", "top_p", "top_k", "thinking", "cache_control", "stream")
    asked |= {name: body[name] for name in same if name in body}
    asked |= {"stop": body["stop_sequences"]} if "stop_sequences" in body else {}
    asked |= {"user": body["metadata"]["user_id"]} if "metadata" in body else {}
    if "service_tier" in body:
        asked["service_tier"] = {"auto": "auto", "standard_only": "default"}[body["service_tier"]]
    if "tools" in body:
        asked["tools"] = [_tool(tool) for tool in body["tools"]]
    if choice := body.get("tool_choice"):
        named = {"type": "function", "function": {"name": choice.get("name")}}
        asked["tool_choice"] = {"any": "required", "tool": named}.get(choice["type"], choice["type"])
        asked |= {"parallel_tool_calls": False} if choice.get("disable_parallel_tool_use") else {}
    config = body.get("output_config", {})
    asked |= {"reasoning_effort": config["effort"]} if "effort" in config else {}
    if "format" in config:
        schema = {"name": "answer", "schema": config["format"]["schema"]}
        asked["response_format"] = {"type": "json_schema", "json_schema": schema}
    return asked


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    names = {"name": "name", "description": "description", "input_schema": "parameters", "strict": "strict"}
    function = {other: tool[name] for name, other in names.items() if name in tool}
    return {"type": "function", "function": function, **_marked(tool)}


def _marked(block: dict[str, Any]) -> dict[str, Any]:
    return {"cache_control": block["cache_control"]} if "cache_control" in block else {}


def _messages(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "system" in body:
        yield {"role": "system", "content": [_part(block) for block in body["system"]]}
    for turn in body["messages"]:
        found: dict[str, list[Any]] = {"text": [], "tool_use": [], "tool_result": [], "thinking": []}
        for block in turn["content"]:
            kind = {"image": "text", "redacted_thinking": "thinking"}.get(block["type"], block["type"])
            found[kind].append(block)
        for result in found["tool_result"]:
            content = result["content"]
            parts = content if isinstance(content, str) else [_part(block) for block in content]
            failed = {"is_error": True} if result.get("is_error") else {}
            yield {"role": "tool", "tool_call_id": result["tool_use_id"], "content": parts, **failed, **_marked(result)}
        said: dict[str, Any] = {"role": turn["role"], "content": [_part(block) for block in found["text"]] or None}
        said |= {"thinking_blocks": found["thinking"]} if found["thinking"] else {}
        said |= {"tool_calls": [_call(block) for block in found["tool_use"]]} if found["tool_use"] else {}
        if said["content"] or "tool_calls" in said:
            yield said


def _part(block: dict[str, Any]) -> dict[str, Any]:
    if block["type"] == "text":
        return {"type": "text", "text": block["text"], **_marked(block)}
    source = block["source"]
    url = source.get("url") or f"data:{source['media_type']};base64,{source['data']}"
    return {"type": "image_url", "image_url": {"url": url}, **_marked(block)}


def _call(block: dict[str, Any]) -> dict[str, Any]:
    function = {"name": block["name"], "arguments": orjson.dumps(block["input"]).decode()}
    return {"id": block["id"], "type": "function", "function": function, **_marked(block)}


@pytest.mark.parametrize("name", CALLED)
def test_what_the_client_sends_is_sent_without_loss(claude: anthropic.Anthropic, name: str) -> None:
    body = spelled(recorded(claude, CALLED[name]))
    asked = canonical(body)
    made = composed_of(asked, upstream=body["model"], sink=Heard() if asked.pop("stream", None) else None)
    assert made.body == body
    assert made.ignored == []
