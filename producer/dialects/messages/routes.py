"""The routes of Messages: a message, and the count of its input's tokens."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from producer.dialects.messages import answers
from producer.dialects.messages import request as requests
from producer.dialects.messages.document import BETA, EVENTS, VERSION
from producer.web.call_rows import call
from producer.web.calls import serve
from producer.web.router import Router
from shared.errors import InvalidRequest

router = Router()

_HELLO: Final = [{"role": "user", "content": "Hello, world"}]
_WEATHER: Final = {
    "name": "get_weather",
    "description": "The weather at a place.",
    "input_schema": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
}


@router.post(
    "",
    doc=call(
        "Messages",
        "MessageRequest",
        answers.MessageObject,
        streamed=EVENTS,
        parameters=(VERSION, BETA),
        examples={
            "A message": {"model": "claude-3-opus", "max_tokens": 1024, "messages": _HELLO},
            "A system prompt and a tool": {
                "model": "gpt-4",
                "max_tokens": 1024,
                "system": "You answer in one sentence.",
                "tools": [_WEATHER],
                "messages": [{"role": "user", "content": [{"type": "text", "text": "Is it raining in Oslo?"}]}],
            },
        },
    ),
)
async def create_message(request: Request) -> Response:
    """Create a message, of any model of the catalogue."""
    _check_version(request)
    return await serve(request, "chat.completion", translate=requests.to_native)


def _check_version(request: Request) -> None:
    if not request.headers.get("anthropic-version", "").strip():
        raise InvalidRequest("anthropic-version: header is required", param="anthropic-version")
