"""The document row of a call that waits for its job, in any dialect whose limits and streams look like OpenAI's."""

from collections.abc import Mapping
from typing import Any, Final

from producer.objects import Job
from producer.web.rate_headers import NAMES as RATE
from producer.web.rows import JSON, Answer, Row, Schema
from shared.errors import Conflict, Forbidden, InsufficientCredits, Timeout, UpstreamError

JOB_ANSWER: Final = ("FusionAI-Job-Id", "Idempotent-Replayed", *RATE)
ACCEPTED: Final = (*JOB_ANSWER, "Location", "Retry-After")
#: How a caller tells for how long it waits.
WAITING: Final = ("Prefer", "X-Stainless-Read-Timeout", "X-Stainless-Timeout")
#: By status, the headers of refusals of a POST that makes jobs: what is left of the limit is always told.
OF_JOB: Final = ("FusionAI-Job-Id", "x-should-retry")
ERROR_HEADERS: Final[Mapping[int, tuple[str, ...]]] = {
    400: (*OF_JOB, *RATE),
    402: RATE,
    403: RATE,
    404: RATE,
    409: ("Retry-After", *OF_JOB, *RATE),
    413: RATE,
    415: RATE,
    422: RATE,
    429: ("Retry-After", *RATE),
    500: (*OF_JOB, *RATE),
    502: (*OF_JOB, *RATE),
    503: ("Retry-After", *OF_JOB, *RATE),
    504: (*OF_JOB, *RATE),
}


def stream_events(chunk: str, error: str) -> dict[str, Schema]:
    """The content of a streamed answer; OpenAPI 3.1 describes one event. By names of component schemas."""
    data = [{"$ref": f"#/components/schemas/{name}"} for name in (chunk, error)]
    event = {
        "description": "A server-sent event. Its data is a chunk; the data of the last event is `[DONE]` or, if the "
        "stream is interrupted, an error that names the job. The response starts within a few seconds even if the "
        "first chunk is not available yet; one-line comments (`: keep-alive`) are sent while the stream is idle.",
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
                    {"type": "string", "contentMediaType": JSON, "contentSchema": {"anyOf": data}},
                ]
            },
        },
    }
    return {"text/event-stream": event}


def call(
    tag: str,
    body: str,
    model: Any,
    *,
    examples: Mapping[str, Any],
    streamed: Mapping[str, Schema] = {},
    parameters: tuple[str | Schema, ...] = (),
) -> Row:
    """`body`: the component schema of the request; `model`: the type of the answer; `streamed`: `stream_events`."""
    headers = (*ACCEPTED, "Preference-Applied")
    late = Answer("The job, because the request has `Prefer: respond-async`.", {JSON: Job}, headers)
    return Row(
        tag,
        {
            200: Answer("The result of the job.", {JSON: model, **streamed}, ("FusionAI-Credits-Used", *JOB_ANSWER)),
            202: late,
        },
        body,
        parameters=(*WAITING, *parameters),
        errors=(InsufficientCredits, Forbidden, Conflict, UpstreamError, Timeout),
        once=True,
        examples=examples,
    )
