"""The part of the document of OpenAI's Responses API."""

from typing import Any, Final

from producer.openapi.schemas import definitions
from producer.web import rate_headers
from producer.web.call_rows import ERROR_HEADERS
from producer.web.dialect import DocumentPart
from producer.web.rows import JSON, Schema
from shared.dialects.responses.objects import Response
from shared.dialects.responses.requests import InputTokensRequest, ResponseRequest
from shared.errors import FusionError


def _error(kind: type[FusionError]) -> Schema:
    own = {"type": {"const": kind.type}, "code": {"const": kind.status}}
    return {"allOf": [{"$ref": "#/components/schemas/Error"}, {"properties": {"error": {"properties": own}}}]}


def _schemas() -> dict[str, Any]:
    made = definitions([Response, InputTokensRequest, ResponseRequest])
    return {name: made[name] for name in made if name != "Routing"}


_EVENT: Final[Schema] = {
    "description": "A server-sent event of OpenAI's Responses API. The last is `response.completed`, "
    "`response.incomplete` or `response.failed`, with the whole response, or `error`, if the response goes on without "
    "this stream. One-line comments (`: keep-alive`) are sent while the stream is idle.",
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "event": {"type": "string"},
        "data": {
            "type": "string",
            "contentMediaType": JSON,
            "contentSchema": {
                "type": "object",
                "required": ["type", "sequence_number"],
                "properties": {"type": {"type": "string"}, "sequence_number": {"type": "integer", "minimum": 0}},
            },
        },
    },
}
#: The content of a streamed answer.
EVENTS: Final[dict[str, Schema]] = {"text/event-stream": _EVENT}

PART: Final = DocumentPart(
    about="The paths under `/v1/responses` speak OpenAI's Responses API: one call of a model, which is a job.\n",
    tags={"Responses": "OpenAI's Responses API. The response `resp_X` is the job `job_X`."},
    security={"ResponsesKey": {"type": "http", "scheme": "bearer"}},
    error=_error,
    error_headers={**ERROR_HEADERS, 401: ("WWW-Authenticate",)},
    schemas=_schemas,
    headers=rate_headers.SCHEMAS,
    mark="Responses",
)
