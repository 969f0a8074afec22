"""This dialect's part of the document: tags, authentication, errors, headers."""

from collections.abc import Mapping
from typing import Any, Final

from producer import objects
from producer.openapi import requests
from producer.openapi.parts import every_error, header_of
from producer.openapi.schemas import definitions
from producer.web import rate_headers
from producer.web.call_rows import ERROR_HEADERS
from producer.web.dialect import DocumentPart
from producer.web.error_rows import DETAILS
from producer.web.rows import JSON, Schema, header
from shared.errors import FusionError
from shared.submissions import sizes

_TAGS: Final = {
    "Chat": "Chat completions and tools, as OpenAI's SDK calls them; each call is a job.",
    "Embeddings": "Vector representations of text.",
    "Images": "Images generated from a prompt.",
    "Models": "The models that your API key can use, with their prices.",
    "Jobs": "The durable job behind every call: accepted, run and charged exactly once.",
    "Batches": f"Up to {sizes.MOST_LINES:,} requests processed asynchronously.",
    "Files": "Input and output files of batches.",
    "Webhooks": "Endpoints that receive events. Every delivery is signed with two schemes. Live and test keys have "
    "separate webhooks.",
    "Events": "All events of the key's mode (live or test), in order, so that missed deliveries can be recovered.",
    "Credits": "Prepaid credit balance and its transfers. Requires a live key.",
    "Operator": "What waits and runs at each provider; pausing a provider. Requires the operator's password.",
    "Usage": "Usage, as JSON or CSV, and invoices.",
}

_ABOUT: Final = """One API in front of many AI providers, built around a durable queue: every call is a job that is
accepted, run and charged exactly once.

The base URL for SDKs is the address of this server followed by `/v1`; the same routes also work without `/v1`.

Credits are prepaid. Requests with a test key (`fusionai_test_…`) run on a sandbox and are never charged.
"""
_API_KEY: Final[Schema] = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key: `fusionai_live_…` or `fusionai_test_…`. A request with more than one authentication "
    "header is refused with 400.",
}
_RECEIVED: Final[Schema] = {
    "operationId": "receive_event",
    "summary": "The request that a webhook endpoint receives.",
    "description": "Events are delivered at least once; use the id of the event to recognize duplicates. Verify "
    "either signature: `FusionAI-Signature` is the HMAC-SHA256 of `t.body`, keyed with the whole `whsec_…` string; the "
    "other three headers follow Standard Webhooks. Any response other than 2xx is retried for about three days, with "
    "the same id and body and a new signature. A 410 disables the webhook. Redirects are not followed: the delivery "
    "records where the redirect leads, and fails after the second one; register the final URL instead. After a 429 or "
    "503 with Retry-After, nothing is sent to the webhook for that time, up to one hour. Events of test keys have "
    "`test: true` and are sent only to webhooks of test keys. The events `response.…` are those of OpenAI's "
    "Responses API: its official clients verify and read them.",
    "tags": ["Webhooks"],
    "security": [],
    "parameters": [
        header(name, {"type": "string"}, said)
        for name, said in {
            "FusionAI-Signature": "`t=<Unix time>,v1=<hex>`, with one `v1` per valid secret while a rotation is in "
            "progress.",
            "webhook-id": "The id of the event.",
            "webhook-timestamp": "The time of sending, as Unix time.",
            "webhook-signature": "`v1,<base64>`, with one signature per valid secret, separated by spaces, while a "
            "rotation is in progress.",
        }.items()
    ],
    "requestBody": {"content": {JSON: {"schema": {"$ref": "#/components/schemas/Event"}}}},
    "responses": {"2XX": {"description": "The event was received."}},
}

#: The shape of every refusal.
_ERROR: Final[Schema] = {
    "description": "The body of every error response. `param` names the parameter, `reason` the cause, if known.",
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "code", "request_id"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string", "enum": [kind.type for kind in every_error()]},
                "code": {"type": "integer", "description": "The HTTP status."},
                **DETAILS,
            },
        }
    },
}


def _error(kind: type[FusionError]) -> Schema:
    own = {"type": {"const": kind.type}, "code": {"const": kind.status}}
    return {"allOf": [{"$ref": "#/components/schemas/Error"}, {"properties": {"error": {"properties": own}}}]}


def _schemas() -> Mapping[str, Any]:
    streamed = definitions([objects.ChatCompletionChunk, objects.StreamError])
    return {**requests.schemas(), **streamed, "Error": _ERROR}


PART: Final = DocumentPart(
    about=_ABOUT,
    tags=_TAGS,
    security={"ApiKey": _API_KEY},
    error=_error,
    error_headers={**ERROR_HEADERS, 401: ("WWW-Authenticate",)},
    schemas=_schemas,
    headers={
        **rate_headers.SCHEMAS,
        "WWW-Authenticate": header_of("How to authenticate.", {"const": "Bearer", "type": "string"}, always=True),
    },
    webhooks={"event": {"post": _RECEIVED}},
)
