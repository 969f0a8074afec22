"""This dialect's part of the document: what it is about, how its keys are sent, how its refusals look."""

from collections.abc import Mapping
from typing import Any, Final

from producer.dialects.fusionai.docs import RATE
from producer.openapi import answers, requests
from producer.openapi.parts import every_error, header_of
from producer.openapi.schemas import definitions
from producer.web.dialect import DocumentPart
from producer.web.rows import JSON, Schema, header
from shared.errors import FusionError

_TAGS: Final = {
    "Chat": "Chat completions and tools, as OpenAI's SDK calls them; each call is a job.",
    "Embeddings": "Vectors of texts.",
    "Images": "Pictures from a prompt.",
    "Models": "What can be asked for.",
    "Jobs": "The durable job behind every call: accepted, run and charged once.",
    "Batches": "Up to 50,000 requests at once.",
    "Files": "What batches are read from and written to.",
    "Webhooks": "Where events are sent. Every delivery is signed twice. Live keys have webhooks, test keys others.",
    "Events": "Every event of the key's mode, live or test, in order, for closing a gap.",
    "Credits": "Prepaid credit and its movements; of live keys alone.",
    "Usage": "What was used, as JSON or CSV, and invoices.",
}

_ABOUT: Final = """One API in front of many AI providers, built around a durable queue: every call is a job that is
accepted, run and charged once.

The base URL for SDKs is this server's address and `/v1`; the same routes also answer without `/v1`.

Credits are prepaid. A test key (`fusionai_test_…`) runs on a sandbox, and what it does is never charged.
"""
_API_KEY: Final[Schema] = {
    "type": "http",
    "scheme": "bearer",
    "description": "`fusionai_live_…` or `fusionai_test_…`. A second authentication header is a 400.",
}
_RECEIVED: Final[Schema] = {
    "operationId": "receive_event",
    "summary": "What a webhook receives.",
    "description": "At least once; the event's id is the key against doubles. Either signature is enough: "
    "`FusionAI-Signature` is the HMAC-SHA256 of `t.body` keyed by the whole `whsec_…` string; the other three headers "
    "are Standard Webhooks. Anything but a 2xx is tried again for about three days, with the same id and body and a "
    "fresh signature. A 410 disables the webhook. Redirects are not followed: the delivery says where they lead, and "
    "fails at the second; register the address itself. After a 429 or 503 with Retry-After nothing is sent to the "
    "webhook for as long as that says, an hour at most. An event of a test key says `test`, and goes to webhooks of "
    "test keys alone.",
    "tags": ["Webhooks"],
    "security": [],
    "parameters": [
        header(name, {"type": "string"}, said)
        for name, said in {
            "FusionAI-Signature": "`t=<unix time>,v1=<hex>`; another `v1` for each secret while rotations overlap.",
            "webhook-id": "The event's id.",
            "webhook-timestamp": "Unix time.",
            "webhook-signature": "`v1,<base64>`; one for each secret, with a space between, while rotations overlap.",
        }.items()
    ],
    "requestBody": {"content": {JSON: {"schema": {"$ref": "#/components/schemas/Event"}}}},
    "responses": {"2XX": {"description": "It was received."}},
}

#: RATE: where a POST that makes jobs may answer so, which always tells what is left.
_OF_JOB: Final = ("FusionAI-Job-Id", "x-should-retry")
_OF_ERROR: Final[Mapping[int, tuple[str, ...]]] = {
    400: (*_OF_JOB, *RATE),
    401: ("WWW-Authenticate",),
    402: RATE,
    404: RATE,
    409: ("Retry-After", *_OF_JOB, *RATE),
    413: RATE,
    415: RATE,
    422: RATE,
    429: ("Retry-After", *RATE),
    500: (*_OF_JOB, *RATE),
    502: (*_OF_JOB, *RATE),
    503: ("Retry-After", *_OF_JOB, *RATE),
    504: (*_OF_JOB, *RATE),
}
#: The shape of every refusal.
_ERROR: Final[Schema] = {
    "description": "The envelope of every error; `param` names the place in the request, `reason` the cause, if any.",
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
                "param": {"type": "string"},
                "reason": {
                    "type": "string",
                    "description": "The cause in one word, where there is more to say than the type: of a request "
                    "that a provider refuses the provider's own code, such as `context_length_exceeded`.",
                },
                "request_id": {"type": "string"},
                "required_credits": {"type": "number", "description": "Of a 402: what the jobs may cost at most."},
                "available_credits": {"type": "number", "description": "Of a 402: what there is for them."},
                "held_credits": {"type": "number", "description": "Of a 402: what unfinished jobs hold."},
                "held_by_jobs": {"type": "integer", "description": "Of a 402: how many jobs those are."},
                "max_tokens": {
                    "type": "integer",
                    "description": "Of a 402: the largest `max_tokens`, in each job, with which they would be taken.",
                },
                "jobs": {"type": "integer", "description": "Of a 402: how many jobs were asked for."},
                "fitting_jobs": {"type": "integer", "description": "Of a 402: how many of the first would fit."},
            },
        }
    },
}


def _error(kind: type[FusionError]) -> Schema:
    own = {"type": {"const": kind.type}, "code": {"const": kind.status}}
    return {"allOf": [{"$ref": "#/components/schemas/Error"}, {"properties": {"error": {"properties": own}}}]}


def _schemas() -> Mapping[str, Any]:
    streamed = definitions([answers.ChatCompletionChunk, answers.StreamError], defaults=False)
    return {**requests.schemas(), **streamed, "Error": _ERROR}


PART: Final = DocumentPart(
    about=_ABOUT,
    tags=_TAGS,
    security={"ApiKey": _API_KEY},
    error=_error,
    error_headers=_OF_ERROR,
    schemas=_schemas,
    headers={
        "X-RateLimit-Limit-Requests": header_of(
            "Requests a minute; none of these three: no limit.", {"type": "string", "pattern": r"^\d+$"}
        ),
        "X-RateLimit-Remaining-Requests": header_of(
            "How many of them are left now.", {"type": "string", "pattern": r"^\d+$"}
        ),
        "X-RateLimit-Reset-Requests": header_of(
            "When all of them are left again: a duration such as `59.980s`.", {"type": "string", "pattern": r"^\d.*s$"}
        ),
        "WWW-Authenticate": header_of("How to authenticate.", {"const": "Bearer", "type": "string"}, always=True),
    },
    webhooks={"event": {"post": _RECEIVED}},
)
