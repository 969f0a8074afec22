"""Fusionbase's part of the document."""

from typing import Final

from producer.openapi import requests
from producer.web import rate_headers
from producer.web.call_rows import ERROR_HEADERS
from producer.web.dialect import DocumentPart
from producer.web.error_rows import DETAILS
from producer.web.rows import Schema
from shared.errors import FusionError

_ERROR: Final[Schema] = {
    "description": "The body of every error response.",
    "type": "object",
    "required": ["message", "type", "status"],
    "properties": {
        "message": {"type": "string"},
        "type": {"type": "string"},
        "status": {"type": "integer", "description": "The HTTP status."},
        **DETAILS,
    },
}


def _error(kind: type[FusionError]) -> Schema:
    own = {"properties": {"status": {"const": kind.status}, "type": {"const": kind.type}}}
    return {"allOf": [{"$ref": "#/components/schemas/FusionbaseError"}, own]}


PART: Final = DocumentPart(
    about="The paths under `/api/v2` speak Fusionbase's API.\n",
    tags={"Fusionbase": "Chat completions about linked entities."},
    security={"FusionbaseKey": {"type": "apiKey", "in": "header", "name": "X-API-KEY"}},
    error=_error,
    error_headers=ERROR_HEADERS,
    schemas=lambda: {"FusionbaseChatRequest": requests.chat_of_named_model(), "FusionbaseError": _ERROR},
    headers=rate_headers.SCHEMAS,
    mark="Fusionbase",
)
