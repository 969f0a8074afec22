"""Rewrites other forms of messages to those of OpenAI's chat completions.

Parts as the Responses API and Anthropic's have them, thoughts among the parts, arguments that are an object, a turn of
no content: what SDKs write, and what servers answered with and get back. What is wrong in them is left as it is, for
whoever reads the request to refuse.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

Value = dict[str, Any]

_THOUGHTS: Final = frozenset({"thinking", "reasoning", "redacted_thinking"})


def message(value: Value) -> Value:
    """A message; itself when there is nothing to put otherwise."""
    content = value.get("content")
    if value.get("tool_calls") == []:
        value = {name: given for name, given in value.items() if name != "tool_calls"}
    if isinstance(content, str):
        return value
    if isinstance(content, list):
        parts = [part(one) if isinstance(one, dict) else one for one in content]
        if value.get("role") == "assistant":
            value, parts = _without_thoughts(value, parts)
        if any(one is not other for one, other in zip(parts, content, strict=False)) or len(parts) != len(content):
            value = {**value, "content": parts}
        content = parts
    return value if content else _of_no_content(value)


def _of_no_content(value: Value) -> Value:
    """What an assistant that was cut short said, and a tool that gave nothing: an empty text."""
    role = value.get("role")
    if "content" not in value or role not in ("assistant", "tool") or not _is_none(value["content"]):
        return value
    says = role == "assistant" and (value.get("tool_calls") or value.get("refusal"))
    return {**value, "content": None if says else ""}


def _is_none(content: Any) -> bool:
    return content is None or content == []


def _without_thoughts(value: Value, parts: list[Any]) -> tuple[Value, list[Any]]:
    """Thoughts among the parts are a text of their own beside the content; those that are signed stay whole as well."""
    thoughts = [one for one in parts if _is_thought(one)]
    if not thoughts:
        return value, parts
    texts = [text for one in thoughts for text in _thought(one)]
    rest = [one for one in parts if not _is_thought(one)]
    signed = [one for one in thoughts if one.get("signature") or one.get("data")]
    beside = {"thinking_blocks": signed} if signed else {}
    return {"reasoning_content": "".join(texts), **beside, **value}, rest


def _is_thought(one: Any) -> bool:
    return isinstance(one, dict) and isinstance(one.get("type"), str) and one["type"] in _THOUGHTS


def _thought(one: Value) -> list[str]:
    """A thought's text; Mistral's is a list of text parts."""
    given = one.get("thinking") or one.get("text") or one.get("reasoning") or []
    texts = given if isinstance(given, list) else [given]
    found = [text.get("text") if isinstance(text, dict) else text for text in texts]
    return [text for text in found if isinstance(text, str)]


def part(value: Value) -> Value:
    """A part of a content."""
    kind = value.get("type")
    known = _PARTS.get(kind) if isinstance(kind, str) else None
    return known(value) if known else value


def _text(value: Value) -> Value:
    return {**value, "type": "text"}


def _image_url(value: Value) -> Value:
    """`image_url` may be the address itself, and `detail` stand beside it."""
    address = value.get("image_url")
    if not isinstance(address, str):
        return value if value["type"] == "image_url" else {**value, "type": "image_url"}
    rest = {name: given for name, given in value.items() if name != "detail"}
    detail = {"detail": value["detail"]} if value.get("detail") is not None else {}
    return {**rest, "type": "image_url", "image_url": {"url": address, **detail}}


def _input_image(value: Value) -> Value:
    return _image_url(value) if value.get("image_url") is not None else value


def _image(value: Value) -> Value:
    """`{"type": "image", "source": {"type": "base64", "media_type", "data"}}`, or `image`: an address or base64."""
    address = value.get("image") or _of_source(value.get("source"))
    if not isinstance(address, str):
        return value
    rest = {name: given for name, given in value.items() if name not in ("image", "source")}
    return _image_url({**rest, "image_url": address})


def _of_source(source: Any) -> str | None:
    if not isinstance(source, Mapping):
        return None
    if isinstance(source.get("url"), str):
        return str(source["url"])
    data, kind = source.get("data"), source.get("media_type")
    return f"data:{kind if isinstance(kind, str) else ''};base64,{data}" if isinstance(data, str) else None


_PARTS: Final[Mapping[str, Callable[[Value], Value]]] = {
    "input_text": _text,
    "output_text": _text,
    "image_url": _image_url,
    "input_image": _input_image,
    "image": _image,
}


def call(value: Value) -> Value:
    """A tool call; arguments that are no text become the JSON of what they are."""
    function = value.get("function")
    if not isinstance(function, dict) or "arguments" not in function:
        return value
    arguments = function["arguments"]
    if arguments is None:
        arguments = "{}"
    elif isinstance(arguments, dict | list):
        arguments = orjson.dumps(arguments).decode()
    else:
        return value
    return {**value, "function": {**function, "arguments": arguments}}
