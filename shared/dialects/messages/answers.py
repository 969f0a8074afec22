"""A canonical chat completion as a message: its blocks, why it ended, what it used.

Sources: platform.claude.com/docs/en/api/messages/create (the message object), …/build-with-claude/prompt-caching (the
input is three counts that exclude each other), …/handling-stop-reasons; nullable fields as in the types of the official
SDK. A count that is not known is null, never 0.
"""

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any, Final, Literal, NotRequired, cast

import orjson
from typing_extensions import TypedDict

from shared import strict_json
from shared.answers.beside import BESIDE, IMAGES, NATIVE, STOPPED_AT
from shared.dialects.messages import seals
from shared.objects.fields import Count, Credits
from shared.submissions.job_types import JobType

StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use", "refusal", "model_context_window_exceeded"]

_ENDS: Final[Mapping[str, StopReason]] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "model_context_window_exceeded": "model_context_window_exceeded",
}
#: Under this name Anthropic has arguments that are no JSON object
#: (platform.claude.com/docs/en/agents-and-tools/tool-use/fine-grained-tool-streaming).
_INVALID: Final = "INVALID_JSON"
#: Of a signed thought in the midst of an answer: after how many `characters` of its text and `tool_calls` it stands.
AFTER: Final = "after"
#: Fields of the usage that are ours, shown last.
_OURS: Final = ("credits_used", "test", "estimated")


class MessageBlock(TypedDict):
    """A block of a message: `text`, `thinking` with its `signature`, `redacted_thinking`, or `tool_use`."""

    type: Literal["text", "thinking", "redacted_thinking", "tool_use"]
    text: NotRequired[str]
    citations: NotRequired[None]
    thinking: NotRequired[str]
    signature: NotRequired[str]
    data: NotRequired[str]
    id: NotRequired[str]
    name: NotRequired[str]
    input: NotRequired[dict[str, Any]]


class CacheCreation(TypedDict):
    """Input written into the cache, by how long it is kept."""

    ephemeral_5m_input_tokens: Count
    ephemeral_1h_input_tokens: Count


class ThinkingTokens(TypedDict):
    """Tokens of thoughts, which are among the output's."""

    thinking_tokens: Count


class MessageUsage(TypedDict):
    """Tokens. `input_tokens` excludes those read from the cache and written into it; null: not known."""

    input_tokens: Count
    cache_creation_input_tokens: Count | None
    cache_read_input_tokens: Count | None
    cache_creation: CacheCreation | None
    output_tokens: Count
    output_tokens_details: NotRequired[ThinkingTokens]
    service_tier: None
    credits_used: NotRequired[Credits]
    test: NotRequired[Literal[True]]
    estimated: NotRequired[Literal[True]]


class StopDetails(TypedDict):
    """Why the model declined."""

    type: Literal["refusal"]
    category: None
    explanation: str | None


class MessageObject(TypedDict):
    """A message of the model."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[MessageBlock]
    stop_reason: StopReason | None
    stop_sequence: str | None
    stop_details: StopDetails | None
    usage: MessageUsage


class TokenCount(TypedDict):
    """An estimate of the tokens of the input."""

    input_tokens: Count


def dress(type: JobType, result: str) -> str:
    """The message of a chat completion's JSON."""
    return orjson.dumps(message(orjson.loads(result))).decode()


def message(completion: Mapping[str, Any]) -> MessageObject:
    """The message of a chat completion."""
    choice = completion["choices"][0]
    said = choice["message"]
    content = [*_blocks(said), *_text(pictured(completion) if said.get(IMAGES) else "")]
    made = head(completion) | {"content": content}
    made |= end(choice.get(NATIVE) or choice.get("finish_reason"), said.get("refusal"), choice.get(STOPPED_AT))
    return cast(MessageObject, made | {"usage": used(completion.get("usage") or {})})


def head(completion: Mapping[str, Any]) -> dict[str, Any]:
    """What a message and its stream begin with; the id is the same in both."""
    id = "msg_" + str(completion["id"]).removeprefix("chatcmpl-")
    return {"id": id, "type": "message", "role": "assistant", "model": completion["model"]}


def pictured(completion: Mapping[str, Any]) -> str:
    """What a message says of a picture that was made, for which it has no block; of a completion or its chunk."""
    job = "job_" + str(completion["id"]).removeprefix("chatcmpl-")
    return f"An image was generated. It is in the result of {job}: GET /v1/jobs/{job}"


def end(finish: str | None, refusal: str | None, stopped_at: str | None = None) -> dict[str, Any]:
    """The stop reason with what belongs to it."""
    reason = "refusal" if refusal else "stop_sequence" if stopped_at else _ENDS.get(finish or "")
    details = {"type": "refusal", "category": None, "explanation": refusal} if reason == "refusal" else None
    return {"stop_reason": reason, "stop_sequence": stopped_at, "stop_details": details}


def used(usage: Mapping[str, Any]) -> MessageUsage:
    """The usage of a message.

    >>> used({"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 6}})["input_tokens"]
    3
    """
    of_prompt, of_answer = usage.get("prompt_tokens_details") or {}, usage.get("completion_tokens_details") or {}
    read, written = of_prompt.get("cached_tokens"), of_prompt.get("cache_creation_tokens")
    shown: dict[str, Any] = {
        "input_tokens": usage.get("prompt_tokens", 0) - (read or 0) - (written or 0),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "cache_creation": _kept(written, of_prompt.get("cache_creation_1h_tokens")),
        "output_tokens": usage.get("completion_tokens", 0),
    }
    if (thought := of_answer.get("reasoning_tokens")) is not None:
        shown["output_tokens_details"] = {"thinking_tokens": thought}
    ours = {name: usage[name] for name in _OURS if name in usage}
    return cast(MessageUsage, shown | {"service_tier": None} | ours)


def _kept(written: int | None, hour: int | None) -> CacheCreation | None:
    if written is None:
        return None
    return {"ephemeral_5m_input_tokens": written - (hour or 0), "ephemeral_1h_input_tokens": hour or 0}


def _blocks(said: Mapping[str, Any]) -> Iterator[Any]:
    """The blocks in the order in which they came; thoughts that their provider does not sign have no signature."""
    signed, text = said.get("thinking_blocks") or (), said.get("content") or ""
    calls = [list(_call(call)) for call in said.get("tool_calls") or ()]
    if not signed and (thought := said.get("reasoning_content")):
        yield {"type": "thinking", "thinking": thought, "signature": ""}
    read = called = 0
    for block in signed:
        after = block.get(AFTER) or {}
        yield from _text(text[read : after.get("characters", 0)])
        yield from chain(*calls[called : after.get("tool_calls", 0)])
        read, called = max(read, after.get("characters", 0)), max(called, after.get("tool_calls", 0))
        yield {name: value for name, value in block.items() if name != AFTER}
    yield from _text(text[read:])
    yield from chain(*calls[called:])


def _text(text: str) -> Iterator[dict[str, Any]]:
    if text:
        yield {"type": "text", "text": text}


def _call(call: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The block of a call, after that of what its provider wants back with it."""
    function = call["function"]
    if beside := call.get(BESIDE):
        yield seals.sealed(beside)
    yield {"type": "tool_use", "id": call["id"], "name": function["name"], "input": _input(function["arguments"])}


def _input(arguments: str) -> dict[str, Any]:
    """The object that arguments are.

    >>> _input('{"a": 1}'), _input(""), _input('{"a":')
    ({'a': 1}, {}, {'INVALID_JSON': '{"a":'})
    """
    value = strict_json.within(arguments or "{}")
    return value if isinstance(value, dict) else {_INVALID: arguments}
