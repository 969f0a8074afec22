"""A Messages request as the native one.

Source: platform.claude.com/docs/en/api/messages/create, …/build-with-claude/effort, …/structured-outputs. `thinking`
and `cache_control` are canonical under these names; what a provider has no place for is listed in `ignored` of the job.
"""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from shared.dialects.messages import client_tools, shapes, unserved
from shared.dialects.messages.turns import TurnTranslator
from shared.dialects.translated import Translated
from shared.errors import InvalidRequest
from shared.submissions.schemas import image_places
from shared.submissions.shapes import invalid

#: Fields of the native request that cannot stand in a message's: it has one answer of its own form.
_NOT_HERE: Final = frozenset(
    {"n", "stream_options", "max_completion_tokens", "logprobs", "top_logprobs", "user", "modalities"}
    | {"parallel_tool_calls", "reasoning", "store", "prediction", "extra_body"}
)
#: Known here, and sent to no provider.
_UNSENT: Final = ("context_management", "speed", "user_profile_id", "diagnostics", "inference_geo")
_TIERS: Final = {"auto": "auto", "standard_only": "default"}
#: The name of a schema that has none here.
_SCHEMA: Final = "response"
#: Characters of an end user's id: those of the canonical `user`.
_MOST_USER: Final = 512


def to_native(body: dict[str, Any]) -> Translated:
    """The native request; 400 that names the field as it was sent."""
    asked, beside = _read(shapes.MessageRequest, body)
    if asked.thread is not None:
        raise _unthreaded()
    turns = TurnTranslator()
    made = _asked(asked, turns) | {"max_tokens": asked.max_tokens}
    made |= {name: value for name in ("temperature", "top_p", "top_k") if (value := getattr(asked, name)) is not None}
    if asked.stop_sequences:
        made["stop"] = asked.stop_sequences
    if asked.service_tier:
        made["service_tier"] = _TIERS[asked.service_tier]
    if asked.stream:
        made |= {"stream": True, "stream_options": {"include_usage": True}}
    made |= _whose(asked.metadata)
    return _translated({**beside, **made}, turns)


def to_counted(body: dict[str, Any]) -> Translated:
    """The native request whose tokens are to be counted."""
    for name in shapes.MessageRequest.model_fields.keys() - shapes.CountRequest.model_fields.keys() & body.keys():
        raise InvalidRequest(f"{name}: unknown field", param=name)
    asked, beside = _read(shapes.CountRequest, body)
    turns = TurnTranslator()
    return _translated({**beside, **_asked(asked, turns)}, turns)


def _unthreaded() -> InvalidRequest:
    """Refuses a conversation that the server is to hold, in the words upon which official clients send it whole.

    Source: the official SDK's ThreadUnsupportedRequestErrorDetails.
    """
    error = InvalidRequest("thread is not supported: send the whole conversation in messages", param="thread")
    error.details["details"] = {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}
    return error


def _translated(body: dict[str, Any], turns: TurnTranslator) -> Translated:
    pictures = (place for place, _ in image_places(body))
    return Translated(body, turns.unsent, dict(zip(pictures, turns.pictures, strict=True)))


def _read(shape: type[Any], body: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The fields of a shape, and those beside them that native requests have, or that nobody knows."""
    names = shape.model_fields
    beside = {name: value for name, value in body.items() if name not in names and name not in unserved.FIELDS}
    for name in beside:
        if name in _NOT_HERE:
            raise InvalidRequest(f"{name}: unknown field", param=name)
    unserved.check(body)
    given = {name: value for name, value in body.items() if name in names}
    if "tools" in given:
        given["tools"] = client_tools.described(given["tools"])
    try:
        return shape.model_validate(given), beside
    except ValidationError as error:
        raise invalid(error) from None


def _asked(asked: Any, turns: TurnTranslator) -> dict[str, Any]:
    messages = [*turns.system(asked.system), *turns.messages(asked.messages)]
    named = asked.model if isinstance(asked.model, str) else asked.model.model_dump(exclude_none=True)
    made: dict[str, Any] = {"model": named, "messages": messages}
    if asked.tools:
        made["tools"] = [_tool(tool, f"tools[{at}]", turns) for at, tool in enumerate(asked.tools)]
        made |= _choice(asked.tool_choice)
    if asked.thinking:
        made["thinking"] = _thinking(asked.thinking, turns)
    made |= turns.cache(asked.cache_control, "") | _output(asked, turns)
    turns.unsent += [name for name in _UNSENT if getattr(asked, name, None) is not None]
    return made


def _thinking(asked: shapes.Thinking, turns: TurnTranslator) -> dict[str, Any]:
    """How the model is to think; what only betas know is not sent."""
    made = asked.model_dump(exclude_none=True)
    for name in ("block_binding", "display"):
        if name in made and made[name] not in ("summarized", "omitted"):
            del made[name]
            turns.unsent.append(f"thinking.{name}")
    return made


def _tool(tool: shapes.ToolSpec, path: str, turns: TurnTranslator) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name, "parameters": tool.input_schema}
    function |= {} if tool.description is None else {"description": tool.description}
    function |= {} if tool.strict is None else {"strict": tool.strict}
    hints = ("eager_input_streaming", "input_examples", "defer_loading", "allowed_callers")
    turns.unsent += [f"{path}.{name}" for name in hints if getattr(tool, name)]
    return {"type": "function", "function": function, **turns.cache(tool.cache_control, path)}


def _choice(choice: shapes.ToolChoice | None) -> dict[str, Any]:
    if choice is None:
        return {}
    made: dict[str, Any] = {"tool_choice": {"any": "required"}.get(choice.type, choice.type)}
    if choice.type == "tool":
        if choice.name is None:
            raise InvalidRequest("tool_choice.name: required field is missing", param="tool_choice.name")
        made["tool_choice"] = {"type": "function", "function": {"name": choice.name}}
    if choice.disable_parallel_tool_use:
        made["parallel_tool_calls"] = False
    return made


def _output(asked: Any, turns: TurnTranslator) -> dict[str, Any]:
    """The effort, and the schema of the answer, which earlier betas had at the top."""
    config = asked.output_config or shapes.OutputConfig()
    made: dict[str, Any] = {"reasoning_effort": config.effort} if config.effort else {}
    if config.task_budget:
        turns.unsent.append("output_config.task_budget")
    if form := config.format or asked.output_format:
        schema = {"name": form.name or _SCHEMA, "schema": form.schema_}
        schema |= {"strict": True} if _is_closed(form.schema_) else {}
        made["response_format"] = {"type": "json_schema", "json_schema": schema}
    return made


def _is_closed(schema: Any) -> bool:
    """Whether every object in a schema has all its properties and no others: OpenAI refuses others as strict ones.

    Source: platform.openai.com/docs/guides/structured-outputs, "Supported schemas". Anthropic enforces either.

    >>> _is_closed({"type": "object", "properties": {"a": {}}, "required": ["a"], "additionalProperties": False})
    True
    """
    if isinstance(schema, list):
        return all(map(_is_closed, schema))
    if not isinstance(schema, dict):
        return True
    properties = schema.get("properties")
    if schema.get("type") == "object" or isinstance(properties, dict):
        required = schema.get("required")
        named = set(required) if isinstance(required, list) and all(isinstance(one, str) for one in required) else set()
        if schema.get("additionalProperties") is not False or named != set(properties or ()):
            return False
    return all(map(_is_closed, schema.values()))


def _whose(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """`metadata.user_id` is the canonical `user`; the rest are labels."""
    labels = dict(metadata or {})
    user = labels.pop("user_id", None)
    if user is not None and not (isinstance(user, str) and len(user) <= _MOST_USER):
        where = "metadata.user_id"
        raise InvalidRequest(f"{where} must be a string of at most {_MOST_USER} characters", param=where)
    return ({"user": user} if user else {}) | ({"metadata": labels} if labels else {})
