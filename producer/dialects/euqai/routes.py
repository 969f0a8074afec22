"""Euqai's one route: a chat completion, of text or an image."""

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from producer.dialects.euqai.document import EuqaiImages
from producer.objects import ChatCompletion
from producer.web import language_detection
from producer.web.call_rows import call, stream_events
from producer.web.calls import of_named_model, serve
from producer.web.router import Router
from shared.errors import InvalidRequest
from shared.submissions.catalogue import catalogue

router = Router()

#: The conductor of the models that this API has.
_CONDUCTOR: Final = "euqai"
_STREAMED: Final = ("stream", "stream_options")


@router.post(
    "/chat/completions",
    doc=call(
        "Euqai",
        "EuqaiChatRequest",
        ChatCompletion | EuqaiImages,
        streamed=stream_events("ChatCompletionChunk", "EuqaiError"),
        examples={
            "A question": {
                "model": "euqai-fusion-v1",
                "messages": [{"role": "user", "content": "What is the capital of France?"}],
            },
            "A JSON object": {
                "model": "euqai-fusion-v1",
                "messages": [{"role": "user", "content": "Create a JSON object for a user with name, email, and id."}],
                "response_format": {"type": "json_object"},
            },
            "An image": {
                "model": "euqai-fusion-v1",
                "messages": [{"role": "user", "content": "Generate an image of a vintage typewriter."}],
            },
        },
    ),
)
async def create_chat_completion(request: Request) -> Response:
    """Create a chat completion, or an image if the conversation asks for one."""
    await language_detection.load()
    return await serve(request, "chat.completion", translate=to_native)


def to_native(body: dict[str, Any]) -> dict[str, Any]:
    """The native request, its language detected if none is named; in JSON mode not streamed. 400 for another model."""
    name = of_named_model(body)["model"]
    known = catalogue().models.get(name) if isinstance(name, str) else None
    if known is None or known.conductor is None or known.conductor.name != _CONDUCTOR:
        models = [id for id, one in catalogue().models.items() if one.conductor and one.conductor.name == _CONDUCTOR]
        raise InvalidRequest(f"model: unknown model; this API serves {', '.join(models)}", param="model")
    if body.get("language") is None and (detected := language_detection.detect(body.get("messages"))):
        body = {**body, "language": detected}
    form = body.get("response_format")
    if isinstance(form, dict) and form.get("type") not in (None, "text"):
        if not isinstance(body.get("stream"), bool | None):
            return body
        return {name: value for name, value in body.items() if name not in _STREAMED}
    return body
