"""The events of a streamed answer of Anthropic's Messages.

Source: platform.claude.com/docs/en/build-with-claude/streaming.
"""

from collections.abc import Iterator
from typing import Any

from workers.simulator.answers import pieces

#: What of a block comes in deltas: it begins without.
_BLANKS: dict[str, dict[str, Any]] = {
    "text": {"text": ""},
    "thinking": {"thinking": "", "signature": ""},
    "tool_use": {"input": {}},
}


def events(answer: dict[str, Any], arguments: str) -> Iterator[dict[str, Any]]:
    """The events that add up to a message; `arguments`: the JSON of a tool's call, which may be cut short."""
    usage = answer.get("usage")
    start = answer | {"content": [], "stop_reason": None, "stop_sequence": None, "stop_details": None}
    if usage is not None:
        start["usage"] = usage | {"output_tokens": 1} if usage["output_tokens"] else usage
    yield {"type": "message_start", "message": start}
    for index, block in enumerate(answer["content"]):
        yield {"type": "content_block_start", "index": index, "content_block": block | _BLANKS.get(block["type"], {})}
        if index == 0:
            yield {"type": "ping"}
        for delta in _deltas(block, arguments):
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    ending = {name: answer[name] for name in ("stop_reason", "stop_sequence", "stop_details")}
    last: dict[str, Any] = {"type": "message_delta", "delta": ending}
    yield last if usage is None else last | {"usage": _cumulative(usage)}
    yield {"type": "message_stop"}


def _cumulative(usage: dict[str, Any]) -> dict[str, Any]:
    names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")
    return {name: usage[name] for name in (*names, "output_tokens_details") if name in usage}


def _deltas(block: dict[str, Any], arguments: str) -> Iterator[dict[str, Any]]:
    match block["type"]:
        case "text":
            said = block["text"]
            told = pieces(said) if isinstance(said, str) else [said]
            yield from ({"type": "text_delta", "text": piece} for piece in told)
        case "thinking":
            yield from ({"type": "thinking_delta", "thinking": piece} for piece in pieces(block["thinking"]))
            yield {"type": "signature_delta", "signature": block["signature"]}
        case "tool_use":
            yield from ({"type": "input_json_delta", "partial_json": piece} for piece in pieces(arguments))
