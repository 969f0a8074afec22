"""Parts of the document that several routes of this dialect share."""

from collections.abc import Mapping
from typing import Any, Final

from producer import objects
from producer.web.rows import JSON, Answer, Row, Schema
from shared.errors import Conflict, InsufficientCredits, Timeout, UpstreamError

RATE: Final = ("X-RateLimit-Limit-Requests", "X-RateLimit-Remaining-Requests", "X-RateLimit-Reset-Requests")
JOB_ANSWER: Final = ("FusionAI-Job-Id", "Idempotent-Replayed", *RATE)
ACCEPTED: Final = (*JOB_ANSWER, "Location", "Retry-After")
MAKES_JOBS: Final = (InsufficientCredits,)
#: How a caller tells for how long it waits.
WAITING: Final = ("Prefer", "X-Stainless-Read-Timeout", "X-Stainless-Timeout")
#: Of a stream, OpenAPI 3.1 describes one event.
EVENT: Final[Schema] = {
    "description": "A server-sent event. Its data is a chunk; the data of the last event is `[DONE]` or, if the stream "
    "is interrupted, an error that names the job. The response starts within a few seconds even if the first chunk is "
    "not available yet; one-line comments (`: keep-alive`) are sent while the stream is idle.",
    "type": "object",
    "required": ["data"],
    "properties": {
        "id": {
            "type": "string",
            "description": "The value to send as Last-Event-ID to resume. Present on the stream of a job; on the "
            "stream of a chat completion only with `FusionAI-Stream-Ids: true`.",
        },
        "event": {"type": "string"},
        "data": {
            "anyOf": [
                {"const": "[DONE]", "type": "string"},
                {
                    "type": "string",
                    "contentMediaType": JSON,
                    "contentSchema": {
                        "anyOf": [
                            {"$ref": "#/components/schemas/ChatCompletionChunk"},
                            {"$ref": "#/components/schemas/StreamError"},
                        ]
                    },
                },
            ]
        },
    },
}
EVENTS: Final = {"text/event-stream": EVENT}


def call(
    tag: str,
    body: str,
    model: Any,
    *,
    examples: Mapping[str, Any],
    streamed: Mapping[str, Schema] = {},
    parameters: tuple[str | Schema, ...] = (),
) -> Row:
    """A call that waits for its job."""
    headers = (*ACCEPTED, "Preference-Applied")
    late = Answer("The job, because the request has `Prefer: respond-async`.", {JSON: objects.Job}, headers)
    return Row(
        tag,
        {
            200: Answer("The result of the job.", {JSON: model, **streamed}, ("FusionAI-Credits-Used", *JOB_ANSWER)),
            202: late,
        },
        body,
        parameters=(*WAITING, *parameters),
        errors=(*MAKES_JOBS, Conflict, UpstreamError, Timeout),
        once=True,
        examples=examples,
    )


#: Of examples.
HELLO: Final = [{"role": "user", "content": "Explain quantum computing in simple terms"}]
