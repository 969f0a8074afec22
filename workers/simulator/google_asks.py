"""Gemini's requests as read: in camelCase, checked as strictly as the real one checks, and in canonical terms."""

import re
from typing import Any, Final

from workers.simulator import google_shapes, google_turns
from workers.simulator.answers import IMAGE_TOKENS, MESSAGE_TOKENS, Prompt, digest, tokens, tool_tokens
from workers.simulator.messages import SimulatedRefusal, may, need, objects

Body = dict[str, Any]

MOST_CANDIDATES: Final = 8
MOST_STOPS: Final = 5
TIERS: Final = ("standard", "flex", "priority")
_SNAKE: Final = re.compile(r"_([a-z])")
#: What in a request is the caller's own.
_FREE: Final = frozenset(
    "parameters parametersJsonSchema args response responseSchema responseJsonSchema partMetadata labels".split()
)
_LEVELS: Final = frozenset({"MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH"})
#: Models that take a budget for their thoughts, and of them those that always think.
_BUDGETED: Final = re.compile(r"gemini-2\.5")
_ALWAYS: Final = re.compile(r"gemini-2\.5-pro")
_LEAST_BUDGET: Final = 128
#: Models that take levels alone.
_UNBUDGETED: Final = re.compile(r"gemini-[4-9]")
_MODES: Final = frozenset({"AUTO", "NONE", "ANY", "VALIDATED", "MODE_UNSPECIFIED"})


def camel(value: Any) -> Any:
    """The request with its own field names in camelCase; schemas and arguments, which are the caller's, untouched."""
    if isinstance(value, list):
        return [camel(one) for one in value]
    if not isinstance(value, dict):
        return value
    names = {key: _SNAKE.sub(lambda found: found[1].upper(), key) for key in value}
    return {names[key]: part if names[key] in _FREE else camel(part) for key, part in value.items()}


def read(body: Body, model: str) -> Prompt:
    """The request (in camelCase) in canonical terms; 400 for what the real provider refuses."""
    google_shapes.check(body, google_shapes.GENERATE)
    contents = objects(body, "contents")
    if not contents:
        raise SimulatedRefusal(400, "* GenerateContentRequest.contents: contents is not specified")
    config = may(body, "generationConfig", dict, {})
    _check_config(config, model)
    parsed = [content_of(content) for content in contents]
    google_turns.check(model, contents)
    system, _ = content_of(may(body, "systemInstruction", dict, {"parts": [{"text": ""}]}))
    declared = [one for tool in objects(body, "tools") for one in objects(tool, "functionDeclarations")]
    texts = [text for (text, _), one in zip(parsed, contents, strict=True) if one.get("role", "user") == "user"]
    return Prompt(
        seed=digest(model, system, contents),
        text=next((text for text in reversed(texts) if text), ""),
        from_user=contents[-1].get("role", "user") == "user" and not _has(contents[-1], "functionResponse"),
        prompt_tokens=3 + sum(count for _, count in parsed) + tokens(system) + tool_tokens(declared),
        limit=_limit(config),
        stops=may(config, "stopSequences", list, []),
        tools=dict(map(_tool, declared)),
        choice=_choice(may(body, "toolConfig", dict, {}), {one.get("name") for one in declared}),
        shape=_shape(config),
    )


def tier(body: Body) -> str:
    """The tier that is asked for, in any of its spellings."""
    asked = may(body, "serviceTier", str, "standard").lower().removeprefix("service_tier_")
    if asked in ("", "unspecified"):
        return "standard"
    if asked not in TIERS:
        raise SimulatedRefusal(400, f"Invalid value at 'service_tier' (ServiceTier), \"{asked[:100]}\"")
    return asked


def thinks(body: Body) -> bool:
    """Whether the model was told how much to think, and not told that it shall not."""
    config = may(may(body, "generationConfig", dict, {}), "thinkingConfig", dict, {})
    return bool(config) and config.get("thinkingBudget") != 0


def content_of(content: Body) -> tuple[str, int]:
    """A content's text, and what it counts."""
    role = content.get("role", "user")
    if role not in ("user", "model", "function"):
        raise SimulatedRefusal(400, "Please use a valid role: user, model.")
    parts = objects(content, "parts")
    if not parts:
        why = "* GenerateContentRequest.contents[].parts: contents.parts must not be empty."
        raise SimulatedRefusal(400, why)
    for part in parts:
        if not any(part.get(name) is not None for name in google_shapes.DATA):
            where = "* GenerateContentRequest.contents[].parts[].data: required oneof field 'data' must have one "
            raise SimulatedRefusal(400, where + "initialized field")
    text = "\n".join(part["text"] for part in parts if "text" in part and not part.get("thought"))
    files = sum("inlineData" in part or "fileData" in part for part in parts)
    calls = [part for part in parts if "functionCall" in part or "functionResponse" in part]
    return text, tokens(text) + files * IMAGE_TOKENS + tool_tokens(calls) + MESSAGE_TOKENS


def _check_config(config: Body, model: str) -> None:
    if not 1 <= may(config, "candidateCount", int, 1) <= MOST_CANDIDATES:
        raise SimulatedRefusal(400, "candidateCount must be between 1 and 8.")
    if not 0 <= may(config, "temperature", (int, float), 1) <= 2:  # type: ignore[arg-type]
        raise SimulatedRefusal(400, "* GenerateContentRequest.generation_config.temperature: must be in [0.0, 2.0].")
    if len(may(config, "stopSequences", list, [])) > MOST_STOPS:
        raise SimulatedRefusal(400, "The number of stop sequences must be at most 5.")
    if config.get("logprobs") is not None and not config.get("responseLogprobs"):
        raise SimulatedRefusal(400, "logprobs is only allowed when response_logprobs is set to true.")
    _check_thinking(may(config, "thinkingConfig", dict, {}), model)


def _check_thinking(config: Body, model: str) -> None:
    budget, level = config.get("thinkingBudget"), config.get("thinkingLevel")
    if budget is not None and level is not None:
        raise SimulatedRefusal(400, "You can only set only one of thinking budget and thinking level.")
    if level is not None and str(level).upper() not in _LEVELS:
        raise SimulatedRefusal(400, f"Invalid value at 'generation_config.thinking_config.thinking_level', {level}")
    if level is not None and _BUDGETED.match(model):
        raise SimulatedRefusal(400, "Thinking level is not supported for this model.")
    if budget is not None and _UNBUDGETED.match(model):
        raise SimulatedRefusal(400, "Thinking budget is not supported for this model. Use thinking level instead.")
    if budget is not None and budget != -1 and _ALWAYS.match(model) and budget < _LEAST_BUDGET:
        raise SimulatedRefusal(400, f"Budget {budget} is invalid. This model only works in thinking mode.")


def _has(content: Body, key: str) -> bool:
    return any(key in part for part in objects(content, "parts"))


def _limit(config: Body) -> int | None:
    limit = may(config, "maxOutputTokens", int, 0)
    if config.get("maxOutputTokens") is not None and limit < 1:
        raise SimulatedRefusal(400, "max_output_tokens must be positive.")
    return limit or None


def _tool(declared: Body) -> tuple[str, Any]:
    if "parameters" in declared and "parametersJsonSchema" in declared:
        raise SimulatedRefusal(400, "parameters and parameters_json_schema must not both be set.")
    name = need(declared, "name", str)
    if not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}", name):
        raise SimulatedRefusal(400, f"Invalid function name: {name[:100]}. Must start with a letter or an underscore.")
    return name, declared.get("parametersJsonSchema") or declared.get("parameters") or {}


def _choice(config: Body, declared: set[Any]) -> str:
    calling = may(config, "functionCallingConfig", dict, {})
    mode = str(calling.get("mode", "AUTO")).upper()
    if mode not in _MODES:
        raise SimulatedRefusal(400, f"Invalid value at 'tool_config.function_calling_config.mode', \"{mode[:100]}\"")
    allowed = may(calling, "allowedFunctionNames", list, [])
    if allowed and mode not in ("ANY", "VALIDATED"):
        raise SimulatedRefusal(
            400, "allowed_function_names should only be set when function_calling_config.mode is ANY."
        )
    if not declared.issuperset(allowed):
        raise SimulatedRefusal(400, "allowed_function_names must be a subset of the declared functions.")
    if mode != "ANY":
        return "none" if mode == "NONE" else "auto"
    return str(allowed[0]) if allowed else "required"


def _shape(config: Body) -> Any:
    schema = config.get("responseJsonSchema") or config.get("responseSchema")
    if config.get("responseMimeType") != "application/json":
        if schema:
            raise SimulatedRefusal(400, "Response schema is only supported with response mime type application/json.")
        return None
    return schema or {}
