"""Parts of the document that many operations share: parameters, headers, and an answer for each error."""

from collections.abc import Iterator, Mapping
from typing import Final

from producer.admission.idempotency import MAX_LENGTH
from producer.operations.pages import PageQuery
from producer.web.dialect import Dialect
from producer.web.rows import JSON, Schema, header, query
from shared.errors import Failed, FusionError, RequestRefused
from shared.submissions import sizes


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


def header_of(description: str, schema: Schema = _TEXT, *, always: bool = False) -> Schema:
    """A header of answers; `always`: of every one."""
    return {"description": description, "schema": schema, "required": always}


#: Headers of answers.
HEADERS: Final[Mapping[str, Schema]] = {
    "X-Request-Id": header_of(
        "The id of the request; include it when you contact support.",
        {"type": "string", "pattern": "^req_"},
        always=True,
    ),
    "FusionAI-Version": header_of("The version of the API.", {"const": "v1", "type": "string"}, always=True),
    "FusionAI-Credits-Used": header_of("The cost of the call in credits, as an exact decimal such as 0.081."),
    "FusionAI-Job-Id": header_of("The id of the job behind this response; see GET /v1/jobs/{job_id}."),
    "Idempotent-Replayed": header_of(
        "This is the response of an earlier request with the same Idempotency-Key.", {"const": "true", "type": "string"}
    ),
    "Location": header_of("The path of the job."),
    "Retry-After": header_of("How many seconds to wait before the next request.", _WHOLE),
    "Preference-Applied": header_of("The preference that was applied (RFC 7240)."),
    "x-should-retry": header_of(
        "`false`: do not retry; the work could be charged twice.", {"const": "false", "type": "string"}
    ),
    "Content-Disposition": header_of("The name of the file."),
    "Vary": header_of("The request headers that the response depends on."),
    "ETag": header_of("The version of this document; send it as If-None-Match."),
}
EVERY: Final = ("X-Request-Id", "FusionAI-Version")

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
    413: ("The request is too large.", f"request body is larger than {sizes.MOST_BODY_BYTES // 1024**2} MB"),
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


def every_error() -> Iterator[type[FusionError]]:
    """Every kind of error that a caller may meet."""
    yield from (*RequestRefused.__subclasses__(), *Failed.__subclasses__())


def error_answers(dialect: Dialect) -> dict[str, Schema]:
    """An answer of a dialect for each kind of error, by the dialect's mark and the name of the kind's class."""
    mark = dialect.document.mark
    return {f"{mark}{kind.__name__}": _error_answer(kind, dialect) for kind in every_error()}


def _error_answer(kind: type[FusionError], dialect: Dialect) -> Schema:
    description, message = _SAID[kind.status]
    part, refusal = dialect.document, dialect.refuse(kind(message), "req_019a")
    return {
        "description": description,
        "headers": refer(*EVERY, *part.error_headers.get(kind.status, ())),
        "content": {JSON: {"schema": part.error(kind), "example": refusal.content}},
    }


def refer(*headers: str) -> dict[str, Schema]:
    """Headers of an answer, by reference."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in headers}
