"""The example dialect's part of the document."""

from typing import Any

from producer.web.dialect import DocumentPart
from producer.web.rows import Schema
from shared.errors import FusionError

SAY: Schema = {
    "type": "object",
    "required": ["to", "text"],
    "properties": {"to": {"type": "string"}, "text": {"type": "string"}, "live": {"type": "boolean"}},
}
SAID: Schema = {
    "type": "object",
    "required": ["said", "by"],
    "properties": {"said": {"type": "string"}, "by": {"type": "string"}},
}
_FAULT: dict[str, Any] = {
    "type": "object",
    "required": ["fault"],
    "properties": {
        "fault": {
            "type": "object",
            "required": ["word", "text", "request"],
            "properties": {name: {"type": "string"} for name in ("word", "text", "request")},
        }
    },
}


def _error(kind: type[FusionError]) -> Schema:
    return {"$ref": "#/components/schemas/ExampleFault"}


PART = DocumentPart(
    about="The example dialect says one thing to one model.\n",
    tags={"Example": "Says things."},
    security={"ExampleKey": {"type": "apiKey", "in": "header", "name": "X-Example-Key"}},
    error=_error,
    error_headers={429: ("Retry-After", "X-Example-Left")},
    schemas=lambda: {"ExampleSay": SAY, "ExampleFault": _FAULT},
    headers={"X-Example-Left": {"schema": {"type": "string"}, "description": "What is left, and of how many."}},
    mark="Example",
)
