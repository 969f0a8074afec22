"""A job's request and answer as parts to show: texts, calls of tools, pictures, vectors.

Nothing in them is taken for more than it is: a picture is one by how its bytes begin.
"""

import base64
import binascii
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Literal

import orjson

from shared.files.images import MEDIA_TYPES, UNKNOWN, kind_of

Kind = Literal["text", "thoughts", "call", "picture", "link", "note", "json"]

#: Characters of a text and of a JSON document that a page shows; the API has the rest.
MOST_TEXT: Final = 100_000
MOST_JSON: Final = 20_000
#: Bytes of a request's own picture that a page has in itself.
MOST_PICTURE: Final = 2_000_000
#: Messages of a conversation, the last ones, and parts of a message that a page shows.
MOST_MESSAGES: Final = 100
MOST_PARTS: Final = 50
#: Numbers of a vector that are shown.
_SHOWN_NUMBERS: Final = 6


@dataclass(frozen=True, slots=True)
class ShownPart:
    """One thing to show. `name`: of a tool, or where a picture or link is; `cut`: there is more of it."""

    kind: Kind
    text: str = ""
    name: str = ""
    cut: bool = False


@dataclass(frozen=True, slots=True)
class ShownMessage:
    """What one side said, in its parts; `note`: how it ended."""

    role: str
    parts: Sequence[ShownPart]
    note: str = ""


#: Fields of a request that are shown as what was said, and not among its settings.
_SAID: Final = ("messages", "prompt", "input", "tools", "model", "metadata")


def asked(type: str, body: Mapping[str, Any]) -> list[ShownMessage]:
    """What a job asked."""
    if type == "chat.completion":
        return list(_conversation(body.get("messages") or ()))
    if type == "embedding":
        given = body.get("input")
        texts = given if isinstance(given, list) and given and isinstance(given[0], str) else [given]
        return [ShownMessage("input", [_text(one) for one in texts[:20]], _more(len(texts), 20, "inputs"))]
    return [ShownMessage("prompt", [_text(body.get("prompt"))])]


def _conversation(messages: Sequence[Mapping[str, Any]]) -> Iterator[ShownMessage]:
    if (left_out := len(messages) - MOST_MESSAGES) > 0:
        yield ShownMessage(
            "conversation", [ShownPart("note", f"{left_out:,} earlier messages are not shown: the API has them.")]
        )
    for message in messages[-MOST_MESSAGES:]:
        yield ShownMessage(str(message.get("role", "")), list(islice(_of_message(message), MOST_PARTS)))


def settings_of(body: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What else a job's request has, as names and values; of tools their names."""
    found = [(name, _short(value)) for name, value in body.items() if name not in _SAID]
    tools = [str(tool.get("function", {}).get("name", "?")) for tool in body.get("tools") or ()]
    return [*found, ("tools", ", ".join(tools))] if tools else found


def answered(type: str, result: Mapping[str, Any], picture_url: str) -> list[ShownMessage]:
    """What a job answered. `picture_url`: where its pictures are, but for their number."""
    if type == "chat.completion":
        return [_choice(choice, picture_url) for choice in result.get("choices") or ()]
    if type == "embedding":
        vectors = [one.get("embedding") for one in result.get("data") or ()]
        parts = [ShownPart("note", _vector(one)) for one in vectors[:20]]
        return [ShownMessage("vectors", parts, _more(len(vectors), 20, "vectors"))]
    made = [
        ShownPart("picture", _revised(one), f"{picture_url}{number}")
        for number, one in enumerate(result.get("data") or ())
    ]
    return [ShownMessage("pictures", made)]


def pictures(result: Mapping[str, Any]) -> list[str]:
    """Where a result's pictures are, in their order: `data:` URLs, or links."""
    found = []
    for one in result.get("data") or ():
        found.append(f"data:image/png;base64,{one['b64_json']}" if one.get("b64_json") else str(one.get("url") or ""))
    for choice in result.get("choices") or ():
        found += [str(one["image_url"]["url"]) for one in choice["message"].get("images") or ()]
    return found


def decoded(url: str) -> tuple[bytes, str] | None:
    """The bytes and media type of a picture in a `data:` URL; None: it is none, whatever it says of itself."""
    head, _, text = url.partition(",")
    if not head.startswith("data:") or not head.endswith(";base64"):
        return None
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    kind = kind_of(content)
    return None if kind == UNKNOWN else (content, MEDIA_TYPES[kind])


def document(value: Any) -> ShownPart:
    """A value as JSON, as much of it as is shown."""
    text = _begin(value)
    return ShownPart("json", text[:MOST_JSON], cut=len(text) > MOST_JSON)


def _begin(value: Any) -> str:
    """A value's JSON, written no further than is shown: the whole of a large one takes seconds."""
    text, pieces = "", json.JSONEncoder(indent=2, ensure_ascii=False).iterencode(value)
    with suppress(RecursionError):
        while len(text) <= MOST_JSON and (more := "".join(islice(pieces, 500))):
            text += more
    return text


def _choice(choice: Mapping[str, Any], picture_url: str) -> ShownMessage:
    message = choice.get("message") or {}
    parts = list(_of_message(message))
    made = message.get("images") or ()
    parts += [
        ShownPart("picture", str(one.get("revised_prompt") or ""), f"{picture_url}{n}") for n, one in enumerate(made)
    ]
    return ShownMessage(
        str(message.get("role") or "assistant"), parts, str(choice.get("finish_reason") or "ended early")
    )


def _of_message(message: Mapping[str, Any]) -> Iterator[ShownPart]:
    if thoughts := message.get("reasoning_content"):
        yield _text(thoughts, "thoughts")
    content = message.get("content")
    if isinstance(content, str):
        yield _text(content)
    elif isinstance(content, list):
        for part in content:
            yield _of_part(part)
    if refusal := message.get("refusal"):
        yield ShownPart("note", f"Refused: {refusal}"[:MOST_TEXT])
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        yield ShownPart("call", _pretty(function.get("arguments")), str(function.get("name", "?")))


def _of_part(part: Mapping[str, Any]) -> ShownPart:
    if part.get("type") == "text":
        return _text(part.get("text"))
    if part.get("type") != "image_url":
        return ShownPart("note", str(part.get("refusal") or part.get("type") or "?"))
    url = str((part.get("image_url") or {}).get("url") or "")
    if not url.startswith("data:"):
        return ShownPart("link", url[:2000])
    if len(url) > MOST_PICTURE:
        return ShownPart("note", f"A picture of {len(url) * 3 // 4:,} bytes, which is too large to be shown here")
    found = decoded(url)
    if found is None:
        return ShownPart("note", "A picture of a kind that is not shown")
    content, media_type = found
    return ShownPart("picture", "", f"data:{media_type};base64,{base64.b64encode(content).decode()}")


def _line(value: Any) -> str:
    """A value's JSON on one line; such as an embedding's tokens."""
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        return json.dumps(value)


def _text(value: Any, kind: Kind = "text") -> ShownPart:
    text = value if isinstance(value, str) else _line(value)
    return ShownPart(kind, text[:MOST_TEXT], cut=len(text) > MOST_TEXT)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else _line(value)
    return text if len(text) <= 300 else text[:300] + "…"


def _pretty(arguments: Any) -> str:
    text = str(arguments)
    if len(text) > MOST_JSON:
        return text[:MOST_JSON]
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)[:MOST_JSON]
    except (ValueError, RecursionError):
        return text


def _vector(vector: Any) -> str:
    if not isinstance(vector, list):
        return "A vector in base64"
    begin = ", ".join(f"{number:.4f}" for number in vector[:_SHOWN_NUMBERS])
    return f"{len(vector):,} numbers: {begin}{', …' if len(vector) > _SHOWN_NUMBERS else ''}"


def _revised(one: Mapping[str, Any]) -> str:
    return str(one.get("revised_prompt") or "")


def _more(number: int, shown: int, what: str) -> str:
    return f"{number - shown:,} more {what}" if number > shown else ""
