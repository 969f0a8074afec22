"""What Anthropic's Messages refuse of a request, in its words: each rule is a function that raises the 400.

Sources: platform.claude.com/docs/en/api/messages/create (fields, blocks), …/api/errors (validation),
…/build-with-claude/thinking, …/build-with-claude/prompt-caching, …/build-with-claude/structured-outputs; the words as
reported in public issues.
"""

import re
from collections.abc import Iterator
from typing import Any

from workers.simulator.answers import digest
from workers.simulator.messages import SimulatedRefusal

Body = dict[str, Any]

FIELDS = frozenset(
    "model messages max_tokens system metadata stop_sequences stream temperature top_p top_k tools tool_choice "
    "thinking output_config output_format service_tier cache_control container diagnostics inference_geo speed "
    "user_profile_id workspace_id mcp_servers context_management".split()
)
#: The fields of blocks, by their type; of others nothing is known here.
BLOCKS = {
    "text": frozenset({"type", "text", "cache_control", "citations"}),
    "image": frozenset({"type", "source", "cache_control", "transformations"}),
    "tool_use": frozenset({"type", "id", "name", "input", "cache_control", "caller", "toolset_name"}),
    "tool_result": frozenset({"type", "tool_use_id", "content", "is_error", "cache_control", "toolset_name"}),
    "thinking": frozenset({"type", "thinking", "signature"}),
    "redacted_thinking": frozenset({"type", "data"}),
}
TOOL = frozenset(
    "name description input_schema type cache_control strict eager_input_streaming input_examples defer_loading "
    "allowed_callers".split()
)
ID = re.compile(r"[a-zA-Z0-9_-]+")
MEDIA = ("image/jpeg", "image/png", "image/gif", "image/webp")
MOST_BREAKPOINTS = 4
MOST_USER = 256
#: The newest models: no words of one's own for sampling, no budgets, no answers begun for them.
NEWEST = re.compile(r"claude-(opus-4-[7-9]|(opus|sonnet|haiku)-5|fable|mythos)")
#: Of these, those that cannot be told not to think, and those that no tool can be forced upon.
ALWAYS_THINKING = re.compile(r"claude-((opus|sonnet)-5-5|fable|mythos)")
UNFORCED = re.compile(r"claude-((opus|sonnet)-5-5|(fable|mythos)-5-[12])")
#: Models that think by a budget alone, and those that know no effort.
BUDGETED = re.compile(r"claude-(3|(opus|sonnet|haiku)-4-[0-5]($|-)|(opus|sonnet)-4-2)")
EFFORTLESS = re.compile(r"claude-(3|(sonnet|haiku)-4-[0-5]($|-)|opus-4-[01]($|-)|(opus|sonnet)-4-2)")
#: What schemas of answers may not have.
UNENFORCED = ("minimum", "maximum", "multipleOf", "minLength", "maxLength", "maxItems")
SAMPLING = ("temperature", "top_p", "top_k")


def check(body: Body) -> None:
    """Raise the first 400 that a request meets; what its fields mean is no matter of this module."""
    _fields("", body, FIELDS)
    for at, message in enumerate(body["messages"]):
        _message(f"messages.{at}", message, last=at == len(body["messages"]) - 1)
    for at, tool in enumerate(body.get("tools") or ()):
        _tool(f"tools.{at}.custom", tool)
    _breakpoints(body)
    _sampling(body)
    _thinking(body)
    _choice(body)
    _rest(body)


def refuse(message: str) -> SimulatedRefusal:
    """A request that is at fault."""
    return SimulatedRefusal(400, message, code="invalid_request_error")


def signature(text: str) -> str:
    """What stands for a thought when it is given back."""
    return f"EqsB{digest('thought', text).hex()}"


def thinks(body: Body) -> str:
    """How the model is to think: `enabled`, `adaptive`, or not at all; the newest do unless they are told not to."""
    thinking = body.get("thinking")
    kind = thinking.get("type") if isinstance(thinking, dict) else None
    if kind is None:
        return "adaptive" if NEWEST.search(str(body.get("model"))) else ""
    return kind if kind in ("enabled", "adaptive") else ""


def _fields(where: str, given: Body, known: frozenset[str]) -> None:
    for name in given:
        if name not in known:
            raise refuse(f"{where}.{name}: Extra inputs are not permitted".removeprefix("."))


def _message(where: str, message: Body, *, last: bool) -> None:
    _fields(where, message, frozenset({"role", "content"}))
    content = message.get("content")
    if not content and not (last and message.get("role") == "assistant"):
        raise refuse(
            f"{where}: all messages must have non-empty content except for the optional final assistant message"
        )
    for at, block in enumerate(content if isinstance(content, list) else ()):
        _block(f"{where}.content.{at}", block)
    text = content[-1].get("text") if isinstance(content, list) and content else content
    if last and message.get("role") == "assistant" and isinstance(text, str) and text != text.rstrip():
        raise refuse("messages: final assistant content cannot end with trailing whitespace")


def _block(where: str, block: Body) -> None:
    kind = block.get("type")
    if (known := BLOCKS.get(str(kind))) is None:
        return
    _fields(f"{where}.{kind}", block, known)
    if kind == "text":
        _text(f"{where}.text", block)
    elif kind == "image":
        _source(f"{where}.image.source", block["source"])
    elif kind == "thinking":
        if block.get("signature") != signature(str(block.get("thinking"))):
            raise refuse(f"{where}: Invalid `signature` in `thinking` block")
    elif kind == "tool_use":
        _call(f"{where}.tool_use", block)
    elif kind == "tool_result":
        inner = block.get("content")
        for at, one in enumerate(inner if isinstance(inner, list) else ()):
            _block(f"{where}.tool_result.content.{at}", one)


def _text(where: str, block: Body) -> None:
    if not isinstance(text := block.get("text"), str):
        raise refuse(f"{where}.text: Field required")
    if not text and block.get("cache_control"):
        raise refuse(f"{where}: cache_control cannot be set for empty text blocks")
    if not text.strip():
        what = "contain non-whitespace text" if text else "be non-empty"
        raise refuse(f"messages: text content blocks must {what}")


def _source(where: str, source: Body) -> None:
    if source.get("type") == "base64":
        _fields(f"{where}.base64", source, frozenset({"type", "media_type", "data"}))
        if source.get("media_type") not in MEDIA:
            raise refuse(f"{where}.base64.media_type: Input should be {', '.join(map(repr, MEDIA))}")
    elif source.get("type") == "url":
        _fields(f"{where}.url", source, frozenset({"type", "url"}))
        if not str(source.get("url")).startswith("https://"):
            raise refuse(f"{where}.url.url: Only HTTPS URLs are supported.")
    else:
        raise refuse(f"{where}: Input tag does not match any of the expected tags: 'base64', 'url', 'file'")


def _call(where: str, block: Body) -> None:
    if not ID.fullmatch(str(block.get("id"))):
        raise refuse(f"{where}.id: String should match pattern '^[a-zA-Z0-9_-]+$'")
    if not isinstance(block.get("input"), dict):
        raise refuse(f"{where}.input: Input should be a valid dictionary")


def _tool(where: str, tool: Body) -> None:
    if tool.get("type") not in (None, "custom"):
        return
    _fields(where, tool, TOOL)
    schema = tool.get("input_schema")
    if not isinstance(schema, dict):
        raise refuse(f"{where}.input_schema: Field required")
    if schema.get("type") != "object":
        raise refuse(f"{where}.input_schema.type: Field required")


def breakpoints(body: Body) -> Iterator[Body]:
    """The blocks that are marked to be cached, in the order in which they are read."""
    system = body.get("system")
    yield from (tool for tool in body.get("tools") or () if tool.get("cache_control"))
    yield from (block for block in (system if isinstance(system, list) else ()) if block.get("cache_control"))
    for message in body["messages"]:
        content = message.get("content")
        for block in content if isinstance(content, list) else ():
            yield from _marked(block)


def _marked(block: Body) -> Iterator[Body]:
    inner = block.get("content") if block.get("type") == "tool_result" else None
    yield from (one for one in (inner if isinstance(inner, list) else ()) if one.get("cache_control"))
    if block.get("cache_control"):
        yield block


def _breakpoints(body: Body) -> None:
    marks = [block["cache_control"] for block in breakpoints(body)]
    marks += [body["cache_control"]] if body.get("cache_control") else []
    if len(marks) > MOST_BREAKPOINTS:
        most = f"A maximum of {MOST_BREAKPOINTS} blocks with cache_control may be provided."
        raise refuse(f"{most} Found {len(marks)}.")
    for mark in marks:
        _fields("cache_control.ephemeral", mark, frozenset({"type", "ttl"}))
        if mark.get("type") != "ephemeral" or mark.get("ttl", "5m") not in ("5m", "1h"):
            raise refuse("cache_control: Input should be 'ephemeral', for '5m' or '1h'")


def _sampling(body: Body) -> None:
    for name in SAMPLING:
        if body.get(name) is not None and NEWEST.search(body["model"]):
            raise refuse(f"`{name}` is deprecated for this model.")
    temperature = body.get("temperature")
    if temperature is not None and not 0 <= temperature <= 1:
        raise refuse("temperature: range: 0..1")
    if temperature is not None and body.get("top_p") is not None:
        raise refuse("`temperature` and `top_p` cannot both be specified for this model. Please use only one.")


def _thinking(body: Body) -> None:
    thinking, model = body.get("thinking"), body["model"]
    kind = thinking.get("type") if isinstance(thinking, dict) else None
    if thinking is not None and kind not in ("enabled", "adaptive", "disabled", "between_tools"):
        raise refuse("thinking: Input tag does not match any of the expected tags")
    wrong = {"enabled": NEWEST, "disabled": ALWAYS_THINKING, "adaptive": BUDGETED}.get(kind or "")
    if wrong is not None and wrong.search(model):
        raise refuse(f'"thinking.type.{kind}" is not supported for this model.')
    if kind == "enabled":
        _budget(body, thinking or {})
    if kind in ("enabled", "adaptive"):
        if body.get("temperature") not in (None, 1):
            raise refuse("`temperature` may only be set to 1 when thinking is enabled.")
        if body.get("top_k") is not None:
            raise refuse("`top_k` must be unset when thinking is enabled.")
        if body.get("top_p", 1) < 0.95:
            raise refuse("`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled.")


def _budget(body: Body, thinking: Body) -> None:
    if not isinstance(budget := thinking.get("budget_tokens"), int) or budget < 1024:
        raise refuse("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
    if body.get("max_tokens", budget + 1) <= budget:
        raise refuse("`max_tokens` must be greater than `thinking.budget_tokens`.")
    calls = [message for message in body["messages"] if message["role"] == "assistant"][-1:]
    asked = body["messages"][-1].get("content")
    going_on = isinstance(asked, list) and any(block.get("type") == "tool_result" for block in asked)
    if going_on and calls and calls[0]["content"][0].get("type") not in ("thinking", "redacted_thinking"):
        found = calls[0]["content"][0].get("type")
        raise refuse(
            f"messages.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{found}`. When "
            "`thinking` is enabled, a final `assistant` message must start with a thinking block."
        )


def _choice(body: Body) -> None:
    choice = body.get("tool_choice") or {}
    if choice.get("type") not in ("any", "tool"):
        return
    if body.get("thinking", {}).get("type") in ("enabled", "adaptive"):
        raise refuse("Thinking may not be enabled when tool_choice forces tool use.")
    if UNFORCED.search(body["model"]):
        raise refuse("tool_choice: forced tool use is not supported for this model.")


def _rest(body: Body) -> None:
    metadata = body.get("metadata") or {}
    _fields("metadata", metadata, frozenset({"user_id"}))
    if len(metadata.get("user_id") or "") > MOST_USER:
        raise refuse(f"metadata.user_id: String should have at most {MOST_USER} characters")
    if body.get("service_tier", "auto") not in ("auto", "standard_only"):
        raise refuse("service_tier: Input should be 'auto' or 'standard_only'")
    if any(not stop.strip() for stop in body.get("stop_sequences") or ()):
        raise refuse("stop_sequences: each stop sequence must contain non-whitespace")
    if body["messages"][-1]["role"] == "assistant" and NEWEST.search(body["model"]):
        raise refuse("This model does not support assistant message prefill.")
    config = body.get("output_config") or {}
    _fields("output_config", config, frozenset({"effort", "format"}))
    if config.get("effort") and EFFORTLESS.search(body["model"]):
        raise refuse("output_config.effort: This model does not support the effort parameter.")
    if form := config.get("format"):
        _closed(form["schema"])


def _closed(schema: Any) -> None:
    if isinstance(schema, list):
        for one in schema:
            _closed(one)
    elif isinstance(schema, dict):
        if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
            what = "For 'object' type, 'additionalProperties' must be explicitly set to false"
            raise refuse(f"output_config.format.schema: {what}")
        for name in UNENFORCED:
            if name in schema and "type" in schema:
                raise refuse(
                    f"output_config.format.schema: For '{schema['type']}' type, property '{name}' is not supported"
                )
        for one in schema.values():
            _closed(one)
