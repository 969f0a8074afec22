"""Anthropic's Messages, whole and streamed, with its thoughts and its cache.

A prompt that has `MAGIC_REDACTED` or `MAGIC_REFUSAL` in it is thought about in secret, or declined: the provider's own
strings for tests (platform.claude.com/docs/en/build-with-claude/extended-thinking, …/streaming-refusals).
"""

from dataclasses import replace
from typing import Any

import orjson

from workers.simulator import anthropic_rules as rules
from workers.simulator.answers import (
    IMAGE_TOKENS,
    MESSAGE_TOKENS,
    Prompt,
    Reaction,
    compose,
    digest,
    tokens,
    tool_tokens,
)
from workers.simulator.anthropic_cache import cached_usage
from workers.simulator.anthropic_events import events
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

#: What the models think.
THOUGHTS = "Let me see. The question is short, so the answer can be."
MAGIC_REDACTED = "ANTHROPIC_MAGIC_STRING_TRIGGER_REDACTED_THINKING"
MAGIC_REFUSAL = "ANTHROPIC_MAGIC_STRING_TRIGGER_REFUSAL"
#: Bytes of the largest request.
MOST_BYTES = 32 * 1024 * 1024

Block = dict[str, Any]


def messages(request: SimulatedRequest, twist: Twist) -> SimulatedReply:
    """POST v1/messages."""
    body = request.body
    if len(request.raw) > MOST_BYTES:
        raise SimulatedRefusal(413, "Request exceeds the maximum size")
    need(body, "model", str)
    limit = need(body, "max_tokens", int)
    if limit < 1:
        raise SimulatedRefusal(400, "max_tokens: Input should be greater than or equal to 1")
    ask = read(body, limit)
    rules.check(body)
    if twist.ending == "content_filter":
        raise SimulatedRefusal(400, "Output blocked by content filtering policy")
    thoughts = _thoughts(body, ask)
    ask.limit = limit - sum(map(_thought_tokens, thoughts))
    turn = compose(ask, 0, replace(twist, ending="refusal") if _declines(ask) else twist)
    answer = _answer(body, ask, turn, thoughts, twist)
    if may(body, "stream", bool, False):
        return stream_reply([event(data, data["type"]) for data in events(answer, turn.call[1] if turn.call else "")])
    return json_reply(answer)


def _declines(ask: Prompt) -> bool:
    return MAGIC_REFUSAL in ask.text


def _answer(body: Block, ask: Prompt, turn: Reaction, thoughts: list[Block], twist: Twist) -> Block:
    refused = turn.finish == "refusal"
    answer: Block = {
        "id": f"msg_{turn.id}",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [] if twist.empty or refused else [*thoughts, _block(turn)],
        "stop_reason": _stop_reason(turn),
        "stop_sequence": turn.stop,
        "stop_details": {"type": "refusal", "category": None, "explanation": turn.text} if refused else None,
    }
    thought = sum(map(_thought_tokens, thoughts))
    counts = twist.count(ask.prompt_tokens, turn.tokens + thought)
    if counts is not None:
        answer["usage"] = cached_usage(body, counts[0]) | {
            "output_tokens": counts[1],
            "output_tokens_details": {"thinking_tokens": thought},
            "service_tier": "standard",
        }
    return answer


def _thoughts(body: Block, ask: Prompt) -> list[Block]:
    """What the model thinks before it answers, if it does and there is room; newer models do not show it unasked."""
    if not (kind := rules.thinks(body)) or (ask.limit or 0) <= 2 * tokens(THOUGHTS) or _declines(ask):
        return []
    if MAGIC_REDACTED in ask.text:
        return [{"type": "redacted_thinking", "data": rules.signature(THOUGHTS + ask.seed.hex())}]
    display = (body.get("thinking") or {}).get("display") or ("summarized" if kind == "enabled" else "omitted")
    shown = THOUGHTS if display == "summarized" else ""
    return [{"type": "thinking", "thinking": shown, "signature": rules.signature(shown)}]


def _thought_tokens(_: Block) -> int:
    """What a thought costs, shown or not."""
    return tokens(THOUGHTS)


def count_tokens(request: SimulatedRequest, twist: Twist) -> SimulatedReply:
    """POST v1/messages/count_tokens."""
    need(request.body, "model", str)
    counted = read(request.body, None).prompt_tokens
    rules.check(request.body)
    return json_reply({"input_tokens": counted})


def read(body: Block, limit: int | None) -> Prompt:
    """The request in canonical terms; 400 for what the real provider refuses."""
    asked = objects(body, "messages")
    if not asked:
        raise SimulatedRefusal(400, "messages: at least one message is required")
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


def _choice(choice: Block) -> str:
    kind = str(choice.get("type", "auto"))
    return need(choice, "name", str) if kind == "tool" else {"any": "required"}.get(kind, kind)


def _system(body: Block) -> str:
    system = body.get("system") or ""
    if isinstance(system, str):
        return system
    return "\n".join(may(one, "text", str, "") for one in objects(body, "system"))


def _shape(body: Block) -> Any:
    config = may(body, "output_config", dict, {})
    form = config.get("format") or body.get("output_format")
    return form.get("schema") or {} if isinstance(form, dict) else None


def _blocks(message: Block, kind: str) -> list[Block]:
    content = message.get("content")
    blocks = content if isinstance(content, list) else []
    return [block for block in blocks if isinstance(block, dict) and block.get("type") == kind]


def _content(at: int, message: Block) -> tuple[str, int]:
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


def _check_results(asked: list[Block]) -> None:
    """Each call of a tool is answered by a result at the beginning of the turn after it, and by nothing else."""
    for at, message in enumerate(asked):
        called = {block.get("id") for block in _blocks(asked[at - 1], "tool_use")} if at else set()
        results = _blocks(message, "tool_result")
        for block in results:
            if block.get("tool_use_id") not in called:
                message_text = "unexpected `tool_use_id` found in `tool_result` blocks"
                raise SimulatedRefusal(400, f"messages.{at}.content.0: {message_text}: {block.get('tool_use_id')}")
        first = [block.get("type") for block in message["content"][: len(results)]] if results else []
        missing = called - {block.get("tool_use_id") for block in results if set(first) == {"tool_result"}}
        if missing:
            why = "`tool_use` ids were found without `tool_result` blocks immediately after"
            raise SimulatedRefusal(400, f"messages.{at - 1}: {why}: {', '.join(sorted(map(str, missing)))}.")


def _block(turn: Reaction) -> Block:
    if turn.call is None:
        return {"type": "text", "text": turn.text}
    arguments = {} if turn.finish == "length" else orjson.loads(turn.call[1])
    return {"type": "tool_use", "id": f"toolu_{turn.id}", "name": turn.call[0], "input": arguments}


def _stop_reason(turn: Reaction) -> str:
    if turn.finish == "stop":
        return "end_turn" if turn.stop is None else "stop_sequence"
    return {"length": "max_tokens", "tool": "tool_use"}.get(turn.finish, "refusal")
