"""The items of a response's input, made of the messages of its job. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shared.dialects.responses import items
from shared.dialects.responses.objects import InputItem, InputPart


def input_items(messages: Sequence[Mapping[str, Any]], core: str) -> list[InputItem]:
    """All that the model was given but the instructions, the conversation before it included, oldest first."""
    return [item for number, message in enumerate(messages) for item in _of(message, f"{core}_in{number}")]


def _of(message: Mapping[str, Any], core: str) -> Iterator[InputItem]:
    content = message.get("content")
    if message["role"] == "tool":
        yield {
            "id": f"fco_{core}",
            "type": "function_call_output",
            "status": "completed",
            "call_id": message["tool_call_id"],
            "output": content if isinstance(content, str) else _parts(content, "input_text"),
        }
        return
    if thoughts := message.get("reasoning_content"):
        yield items.reasoning(core, thoughts, summary=False)
    written = "output_text" if message["role"] == "assistant" else "input_text"
    parts = _parts(content, written)
    if refusal := message.get("refusal"):
        parts.append(items.refusal_part(refusal))
    if parts:
        yield {
            "id": items.item_id("msg", core),
            "type": "message",
            "status": "completed",
            "role": message["role"],
            "content": parts,
        }
    for number, call in enumerate(message.get("tool_calls") or ()):
        function = call["function"]
        yield items.function_call(core, number, call["id"], function["name"], function["arguments"])


def _parts(content: Any, written: str) -> list[InputPart]:
    if not content:
        return []
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return [_part(part, written) for part in parts]


def _part(part: Mapping[str, Any], written: str) -> InputPart:
    if part["type"] == "refusal":
        return items.refusal_part(part["refusal"])
    if part["type"] == "image_url":
        image = part["image_url"]
        return {"type": "input_image", "image_url": image["url"], "detail": image.get("detail") or "auto"}
    return items.text_part(part["text"]) if written == "output_text" else {"type": "input_text", "text": part["text"]}
