"""OpenAI's chat completions, which many other providers speak too; whole and streamed."""

from collections.abc import Iterator
from typing import Any

from shared import clock
from workers.simulator import openai_rules
from workers.simulator.answers import (
    IMAGE_TOKENS,
    MESSAGE_TOKENS,
    Prompt,
    Reaction,
    compose,
    digest,
    pieces,
    tokens,
    tool_tokens,
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

MAX_CHOICES = 128
FINISH = {
    "stop": "stop",
    "length": "length",
    "tool": "tool_calls",
    "refusal": "stop",
    "content_filter": "content_filter",
}
ROLES = {"system", "developer", "user", "assistant", "tool", "function"}
#: OpenAI and Google refuse a field that they do not know; a customer's typo must not get this far.
FIELDS = set(
    "model messages stream stream_options temperature top_p n stop max_tokens max_completion_tokens tools tool_choice "
    "parallel_tool_calls response_format seed user presence_penalty frequency_penalty logit_bias logprobs "
    "top_logprobs metadata store modalities audio prediction reasoning_effort service_tier verbosity "
    "web_search_options functions function_call safety_identifier prompt_cache_key prompt_cache_retention "
    "prompt_cache_options moderation".split()
)
STRICT_PROVIDERS = {"openai", "google"}
#: Whose models are OpenAI's, with what those refuse.
OWN_MODELS = {"openai", "azure"}
#: Its streams have their usage in the last chunk, unasked: docs.mistral.ai/api/#tag/chat, CompletionChunk.
USAGE_UNASKED = {"mistral"}


def chat(request: SimulatedRequest, twist: Twist) -> SimulatedReply:
    """POST chat/completions."""
    body = request.body
    model = need(body, "model", str)
    ask = read(request)
    count = may(body, "n", int, 1)
    if not 1 <= count <= MAX_CHOICES:
        raise SimulatedRefusal(400, f"'n' must be between 1 and {MAX_CHOICES}.", code="invalid_value", param="n")
    turns = [] if twist.empty else [compose(ask, index, twist) for index in range(count)]
    usage = _usage(ask, turns, twist)
    head: dict[str, Any] = {"id": f"chatcmpl-{ask.seed.hex()}", "created": clock.now_seconds(), "model": model}
    if tier := may(body, "service_tier", str, ""):
        head["service_tier"] = "default" if tier == "auto" else tier
    if may(body, "stream", bool, False):
        if request.provider in USAGE_UNASKED:
            return stream_reply(list(_events(head, turns, None, False, last={"usage": usage} if usage else {})))
        with_usage = may(may(body, "stream_options", dict, {}), "include_usage", bool, False)
        return stream_reply(list(_events(head, turns, usage, with_usage)))
    answer = head | {
        "object": "chat.completion",
        "choices": [_choice(index, turn) for index, turn in enumerate(turns)],
        "system_fingerprint": "fp_simulated",
    }
    return json_reply(answer if usage is None else answer | {"usage": usage})


def read(request: SimulatedRequest) -> Prompt:
    """The request in canonical terms; 400 for what the real providers refuse."""
    body = request.body
    if request.provider in STRICT_PROVIDERS and not FIELDS.issuperset(body):
        name = next(key for key in body if key not in FIELDS)
        message = f"Unrecognized request argument supplied: {name}"
        raise SimulatedRefusal(400, message, code="unknown_parameter", param=name)
    if request.provider in OWN_MODELS:
        openai_rules.check(request.model, body)
    messages = objects(body, "messages") or need({}, "messages", list)
    _check_roles(messages)
    text, prompt_tokens = _read_messages(messages)
    tools = objects(body, "tools")
    return Prompt(
        seed=digest(body.get("model"), messages),
        text=text,
        from_user=messages[-1]["role"] == "user",
        prompt_tokens=prompt_tokens + tool_tokens(tools),
        limit=_limit(body),
        stops=_stops(body),
        tools=dict(map(_tool, tools)),
        choice=_tool_choice(body, bool(tools)),
        shape=_shape(may(body, "response_format", dict, {})),
    )


def _check_roles(messages: list[dict[str, Any]]) -> None:
    called: set[Any] = set()
    for at, message in enumerate(messages):
        role, where = message.get("role"), f"messages[{at}]"
        if role not in ROLES:
            raise SimulatedRefusal(
                400, f"Invalid value for '{where}.role'.", code="invalid_value", param=f"{where}.role"
            )
        called.update(call.get("id") for call in objects(message, "tool_calls"))
        if role == "tool" and message.get("tool_call_id") not in called:
            raise SimulatedRefusal(400, f"'{where}' does not answer a preceding 'tool_calls'.", param=where)


def _read_messages(messages: list[dict[str, Any]]) -> tuple[str, int]:
    """The last user text, and what all the messages count."""
    last, total = "", 3
    for message in messages:
        text, images = _content(message)
        total += tokens(text) + images * IMAGE_TOKENS + MESSAGE_TOKENS + tool_tokens(message.get("tool_calls"))
        if message["role"] == "user":
            last = text
    return last, total


def _content(message: dict[str, Any]) -> tuple[str, int]:
    content = message.get("content")
    if isinstance(content, str):
        return content, 0
    if content is None and message["role"] == "assistant":
        return "", 0
    if not isinstance(content, list) or not content:
        raise SimulatedRefusal(400, "Invalid type for 'messages[].content'.", code="invalid_type", param="messages")
    parts = objects(message, "content")
    texts = [may(part, "text", str, "") for part in parts]
    return "\n".join(filter(None, texts)), sum(part.get("type") == "image_url" for part in parts)


def _limit(body: dict[str, Any]) -> int | None:
    asked = [may(body, key, int, 0) for key in ("max_completion_tokens", "max_tokens") if body.get(key) is not None]
    if any(value < 1 for value in asked):
        message = "Invalid 'max_tokens': expected a value of 1 or more."
        raise SimulatedRefusal(400, message, code="integer_below_min_value", param="max_tokens")
    return min(asked) if asked else None


def _stops(body: dict[str, Any]) -> list[str]:
    stop = body.get("stop")
    stops = [stop] if isinstance(stop, str) else may(body, "stop", list, [])
    if len(stops) > 4 or not all(isinstance(one, str) for one in stops):
        raise SimulatedRefusal(400, "Invalid 'stop': at most 4 strings.", code="invalid_value", param="stop")
    return stops


def _tool(tool: dict[str, Any]) -> tuple[str, Any]:
    function = need(tool, "function", dict)
    return need(function, "name", str), function.get("parameters") or {}


def _tool_choice(body: dict[str, Any], has_tools: bool) -> str:
    choice = body.get("tool_choice") or "auto"
    if body.get("tool_choice") and not has_tools:
        raise SimulatedRefusal(400, "'tool_choice' is only allowed when 'tools' are specified.", param="tool_choice")
    return choice if isinstance(choice, str) else need(need(body, "tool_choice", dict), "function", dict)["name"]


def _shape(form: dict[str, Any]) -> Any:
    kind = form.get("type", "text")
    if kind == "json_schema":
        return need(form, "json_schema", dict).get("schema") or {}
    return {} if kind == "json_object" else None


def _usage(ask: Prompt, turns: list[Reaction], twist: Twist) -> dict[str, Any] | None:
    counts = twist.count(ask.prompt_tokens, sum(turn.tokens for turn in turns))
    if counts is None:
        return None
    return {
        "prompt_tokens": counts[0],
        "completion_tokens": counts[1],
        "total_tokens": sum(counts),
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def _calls(turn: Reaction) -> list[dict[str, Any]]:
    if turn.call is None:
        return []
    function = {"name": turn.call[0], "arguments": turn.call[1]}
    return [{"id": f"call_{turn.id}", "type": "function", "function": function}]


def _choice(index: int, turn: Reaction) -> dict[str, Any]:
    refused = turn.finish == "refusal"
    message: dict[str, Any] = {"role": "assistant", "content": turn.text, "refusal": turn.text if refused else None}
    if turn.call is not None:
        message |= {"content": None, "tool_calls": _calls(turn)}
    elif refused:
        message["content"] = None
    return {"index": index, "message": message, "logprobs": None, "finish_reason": FINISH[turn.finish]}


def _events(
    head: dict[str, Any],
    turns: list[Reaction],
    usage: dict[str, Any] | None,
    with_usage: bool,
    last: dict[str, Any] | None = None,
) -> Iterator[bytes]:
    """The events of a stream; `last`: fields of the chunk that ends the last choice."""
    head = head | {"object": "chat.completion.chunk", "system_fingerprint": "fp_simulated"}
    head = head | {"usage": None} if with_usage else head
    for index, turn in enumerate(turns):
        for delta in _deltas(turn):
            yield _chunk(head, index, delta, None)
        yield _chunk(head | (last or {}) if index == len(turns) - 1 else head, index, {}, FINISH[turn.finish])
    if with_usage and usage is not None:
        yield event(head | {"choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"


def _chunk(head: dict[str, Any], index: int, delta: dict[str, Any], finish: str | None) -> bytes:
    return event(head | {"choices": [{"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}]})


def _deltas(turn: Reaction) -> Iterator[dict[str, Any]]:
    key = "refusal" if turn.finish == "refusal" else "content"
    yield {"role": "assistant", "content": None if turn.call or key == "refusal" else ""}
    for piece in pieces(turn.text):
        yield {key: piece}
    for call in _calls(turn):
        function = call["function"]
        yield {"tool_calls": [{"index": 0, **call, "function": {"name": function["name"], "arguments": ""}}]}
        for piece in pieces(function["arguments"]):
            yield {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}
