"""Fusionbase's one route: a chat completion, with entities that it is about."""

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
        "Fusionbase",
        "FusionbaseChatRequest",
        ChatCompletion,
        streamed=stream_events("ChatCompletionChunk", "FusionbaseError"),
        examples={
            "A question": {
                "model": "fusion-one",
                "messages": [
                    {"role": "system", "content": "You answer in one sentence."},
                    {"role": "user", "content": "What does the company do?"},
                ],
            }
        },
    ),
)
async def create_chat_completion(request: Request) -> Response:
    """Create a chat completion in Fusionbase's API."""
    return await serve(request, "chat.completion", translate=of_named_model)
