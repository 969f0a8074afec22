"""What many operations share: parameters, the headers of answers, and an answer for each kind of error."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from producer.admission.idempotency import MAX_LENGTH
from producer.operations.pages import PageQuery
from shared.errors import Failed, FusionError, Refused

Schema = dict[str, Any]


def query(name: str, schema: Schema, description: str) -> Schema:
    """A query parameter that may be left out."""
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": description}


def header(name: str, schema: Schema, description: str) -> Schema:
    """A request header that may be left out."""
    return {"name": name, "in": "header", "required": False, "schema": schema, "description": description}


def in_path(name: str) -> Schema:
    """A part of the path."""
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _page() -> dict[str, Schema]:
    """The parameters of a list, from the shape that reads them."""
    said = {
        "limit": "The maximum number of objects to return.",
        "after": "The id of the last object of the previous page; the page starts after it.",
        "order": "Order by creation time: newest first (`desc`) or oldest first (`asc`). Lists are not suited to "
        "polling for new objects, because a new object may appear before existing ones; use GET /events, which skips "
        "nothing.",
    }
    made = {}
    for name, property in PageQuery.model_json_schema()["properties"].items():
        schema = next((branch for branch in property.get("anyOf", ()) if branch["type"] != "null"), property)
        schema = {key: value for key, value in schema.items() if key != "title"}
        made[name] = query(name, schema, said[name])
    return made


#: Request parameters, by the name under which operations refer to them.
PARAMETERS: Final[Mapping[str, Schema]] = {
    **_page(),
    "IdempotencyKey": header(
        "Idempotency-Key",
        {"type": "string", "minLength": 1, "maxLength": MAX_LENGTH, "pattern": "^[!-~]([ -~]*[!-~])?$"},
        "Makes retries safe: a request with the same key and the same body returns the original response, with "
        "`Idempotent-Replayed: true`, and has no further effect; with a different body it is refused with 422. Keys "
        "are kept for at least 25 hours (batches and files: 8 days). Errors returned before anything was accepted are "
        "not kept.",
    ),
    "Prefer": header(
        "Prefer",
        {"type": "string", "examples": ["wait=28", "respond-async", "respond-async, wait=5"]},
        "See RFC 7240. `wait`: how many seconds the client waits; after that the response is a 504 that names the job, "
        "which continues. Default: the server's maximum wait, 600 seconds unless configured otherwise. "
        "`respond-async`: respond with 202 and the job immediately or, together with `wait`, after that many seconds "
        "if the job has not finished by then. Other preferences are ignored.",
    ),
    "X-Stainless-Read-Timeout": header(
        "X-Stainless-Read-Timeout",
        {"type": "string", "examples": ["600"]},
        "Sent by official SDKs: after how many seconds without a byte the client times out. The server sends a 504 "
        "that names the job, or starts the stream, two seconds earlier (at half the time if it is less than four "
        "seconds).",
    ),
    "X-Stainless-Timeout": header(
        "X-Stainless-Timeout",
        {"type": "string", "examples": ["600"]},
        "Like X-Stainless-Read-Timeout; some official SDKs send this header instead.",
    ),
}

_TEXT: Final = {"type": "string"}
_WHOLE: Final = {"type": "string", "pattern": r"^\d+$"}


def _header(description: str, schema: Schema = _TEXT, *, always: bool = False) -> Schema:
    return {"description": description, "schema": schema, "required": always}


#: Headers of answers.
HEADERS: Final[Mapping[str, Schema]] = {
    "X-Request-Id": _header(
        "The id of the request; include it when you contact support.",
        {"type": "string", "pattern": "^req_"},
        always=True,
    ),
    "FusionAI-Version": _header("The version of the API.", {"const": "v1", "type": "string"}, always=True),
    "FusionAI-Credits-Used": _header("The cost of the call in credits, as an exact decimal such as 0.081."),
    "FusionAI-Job-Id": _header("The id of the job behind this response; see GET /v1/jobs/{job_id}."),
    "Idempotent-Replayed": _header(
        "This is the response of an earlier request with the same Idempotency-Key.", {"const": "true", "type": "string"}
    ),
    "Location": _header("The path of the job."),
    "Retry-After": _header("How many seconds to wait before the next request.", _WHOLE),
    "Preference-Applied": _header("The preference that was applied (RFC 7240)."),
    "x-should-retry": _header(
        "`false`: do not retry; the work could be charged twice.", {"const": "false", "type": "string"}
    ),
    "WWW-Authenticate": _header("How to authenticate.", {"const": "Bearer", "type": "string"}, always=True),
    "X-RateLimit-Limit-Requests": _header("The rate limit, in requests per minute. Absent: no limit.", _WHOLE),
    "X-RateLimit-Remaining-Requests": _header("The number of requests remaining.", _WHOLE),
    "X-RateLimit-Reset-Requests": _header(
        "The time until the rate limit is fully restored, as a duration such as `59.980s`.",
        {"type": "string", "pattern": r"^\d.*s$"},
    ),
    "Content-Disposition": _header("The name of the file."),
    "Vary": _header("The request headers that the response depends on."),
    "ETag": _header("The version of this document; send it as If-None-Match."),
}
EVERY: Final = ("X-Request-Id", "FusionAI-Version")
RATE: Final = ("X-RateLimit-Limit-Requests", "X-RateLimit-Remaining-Requests", "X-RateLimit-Reset-Requests")

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
_SAID: Final[Mapping[int, tuple[str, str]]] = {
    400: (
        "The request is invalid; `param` names the parameter.",
        "temperature: input should be less than or equal to 2",
    ),
    401: ("The API key is missing or invalid.", "invalid API key: unknown, revoked or expired"),
    402: (
        "The credit balance is insufficient; nothing was accepted.",
        "insufficient credits: this job may cost up to 2.5 credits, 1.25 are available; "
        "set max_tokens to 190 or less to fit",
    ),
    403: ("The API key does not have permission.", "a test key cannot access this resource; use a live key"),
    404: ("The object does not exist, or belongs to another account.", "not found: job 'job_1'"),
    405: ("The path does not support this method.", "method not allowed: PUT /v1/jobs"),
    409: ("The request conflicts with the current state of the object.", "the job was cancelled"),
    413: ("The request is too large.", "request body is larger than 50 MB"),
    415: ("The Content-Type is not supported.", "unsupported Content-Type 'text/plain': must be application/json"),
    422: (
        "The Idempotency-Key was already used with a different request.",
        "this Idempotency-Key was already used with a different request",
    ),
    429: (
        "The rate limit was exceeded; nothing was accepted.",
        "rate limit exceeded: 100 requests per minute; retry in 3 s",
    ),
    500: ("An internal server error.", "internal server error; include the request ID when you contact support"),
    502: ("The provider failed, after all retries and fallbacks.", "the provider returned status 503"),
    503: (
        "Temporarily unavailable; unless the error names a job, nothing was accepted.",
        "the database is unavailable; retry later",
    ),
    504: (
        "The job did not finish in time; it is still running.",
        "job job_1 has not finished yet and continues; get it at /v1/jobs/job_1",
    ),
}


def errors() -> Iterator[type[FusionError]]:
    """Every kind of error that a caller may meet."""
    yield from (*Refused.__subclasses__(), *Failed.__subclasses__())


def error_answers() -> dict[str, Schema]:
    """An answer for each kind of error, by the name of its class."""
    return {kind.__name__: _error_answer(kind) for kind in errors()}


def _error_answer(kind: type[FusionError]) -> Schema:
    description, message = _SAID[kind.status]
    shown = {"message": message, "type": kind.type, "code": kind.status, "request_id": "req_019a"}
    own = {"type": {"const": kind.type}, "code": {"const": kind.status}}
    schema = {"allOf": [{"$ref": "#/components/schemas/Error"}, {"properties": {"error": {"properties": own}}}]}
    return {
        "description": description,
        "headers": refer(*EVERY, *_OF_ERROR.get(kind.status, ())),
        "content": {"application/json": {"schema": schema, "example": {"error": shown}}},
    }


#: The shape of every refusal.
ERROR: Final[Schema] = {
    "description": "The body of every error response. `param` names the parameter, `reason` the cause, if known.",
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "code", "request_id"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string", "enum": [kind.type for kind in errors()]},
                "code": {"type": "integer", "description": "The HTTP status."},
                "param": {"type": "string"},
                "reason": {
                    "type": "string",
                    "description": "A machine-readable cause, if more specific than the type. For a request refused "
                    "by a provider, the error code of the provider, such as `context_length_exceeded`.",
                },
                "request_id": {"type": "string"},
                "required_credits": {"type": "number", "description": "With 402: the maximum cost of the jobs."},
                "available_credits": {"type": "number", "description": "With 402: the available credits."},
                "held_credits": {"type": "number", "description": "With 402: the credits held for unfinished jobs."},
                "held_by_jobs": {"type": "integer", "description": "With 402: the number of unfinished jobs."},
                "max_tokens": {
                    "type": "integer",
                    "description": "With 402: the largest `max_tokens` per job that the balance covers.",
                },
                "jobs": {"type": "integer", "description": "With 402: the number of jobs in the request."},
                "fitting_jobs": {
                    "type": "integer",
                    "description": "With 402: how many jobs, counted from the first, the balance covers.",
                },
            },
        }
    },
}


def refer(*headers: str) -> dict[str, Schema]:
    """Headers of an answer, by reference."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in headers}
