"""A coding agent's session, recorded as requests: its own words, in the shapes that such agents send.

Sources of the shapes: captured requests as described in public (qntx.sbvh.nl/research/claude-api-wire-format.html;
code.claude.com/docs/en/llm-gateway-protocol; github.com/ggml-org/llama.cpp/pull/20623, BerriAI/litellm/pull/37623,
anomalyco/opencode/issues/11083): a block of attribution before the system prompt, marks of the cache on it and on the
last two turns of the user, many tools with long schemas, reminders beside what the user typed, thoughts given back with
their signatures, several calls in one turn, results that are errors or pictures, an id of the user that is JSON.
"""

import base64
import itertools
from collections.abc import Iterator
from typing import Any

import orjson

from tests.pictures import png

HEADERS = {
    "x-app": "cli",
    "user-agent": "coding-cli/2.1.69 (external, cli)",
    "anthropic-dangerous-direct-browser-access": "true",
    "x-coding-session-id": "b4e5aaaa-9a3e-47c4-84ad-3a70f38c676e",
}
BETAS = [
    "claude-code-20250219",
    "adaptive-thinking-2026-01-28",
    "interleaved-thinking-2025-05-14",
    "context-management-2025-06-27",
    "prompt-caching-scope-2026-01-05",
    "fine-grained-tool-streaming-2025-05-14",
    "effort-2025-11-24",
]
USER = orjson.dumps(
    {"device_id": "d" * 64, "account_uuid": "", "session_id": "b4e5aaaa-9a3e-47c4-84ad-3a70f38c676e"}
).decode()
_GUIDE = "Read a file before you change it. Prefer small changes. Run the tests after each of them. " * 60
_requests = itertools.count()


def _tool(name: str, about: str, required: list[str], **properties: Any) -> dict[str, Any]:
    """A tool with a description and a schema as long as such agents' are."""
    described = {key: {"description": f"{key.replace('_', ' ')}. " * 12, **one} for key, one in properties.items()}
    return {
        "name": name,
        "description": f"{about}\n\nUsage:\n" + "- Give whole paths, and look at what comes back.\n" * 40,
        "input_schema": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": described,
            "required": required,
            "additionalProperties": False,
        },
        "eager_input_streaming": True,
    }


_TEXT = {"type": "string"}
TOOLS: list[dict[str, Any]] = [
    _tool("ReadFile", "Reads a file.", ["path"], path=_TEXT, offset={"type": "integer"}, limit={"type": "integer"}),
    _tool("RunShell", "Runs a command.", ["command"], command=_TEXT, timeout={"type": "number", "maximum": 600000}),
    _tool(
        "EditFile",
        "Replaces text in a file.",
        ["path", "edits"],
        path=_TEXT,
        edits={
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"old": _TEXT, "new": _TEXT, "all": {"type": "boolean", "default": False}},
                "required": ["old", "new"],
            },
        },
    ),
    _tool("TakeScreenshot", "Shows a web page.", ["url"], url={"type": "string", "format": "uri"}),
    _tool(
        "KeepTodos",
        "Keeps the list of what is to be done.",
        ["todos"],
        todos={
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"content": _TEXT, "status": {"enum": ["pending", "in_progress", "completed"]}},
                "required": ["content", "status"],
            },
        },
    ),
    *(
        _tool(f"mcp__server_{at}__Look_{at}", "Asks a server.", [], query={"anyOf": [_TEXT, {"type": "null"}]})
        for at in range(30)
    ),
]


def system(salt: str) -> list[dict[str, Any]]:
    """The system prompt; its first block differs in every request."""
    return [
        {"type": "text", "text": f"x-anthropic-billing-header: cc_version=2.1.69; cch={next(_requests):05x};"},
        {"type": "text", "text": "You are an agent that works on code."},
        {
            "type": "text",
            "text": f"{salt}\n{_GUIDE}",
            "cache_control": {"type": "ephemeral", "ttl": "1h", "scope": "global"},
        },
    ]


def picture() -> dict[str, Any]:
    """A picture as a block."""
    data = base64.b64encode(png()).decode()
    return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}


def typed(text: str, *beside: dict[str, Any]) -> dict[str, Any]:
    """A turn of the user: a reminder of the agent's, what the user typed, pictures."""
    reminder = {"type": "text", "text": "<system-reminder>\nThe list of todos is empty.\n</system-reminder>"}
    return {"role": "user", "content": [reminder, {"type": "text", "text": text}, *beside]}


#: What the user types, and what the tool that the model is told to call gives back: text, an error, a picture.
STEPS: list[tuple[str, list[dict[str, Any]], Any, bool]] = [
    ("Begin with ReadFile on main.py", [], "  1\tdef main():\n  2\t    pass\n", False),
    ("Now RunShell the tests", [], [{"type": "text", "text": "Exit code 1\nE   NameError: name 'x'"}], True),
    ("This is it. TakeScreenshot of the page", [picture()], [picture(), {"type": "text", "text": "200"}], False),
    ("KeepTodos of what is left, then EditFile", [], [{"type": "text", "text": ""}], False),
]


def history(turns: int) -> list[dict[str, Any]]:
    """A conversation of so many turns, in rounds of four: typed, two calls at once, their results, what came of it."""
    return list(itertools.islice(_rounds(), turns))


def _rounds() -> Iterator[dict[str, Any]]:
    for at in itertools.count():
        first, second = (f"toolu_{at:04d}{letter}" for letter in "ab")
        yield typed(f"Step {at}: look around.")
        yield {
            "role": "assistant",
            "content": [
                {"type": "text", "text": f"I look at two things in step {at}."},
                {"type": "tool_use", "id": first, "name": "ReadFile", "input": {"path": f"/src/{at}.py"}},
                {"type": "tool_use", "id": second, "name": "RunShell", "input": {"command": "ls", "timeout": 5}},
            ],
        }
        yield {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": first, "content": f"# file {at}\n" + "x = 1\n" * 20},
                {"type": "tool_result", "tool_use_id": second, "content": "ls: no such file", "is_error": True},
                {"type": "text", "text": "<system-reminder>Go on.</system-reminder>"},
            ],
        }
        yield {"role": "assistant", "content": [{"type": "text", "text": f"Step {at} is done."}]}


def marked(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same with the cache's mark at the ends of the last two turns of the user."""
    made = [dict(message) for message in messages]
    for message in [one for one in made if one["role"] == "user"][-2:]:
        blocks = [dict(block) for block in message["content"]]
        blocks[-1]["cache_control"] = {"type": "ephemeral"}
        message["content"] = blocks
    return made


def asked(model: str, salt: str, messages: list[dict[str, Any]]) -> dict[str, Any]:
    """A request of the session, as arguments of the beta client."""
    return {
        "model": model,
        "max_tokens": 4000,
        "system": system(salt),
        "messages": marked(messages),
        "tools": TOOLS,
        "metadata": {"user_id": USER},
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "medium"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "betas": BETAS,
    }
