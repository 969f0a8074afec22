"""Infuzu's one route: a chat completion, of texts."""

from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from producer.dialects.infuzu.document import InfuzuChatCompletion
from producer.web.call_rows import call, stream_events
from producer.web.calls import serve
from producer.web.router import Router
from shared.errors import InvalidRequest

router = Router()

_HELLO: Final = [{"role": "user", "content": "What is the capital of France?"}]
#: What a weight is that is not named.
USUAL_WEIGHT: Final = 1
#: Types of parts that are texts.
_TEXTS: Final = frozenset({"text", "input_text", "output_text", "refusal"})
_WEIGHTS: Final = ("price", "error", "start_latency", "end_latency")


@router.post(
    "/chat/completions",
    doc=call(
        "Infuzu",
        "InfuzuChatRequest",
        InfuzuChatCompletion,
        streamed=stream_events("InfuzuChunk", "InfuzuErrors"),
        examples={
            "A selected model": {"messages": _HELLO},
            "A named model": {"model": "deepinfra.deepseek-r1", "messages": _HELLO, "max_tokens": 200},
            "Weights and costs": {
                "model": {
                    "llms": ["gpt-4", "claude-3-sonnet", "gemini-pro"],
                    "weights": {"price": 2, "error": 1, "start_latency": 0, "end_latency": 0.5},
                    "max_output_cost": 0.001,
                },
                "messages": _HELLO,
                "max_tokens": 200,
            },
        },
    ),
)
async def create_chat_completion(request: Request) -> Response:
    """Create a chat completion, of the named model or of the one that fits best."""
    return await serve(request, "chat.completion", translate=to_native)


def to_native(body: dict[str, Any]) -> dict[str, Any]:
    """The native request; 400 for parts that are no text."""
    _check_texts(body.get("messages"))
    model = body.get("model")
    return {**body, "model": _selection(model)} if model is None or isinstance(model, dict) else body


def _check_texts(messages: Any) -> None:
    for turn, message in enumerate(messages if isinstance(messages, list) else ()):
        content = message.get("content") if isinstance(message, dict) else None
        for place, part in enumerate(content if isinstance(content, list) else ()):
            type = part.get("type") if isinstance(part, dict) else None
            if isinstance(type, str) and type not in _TEXTS:
                where = f"messages[{turn}].content[{place}].type"
                raise InvalidRequest(f"{where}: only text is supported, not {type[:50]!r}", param=where)


def _selection(model: Mapping[str, Any] | None) -> dict[str, Any]:
    """With every weight named. The official client sends all its fields, those that were not set as null."""
    wanted = {name: value for name, value in (model or {}).items() if value is not None}
    weights = wanted.get("weights", {})
    if isinstance(weights, dict):
        given = {name: value for name, value in weights.items() if value is not None}
        wanted["weights"] = {**dict.fromkeys(_WEIGHTS, USUAL_WEIGHT), **given}
    return wanted
