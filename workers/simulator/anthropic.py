"""Anthropic's Messages, whole and streamed."""

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


def messages(request: SimulatedRequest, twist: Twist) -> SimulatedReply:
    """POST v1/messages."""
    body = request.body
    model, limit = need(body, "model", str), need(body, "max_tokens", int)
    if limit < 1:
        raise SimulatedRefusal(400, "max_tokens: Input should be greater than or equal to 1")
    ask = read(body, limit)
    if twist.ending == "content_filter":
        raise SimulatedRefusal(400, "Output blocked by content filtering policy")
    turn = compose(ask, 0, twist)
    answer = _answer(model, ask, turn, twist)
    if may(body, "stream", bool, False):
        return stream_reply([event(data, data["type"]) for data in _events(answer, turn)])
    return json_reply(answer)


def _answer(model: str, ask: Prompt, turn: Reaction, twist: Twist) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "id": f"msg_{turn.id}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [] if twist.empty or turn.finish == "refusal" else [_block(turn)],
        "stop_reason": _stop_reason(turn),
        "stop_sequence": turn.stop,
        "stop_details": None,
    }
    counts = twist.count(ask.prompt_tokens, turn.tokens)
    if counts is not None:
        answer["usage"] = {"input_tokens": counts[0], "output_tokens": counts[1]} | _CACHE
    return answer


_CACHE = {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "service_tier": "standard"}


def count_tokens(request: SimulatedRequest, twist: Twist) -> SimulatedReply:
    """POST v1/messages/count_tokens."""
    need(request.body, "model", str)
    return json_reply({"input_tokens": read(request.body, None).prompt_tokens})


def read(body: dict[str, Any], limit: int | None) -> Prompt:
    """The request in canonical terms; 400 for what the real provider refuses."""
    asked = objects(body, "messages") or need({}, "messages", list)
    tools = objects(body, "tools")
    choice = may(body, "tool_choice", dict, {})
    if choice and not tools:
        raise SimulatedRefusal(400, "tool_choice may only be specified while providing tools")
    read = [_content(at, message) for at, message in enumerate(asked)]
    _check_results(asked)
    prompt = 3 + sum(count for _, count in read) + tokens(_system(body)) + tool_tokens(tools)
    user_texts = [text for (text, _), message in zip(read, asked, strict=True) if message["role"] == "user"]
    return Prompt(
        seed=digest(body.get("model"), body.get("system"), asked),
        text=next((text for text in reversed(user_texts) if text), ""),
        from_user=asked[-1]["role"] == "user" and not _blocks(asked[-1], "tool_result"),
        prompt_tokens=prompt,
        limit=limit,
        stops=[stop for stop in may(body, "stop_sequences", list, []) if isinstance(stop, str)],
        tools={need(tool, "name", str): tool.get("input_schema") or {} for tool in tools},
        choice=_choice(choice),
        shape=_shape(body),
    )


def _choice(choice: dict[str, Any]) -> str:
    kind = str(choice.get("type", "auto"))
    return need(choice, "name", str) if kind == "tool" else {"any": "required"}.get(kind, kind)


def _system(body: dict[str, Any]) -> str:
    system = body.get("system") or ""
    if isinstance(system, str):
        return system
    return "\n".join(may(one, "text", str, "") for one in objects(body, "system"))


def _shape(body: dict[str, Any]) -> Any:
    config = may(body, "output_config", dict, {})
    form = config.get("format") or body.get("output_format")
    return form.get("schema") or {} if isinstance(form, dict) else None


def _blocks(message: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    content = message.get("content")
    blocks = content if isinstance(content, list) else []
    return [block for block in blocks if isinstance(block, dict) and block.get("type") == kind]


def _content(at: int, message: dict[str, Any]) -> tuple[str, int]:
    """A message's text, and what the message counts."""
    if message.get("role") not in ("user", "assistant"):
        raise SimulatedRefusal(400, f"messages.{at}.role: Input should be 'user' or 'assistant'")
    content = message.get("content")
    if isinstance(content, str):
        return content, tokens(content) + MESSAGE_TOKENS
    if not isinstance(content, list):
        raise SimulatedRefusal(400, f"messages.{at}.content: Field required")
    blocks = objects(message, "content")
    text = "\n".join(block["text"] for block in blocks if isinstance(block.get("text"), str))
    rest = [block for block in blocks if block.get("type") in ("tool_use", "tool_result")]
    images = len(_blocks(message, "image"))
    return text, tokens(text) + images * IMAGE_TOKENS + tool_tokens(rest) + MESSAGE_TOKENS


def _check_results(asked: list[dict[str, Any]]) -> None:
    for at, message in enumerate(asked):
        called = {block.get("id") for block in _blocks(asked[at - 1], "tool_use")} if at else set()
        for block in _blocks(message, "tool_result"):
            if block.get("tool_use_id") not in called:
                message_text = "unexpected `tool_use_id` found in `tool_result` blocks"
                raise SimulatedRefusal(400, f"messages.{at}.content.0: {message_text}: {block.get('tool_use_id')}")


def _block(turn: Reaction) -> dict[str, Any]:
    if turn.call is None:
        return {"type": "text", "text": turn.text}
    arguments = {} if turn.finish == "length" else orjson.loads(turn.call[1])
    return {"type": "tool_use", "id": f"toolu_{turn.id}", "name": turn.call[0], "input": arguments}


def _stop_reason(turn: Reaction) -> str:
    if turn.finish == "stop":
        return "end_turn" if turn.stop is None else "stop_sequence"
    return {"length": "max_tokens", "tool": "tool_use"}.get(turn.finish, "refusal")


def _events(answer: dict[str, Any], turn: Reaction) -> Iterator[dict[str, Any]]:
    usage = answer.get("usage")
    start = answer | {"content": [], "stop_reason": None, "stop_sequence": None}
    if usage is not None:
        start["usage"] = usage | {"output_tokens": 1}
    yield {"type": "message_start", "message": start}
    for index, block in enumerate(answer["content"]):
        blank: dict[str, Any] = {"text": ""} if block["type"] == "text" else {"input": {}}
        yield {"type": "content_block_start", "index": index, "content_block": block | blank}
        yield {"type": "ping"}
        for delta in _deltas(turn):
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    ending = {"stop_reason": answer["stop_reason"], "stop_sequence": answer["stop_sequence"]}
    last: dict[str, Any] = {"type": "message_delta", "delta": ending}
    yield last if usage is None else last | {"usage": {"output_tokens": usage["output_tokens"]}}
    yield {"type": "message_stop"}


def _deltas(turn: Reaction) -> Iterator[dict[str, Any]]:
    if turn.call is None:
        yield from ({"type": "text_delta", "text": piece} for piece in pieces(turn.text))
    else:
        yield from ({"type": "input_json_delta", "partial_json": piece} for piece in pieces(turn.call[1]))
