"""Fluence's one route: a chat completion."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from producer.objects import ChatCompletion
from producer.web.call_rows import call, stream_events
from producer.web.calls import serve
from producer.web.router import Router
from shared.errors import InvalidRequest

router = Router()


@router.post(
    "/chat/completions",
    doc=call(
        "Fluence",
        "FluenceChatRequest",
        ChatCompletion,
        streamed=stream_events("ChatCompletionChunk", "FluenceError"),
        examples={
            "A question": {
                "model": "fluence-chat",
                "messages": [{"role": "user", "content": "Hello, how are you?"}],
                "temperature": 0.7,
            }
        },
    ),
)
async def create_chat_completion(request: Request) -> Response:
    """Create a chat completion in Fluence's API."""
    return await serve(request, "chat.completion", translate=to_native)


def to_native(body: dict[str, Any]) -> dict[str, Any]:
    """The same; here a model must be named."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise InvalidRequest("model is required and must be a string", param="model")
    return body
