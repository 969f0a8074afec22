"""The items of a response's output, made of the message that answered. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from shared.answers.beside import IMAGES
from shared.dialects.responses import sealing
from shared.dialects.responses.objects import (
    FunctionCall,
    ImageCall,
    ItemStatus,
    OutputItem,
    OutputMessage,
    OutputRefusal,
    OutputText,
    ReasoningItem,
    ReasoningPart,
)

Kind = Literal["rs", "msg", "fc"]


def item_id(kind: Kind, core: str, number: int = 0) -> str:
    """The id of an item of the response `resp_<core>`: always the same.

    >>> item_id("msg", "0f"), item_id("fc", "0f", 1)
    ('msg_0f', 'fc_0f_1')
    """
    return f"{kind}_{core}" if kind != "fc" else f"{kind}_{core}_{number}"


def output(
    message: Mapping[str, Any],
    core: str,
    *,
    status: ItemStatus,
    summary: bool,
    likely: Sequence[Mapping[str, Any]] = (),
    seals: bool = False,
) -> list[OutputItem]:
    """Reasoning, message, pictures, calls, in this order; `status`: of the last of them, the others are completed.

    `likely`: the logprobs of the message's text, as a chat completion has them. `seals`: `encrypted_content` is asked
    for; without a text to show, it has a reasoning item before what it belongs to.
    """
    made: list[OutputItem] = []
    sealed = sealing.sealed(message) if seals else None
    thoughts = message.get("reasoning_content") or ""
    if thoughts or (seals and sealing.leads(message)):
        made.append(reasoning(core, thoughts, summary=summary, sealed=sealed))
    calls = message.get("tool_calls") or ()
    parts: list[OutputText | OutputRefusal] = []
    if text := message.get("content"):
        cited, tokens = _citations(message), [_likelihood(one) for one in likely]
        parts.append({**text_part(text), "annotations": cited, "logprobs": tokens})
    if refusal := message.get("refusal"):
        parts.append(refusal_part(refusal))
    shown = images(message, core)
    if parts or not (calls or shown):
        made.append(spoken(core, parts or [text_part("")]))
    made += shown
    if sealed and sealing.begins_call(message) and not sealing.leads(message):
        made.append(reasoning(core, "", summary=summary, sealed=sealed))
    for number, call in enumerate(calls):
        function = call["function"]
        made.append(function_call(core, number, call["id"], function["name"], function["arguments"]))
    made[-1]["status"] = status
    return made


def images(message: Mapping[str, Any], core: str) -> list[ImageCall]:
    """The pictures of a message, or of the piece of one that has them."""
    urls = [one["image_url"]["url"] for one in message.get(IMAGES) or ()]
    return [image_call(core, number, url.partition(",")[2]) for number, url in enumerate(urls)]


def image_call(core: str, number: int, result: str | None, status: ItemStatus = "completed") -> ImageCall:
    """A picture, the `number`th from 0; None: it begins."""
    return {"id": f"ig_{core}_{number}", "type": "image_generation_call", "status": status, "result": result}


def _likelihood(one: Mapping[str, Any]) -> dict[str, Any]:
    """A token of a text with those that might have stood in its place; its bytes are always told here."""
    made = {"token": one["token"], "logprob": one["logprob"], "bytes": one.get("bytes") or [*one["token"].encode()]}
    if "top_logprobs" in one:
        made["top_logprobs"] = [_likelihood(other) for other in one["top_logprobs"] or ()]
    return made


def _citations(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the text is based on; this format has the fields of a citation beside its type."""
    return [{"type": one["type"], **one["url_citation"]} for one in message.get("annotations") or ()]


def reasoning(
    core: str, text: str | None, *, summary: bool, status: ItemStatus = "completed", sealed: str | None = None
) -> ReasoningItem:
    """A reasoning item; None: it begins, without a text. `sealed`: its `encrypted_content`, where that is asked for."""
    parts = [] if text is None else [reasoning_part(text, summary=summary)]
    item: ReasoningItem = {
        "id": item_id("rs", core),
        "type": "reasoning",
        "status": status,
        "summary": parts if summary else [],
    }
    if not summary:
        item["content"] = parts
    if sealed is not None:
        item["encrypted_content"] = sealed
    return item


def reasoning_part(text: str, *, summary: bool) -> ReasoningPart:
    """A text of the reasoning."""
    return {"type": "summary_text" if summary else "reasoning_text", "text": text}


def text_part(text: str) -> OutputText:
    """A text."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def refusal_part(text: str) -> OutputRefusal:
    """A refusal."""
    return {"type": "refusal", "refusal": text}


def spoken(core: str, parts: list[OutputText | OutputRefusal], status: ItemStatus = "completed") -> OutputMessage:
    """The model's message."""
    return {
        "id": item_id("msg", core),
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": parts,
    }


def function_call(
    core: str, number: int, call_id: str, name: str, arguments: str, status: ItemStatus = "completed"
) -> FunctionCall:
    """A call that the model wants, the `number`th from 0."""
    return {
        "id": item_id("fc", core, number),
        "type": "function_call",
        "status": status,
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
    }
