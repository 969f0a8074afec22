"""Infuzu's part of the document, and its objects."""

from typing import Any, Final, Literal

from typing_extensions import TypedDict

from producer.objects import Choice, ChunkChoice
from producer.openapi.schemas import definitions
from producer.web import rate_headers
from producer.web.call_rows import ERROR_HEADERS
from producer.web.dialect import DocumentPart
from producer.web.error_rows import DETAILS
from producer.web.rows import Schema
from shared.errors import FusionError
from shared.objects.fields import Count, Time


class InfuzuUsage(TypedDict):
    """Tokens. What the call cost is in the header `FusionAI-Credits-Used`."""

    prompt_tokens: Count
    completion_tokens: Count
    total_tokens: Count


class InfuzuChatCompletion(TypedDict):
    """A chat completion; `model` is the one that answered."""

    id: str
    object: Literal["chat.completion"]
    created: Time
    model: str
    choices: list[Choice]
    usage: InfuzuUsage


class InfuzuChunk(TypedDict, total=False):
    """The data of a stream event."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: Time
    model: str
    choices: list[ChunkChoice]
    usage: InfuzuUsage | None


_REQUEST: Final[Schema] = {
    "description": "A chat completion, as the native one, of texts alone. `model` is a name, or an object by which one "
    "is selected; without one all models are candidates. Weights that are not named are 1; costs are in credits per "
    "character.",
    "allOf": [{"$ref": "#/components/schemas/ChatCompletionRequest"}],
}
_ERRORS: Final[Schema] = {
    "description": "The body of every error response. `code` is the machine-readable cause.",
    "type": "object",
    "required": ["errors"],
    "properties": {
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["message", "type", "code"],
                "properties": {
                    "message": {"type": "string"},
                    "type": {"type": "string"},
                    "code": {"type": "string"},
                    **DETAILS,
                },
            },
        },
        "request_id": {"type": "string"},
    },
}


def _error(kind: type[FusionError]) -> Schema:
    return {"$ref": "#/components/schemas/InfuzuErrors"}


def _schemas() -> dict[str, Any]:
    return {**definitions([InfuzuChunk]), "InfuzuChatRequest": _REQUEST, "InfuzuErrors": _ERRORS}


PART: Final = DocumentPart(
    about="The paths under `/infuzu/v1` speak Infuzu's API: its key header, its model object, its errors.\n",
    tags={"Infuzu": "Chat completions with Intelligent Model Selection."},
    security={
        "InfuzuKey": {"type": "apiKey", "in": "header", "name": "Infuzu-API-Key"},
        "InfuzuBearer": {"type": "http", "scheme": "bearer"},
    },
    error=_error,
    error_headers={**ERROR_HEADERS, 401: ("WWW-Authenticate",)},
    schemas=_schemas,
    headers=rate_headers.SCHEMAS,
    mark="Infuzu",
)
