"""What POST /v1/responses takes, and how it becomes the native request.

Source: openai-python, `openai.types.responses.response_create_params`. What OpenAI runs itself (web and file
search, MCP, conversations, prompt templates …) is refused by name.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

import orjson
from pydantic import Field, ValidationError

from shared.dialects.responses import sealing, turns
from shared.errors import InvalidRequest, RequestRefused
from shared.submissions import extras
from shared.submissions.answer_options import AnswerFields
from shared.submissions.job_types import RESPONSE_EVENTS
from shared.submissions.linked_context import LinkedContext
from shared.submissions.requests import MAX_TEXT, ChatRequest
from shared.submissions.schemas import Routing, Submission, invalid, read_submission
from shared.submissions.selection import ModelSelection
from shared.submissions.shapes import NullIsAbsent

_Word = Annotated[str, Field(max_length=64)]
_Items = Annotated[list[dict[str, Any]], Field(min_length=1, max_length=5000, fail_fast=True)]


class ResponseReasoning(NullIsAbsent):
    """What is asked of the reasoning. With `summary`, the reasoning is shown as a summary. `context` is ignored."""

    context: _Word | None = None
    effort: _Word | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None


class TextFormat(NullIsAbsent):
    """The format of the text."""

    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    description: str | None = None
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = None


class ResponseText(NullIsAbsent):
    """How the text is to be."""

    format: TextFormat | None = None
    verbosity: _Word | None = None


class ResponseStreamOptions(NullIsAbsent):
    """Accepted and ignored."""

    include_obfuscation: bool | None = None


class InputTokensRequest(NullIsAbsent):
    """What a model would be given, to be counted. Tools are functions."""

    model: Annotated[str, Field(min_length=1)] | ModelSelection
    input: Annotated[str, Field(max_length=MAX_TEXT)] | _Items
    instructions: Annotated[str, Field(max_length=MAX_TEXT)] | None = None
    parallel_tool_calls: bool | None = None
    previous_response_id: Annotated[str, Field(max_length=100)] | None = None
    reasoning: ResponseReasoning | None = None
    text: ResponseText | None = None
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = None
    tools: Annotated[list[dict[str, Any]], Field(max_length=128)] | None = None
    truncation: Literal["auto", "disabled"] | None = None


class ResponseRequest(InputTokensRequest):
    """A response: one call of a model. Tools are functions. `message.output_text.logprobs` and
    `reasoning.encrypted_content` are taken in `include`; `context_management` and `max_tool_calls` have no effect.
    """

    background: bool | None = None
    context_management: Annotated[list[dict[str, Any]], Field(max_length=20)] | None = None
    include: Annotated[list[_Word], Field(max_length=20)] | None = None
    max_output_tokens: int | None = Field(default=None, ge=1)
    max_tool_calls: int | None = Field(default=None, ge=1)
    metadata: dict[str, Any] | None = None
    prompt_cache_key: str | None = None
    routing: Routing | None = None
    safety_identifier: str | None = None
    service_tier: _Word | None = None
    store: bool | None = None
    stream: bool | None = None
    stream_options: ResponseStreamOptions | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    top_p: float | None = Field(default=None, ge=0, le=1)
    user: str | None = None


#: Fields that go on as they are.
_SAME: Final = (
    "model metadata parallel_tool_calls prompt_cache_key routing safety_identifier service_tier stream temperature "
    "top_p user"
).split()
#: Native fields that have another name here, or none.
_NATIVE_ONLY: Final = frozenset(
    "messages max_tokens max_completion_tokens n reasoning_effort verbosity stream_options "
    "logprobs top_logprobs store reasoning modalities".split()
)
#: Native fields that may stand beside this format's own.
_BESIDE: Final = (
    frozenset({**ChatRequest.model_fields, **LinkedContext.model_fields, **AnswerFields.model_fields})
    - _NATIVE_ONLY
    - frozenset(ResponseRequest.model_fields)
)
#: Taken, of no effect, and told as ignored.
_WITHOUT_EFFECT: Final = ("context_management", "max_tool_calls", "truncation")
#: What would be kept or made on the server, and what to send instead: refused, also where unknown fields are ignored.
_REFUSED: Final = {
    "conversation": "send the conversation as input, or go on from a response with previous_response_id",
    "prompt": "send the text of the prompt as instructions and input",
}
#: Of a tool: its type, and hints for tools that are run or found on the server.
_OF_TOOL: Final = ("type", "allowed_callers", "defer_loading", "output_schema")
#: What of `include` has an effect.
_LOGPROBS: Final = "message.output_text.logprobs"
#: This format's names of native fields, for what is said of faults.
_NAMES: Final = {
    "max_tokens": "max_output_tokens",
    "response_format.json_schema": "text.format",
    "response_format": "text.format",
    "reasoning_effort": "reasoning.effort",
    "verbosity": "text.verbosity",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Before:
    """The conversation so far, of the response that another goes on from."""

    response_id: str
    messages: Sequence[dict[str, Any]]


def read(
    body: Mapping[str, Any],
    before: Before | None,
    *,
    ignore_unknown: bool,
    stored: Mapping[str, dict[str, Any]] = turns.NOTHING,
) -> Submission:
    """The job that a body asks for; a 400 names the field as it was sent. `stored`: items that it refers to, by id."""
    return read_with_places(body, before, stored, ignore_unknown=ignore_unknown)[0]


def read_with_places(
    body: Mapping[str, Any],
    before: Before | None,
    stored: Mapping[str, dict[str, Any]] = turns.NOTHING,
    *,
    ignore_unknown: bool,
) -> tuple[Submission, Sequence[str]]:
    """The same, and the place in the body that each of the messages was made of, as `renamed` takes them."""
    for name, instead in _REFUSED.items():
        if body.get(name) is not None:
            raise InvalidRequest(f"{name}: not supported; {instead}", param=name)
    known = {name: value for name, value in body.items() if name in ResponseRequest.model_fields}
    others = {name: value for name, value in body.items() if name not in known}
    unknown = sorted(name for name in others if name not in _BESIDE and others[name] is not None)
    if unknown and not (ignore_unknown and _NATIVE_ONLY.isdisjoint(unknown)):
        raise InvalidRequest(f"{unknown[0][:100]}: unknown field", param=unknown[0][:100])
    try:
        asked = ResponseRequest.model_validate(known)
    except ValidationError as error:
        raise invalid(error) from None
    if asked.background and asked.store is False:
        raise InvalidRequest("background: requires store: true", param="background")
    native = {name: known[name] for name in _SAME if known.get(name) is not None}
    native |= {name: others[name] for name in _BESIDE if name in others} | _text(asked) | _tools(asked)
    if asked.top_logprobs is not None or _LOGPROBS in (asked.include or ()):
        native |= {"logprobs": True, "top_logprobs": asked.top_logprobs}
    if asked.max_output_tokens is not None:
        native["max_tokens"] = asked.max_output_tokens
    places, native["messages"] = _messages(asked, before, stored)
    try:
        submission = read_submission("chat.completion", native, ignore_unknown=ignore_unknown)
    except RequestRefused as error:
        raise renamed(error, places) from None
    ignored = [name for name in _WITHOUT_EFFECT if known.get(name) not in (None, [], "disabled")] + unknown
    ignored += ["include"] if set(asked.include or ()) - {_LOGPROBS, sealing.WANTED} else []
    for number, tool in enumerate(asked.tools or ()):
        ignored += [f"tools[{number}].{name}" for name in _OF_TOOL[1:] if tool.get(name)]
    ignored += ["reasoning.context"] if asked.reasoning and asked.reasoning.context else []
    made = _kept(submission, _echo(asked, before), ignored)
    return (dataclasses.replace(made, owed_events=RESPONSE_EVENTS) if asked.background else made), places


def _messages(
    asked: ResponseRequest, before: Before | None, stored: Mapping[str, dict[str, Any]]
) -> tuple[list[str], list[dict[str, Any]]]:
    """The messages, and the places in the body that they were made of."""
    made = [("instructions", {"role": "system", "content": asked.instructions})] if asked.instructions else []
    made += [("previous_response_id", dict(message)) for message in (before.messages if before else ())]
    made += turns.messages(asked.input, stored)
    return [place for place, _ in made], [message for _, message in made]


def _text(asked: ResponseRequest) -> dict[str, Any]:
    """Format, verbosity and effort under their native names."""
    made: dict[str, Any] = {}
    if asked.reasoning and asked.reasoning.effort is not None:
        made["reasoning_effort"] = asked.reasoning.effort
    if asked.text and asked.text.verbosity is not None:
        made["verbosity"] = asked.text.verbosity
    if asked.text and (format := asked.text.format) is not None and format.type != "text":
        made["response_format"] = {"type": format.type}
        if format.type == "json_schema":
            schema = format.model_dump(exclude_none=True, by_alias=True, exclude={"type"})
            made["response_format"]["json_schema"] = schema
    return made


def _tools(asked: ResponseRequest) -> dict[str, Any]:
    """Tools and their choice as chat completions nest them; without tools neither."""
    made: dict[str, Any] = {}
    for number, tool in enumerate(asked.tools or ()):
        _check_function(f"tools[{number}].type", tool.get("type"))
    if asked.tools:
        made["tools"] = [
            {"type": "function", "function": {name: value for name, value in tool.items() if name not in _OF_TOOL}}
            for tool in asked.tools
        ]
    choice = asked.tool_choice
    if isinstance(choice, dict):
        _check_function("tool_choice.type", choice.get("type"))
        choice = {"type": "function", "function": {"name": choice.get("name")}}
    if choice is not None and (asked.tools or choice not in ("auto", "none")):
        made["tool_choice"] = choice
    if asked.parallel_tool_calls is not None and not asked.tools:
        made["parallel_tool_calls"] = None
    return made


def _check_function(where: str, kind: Any) -> None:
    if kind != "function":
        shown = repr(kind[:50]) if isinstance(kind, str) else "this"
        raise InvalidRequest(f"{where}: {shown} is not supported; supported: function", param=where)


def renamed(error: RequestRefused, places: Sequence[str] = ()) -> RequestRefused:
    """The same fault by the name that the field has here; `places`: of what the messages were made of."""
    old = error.param or ""
    new = old
    for native, name in _NAMES.items():
        if old == native or old.startswith((f"{native}.", f"{native}[")):
            new = name + old.removeprefix(native)
            break
    if old.startswith("messages["):
        number, _, rest = old.removeprefix("messages[").partition("]")
        if number.isdigit() and int(number) < len(places):
            rest = rest.replace(".image_url.url", ".image_url")
            new = places[int(number)] + (rest if places[int(number)].startswith("input") else "")
    elif old.startswith("tools["):
        new = old.replace("].function", "]", 1)
    if new != old:
        error.message = error.message.replace(old, new, 1)
        error.param = new
    return error


def _echo(asked: ResponseRequest, before: Before | None) -> dict[str, Any]:
    """What the response shows of its request, and the native one does not have."""
    reasoning = asked.reasoning or ResponseReasoning()
    made = {
        "instructions": bool(asked.instructions) or None,
        "previous_response_id": before.response_id if before else None,
        "background": asked.background or None,
        "store": False if asked.store is False else None,
        "truncation": "auto" if asked.truncation == "auto" else None,
        "summary": reasoning.summary or reasoning.generate_summary,
        "encrypted": sealing.WANTED in (asked.include or ()) or None,
    }
    return {name: value for name, value in made.items() if value is not None}


def _kept(submission: Submission, echo: Mapping[str, Any], ignored: Sequence[str]) -> Submission:
    """The submission with these beside its request: see `extras.RESPONSE`."""
    beside = {**submission.request.get(extras.KEY, {}), **dict.fromkeys(ignored), extras.RESPONSE: dict(echo)}
    request = {**submission.request, extras.KEY: beside}
    return dataclasses.replace(submission, request=request, json=orjson.dumps(request))
