"""What the sandbox says in a chat: a sentence, or the JSON or the tool call that a request wants instead."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from workers.simulator import conducted
from workers.simulator.invent import invent

#: Characters of JSON a token.
CHARACTERS = 4


@dataclass(frozen=True, slots=True)
class SandboxReply:
    """The message of a choice, why it ended, and its tokens."""

    message: dict[str, Any]
    finish: str
    tokens: int


def answer(request: Mapping[str, Any], limit: int, digest: str) -> SandboxReply:
    """The same turn for the same request; `limit`, in tokens, cuts what is no call; a word is one."""
    if (tool := _tool(request)) is not None:
        return _call(tool, limit, digest)
    last = str(request["messages"][-1].get("content")) if request["messages"] else ""
    if (verdict := conducted.verdict(last)) is not None:
        return SandboxReply(_message(verdict), "stop", -(-len(verdict) // CHARACTERS))
    wanted = request.get("response_format") or {"type": "text"}
    if wanted["type"] != "text":
        schema = wanted.get("json_schema", {}).get("schema")
        content = _invented(schema) if schema else orjson.dumps({"answer": digest[:8]}).decode()
        tokens = -(-len(content) // CHARACTERS)
        finish = "length" if limit < tokens else "stop"
        return SandboxReply(_message(content[: limit * CHARACTERS]), finish, min(limit, tokens))
    words = f"This is a test answer, number {digest[:8]}.".split()
    finish = "length" if limit < len(words) else "stop"
    return SandboxReply(_message(" ".join(words[:limit])), finish, min(limit, len(words)))


def pieces(content: str) -> list[str]:
    """A content as it is streamed: word by word."""
    first, *others = content.split(" ")
    return [first, *(f" {word}" for word in others)]


def likelihoods(content: str, alternatives: int) -> dict[str, Any]:
    """The logprobs of a content, each of its pieces a token and certain; of `alternatives` there is but itself."""
    tokens = []
    for piece in pieces(content):
        token = {"token": piece, "logprob": 0.0, "bytes": list(piece.encode())}
        tokens.append({**token, "top_logprobs": [token][:alternatives]})
    return {"content": tokens, "refusal": None}


def _invented(schema: Any) -> str:
    """JSON of a schema; of one that is none, an empty object."""
    try:
        return orjson.dumps(invent(schema)).decode()
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
        return "{}"


def _message(content: str | None) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "refusal": None}


def _call(function: Mapping[str, Any], limit: int, digest: str) -> SandboxReply:
    arguments = _invented(function.get("parameters") or {"type": "object"})
    called = {"name": function["name"], "arguments": arguments}
    message = _message(None) | {"tool_calls": [{"id": f"call_{digest[:24]}", "type": "function", "function": called}]}
    return SandboxReply(message, "tool_calls", min(limit, -(-len(arguments) // CHARACTERS)))


def _tool(request: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The function that must be called, or that the user's last words name; none once a tool has answered."""
    choice = request.get("tool_choice", "auto")
    functions: Sequence[Mapping[str, Any]] = [tool["function"] for tool in request.get("tools", ())]
    if not functions or choice == "none" or request["messages"][-1]["role"] != "user":
        return None
    if isinstance(choice, dict):
        return next((one for one in functions if one["name"] == choice["function"]["name"]), None)
    named = next((one for one in functions if one["name"] in str(request["messages"][-1]["content"])), None)
    return named or (functions[0] if choice == "required" else None)
