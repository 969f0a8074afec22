"""Pictures in results of tools, which the protocol has no place for: they go into a user's turn after the results.

A provider refuses them in a message of the role `tool` (OpenHands/OpenHands#7700), or takes them and does not look
(openai/openai-openapi#523).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Message = dict[str, Any]


def moved(messages: Sequence[Message]) -> list[Message]:
    """The messages with the pictures of each run of results in a message of the user behind it."""
    if "tool" not in [message["role"] for message in messages]:  # as mostly
        return list(messages)
    return list(_moved(messages)) if any(map(_shows, messages)) else list(messages)


def _moved(messages: Sequence[Message]) -> Iterator[Message]:
    shown: list[Any] = []
    for message in messages:
        if message["role"] != "tool" and shown:
            yield {"role": "user", "content": shown}
            shown = []
        if _shows(message):
            shown += [part for part in message["content"] if _is_picture(part)]
            rest = [part for part in message["content"] if not _is_picture(part)]
            message = {**message, "content": rest or ""}
        yield message
    if shown:
        yield {"role": "user", "content": shown}


def _shows(message: Mapping[str, Any]) -> bool:
    content = message.get("content")
    return message["role"] == "tool" and isinstance(content, list) and any(map(_is_picture, content))


def _is_picture(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "image_url"
