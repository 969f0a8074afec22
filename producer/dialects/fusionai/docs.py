"""What the document says of this dialect, and what the rows of its routes share."""

from collections.abc import Mapping
from typing import Any, Final

from producer.openapi import answers
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
    "description": "A server-sent event. Its data is a chunk; that of the last one is `[DONE]`, or, where the stream "
    "breaks off, an error that names the job. A stream is begun after a few seconds even when there is nothing to say "
    "yet; comments (`: keep-alive`, one line) fill what is silent.",
    "type": "object",
    "required": ["data"],
    "properties": {
        "id": {
            "type": "string",
            "description": "For Last-Event-ID. On a job's stream; on a chat completion's with `FusionAI-Stream-Ids`.",
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
    late = Answer("The job, since `respond-async` was preferred.", {JSON: answers.Job}, headers)
    return Row(
        tag,
        {
            200: Answer("The job's result.", {JSON: model, **streamed}, ("FusionAI-Credits-Used", *JOB_ANSWER)),
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
