"""Gemini's own protocol: generateContent, its stream, embedContent. Field names in either of JSON's two spellings."""

import re
from collections.abc import Iterator
from typing import Any

import orjson

from workers.simulator.answers import (
    IMAGE_TOKENS,
    MESSAGE_TOKENS,
    Prompt,
    Reaction,
    compose,
    digest,
    dimensions_of,
    pieces,
    tokens,
    tool_tokens,
    vector,
)
from workers.simulator.messages import (
    SimulatedRefusal,
    SimulatedReply,
    SimulatedRequest,
    Twist,
    event,
    json_reply,
    may,
    need,
    objects,
    stream_reply,
)

FINISH = {
    "stop": "STOP",
    "tool": "STOP",
    "length": "MAX_TOKENS",
    "refusal": "PROHIBITED_CONTENT",
    "content_filter": "SAFETY",
}
_SNAKE = re.compile(r"_([a-z])")


def generate(request: SimulatedRequest, twist: Twist) -> SimulatedReply:
    """POST models/{model}:generateContent."""
    turns, frame = _answer(request, twist)
    candidates = [_candidate(index, turn, _parts(turn), True) for index, turn in enumerate(turns)]
    return json_reply(frame | ({"candidates": candidates} if candidates else {}))


def stream(request: SimulatedRequest, twist: Twist) -> SimulatedReply:
    """POST models/{model}:streamGenerateContent; with alt=sse as events, else as one JSON list."""
    chunks = list(_chunks(*_answer(request, twist)))
    return stream_reply(list(map(event, chunks))) if request.query.get("alt") == "sse" else json_reply(chunks)


def count_tokens(request: SimulatedRequest, twist: Twist) -> SimulatedReply:
    """POST models/{model}:countTokens."""
    return json_reply({"totalTokens": read(camel(request.body), request.name).prompt_tokens})


def embed(request: SimulatedRequest, twist: Twist) -> SimulatedReply:
    """POST models/{model}:embedContent."""
    return json_reply({"embedding": {"values": _values(request.name, camel(request.body), twist)}})


def batch_embed(request: SimulatedRequest, twist: Twist) -> SimulatedReply:
    """POST models/{model}:batchEmbedContents."""
    asked = objects(camel(request.body), "requests") or need({}, "requests", list)
    found = [] if twist.empty else [{"values": _values(request.name, one, twist)} for one in asked]
    return json_reply({"embeddings": found})


def camel(value: Any) -> Any:
    """The request with its own field names in camelCase; schemas and arguments, which are the caller's, untouched."""
    if isinstance(value, list):
        return [camel(one) for one in value]
    if not isinstance(value, dict):
        return value
    free = ("parameters", "parametersJsonSchema", "args", "response", "responseSchema", "responseJsonSchema")
    names = {key: _SNAKE.sub(lambda found: found[1].upper(), key) for key in value}
    return {names[key]: part if names[key] in free else camel(part) for key, part in value.items()}


def _values(model: str, asked: dict[str, Any], twist: Twist) -> list[float]:
    text, _ = _content(need(asked, "content", dict))
    length = dimensions_of(model, may(asked, "outputDimensionality", int, 0))
    return [] if twist.empty else vector(text, model, length)


def _answer(request: SimulatedRequest, twist: Twist) -> tuple[list[Reaction], dict[str, Any]]:
    """The turns, and everything of the answer but its candidates."""
    body = camel(request.body)
    ask = read(body, request.name)
    count = may(may(body, "generationConfig", dict, {}), "candidateCount", int, 1)
    if not 1 <= count <= 8:
        raise SimulatedRefusal(400, "candidateCount must be between 1 and 8.")
    blocked = twist.ending == "content_filter"
    turns = [] if twist.empty or blocked else [compose(ask, index, twist) for index in range(count)]
    frame: dict[str, Any] = {"modelVersion": request.name, "responseId": ask.seed.hex()}
    if blocked:
        frame["promptFeedback"] = {"blockReason": "SAFETY"}
    counts = twist.count(ask.prompt_tokens, sum(turn.tokens for turn in turns))
    if counts is not None:
        prompt, completion = counts
        frame["usageMetadata"] = {
            "promptTokenCount": prompt,
            "candidatesTokenCount": completion,
            "totalTokenCount": prompt + completion,
        }
    return turns, frame


def read(body: dict[str, Any], model: str) -> Prompt:
    """The request (in camelCase) in canonical terms; 400 for what the real provider refuses."""
    contents = objects(body, "contents")
    if not contents:
        raise SimulatedRefusal(400, "* GenerateContentRequest.contents: contents is not specified")
    config = may(body, "generationConfig", dict, {})
    parsed = [_content(content) for content in contents]
    system, _ = _content(may(body, "systemInstruction", dict, {"parts": []}))
    declared = [one for tool in objects(body, "tools") for one in objects(tool, "functionDeclarations")]
    texts = [text for (text, _), one in zip(parsed, contents, strict=True) if one.get("role", "user") == "user"]
    return Prompt(
        seed=digest(model, system, contents),
        text=next((text for text in reversed(texts) if text), ""),
        from_user=contents[-1].get("role", "user") == "user" and not _has(contents[-1], "functionResponse"),
        prompt_tokens=3 + sum(count for _, count in parsed) + tokens(system) + tool_tokens(declared),
        limit=_limit(config),
        stops=[stop for stop in may(config, "stopSequences", list, []) if isinstance(stop, str)],
        tools=dict(map(_tool, declared)),
        choice=_choice(may(body, "toolConfig", dict, {})),
        shape=_shape(config),
    )


def _content(content: dict[str, Any]) -> tuple[str, int]:
    """A content's text, and what it counts."""
    role = content.get("role", "user")
    if role not in ("user", "model", "function"):
        raise SimulatedRefusal(400, "Please use a valid role: user, model.")
    parts = objects(content, "parts")
    text = "\n".join(part["text"] for part in parts if isinstance(part.get("text"), str))
    files = sum("inlineData" in part or "fileData" in part for part in parts)
    calls = [part for part in parts if "functionCall" in part or "functionResponse" in part]
    return text, tokens(text) + files * IMAGE_TOKENS + tool_tokens(calls) + MESSAGE_TOKENS


def _has(content: dict[str, Any], key: str) -> bool:
    return any(key in part for part in objects(content, "parts"))


def _limit(config: dict[str, Any]) -> int | None:
    limit = may(config, "maxOutputTokens", int, 0)
    if config.get("maxOutputTokens") is not None and limit < 1:
        raise SimulatedRefusal(400, "max_output_tokens must be positive.")
    return limit or None


def _tool(declared: dict[str, Any]) -> tuple[str, Any]:
    return need(declared, "name", str), declared.get("parametersJsonSchema") or declared.get("parameters") or {}


def _choice(config: dict[str, Any]) -> str:
    calling = may(config, "functionCallingConfig", dict, {})
    mode = str(calling.get("mode", "AUTO")).upper()
    if mode != "ANY":
        return "none" if mode == "NONE" else "auto"
    allowed = may(calling, "allowedFunctionNames", list, [])
    return str(allowed[0]) if allowed else "required"


def _shape(config: dict[str, Any]) -> Any:
    if config.get("responseMimeType") != "application/json":
        return None
    return config.get("responseJsonSchema") or config.get("responseSchema") or {}


def _parts(turn: Reaction) -> list[dict[str, Any]]:
    if turn.call is not None:
        arguments = {} if turn.finish == "length" else orjson.loads(turn.call[1])
        return [{"functionCall": {"name": turn.call[0], "args": arguments}}]
    return [{"text": turn.text}] if turn.text and turn.finish != "refusal" else []


def _candidate(index: int, turn: Reaction, parts: list[dict[str, Any]], last: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"index": index}
    if parts:
        found["content"] = {"role": "model", "parts": parts}
    return found | ({"finishReason": FINISH[turn.finish]} if last else {})


def _chunks(turns: list[Reaction], frame: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The stream: each candidate piece by piece, its finishReason on its last piece."""
    if not turns:
        yield frame
    for index, turn in enumerate(turns):
        parts = _parts(turn)
        split = [[{"text": piece}] for piece in pieces(turn.text)] if parts and turn.call is None else [parts]
        for at, one in enumerate(split):
            yield frame | {"candidates": [_candidate(index, turn, one, at == len(split) - 1)]}
