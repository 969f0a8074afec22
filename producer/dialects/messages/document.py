"""The part of the document about Messages."""

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from producer.dialects.messages import manners
from producer.dialects.messages.batch_making import MessageBatchRequest
from producer.openapi.schemas import definitions
from producer.web.call_rows import ERROR_HEADERS
from producer.web.dialect import DocumentPart
from producer.web.error_rows import DETAILS
from producer.web.rows import JSON, Schema, header
from shared.dialects.messages import errors, shapes
from shared.errors import FusionError

_ERROR: Final[Schema] = {
    "description": "The body of every error response, and the data of a stream's `error` event.",
    "type": "object",
    "required": ["type", "error", "request_id"],
    "properties": {
        "type": {"const": "error", "type": "string"},
        "error": {
            "type": "object",
            "required": ["type", "message"],
            "properties": {
                "type": {"type": "string", "enum": list(errors.TYPES)},
                "message": {"type": "string"},
                "details": {
                    "type": "object",
                    "description": "Of a `thread`: that it is not supported, as Anthropic's clients are told that.",
                    "properties": {
                        "error_code": {"type": "string"},
                        "unsupported": {"type": "array", "items": {"type": "string"}},
                    },
                },
                **DETAILS,
            },
        },
        "request_id": {"type": "string"},
    },
}
_REQUESTS: Final = ("MessageRequest", "CountRequest", "MessageBatchRequest")
#: What stands before the name of a part of them.
_REFERENCE: Final = re.compile(rb'("#/components/schemas/)(?=\w)')
#: Parameters of every call.
VERSION: Final[Schema] = {
    **header("anthropic-version", {"type": "string", "examples": ["2023-06-01"]}, "Required; any version is accepted."),
    "required": True,
}
BETA: Final[Schema] = header("anthropic-beta", {"type": "string"}, "Accepted, without an effect.")
#: The content of a streamed answer.
EVENTS: Final[Mapping[str, Schema]] = {
    "text/event-stream": {
        "description": "A server-sent event, named by the `type` of its data: `message_start`, `content_block_start`, "
        "`content_block_delta` (`text_delta`, `thinking_delta`, `signature_delta`, `input_json_delta`), "
        "`content_block_stop`, `message_delta` with the stop reason and the whole usage, `message_stop`; `ping` while "
        "the stream is idle; `error` if it is interrupted.",
        "type": "object",
        "required": ["event", "data"],
        "properties": {
            "id": {"type": "string"},
            "event": {"type": "string"},
            "data": {"type": "string", "contentMediaType": JSON},
        },
    }
}


def _error(kind: type[FusionError]) -> Schema:
    own = {"properties": {"error": {"properties": {"type": {"const": errors.type_of(kind.status)}}}}}
    return {"allOf": [{"$ref": "#/components/schemas/MessagesError"}, own]}


def _schemas() -> dict[str, Any]:
    """The requests, and what they are made of under names that no other dialect has."""
    made = definitions([shapes.MessageRequest, shapes.CountRequest, MessageBatchRequest])
    for name in _REQUESTS[:2]:
        del made[name]["additionalProperties"]
    named = {name if name in _REQUESTS else f"Messages{name}": schema for name, schema in made.items()}
    text = _REFERENCE.sub(rb"\1Messages", orjson.dumps(named))
    return {**orjson.loads(text), "MessagesError": _ERROR}


PART: Final = DocumentPart(
    about="The paths under `/v1/messages` speak Anthropic's Messages API, for every model of the catalogue; answers "
    "also have the headers `request-id` and `anthropic-ratelimit-requests-limit`, `-remaining`, `-reset`. With the "
    "header `anthropic-version`, or a key in `x-api-key`, `GET /v1/models` is `GET /v1/messages/models`.\n",
    tags={
        "Messages": "Chat completions as Anthropic's SDK calls them.",
        "Message batches": "Batches as Anthropic's SDK calls them.",
    },
    security={
        "MessagesKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
        "MessagesBearer": {"type": "http", "scheme": "bearer"},
    },
    error=_error,
    error_headers={**ERROR_HEADERS, 401: ("WWW-Authenticate",)},
    schemas=_schemas,
    headers=manners.HEADERS,
    mark="Messages",
)
