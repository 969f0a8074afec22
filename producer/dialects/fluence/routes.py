"""Fluence's one route: a chat completion."""

from starlette.requests import Request
from starlette.responses import Response

from producer.objects import ChatCompletion
from producer.web.call_rows import call, stream_events
from producer.web.calls import of_named_model, serve
from producer.web.router import Router

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
    return await serve(request, "chat.completion", translate=of_named_model)
