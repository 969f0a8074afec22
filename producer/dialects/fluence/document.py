"""Fluence's part of the document."""

from typing import Final

from producer.dialects.fluence import manners
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
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": {"type": "string", "enum": list(manners.CODES)},
                "message": {"type": "string"},
                **DETAILS,
            },
        }
    },
}


def _error(kind: type[FusionError]) -> Schema:
    own = {"properties": {"error": {"properties": {"code": {"const": manners.code_of(kind.status)}}}}}
    return {"allOf": [{"$ref": "#/components/schemas/FluenceError"}, own]}


PART: Final = DocumentPart(
    about="The paths under `/fluence/v1` speak Fluence's API; each key may send 100 requests a minute and 1,000 an "
    "hour, beside the limit of its plan.\n",
    tags={"Fluence": "Chat completions in Fluence's API."},
    security={"FluenceKey": {"type": "http", "scheme": "bearer"}},
    error=_error,
    error_headers={**ERROR_HEADERS, 401: ("WWW-Authenticate",)},
    schemas=lambda: {"FluenceChatRequest": requests.chat_of_named_model(), "FluenceError": _ERROR},
    headers=rate_headers.SCHEMAS,
    mark="Fluence",
)
